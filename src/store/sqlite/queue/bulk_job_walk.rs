//! Which deliveries a job means, a page of rows at a time.
//!
//! A page looks at no more than [`JOB_STEP`] rows, whether they are meant or not, so its cost has a
//! bound whatever the filter is; and it reads how things stand now, so what has become pending since
//! the job was created is not queued again. The same walk counts (in a reader) and queues (in the writer).

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, params, params_from_iter};

use crate::domain::EventType;
use crate::domain::attempts::bulk_job::Work;
use crate::domain::event::is_about;
use crate::domain::filter::AttemptFilter;
use crate::domain::pattern::any_matches;
use crate::domain::{
    AttemptId, AttemptStatus, EndpointId, EndpointStatus, EventId, EventPattern, Origin, Timestamp,
};
pub(crate) use crate::store::shared::job_walk::{Item, WalkPosition, WalkRange, WalkStep};
use crate::store::sqlite::engine::rows::{AppRow, EndpointRow, EventRow, TypeRow, read_patterns};
use crate::store::sqlite::queue::attempts;
use crate::store::sqlite::queue::attempts::STORED;
use crate::store::sqlite::queue::endpoints;
use crate::store::sqlite::queue::filter::Wanted;
use crate::store::sqlite::queue::filters;
use crate::store::{JOB_STEP, NoJob};

/// The rows that a job made now walks over, or why there can be none.
pub(crate) fn range(
    conn: &Connection,
    app: AppRow,
    work: &Work,
) -> rusqlite::Result<std::result::Result<WalkRange, NoJob>> {
    let (at, sql) = match work {
        Work::Retry(filter) if filter.status.contains(&AttemptStatus::Pending) => {
            return Ok(Ok(pending_range(conn, filter)?));
        }
        Work::Retry(_) => (0, "SELECT max(id) FROM attempts"),
        Work::Recover { endpoint, since, .. } => {
            if let Some(why) = closed(conn, app, *endpoint)? {
                return Ok(Err(why));
            }
            (since.as_millis(), "SELECT max(id) FROM events")
        }
        Work::Replay { event, endpoint } => {
            if let Some(why) = unsendable(conn, app, *event)? {
                return Ok(Err(why));
            }
            if let Some(endpoint) = endpoint
                && let Some(why) = closed(conn, app, *endpoint)?
            {
                return Ok(Err(why));
            }
            (0, "SELECT max(id) FROM endpoints")
        }
    };
    let to: Option<i64> = conn.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    Ok(Ok(WalkRange { from: WalkPosition { at, id: 0 }, to: to.unwrap_or(0) }))
}

/// Looks at the next rows of a walk.
pub(crate) fn step(
    conn: &Connection,
    app: AppRow,
    work: &Work,
    range: WalkRange,
) -> rusqlite::Result<WalkStep> {
    match work {
        Work::Retry(filter) if filter.status.contains(&AttemptStatus::Pending) => {
            pending(conn, app, filter, range)
        }
        Work::Retry(filter) => exhausted(conn, app, filter, range),
        Work::Recover { endpoint, until, .. } => missed(conn, app, *endpoint, *until, range),
        Work::Replay { event, endpoint } => receivers(conn, app, *event, *endpoint, range),
    }
}

/// An endpoint, as far as a job concerns it.
struct JobEndpoint {
    row: EndpointRow,
    status: EndpointStatus,
    events: Vec<EventPattern>,
}

/// An endpoint that was not deleted.
fn target(conn: &Connection, app: AppRow, id: EndpointId) -> rusqlite::Result<Option<JobEndpoint>> {
    conn.prepare_cached(
        "SELECT id, status, events FROM endpoints WHERE uid = ?1 AND app = ?2 AND deleted_at IS NULL",
    )?
    .query_row(params![id, app], |row| {
        let events: String = row.get("events")?;
        Ok(JobEndpoint { row: row.get("id")?, status: row.get("status")?, events: read_patterns(&events)? })
    })
    .optional()
}

fn closed(conn: &Connection, app: AppRow, id: EndpointId) -> rusqlite::Result<Option<NoJob>> {
    Ok(match target(conn, app, id)? {
        None => Some(NoJob::EndpointNotFound),
        Some(JobEndpoint { status: EndpointStatus::Disabled, .. }) => Some(NoJob::EndpointDisabled),
        Some(_) => None,
    })
}

// ---------------------------------------------------------------------------------------------
// Retry

pub(crate) const EXHAUSTED: &str = "SELECT id FROM attempts \
     WHERE app = ?1 AND status = 'exhausted' AND id > ?2 AND id <= ?3 ORDER BY id LIMIT ?4";

/// Whether one row is meant. Looked up by its id whatever the filter says: an index of an endpoint would
/// lead through all that was ever delivered to it.
pub(crate) fn meant_sql(condition: &str) -> String {
    format!(
        "SELECT {STORED} FROM attempts NOT INDEXED WHERE id = ? AND status IN ('exhausted', 'pending') \
         AND trigger <> 'test' \
         AND EXISTS (SELECT 1 FROM endpoints p \
             WHERE p.id = attempts.endpoint AND p.deleted_at IS NULL AND p.status <> 'disabled') \
         AND EXISTS (SELECT 1 FROM events v WHERE v.id = attempts.event AND v.payload IS NOT NULL) \
         AND {condition}"
    )
}

fn exhausted(
    conn: &Connection,
    app: AppRow,
    filter: &AttemptFilter,
    range: WalkRange,
) -> rusqlite::Result<WalkStep> {
    let Some(wanted) = Wanted::of(conn, app, filter)? else { return Ok(WalkStep::end(vec![], range.from)) };
    let ids: Vec<AttemptId> = conn
        .prepare_cached(EXHAUSTED)?
        .query_map(params![app, range.from.id, range.to, JOB_STEP], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let items = meant(conn, &wanted, &ids)?;
    let at = WalkPosition { at: 0, id: ids.last().map_or(range.from.id, |id| id.0) };
    Ok(WalkStep { items, at, more: ids.len() == JOB_STEP as usize })
}

/// Those of these rows that the filter means.
fn meant(conn: &Connection, wanted: &Wanted, ids: &[AttemptId]) -> rusqlite::Result<Vec<Item>> {
    let (condition, values) = wanted.condition();
    let mut statement = conn.prepare_cached(&meant_sql(condition))?;
    let mut items = Vec::new();
    for id in ids {
        let values = std::iter::once(Value::Integer(id.0)).chain(values.iter().cloned());
        let row = statement.query_row(params_from_iter(values), attempts::stored).optional()?;
        items.extend(row.map(|row| match row.current.status {
            AttemptStatus::Pending => Item::MakeDue(row),
            _ => Item::GoOn(row),
        }));
    }
    Ok(items)
}

// ---------------------------------------------------------------------------------------------
// Retry of pending deliveries

/// Rows that one look passes: no index has the pending rows of an app in the order of id, and one more would
/// cost every attempt.
const PASSED_AT_ONCE: i64 = 20_000;

pub(crate) const PENDING_IDS: &str =
    "SELECT min(id), max(id) FROM attempts WHERE status = 'pending' AND schedule_used IS NOT NULL";

/// The rows between the first and the last that is pending, or all, if exhausted ones are meant too.
fn pending_range(conn: &Connection, filter: &AttemptFilter) -> rusqlite::Result<WalkRange> {
    let with_exhausted = filter.status.contains(&AttemptStatus::Exhausted);
    let (first, last): (Option<i64>, Option<i64>) = if with_exhausted {
        conn.prepare_cached("SELECT 1, max(id) FROM attempts")?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?
    } else {
        conn.prepare_cached(PENDING_IDS)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?
    };
    let from = WalkPosition { at: 0, id: first.map_or(0, |id| id - 1) };
    Ok(WalkRange { from, to: last.unwrap_or(0) })
}

pub(crate) const PASSED: &str = "SELECT id FROM attempts NOT INDEXED \
     WHERE id > ?2 AND id <= ?3 AND app = ?1 AND status IN ('pending', 'exhausted') ORDER BY id LIMIT ?4";

fn pending(
    conn: &Connection,
    app: AppRow,
    filter: &AttemptFilter,
    range: WalkRange,
) -> rusqlite::Result<WalkStep> {
    let Some(wanted) = Wanted::of(conn, app, filter)? else { return Ok(WalkStep::end(vec![], range.from)) };
    let until = range.to.min(range.from.id.saturating_add(PASSED_AT_ONCE));
    let ids: Vec<AttemptId> = conn
        .prepare_cached(PASSED)?
        .query_map(params![app, range.from.id, until, JOB_STEP], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let items = meant(conn, &wanted, &ids)?;
    let is_cut = ids.len() == JOB_STEP as usize;
    let id = ids.last().filter(|_| is_cut).map_or(until, |id| id.0);
    Ok(WalkStep { items, at: WalkPosition { at: 0, id }, more: id < range.to })
}

// ---------------------------------------------------------------------------------------------
// Recover

pub(crate) const EVENTS: &str = "SELECT v.id, v.created_at, v.type, y.name, v.origin, v.payload IS NOT NULL \
     FROM events v CROSS JOIN event_types y ON y.id = v.type \
     WHERE v.app = ?1 AND (v.created_at, v.id) > (?2, ?3) AND v.created_at < ?4 AND v.id <= ?5 \
     ORDER BY v.created_at, v.id LIMIT ?6";

struct Candidate {
    id: EventRow,
    at: i64,
    kind: TypeRow,
    event_type: EventType,
    origin: Origin,
    has_payload: bool,
}

fn missed(
    conn: &Connection,
    app: AppRow,
    endpoint: EndpointId,
    until: Timestamp,
    range: WalkRange,
) -> rusqlite::Result<WalkStep> {
    let target = target(conn, app, endpoint)?.filter(|t| t.status != EndpointStatus::Disabled);
    let Some(target) = target else { return Ok(WalkStep::end(vec![], range.from)) };
    let events = conn
        .prepare_cached(EVENTS)?
        .query_map(params![app, range.from.at, range.from.id, until, range.to, JOB_STEP], |row| {
            Ok(Candidate {
                id: row.get(0)?,
                at: row.get(1)?,
                kind: row.get(2)?,
                event_type: row.get(3)?,
                origin: row.get(4)?,
                has_payload: row.get(5)?,
            })
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut items = Vec::new();
    for event in &events {
        let should_have = event.has_payload
            && event.origin != Origin::Test
            && any_matches(&target.events, &event.event_type)
            && !tells_of(conn, event.id, event.origin, endpoint)?;
        if should_have && filters::wants(conn, target.row, event.id)? {
            items.extend(missing(conn, event, target.row)?);
        }
    }
    let at = events.last().map_or(range.from, |event| WalkPosition { at: event.at, id: event.id.0 });
    Ok(WalkStep { items, at, more: events.len() == JOB_STEP as usize })
}

/// Whether it is a system event about this very endpoint.
fn tells_of(
    conn: &Connection,
    event: EventRow,
    origin: Origin,
    endpoint: EndpointId,
) -> rusqlite::Result<bool> {
    if origin != Origin::System {
        return Ok(false);
    }
    let payload: Option<Vec<u8>> = conn
        .prepare_cached("SELECT payload FROM events WHERE id = ?1")?
        .query_row([event], |row| row.get(0))?;
    Ok(payload.is_some_and(|payload| is_about(&payload, endpoint)))
}

pub(crate) fn states_sql() -> String {
    format!("SELECT {STORED} FROM attempts WHERE event = ?1 AND +endpoint = ?2 AND status <> 'failed'")
}

/// What the endpoint needs to get this event, by the newest of its deliveries there.
fn missing(conn: &Connection, event: &Candidate, endpoint: EndpointRow) -> rusqlite::Result<Option<Item>> {
    // Exactly one row of a delivery is not failed: the one that says where it stands.
    let states = conn
        .prepare_cached(&states_sql())?
        .query_map(params![event.id, endpoint], attempts::stored)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(Item::missing(states, event.id, event.kind, endpoint))
}

// ---------------------------------------------------------------------------------------------
// Replay

struct ReplayedEvent {
    row: EventRow,
    kind: TypeRow,
    event_type: EventType,
    origin: Origin,
    has_payload: bool,
}

fn replayed(conn: &Connection, app: AppRow, event: EventId) -> rusqlite::Result<Option<ReplayedEvent>> {
    conn.prepare_cached(
        "SELECT v.id AS id, v.type AS kind, y.name AS event_type, v.origin AS origin, \
         v.payload IS NOT NULL AS has_payload FROM events v CROSS JOIN event_types y ON y.id = v.type \
         WHERE v.uid = ?1 AND v.app = ?2",
    )?
    .query_row(params![event, app], |row| {
        Ok(ReplayedEvent {
            row: row.get("id")?,
            kind: row.get("kind")?,
            event_type: row.get("event_type")?,
            origin: row.get("origin")?,
            has_payload: row.get("has_payload")?,
        })
    })
    .optional()
}

fn unsendable(conn: &Connection, app: AppRow, event: EventId) -> rusqlite::Result<Option<NoJob>> {
    Ok(match replayed(conn, app, event)? {
        None => Some(NoJob::EventNotFound),
        Some(ReplayedEvent { origin: Origin::Test, .. }) => Some(NoJob::EventIsTest),
        Some(ReplayedEvent { has_payload: false, .. }) => Some(NoJob::EventGone),
        Some(_) => None,
    })
}

fn receivers(
    conn: &Connection,
    app: AppRow,
    event: EventId,
    only: Option<EndpointId>,
    range: WalkRange,
) -> rusqlite::Result<WalkStep> {
    let Some(event) = replayed(conn, app, event)?.filter(|event| event.has_payload) else {
        return Ok(WalkStep::end(vec![], range.from));
    };
    let new = |endpoint| Item::New { event: event.row, kind: event.kind, endpoint };
    if let Some(id) = only {
        let target = target(conn, app, id)?.filter(|t| t.status != EndpointStatus::Disabled);
        return Ok(WalkStep::end(target.map(|t| new(t.row)).into_iter().collect(), range.from));
    }
    let mut statement = conn.prepare_cached(
        "SELECT id, uid, events FROM endpoints WHERE app = ?1 AND deleted_at IS NULL \
         AND status <> 'disabled' AND id > ?2 AND id <= ?3 ORDER BY id LIMIT ?4",
    )?;
    let mut rows = statement.query(params![app, range.from.id, range.to, JOB_STEP])?;
    let (mut items, mut at, mut seen) = (Vec::new(), range.from, 0);
    while let Some(row) = rows.next()? {
        let (endpoint, id): (EndpointRow, EndpointId) = (row.get(0)?, row.get(1)?);
        let patterns = read_patterns(&row.get::<_, String>(2)?)?;
        if any_matches(&patterns, &event.event_type)
            && !tells_of(conn, event.row, event.origin, id)?
            && filters::wants(conn, endpoint, event.row)?
        {
            items.push(new(endpoint));
        }
        (at.id, seen) = (endpoint.0, seen + 1);
    }
    Ok(WalkStep { items, at, more: seen == JOB_STEP })
}

/// An endpoint's id, and whether it is active.
pub(crate) fn endpoint_of(conn: &Connection, row: EndpointRow) -> rusqlite::Result<(EndpointId, bool)> {
    let endpoint = endpoints::by_row(conn, row)?;
    Ok((endpoint.id, endpoint.status == EndpointStatus::Active))
}
