//! The open database: the writer's inbox, the readers, and how work reaches either. The rooms above implement
//! the storage traits on it.
//!
//! All work with connections is on a small runtime of its own: whatever the callers' runtime does, a transaction goes
//! on, and a caller that goes away leaves nothing half done.

use std::any::Any;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deadpool_postgres::Pool;
use futures_util::future::{BoxFuture, try_join};
use futures_util::{FutureExt as _, TryFutureExt as _};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::domain::Timestamp;
use crate::store::postgres::engine::command::{self, Asked, Tx};
use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::connect::Connector;
use crate::store::postgres::engine::error::{self, DbResult};
use crate::store::postgres::engine::link::NodeLink;
use crate::store::postgres::engine::listen::Voice;
use crate::store::postgres::engine::own::OwnNode;
use crate::store::postgres::engine::partitions::Partitions;
use crate::store::postgres::engine::writer::{self, Message, WriterParts};
use crate::store::shared::fan_outs::FanOuts;
use crate::store::shared::filter_snapshots::{Snapshots, Turns};
use crate::store::shared::fresh::Fresh;
use crate::store::{Result, StoreError, StoreMeters};

/// How storage is run.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// The time; what the first opening makes is dated by it.
    pub(crate) now: Timestamp,
    /// Commands that may wait for the writer before more are refused.
    pub(crate) queue: usize,
    /// Bytes of events that may wait for the writer before more are refused.
    pub(crate) queue_bytes: usize,
    /// The most commands in one commit.
    pub(crate) group: usize,
    /// Where notifications are listened for; `None`: where everything else is.
    pub(crate) listen_url: Option<String>,
    /// The most reads at a time. The writer has a connection besides.
    pub(crate) readers: usize,
    /// Whether this is a server, which is told when there may be too few connections.
    pub(crate) is_server: bool,
    /// Whether a database that is half filled may be opened: by what fills it.
    pub(crate) may_be_half: bool,
}

impl Options {
    /// What fits one server.
    pub(crate) fn new(now: Timestamp) -> Options {
        Options {
            now,
            queue: 4_096,
            queue_bytes: 64 << 20,
            group: 512,
            listen_url: None,
            readers: 19,
            is_server: true,
            may_be_half: false,
        }
    }
}

/// How long closing takes at most.
const CLOSED_WITHIN: Duration = Duration::from_secs(10);
/// The threads of a store.
const THREADS: usize = 2;

/// What a read gives. One type for all of them, or each would be compiled with a task of its own.
type Found = Box<dyn Any + Send>;
type Work = Box<dyn for<'a> FnOnce(&'a Conn) -> BoxFuture<'a, DbResult<Found>> + Send>;

/// Storage in a PostgreSQL database.
pub(crate) struct PostgresStore {
    inbox: mpsc::Sender<Message>,
    writer: Mutex<Option<JoinHandle<()>>>,
    runtime: Mutex<Option<Runtime>>,
    threads: Handle,
    pool: Pool,
    /// As many permits as there are readers.
    permits: Arc<Semaphore>,
    readers: u32,
    waiting_bytes: Arc<AtomicUsize>,
    queue_bytes: usize,
    meters: Arc<StoreMeters>,
    pub(crate) partitions: Partitions,
    pub(crate) fresh: Arc<Fresh>,
    /// The filters of endpoints, for who accepts events.
    pub(crate) filters: Snapshots,
    pub(crate) filter_turns: Turns,
    pub(crate) fan_outs: Arc<FanOuts>,
    /// Told when something was counted.
    pub(crate) counted: Arc<Notify>,
    /// For leases.
    pub(crate) link: NodeLink,
    /// Where notifications are listened for, and the connection that does.
    pub(crate) listener: Connector,
    pub(crate) voice: Voice,
    /// This opening of the store, among all nodes'.
    pub(crate) node: i64,
    /// Cancelled when the store is closed or dropped.
    pub(crate) stopped: CancellationToken,
    _stop: DropGuard,
}

/// A number that no other opening of the store has.
fn random() -> i64 {
    let (high, low) = Uuid::new_v4().as_u64_pair();
    (high ^ low) as i64 | 1
}

/// A runtime for one store.
pub(in crate::store::postgres) fn runtime() -> Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("store")
        .enable_all()
        .build()
        .map_err(|e| StoreError::Failed { doing: "starting the threads of storage", source: Box::new(e) })
}

impl PostgresStore {
    /// Starts the writer, on this connection, and the readers on a database that is up to date.
    pub(in crate::store::postgres) fn start(
        runtime: Runtime,
        (connector, listener): (Connector, Connector),
        conn: Conn,
        options: &Options,
        meters: Arc<StoreMeters>,
        partitions: Partitions,
    ) -> Result<Arc<PostgresStore>> {
        let pool = connector.pool(options.readers)?;
        let (inbox, messages) = mpsc::channel(options.queue.max(1));
        let (fresh, fan_outs): (Arc<Fresh>, Arc<FanOuts>) = Default::default();
        let counted = Arc::new(Notify::new());
        let (stopped, node) = (CancellationToken::new(), random());
        let (own, threads) = (OwnNode::default(), runtime.handle().clone());
        let link = NodeLink::new(connector.clone(), threads.clone(), own.clone());
        let parts = WriterParts {
            group_max: options.group.max(1),
            node,
            meters: meters.clone(),
            connector,
            partitions: partitions.clone(),
            fresh: fresh.clone(),
            fan_outs: fan_outs.clone(),
            counted: counted.clone(),
            own: own.clone(),
        };
        let writer = threads.spawn(writer::run(messages, parts, conn));
        Ok(Arc::new(PostgresStore {
            inbox,
            writer: Mutex::new(Some(writer)),
            runtime: Mutex::new(Some(runtime)),
            threads,
            pool,
            permits: Arc::new(Semaphore::new(options.readers)),
            readers: u32::try_from(options.readers).unwrap_or(u32::MAX),
            waiting_bytes: Arc::default(),
            queue_bytes: options.queue_bytes,
            meters,
            partitions,
            fresh,
            filters: Snapshots::default(),
            filter_turns: Turns::default(),
            fan_outs,
            counted,
            link,
            listener,
            voice: Voice::default(),
            node,
            _stop: stopped.clone().drop_guard(),
            stopped,
        }))
    }

    /// What it counts of itself.
    pub(crate) fn meters(&self) -> Arc<StoreMeters> {
        self.meters.clone()
    }

    /// Tells whether others wait for the writer, without keeping it alive.
    pub(crate) fn contended(&self) -> mpsc::WeakSender<Message> {
        self.inbox.downgrade()
    }

    /// The threads of the store, for its own tasks.
    pub(crate) fn threads(&self) -> &Handle {
        &self.threads
    }

    /// Writes what is waiting and closes; a database that does not answer is not waited for. Calls that come later get
    /// [`StoreError::Closed`]; closing twice does nothing.
    pub(crate) async fn close(&self) {
        self.stopped.cancel();
        // By the clock of the store's own threads.
        let mut limit = self.threads.spawn(tokio::time::sleep(CLOSED_WITHIN));
        tokio::select! {
            biased;
            () = self.finish() => {}
            _ = &mut limit => tracing::warn!("the database does not answer; closing without it"),
        }
        // A timer that is polled while its threads end would panic.
        limit.abort();
        self.pool.close();
        self.shut();
    }

    /// Waits for reads and for what is waiting to be written.
    async fn finish(&self) {
        // Once every permit is here, no read is running.
        if let Ok(all) = self.permits.acquire_many(self.readers).await {
            self.permits.close();
            all.forget();
        }
        let _ = self.inbox.send(Message::Close).await;
        let writer = lock(&self.writer).take();
        if let Some(writer) = writer {
            let _ = writer.await;
        }
    }

    fn shut(&self) {
        if let Some(runtime) = lock(&self.runtime).take() {
            // Not by dropping it, which would wait, and where this is called nobody may.
            runtime.shutdown_background();
        }
    }

    /// Reads in a snapshot of its own: all statements see the same state.
    pub(crate) async fn read<T, F>(&self, doing: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a Conn) -> BoxFuture<'a, DbResult<T>> + Send + 'static,
    {
        self.on_reader(doing, true, work).await
    }

    /// Without a transaction around them, each statement is one of its own: a round trip less for a read by one
    /// statement.
    pub(crate) async fn query<T, F>(&self, doing: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a Conn) -> BoxFuture<'a, DbResult<T>> + Send + 'static,
    {
        self.on_reader(doing, false, work).await
    }

    async fn on_reader<T, F>(&self, doing: &'static str, in_snapshot: bool, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a Conn) -> BoxFuture<'a, DbResult<T>> + Send + 'static,
    {
        let work: Work = Box::new(move |conn| work(conn).map_ok(|found| Box::new(found) as Found).boxed());
        let found = self.read_any(doing, in_snapshot, work).await?;
        Ok(*found.downcast().expect("this type was put in"))
    }

    async fn read_any(&self, doing: &'static str, in_snapshot: bool, work: Work) -> Result<Found> {
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let (reply, answer) = oneshot::channel();
        let pool = self.pool.clone();
        self.threads.spawn(async move {
            // Goes with the work, which goes on when nobody waits for it any more.
            let _permit = permit;
            let conn = match pool.get().await {
                Ok(conn) => conn,
                Err(e) => {
                    let _ = reply.send(Err(error::not_connected(&e.into())));
                    return;
                }
            };
            if !in_snapshot {
                let _ = reply.send(work(&conn).await);
                return;
            }
            // Sent together with the first statement.
            let begin = conn.script("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
            let read = try_join(begin, work(&conn)).await.map(|((), found)| found);
            let _ = reply.send(read);
            if conn.script("COMMIT").await.is_err() {
                // It is not given to anyone else.
                drop(deadpool_postgres::Object::take(conn));
            }
        });
        match answer.await {
            Ok(result) => result.map_err(|e| error::of(doing, e)),
            Err(_) if self.stopped.is_cancelled() => Err(StoreError::Closed),
            Err(e) => Err(StoreError::Failed { doing, source: Box::new(e) }),
        }
    }

    /// Writes for someone who can come back later: [`StoreError::Overloaded`] when too much is waiting.
    pub(crate) async fn write<T, F>(&self, doing: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a mut Tx) -> BoxFuture<'a, DbResult<T>> + Send + 'static,
    {
        self.ask(command::command(doing, work)).await
    }

    /// Writes what must not be lost: waits until there is room.
    pub(crate) async fn write_patiently<T, F>(&self, doing: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a mut Tx) -> BoxFuture<'a, DbResult<T>> + Send + 'static,
    {
        self.ask_patiently(command::command(doing, work)).await
    }

    /// Gives a command to the writer, if there is room.
    pub(crate) async fn ask<T>(&self, (command, answer): Asked<T>) -> Result<T> {
        self.inbox.try_send(Message::Run(command)).map_err(|e| match e {
            TrySendError::Full(_) => StoreError::Overloaded,
            TrySendError::Closed(_) => StoreError::Closed,
        })?;
        answered(answer).await
    }

    /// Gives a command to the writer as soon as there is room.
    pub(crate) async fn ask_patiently<T>(&self, (command, answer): Asked<T>) -> Result<T> {
        self.inbox.send(Message::Run(command)).await.map_err(|_| StoreError::Closed)?;
        answered(answer).await
    }

    /// Reserves room for so many bytes that will wait for the writer.
    pub(crate) fn reserve(&self, bytes: usize) -> Result<Reserved> {
        let before = self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let reserved = Reserved { bytes, of: self.waiting_bytes.clone() };
        // One that is larger than the whole limit still passes when it is alone.
        if before > 0 && before + bytes > self.queue_bytes {
            Err(StoreError::Overloaded)
        } else {
            Ok(reserved)
        }
    }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        self.shut();
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // There is nothing in it that a panic could leave half done.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for the answer of the writer.
pub(crate) async fn answered<T>(answer: oneshot::Receiver<Result<T>>) -> Result<T> {
    // The writer answers everything it has taken; without an answer it had ended before.
    answer.await.unwrap_or(Err(StoreError::Closed))
}

/// Bytes that wait for the writer, for as long as this lives.
pub(crate) struct Reserved {
    bytes: usize,
    of: Arc<AtomicUsize>,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.of.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
