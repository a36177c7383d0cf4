//! The one thread that writes, with group commit.
//!
//! A commit costs an fsync, whatever is in it. So the writer takes all waiting commands, runs each in a
//! savepoint, commits once, and answers all of them after ([`crate::store::sqlite::engine::answers`]). A
//! command that fails undoes only its own savepoint; when the commit fails, the whole group fails. The writer
//! waits for no further commands, unless the last group was large. A transaction ends early when it has
//! changed [`LARGE`] rows, so that the rest can be answered sooner.
//!
//! For a savepoint SQLite copies every page before its first change. Events and results, which are nearly all
//! writes, can be run again; so neighbors of this kind share a savepoint. If one of them fails, which is
//! rare, all of them are undone and run again, each in its own. The first commands of a transaction need
//! none: undoing them is starting over.
//!
//! A full disk refuses only what needs more space. When something is to be removed then, the ballast file is
//! given up for it ([`crate::store::sqlite::engine::reserve`]).
//!
//! A failed fsync ends all writing. What the disk holds is unknown then, and a later fsync that succeeds says
//! nothing about the pages of the failed one; only a new start, which reads what is really there, knows more.
//!
//! Checkpoints never run inside a commit; nearly all of their work is done by another thread
//! ([`crate::store::sqlite::engine::checkpointer`]). Nothing but the disk and another process's lock may
//! block the writer.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::store::StoreMeters;
use crate::store::shared::counts::Counts;
use crate::store::sqlite::engine::answers::{Answers, answer};
use crate::store::sqlite::engine::cache::Cache;
use crate::store::sqlite::engine::checkpointer;
use crate::store::sqlite::engine::checkpointer::{Checkpointer, Trouble};
use crate::store::sqlite::engine::command::{Aborted, Command, CommitOutcome, Tx};
use crate::store::sqlite::engine::counts;
use crate::store::sqlite::engine::error;
use crate::store::sqlite::engine::error::{ErrorClass, fault};
use crate::store::sqlite::engine::reserve::Reserve;

/// What the writer is told.
pub(crate) enum Message {
    Run(Box<dyn Command>),
    /// Move what is in the WAL into the main file, when the group that this came with is written.
    Checkpoint,
    /// Finish what is waiting, take no more, and end.
    Close,
}

thread_local! {
    /// Pages in the WAL after this thread's last commit.
    static WAL_PAGES: Cell<i32> = const { Cell::new(0) };
}

/// What the writer works with, besides its connection.
pub(crate) struct WriterParts {
    /// The most commands in one commit.
    pub(crate) group_max: usize,
    pub(crate) meters: Arc<StoreMeters>,
    pub(crate) cache: Cache,
    pub(crate) checkpointer: Checkpointer,
    pub(crate) reserve: Reserve,
    /// Cancelled when the disk has failed.
    pub(crate) broken: CancellationToken,
    pub(crate) answers: Answers,
}

/// So many changed rows end a transaction, although more commands wait: about half a second of the writer.
const LARGE: u64 = 10_000;
/// So many commands in a commit mean that more are about to come.
const CROWD: usize = 16;
/// How long a crowd is let grow. Most pages of a commit are the same, whether it has sixteen commands or
/// fifty.
const GATHERING: Duration = Duration::from_micros(500);

/// Writes until it is told to close, or until nobody is left to tell it anything.
pub(crate) fn run(conn: Connection, mut inbox: mpsc::Receiver<Message>, parts: WriterParts) {
    let WriterParts { group_max, meters, cache, checkpointer, reserve, broken, answers } = parts;
    // Replaces SQLite's own checkpoint, which would run inside a commit.
    conn.wal_hook(Some(|_, pages| {
        WAL_PAGES.set(pages);
        Ok(())
    }));
    let mut writer = Writer {
        conn,
        cache,
        counts: Counts::default(),
        meters,
        checkpointer,
        reserve,
        data_version: 0,
        changes_before: 0,
        is_full: false,
        is_broken: false,
        answers,
    };
    let mut group: Vec<Box<dyn Command>> = Vec::new();
    let mut is_crowded = false;
    while let Some(first) = inbox.blocking_recv() {
        if is_crowded {
            std::thread::sleep(GATHERING);
        }
        let mut next = Some(first);
        let mut checkpoint = false;
        while let Some(message) = next {
            match message {
                Message::Run(command) => group.push(command),
                Message::Checkpoint => checkpoint = true,
                Message::Close => inbox.close(),
            }
            next = if group.len() < group_max { inbox.try_recv().ok() } else { None };
        }
        is_crowded = (CROWD..group_max).contains(&group.len());
        let begun = tokio::time::Instant::now();
        let trouble = writer.checkpointer.check();
        writer.note_disk(trouble);
        if !group.is_empty() && !writer.is_broken {
            writer.commit(&mut group);
            let trouble = writer.checkpointer.after_commit(&writer.conn, WAL_PAGES.get());
            writer.note_disk(trouble);
        }
        if checkpoint {
            writer.checkpointer.begin(WAL_PAGES.get());
        }
        writer.meters.busy.inc_by(begun.elapsed().as_micros() as u64);
        if writer.is_broken {
            broken.cancel();
            return writer.refuse(group, inbox);
        }
    }
    writer.close();
}

struct Writer {
    conn: Connection,
    cache: Cache,
    counts: Counts,
    meters: Arc<StoreMeters>,
    checkpointer: Checkpointer,
    /// SQLite's count of other connections' commits, as it was seen last.
    data_version: i64,
    /// Rows that the connection had changed when the transaction began.
    changes_before: u64,
    reserve: Reserve,
    /// Whether a command of the present group was refused for want of space.
    is_full: bool,
    /// Whether the disk has failed.
    is_broken: bool,
    answers: Answers,
}

impl Writer {
    /// Runs a group, commits it, answers it. What finds no space leaves the next one a better chance.
    fn commit(&mut self, group: &mut Vec<Box<dyn Command>>) {
        let frees = group.iter().any(|command| command.is_freeing());
        if self.reserve.is_given() && (frees || !self.reserve.take_again()) {
            let (freeing, others): (Vec<_>, Vec<_>) =
                std::mem::take(group).into_iter().partition(|command| command.is_freeing());
            *group = freeing;
            let full = Aborted { class: ErrorClass::Full, cause: fault("what was set aside is in use") };
            answer(others, &CommitOutcome::lost("waiting for space", full));
        }
        if group.is_empty() {
            return;
        }
        self.commit_all(group);
        if std::mem::take(&mut self.is_full) {
            if frees {
                self.reserve.give();
            }
            // The WAL starts over when all of it is in the main file, and takes no more space then.
            let trouble = self.checkpointer.at_once(&self.conn);
            self.note_disk(trouble);
        }
    }

    fn commit_all(&mut self, group: &mut Vec<Box<dyn Command>>) {
        let mut waiting = VecDeque::from(std::mem::take(group));
        while !waiting.is_empty() {
            if self.is_broken {
                return answer(waiting, &CommitOutcome::lost("writing", fault("the disk has failed")));
            }
            self.commit_some(&mut waiting);
        }
    }

    /// Runs commands and commits them: all of them, or as many as fit into one transaction.
    fn commit_some(&mut self, waiting: &mut VecDeque<Box<dyn Command>>) {
        let mut ran: Vec<Box<dyn Command>> = Vec::with_capacity(waiting.len());
        if let Err(e) = self.begin() {
            self.note_trouble(error::classify(&e));
            return answer(waiting.drain(..), &CommitOutcome::lost("beginning a transaction", e));
        }
        // How many of the next commands get a savepoint each, because sharing one failed.
        let mut apart = 0_usize;
        while !waiting.is_empty() && !self.is_large() {
            let shared =
                if apart == 0 { waiting.iter().take_while(|c| c.is_repeatable()).count() } else { 0 };
            let is_first = ran.is_empty();
            let done = if shared > 1 {
                let done = self.run_together(&mut waiting.make_contiguous()[..shared], is_first);
                match done {
                    Ok(Some(count)) => ran.extend(waiting.drain(..count)),
                    _ => apart = shared,
                }
                done
            } else {
                apart = apart.saturating_sub(1);
                let mut command = waiting.pop_front().expect("the loop asks whether there is one");
                let done = self.run_together(std::slice::from_mut(&mut command), is_first);
                ran.push(command);
                done
            };
            // A full disk and some other errors make SQLite undo the whole transaction at once, and
            // with it what ran before. The rest gets a transaction of its own.
            if let Err(gone) = done {
                self.abandon();
                answer(ran.drain(..), &CommitOutcome::lost("writing", gone));
                if let Err(e) = self.begin() {
                    return answer(waiting.drain(..), &CommitOutcome::lost("beginning a transaction", e));
                }
            }
        }
        let counted = counts::write(&mut self.counts, &self.conn);
        let started = tokio::time::Instant::now();
        let outcome = match counted.and_then(|tally| self.execute("COMMIT").map(|()| tally)) {
            Ok(tally) => {
                self.meters.group_size.observe(ran.len() as u64);
                self.meters.commit.observe(started.elapsed().as_micros() as u64);
                self.meters.events_accepted.inc_by(tally.events);
                self.meters.queue_depth.inc_by(tally.pending);
                self.meters.events_filtered.inc_by(tally.declined);
                self.meters.holds.inc_by(tally.holds);
                CommitOutcome::Committed
            }
            Err(e) => {
                self.note_trouble(error::classify(&e));
                self.abandon();
                CommitOutcome::lost("committing", e)
            }
        };
        self.cache.after_commit();
        self.answers.give(ran, outcome);
    }

    /// Whether the transaction has changed so many rows that it ends before the next command.
    fn is_large(&self) -> bool {
        self.conn.total_changes() - self.changes_before >= LARGE
    }

    fn begin(&mut self) -> rusqlite::Result<()> {
        self.execute("BEGIN IMMEDIATE")?;
        self.changes_before = self.conn.total_changes();
        let seen = self.conn.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        if seen != self.data_version {
            self.data_version = seen;
            self.cache.clear();
        }
        Ok(())
    }

    /// Runs commands in one savepoint, which the transaction is itself where nothing has run in it before,
    /// until the transaction is large; how many ran. When one of them fails, all of them are undone: `None`.
    fn run_together(
        &mut self,
        commands: &mut [Box<dyn Command>],
        is_first: bool,
    ) -> std::result::Result<Option<usize>, Aborted> {
        if !is_first {
            self.execute("SAVEPOINT command")?;
        }
        let mark = self.counts.mark();
        let (mut failed, mut ran) = (None, 0);
        for command in commands {
            if ran > 0 && self.is_large() {
                break;
            }
            ran += 1;
            let mut tx = Tx { conn: &self.conn, cache: &mut self.cache, counts: &mut self.counts };
            failed = command.run(&mut tx);
            if failed.is_some() {
                break;
            }
        }
        if let Some(class) = failed {
            self.note_trouble(class);
            self.cache.clear();
            self.counts.undo_to(mark);
            if self.conn.is_autocommit() {
                return Err(Aborted { class, cause: fault("a command in the same commit failed badly") });
            }
            if is_first {
                self.execute("ROLLBACK")?;
                self.begin()?;
            } else {
                self.execute("ROLLBACK TO command")?;
            }
        }
        if !is_first {
            self.execute("RELEASE command")?;
        }
        Ok(failed.is_none().then_some(ran))
    }

    /// Notes what an error says about the disk.
    fn note_trouble(&mut self, class: ErrorClass) {
        self.is_full |= class == ErrorClass::Full;
        self.is_broken |= class == ErrorClass::Broken;
    }

    /// Notes what a checkpoint says about the disk. What found no space was no command.
    fn note_disk(&mut self, trouble: Trouble) {
        self.is_broken |= trouble == Some(ErrorClass::Broken);
    }

    /// Makes sure that no transaction is open, and trusts nothing that was read in it.
    fn abandon(&mut self) {
        self.cache.clear();
        self.counts.undo_to(0);
        if !self.conn.is_autocommit() {
            let _ = self.execute("ROLLBACK");
        }
    }

    fn execute(&self, sql: &'static str) -> rusqlite::Result<()> {
        self.conn.prepare_cached(sql)?.execute([]).map(|_| ())
    }

    /// Writes nothing any more. The connection is not closed either: that would move what is in the WAL into
    /// the main file, as if it were known to be good.
    fn refuse(self, group: Vec<Box<dyn Command>>, mut inbox: mpsc::Receiver<Message>) {
        tracing::error!("the disk did not take what was written (fsync failed); nothing more is written");
        let lost = || CommitOutcome::lost("writing", fault("the disk has failed"));
        answer(group, &lost());
        while let Some(message) = inbox.blocking_recv() {
            match message {
                Message::Run(command) => answer([command], &lost()),
                Message::Checkpoint => {}
                Message::Close => inbox.close(),
            }
        }
        std::mem::forget(self.conn);
    }

    fn close(mut self) {
        if self.checkpointer.stop() == Some(ErrorClass::Broken) {
            tracing::error!("the disk did not take the last checkpoint; what it was for stays in the WAL");
            std::mem::forget(self.conn);
            return;
        }
        // A checkpoint that waits for readers holds all writers up meanwhile, and another process may
        // be serving from this file. The last one to close finds nobody in its way.
        let _ = self.conn.busy_timeout(Duration::ZERO);
        let _ = checkpointer::checkpoint(&self.conn, "TRUNCATE");
        if let Err((_, error)) = self.conn.close() {
            tracing::warn!(%error, "the database did not close cleanly");
        }
    }
}
