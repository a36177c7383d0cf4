//! Single attempts: making one, finding the newest of a delivery, and the change that an exhausted one goes through
//! when its delivery goes on.
//!
//! A pending attempt is in the queue, one that has ended is in the log, with the same id. What the end of an attempt
//! leads to is written at the end of the group ([`Tx::enter`], [`Tx::leave`], [`Tx::ended`]).

use tokio_postgres::Row;

use crate::domain::attempts::attempt::{AttemptStatus, Budget, ErrorKind, Trigger};
use crate::domain::attempts::transition;
use crate::domain::attempts::transition::{Current, Input, Next};
use crate::domain::{AppId, AttemptId, Timestamp};
use crate::store::postgres::engine::command::Tx;
use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::ended::{LogDetails, LogRow};
use crate::store::postgres::engine::entered::QueueRow;
use crate::store::postgres::engine::error::{DbError, DbResult, fault};
use crate::store::postgres::engine::rows::{Columns as _, JobRow, budget, schedule_used};
use crate::store::postgres::engine::{cache, ids};
pub(crate) use crate::store::shared::attempt_rows::{NewAttempt, Stored};
use crate::store::shared::class::Class;

/// What an attempt leaves to the one that follows it in its delivery.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Before {
    /// When the delivery was made.
    pub(crate) begun_at: Timestamp,
    /// How it ended.
    pub(crate) last_outcome: i64,
}

/// Makes a pending attempt; `before` says what [`NewAttempt::before`] leaves to it.
pub(crate) async fn insert(tx: &mut Tx, new: &NewAttempt, before: Option<Before>) -> DbResult<AttemptId> {
    tx.counts.queued();
    if new.first.is_none() {
        tx.counts.begun(new.endpoint, new.trigger, new.created_at);
    }
    let id = next_id(tx, new).await?;
    tx.enter(QueueRow {
        id,
        first_id: new.first,
        app: new.app,
        endpoint: new.endpoint,
        event: new.event,
        kind: new.kind,
        created_at: new.created_at,
        begun_at: before.map_or(new.created_at, |before| before.begun_at),
        due_at: new.due_at,
        job: new.job,
        held_since: new.held_since,
        last_outcome: before.map(|before| before.last_outcome),
        attempt: new.attempt,
        schedule_used: schedule_used(new.budget),
        trigger: new.trigger,
    });
    Ok(id)
}

/// An id of the second of its event or of a later one, and above that of the attempt before: whatever the clock says,
/// and whichever node made that one.
async fn next_id(tx: &mut Tx, new: &NewAttempt) -> DbResult<AttemptId> {
    let at = new.created_at.max(ids::time_of(new.event.0));
    let Some(before) = new.before else { return tx.attempt_id(at).await };
    let at = at.max(ids::time_of(before.0));
    let id = tx.attempt_id(at).await?;
    if id > before { Ok(id) } else { tx.attempt_id(at.plus_ms(1_000)).await }
}

/// An attempt as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct StoredAttempt {
    pub(crate) row: Stored,
    /// When its delivery was made.
    pub(crate) begun_at: Timestamp,
    pub(crate) last_outcome: Option<i64>,
    pub(crate) class: Class,
    error_kind: Option<ErrorKind>,
    error_message: Option<String>,
}

impl StoredAttempt {
    /// The row of the log, if it ends with this status without having been sent.
    pub(crate) fn ended(&self, status: AttemptStatus) -> LogRow {
        let Stored { id, first, app, endpoint, event, kind, current, created_at, job, .. } = self.row;
        LogRow {
            id,
            first_id: first,
            app,
            endpoint,
            event,
            kind,
            created_at,
            begun_at: self.begun_at,
            due_at: current.due_at,
            attempted_at: None,
            finished_at: None,
            response_time_ms: None,
            job,
            held_since: current.held_since,
            last_outcome: self.last_outcome,
            attempt: current.attempt,
            schedule_used: schedule_used(current.budget),
            response_status: None,
            status,
            trigger: current.trigger,
            error_kind: self.error_kind,
            error_message: self.error_message.clone(),
            details: LogDetails::default(),
        }
    }
}

/// The columns that [`stored_attempt`] reads, of `queue q`.
macro_rules! pending_columns {
    () => {
        "q.id, q.first_id, q.app, q.endpoint, q.event, q.type, q.class, 'pending' AS status, q.attempt, q.trigger, \
         q.schedule_used, q.created_at, q.begun_at, NULL::bigint AS attempted_at, NULL::bigint AS response_time_ms, \
         q.job, q.local_since, q.due_at, q.held_since, q.last_outcome, q.error_kind, q.error_message"
    };
}
/// The same of `log l`.
macro_rules! ended_columns {
    () => {
        "l.id, l.first_id, l.app, l.endpoint, l.event, l.type, l.class, l.status, l.attempt, l.trigger, \
         l.schedule_used, l.created_at, l.begun_at, l.attempted_at, l.response_time_ms, l.job, \
         NULL::bigint AS local_since, l.due_at, l.held_since, l.last_outcome, l.error_kind, l.error_message"
    };
}
pub(crate) use {ended_columns, pending_columns};

pub(crate) fn stored_attempt(row: &Row) -> DbResult<StoredAttempt> {
    let current = Current {
        status: row.col("status")?,
        attempt: row.num("attempt")?,
        trigger: row.col("trigger")?,
        budget: budget(row.opt_num("schedule_used")?),
        due_at: row.col("due_at")?,
        local_since: row.col("local_since")?,
        held_since: row.col("held_since")?,
    };
    let stored = Stored {
        id: row.col("id")?,
        first: row.col("first_id")?,
        app: row.col("app")?,
        endpoint: row.col("endpoint")?,
        event: row.col("event")?,
        kind: row.col("type")?,
        current,
        created_at: row.col("created_at")?,
        attempted_at: row.col("attempted_at")?,
        response_time_ms: row.opt_num("response_time_ms")?,
        job: row.col("job")?,
    };
    Ok(StoredAttempt {
        row: stored,
        begun_at: row.col("begun_at")?,
        last_outcome: row.col("last_outcome")?,
        class: Class(row.col("class")?),
        error_kind: row.col("error_kind")?,
        error_message: row.col("error_message")?,
    })
}

pub(crate) const GET: &str = concat!(
    "SELECT ",
    pending_columns!(),
    " FROM queue q WHERE q.id = $1 UNION ALL SELECT ",
    ended_columns!(),
    " FROM log l WHERE l.id = $1"
);

/// One attempt.
pub(crate) async fn get(conn: &Conn, id: AttemptId) -> DbResult<Option<Stored>> {
    let found = conn.row_opt(GET, &[&id]).await?;
    found.as_ref().map(|row| stored_attempt(row).map(|kept| kept.row)).transpose()
}

/// One attempt, if it belongs to this app.
pub(crate) async fn of_app(conn: &Conn, app: AppId, id: AttemptId) -> DbResult<Option<Stored>> {
    let Some(app) = cache::app_row(conn, app).await? else { return Ok(None) };
    Ok(get(conn, id).await?.filter(|row| row.app == app))
}

/// Pending attempts among these.
pub(crate) async fn pending(conn: &Conn, ids: &[AttemptId]) -> DbResult<Vec<StoredAttempt>> {
    let sql = concat!("SELECT ", pending_columns!(), " FROM queue q WHERE q.id = ANY($1) ORDER BY q.id");
    conn.rows(sql, &[&ids]).await?.iter().map(stored_attempt).collect()
}

/// Later attempts have higher ids, of the same second or of later ones.
pub(crate) const NEWEST: &str = concat!(
    "SELECT ",
    pending_columns!(),
    " FROM queue q WHERE q.first_id = $1 UNION ALL SELECT ",
    pending_columns!(),
    " FROM queue q WHERE q.id = $1 UNION ALL (SELECT ",
    ended_columns!(),
    " FROM log l WHERE l.first_id = $1 AND l.id >= $2 ORDER BY l.id DESC LIMIT 1) UNION ALL SELECT ",
    ended_columns!(),
    " FROM log l WHERE l.id = $1"
);

/// The newest attempt of a delivery.
pub(crate) async fn newest(conn: &Conn, delivery: AttemptId) -> DbResult<Option<Stored>> {
    let from = ids::first_of_second(ids::second_of(delivery.0));
    let mut newest: Option<Stored> = None;
    for row in conn.rows(NEWEST, &[&delivery, &from]).await? {
        let row = stored_attempt(&row)?.row;
        if newest.is_none_or(|newest| newest.id < row.id) {
            newest = Some(row);
        }
    }
    Ok(newest)
}

/// Cancels those of these attempts that are pending, and says how many there were.
pub(crate) async fn cancel(tx: &mut Tx, ids: &[AttemptId]) -> DbResult<u32> {
    let mut cancelled = 0;
    for kept in pending(tx, ids).await? {
        let row = kept.row;
        let Ok(answer) = transition::apply(row.current, Input::Cancel) else { continue };
        if tx.has_left(row.id) {
            continue;
        }
        tx.leave(row.id);
        tx.ended(kept.ended(answer.status));
        tx.counts.unqueued(row.counted());
        tx.counts.moved(row.counted(), answer.status);
        tx.attempt_changed(row.job, row.current.status, answer.status);
        cancelled += 1;
    }
    Ok(cancelled)
}

const SUPERSEDE: &str = "UPDATE log SET status = $2, class = (class & ~$3::bigint) | $4::bigint \
     WHERE id = ANY($1) AND status = 'exhausted' RETURNING id, begun_at, class";

/// Lets exhausted deliveries go on, on behalf of a bulk job or not: their last rows become `failed`, and the next ones
/// are due now. Gives the next ones, in the same order.
pub(crate) async fn supersede(
    tx: &mut Tx,
    rows: &[Stored],
    trigger: Trigger,
    budget: Budget,
    job: Option<JobRow>,
    now: Timestamp,
) -> DbResult<Vec<AttemptId>> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let last: Vec<AttemptId> = rows.iter().map(|row| row.id).collect();
    let (status, bits) = (AttemptStatus::Failed, Class::status_bits(AttemptStatus::Failed));
    let mut before = std::collections::HashMap::with_capacity(rows.len());
    for row in tx.rows(SUPERSEDE, &[&last, &status, &Class::STATUS_BITS, &bits]).await? {
        let last_outcome = Class(row.col("class")?).as_last_outcome();
        let id: AttemptId = row.col("id")?;
        before.insert(id, Before { begun_at: row.col("begun_at")?, last_outcome });
    }
    let mut made = Vec::with_capacity(rows.len());
    for row in rows {
        // Another node has been faster.
        let before = before.get(&row.id).copied().ok_or(DbError::Collided("let a delivery go on"))?;
        let next = superseding(row, trigger, budget, now)?;
        tx.counts.superseded(row.counted(), before.begun_at);
        made.push(insert(tx, &NewAttempt { job, ..row.next(&next, now) }, Some(before)).await?);
    }
    Ok(made)
}

fn superseding(row: &Stored, trigger: Trigger, budget: Budget, now: Timestamp) -> DbResult<Next> {
    let answer = transition::apply(row.current, Input::Supersede { trigger, budget, now });
    let answer = answer.map_err(|e| fault(e.to_string()))?;
    answer.next.ok_or_else(|| fault("a superseded attempt has no successor"))
}
