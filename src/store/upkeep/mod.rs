//! Work on everything that is stored: retention, sealing secrets again, import.

mod moving;
mod retention;
mod secrets;

pub use moving::{Import, MovingStore};
pub use retention::{Cutoffs, Expired, RetentionStore, StepLimit, SweepStep, WriterLoad};
pub use secrets::{Reseal, Resealed, SealAgain, SecretsStore};
