//! Nodes that share a database: their leases, and which of them holds which shard. Storage that one process has to
//! itself has none of this.

use async_trait::async_trait;
use uuid::Uuid;

use crate::domain::{AttemptId, EndpointId, Epoch, NodeId, Shard, Timestamp};
use crate::store::Result;

/// A node that registers.
#[derive(Debug, Clone)]
pub struct NodeCard {
    pub id: NodeId,
    pub run_id: Uuid,
    /// As it is configured.
    pub base_name: String,
    /// The machine and the room on it in which process numbers are valid.
    pub machine: String,
    /// Of this start of the machine.
    pub boot: String,
    /// The process, and when it was started.
    pub process: String,
    pub version: String,
    pub lease_ms: i64,
}

/// What a node says with each renewal.
#[derive(Debug, Clone, Default)]
pub struct NodeNews {
    /// As it is shown.
    pub name: String,
    /// Requests.
    pub in_flight: u64,
    /// Whether notifications of other nodes reach it.
    pub is_listening: bool,
    /// A hash of what must be the same on all nodes.
    pub configuration: String,
    /// It wants no shards any more.
    pub is_leaving: bool,
}

/// A node, as the others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownNode {
    pub id: NodeId,
    pub base_name: String,
    pub machine: String,
    pub boot: String,
    pub process: String,
    pub lease_ms: i64,
    /// Grows with each renewal.
    pub renewal: i64,
    pub since: Timestamp,
    pub is_leaving: bool,
}

/// A node at one of its renewals. What is done to a node that is gone is done only if it has not renewed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    pub id: NodeId,
    pub renewal: i64,
}

/// The renewal of a node that holds something, but which the database does not know.
pub const UNKNOWN: i64 = -1;

/// A shard, as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownShard {
    pub shard: Shard,
    pub epoch: Epoch,
    pub holder: Option<NodeId>,
}

/// A request that was in flight when its shard was handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandedOver {
    pub attempt: AttemptId,
    pub endpoint: EndpointId,
    pub shard: Shard,
    /// Which writes the result.
    pub node: NodeId,
}

/// All nodes and shards. The nodes and what was handed over are read after the shards.
#[derive(Debug, Clone, Default)]
pub struct ClusterView {
    pub shards: Vec<KnownShard>,
    pub nodes: Vec<KnownNode>,
    pub leader: Option<NodeId>,
    pub handed_over: Vec<HandedOver>,
}

/// A lease that was renewed.
#[derive(Debug, Clone)]
pub struct Renewed {
    pub renewal: i64,
    /// As it was after the renewal.
    pub view: ClusterView,
}

/// The time of the database.
#[derive(Debug, Clone, Copy)]
pub struct DatabaseTime {
    pub now: Timestamp,
    /// How long ago it was that.
    pub age_ms: i64,
}

/// The leases of nodes. Calls take a connection of their own and end soon, whatever the database does.
#[async_trait]
pub trait NodeStore: Send + Sync {
    /// Registers a node, unless it is registered.
    async fn node_register(&self, card: NodeCard) -> Result<()>;
    /// Renews the lease of a node; `None` if the database does not know it.
    async fn node_renew(&self, id: NodeId, news: NodeNews) -> Result<Option<Renewed>>;
    /// What time it is there.
    async fn database_time(&self) -> Result<DatabaseTime>;
    /// How all stands.
    async fn node_view(&self) -> Result<ClusterView>;
    /// Gives free what the node holds, and removes it.
    async fn node_leave(&self, id: NodeId) -> Result<()>;
    /// Removes a node that is gone and holds no shard.
    async fn node_forget(&self, gone: Seen) -> Result<()>;

    /// Takes shards that are as they were seen, and `from` whose holder: that of a node that is gone, or of none. Each
    /// begins its next epoch. Gives those that were taken. Waits for results that are being written.
    async fn shards_take(
        &self,
        by: Seen,
        from: Option<Seen>,
        shards: Vec<(Shard, Epoch)>,
    ) -> Result<Vec<(Shard, Epoch)>>;
    /// Hands a shard to another node; false if that is not possible any more. `in_flight`: what the node itself still
    /// sends of it.
    async fn shard_hand_over(
        &self,
        by: Seen,
        to: NodeId,
        shard: (Shard, Epoch),
        in_flight: Vec<(AttemptId, EndpointId)>,
    ) -> Result<bool>;
    /// Of what the node has handed over, only these are still in flight.
    async fn handed_over_keep(&self, by: Seen, still: Vec<AttemptId>) -> Result<()>;
    /// What a node that is gone has had in flight is to be sent again; false if it has renewed.
    async fn handed_over_forget(&self, gone: Seen) -> Result<bool>;

    /// Takes the lead, from a node that is gone or from none; false if another node has it.
    async fn leader_take(&self, by: Seen, from: Option<Seen>) -> Result<bool>;
    /// Gives it up.
    async fn leader_give_up(&self, by: NodeId) -> Result<()>;
}
