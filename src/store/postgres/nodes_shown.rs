//! The nodes that share the database, as they are shown: those that are there, and those that were lost.

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::try_join;

use crate::domain::{NodeId, Timestamp};
use crate::store::nodes_shown::LISTED_MS;
use crate::store::postgres::engine::conn::{Conn, Params, Statements as _};
use crate::store::postgres::engine::error::DbResult;
use crate::store::postgres::engine::rows::{Columns as _, num};
use crate::store::postgres::engine::store::PostgresStore;
use crate::store::{ListedNode, NodeListStore, Result};

/// Nodes are few; a table full of what is long gone must not make an answer long.
const NODES_MAX: i64 = 200;

/// Shards are counted once, whatever the number of nodes.
const NODES: &str = "SELECT n.name, n.version, n.since, n.renewed_at, n.lease_ms, n.in_flight, n.is_listening, \
     n.is_leaving, n.configuration, coalesce(s.held, 0) AS shards, \
     EXISTS (SELECT 1 FROM leaders l WHERE l.holder = n.id) AS is_leader \
     FROM nodes n LEFT JOIN (SELECT holder, count(*) AS held FROM shards GROUP BY holder) s ON s.holder = n.id \
     WHERE n.renewed_at > $1 ORDER BY n.renewed_at DESC LIMIT $2";
/// Lost nodes. One that is back under its name is not listed as lost.
const GONE: &str = "SELECT g.name, g.version, g.since, g.renewed_at, g.lease_ms, 0::bigint AS in_flight, \
     false AS is_listening, false AS is_leaving, '' AS configuration, 0::bigint AS shards, false AS is_leader FROM nodes_gone g \
     WHERE g.renewed_at > $1 AND NOT EXISTS (SELECT 1 FROM nodes n WHERE n.name = g.name) \
     ORDER BY g.renewed_at DESC LIMIT $2";
const BURY: &str = "WITH gone AS (DELETE FROM nodes WHERE id = $1 RETURNING *) \
     INSERT INTO nodes_gone (id, name, version, lease_ms, since, renewed_at) \
     SELECT id, name, version, lease_ms, since, renewed_at FROM gone WHERE NOT is_leaving \
     ON CONFLICT (id) DO UPDATE SET renewed_at = excluded.renewed_at";
const CLEAR: &str = "DELETE FROM nodes_gone WHERE renewed_at < (SELECT max(renewed_at) FROM nodes_gone) - $1";
const PENDING: &str = "SELECT coalesce(sum(pending), 0)::bigint AS pending FROM totals_now";

async fn nodes(conn: &Conn, now: Timestamp) -> DbResult<Vec<ListedNode>> {
    let mut found = Vec::new();
    let (since, most) = (now.plus_ms(-LISTED_MS), num(NODES_MAX));
    let values: Params<'_> = &[&since, &most];
    let (known, gone) = try_join(conn.rows(NODES, values), conn.rows(GONE, values)).await?;
    for row in known.iter().chain(&gone) {
        found.push(ListedNode {
            name: row.col("name")?,
            version: row.col("version")?,
            since: row.col("since")?,
            shards: row.num("shards")?,
            in_flight: row.num("in_flight")?,
            last_seen_at: row.col("renewed_at")?,
            lease_ms: row.num("lease_ms")?,
            is_leader: row.col("is_leader")?,
            is_leaving: row.col("is_leaving")?,
            is_listening: row.col("is_listening")?,
            configuration: row.col("configuration")?,
        });
    }
    found.sort_by(|a, b| (&a.name, a.since).cmp(&(&b.name, b.since)));
    Ok(found)
}

/// Removes a node that is gone; it stays in the list for a while.
pub(in crate::store::postgres) async fn bury(conn: &Conn, id: NodeId) -> DbResult<()> {
    conn.run(BURY, &[&id]).await?;
    conn.run(CLEAR, &[&num(LISTED_MS)]).await.map(|_| ())
}

#[async_trait]
impl NodeListStore for PostgresStore {
    async fn nodes(&self, now: Timestamp) -> Result<Vec<ListedNode>> {
        self.query("listing the nodes", move |conn| nodes(conn, now).boxed()).await
    }

    async fn pending_of_all(&self) -> Result<u64> {
        self.query("counting what is pending", |conn| {
            async move { conn.row(PENDING, &[]).await?.num("pending") }.boxed()
        })
        .await
    }
}
