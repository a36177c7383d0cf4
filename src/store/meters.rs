//! Metrics of storage, kept in memory. Only the pace of retention depends on them.

use crate::host::meter::{Counter, Gauge, Histogram};

/// Commands of a group: the powers of two up to the largest group.
const GROUP_SIZES: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512];
/// Microseconds of a commit.
const COMMIT_US: &[u64] = &[
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    5_000_000,
];

/// The meters of one open database.
#[derive(Debug)]
pub struct StoreMeters {
    /// Events of clients that are on disk; repetitions of an idempotency key are none.
    pub events_accepted: Counter,
    /// Deliveries that were not made, because the filter of an endpoint declined the event.
    pub events_filtered: Counter,
    /// Holds of endpoints that have begun.
    pub holds: Counter,
    /// Attempts that are pending. Counted at the start and kept by every commit.
    pub queue_depth: Gauge,
    /// Commands in a commit.
    pub group_size: Histogram,
    /// How long a commit takes, shown in seconds.
    pub commit: Histogram,
    /// Microseconds in which the writer was not idle.
    pub busy: Counter,
}

impl Default for StoreMeters {
    fn default() -> StoreMeters {
        StoreMeters {
            events_accepted: Counter::default(),
            events_filtered: Counter::default(),
            holds: Counter::default(),
            queue_depth: Gauge::default(),
            group_size: Histogram::new(GROUP_SIZES, 1),
            commit: Histogram::new(COMMIT_US, 1_000_000),
            busy: Counter::default(),
        }
    }
}
