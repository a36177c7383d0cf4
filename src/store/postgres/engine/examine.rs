//! A look at the database server, for `doctor`. Nothing is changed.

use std::future::poll_fn;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_postgres::{AsyncMessage, Client, Connection, NoTls};

use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::connect::{Connector, connections_allowed};
use crate::store::postgres::engine::error::{DbError, DbResult, cause_of};
use crate::store::postgres::engine::rows::Columns as _;
use crate::store::{ServerFacts, ServerTrouble};

/// How many commits, and readings of the clock, are timed.
const TIMED: usize = 5;
/// How long a notification may take.
const ECHO: Duration = Duration::from_secs(1);

const FACTS: &str = concat!(
    "SELECT current_setting('server_version_num')::int AS number, \
     current_setting('server_version') AS version, current_user::text AS name, ",
    connections_allowed!(),
    " AS room, \
     (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS used, \
     (SELECT reset_val FROM pg_settings WHERE name = 'synchronous_commit') AS durable, \
     coalesce(current_schema(), 'public')::text AS place, \
     coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS may_create, \
     pg_notification_queue_usage() AS notifications"
);
/// A commit that has something to make durable, and changes no table.
const COMMIT: &str = "SELECT pg_logical_emit_message(true, 'postrider.doctor', '')";
const CLOCK: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now";
const NODES: &str = "SELECT count(*) AS count FROM nodes \
     WHERE renewed_at + lease_ms > (extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// Looks at the server. `clock` says the time in milliseconds.
///
/// # Errors
/// A sentence when there is no connection.
pub(crate) async fn examine(
    url: &str,
    listen_url: &str,
    clock: fn() -> i64,
) -> Result<ServerFacts, ServerTrouble> {
    let connector =
        Connector::of_url("storage.url", url).map_err(|e| ServerTrouble { what: e.to_string() })?;
    let listener = Connector::of_url("storage.listen_url", listen_url)
        .map_err(|e| ServerTrouble { what: e.to_string() })?;
    let facts = async {
        let conn = connector.connect().await?;
        let _other = connector.connect_besides(&conn).await?;
        let row = conn.row(FACTS, &[]).await?;
        let has_schema: bool =
            conn.row("SELECT to_regclass('nodes') IS NOT NULL AS there", &[]).await?.col("there")?;
        let live_nodes = if has_schema { conn.row(NODES, &[]).await?.num("count")? } else { 0 };
        Ok::<_, DbError>(ServerFacts {
            version_number: i64::from(row.col::<i32>("number")?),
            version: row.col("version")?,
            user: row.col("name")?,
            schema: row.col("place")?,
            may_create: row.col("may_create")?,
            connections_allowed: row.num("room")?,
            connections_used: row.num("used")?,
            live_nodes,
            is_durable: row.col::<&str>("durable")? != "off",
            notification_queue: row.col("notifications")?,
            commit_ms: commit_ms(&conn).await?,
            clock_ahead_ms: clock_ahead_ms(&conn, clock).await?,
            echo_ms: echo_ms(&listener, &conn).await?,
        })
    };
    facts.await.map_err(|e| ServerTrouble { what: connector.refusal(&e).unwrap_or_else(|| cause_of(&e)) })
}

/// The median of some commits.
async fn commit_ms(conn: &Conn) -> DbResult<f64> {
    let mut took = Vec::with_capacity(TIMED);
    for _ in 0..TIMED {
        let begun = Instant::now();
        conn.script(COMMIT).await?;
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    Ok(took.get(TIMED / 2).copied().unwrap_or_default().as_secs_f64() * 1_000.0)
}

/// How far the database's clock is ahead of this one, by the quickest of some readings.
async fn clock_ahead_ms(conn: &Conn, clock: fn() -> i64) -> DbResult<i64> {
    let mut best: Option<(i64, i64)> = None;
    for _ in 0..TIMED {
        let before = clock();
        let there: i64 = conn.row(CLOCK, &[]).await?.num("now")?;
        let took = clock() - before;
        let ahead = there - before - took / 2;
        if best.is_none_or(|(least, _)| took < least) {
            best = Some((took, ahead));
        }
    }
    Ok(best.map_or(0, |(_, ahead)| ahead))
}

/// How long a notification takes; `None`: it does not arrive.
async fn echo_ms(listener: &Connector, conn: &Conn) -> DbResult<Option<f64>> {
    let (client, mut heard) = match listener.tls.clone() {
        Some(tls) => {
            let (client, connection) = listener.config.connect(tls).await?;
            (client, hear(connection))
        }
        None => {
            let (client, connection) = listener.config.connect(NoTls).await?;
            (client, hear(connection))
        }
    };
    echo(&client, &mut heard, conn).await
}

async fn echo(
    client: &Client,
    heard: &mut mpsc::UnboundedReceiver<()>,
    conn: &Conn,
) -> DbResult<Option<f64>> {
    client.batch_execute("LISTEN postrider_doctor").await?;
    let begun = Instant::now();
    conn.script("NOTIFY postrider_doctor").await?;
    let arrived = matches!(timeout(ECHO, heard.recv()).await, Ok(Some(())));
    Ok(arrived.then(|| begun.elapsed().as_secs_f64() * 1_000.0))
}

/// Drives a connection, and tells of each notification.
fn hear<S, T>(mut connection: Connection<S, T>) -> mpsc::UnboundedReceiver<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, heard) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
            if matches!(message, AsyncMessage::Notification(_)) && sender.send(()).is_err() {
                return;
            }
        }
    });
    heard
}
