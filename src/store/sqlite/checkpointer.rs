//! Moves what is in the WAL into the main file, on a thread of its own, so that nobody waits for it.
//!
//! A checkpoint copies pages and waits twice for the disk. Made by the writer between two groups, it was what
//! the slowest of a hundred posts had waited for. Made beside the writer it never gets to the end of a WAL
//! that goes on growing, and a WAL starts over only when all of it has been moved. So the long part is done
//! here, and then the writer moves the little that came meanwhile ([`Checkpointer::after_commit`]).
//!
//! One that fails costs only disk space, and the next one makes up for it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

use super::pool;
use crate::store::{Result, StoreError};

/// Pages in the WAL from which a checkpoint is worth its cost, and by which it must have grown before
/// another is tried (a reader may have held the last one up).
const WORTH_PAGES: i32 = 1_000;
/// How often the long part is done again, because as much as is worth a checkpoint has come meanwhile.
const PASSES_MAX: u8 = 3;

/// What the writer knows of checkpoints.
pub(super) struct Checkpointer {
    /// Asks for a pass. `None` when there is no thread: the writer does it all.
    ask: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    is_running: Arc<AtomicBool>,
    /// Passes since the WAL was last moved as a whole.
    passes: u8,
    /// Pages in the WAL when a checkpoint was last begun.
    begun_at: i32,
}

impl Checkpointer {
    /// Starts the thread with a connection of its own.
    pub(super) fn start(path: &Path, busy_timeout: Duration) -> Result<Checkpointer> {
        let conn = pool::checkpointer(path, busy_timeout)?;
        let (ask, asked) = mpsc::sync_channel(1);
        let is_running = Arc::new(AtomicBool::new(false));
        let running = is_running.clone();
        let thread = std::thread::Builder::new()
            .name("store-checkpoint".to_owned())
            .spawn(move || {
                while asked.recv().is_ok() {
                    checkpoint(&conn, "PASSIVE");
                    running.store(false, Ordering::Release);
                }
            })
            .map_err(|e| StoreError::Failed { doing: "starting the checkpoints", source: Box::new(e) })?;
        Ok(Checkpointer { ask: Some(ask), thread: Some(thread), is_running, passes: 0, begun_at: 0 })
    }

    /// For the writer, after each commit: `pages` are in the WAL now, and `conn` is its connection.
    pub(super) fn after_commit(&mut self, conn: &Connection, pages: i32) {
        if self.is_running.load(Ordering::Acquire) {
            return;
        }
        // Fewer pages than at the last try: the WAL has started over since.
        let grown = if pages < self.begun_at { pages } else { pages - self.begun_at };
        let is_worth_it = pages >= WORTH_PAGES && grown >= WORTH_PAGES;
        if is_worth_it && self.passes < PASSES_MAX {
            self.begin(pages);
        } else if self.passes > 0 {
            (self.passes, self.begun_at) = (0, pages);
            checkpoint(conn, "PASSIVE");
        }
    }

    /// Asks for a pass, whatever is in the WAL.
    pub(super) fn begin(&mut self, pages: i32) {
        let Some(ask) = &self.ask else { return };
        if !self.is_running.swap(true, Ordering::AcqRel) && ask.try_send(()).is_ok() {
            self.passes += 1;
            self.begun_at = pages;
        }
    }

    /// Waits for the pass that is under way, and ends the thread.
    pub(super) fn stop(&mut self) {
        drop(self.ask.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the checkpoints ended by a panic");
        }
    }
}

/// Moves what can be moved.
pub(super) fn checkpoint(conn: &Connection, mode: &str) {
    let done = conn.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()));
    if let Err(error) = done {
        tracing::warn!(%error, "a checkpoint of the database failed");
    }
}
