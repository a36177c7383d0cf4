//! Moves what is in the WAL into the main file, on a thread of its own, so that nobody waits for it.
//!
//! A checkpoint copies pages and waits twice for the disk. Made by the writer between two groups, it was what
//! the slowest of a hundred posts had waited for. Made beside the writer it never gets to the end of a WAL
//! that goes on growing, and a WAL starts over only when all of it has been moved. So the long part is done
//! here, and then the writer moves the little that came meanwhile ([`Checkpointer::after_commit`]).
//! Only when much has come during one pass does the writer wait for it, so that the WAL cannot grow without
//! limit.
//!
//! One that fails costs only disk space, and the next one makes up for it; unless the disk itself has failed.

use std::path::Path;
use std::sync::mpsc::{self, Receiver, SyncSender, TryRecvError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use tokio_util::sync::CancellationToken;

use crate::store::sqlite::engine::error;
use crate::store::sqlite::engine::error::ErrorClass;
use crate::store::sqlite::engine::pool;
use crate::store::{Result, StoreError};

/// Pages in the WAL from which a checkpoint is worth its cost, and by which it must have grown before
/// another is tried (a reader may have held the last one up).
const WORTH_PAGES: i32 = 1_000;
/// Pages that may be added during a pass. Where the disk keeps up with that less well than with the writer,
/// the writer waits: what the WAL takes has a limit.
const BEHIND_PAGES: i32 = 4 * WORTH_PAGES;
/// How often the long part is done again, because as much as is worth a checkpoint has come meanwhile.
const PASSES_MAX: u8 = 3;

/// What a checkpoint met; `None`: nothing.
pub(crate) type Trouble = Option<ErrorClass>;

/// What the writer knows of checkpoints.
pub(crate) struct Checkpointer {
    /// Asks for a pass; `None` when no more are to come.
    ask: Option<SyncSender<()>>,
    /// Says how each pass ended.
    ended: Receiver<Trouble>,
    thread: Option<JoinHandle<()>>,
    is_running: bool,
    /// Passes since the WAL was last moved as a whole.
    passes: u8,
    /// Pages in the WAL when a checkpoint was last begun.
    begun_at: i32,
}

impl Checkpointer {
    /// Starts the thread with a connection of its own. It cancels `broken` when the disk has failed.
    pub(crate) fn start(
        path: &Path,
        busy_timeout: Duration,
        broken: CancellationToken,
    ) -> Result<Checkpointer> {
        let conn = pool::checkpointer(path, busy_timeout)?;
        let (ask, asked) = mpsc::sync_channel(1);
        let (end, ended) = mpsc::sync_channel(1);
        let run = move || {
            while asked.recv().is_ok() {
                let trouble = checkpoint(&conn, "PASSIVE");
                if trouble == Some(ErrorClass::Broken) {
                    broken.cancel();
                }
                if end.send(trouble).is_err() {
                    break;
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("store-checkpoint".to_owned())
            .spawn(run)
            .map_err(|e| StoreError::Failed { doing: "starting the checkpoints", source: Box::new(e) })?;
        let (ask, thread) = (Some(ask), Some(thread));
        Ok(Checkpointer { ask, ended, thread, is_running: false, passes: 0, begun_at: 0 })
    }

    /// For the writer, after each commit: `pages` are in the WAL now, and `conn` is its connection.
    pub(crate) fn after_commit(&mut self, conn: &Connection, pages: i32) -> Trouble {
        let trouble = self.check();
        if trouble.is_some() {
            return trouble;
        }
        if self.is_running {
            if pages.saturating_sub(self.begun_at) < BEHIND_PAGES {
                return None;
            }
            (self.passes, self.begun_at) = (0, pages);
            return self.at_once(conn);
        }
        // Fewer pages than at the last try: the WAL has started over since.
        let grown = if pages < self.begun_at { pages } else { pages - self.begun_at };
        let is_worth_it = pages >= WORTH_PAGES && grown >= WORTH_PAGES;
        if is_worth_it && self.passes < PASSES_MAX {
            self.begin(pages);
        } else if self.passes > 0 {
            (self.passes, self.begun_at) = (0, pages);
            return checkpoint(conn, "PASSIVE");
        }
        None
    }

    /// Asks for a pass, whatever is in the WAL, unless one is running.
    pub(crate) fn begin(&mut self, pages: i32) {
        let Some(ask) = &self.ask else { return };
        if !self.is_running && ask.try_send(()).is_ok() {
            self.is_running = true;
            self.passes += 1;
            self.begun_at = pages;
        }
    }

    /// Moves everything now, in the writer's own time.
    pub(crate) fn at_once(&mut self, conn: &Connection) -> Trouble {
        self.wait().or_else(|| checkpoint(conn, "PASSIVE"))
    }

    /// Whether the disk failed in a pass that has ended.
    pub(crate) fn check(&mut self) -> Trouble {
        if !self.is_running {
            return None;
        }
        match self.ended.try_recv() {
            Ok(trouble) => {
                self.is_running = false;
                trouble
            }
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => {
                self.is_running = false;
                None
            }
        }
    }

    fn wait(&mut self) -> Trouble {
        if !std::mem::take(&mut self.is_running) {
            return None;
        }
        self.ended.recv().ok().flatten()
    }

    /// Waits for the running pass, and ends the thread.
    pub(crate) fn stop(&mut self) -> Trouble {
        let trouble = self.wait();
        drop(self.ask.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the checkpoints ended by a panic");
        }
        trouble
    }
}

/// Moves what can be moved.
pub(crate) fn checkpoint(conn: &Connection, mode: &str) -> Trouble {
    let done = conn.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()));
    let error = done.err()?;
    tracing::warn!(%error, "a checkpoint of the database failed");
    Some(error::classify(&error))
}
