//! What the writer is given to do: a closure that writes in a transaction, with someone who waits for its
//! result.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::domain::{AppId, EventType, Timestamp};
use crate::store::shared::counts::Counts;
use crate::store::shared::subscription::Subscriptions;
use crate::store::sqlite::engine::cache::Cache;
use crate::store::sqlite::engine::counts;
use crate::store::sqlite::engine::error;
use crate::store::sqlite::engine::error::{ErrorClass, Fault};
use crate::store::sqlite::engine::rows::{AppRow, TypeRow};
use crate::store::sqlite::engine::zones::Zoned;
use crate::store::{Result, StoreError};

/// A transaction, as a command sees it.
pub(crate) struct Tx<'a> {
    pub(crate) conn: &'a Connection,
    pub(crate) cache: &'a mut Cache,
    /// What statistics are to count of it.
    pub(crate) counts: &'a mut Counts,
}

impl std::ops::Deref for Tx<'_> {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        self.conn
    }
}

impl Tx<'_> {
    /// The row of an app.
    pub(crate) fn app(&mut self, app: AppId) -> rusqlite::Result<AppRow> {
        self.cache.app(self.conn, app)
    }

    /// The row of an event type, which is made when there is none.
    pub(crate) fn event_type(&mut self, app: AppRow, event_type: &EventType) -> rusqlite::Result<TypeRow> {
        self.cache.event_type(self.conn, app, event_type)
    }

    /// The next number in the order of an app's results.
    pub(crate) fn next_result_seq(&mut self, app: AppRow) -> rusqlite::Result<i64> {
        counts::next_result_seq(self.counts, self.conn, app)
    }

    /// Notes that a row was made, for the zones of the log.
    pub(crate) fn entered(&mut self, of: Zoned, id: i64, created_at: Timestamp) -> rusqlite::Result<()> {
        self.cache.zones.entered(self.conn, of, id, created_at)
    }

    /// What the endpoints of an app want.
    pub(crate) fn subscriptions(&mut self, app: AppRow) -> rusqlite::Result<Arc<Subscriptions>> {
        self.cache.subscriptions(self.conn, app)
    }
}

/// Something to write, and someone who waits for the answer.
pub(crate) trait Command: Send {
    /// Whether it may be run again when it has been undone.
    fn is_repeatable(&self) -> bool;
    /// Whether it makes space.
    fn is_freeing(&self) -> bool;
    /// Does it; `Some` when it failed and must be undone.
    fn run(&mut self, tx: &mut Tx<'_>) -> Option<ErrorClass>;
    /// Answers, when the outcome of the group is known.
    fn answer(self: Box<Self>, outcome: &CommitOutcome);
}

/// A command, and where its answer comes.
pub(crate) type Asked<T> = (Box<dyn Command>, oneshot::Receiver<Result<T>>);

/// What became of a group.
#[derive(Debug, Clone)]
pub(crate) enum CommitOutcome {
    Committed,
    Lost { doing: &'static str, class: ErrorClass, cause: Arc<rusqlite::Error> },
}

/// Why the transaction is gone with all that was in it.
pub(crate) struct Aborted {
    pub(crate) class: ErrorClass,
    pub(crate) cause: rusqlite::Error,
}

impl From<rusqlite::Error> for Aborted {
    fn from(cause: rusqlite::Error) -> Aborted {
        Aborted { class: error::classify(&cause), cause }
    }
}

impl CommitOutcome {
    pub(crate) fn lost(doing: &'static str, gone: impl Into<Aborted>) -> CommitOutcome {
        let Aborted { class, cause } = gone.into();
        CommitOutcome::Lost { doing, class, cause: Arc::new(cause) }
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
pub(crate) fn command<T, F>(doing: &'static str, work: F) -> Asked<T>
where
    T: Send + 'static,
    F: FnOnce(&mut Tx<'_>) -> rusqlite::Result<T> + Send + 'static,
{
    let mut work = Some(work);
    let work = move |tx: &mut Tx<'_>| (work.take().expect("a command is run once"))(tx);
    ask(doing, Kind::Once, work)
}

/// Makes a command of a closure that makes space.
pub(crate) fn freeing<T, F>(doing: &'static str, work: F) -> Asked<T>
where
    T: Send + 'static,
    F: FnMut(&mut Tx<'_>) -> rusqlite::Result<T> + Send + 'static,
{
    ask(doing, Kind::Freeing, work)
}

/// Makes a command of a closure that may be undone and run again.
pub(crate) fn repeatable<T, F>(doing: &'static str, work: F) -> Asked<T>
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

    fn run(&mut self, tx: &mut Tx<'_>) -> Option<ErrorClass> {
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
            Err(StoreError::Full) => Some(ErrorClass::Full),
            Err(StoreError::Overloaded) => Some(ErrorClass::Busy),
            Err(_) => Some(ErrorClass::Other),
        }
    }

    fn answer(self: Box<Self>, outcome: &CommitOutcome) {
        let Work { work, result, reply, .. } = *self;
        // First, because it may hold room for others.
        drop(work);
        let result = match (result, outcome) {
            // What failed by itself has its own, better reason.
            (Some(Err(e)), _) => Err(e),
            (Some(Ok(value)), CommitOutcome::Committed) => Ok(value),
            (_, CommitOutcome::Lost { class: ErrorClass::Full, .. }) => Err(StoreError::Full),
            (_, CommitOutcome::Lost { class: ErrorClass::Busy, .. }) => Err(StoreError::Overloaded),
            (_, CommitOutcome::Lost { doing, cause, .. }) => {
                Err(StoreError::Failed { doing, source: Box::new(cause.clone()) })
            }
            (None, CommitOutcome::Committed) => unreachable!("a group commits after all of it has run"),
        };
        // The caller may have gone away; the write stays.
        let _ = reply.send(result);
    }
}
