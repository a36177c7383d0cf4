//! Removing expired rows of the log, events and idempotency keys.
//!
//! The log and the events are walked by their row numbers, which ascend with time; so no index by time
//! is needed, and what cannot go yet (pending, or a delivery that lives on) is passed over. Rows that a
//! clock once dated into the future hold a walk up only if there are [`LOOK_AHEAD`] of them in a row.
//!
//! A step removes ranges of row numbers, each with one statement. A row has entries in twelve indexes, and in
//! most of them neighbors stand together: ten rows in one transaction change eight pages each, four thousand
//! less than one each (`docs/benchmarks.md`).
//!
//! An event has three ends: its payload is removed by its own policy; its row stays while an attempt
//! or an idempotency key refers to it ([`drop_if_unused`]); then it goes.

use rusqlite::{Connection, OptionalExtension as _, params};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::domain::attempts::attempt::AttemptStatus;
use crate::domain::{AppId, AttemptId, Timestamp};
use crate::store::sqlite::engine::cache;
use crate::store::sqlite::engine::command::Tx;
use crate::store::sqlite::engine::rows::{AppRow, EventRow};
use crate::store::sqlite::engine::writer::Message;
use crate::store::sqlite::queue::attempts;
use crate::store::{Cutoffs, Expired, StepLimit, SweepStep};

/// Where a step finds only what is younger, so many row numbers more are looked at for something to remove.
const LOOK_AHEAD: i64 = 4_000;
/// Rows of the first statement of a step, and of later ones; each is twice as large as the one before.
const ROWS_MIN: u32 = 16;
const ROWS_MAX: u32 = 1_024;
/// Expired keys are counted so far.
const KEYS_COUNTED: u32 = 100_000;

/// Knows when a step has to end.
pub(super) struct StepEnd {
    limit: StepLimit,
    begun: Instant,
    /// The writer's, to know whether others wait for it.
    inbox: mpsc::Sender<Message>,
}

impl StepEnd {
    pub(super) fn new(limit: StepLimit, inbox: mpsc::Sender<Message>) -> StepEnd {
        StepEnd { limit, begun: Instant::now(), inbox }
    }

    fn is_reached(&self, rows: u64) -> bool {
        let ran = self.begun.elapsed();
        let is_contended = || self.inbox.capacity() < self.inbox.max_capacity();
        rows >= u64::from(self.limit.rows)
            || ran >= self.limit.time
            || (ran >= self.limit.time_contended && is_contended())
    }

    /// The step with its duration.
    pub(super) fn stamp(&self, step: SweepStep) -> SweepStep {
        SweepStep { ran: self.begun.elapsed(), ..step }
    }
}

/// What a statement looked at.
struct Walked {
    count: i64,
    last: Option<i64>,
    /// The last row that is old enough.
    last_expired: Option<i64>,
}

fn walked(row: &rusqlite::Row<'_>) -> rusqlite::Result<Walked> {
    Ok(Walked { count: row.get(0)?, last: row.get(1)?, last_expired: row.get(2)? })
}

/// Walks from `after` on: `look` says what comes next, `ahead` where to go on after a run of younger rows, and
/// `remove` removes what it can of a range, says up to which row it came, and how many are gone.
fn walk(
    end: &StepEnd,
    after: i64,
    mut look: impl FnMut(i64, u32) -> rusqlite::Result<Walked>,
    mut ahead: impl FnMut(i64) -> rusqlite::Result<Option<i64>>,
    mut remove: impl FnMut(i64, i64, &mut SweepStep) -> rusqlite::Result<i64>,
) -> rusqlite::Result<SweepStep> {
    let (mut step, mut rows, mut looked, mut from) = (SweepStep::default(), ROWS_MIN, 0, after);
    loop {
        let found = look(from, rows.min(end.limit.rows))?;
        looked += found.count.unsigned_abs();
        from = match (found.last_expired, found.last) {
            (Some(to), _) => remove(from, to, &mut step)?,
            (None, Some(last)) => match ahead(last)? {
                Some(next) => next,
                None => break,
            },
            (None, None) => break,
        };
        step.next = Some(from);
        if end.is_reached(step.removed.max(looked)) {
            return Ok(step);
        }
        rows = (rows * 2).min(ROWS_MAX);
    }
    // Where nothing is left to look at, the next walk goes on behind what this one has passed.
    Ok(SweepStep { next: None, reached: from, ..step })
}

// ---------------------------------------------------------------------------------------------
// The log

pub(crate) const WALK_ATTEMPTS: &str = "SELECT count(*), max(id), max(CASE WHEN created_at < ?2 THEN id END) \
     FROM (SELECT id, created_at FROM attempts WHERE id > ?1 ORDER BY id LIMIT ?3)";
pub(crate) const NEXT_ATTEMPT: &str =
    "SELECT min(id) FROM attempts WHERE id > ?1 AND id <= ?1 + ?2 AND created_at < ?3";
/// Deliveries with one attempt, which are nearly all. Their details go with them: the table says ON DELETE CASCADE.
pub(crate) const DELETE_SINGLE: &str = "DELETE FROM attempts WHERE id > ?1 AND id <= ?2 AND first_id IS NULL \
     AND created_at < ?3 AND status <> 'pending' \
     AND NOT EXISTS (SELECT 1 FROM attempts l WHERE l.first_id = attempts.id) RETURNING event, created_at";
pub(crate) const WITH_RETRIES: &str = "SELECT id FROM attempts a WHERE id > ?1 AND id <= ?2 AND first_id IS NULL \
     AND created_at < ?3 AND EXISTS (SELECT 1 FROM attempts l WHERE l.first_id = a.id)";
pub(crate) const DELETE_LATER: &str = "DELETE FROM attempts WHERE first_id = ?1";
pub(crate) const DELETE_FIRST: &str = "DELETE FROM attempts WHERE id = ?1";

pub(super) fn sweep_attempts(
    tx: &mut Tx<'_>,
    after: i64,
    before: Timestamp,
    end: &StepEnd,
) -> rusqlite::Result<SweepStep> {
    let conn = tx.conn;
    walk(
        end,
        after,
        |after, rows| conn.prepare_cached(WALK_ATTEMPTS)?.query_row(params![after, before, rows], walked),
        |last| look_ahead(conn, NEXT_ATTEMPT, params![last, LOOK_AHEAD, before]),
        |after, to, step| remove_attempts(conn, after, to, before, end, step),
    )
}

fn remove_attempts(
    conn: &Connection,
    after: i64,
    to: i64,
    before: Timestamp,
    end: &StepEnd,
    step: &mut SweepStep,
) -> rusqlite::Result<i64> {
    let mut events = Vec::new();
    let mut statement = conn.prepare_cached(DELETE_SINGLE)?;
    let mut gone = statement.query(params![after, to, before])?;
    while let Some(row) = gone.next()? {
        events.push(row.get::<_, EventRow>(0)?);
        step.newest = step.newest.max(Some(row.get(1)?));
    }
    step.removed += events.len() as u64;
    events.sort_unstable();
    events.dedup();
    for event in events {
        drop_if_unused(conn, event)?;
    }
    let with_retries: Vec<AttemptId> = conn
        .prepare_cached(WITH_RETRIES)?
        .query_map(params![after, to, before], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for id in with_retries {
        sweep_delivery(conn, id, before, step)?;
        if end.is_reached(step.removed) {
            return Ok(id.0);
        }
    }
    Ok(to)
}

/// Removes a delivery with several attempts if the newest of them allows it.
fn sweep_delivery(
    conn: &Connection,
    delivery: AttemptId,
    before: Timestamp,
    step: &mut SweepStep,
) -> rusqlite::Result<()> {
    let Some(newest) = attempts::newest(conn, delivery)? else { return Ok(()) };
    if newest.current.status == AttemptStatus::Pending || newest.created_at >= before {
        return Ok(());
    }
    let later = conn.prepare_cached(DELETE_LATER)?.execute([delivery])?;
    let first = conn.prepare_cached(DELETE_FIRST)?.execute([delivery])?;
    step.removed += (later + first) as u64;
    step.newest = step.newest.max(Some(newest.created_at));
    drop_if_unused(conn, newest.event)
}

// ---------------------------------------------------------------------------------------------
// Events

pub(crate) const WALK_EVENTS: &str = "SELECT count(*), max(id), max(CASE WHEN created_at < ?2 THEN id END) \
     FROM (SELECT id, created_at FROM events WHERE id > ?1 ORDER BY id LIMIT ?3)";
pub(crate) const NEXT_EVENT: &str =
    "SELECT min(id) FROM events WHERE id > ?1 AND id <= ?1 + ?2 AND created_at < ?3 AND payload IS NOT NULL";
/// The conditions are those of the index `events_app`.
pub(crate) const WALK_APP: &str = "SELECT count(*), max(id), max(CASE WHEN created_at < ?2 THEN id END) \
     FROM (SELECT id, created_at FROM events WHERE app = ?4 AND payload IS NOT NULL AND id > ?1 ORDER BY id LIMIT ?3)";
pub(crate) const NEXT_OF_APP: &str = "SELECT min(id) FROM events WHERE id > ?1 AND id <= ?1 + ?2 AND created_at < ?3 \
     AND payload IS NOT NULL AND app = ?4";
/// Changes expired events of a range: of all apps, or of one. An event without attempts may be about to get them.
macro_rules! of_events {
    ($change:literal, $app:literal, $condition:literal) => {
        concat!(
            $change,
            " WHERE id > ?1 AND id <= ?2 AND created_at < ?3 AND payload IS NOT NULL",
            $app,
            " AND NOT EXISTS (SELECT 1 FROM fan_outs f WHERE f.event = events.id)",
            $condition,
            " RETURNING created_at"
        )
    };
}

/// What nothing refers to goes as a whole. A key is as old as its event to the millisecond, so the index by age
/// finds it.
macro_rules! delete_events {
    ($app:literal) => {
        of_events!(
            "DELETE FROM events",
            $app,
            " AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.event = events.id) AND NOT EXISTS \
             (SELECT 1 FROM idempotency i WHERE i.created_at = events.created_at AND i.event = events.id)"
        )
    };
}

/// Others lose their payload, unless it is still to be sent.
macro_rules! empty_events {
    ($app:literal) => {
        of_events!(
            "UPDATE events SET payload = NULL",
            $app,
            " AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.event = events.id AND a.status = 'pending')"
        )
    };
}

pub(crate) const REMOVE_EVENTS: [&str; 2] = [delete_events!(""), empty_events!("")];
pub(crate) const REMOVE_OF_APP: [&str; 2] = [delete_events!(" AND app = ?4"), empty_events!(" AND app = ?4")];
pub(crate) const IS_REFERRED_TO: &str = "SELECT EXISTS (SELECT 1 FROM attempts WHERE event = ?1)";
pub(crate) const HAS_KEY: &str =
    "SELECT EXISTS (SELECT 1 FROM idempotency i WHERE i.created_at = ?2 AND i.event = ?1)";

pub(super) fn sweep_events(
    tx: &mut Tx<'_>,
    app: Option<AppId>,
    after: i64,
    before: Timestamp,
    end: &StepEnd,
) -> rusqlite::Result<SweepStep> {
    let conn = tx.conn;
    let Some(app) = app else {
        return walk(
            end,
            after,
            |after, rows| conn.prepare_cached(WALK_EVENTS)?.query_row(params![after, before, rows], walked),
            |last| look_ahead(conn, NEXT_EVENT, params![last, LOOK_AHEAD, before]),
            |after, to, step| {
                remove_events(conn, REMOVE_EVENTS, params![after, to, before], step).map(|()| to)
            },
        );
    };
    let Some(app) = cache::app_row(conn, app)? else { return Ok(SweepStep::default()) };
    walk(
        end,
        after,
        |after, rows| conn.prepare_cached(WALK_APP)?.query_row(params![after, before, rows, app], walked),
        |last| look_ahead(conn, NEXT_OF_APP, params![last, LOOK_AHEAD, before, app]),
        |after, to, step| {
            remove_events(conn, REMOVE_OF_APP, params![after, to, before, app], step).map(|()| to)
        },
    )
}

fn remove_events(
    conn: &Connection,
    statements: [&str; 2],
    range: &[&dyn rusqlite::ToSql],
    step: &mut SweepStep,
) -> rusqlite::Result<()> {
    for sql in statements {
        let mut statement = conn.prepare_cached(sql)?;
        let mut gone = statement.query(range)?;
        while let Some(row) = gone.next()? {
            step.removed += 1;
            step.newest = step.newest.max(Some(row.get(0)?));
        }
    }
    Ok(())
}

/// Where to go on after a run of rows that are all too young.
fn look_ahead(conn: &Connection, sql: &str, params: impl rusqlite::Params) -> rusqlite::Result<Option<i64>> {
    let found: Option<i64> = conn.prepare_cached(sql)?.query_row(params, |row| row.get(0))?;
    Ok(found.map(|id| id - 1))
}

/// Removes an event that has lost its payload, once nothing refers to it.
fn drop_if_unused(conn: &Connection, event: EventRow) -> rusqlite::Result<()> {
    let taken: Option<(bool, Timestamp)> = conn
        .prepare_cached("SELECT payload IS NULL, created_at FROM events WHERE id = ?1")?
        .query_row([event], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((true, created_at)) = taken else { return Ok(()) };
    if conn.prepare_cached(IS_REFERRED_TO)?.query_row([event], |row| row.get(0))? {
        return Ok(());
    }
    let keyed: bool =
        conn.prepare_cached(HAS_KEY)?.query_row(params![event, created_at], |row| row.get(0))?;
    if !keyed {
        conn.prepare_cached("DELETE FROM events WHERE id = ?1")?.execute([event])?;
        conn.prepare_cached("DELETE FROM event_extras WHERE event = ?1")?.execute([event])?;
    }
    Ok(())
}

// ---------------------------------------------------------------------------------------------
// Idempotency keys

pub(crate) const EXPIRED_KEYS: &str = "SELECT app, key, event, created_at FROM idempotency WHERE created_at <= ?1 \
     ORDER BY created_at LIMIT ?2";
const COUNT_KEYS: &str = "SELECT count(*) FROM (SELECT 1 FROM idempotency WHERE created_at <= ?1 LIMIT ?2)";

/// A step always starts at the oldest: there is more if it was full.
pub(super) fn sweep_keys(tx: &mut Tx<'_>, before: Timestamp, end: &StepEnd) -> rusqlite::Result<SweepStep> {
    let mut step = SweepStep::default();
    let mut rows = ROWS_MIN;
    loop {
        let limit = rows.min(end.limit.rows);
        let expired: Vec<(AppRow, String, EventRow, Timestamp)> = tx
            .prepare_cached(EXPIRED_KEYS)?
            .query_map(params![before, limit], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })?
            .collect::<rusqlite::Result<_>>()?;
        for (app, key, event, created_at) in &expired {
            tx.prepare_cached("DELETE FROM idempotency WHERE app = ?1 AND key = ?2")?
                .execute(params![app, key])?;
            drop_if_unused(tx, *event)?;
            step.newest = Some(*created_at);
        }
        step.removed += expired.len() as u64;
        if expired.len() < limit as usize {
            return Ok(step);
        }
        if end.is_reached(step.removed) {
            return Ok(SweepStep { next: Some(0), ..step });
        }
        rows = (rows * 2).min(ROWS_MAX);
    }
}

// ---------------------------------------------------------------------------------------------
// How much there is

pub(crate) const OLDEST_PAYLOAD: &str = "SELECT min(oldest) FROM (SELECT (SELECT min(e.id) FROM events e \
     WHERE e.app = a.id AND e.payload IS NOT NULL) AS oldest FROM apps a)";

/// Where expired rows are.
pub(super) fn expired(conn: &Connection, cutoffs: Cutoffs) -> rusqlite::Result<Expired> {
    let to =
        |table, before: Option<Timestamp>| before.map_or(Ok(0), |before| last_before(conn, table, before));
    let first = |sql: &str| -> rusqlite::Result<i64> {
        let first: Option<i64> = conn.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        Ok(first.map_or(i64::MAX, |first| first - 1))
    };
    Ok(Expired {
        attempts_from: first("SELECT min(id) FROM attempts")?,
        attempts_to: to("attempts", cutoffs.attempts)?,
        events_to: to("events", cutoffs.events)?,
        events_from: first(OLDEST_PAYLOAD)?,
        attempts_spread: 1,
        events_spread: 1,
        keys: conn
            .prepare_cached(COUNT_KEYS)?
            .query_row(params![cutoffs.keys, KEYS_COUNTED], |row| row.get::<_, i64>(0))?
            .unsigned_abs(),
    })
}

/// The last row made before a time, 0 if there is none; exact where times ascend with row numbers.
fn last_before(conn: &Connection, table: &str, before: Timestamp) -> rusqlite::Result<i64> {
    let end = |order: &str| -> rusqlite::Result<Option<i64>> {
        conn.prepare_cached(&format!("SELECT id FROM {table} ORDER BY id {order} LIMIT 1"))?
            .query_row([], |row| row.get(0))
            .optional()
    };
    let (Some(first), Some(last)) = (end("ASC")?, end("DESC")?) else { return Ok(0) };
    let (mut low, mut high) = (first - 1, last);
    let sql =
        format!("SELECT id, created_at FROM {table} WHERE id > ?1 AND id <= ?2 ORDER BY id DESC LIMIT 1");
    let mut probe = conn.prepare_cached(&sql)?;
    // `low` is before the time, or nothing is; what is above `high` is not.
    while low < high {
        let middle = low + (high - low + 1) / 2;
        let found: Option<(i64, Timestamp)> =
            probe.query_row([low, middle], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        match found {
            Some((_, created_at)) if created_at < before => low = middle,
            Some((id, _)) => high = id - 1,
            None => low = middle,
        }
    }
    Ok(if low < first { 0 } else { low })
}
