//! What the writer is given to do: a closure that writes in a transaction, with someone who waits for its
//! result.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, try_join};
use tokio::sync::oneshot;

use crate::domain::{AppId, AttemptId, AttemptStatus, EventId, EventType, Timestamp};
use crate::store::postgres::engine::ahead::{Ahead, ReadAhead};
use crate::store::postgres::engine::cache::Cache;
use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::ended::{Ended, LogRow};
use crate::store::postgres::engine::entered::{Entered, KeyRow, NewEventRow, QueueRow};
use crate::store::postgres::engine::error::{self, DbError, DbResult, ErrorClass, Fault};
use crate::store::postgres::engine::ids;
use crate::store::postgres::engine::own::OwnNode;
use crate::store::postgres::engine::partitions::Partitions;
use crate::store::postgres::engine::rows::{AppRow, Columns as _, EventRow, JobRow, TypeRow};
use crate::store::shared::counts::Counts;
use crate::store::shared::job_ends::JobEnd;
use crate::store::shared::subscription::Subscriptions;
use crate::store::{Result, StoreError};

/// The open transaction of a group, as a command sees it. Statements are run on it as on a connection.
pub(crate) struct Tx {
    pub(crate) conn: Conn,
    pub(crate) cache: Cache,
    /// What statistics are to count of it.
    pub(crate) counts: Counts,
    pub(crate) partitions: Partitions,
    /// Who writes.
    pub(crate) own: OwnNode,
    pub(super) ended: Ended,
    pub(super) entered: Entered,
    pub(crate) ahead: Ahead,
    /// Numbers for ids that were taken from the sequences by this transaction.
    pub(super) numbers: Numbers,
    /// Rows that the transaction has changed, as far as commands say.
    pub(super) changed: u64,
}

/// Numbers for ids.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    pub(super) attempts: Vec<i64>,
    pub(super) events: Vec<i64>,
    /// How many the last group used.
    pub(super) used: i64,
}

/// The most numbers that are taken at once.
const NUMBERS_MOST: i64 = 4_096;

impl std::ops::Deref for Tx {
    type Target = Conn;
    fn deref(&self) -> &Conn {
        &self.conn
    }
}

impl Tx {
    /// On a connection that is set up.
    pub(super) fn new(conn: Conn, cache: Cache, partitions: Partitions, own: OwnNode) -> Tx {
        let (counts, ended, entered, ahead, numbers) = Default::default();
        Tx { conn, cache, counts, partitions, own, ended, entered, ahead, numbers, changed: 0 }
    }

    /// The row of an app.
    pub(crate) async fn app(&mut self, app: AppId) -> DbResult<AppRow> {
        self.cache.app(&self.conn, app).await
    }

    /// The row of an event type, which is made when there is none.
    pub(crate) async fn event_type(&mut self, app: AppRow, event_type: &EventType) -> DbResult<TypeRow> {
        self.cache.event_type(&self.conn, app, event_type).await
    }

    /// What the endpoints of an app want.
    pub(crate) async fn subscriptions(&mut self, app: AppRow) -> DbResult<Arc<Subscriptions>> {
        self.cache.subscriptions(&self.conn, app).await
    }

    /// A new id for an attempt that is made at `created_at`. There is a partition for it.
    pub(crate) async fn attempt_id(&mut self, created_at: Timestamp) -> DbResult<AttemptId> {
        let number = self.numbers.next_attempt(&self.conn).await?;
        let id = ids::id_at(created_at, number);
        self.partitions.ensure(&self.conn, id).await?;
        Ok(AttemptId(id))
    }

    /// A new row number and a public id for an event that is made at `created_at`. There is a partition for it.
    pub(crate) async fn new_event(&mut self, created_at: Timestamp) -> DbResult<(EventRow, EventId)> {
        let number = self.numbers.next_event(&self.conn).await?;
        let row = ids::id_at(created_at, number);
        self.partitions.ensure(&self.conn, row).await?;
        Ok((EventRow(row), ids::event_id(created_at, number)))
    }

    /// A new row number for an event that has its public id. There is a partition for it.
    pub(crate) async fn event_row(&mut self, id: EventId) -> DbResult<EventRow> {
        let number = self.numbers.next_event(&self.conn).await?;
        let row = ids::id_at(ids::made_at(id), number);
        self.partitions.ensure(&self.conn, row).await?;
        Ok(EventRow(row))
    }

    /// Puts an attempt into the log, which has left the queue: at the end of the group, or with [`Tx::settle`].
    pub(crate) fn ended(&mut self, row: LogRow) {
        self.cache.ended(row.id);
        self.ended.push(row);
    }

    /// Makes an event, at the end of the group or with [`Tx::settle`].
    pub(crate) fn enter_event(&mut self, row: NewEventRow) {
        self.entered.event(row);
    }

    /// Puts a pending attempt into the queue, at the end of the group or with [`Tx::settle`].
    pub(crate) fn enter(&mut self, row: QueueRow) {
        self.weigh(1);
        self.entered.enter(row);
    }

    /// Takes an attempt from the queue, at the end of the group or with [`Tx::settle`].
    pub(crate) fn leave(&mut self, id: AttemptId) {
        self.weigh(1);
        self.entered.leave(id);
    }

    /// Whether the group has taken an attempt from the queue, although it may be there still.
    pub(crate) fn has_left(&self, id: AttemptId) -> bool {
        self.entered.has_left(id)
    }

    /// Remembers an idempotency key, at the end of the group or with [`Tx::settle`].
    pub(crate) fn remember(&mut self, row: KeyRow) {
        self.entered.remember(row);
    }

    /// An attempt of a bulk job, or of none, has changed its status: counts the end of its delivery for the job, at the
    /// end of the group or with [`Tx::settle`].
    pub(crate) fn attempt_changed(&mut self, job: Option<JobRow>, from: AttemptStatus, to: AttemptStatus) {
        let (Some(job), end) = (job, JobEnd::of(from, to)) else { return };
        if !end.is_nothing() {
            self.entered.job_end(job, end);
        }
    }

    /// What a key stands for that the group remembers.
    pub(crate) fn remembered(&self, app: AppRow, key: &str) -> Option<&KeyRow> {
        self.entered.remembered(app, key)
    }

    /// Writes what the group has made and what has ended in it. A command that reads events, the
    /// queue or the log, of which the group may have changed rows, asks for this first; a command that is not
    /// repeatable finds everything written.
    pub(crate) async fn settle(&mut self) -> DbResult<()> {
        self.entered.write(&self.conn).await?;
        self.ended.write(&self.conn, &self.partitions).await
    }

    /// [`Tx::settle`], and commits.
    pub(super) async fn settle_and_commit(&mut self) -> DbResult<()> {
        self.entered.write(&self.conn).await?;
        self.ended.write_and_commit(&self.conn, &self.partitions).await
    }

    /// Whether [`Tx::settle`] has nothing to write.
    pub(super) fn is_settled(&self) -> bool {
        self.entered.is_written() && self.ended.is_written()
    }

    /// So many rows were changed. A transaction with many of them ends before the next command.
    pub(crate) fn weigh(&mut self, rows: usize) {
        self.changed += rows as u64;
    }

    /// Forgets the transaction.
    pub(super) fn over(&mut self) {
        self.ended.clear();
        self.entered.clear();
        self.changed = 0;
    }
}

impl Numbers {
    async fn next_attempt(&mut self, conn: &Conn) -> DbResult<i64> {
        if self.attempts.is_empty() {
            self.attempts = take(conn, "attempt_ids", self.used.clamp(64, NUMBERS_MOST)).await?;
        }
        self.used += 1;
        Ok(self.attempts.pop().unwrap_or_default())
    }

    async fn next_event(&mut self, conn: &Conn) -> DbResult<i64> {
        if self.events.is_empty() {
            self.events = take(conn, "event_ids", self.used.clamp(64, NUMBERS_MOST)).await?;
        }
        self.used += 1;
        Ok(self.events.pop().unwrap_or_default())
    }

    /// A group begins: what the last one left is old, and other nodes have gone on since. About as many as that one
    /// used are taken at once.
    pub(super) async fn begin(&mut self, conn: &Conn) -> DbResult<()> {
        let used = std::mem::take(&mut self.used).min(NUMBERS_MOST);
        self.attempts.clear();
        self.events.clear();
        if used > 0 {
            let taken = try_join(take(conn, "attempt_ids", used), take(conn, "event_ids", used));
            (self.attempts, self.events) = taken.await?;
        }
        Ok(())
    }
}

/// Takes numbers from a sequence; the last one is the smallest.
async fn take(conn: &Conn, sequence: &str, count: i64) -> DbResult<Vec<i64>> {
    let sql = "SELECT nextval(($1::text)::regclass) AS number FROM generate_series(1::bigint, $2)";
    let mut numbers = Vec::new();
    for row in conn.rows(sql, &[&sequence, &count]).await? {
        numbers.push(row.num("number")?);
    }
    numbers.reverse();
    Ok(numbers)
}

/// Something to write, and someone who waits for the answer.
pub(crate) trait Command: Send {
    /// What may be done with it when it was undone.
    fn kind(&self) -> Kind;
    /// The attempt that it ends, and how such attempts are read for many commands at once.
    fn ends(&self) -> Option<(AttemptId, ReadAhead)>;
    /// Does it; `Some` when it failed and must be undone.
    fn run<'a>(&'a mut self, tx: &'a mut Tx) -> BoxFuture<'a, Option<ErrorClass>>;
    /// Answers, when the outcome of the group is known.
    fn answer(self: Box<Self>, outcome: &CommitOutcome);
}

/// What may be done with a command that was undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing.
    Once,
    /// It may be run again.
    Repeatable,
    /// It may be run again even where nobody knows whether it was committed, and outlives an outage of the database.
    Lasting,
}

/// A command, and where its answer comes.
pub(crate) type Asked<T> = (Box<dyn Command>, oneshot::Receiver<Result<T>>);

/// What became of a group.
#[derive(Debug, Clone)]
pub(crate) enum CommitOutcome {
    Committed,
    Lost { doing: &'static str, class: ErrorClass, cause: Arc<DbError> },
}

impl CommitOutcome {
    pub(crate) fn lost(doing: &'static str, cause: DbError) -> CommitOutcome {
        CommitOutcome::Lost { doing, class: error::classify(&cause), cause: Arc::new(cause) }
    }
}

/// A closure with its answer.
struct Work<T, F> {
    doing: &'static str,
    work: F,
    kind: Kind,
    ends: Option<(AttemptId, ReadAhead)>,
    result: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
}

/// Makes a command of a closure, which is run once.
pub(crate) fn command<T, F>(doing: &'static str, work: F) -> Asked<T>
where
    T: Send + 'static,
    F: for<'a> FnOnce(&'a mut Tx) -> BoxFuture<'a, DbResult<T>> + Send + 'static,
{
    let mut work = Some(work);
    ask(doing, Kind::Once, None, move |tx| match work.take() {
        Some(work) => work(tx),
        None => async { Err(Fault("a command is run once".to_owned()).into()) }.boxed(),
    })
}

/// Makes a command of a closure that may be undone and run again.
pub(crate) fn repeatable<T, F>(doing: &'static str, work: F) -> Asked<T>
where
    T: Send + 'static,
    F: for<'a> FnMut(&'a mut Tx) -> BoxFuture<'a, DbResult<T>> + Send + 'static,
{
    ask(doing, Kind::Repeatable, None, work)
}

/// Makes a command of a closure that ends an attempt, and may be run again even where nobody knows whether it was
/// committed.
pub(crate) fn lasting<T, F>(doing: &'static str, ends: (AttemptId, ReadAhead), work: F) -> Asked<T>
where
    T: Send + 'static,
    F: for<'a> FnMut(&'a mut Tx) -> BoxFuture<'a, DbResult<T>> + Send + 'static,
{
    ask(doing, Kind::Lasting, Some(ends), work)
}

fn ask<T, F>(doing: &'static str, kind: Kind, ends: Option<(AttemptId, ReadAhead)>, work: F) -> Asked<T>
where
    T: Send + 'static,
    F: for<'a> FnMut(&'a mut Tx) -> BoxFuture<'a, DbResult<T>> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    (Box::new(Work { doing, work, kind, ends, result: None, reply }), answer)
}

impl<T, F> Command for Work<T, F>
where
    T: Send + 'static,
    F: for<'a> FnMut(&'a mut Tx) -> BoxFuture<'a, DbResult<T>> + Send + 'static,
{
    fn kind(&self) -> Kind {
        self.kind
    }

    fn ends(&self) -> Option<(AttemptId, ReadAhead)> {
        self.ends
    }

    fn run<'a>(&'a mut self, tx: &'a mut Tx) -> BoxFuture<'a, Option<ErrorClass>> {
        async move {
            // The savepoint undoes what a panic left half done, and the caches are cleared.
            let ran = AssertUnwindSafe(async { (self.work)(tx).await }).catch_unwind().await;
            let result = ran.unwrap_or_else(|_| Err(Fault("the command panicked".to_owned()).into()));
            let class = result.as_ref().err().map(error::classify);
            self.result = Some(result.map_err(|e| error::of(self.doing, e)));
            class
        }
        .boxed()
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
            (_, CommitOutcome::Lost { class: ErrorClass::Again | ErrorClass::Away, .. }) => {
                Err(StoreError::Overloaded)
            }
            (_, CommitOutcome::Lost { doing, cause, .. }) => {
                Err(StoreError::Failed { doing, source: Box::new(cause.clone()) })
            }
            // A group commits after all of it has run.
            (None, CommitOutcome::Committed) => Err(StoreError::Closed),
        };
        // The caller may have gone away; the write stays.
        let _ = reply.send(result);
    }
}
