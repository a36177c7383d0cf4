//! What the program asks of the machine: files, the clock, the disk, its own process.
//!
//! * [`data_dir`]: the directory that holds the database and the key file, with the lock on it.
//! * [`clock`]: the only place that asks for the time, for randomness and for a pause.
//! * [`vault`]: encryption at rest of signing secrets and secret header values.
//! * [`disk`], [`process`]: free space; memory, CPU time and open files.
//! * [`meter`]: counters and histograms that cost one atomic operation each.
//! * [`throw_away`]: a directory that is removed when its owner ends.
//!
//! Nothing here knows events, endpoints or HTTP.

pub mod clock;
pub mod data_dir;
pub mod disk;
pub mod meter;
pub mod process;
pub mod throw_away;
pub mod vault;
