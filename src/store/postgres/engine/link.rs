//! A connection for leases alone, so that no other work delays a renewal. What takes too long is given up, by the
//! server as well: nothing is done later that nobody waits for any more.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, try_join};
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::connect::Connector;
use crate::store::postgres::engine::error::{self, DbError, DbResult};
use crate::store::postgres::engine::own::OwnNode;
use crate::store::{Result, StoreError};

/// How long a call may take, a new connection included.
const WITHIN: Duration = Duration::from_secs(2);

/// A statement ends before the call that waits for it, and a lock is not waited for as long. This holds for the
/// transaction and not for the session, which a pooler may lend to others.
const BEGIN: &str = "BEGIN; SET LOCAL statement_timeout = '1500ms'; SET LOCAL lock_timeout = '750ms'; \
     SET LOCAL idle_in_transaction_session_timeout = '1500ms'";
const SESSION: &str = "SET idle_session_timeout = 0; SET tcp_keepalives_idle = 5; \
     SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3";

/// Reaches the database for leases.
#[derive(Clone)]
pub(crate) struct NodeLink {
    conn: Arc<Mutex<Option<Conn>>>,
    connector: Connector,
    threads: Handle,
    pub(crate) own: OwnNode,
}

impl NodeLink {
    /// Connects when it is first used. `threads`: those of the store.
    pub(crate) fn new(connector: Connector, threads: Handle, own: OwnNode) -> NodeLink {
        NodeLink { conn: Arc::default(), connector, threads, own }
    }

    /// Runs statements in a transaction. After an error the connection is not used again.
    pub(crate) async fn run<T, F>(&self, doing: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a Conn) -> BoxFuture<'a, DbResult<T>> + Send + 'static,
    {
        self.run_if(doing, |_| true, work).await
    }

    /// The same; what was done is undone unless it `is_wanted`.
    pub(crate) async fn run_if<T, F>(
        &self,
        doing: &'static str,
        is_wanted: fn(&T) -> bool,
        work: F,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a Conn) -> BoxFuture<'a, DbResult<T>> + Send + 'static,
    {
        let (slot, connector) = (self.conn.clone(), self.connector.clone());
        let running = self.threads.spawn(async move {
            let mut slot = slot.lock_owned().await;
            let known = slot.take().filter(|conn| !conn.is_closed());
            let call = async {
                let conn = match known {
                    Some(conn) => conn,
                    None => open(&connector).await?,
                };
                // Sent together with the first statement.
                let ((), done) = try_join(conn.script(BEGIN), work(&conn)).await?;
                conn.script(if is_wanted(&done) { "COMMIT" } else { "ROLLBACK" }).await?;
                Ok::<_, DbError>((conn, done))
            };
            let (conn, done) = match tokio::time::timeout(WITHIN, call).await {
                Ok(answer) => answer?,
                Err(_) => return Err(DbError::NoConnection("no answer in time".to_owned())),
            };
            *slot = Some(conn);
            Ok(done)
        });
        match running.await {
            Ok(answer) => answer.map_err(|e| error::of(doing, e)),
            // The threads have ended.
            Err(e) if e.is_cancelled() => Err(StoreError::Closed),
            Err(e) => Err(StoreError::Failed { doing, source: Box::new(e) }),
        }
    }
}

async fn open(connector: &Connector) -> DbResult<Conn> {
    let conn = connector.connect().await?;
    conn.script(SESSION).await?;
    Ok(conn)
}
