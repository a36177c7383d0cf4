//! Single rows of the log: making one, finding the newest of a delivery, and the change that an
//! exhausted one goes through when its delivery goes on.
//!
//! One invariant lives here: `next_retry_at` of a row is the `due_at` of the row that follows it, for as
//! long as that one is pending.

use std::ops::Range;
use std::sync::LazyLock;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::domain::attempts::attempt::{
    Attempt, AttemptStatus, AttemptSummary, Budget, ErrorKind, LastOutcome, Trigger,
};
use crate::domain::attempts::transition;
use crate::domain::attempts::transition::{Current, Input, Next};
use crate::domain::{AppId, AttemptId, Timestamp};
pub(crate) use crate::store::shared::attempt_rows::{NewAttempt, NewDelivery, Stored, pending_only};
use crate::store::shared::class::{self, Class};
use crate::store::shared::excerpt::{EXCERPT_BYTES, excerpt};
use crate::store::sqlite::engine::cache;
use crate::store::sqlite::engine::command::Tx;
use crate::store::sqlite::engine::error::fault;
use crate::store::sqlite::engine::rows;
use crate::store::sqlite::engine::rows::{AppRow, EndpointRow, EventRow, JobRow, TypeRow};
use crate::store::sqlite::engine::zones;
use crate::store::sqlite::queue::bulk_job_counts;

/// Makes a pending row.
pub(crate) fn insert(tx: &mut Tx<'_>, new: &NewAttempt) -> rusqlite::Result<AttemptId> {
    tx.counts.queued();
    if new.first.is_none() {
        tx.counts.begun(new.endpoint, new.trigger, new.created_at);
    }
    let last_outcome = match new.before {
        Some(before) => last_outcome(tx, before)?,
        None => None,
    };
    tx.prepare_cached(
        "INSERT INTO attempts (first_id, app, endpoint, event, type, status, trigger, attempt, \
         schedule_used, created_at, due_at, job, held_since, last_outcome) \
         VALUES (?1, ?2, ?3, ?4, ?5, 'pending', ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?
    .execute(params![
        new.first,
        new.app,
        new.endpoint,
        new.event,
        new.kind,
        new.trigger,
        new.attempt,
        rows::schedule_used(new.budget),
        new.created_at,
        new.due_at,
        new.job,
        new.held_since,
        last_outcome
    ])?;
    let id = tx.last_insert_rowid();
    tx.entered(zones::ATTEMPTS, id, new.created_at)?;
    Ok(AttemptId(id))
}

/// How an attempt ended, as `last_outcome` of the one that follows has it.
pub(crate) fn last_outcome(conn: &Connection, before: AttemptId) -> rusqlite::Result<Option<i64>> {
    let outcome = conn
        .prepare_cached("SELECT class FROM attempts WHERE id = ?1")?
        .query_row([before], |row| row.get::<_, i64>(0))
        .optional()?;
    Ok(outcome.map(|class| Class(class).as_last_outcome()))
}

/// An event's deliveries, which are made together.
pub(crate) struct NewDeliveries<'a> {
    pub(crate) app: AppRow,
    pub(crate) event: EventRow,
    pub(crate) kind: TypeRow,
    pub(crate) endpoints: &'a [EndpointRow],
    pub(crate) accepted_at: Timestamp,
}

/// Makes the first attempts of an event, which are due at once; their numbers, in the order of the endpoints.
pub(crate) fn insert_first(
    tx: &mut Tx<'_>,
    new: &NewDeliveries<'_>,
) -> rusqlite::Result<impl Iterator<Item = AttemptId> + use<>> {
    let NewDeliveries { app, event, kind, endpoints, accepted_at } = *new;
    let of = |endpoint| NewDelivery { app, endpoint, event, kind }.of_event(accepted_at);
    let ids = match endpoints {
        [] => 0..0,
        [endpoint] => {
            let AttemptId(id) = insert(tx, &of(*endpoint))?;
            id..id + 1
        }
        [one, ..] => insert_together(tx, &of(*one), endpoints)?,
    };
    Ok(ids.map(AttemptId))
}

/// Makes a row like this for each endpoint in one statement, because a statement opens every index of the table. The
/// table numbers rows without a gap, and nobody else writes.
fn insert_together(
    tx: &mut Tx<'_>,
    new: &NewAttempt,
    endpoints: &[EndpointRow],
) -> rusqlite::Result<Range<i64>> {
    let list = endpoints.iter().map(|endpoint| endpoint.0.to_string()).collect::<Vec<_>>().join(",");
    let count = tx
        .prepare_cached(
            "INSERT INTO attempts (app, endpoint, event, type, status, trigger, attempt, schedule_used, \
             created_at, due_at) \
             SELECT ?1, value, ?2, ?3, 'pending', ?4, ?5, ?6, ?7, ?8 FROM json_each(?9)",
        )?
        .execute(params![
            new.app,
            new.event,
            new.kind,
            new.trigger,
            new.attempt,
            rows::schedule_used(new.budget),
            new.created_at,
            new.due_at,
            format!("[{list}]")
        ])?;
    if count != endpoints.len() {
        return Err(fault(format!("{count} attempts were made for {} endpoints", endpoints.len())));
    }
    let end = tx.last_insert_rowid() + 1;
    let ids = end - count as i64..end;
    for (endpoint, id) in endpoints.iter().zip(ids.clone()) {
        tx.counts.queued();
        tx.counts.begun(*endpoint, new.trigger, new.created_at);
        tx.entered(zones::ATTEMPTS, id, new.created_at)?;
    }
    Ok(ids)
}

pub(crate) const STORED: &str = "id, first_id, app, endpoint, event, type, status, attempt, trigger, schedule_used, \
     created_at, attempted_at, response_time_ms, job, local_since, due_at, held_since";

pub(crate) fn stored(row: &Row<'_>) -> rusqlite::Result<Stored> {
    Ok(Stored {
        id: row.get(0)?,
        first: row.get(1)?,
        app: row.get(2)?,
        endpoint: row.get(3)?,
        event: row.get(4)?,
        kind: row.get(5)?,
        current: Current {
            status: row.get(6)?,
            attempt: row.get(7)?,
            trigger: row.get(8)?,
            budget: rows::budget(row.get(9)?),
            local_since: row.get(14)?,
            due_at: row.get(15)?,
            held_since: row.get(16)?,
        },
        created_at: row.get(10)?,
        attempted_at: row.get(11)?,
        response_time_ms: row.get(12)?,
        job: row.get(13)?,
    })
}

pub(crate) static GET: LazyLock<String> =
    LazyLock::new(|| format!("SELECT {STORED} FROM attempts WHERE id = ?1"));

pub(crate) fn newest_sql() -> String {
    format!("SELECT {STORED} FROM attempts WHERE first_id = ?1 ORDER BY id DESC LIMIT 1")
}

/// One row.
pub(crate) fn get(conn: &Connection, id: AttemptId) -> rusqlite::Result<Option<Stored>> {
    conn.prepare_cached(&GET)?.query_row([id], stored).optional()
}

/// One row, if it belongs to this app.
pub(crate) fn of_app(conn: &Connection, app: AppId, id: AttemptId) -> rusqlite::Result<Option<Stored>> {
    let Some(app) = cache::app_row(conn, app)? else { return Ok(None) };
    Ok(get(conn, id)?.filter(|row| row.app == app))
}

/// The newest row of a delivery.
pub(crate) fn newest(conn: &Connection, delivery: AttemptId) -> rusqlite::Result<Option<Stored>> {
    let later = conn.prepare_cached(&newest_sql())?.query_row([delivery], stored).optional()?;
    if later.is_some() { Ok(later) } else { get(conn, delivery) }
}

pub(crate) const CLEAR_FIRST: &str =
    "UPDATE attempts SET next_retry_at = NULL WHERE id = ?1 AND next_retry_at IS NOT NULL";
pub(crate) const CLEAR_LATER: &str = "UPDATE attempts SET next_retry_at = NULL \
     WHERE first_id = ?1 AND attempt = ?2 AND next_retry_at IS NOT NULL";

/// A row is no longer pending: takes its time off the row before it.
pub(crate) fn clear_next_retry(conn: &Connection, row: &Stored) -> rusqlite::Result<()> {
    match row.current.attempt {
        0 | 1 => Ok(()),
        2 => conn.prepare_cached(CLEAR_FIRST)?.execute([row.delivery()]).map(|_| ()),
        n => conn.prepare_cached(CLEAR_LATER)?.execute(params![row.delivery(), n - 1]).map(|_| ()),
    }
}

/// A pending row is due at another time: so says the row before it, too.
pub(crate) fn move_next_retry(conn: &Connection, row: &Stored, due_at: Timestamp) -> rusqlite::Result<()> {
    let delivery = row.delivery();
    match row.current.attempt {
        0 | 1 => Ok(()),
        2 => conn
            .prepare_cached(
                "UPDATE attempts SET next_retry_at = ?2 WHERE id = ?1 AND next_retry_at IS NOT NULL",
            )?
            .execute(params![delivery, due_at])
            .map(|_| ()),
        n => conn
            .prepare_cached(
                "UPDATE attempts SET next_retry_at = ?3 \
                 WHERE first_id = ?1 AND attempt = ?2 AND next_retry_at IS NOT NULL",
            )?
            .execute(params![delivery, n - 1, due_at])
            .map(|_| ()),
    }
}

/// When a row's delivery was made.
pub(crate) fn begun_at(conn: &Connection, row: &Stored) -> rusqlite::Result<Timestamp> {
    match row.first {
        None => Ok(row.created_at),
        Some(first) => conn
            .prepare_cached("SELECT created_at FROM attempts WHERE id = ?1")?
            .query_row([first], |row| row.get(0)),
    }
}

/// Cancels a row that is pending; `false` when it is not.
pub(crate) fn cancel(tx: &mut Tx<'_>, id: AttemptId) -> rusqlite::Result<bool> {
    let Some(row) = get(tx, id)? else { return Ok(false) };
    let Ok(answer) = transition::apply(row.current, Input::Cancel) else { return Ok(false) };
    let result_seq = tx.next_result_seq(row.app)?;
    tx.prepare_cached("UPDATE attempts SET status = ?2, result_seq = ?3 WHERE id = ?1")?.execute(params![
        id,
        answer.status,
        result_seq
    ])?;
    clear_next_retry(tx, &row)?;
    tx.counts.unqueued(row.counted());
    tx.counts.moved(row.counted(), answer.status);
    bulk_job_counts::attempt_changed(tx, row.job, row.current.status, answer.status)?;
    Ok(true)
}

/// Lets an exhausted delivery go on, on behalf of a bulk job or not: its last row becomes `failed`, and
/// the next one is due now.
pub(crate) fn supersede(
    tx: &mut Tx<'_>,
    row: &Stored,
    trigger: Trigger,
    budget: Budget,
    job: Option<JobRow>,
    now: Timestamp,
) -> rusqlite::Result<(AttemptId, Next)> {
    let answer = transition::apply(row.current, Input::Supersede { trigger, budget, now });
    let answer = answer.map_err(|e| fault(e.to_string()))?;
    let next = answer.next.ok_or_else(|| fault("a superseded attempt has no successor"))?;
    tx.prepare_cached("UPDATE attempts SET status = ?2, next_retry_at = ?3 WHERE id = ?1")?
        .execute(params![row.id, answer.status, next.due_at])?;
    let begun_at = begun_at(tx, row)?;
    tx.counts.superseded(row.counted(), begun_at);
    let id = insert(tx, &NewAttempt { job, ..row.next(&next, now) })?;
    Ok((id, next))
}

const SUMMARY: &str = "t.id, e.uid, t.attempt, t.status, t.trigger, t.attempted_at, t.due_at, \
     t.response_status, t.error_kind, e.name, e.url";

fn summary(row: &Row<'_>) -> rusqlite::Result<AttemptSummary> {
    let status = row.get(3)?;
    Ok(AttemptSummary {
        id: row.get(0)?,
        endpoint_id: row.get(1)?,
        attempt: row.get(2)?,
        status,
        trigger: row.get(4)?,
        attempted_at: row.get(5)?,
        due_at: pending_only(status, row.get(6)?),
        response_status: row.get(7)?,
        error_kind: row.get(8)?,
        endpoint_name: row.get(9)?,
        endpoint_url: row.get(10)?,
    })
}

/// The attempts of a delivery, first to last.
pub(crate) fn of_delivery(conn: &Connection, delivery: AttemptId) -> rusqlite::Result<Vec<AttemptSummary>> {
    let mut all: Vec<AttemptSummary> = conn
        .prepare_cached(&of_delivery_sql())?
        .query_map([delivery], summary)?
        .collect::<rusqlite::Result<_>>()?;
    all.sort_by_key(|attempt| attempt.id);
    Ok(all)
}

pub(crate) fn of_delivery_sql() -> String {
    format!(
        "SELECT {SUMMARY} FROM attempts t JOIN endpoints e ON e.id = t.endpoint WHERE t.id = ?1 \
         UNION ALL \
         SELECT {SUMMARY} FROM attempts t JOIN endpoints e ON e.id = t.endpoint WHERE t.first_id = ?1"
    )
}

/// The attempts of an event, over all endpoints, oldest first.
pub(crate) fn of_event(conn: &Connection, event: EventRow) -> rusqlite::Result<Vec<AttemptSummary>> {
    conn.prepare_cached(&of_event_sql())?.query_map([event], summary)?.collect()
}

pub(crate) fn of_event_sql() -> String {
    format!(
        "SELECT {SUMMARY} FROM attempts t JOIN endpoints e ON e.id = t.endpoint \
         WHERE t.event = ?1 ORDER BY t.id"
    )
}

/// The row as lists show it, by its id. `substr` makes NULL of an empty blob, hence `coalesce`.
pub(crate) const LIST_ROW: &str = "SELECT t.id, t.first_id, p.uid, p.url, p.name, v.uid, y.name, \
     v.resource_id, t.attempt, t.status, t.trigger, t.response_status, \
     coalesce(substr(d.response_body, 1, ?2), d.response_body), length(d.response_body), \
     d.response_truncated, t.response_time_ms, t.error_kind, t.error_message, t.next_retry_at, \
     t.created_at, t.due_at, t.attempted_at, t.last_outcome \
     FROM attempts t CROSS JOIN endpoints p ON p.id = t.endpoint CROSS JOIN events v ON v.id = t.event \
     CROSS JOIN event_types y ON y.id = t.type LEFT JOIN attempt_details d ON d.attempt = t.id \
     WHERE t.id = ?1";

/// Reads a row as lists show it.
pub(crate) fn list_row(conn: &Connection, id: AttemptId) -> rusqlite::Result<Attempt> {
    let (mut attempt, last) = row_of(conn, id)?;
    if attempt.status == AttemptStatus::Pending {
        attempt.last = last_of(conn, &attempt, last)?;
    }
    Ok(attempt)
}

/// What the row and the one before it say of the last outcome.
fn last_of(conn: &Connection, row: &Attempt, stored: Option<i64>) -> rusqlite::Result<Option<LastOutcome>> {
    let is_local = row.error_kind == Some(ErrorKind::Local);
    let mut last = match stored {
        Some(outcome) => LastOutcome {
            response_status: class::last_status_of(outcome),
            error_kind: class::last_error_of(outcome),
            ..before(conn, row.delivery_id, row.id)?
        },
        None if is_local => LastOutcome::default(),
        None => return Ok(None),
    };
    if is_local {
        let error_message = row.error_message.clone();
        last = LastOutcome { response_status: None, error_kind: row.error_kind, error_message, ..last };
    }
    Ok(Some(last))
}

/// The message and the time of the attempt before one.
pub(crate) fn before(conn: &Connection, delivery: AttemptId, id: AttemptId) -> rusqlite::Result<LastOutcome> {
    let read = |row: &Row<'_>| {
        let (error_message, attempted_at) = (row.get(0)?, row.get(1)?);
        Ok(LastOutcome { error_message, attempted_at, ..LastOutcome::default() })
    };
    let later = conn.prepare_cached(BEFORE_LATER)?.query_row(params![delivery, id], read).optional()?;
    match later {
        Some(last) => Ok(last),
        None => {
            Ok(conn.prepare_cached(BEFORE_FIRST)?.query_row([delivery], read).optional()?.unwrap_or_default())
        }
    }
}

pub(crate) const BEFORE_LATER: &str = "SELECT error_message, attempted_at FROM attempts WHERE first_id = ?1 AND id < ?2 ORDER BY id DESC LIMIT 1";
const BEFORE_FIRST: &str = "SELECT error_message, attempted_at FROM attempts WHERE id = ?1";

/// The row, and its `last_outcome`.
fn row_of(conn: &Connection, id: AttemptId) -> rusqlite::Result<(Attempt, Option<i64>)> {
    conn.prepare_cached(LIST_ROW)?.query_row(params![id, EXCERPT_BYTES as i64], |row| {
        let id = row.get(0)?;
        let status = row.get(9)?;
        let body: Option<Vec<u8>> = row.get(12)?;
        let kept: Option<i64> = row.get(13)?;
        let truncated: Option<bool> = row.get(14)?;
        let error_kind: Option<ErrorKind> = row.get(16)?;
        let attempt = Attempt {
            id,
            delivery_id: row.get::<_, Option<AttemptId>>(1)?.unwrap_or(id),
            endpoint_id: row.get(2)?,
            endpoint_url: row.get(3)?,
            endpoint_name: row.get(4)?,
            event_id: row.get(5)?,
            event_type: row.get(6)?,
            resource_id: row.get(7)?,
            attempt: row.get(8)?,
            status,
            trigger: row.get(10)?,
            response_status: row.get(11)?,
            response_body: body.map(|body| {
                let cut = truncated == Some(true) || kept.is_some_and(|kept| kept > body.len() as i64);
                excerpt(&body, cut)
            }),
            response_time_ms: row.get(15)?,
            error_kind,
            error_message: row.get(17)?,
            next_retry_at: row.get(18)?,
            created_at: row.get(19)?,
            due_at: pending_only(status, row.get(20)?),
            attempted_at: row.get(21)?,
            last: None,
        };
        Ok((attempt, row.get(22)?))
    })
}
