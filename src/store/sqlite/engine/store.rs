//! The open database: the writer's inbox, the readers, and how work reaches either. The rooms above implement
//! the storage traits on it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::Connection;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::domain::Timestamp;
use crate::store::shared::fan_outs::FanOuts;
use crate::store::shared::filter_snapshots::{Snapshots, Turns};
use crate::store::shared::fresh;
use crate::store::sqlite::engine::command::{Asked, Tx};
use crate::store::sqlite::engine::writer::Message;
use crate::store::sqlite::engine::{
    answers, cache, checkpointer, command, epochs, error, pool, readers, reserve, writer,
};
use crate::store::{Backend, Result, StorageSize, StoreError, StoreMeters};

/// How storage is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The time; what the first opening makes is dated by it.
    pub now: Timestamp,
    /// Commands that may wait for the writer before more are refused.
    pub queue: usize,
    /// Bytes of events that may wait for the writer before more are refused.
    pub queue_bytes: usize,
    /// The most commands in one commit.
    pub group: usize,
    /// The most reads at a time.
    pub readers: u32,
    /// How long another process's lock is waited for.
    pub busy_timeout: Duration,
    /// Bytes that are set aside on the disk, so that something can be removed when it is full.
    pub reserve_bytes: usize,
    /// Whether a database that is half filled may be opened: by what fills it.
    pub may_be_half: bool,
}

impl Options {
    /// What fits one server.
    pub fn new(now: Timestamp) -> Options {
        Options {
            now,
            queue: 4_096,
            queue_bytes: 64 << 20,
            group: 512,
            readers: 4,
            busy_timeout: Duration::from_secs(10),
            reserve_bytes: 0,
            may_be_half: false,
        }
    }
}

/// Storage in a SQLite file.
pub struct SqliteStore {
    path: PathBuf,
    pub(crate) inbox: mpsc::Sender<Message>,
    writer: Mutex<Option<JoinHandle<()>>>,
    readers: readers::Readers,
    /// For [`SqliteStore::read_at_once`].
    at_hand: Mutex<Option<Connection>>,
    pub(crate) waiting_bytes: Arc<AtomicUsize>,
    queue_bytes: usize,
    meters: Arc<StoreMeters>,
    pub(crate) fresh: Arc<fresh::Fresh>,
    /// The filters of endpoints, for who accepts events.
    pub(crate) filters: Snapshots,
    pub(crate) filter_turns: Turns,
    pub(crate) fan_outs: Arc<FanOuts>,
    /// Cancelled when the store is closed or dropped.
    pub(crate) stopped: CancellationToken,
    _stop: DropGuard,
    pub(crate) epochs: Arc<epochs::ShardEpochs>,
    broken: CancellationToken,
}

impl SqliteStore {
    /// Starts the writer and the readers on a file that is up to date. `conn` becomes the writer's.
    pub(in crate::store::sqlite) fn start(
        conn: Connection,
        path: &Path,
        options: &Options,
        meters: Arc<StoreMeters>,
    ) -> Result<Arc<SqliteStore>> {
        let readers = readers::Readers::new(path, options.readers, options.busy_timeout)?;
        let at_hand = pool::reader(path, options.busy_timeout)?;
        let (inbox, messages) = mpsc::channel(options.queue.max(1));
        let broken = CancellationToken::new();
        let checkpointer = checkpointer::Checkpointer::start(path, options.busy_timeout, broken.clone())?;
        let fresh = Arc::new(fresh::Fresh::default());
        let fan_outs = Arc::new(FanOuts::default());
        let stopped = CancellationToken::new();
        let parts = writer::WriterParts {
            group_max: options.group.max(1),
            meters: meters.clone(),
            cache: cache::Cache::new(fresh.clone(), fan_outs.clone()),
            checkpointer,
            reserve: reserve::Reserve::beside(path, options.reserve_bytes),
            broken: broken.clone(),
            answers: answers::Answers::on(tokio::runtime::Handle::try_current().ok()),
        };
        let writer = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer::run(conn, messages, parts))
            .map_err(|e| StoreError::Failed { doing: "starting the writer", source: Box::new(e) })?;
        Ok(Arc::new(SqliteStore {
            path: path.to_owned(),
            inbox,
            writer: Mutex::new(Some(writer)),
            readers,
            at_hand: Mutex::new(Some(at_hand)),
            waiting_bytes: Arc::default(),
            queue_bytes: options.queue_bytes,
            meters,
            fresh,
            filters: Snapshots::default(),
            filter_turns: Turns::default(),
            fan_outs,
            _stop: stopped.clone().drop_guard(),
            stopped,
            epochs: Arc::default(),
            broken,
        }))
    }

    /// Waits until the disk fails: an fsync did not succeed. Nothing is written from then on, and only a new
    /// start knows what is on the disk.
    pub async fn broken(&self) {
        self.broken.cancelled().await;
    }

    /// What it counts of itself.
    pub fn meters(&self) -> Arc<StoreMeters> {
        self.meters.clone()
    }

    /// Writes what is waiting, moves everything into the main file and closes it. Calls that come
    /// later get [`StoreError::Closed`]; closing twice does nothing.
    pub async fn close(&self) {
        self.stopped.cancel();
        self.readers.close().await;
        drop(self.lock_at_hand().take());
        let _ = self.inbox.send(Message::Close).await;
        let writer = self.writer.lock().expect("no panic happens while this lock is held").take();
        if let Some(writer) = writer {
            let _ = tokio::task::spawn_blocking(move || writer.join()).await;
        }
    }

    /// Reads in a snapshot of its own.
    pub(crate) async fn read<T, F>(&self, doing: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.readers.read(doing, work).await
    }

    /// Reads on the caller's own thread, by one statement. It is for what every request asks for and what
    /// is always in memory, such as a key: that takes 10 µs, and the way to a thread that reads and back
    /// takes several times as much.
    pub(crate) fn read_at_once<T, F>(&self, doing: &'static str, work: F) -> Result<T>
    where
        F: FnOnce(&Connection) -> rusqlite::Result<T>,
    {
        let conn = self.lock_at_hand();
        work(conn.as_ref().ok_or(StoreError::Closed)?).map_err(|e| error::of(doing, e))
    }

    fn lock_at_hand(&self) -> MutexGuard<'_, Option<Connection>> {
        // A statement that a panic leaves behind is reset when it is used next.
        self.at_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes for someone who can come back later: [`StoreError::Overloaded`] when too much is waiting.
    pub(crate) async fn write<T, F>(&self, doing: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        self.ask(command::command(doing, work)).await
    }

    /// Writes what must not be lost: waits until there is room.
    pub(crate) async fn write_patiently<T, F>(&self, doing: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        self.ask_patiently(command::command(doing, work)).await
    }

    /// Writes what makes space. When there is none, what was set aside is given up by the first try.
    pub(crate) async fn write_freeing<T, F>(&self, doing: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> rusqlite::Result<T> + Clone + Send + 'static,
    {
        match self.ask_patiently(command::freeing(doing, work.clone())).await {
            Err(StoreError::Full) => self.ask_patiently(command::freeing(doing, work)).await,
            other => other,
        }
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

#[async_trait]
impl Backend for SqliteStore {
    fn meters(&self) -> Arc<StoreMeters> {
        SqliteStore::meters(self)
    }

    async fn size(&self) -> Result<StorageSize> {
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || size_of(&path)).await;
        let doing = "reading the size of the database";
        let failed = |source| StoreError::Failed { doing, source };
        read.map_err(|e| failed(Box::new(e) as _))?.map_err(|e| failed(Box::new(e)))
    }

    async fn broken(&self) {
        SqliteStore::broken(self).await;
    }

    async fn close(&self) {
        SqliteStore::close(self).await;
    }
}

/// The database file and its write-ahead log, which may not be there.
fn size_of(database: &Path) -> std::io::Result<StorageSize> {
    let mut wal = database.as_os_str().to_owned();
    wal.push("-wal");
    let wal_bytes = match std::fs::metadata(wal) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
        found => found?.len(),
    };
    Ok(StorageSize { bytes: std::fs::metadata(database)?.len() + wal_bytes, wal_bytes })
}
