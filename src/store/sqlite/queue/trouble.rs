//! What is remembered of an endpoint's failures, in its row, and what a hold does to the rows of its queue.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::domain::attempts::attempt::Outcome;
use crate::domain::attempts::hold::{FailureRow, Hold, HoldReason, HoldState};
use crate::domain::attempts::trouble::Trouble;
use crate::domain::condition::{Condition, LastFailure};
use crate::domain::{AttemptId, EndpointId, ErrorKind, Timestamp};
use crate::store::sqlite::engine::command::Tx;
use crate::store::sqlite::engine::rows::{self, EndpointRow, JobRow};
use crate::store::sqlite::queue::attempts;

/// The columns that [`read`] reads, as a literal.
macro_rules! trouble_columns {
    () => {
        "hold_reason, hold_since, hold_probe_at, hold_step, row_failures, row_first_at, row_last_at, limited, \
         consecutive_failures, failed_since, is_announced"
    };
}
pub(crate) use trouble_columns;

/// Reads an endpoint's failures from the columns that begin at `from`.
pub(crate) fn read(row: &Row<'_>, from: usize) -> rusqlite::Result<Trouble> {
    let reason: Option<HoldReason> = row.get(from)?;
    let hold = match reason {
        None => None,
        Some(reason) => Some(Hold {
            reason,
            since: row.get(from + 1)?,
            next_probe_at: row.get(from + 2)?,
            step: row.get(from + 3)?,
        }),
    };
    let failures = match row.get(from + 4)? {
        0 => None,
        count => Some(FailureRow { count, first_at: row.get(from + 5)?, last_at: row.get(from + 6)? }),
    };
    Ok(Trouble {
        hold: HoldState { hold, row: failures, limited: row.get(from + 7)? },
        failures: row.get(from + 8)?,
        failed_since: row.get(from + 9)?,
        is_announced: row.get(from + 10)?,
    })
}

/// Writes an endpoint's failures.
pub(crate) fn write(tx: &mut Tx<'_>, endpoint: EndpointRow, trouble: &Trouble) -> rusqlite::Result<()> {
    let HoldState { hold, row, limited } = trouble.hold;
    tx.cache.trouble_changed(endpoint);
    tx.prepare_cached(
        "UPDATE endpoints SET hold_reason = ?2, hold_since = ?3, hold_probe_at = ?4, hold_step = ?5, \
         row_failures = ?6, row_first_at = ?7, row_last_at = ?8, limited = ?9, consecutive_failures = ?10, \
         failed_since = ?11, is_announced = ?12 WHERE id = ?1",
    )?
    .execute(params![
        endpoint,
        hold.map(|hold| hold.reason),
        hold.map(|hold| hold.since),
        hold.map(|hold| hold.next_probe_at),
        hold.map_or(0, |hold| hold.step),
        row.map_or(0, |row| row.count),
        row.map(|row| row.first_at),
        row.map(|row| row.last_at),
        limited,
        trouble.failures,
        trouble.failed_since,
        trouble.is_announced
    ])
    .map(|_| ())
}

/// Notes what the last failure of an endpoint was.
pub(crate) fn write_failure(
    conn: &Connection,
    endpoint: EndpointRow,
    outcome: &Outcome,
) -> rusqlite::Result<()> {
    let Some(failure) = &outcome.failure else { return Ok(()) };
    conn.prepare_cached(
        "UPDATE endpoints SET failure_kind = ?2, failure_status = ?3, failure_message = ?4 WHERE id = ?1",
    )?
    .execute(params![
        endpoint,
        failure.kind,
        outcome.response.as_ref().map(|response| response.status),
        failure.message
    ])
    .map(|_| ())
}

fn last_failure(row: &Row<'_>, from: usize) -> rusqlite::Result<Option<LastFailure>> {
    let kind: Option<ErrorKind> = row.get(from)?;
    Ok(match kind {
        None => None,
        Some(kind) => {
            Some(LastFailure { kind, response_status: row.get(from + 1)?, message: row.get(from + 2)? })
        }
    })
}

pub(crate) const CONDITION: &str = concat!(
    "SELECT ",
    trouble_columns!(),
    ", failure_kind, failure_status, failure_message, \
     coalesce((SELECT pending FROM totals WHERE endpoint = endpoints.id), 0) FROM endpoints WHERE id = ?1"
);

/// How an endpoint stands.
pub(crate) fn condition(conn: &Connection, endpoint: EndpointRow) -> rusqlite::Result<Condition> {
    conn.prepare_cached(CONDITION)?.query_row([endpoint], |row| {
        Ok(Condition {
            trouble: read(row, 0)?,
            last_failure: last_failure(row, 11)?,
            waiting: rows::count(row, 14)?,
        })
    })
}

/// Forgets an endpoint's failures, because a person has changed what led to them: what was held is due at once.
pub(crate) fn forget(tx: &mut Tx<'_>, endpoint: EndpointRow, now: Timestamp) -> rusqlite::Result<()> {
    write(tx, endpoint, &Trouble::default())?;
    release(tx, endpoint, now)
}

pub(crate) const HELD: &str = "SELECT id FROM attempts \
     WHERE endpoint = ?1 AND status = 'pending' AND held_since IS NOT NULL AND due_at > ?2";

/// A hold has ended: what failed during it is due at once. There are at most as many of these rows as there
/// were probes and requests in flight.
pub(crate) fn release(tx: &mut Tx<'_>, endpoint: EndpointRow, now: Timestamp) -> rusqlite::Result<()> {
    let held: Vec<AttemptId> = tx
        .prepare_cached(HELD)?
        .query_map(params![endpoint, now], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for id in held {
        make_due(tx, id, now)?;
    }
    Ok(())
}

pub(crate) const LATER: &str = "SELECT id FROM attempts WHERE endpoint = ?1 AND bulk IN (0, 1) \
     AND status = 'pending' AND schedule_used IS NOT NULL AND due_at > ?2 LIMIT ?3";

/// The pending rows of an endpoint that are due later than `now`.
pub(crate) fn due_later(
    conn: &Connection,
    endpoint: EndpointRow,
    now: Timestamp,
    limit: u32,
) -> rusqlite::Result<Vec<AttemptId>> {
    conn.prepare_cached(LATER)?.query_map(params![endpoint, now, limit], |row| row.get(0))?.collect()
}

/// Makes a pending row due now; says nothing of one that is not pending.
pub(crate) fn make_due(tx: &mut Tx<'_>, id: AttemptId, now: Timestamp) -> rusqlite::Result<()> {
    let Some(row) = attempts::get(tx, id)? else { return Ok(()) };
    tx.prepare_cached("UPDATE attempts SET due_at = ?2 WHERE id = ?1 AND status = 'pending'")?
        .execute(params![id, now])?;
    attempts::move_next_retry(tx, &row, now)
}

/// Makes a pending row due now as part of a bulk job, unless it is part of one already. If its endpoint is on
/// hold, a probe follows at once; if it is paused, the row is sent all the same.
pub(crate) fn send_now(
    tx: &mut Tx<'_>,
    row: &attempts::Stored,
    job: JobRow,
    now: Timestamp,
) -> rusqlite::Result<()> {
    make_due(tx, row.id, now)?;
    tx.prepare_cached(
        "UPDATE attempts SET job = coalesce(job, ?2), \
         urgent = CASE (SELECT status FROM endpoints WHERE id = attempts.endpoint) WHEN 'active' THEN urgent ELSE 1 END \
         WHERE id = ?1",
    )?
    .execute(params![row.id, job])?;
    let trouble = condition(tx, row.endpoint)?.trouble;
    match trouble.hold.hold {
        Some(hold) if hold.next_probe_at > now => {
            write(tx, row.endpoint, &Trouble { hold: trouble.hold.probe_now(now), ..trouble })
        }
        _ => Ok(()),
    }
}

/// Rows of active endpoints on hold that have waited since `?1` or longer: held since then, or due since then and
/// never sent, while the endpoint has been on hold for as long. A pause has no limit, so those of paused endpoints
/// wait on.
pub(crate) const OVERDUE: &str = "SELECT t.id, p.uid FROM endpoints p CROSS JOIN attempts t ON t.endpoint = p.id \
         AND t.status = 'pending' AND t.held_since IS NOT NULL AND t.held_since <= ?1 \
     WHERE p.hold_reason IS NOT NULL AND p.status = 'active' AND p.deleted_at IS NULL \
     UNION ALL \
     SELECT t.id, p.uid FROM endpoints p CROSS JOIN attempts t ON t.endpoint = p.id AND t.bulk IN (0, 1) \
         AND t.status = 'pending' AND t.schedule_used IS NOT NULL AND t.due_at <= ?1 \
     WHERE p.hold_reason IS NOT NULL AND p.status = 'active' AND p.deleted_at IS NULL \
         AND p.hold_since <= ?1 AND t.held_since IS NULL LIMIT ?2";

/// Rows that have been held since then or longer, with their endpoints.
pub(crate) fn overdue(
    conn: &Connection,
    since: Timestamp,
    limit: u32,
) -> rusqlite::Result<Vec<(AttemptId, EndpointId)>> {
    conn.prepare_cached(OVERDUE)?
        .query_map(params![since, limit], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// Whether one row is among those of [`OVERDUE`].
pub(crate) const IS_OVERDUE: &str = "SELECT EXISTS (SELECT 1 FROM attempts t JOIN endpoints p ON p.id = t.endpoint \
     WHERE t.id = ?2 AND t.status = 'pending' AND p.status = 'active' AND p.deleted_at IS NULL \
         AND p.hold_reason IS NOT NULL AND CASE WHEN t.held_since IS NOT NULL THEN t.held_since <= ?1 \
             ELSE t.schedule_used IS NOT NULL AND t.due_at <= ?1 AND p.hold_since <= ?1 END)";

/// Whether a row is pending and has been held since then or longer.
pub(crate) fn is_overdue(conn: &Connection, id: AttemptId, since: Timestamp) -> rusqlite::Result<bool> {
    conn.prepare_cached(IS_OVERDUE)?.query_row(params![since, id], |row| row.get(0))
}

/// The failure that a row which was never sent is exhausted with: the one before it in its delivery, or the
/// endpoint's.
pub(crate) fn failure_of(
    conn: &Connection,
    row: &attempts::Stored,
) -> rusqlite::Result<(Option<LastFailure>, Option<Timestamp>)> {
    let before = conn
        .prepare_cached(
            "SELECT error_kind, response_status, coalesce(error_message, '') FROM attempts \
             WHERE (first_id = ?1 OR id = ?1) AND id < ?2 ORDER BY id DESC LIMIT 1",
        )?
        .query_row(params![row.delivery(), row.id], |row| last_failure(row, 0))
        .optional()?
        .flatten();
    let (of_endpoint, since) = conn
        .prepare_cached(
            "SELECT failure_kind, failure_status, failure_message, hold_since FROM endpoints WHERE id = ?1",
        )?
        .query_row([row.endpoint], |row| Ok((last_failure(row, 0)?, row.get(3)?)))?;
    Ok((before.or(of_endpoint), since))
}
