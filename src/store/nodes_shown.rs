//! What is shown of the nodes that share one storage. Reading only: who holds what is decided elsewhere.

use async_trait::async_trait;

use crate::domain::Timestamp;
use crate::store::Result;

/// How long a node that is gone stays in the list.
pub(crate) const LISTED_MS: i64 = 3_600_000;

/// A node, as its last renewal left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedNode {
    pub name: String,
    pub version: String,
    /// When its process started.
    pub since: Timestamp,
    /// Shards that it holds, or held and nobody has taken yet.
    pub shards: u32,
    /// Requests in flight.
    pub in_flight: u64,
    /// When it last renewed its lease.
    pub last_seen_at: Timestamp,
    /// How long its lease lasts.
    pub lease_ms: i64,
    pub is_leader: bool,
    /// Whether it is about to stop, and wants no shards.
    pub is_leaving: bool,
    /// Whether notifications reach it.
    pub is_listening: bool,
    /// A hash of what has to be the same on all nodes.
    pub configuration: String,
}

impl ListedNode {
    /// Whether its lease has run out.
    pub fn is_gone(&self, now: Timestamp) -> bool {
        now.as_millis() - self.last_seen_at.as_millis() > self.lease_ms
    }
}

/// The nodes.
#[async_trait]
pub trait NodeListStore: Send + Sync {
    /// The nodes that use this storage, by name; those that have been gone for over an hour are left out. Empty where
    /// only one node can use it.
    async fn nodes(&self, now: Timestamp) -> Result<Vec<ListedNode>>;
    /// Pending attempts of all nodes, from what is counted for each endpoint.
    async fn pending_of_all(&self) -> Result<u64>;
}
