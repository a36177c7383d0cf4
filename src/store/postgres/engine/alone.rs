//! One server for a database: until nodes divide the work among themselves, the writer of a server holds a lock, and
//! writes nothing without it. Commands write beside it.
//!
//! The lock belongs to the session of the writer's connection and ends with it, however that ends.

use std::time::Duration;

use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::error::{self, DbError, DbResult};
use crate::store::postgres::engine::rows::Columns as _;
use crate::store::{Result, StoreError};

/// The lock of the server that writes.
const LOCK: i64 = 0x706f_7374_7269_6402;
/// How often the lock is tried, at the start and later: the database may notice the end of a session a moment late.
const TRIES_FIRST: u32 = 40;
const TRIES: u32 = 10;
const TRY_EVERY: Duration = Duration::from_millis(50);
/// How long the end waits for a database that does not answer.
const GIVE_BACK: Duration = Duration::from_secs(1);

/// The session is not ended because it is idle, and soon where the machine of its server is gone without a word.
const SESSION: &str = "SET idle_session_timeout = 0; SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; \
     SET tcp_keepalives_count = 3";

/// Takes the lock for as long as the session lasts.
///
/// # Errors
/// [`DbError::InUse`] when another session has it.
pub(crate) async fn take(conn: &Conn) -> DbResult<()> {
    take_within(conn, TRIES).await
}

async fn take_within(conn: &Conn, tries: u32) -> DbResult<()> {
    conn.script(SESSION).await?;
    for tried in 0..tries {
        if tried > 0 {
            tokio::time::sleep(TRY_EVERY).await;
        }
        if conn.row("SELECT pg_try_advisory_lock($1) AS is_taken", &[&LOCK]).await?.col("is_taken")? {
            return Ok(());
        }
    }
    Err(DbError::InUse)
}

/// The same at the start of a server.
pub(crate) async fn take_first(conn: &Conn) -> Result<()> {
    take_within(conn, TRIES_FIRST).await.map_err(|e| match e {
        DbError::InUse => StoreError::InUse { path: "the database".to_owned() },
        e => error::of("making sure that no other server uses the database", e),
    })
}

/// Gives the lock back, so that the next server has not to wait for the end of the session.
pub(crate) async fn give_back(conn: &Conn) {
    let given =
        tokio::time::timeout(GIVE_BACK, async { conn.rows("SELECT pg_advisory_unlock($1)", &[&LOCK]).await });
    if !matches!(given.await, Ok(Ok(_))) {
        tracing::debug!("the lock of the database ends with the connection");
    }
}
