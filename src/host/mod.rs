//! Access to the machine: files, the clock, the disk, the process.
//!
//! * [`data_dir`]: the directory of the database and the key file, and its lock.
//! * [`clock`]: the only source of time and randomness, and of sleeping.
//! * [`following_clock`]: a clock that shows the time of another machine.
//! * [`identity`]: which machine and process this is.
//! * [`vault`]: encryption at rest of signing secrets and secret header values.
//! * [`disk`], [`process`]: free space; memory, CPU time, open files and their limit.
//! * [`meter`]: counters and histograms that cost one atomic operation each.
//! * [`output_queue`]: output that never blocks the program.
//! * [`temp_directory`]: a temporary directory that is deleted when its owner is dropped.
//!
//! Nothing here knows events, endpoints or HTTP.

pub mod clock;
pub mod data_dir;
pub mod disk;
pub mod following_clock;
pub mod identity;
pub mod io_error;
pub mod meter;
pub mod output_queue;
pub mod process;
pub mod temp_directory;
pub mod vault;
