//! The life of a delivery.
//!
//! * [`attempt`]: one HTTP request, one row. [`delivery`]: a chain of attempts.
//! * [`transition`]: **the** function that says how an attempt changes; every other layer asks it.
//! * [`hold`]: when an endpoint waits and is probed; [`trouble`]: all that is remembered of its failures.
//! * [`retry`]: when the next attempt is due; [`retry_after`] reads the receiver's `Retry-After`.
//! * [`status_class`]: classes of response statuses, for statistics.
//! * [`bulk_job`]: retry, recovery and replay of many deliveries.

pub mod attempt;
pub mod bulk_job;
pub mod delivery;
pub mod hold;
pub mod retry;
pub mod retry_after;
pub mod status_class;
pub mod transition;
pub mod trouble;
