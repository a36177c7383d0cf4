//! Takeovers of shards. A result holds the row of its shard locked for sharing until its transaction ends, a takeover
//! changes it: so one waits for the other.

use async_trait::async_trait;
use futures_util::FutureExt as _;

use crate::domain::{Epoch, Shard};
use crate::store::postgres::engine::conn::Statements as _;
use crate::store::postgres::engine::rows::Columns as _;
use crate::store::postgres::engine::store::PostgresStore;
use crate::store::{Result, ShardStore};

#[async_trait]
impl ShardStore for PostgresStore {
    async fn shard_epoch(&self, shard: Shard) -> Result<Epoch> {
        self.query("reading the epoch of a shard", move |conn| {
            async move {
                let sql = "SELECT epoch FROM shards WHERE shard = $1";
                let row = conn.row(sql, &[&i16::from(shard.0)]).await?;
                Ok(Epoch::from_number(row.num("epoch")?))
            }
            .boxed()
        })
        .await
    }

    async fn shard_take(&self, shard: Shard) -> Result<Epoch> {
        self.write_patiently("taking a shard", move |tx| {
            async move {
                let sql = "UPDATE shards SET epoch = epoch + 1 WHERE shard = $1 RETURNING epoch";
                let row = tx.row(sql, &[&i16::from(shard.0)]).await?;
                Ok(Epoch::from_number(row.num("epoch")?))
            }
            .boxed()
        })
        .await
    }
}
