//! Registering, renewing, reading, leaving.

use futures_util::FutureExt as _;
use futures_util::future::try_join3;
use tokio::time::Instant;
use tokio_postgres::Row;

use crate::domain::{Epoch, NodeId, Shard};
use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::error::{DbResult, fault};
use crate::store::postgres::engine::in_use;
use crate::store::postgres::engine::link::NodeLink;
use crate::store::postgres::engine::rows::{Columns as _, clean, num};
use crate::store::{
    ClusterView, DatabaseTime, HandedOver, KnownNode, KnownShard, NodeCard, NodeNews, Renewed, Result,
    UNKNOWN,
};

/// What is done once in the cluster is one piece of work so far.
pub(super) const LEAD: &str = "upkeep";

/// The time of the database, in milliseconds.
macro_rules! now {
    () => {
        "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
    };
}

const REGISTER: &str = concat!(
    "INSERT INTO nodes (id, name, base_name, run_id, machine, boot, process, version, lease_ms, since, renewed_at) \
     VALUES ($1, $2, $2, ($3::text)::uuid, $4, $5, $6, $7, $8, ",
    now!(),
    ", ",
    now!(),
    ") ON CONFLICT (id) DO NOTHING"
);
const RENEW: &str = concat!(
    "UPDATE nodes SET renewal = renewal + 1, renewed_at = ",
    now!(),
    ", name = $2, in_flight = $3, is_listening = $4, configuration = $5, is_leaving = $6 WHERE id = $1 \
     RETURNING renewal"
);
const NOW: &str = concat!("SELECT ", now!(), " AS now");
const SHARDS: &str = "SELECT shard, epoch, holder FROM shards ORDER BY shard";
const NODES: &str = "SELECT id, base_name, machine, boot, process, lease_ms, renewal, since, is_leaving FROM nodes \
     ORDER BY since, id";
const LEADER: &str = "SELECT holder FROM leaders WHERE work = $1";
const HANDED_OVER: &str = "SELECT attempt, endpoint, shard, node FROM handed_over";

/// The longest lease there is: for nodes that the database does not know.
const LONGEST_MS: i64 = 60_000;

pub(super) fn node_id(row: &Row, name: &str) -> DbResult<Option<NodeId>> {
    row.col(name)
}

pub(super) fn shard_of(row: &Row) -> DbResult<Shard> {
    let number: i16 = row.col("shard")?;
    u8::try_from(number).map(Shard).map_err(|_| fault("a shard has a number that none has"))
}

fn known_node(row: &Row) -> DbResult<KnownNode> {
    Ok(KnownNode {
        id: row.col("id")?,
        base_name: row.col("base_name")?,
        machine: row.col("machine")?,
        boot: row.col("boot")?,
        process: row.col("process")?,
        lease_ms: row.col("lease_ms")?,
        renewal: row.col("renewal")?,
        since: row.col("since")?,
        is_leaving: row.col("is_leaving")?,
    })
}

/// Shards first: what was handed over with them is there then.
async fn view(conn: &Conn) -> DbResult<ClusterView> {
    let mut shards = Vec::new();
    for row in conn.rows(SHARDS, &[]).await? {
        let (epoch, holder) = (Epoch::from_number(row.num("epoch")?), node_id(&row, "holder")?);
        shards.push(KnownShard { shard: shard_of(&row)?, epoch, holder });
    }
    let rest = try_join3(conn.rows(NODES, &[]), conn.row_opt(LEADER, &[&LEAD]), conn.rows(HANDED_OVER, &[]));
    let (nodes, leader, handed) = rest.await?;
    let mut nodes = nodes.iter().map(known_node).collect::<DbResult<Vec<_>>>()?;
    let leader = leader.map(|row| node_id(&row, "holder")).transpose()?.flatten();
    let mut handed_over = Vec::new();
    for row in handed {
        let node = row.col("node")?;
        let (attempt, endpoint) = (row.col("attempt")?, row.col("endpoint")?);
        handed_over.push(HandedOver { attempt, endpoint, shard: shard_of(&row)?, node });
    }
    // A failover may have forgotten nodes that hold something.
    let holders = shards.iter().filter_map(|shard| shard.holder).chain(leader);
    for id in holders.chain(handed_over.iter().map(|one: &HandedOver| one.node)) {
        if !nodes.iter().any(|node| node.id == id) {
            nodes.push(unknown(id));
        }
    }
    Ok(ClusterView { shards, nodes, leader, handed_over })
}

fn unknown(id: NodeId) -> KnownNode {
    let (base_name, machine, boot, process) = Default::default();
    let since = crate::domain::Timestamp::from_millis(i64::MAX);
    // It wants no shards, as far as anyone knows.
    let is_leaving = true;
    let (lease_ms, renewal) = (LONGEST_MS, UNKNOWN);
    KnownNode { id, base_name, machine, boot, process, lease_ms, renewal, since, is_leaving }
}

impl NodeLink {
    pub(super) async fn register(&self, card: NodeCard) -> Result<()> {
        let own = self.own.clone();
        self.run("registering this node", move |conn| {
            async move {
                in_use::let_server_in(conn).await?;
                let [name, machine, boot, process, version] =
                    [&card.base_name, &card.machine, &card.boot, &card.process, &card.version]
                        .map(|text| clean(text).into_owned());
                let (id, run_id) = (card.id, card.run_id.to_string());
                conn.run(
                    REGISTER,
                    &[&id, &name, &run_id, &machine, &boot, &process, &version, &card.lease_ms],
                )
                .await?;
                own.set(card.id);
                Ok(())
            }
            .boxed()
        })
        .await
    }

    pub(super) async fn renew(&self, id: NodeId, news: NodeNews) -> Result<Option<Renewed>> {
        self.run("renewing the lease of this node", move |conn| {
            async move {
                let NodeNews { name, in_flight, is_listening, configuration, is_leaving } = news;
                let name = clean(&name).into_owned();
                let in_flight = num(in_flight);
                let values: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
                    [&id, &name, &in_flight, &is_listening, &configuration, &is_leaving];
                let Some(row) = conn.row_opt(RENEW, &values).await? else { return Ok(None) };
                let renewal = row.col("renewal")?;
                Ok(Some(Renewed { renewal, view: view(conn).await? }))
            }
            .boxed()
        })
        .await
    }

    pub(super) async fn time(&self) -> Result<DatabaseTime> {
        self.run("reading the time of the database", |conn| {
            async move {
                let asked = Instant::now();
                let now = conn.row(NOW, &[]).await?.col("now")?;
                // As far as anyone knows, in the middle between question and answer.
                Ok(DatabaseTime { now, age_ms: num(asked.elapsed().as_millis() / 2) })
            }
            .boxed()
        })
        .await
    }

    pub(super) async fn view(&self) -> Result<ClusterView> {
        self.run("reading the other nodes", |conn| view(conn).boxed()).await
    }
}
