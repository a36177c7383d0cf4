//! The nodes that share the database, as they are shown. No SQL here writes.

use async_trait::async_trait;
use futures_util::FutureExt as _;

use crate::domain::Timestamp;
use crate::store::nodes_shown::LISTED_MS;
use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::error::DbResult;
use crate::store::postgres::engine::rows::{Columns as _, num};
use crate::store::postgres::engine::store::PostgresStore;
use crate::store::{ListedNode, NodeListStore, Result};

/// Nodes are few; a table full of what is long gone must not make an answer long.
const NODES_MAX: i64 = 200;

/// Shards are counted once, whatever the number of nodes.
const NODES: &str = "SELECT n.name, n.version, n.since, n.renewed_at, n.lease_ms, n.in_flight, n.is_listening, \
     n.configuration, coalesce(s.held, 0) AS shards, \
     EXISTS (SELECT 1 FROM leaders l WHERE l.holder = n.id) AS is_leader \
     FROM nodes n LEFT JOIN (SELECT holder, count(*) AS held FROM shards GROUP BY holder) s ON s.holder = n.id \
     WHERE n.renewed_at > $1 ORDER BY n.renewed_at DESC LIMIT $2";
const PENDING: &str = "SELECT coalesce(sum(pending), 0)::bigint AS pending FROM totals WHERE pending > 0";

async fn nodes(conn: &Conn, now: Timestamp) -> DbResult<Vec<ListedNode>> {
    let mut found = Vec::new();
    for row in conn.rows(NODES, &[&now.plus_ms(-LISTED_MS), &num(NODES_MAX)]).await? {
        found.push(ListedNode {
            name: row.col("name")?,
            version: row.col("version")?,
            since: row.col("since")?,
            shards: row.num("shards")?,
            in_flight: row.num("in_flight")?,
            last_seen_at: row.col("renewed_at")?,
            lease_ms: row.num("lease_ms")?,
            is_leader: row.col("is_leader")?,
            is_listening: row.col("is_listening")?,
            configuration: row.col("configuration")?,
        });
    }
    found.sort_by(|a, b| (&a.name, a.since).cmp(&(&b.name, b.since)));
    Ok(found)
}

#[async_trait]
impl NodeListStore for PostgresStore {
    async fn nodes(&self, now: Timestamp) -> Result<Vec<ListedNode>> {
        self.look("listing the nodes", move |conn| nodes(conn, now).boxed()).await
    }

    async fn pending_of_all(&self) -> Result<u64> {
        self.look("counting what is pending", |conn| {
            async move { conn.row(PENDING, &[]).await?.num("pending") }.boxed()
        })
        .await
    }
}
