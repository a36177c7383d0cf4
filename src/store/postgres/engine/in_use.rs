//! Whether servers use the database: for what may be done only while none does.

use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::connect::{LEASE_CONNECTIONS, connections_allowed};
use crate::store::postgres::engine::error::{DbError, DbResult};
use crate::store::postgres::engine::migrations::FOR_LONG;
use crate::store::postgres::engine::rows::Columns as _;

/// The lock of `migrate-storage`, for as long as its connection lasts.
const MOVING: i64 = 0x706f_7374_7269_6403;

/// Servers that are just registering share the lock.
const HELD: &str = "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted \
     AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND mode = 'ExclusiveLock' \
     AND (classid::bigint << 32 | objid::bigint) = $1 AND pid <> pg_backend_pid()) AS is_held";
/// Why a server does not come while one is going on.
pub(crate) const BY_COMMAND: &str = "a postrider command changes the whole database: wait for its end";
/// A node that has renewed its lease, by the database's clock.
const NODE: &str = "SELECT name FROM nodes \
     WHERE renewed_at + lease_ms > (extract(epoch FROM clock_timestamp()) * 1000)::bigint ORDER BY id LIMIT 1";

/// The server that uses the database, in words; `None`: there is none. The only place that decides this.
pub(crate) async fn by_server(conn: &Conn) -> DbResult<Option<String>> {
    let found = conn.row_opt(NODE, &[]).await?;
    found.map(|row| Ok(format!("the node {}", row.col::<String>("name")?))).transpose()
}

/// How many connections the server allows, and how many other nodes there are.
const ROOM: &str = concat!(
    "SELECT ",
    connections_allowed!(),
    " AS room, (SELECT count(*) FROM nodes \
      WHERE renewed_at + lease_ms > (extract(epoch FROM clock_timestamp()) * 1000)::bigint) AS nodes"
);

/// Warns a server that comes to the others, where all of them may want more connections than there are.
pub(crate) async fn warn_of_connections(conn: &Conn, connections: usize) -> DbResult<()> {
    let row = conn.row(ROOM, &[]).await?;
    let (room, others): (i64, i64) = (row.num("room")?, row.num("nodes")?);
    let own = i64::try_from(connections).unwrap_or(i64::MAX).saturating_add(LEASE_CONNECTIONS);
    let wanted = own.saturating_mul(others + 1);
    if wanted > room {
        tracing::warn!(
            nodes = others + 1,
            wanted,
            allowed = room,
            "all nodes together may take more connections than the database allows; lower storage.connections, or \
             raise max_connections there"
        );
    }
    Ok(())
}

/// Keeps servers out for as long as the connection lasts, which is used for nothing else; `false`: another move does
/// already, or a server is just registering.
pub(crate) async fn keep_servers_out(guard: &Conn) -> DbResult<bool> {
    guard.script(FOR_LONG).await?;
    guard.row("SELECT pg_try_advisory_xact_lock($1) AS is_taken", &[&MOVING]).await?.col("is_taken")
}

/// Lets a server come, in the transaction in which it registers: until that ends no move begins. An error while one is
/// going on.
pub(crate) async fn let_server_in(conn: &Conn) -> DbResult<()> {
    let sql = "SELECT pg_try_advisory_xact_lock_shared($1) AS is_let_in";
    if conn.row(sql, &[&MOVING]).await?.col("is_let_in")? {
        Ok(())
    } else {
        Err(DbError::Refused(BY_COMMAND))
    }
}

/// Whether a move is going on.
pub(crate) async fn by_move(conn: &Conn) -> DbResult<bool> {
    conn.row(HELD, &[&MOVING]).await?.col("is_held")
}
