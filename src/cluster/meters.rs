//! Counters of what a node does with the others: leases, stale results, notifications.
//!
//! Each part counts at its own place and never reads them; [`crate::metrics`] shows them as `postrider_cluster_*`
//! where several nodes can share the storage. A node that is alone counts nothing.

use crate::host::meter::{Counter, Histogram};

/// Milliseconds of a renewal. The longest lease is a minute.
const RENEWAL_MS: &[u64] = &[1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000];

/// The meters of one node.
#[derive(Debug)]
pub struct ClusterMeters {
    /// Renewals of this node's lease that are committed.
    pub renewals: Counter,
    /// Renewals that failed, or whose answer was lost. The next one is tried at once.
    pub renewal_failures: Counter,
    /// From the start of a committed renewal to its answer, exported in seconds.
    pub renewal: Histogram,
    /// Shards that were free, or taken from a node that is gone.
    pub shards_taken: Counter,
    /// Shards handed over to another node in good order.
    pub shards_handed_over: Counter,
    /// Shards that this node stopped sending for because it could not renew, or another node had taken them.
    pub shards_lost: Counter,
    /// Results refused because the shard had changed hands since the request was sent.
    pub stale_results: Counter,
    /// Notifications sent to other nodes: statements, each of which may carry many signals.
    pub notifications_sent: Counter,
    /// Notifications received from other nodes.
    pub notifications_received: Counter,
    /// Notifications that could not be sent, or were not understood. Polling finds what they were about.
    pub notifications_lost: Counter,
    /// How often the connection that listens was lost. What came meanwhile is found by polling.
    pub listening_lost: Counter,
}

impl Default for ClusterMeters {
    fn default() -> ClusterMeters {
        ClusterMeters {
            renewals: Counter::default(),
            renewal_failures: Counter::default(),
            renewal: Histogram::new(RENEWAL_MS, 1_000),
            shards_taken: Counter::default(),
            shards_handed_over: Counter::default(),
            shards_lost: Counter::default(),
            stale_results: Counter::default(),
            notifications_sent: Counter::default(),
            notifications_received: Counter::default(),
            notifications_lost: Counter::default(),
            listening_lost: Counter::default(),
        }
    }
}
