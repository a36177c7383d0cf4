//! Takeovers of shards. They are serialized with the results of attempts by the writer.

use async_trait::async_trait;

use crate::domain::{Epoch, Shard};
use crate::store::sqlite::engine::store::SqliteStore;
use crate::store::{Result, ShardStore};

#[async_trait]
impl ShardStore for SqliteStore {
    async fn shard_epoch(&self, shard: Shard) -> Result<Epoch> {
        Ok(self.epochs.of(shard))
    }

    async fn shard_take(&self, shard: Shard) -> Result<Epoch> {
        let epochs = self.epochs.clone();
        self.write_patiently("taking a shard", move |_| Ok(epochs.take(shard))).await
    }
}
