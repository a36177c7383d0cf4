//! Opening a database: the schema, the first app, the partitions of the next days, and then the store.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::domain::Timestamp;
use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::connect::Connector;
use crate::store::postgres::engine::error::{self, DbResult};
use crate::store::postgres::engine::folding;
use crate::store::postgres::engine::in_use;
use crate::store::postgres::engine::migrations;
use crate::store::postgres::engine::partitions::{Parent, Partitions};
use crate::store::postgres::engine::rows::Columns as _;
use crate::store::postgres::engine::store::{Options, PostgresStore, runtime};
use crate::store::postgres::people::apps;
use crate::store::postgres::queue::{fan_outs, others};
use crate::store::postgres::upkeep::transfer;
use crate::store::{Result, StoreError, StoreMeters};

/// How many days of partitions are made before the store is used, and how many in all, which in a new database are
/// made before. Should one be missing, who needs it makes it.
const DAYS_AT_ONCE: i64 = 1;
const DAYS_AHEAD: i64 = 7;
/// How often it is looked whether partitions are missing.
const AHEAD_EVERY: Duration = Duration::from_secs(3_600);

impl PostgresStore {
    /// Opens the database that a URL leads to, and brings its schema up to date. Blocks until that is done; a server
    /// that cannot be reached is waited for.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when something must be changed first, [`StoreError::Unreachable`],
    /// [`StoreError::Newer`] when a newer program has changed the schema; else what the server says.
    pub(in crate::store) fn open(url: &str, options: Options) -> Result<Arc<PostgresStore>> {
        let connector = Connector::of_url("storage.url", url)?;
        let listener = match &options.listen_url {
            Some(url) => Connector::of_url("storage.listen_url", url)?,
            None => connector.clone(),
        };
        let runtime = runtime()?;
        let (done, prepared) = std::sync::mpsc::channel();
        let (of_runtime, wanted) = (connector.clone(), options.clone());
        let apart = (options.is_server && options.listen_url.is_some()).then(|| listener.clone());
        runtime.spawn(async move {
            let _ = done.send(prepare(&of_runtime, apart.as_ref(), &wanted).await);
        });
        // The caller may be on a runtime, where nobody may block on another one.
        let prepared = prepared.recv().unwrap_or(Err(StoreError::Closed));
        let Prepared { conn, partitions, depth } = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                runtime.shutdown_background();
                return Err(error);
            }
        };
        let meters = Arc::new(StoreMeters::default());
        meters.queue_depth.set(depth);
        let store = PostgresStore::start(
            runtime,
            (connector.clone(), listener),
            conn,
            &options,
            meters,
            partitions.clone(),
        )?;
        let ahead = keep_ahead(connector, partitions, options.now, store.stopped.clone());
        store.threads().spawn(ahead);
        fan_outs::start(&store);
        others::start(&store);
        folding::start(&store);
        // What a node that is gone has counted may be there still.
        store.counted.notify_one();
        Ok(store)
    }
}

/// What is known of a database that is up to date.
struct Prepared {
    /// For the writer.
    conn: Conn,
    partitions: Partitions,
    /// Pending attempts.
    depth: i64,
}

/// `listener`: where that is another URL.
async fn prepare(connector: &Connector, listener: Option<&Connector>, options: &Options) -> Result<Prepared> {
    let now = options.now;
    let (mut conn, lock) = connector.connect_first(options.readers + 1).await?;
    if let Some(listener) = listener {
        listener.try_once().await?;
    }
    migrations::run(&mut conn, &lock).await?;
    drop(lock);
    if !options.may_be_half {
        transfer::refuse_half(&conn).await?;
        transfer::refuse_moving(&conn).await?;
    }
    if options.is_server {
        let warned = in_use::warn_of_connections(&conn, options.readers + 1).await;
        warned.map_err(|e| error::of("counting the nodes", e))?;
    }
    apps::make_default(&conn, now).await.map_err(|e| error::of("creating the first app", e))?;
    let partitions = Partitions::default();
    let ready = async {
        partitions.refresh(&conn).await?;
        let days = if partitions.of(Parent::Log).is_empty() { DAYS_AHEAD } else { DAYS_AT_ONCE };
        partitions.keep_ahead(&conn, now, days).await
    };
    ready.await.map_err(|e| error::of("making partitions", e))?;
    let depth = depth(&conn).await.map_err(|e| error::of("counting pending attempts", e))?;
    Ok(Prepared { conn, partitions, depth })
}

async fn depth(conn: &Conn) -> DbResult<i64> {
    conn.row("SELECT count(*) AS count FROM queue", &[]).await?.num("count")
}

/// Makes partitions for the days to come, for as long as the store is open.
async fn keep_ahead(
    connector: Connector,
    partitions: Partitions,
    opened_at: Timestamp,
    stopped: CancellationToken,
) {
    let begun = tokio::time::Instant::now();
    loop {
        let now = opened_at.plus_ms(i64::try_from(begun.elapsed().as_millis()).unwrap_or_default());
        let made = async {
            let conn = connector.connect().await?;
            partitions.keep_ahead(&conn, now, DAYS_AHEAD).await
        };
        tokio::select! {
            () = stopped.cancelled() => return,
            made = made => if let Err(error) = made {
                tracing::warn!(%error, "partitions for the days to come could not be made");
            },
        }
        if tokio::time::timeout(AHEAD_EVERY, stopped.cancelled()).await.is_ok() {
            return;
        }
    }
}
