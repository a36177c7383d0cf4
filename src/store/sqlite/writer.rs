//! The one thread that writes, with group commit.
//!
//! A commit costs an fsync, whatever is in it. So the writer takes all commands that are waiting (and
//! waits for no more), runs each in a savepoint, commits once, and answers all of them after. A command
//! that fails undoes its own savepoint only; when the commit fails, all of the group have failed.
//!
//! For a savepoint SQLite copies every page before its first change. Events and results, which are nearly
//! all that is written, can be run again; so those that stand next to each other share one. If one of
//! them fails, which is rare, all of them are undone and run again each in its own. What runs first in a
//! transaction needs none: to undo it is to begin anew.
//!
//! A full disk refuses what would need more of it, and only that. When something is to be removed then, what
//! was set aside is given up for it ([`super::reserve`]).
//!
//! A failed fsync ends all writing for good. What the disk holds is unknown then, and a later fsync that
//! succeeds says nothing about what the failed one was for; only a new start, which reads what is really
//! there, knows more.
//!
//! Checkpoints never run inside a commit; nearly all of their work is done beside the writer
//! ([`super::checkpointer`]). The writer must not be blocked by anything but the disk and another process's
//! lock.

use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::cache::{Cache, Wish};
use super::checkpointer::{self, Checkpointer, Trouble};
use super::counts::Counts;
use super::error::{self, Class, Fault, fault};
use super::meters::Meters;
use super::reserve::Reserve;
use crate::domain::{AppId, EventType};
use crate::store::{Result, StoreError};

/// What the writer is told.
pub(super) enum Message {
    Run(Box<dyn Command>),
    /// Move what is in the WAL into the main file, when the group that this came with is written.
    Checkpoint,
    /// Finish what is waiting, take no more, and end.
    Close,
}

/// A transaction, as a command sees it.
pub(super) struct Tx<'a> {
    conn: &'a Connection,
    pub(super) cache: &'a mut Cache,
    /// What statistics are to count of it.
    pub(super) counts: &'a mut Counts,
}

impl std::ops::Deref for Tx<'_> {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        self.conn
    }
}

impl Tx<'_> {
    /// The row of an app.
    pub(super) fn app(&mut self, app: AppId) -> rusqlite::Result<i64> {
        self.cache.app(self.conn, app)
    }

    /// The row of an event type, which is made when there is none.
    pub(super) fn event_type(&mut self, app: i64, event_type: &EventType) -> rusqlite::Result<i64> {
        self.cache.event_type(self.conn, app, event_type)
    }

    /// The next place in the order in which an app's attempts end.
    pub(super) fn next_place(&mut self, app: i64) -> rusqlite::Result<i64> {
        self.counts.next_place(self.conn, app)
    }

    /// What the endpoints of an app want.
    pub(super) fn wishes(&mut self, app: i64) -> rusqlite::Result<Arc<Vec<Wish>>> {
        self.cache.wishes(self.conn, app)
    }
}

/// Something to write, and someone who waits for the answer.
pub(super) trait Command: Send {
    /// Whether it may be run again when it has been undone.
    fn is_repeatable(&self) -> bool;
    /// Whether it makes space.
    fn is_freeing(&self) -> bool;
    /// Does it; `Some` when it failed and must be undone.
    fn run(&mut self, tx: &mut Tx<'_>) -> Option<Class>;
    /// Answers, when the fate of the group is known.
    fn answer(self: Box<Self>, fate: &Fate);
}

/// A command, and where its answer comes.
pub(super) type Asked<T> = (Box<dyn Command>, oneshot::Receiver<Result<T>>);

/// What became of a group.
#[derive(Debug, Clone)]
pub(super) enum Fate {
    Committed,
    Lost { doing: &'static str, class: Class, cause: Arc<rusqlite::Error> },
}

/// Why the transaction is gone with all that was in it.
struct Gone {
    class: Class,
    cause: rusqlite::Error,
}

impl From<rusqlite::Error> for Gone {
    fn from(cause: rusqlite::Error) -> Gone {
        Gone { class: error::classify(&cause), cause }
    }
}

impl Fate {
    fn lost(doing: &'static str, gone: impl Into<Gone>) -> Fate {
        let Gone { class, cause } = gone.into();
        Fate::Lost { doing, class, cause: Arc::new(cause) }
    }
}

/// What a command may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Once,
    /// It may be undone and run again.
    Repeatable,
    /// It makes space.
    Freeing,
}

/// A closure with its answer.
struct Work<T, F> {
    doing: &'static str,
    work: F,
    kind: Kind,
    result: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
}

/// Makes a command of a closure, which is run once.
pub(super) fn command<T, F>(doing: &'static str, work: F) -> Asked<T>
where
    T: Send + 'static,
    F: FnOnce(&mut Tx<'_>) -> rusqlite::Result<T> + Send + 'static,
{
    let mut work = Some(work);
    let work = move |tx: &mut Tx<'_>| (work.take().expect("a command is run once"))(tx);
    ask(doing, Kind::Once, work)
}

/// Makes a command of a closure that makes space.
pub(super) fn freeing<T, F>(doing: &'static str, work: F) -> Asked<T>
where
    T: Send + 'static,
    F: FnMut(&mut Tx<'_>) -> rusqlite::Result<T> + Send + 'static,
{
    ask(doing, Kind::Freeing, work)
}

/// Makes a command of a closure that may be undone and run again.
pub(super) fn repeatable<T, F>(doing: &'static str, work: F) -> Asked<T>
where
    T: Send + 'static,
    F: FnMut(&mut Tx<'_>) -> rusqlite::Result<T> + Send + 'static,
{
    ask(doing, Kind::Repeatable, work)
}

fn ask<T, F>(doing: &'static str, kind: Kind, work: F) -> Asked<T>
where
    T: Send + 'static,
    F: FnMut(&mut Tx<'_>) -> rusqlite::Result<T> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    (Box::new(Work { doing, work, kind, result: None, reply }), answer)
}

impl<T, F> Command for Work<T, F>
where
    T: Send + 'static,
    F: FnMut(&mut Tx<'_>) -> rusqlite::Result<T> + Send + 'static,
{
    fn is_repeatable(&self) -> bool {
        self.kind == Kind::Repeatable
    }

    fn is_freeing(&self) -> bool {
        self.kind == Kind::Freeing
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> Option<Class> {
        // The savepoint undoes what a panic left half done, and the caches are cleared.
        let result = match catch_unwind(AssertUnwindSafe(|| (self.work)(tx))) {
            Ok(result) => result.map_err(|e| error::of(self.doing, e)),
            Err(_) => {
                let source = Box::new(Fault("the command panicked".to_owned()));
                Err(StoreError::Failed { doing: self.doing, source })
            }
        };
        match self.result.insert(result) {
            Ok(_) => None,
            Err(StoreError::Full) => Some(Class::Full),
            Err(StoreError::Overloaded) => Some(Class::Busy),
            Err(_) => Some(Class::Other),
        }
    }

    fn answer(self: Box<Self>, fate: &Fate) {
        let Work { work, result, reply, .. } = *self;
        // First, because it may hold room for others.
        drop(work);
        let result = match (result, fate) {
            // What failed by itself has its own, better reason.
            (Some(Err(e)), _) => Err(e),
            (Some(Ok(value)), Fate::Committed) => Ok(value),
            (_, Fate::Lost { class: Class::Full, .. }) => Err(StoreError::Full),
            (_, Fate::Lost { class: Class::Busy, .. }) => Err(StoreError::Overloaded),
            (_, Fate::Lost { doing, cause, .. }) => {
                Err(StoreError::Failed { doing, source: Box::new(cause.clone()) })
            }
            (None, Fate::Committed) => unreachable!("a group commits after all of it has run"),
        };
        // Whoever asked may have gone away; what is done stays done.
        let _ = reply.send(result);
    }
}

thread_local! {
    /// Pages in the WAL after this thread's last commit.
    static WAL_PAGES: Cell<i32> = const { Cell::new(0) };
}

/// What the writer works with, besides its connection.
pub(super) struct Parts {
    /// The most commands in one commit.
    pub(super) group_max: usize,
    pub(super) meters: Arc<Meters>,
    pub(super) cache: Cache,
    pub(super) checkpointer: Checkpointer,
    pub(super) reserve: Reserve,
    /// Cancelled when the disk has failed.
    pub(super) broken: CancellationToken,
}

/// Writes until it is told to close, or until nobody is left to tell it anything.
pub(super) fn run(conn: Connection, mut inbox: mpsc::Receiver<Message>, parts: Parts) {
    let Parts { group_max, meters, cache, checkpointer, reserve, broken } = parts;
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
        is_full: false,
        is_broken: false,
    };
    let mut group: Vec<Box<dyn Command>> = Vec::new();
    while let Some(first) = inbox.blocking_recv() {
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
        let trouble = writer.checkpointer.look();
        writer.look_at_disk(trouble);
        if !group.is_empty() && !writer.is_broken {
            writer.commit(&mut group);
            let trouble = writer.checkpointer.after_commit(&writer.conn, WAL_PAGES.get());
            writer.look_at_disk(trouble);
        }
        if checkpoint {
            writer.checkpointer.begin(WAL_PAGES.get());
        }
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
    meters: Arc<Meters>,
    checkpointer: Checkpointer,
    /// SQLite's count of other connections' commits, as it was seen last.
    data_version: i64,
    reserve: Reserve,
    /// Whether something of the group under way was refused for want of space.
    is_full: bool,
    /// Whether the disk has failed.
    is_broken: bool,
}

impl Writer {
    /// Runs a group, commits it, answers it. What finds no space leaves the next one a better chance.
    fn commit(&mut self, group: &mut Vec<Box<dyn Command>>) {
        let frees = group.iter().any(|command| command.is_freeing());
        if self.reserve.is_given() && (frees || !self.reserve.take_again()) {
            let (freeing, others): (Vec<_>, Vec<_>) =
                std::mem::take(group).into_iter().partition(|command| command.is_freeing());
            *group = freeing;
            let full = Gone { class: Class::Full, cause: fault("what was set aside is in use") };
            answer(others, &Fate::lost("waiting for space", full));
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
            self.look_at_disk(trouble);
        }
    }

    fn commit_all(&mut self, group: &mut Vec<Box<dyn Command>>) {
        let mut waiting = VecDeque::from(std::mem::take(group));
        let mut ran: Vec<Box<dyn Command>> = Vec::with_capacity(waiting.len());
        if let Err(e) = self.begin() {
            self.look_at(error::classify(&e));
            return answer(waiting, &Fate::lost("beginning a transaction", e));
        }
        // How many of those that wait are to have a savepoint each, because sharing one went wrong.
        let mut apart = 0_usize;
        while !waiting.is_empty() {
            let shared =
                if apart == 0 { waiting.iter().take_while(|c| c.is_repeatable()).count() } else { 0 };
            let is_first = ran.is_empty();
            let done = if shared > 1 {
                let done = self.run_together(&mut waiting.make_contiguous()[..shared], is_first);
                if matches!(done, Ok(true)) {
                    ran.extend(waiting.drain(..shared));
                } else {
                    apart = shared;
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
                answer(ran.drain(..), &Fate::lost("writing", gone));
                if let Err(e) = self.begin() {
                    return answer(waiting, &Fate::lost("beginning a transaction", e));
                }
            }
        }
        let counted = self.counts.write(&self.conn);
        let started = tokio::time::Instant::now();
        let fate = match counted.and_then(|tally| self.execute("COMMIT").map(|()| tally)) {
            Ok(tally) => {
                self.meters.group_size.observe(ran.len() as u64);
                self.meters.commit.observe(started.elapsed().as_micros() as u64);
                self.meters.events_accepted.inc_by(tally.events);
                self.meters.queue_depth.inc_by(tally.pending);
                Fate::Committed
            }
            Err(e) => {
                self.look_at(error::classify(&e));
                self.abandon();
                Fate::lost("committing", e)
            }
        };
        self.cache.settle();
        answer(ran, &fate);
    }

    fn begin(&mut self) -> rusqlite::Result<()> {
        self.execute("BEGIN IMMEDIATE")?;
        let seen = self.conn.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        if seen != self.data_version {
            self.data_version = seen;
            self.cache.clear();
        }
        Ok(())
    }

    /// Runs commands in one savepoint, which the transaction is itself where nothing has run in it before. When one
    /// of them fails, all of them are undone: `false`.
    fn run_together(
        &mut self,
        commands: &mut [Box<dyn Command>],
        is_first: bool,
    ) -> std::result::Result<bool, Gone> {
        if !is_first {
            self.execute("SAVEPOINT command")?;
        }
        let mark = self.counts.mark();
        let mut failed = None;
        for command in commands {
            let mut tx = Tx { conn: &self.conn, cache: &mut self.cache, counts: &mut self.counts };
            failed = command.run(&mut tx);
            if failed.is_some() {
                break;
            }
        }
        if let Some(class) = failed {
            self.look_at(class);
            self.cache.clear();
            self.counts.undo_to(mark);
            if self.conn.is_autocommit() {
                return Err(Gone { class, cause: fault("a command in the same commit failed badly") });
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
        Ok(failed.is_none())
    }

    /// Notes what an error says about the disk.
    fn look_at(&mut self, class: Class) {
        self.is_full |= class == Class::Full;
        self.is_broken |= class == Class::Broken;
    }

    /// Notes what a checkpoint says about the disk. What found no space was no command.
    fn look_at_disk(&mut self, trouble: Trouble) {
        self.is_broken |= trouble == Some(Class::Broken);
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

    /// Writes nothing any more. The connection is not closed either: that would move what is in the WAL into the
    /// main file, as if it were known to be good.
    fn refuse(self, group: Vec<Box<dyn Command>>, mut inbox: mpsc::Receiver<Message>) {
        tracing::error!("the disk did not take what was written (fsync failed); nothing more is written");
        let lost = || Fate::lost("writing", fault("the disk has failed"));
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
        if self.checkpointer.stop() == Some(Class::Broken) {
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

fn answer(commands: impl IntoIterator<Item = Box<dyn Command>>, fate: &Fate) {
    for command in commands {
        command.answer(fate);
    }
}
