//! Shards and the lead change hands.
//!
//! What is done to a node that is gone, and by a node, holds the row of that node locked: it has not renewed since it
//! was looked at, and does not until this is committed.

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio_postgres::Row;

use crate::domain::{AttemptId, EndpointId, Epoch, NodeId, Shard};
use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::error::DbResult;
use crate::store::postgres::engine::link::NodeLink;
use crate::store::postgres::engine::rows::{Columns as _, num};
use crate::store::postgres::nodes::leases::{LEAD, shard_of};
use crate::store::postgres::nodes_shown;
use crate::store::{
    ClusterView, DatabaseTime, NodeCard, NodeNews, NodeStore, Renewed, Result, Seen, UNKNOWN,
};

const LOCK_NODE: &str = "SELECT renewal FROM nodes WHERE id = $1 FOR SHARE";
const LOCK_GONE: &str = "SELECT renewal FROM nodes WHERE id = $1 FOR UPDATE";
const TAKE: &str = "UPDATE shards s SET holder = $1, epoch = s.epoch + 1 \
     FROM unnest($2::smallint[], $3::bigint[]) AS w (shard, epoch) \
     WHERE s.shard = w.shard AND s.epoch = w.epoch AND s.holder IS NOT DISTINCT FROM $4::bigint \
     RETURNING s.shard, s.epoch";
const LOCK_RECEIVER: &str = "SELECT 1 FROM nodes WHERE id = $1 AND NOT is_leaving FOR SHARE";
const HAND_OVER: &str =
    "UPDATE shards SET holder = $1, epoch = epoch + 1 WHERE shard = $2 AND epoch = $3 AND holder = $4";
const NOTE_FLIGHTS: &str = "INSERT INTO handed_over (attempt, endpoint, shard, node, epoch) \
     SELECT f.attempt, f.endpoint, $3, $4, $5 FROM unnest($1::bigint[], $2::uuid[]) AS f (attempt, endpoint) \
     ON CONFLICT (attempt) DO NOTHING";
const KEEP_FLIGHTS: &str = "DELETE FROM handed_over WHERE node = $1 AND NOT (attempt = ANY($2))";
const FORGET_FLIGHTS: &str = "DELETE FROM handed_over WHERE node = $1";
const LEADER_TAKE: &str = "INSERT INTO leaders AS l (work, epoch, holder, renewal) VALUES ($1, 1, $2, 0) \
     ON CONFLICT (work) DO UPDATE SET holder = $2, epoch = l.epoch + 1 \
     WHERE l.holder IS NOT DISTINCT FROM $3::bigint";
const LEADER_GIVE_UP: &str = "UPDATE leaders SET holder = NULL WHERE holder = $1";

/// Locks a node, unless it has renewed since it was seen.
async fn lock(conn: &Conn, seen: Seen) -> DbResult<bool> {
    is_as_seen(conn.row_opt(LOCK_NODE, &[&seen.id]).await?, seen)
}

fn is_as_seen(found: Option<Row>, seen: Seen) -> DbResult<bool> {
    let renewal = found.map(|row| row.col("renewal")).transpose()?;
    Ok(renewal.unwrap_or(UNKNOWN) == seen.renewal)
}

impl NodeLink {
    /// Runs statements in a transaction, if these nodes are as they were seen.
    async fn with<T, F>(&self, doing: &'static str, nodes: Vec<Seen>, work: F) -> Result<Option<T>>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a Conn) -> BoxFuture<'a, DbResult<Option<T>>> + Send + 'static,
    {
        self.run_if(doing, Option::is_some, move |conn| {
            async move {
                for seen in nodes {
                    if !lock(conn, seen).await? {
                        return Ok(None);
                    }
                }
                work(conn).await
            }
            .boxed()
        })
        .await
    }
}

#[async_trait]
impl NodeStore for NodeLink {
    async fn node_register(&self, card: NodeCard) -> Result<()> {
        self.register(card).await
    }

    async fn node_renew(&self, id: NodeId, news: NodeNews) -> Result<Option<Renewed>> {
        self.renew(id, news).await
    }

    async fn database_time(&self) -> Result<DatabaseTime> {
        self.time().await
    }

    async fn node_view(&self) -> Result<ClusterView> {
        self.view().await
    }

    async fn node_leave(&self, id: NodeId) -> Result<()> {
        let left = self.with("leaving", vec![], move |conn| {
            async move {
                // The row first: a node that gives a shard to this one waits, and then finds it gone.
                conn.run("DELETE FROM nodes WHERE id = $1", &[&id]).await?;
                conn.run("UPDATE shards SET holder = NULL WHERE holder = $1", &[&id]).await?;
                conn.run(LEADER_GIVE_UP, &[&id]).await?;
                conn.run(FORGET_FLIGHTS, &[&id]).await?;
                Ok(Some(()))
            }
            .boxed()
        });
        left.await.map(|_| ())
    }

    async fn node_forget(&self, gone: Seen) -> Result<()> {
        let forgotten = self.with("forgetting a node that is gone", vec![], move |conn| {
            async move {
                // Exclusively, and before it is looked what the node holds: who gives it a shard at this moment has
                // its row locked until that is committed, and would leave the shard to nobody.
                if !is_as_seen(conn.row_opt(LOCK_GONE, &[&gone.id]).await?, gone)? {
                    return Ok(None);
                }
                let sql = "SELECT 1 FROM shards WHERE holder = $1 LIMIT 1";
                if conn.row_opt(sql, &[&gone.id]).await?.is_some() {
                    return Ok(None);
                }
                nodes_shown::bury(conn, gone.id).await?;
                conn.run(FORGET_FLIGHTS, &[&gone.id]).await?;
                Ok(Some(()))
            }
            .boxed()
        });
        forgotten.await.map(|_| ())
    }

    async fn shards_take(
        &self,
        by: Seen,
        from: Option<Seen>,
        shards: Vec<(Shard, Epoch)>,
    ) -> Result<Vec<(Shard, Epoch)>> {
        let nodes = std::iter::once(by).chain(from).collect();
        let taken = self.with("taking shards", nodes, move |conn| {
            async move {
                let (numbers, epochs): (Vec<i16>, Vec<i64>) =
                    shards.iter().map(|(shard, epoch)| (i16::from(shard.0), num(epoch.number()))).unzip();
                let from = from.map(|from| from.id);
                let mut taken = Vec::new();
                for row in conn.rows(TAKE, &[&by.id, &numbers, &epochs, &from]).await? {
                    taken.push((shard_of(&row)?, Epoch::from_number(row.num("epoch")?)));
                }
                Ok(Some(taken))
            }
            .boxed()
        });
        Ok(taken.await?.unwrap_or_default())
    }

    async fn shard_hand_over(
        &self,
        by: Seen,
        to: NodeId,
        (shard, epoch): (Shard, Epoch),
        in_flight: Vec<(AttemptId, EndpointId)>,
    ) -> Result<bool> {
        let handed = self.with("handing a shard over", vec![by], move |conn| {
            async move {
                if conn.row_opt(LOCK_RECEIVER, &[&to]).await?.is_none() {
                    return Ok(None);
                }
                let (number, epoch) = (i16::from(shard.0), num(epoch.number()));
                // Waits for results that are being written; those that come later find the new epoch.
                if conn.run(HAND_OVER, &[&to, &number, &epoch, &by.id]).await? != 1 {
                    return Ok(None);
                }
                if !in_flight.is_empty() {
                    let (attempts, endpoints): (Vec<AttemptId>, Vec<EndpointId>) =
                        in_flight.into_iter().unzip();
                    conn.run(NOTE_FLIGHTS, &[&attempts, &endpoints, &number, &by.id, &epoch]).await?;
                }
                Ok(Some(()))
            }
            .boxed()
        });
        Ok(handed.await?.is_some())
    }

    async fn handed_over_keep(&self, by: Seen, still: Vec<AttemptId>) -> Result<()> {
        let kept = self.with("noting which requests have ended", vec![by], move |conn| {
            async move { conn.run(KEEP_FLIGHTS, &[&by.id, &still]).await.map(Some) }.boxed()
        });
        kept.await.map(|_| ())
    }

    async fn handed_over_forget(&self, gone: Seen) -> Result<bool> {
        let forgotten = self.with("forgetting requests of a node that is gone", vec![gone], move |conn| {
            async move { conn.run(FORGET_FLIGHTS, &[&gone.id]).await.map(Some) }.boxed()
        });
        Ok(forgotten.await?.is_some())
    }

    async fn leader_take(&self, by: Seen, from: Option<Seen>) -> Result<bool> {
        let nodes = std::iter::once(by).chain(from).collect();
        let taken = self.with("taking the lead", nodes, move |conn| {
            async move {
                let from = from.map(|from| from.id);
                let taken = conn.run(LEADER_TAKE, &[&LEAD, &by.id, &from]).await?;
                Ok((taken == 1).then_some(()))
            }
            .boxed()
        });
        Ok(taken.await?.is_some())
    }

    async fn leader_give_up(&self, by: NodeId) -> Result<()> {
        self.run("giving the lead up", move |conn| {
            async move { conn.run(LEADER_GIVE_UP, &[&by]).await.map(|_| ()) }.boxed()
        })
        .await
    }
}
