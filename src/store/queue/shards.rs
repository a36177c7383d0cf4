//! Who may commit results: the epochs of shards.
//!
//! A node that takes a shard starts a new epoch of it. Results of requests that were sent in an earlier epoch
//! are refused from then on, so the takeover and every result of the shard's endpoints must be serialized.

use async_trait::async_trait;

use crate::domain::{Epoch, Shard};
use crate::store::Result;

/// The epochs of shards.
#[async_trait]
pub trait ShardStore: Send + Sync {
    /// The epoch in which a shard is held. [`Epoch::FIRST`] until it is taken for the first time.
    async fn shard_epoch(&self, shard: Shard) -> Result<Epoch>;
    /// Takes a shard from its holder; gives the new epoch.
    async fn shard_take(&self, shard: Shard) -> Result<Epoch>;
}
