//! Removing expired rows of the log, events and idempotency keys.
//!
//! Ids begin with the second in which a row was made, so what has expired is a range of ids. It is walked from the
//! oldest on, each statement for many rows; what cannot go yet (a delivery that lives on, an event that is still to be
//! sent) is passed over. Before a partition that may go as a whole ([`whole`](super::whole)) the walk stops.
//!
//! An event has three ends: its payload is removed by its own policy; its row stays while an attempt refers to it;
//! then it goes.

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_postgres::types::ToSql;

use crate::domain::{AppId, AttemptId, Timestamp};
use crate::store::postgres::engine::cache;
use crate::store::postgres::engine::conn::{Conn, Params, Statements as _};
use crate::store::postgres::engine::error::DbResult;
use crate::store::postgres::engine::ids;
use crate::store::postgres::engine::rows::{AppRow, Columns as _, EventRow};
use crate::store::postgres::engine::writer::Message;
use crate::store::{Cutoffs, Expired, StepLimit, SweepStep};

/// Rows of the first statement of a step, and of later ones; each is twice as large as the one before.
const ROWS_MIN: u32 = 64;
const ROWS_MAX: u32 = 2_048;
/// The last id that may be of before this database, and how many younger rows end the walk among those.
const LAST_EARLY: i64 = ids::TIMELY_FROM - 1;
const YOUNG_RUN: u64 = 2 * ROWS_MAX as u64;
/// Expired keys are counted so far.
const KEYS_COUNTED: i64 = 100_000;

/// Knows when a step has to end.
pub(super) struct StepEnd {
    limit: StepLimit,
    begun: Instant,
    /// The writer's, to know whether others wait for it.
    inbox: mpsc::WeakSender<Message>,
}

impl StepEnd {
    pub(super) fn new(limit: StepLimit, inbox: mpsc::WeakSender<Message>) -> StepEnd {
        StepEnd { limit, begun: Instant::now(), inbox }
    }

    fn is_reached(&self, rows: u64) -> bool {
        let ran = self.begun.elapsed();
        let is_contended =
            || self.inbox.upgrade().is_some_and(|inbox| inbox.capacity() < inbox.max_capacity());
        rows >= u64::from(self.limit.rows)
            || ran >= self.limit.time
            || (ran >= self.limit.time_contended && is_contended())
    }

    /// The step with its duration.
    pub(super) fn stamp(&self, step: SweepStep) -> SweepStep {
        SweepStep { ran: self.begun.elapsed(), ..step }
    }
}

/// Rows that a statement looked at.
struct Walked {
    count: u64,
    last: i64,
}

/// The next ids behind one; `None`: there are no more. The statement gives `count` and `last`.
async fn find(conn: &Conn, sql: &str, values: Params<'_>) -> DbResult<Option<Walked>> {
    let row = conn.row(sql, values).await?;
    let last: Option<i64> = row.col("last")?;
    let count = row.num("count")?;
    Ok(last.map(|last| Walked { count, last }))
}

/// Where a walk is.
struct Walk<'a> {
    end: &'a StepEnd,
    step: SweepStep,
    rows: u32,
    looked: u64,
    from: i64,
    /// Rows of before this database in a row that have not expired.
    young: u64,
}

impl Walk<'_> {
    fn new(end: &StepEnd, after: i64) -> Walk<'_> {
        let rows = ROWS_MIN.min(end.limit.rows).max(1);
        Walk { end, step: SweepStep::default(), rows, looked: 0, from: after, young: 0 }
    }

    /// The next rows. Ids of before this database do not say when a row was made, but they ascend: a run of rows that
    /// are all younger ends the walk among them, and it goes on behind.
    async fn find(
        &mut self,
        conn: &Conn,
        [early, timely]: [&str; 2],
        until: i64,
        before: Timestamp,
        app: Option<AppRow>,
    ) -> DbResult<Option<Walked>> {
        while self.from < LAST_EARLY {
            let limit = i64::from(ROWS_MAX);
            let values: Params<'_> = &[&self.from, &until.min(LAST_EARLY + 1), &before, &limit, &app];
            let row = conn.row(early, values).await?;
            let (last, count): (Option<i64>, u64) = (row.col("last")?, row.num("count")?);
            match last {
                None => self.from = LAST_EARLY,
                Some(last) if row.num::<u64>("expired")? > 0 => {
                    self.young = 0;
                    return Ok(Some(Walked { count, last }));
                }
                Some(last) => {
                    self.young += count;
                    self.from = if self.young >= YOUNG_RUN { LAST_EARLY } else { last };
                }
            }
        }
        find(conn, timely, &[&self.from, &until, &before, &self.limit(), &app]).await
    }

    fn limit(&self) -> i64 {
        self.rows.into()
    }

    /// The rows up to `walked` are done with; whether the step ends here.
    fn passed(&mut self, walked: &Walked) -> bool {
        self.looked += walked.count;
        self.from = walked.last;
        self.rows = (self.rows * 2).min(ROWS_MAX).min(self.end.limit.rows).max(1);
        self.end.is_reached(self.step.removed.max(self.looked))
    }

    fn gone(&mut self, removed: u64, newest: Option<Timestamp>) {
        self.step.removed += removed;
        self.step.newest = self.step.newest.max(newest);
    }

    /// There may be more.
    fn more(self) -> SweepStep {
        SweepStep { next: Some(self.from), reached: self.from, ..self.step }
    }

    /// Nothing is left to look at before an id, where a partition begins that may go as a whole.
    fn done_before(mut self, stop: Option<i64>) -> SweepStep {
        match stop {
            None => self.done(),
            Some(stop) => {
                self.from = self.from.max(stop - 1);
                self.more()
            }
        }
    }

    /// Nothing is left to look at; the next walk goes on behind what this one has passed.
    fn done(self) -> SweepStep {
        SweepStep { next: None, reached: self.from, ..self.step }
    }
}

/// The first id of the second after a time: what was made before the time is below it.
fn bound(before: Timestamp) -> i64 {
    ids::first_at(before.plus_ms(1_000))
}

// ---------------------------------------------------------------------------------------------
// The log

const WALK_ATTEMPTS: [&str; 2] = [
    "SELECT count(*) AS count, max(id) AS last, count(*) FILTER (WHERE created_at < $3) AS expired \
     FROM (SELECT id, created_at FROM log WHERE id > $1 AND id < $2 AND $5::bigint IS NULL ORDER BY id LIMIT $4) AS next",
    "SELECT count(*) AS count, max(id) AS last FROM (SELECT id FROM log \
     WHERE id > $1 AND id < $2 AND created_at < $3 AND $5::bigint IS NULL ORDER BY id LIMIT $4) AS next",
];
/// Deliveries with one attempt, which are nearly all: others have a first attempt that failed.
const DELETE_SINGLE: &str = "DELETE FROM log WHERE id > $1 AND id <= $2 AND first_id IS NULL AND status <> 'failed' \
     AND created_at < $3 RETURNING event, created_at";
/// First attempts of deliveries that have ended before a time.
const WITH_RETRIES: &str = "SELECT f.id FROM log f WHERE f.id > $1 AND f.id <= $2 AND f.first_id IS NULL \
     AND f.status = 'failed' AND f.created_at < $3 \
     AND NOT EXISTS (SELECT 1 FROM queue q WHERE q.first_id = f.id) \
     AND NOT EXISTS (SELECT 1 FROM log l WHERE l.first_id = f.id AND l.id > f.id AND l.created_at >= $3)";
const DELETE_LATER: &str =
    "DELETE FROM log WHERE first_id = ANY($1) AND id > $2 AND id < $3 RETURNING event, created_at";
const DELETE_FIRST: &str =
    "DELETE FROM log WHERE id = ANY($1) AND id > $2 AND id <= $3 RETURNING event, created_at";

pub(super) async fn sweep_attempts(
    conn: &Conn,
    after: i64,
    before: Timestamp,
    stop: Option<i64>,
    end: &StepEnd,
) -> DbResult<SweepStep> {
    let mut walk = Walk::new(end, after);
    let bound = bound(before);
    let until = stop.unwrap_or(bound).min(bound);
    loop {
        let Some(found) = walk.find(conn, WALK_ATTEMPTS, until, before, None).await? else {
            return Ok(walk.done_before(stop));
        };
        let mut events = Vec::new();
        let range: Params<'_> = &[&walk.from, &found.last, &before];
        remove(conn, DELETE_SINGLE, range, &mut walk.step, &mut events).await?;
        let mut with_retries: Vec<AttemptId> = Vec::new();
        for row in conn.rows(WITH_RETRIES, range).await? {
            with_retries.push(row.col("id")?);
        }
        if !with_retries.is_empty() {
            let later: Params<'_> = &[&with_retries, &walk.from, &bound];
            remove(conn, DELETE_LATER, later, &mut walk.step, &mut events).await?;
            let first: Params<'_> = &[&with_retries, &walk.from, &found.last];
            remove(conn, DELETE_FIRST, first, &mut walk.step, &mut events).await?;
        }
        drop_unused(conn, &mut events).await?;
        if walk.passed(&found) {
            return Ok(walk.more());
        }
    }
}

/// Removes rows; their events are added to `events`.
async fn remove(
    conn: &Conn,
    sql: &str,
    values: Params<'_>,
    step: &mut SweepStep,
    events: &mut Vec<EventRow>,
) -> DbResult<()> {
    for row in conn.rows(sql, values).await? {
        events.push(row.col("event")?);
        step.removed += 1;
        step.newest = step.newest.max(Some(row.col("created_at")?));
    }
    Ok(())
}

const DROP_UNUSED: &str = "DELETE FROM events e WHERE e.id = ANY($1) AND e.id >= $2 AND e.id <= $3 \
     AND e.payload IS NULL AND NOT EXISTS (SELECT 1 FROM queue q WHERE q.event = e.id) \
     AND NOT EXISTS (SELECT 1 FROM log l WHERE l.event = e.id)";

/// Removes events that have lost their payload, once nothing refers to them.
async fn drop_unused(conn: &Conn, events: &mut Vec<EventRow>) -> DbResult<()> {
    events.sort_unstable();
    events.dedup();
    let (Some(first), Some(last)) = (events.first(), events.last()) else { return Ok(()) };
    conn.run(DROP_UNUSED, &[&*events, first, last]).await.map(|_| ())
}

// ---------------------------------------------------------------------------------------------
// Events

/// The conditions are those of the index `events_app`.
const WALK_EVENTS: [&str; 2] = [
    "SELECT count(*) AS count, max(id) AS last, count(*) FILTER (WHERE created_at < $3) AS expired \
     FROM (SELECT id, created_at FROM events WHERE id > $1 AND id < $2 AND payload IS NOT NULL \
     AND ($5::bigint IS NULL OR app = $5) ORDER BY id LIMIT $4) AS next",
    "SELECT count(*) AS count, max(id) AS last FROM (SELECT id FROM events \
     WHERE id > $1 AND id < $2 AND created_at < $3 AND payload IS NOT NULL AND ($5::bigint IS NULL OR app = $5) \
     ORDER BY id LIMIT $4) AS next",
];

/// Changes expired events of a range: of all apps, or of one. An event without attempts may be about to get them.
macro_rules! of_events {
    ($change:literal, $condition:literal) => {
        concat!(
            $change,
            " WHERE e.id > $1 AND e.id <= $2 AND e.created_at < $3 AND e.payload IS NOT NULL \
             AND ($4::bigint IS NULL OR e.app = $4) \
             AND NOT EXISTS (SELECT 1 FROM fan_outs f WHERE f.event = e.id) ",
            $condition,
            " RETURNING e.created_at"
        )
    };
}

/// What nothing refers to goes as a whole. Others lose their payload, unless it is still to be sent.
const REMOVE_EVENTS: [&str; 2] = [
    of_events!(
        "DELETE FROM events e",
        "AND NOT EXISTS (SELECT 1 FROM queue q WHERE q.event = e.id) \
         AND NOT EXISTS (SELECT 1 FROM log l WHERE l.event = e.id)"
    ),
    of_events!(
        "UPDATE events e SET payload = NULL",
        "AND NOT EXISTS (SELECT 1 FROM queue q WHERE q.event = e.id)"
    ),
];

pub(super) async fn sweep_events(
    conn: &Conn,
    app: Option<AppId>,
    after: i64,
    before: Timestamp,
    stop: Option<i64>,
    end: &StepEnd,
) -> DbResult<SweepStep> {
    let app: Option<AppRow> = match app {
        None => None,
        Some(app) => match cache::app_row(conn, app).await? {
            None => return Ok(SweepStep::default()),
            found => found,
        },
    };
    let mut walk = Walk::new(end, after);
    let until = stop.unwrap_or(i64::MAX).min(bound(before));
    loop {
        let Some(found) = walk.find(conn, WALK_EVENTS, until, before, app).await? else {
            return Ok(walk.done_before(stop));
        };
        for sql in REMOVE_EVENTS {
            let range: [&(dyn ToSql + Sync); 4] = [&walk.from, &found.last, &before, &app];
            for row in conn.rows(sql, &range).await? {
                walk.gone(1, Some(row.col("created_at")?));
            }
        }
        if walk.passed(&found) {
            return Ok(walk.more());
        }
    }
}

// ---------------------------------------------------------------------------------------------
// Idempotency keys

const EXPIRED_KEYS: &str = "DELETE FROM idempotency WHERE (app, key) IN (SELECT app, key FROM idempotency \
     WHERE created_at <= $1 ORDER BY created_at LIMIT $2) RETURNING event, created_at";
const COUNT_KEYS: &str = "SELECT count(*) AS count FROM (SELECT 1 FROM idempotency WHERE created_at <= $1 LIMIT $2) \
     AS expired";

/// A step always starts at the oldest: there is more if it was full.
pub(super) async fn sweep_keys(conn: &Conn, before: Timestamp, end: &StepEnd) -> DbResult<SweepStep> {
    let mut step = SweepStep::default();
    let mut rows = ROWS_MIN;
    loop {
        let limit = i64::from(rows.min(end.limit.rows));
        let (had, mut events) = (step.removed, Vec::new());
        remove(conn, EXPIRED_KEYS, &[&before, &limit], &mut step, &mut events).await?;
        drop_unused(conn, &mut events).await?;
        if step.removed - had < limit.unsigned_abs() {
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

const OLDEST_PAYLOAD: &str = "SELECT min(first.id) AS id FROM apps a, LATERAL (SELECT e.id FROM events e \
     WHERE e.app = a.id AND e.payload IS NOT NULL ORDER BY e.id LIMIT 1) AS first";
/// Rows of a table with its partitions, as the server estimates them.
const ESTIMATE: &str = "SELECT coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint AS rows FROM pg_inherits i \
     JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = ($1::text)::regclass";

/// Where expired rows are.
pub(super) async fn expired(conn: &Conn, cutoffs: Cutoffs) -> DbResult<Expired> {
    let counted = conn.row(COUNT_KEYS, &[&cutoffs.keys, &KEYS_COUNTED]).await?;
    let oldest: Option<i64> = conn.row(OLDEST_PAYLOAD, &[]).await?.col("id")?;
    let log = Ends::of(conn, "log", cutoffs.attempts).await?;
    let events = Ends::of(conn, "events", cutoffs.events).await?;
    Ok(Expired {
        attempts_from: log.first.map_or(i64::MAX, |first| first - 1),
        attempts_to: log.last_expired,
        attempts_spread: log.spread,
        events_from: oldest.map_or(i64::MAX, |first| first - 1),
        events_to: events.last_expired,
        events_spread: events.spread,
        keys: counted.num("count")?,
    })
}

/// Where the rows of a table are.
struct Ends {
    first: Option<i64>,
    /// The last one that has expired; 0: none has.
    last_expired: i64,
    /// How many ids there are to a row.
    spread: i64,
}

impl Ends {
    async fn of(conn: &Conn, table: &'static str, before: Option<Timestamp>) -> DbResult<Ends> {
        let (bottom, top) = match table {
            "log" => (
                "SELECT id FROM log ORDER BY id LIMIT 1",
                "SELECT id FROM log WHERE id < $1 ORDER BY id DESC LIMIT 1",
            ),
            _ => (
                "SELECT id FROM events ORDER BY id LIMIT 1",
                "SELECT id FROM events WHERE id < $1 ORDER BY id DESC LIMIT 1",
            ),
        };
        let id = |row: Option<tokio_postgres::Row>| row.map(|row| row.col::<i64>("id")).transpose();
        let first = id(conn.row_opt(bottom, &[]).await?)?;
        let last = id(conn.row_opt(top, &[&i64::MAX]).await?)?;
        let last_expired = match before {
            Some(before) => id(conn.row_opt(top, &[&ids::first_at(before)]).await?)?.unwrap_or(0),
            None => 0,
        };
        let rows: i64 = conn.row(ESTIMATE, &[&table]).await?.num("rows")?;
        let span = first.zip(last).map_or(0, |(first, last)| last - first);
        Ok(Ends { first, last_expired, spread: (span / rows.max(1)).max(1) })
    }
}
