//! Which deliveries a job means, a page of rows at a time.
//!
//! A page looks at no more than [`JOB_STEP`] rows, whether they are meant or not, so its cost has a
//! bound whatever the filter is; and it reads how things stand now, so what has become pending since
//! the job was created is not queued again. The same walk counts (in a reader) and queues (in the writer).

use std::collections::HashMap;

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::domain::EventType;
use crate::domain::attempts::bulk_job::Work;
use crate::domain::event::is_about;
use crate::domain::filter::AttemptFilter;
use crate::domain::pattern::any_matches;
use crate::domain::{AttemptStatus, EndpointId, EndpointStatus, EventId, EventPattern, Origin, Timestamp};
use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::error::DbResult;
use crate::store::postgres::engine::ids;
use crate::store::postgres::engine::rows::{
    AppRow, Columns as _, EndpointRow, EventRow, TypeRow, read_patterns,
};
use crate::store::postgres::queue::attempts::{Stored, ended_columns, pending_columns, stored_attempt};
use crate::store::postgres::queue::bulk_job_rows;
use crate::store::postgres::queue::filter::Wanted;
use crate::store::postgres::queue::filters::KeptEvents;
pub(crate) use crate::store::shared::job_walk::{Item, WalkPosition, WalkRange, WalkStep};
use crate::store::{JOB_STEP, NoJob};

/// The rows that a job made now walks over, or why there can be none.
pub(crate) async fn range(
    conn: &Conn,
    app: AppRow,
    work: &Work,
) -> DbResult<std::result::Result<WalkRange, NoJob>> {
    let (from, sql) = match work {
        Work::Retry(filter) if with_pending(filter) => return Ok(Ok(pending_range(conn, filter).await?)),
        Work::Retry(_) => (0, "SELECT max(id) AS last FROM log"),
        Work::Recover { endpoint, .. } => {
            if let Some(why) = closed(conn, app, *endpoint).await? {
                return Ok(Err(why));
            }
            (0, "SELECT max(id) AS last FROM events")
        }
        Work::Replay { event, endpoint } => {
            if let Some(why) = unsendable(conn, app, *event).await? {
                return Ok(Err(why));
            }
            if let Some(endpoint) = endpoint
                && let Some(why) = closed(conn, app, *endpoint).await?
            {
                return Ok(Err(why));
            }
            (0, "SELECT max(id) AS last FROM endpoints")
        }
    };
    let last: Option<i64> = conn.row(sql, &[]).await?.col("last")?;
    Ok(Ok(WalkRange { from: WalkPosition { at: 0, id: from }, to: last.unwrap_or(0) }))
}

/// Looks at the next rows of a walk.
pub(crate) async fn step(conn: &Conn, app: AppRow, work: &Work, range: WalkRange) -> DbResult<WalkStep> {
    match work {
        Work::Retry(filter) => {
            let Some(wanted) = Wanted::of(conn, app, filter).await? else {
                return Ok(WalkStep::end(vec![], range.from));
            };
            bulk_job_rows::step(conn, app, &wanted, with_pending(filter), range).await
        }
        Work::Recover { endpoint, since, until } => {
            missed(conn, app, *endpoint, (*since, *until), range).await
        }
        Work::Replay { event, endpoint } => receivers(conn, app, *event, *endpoint, range).await,
    }
}

/// Pending deliveries are meant only if they are named.
fn with_pending(filter: &AttemptFilter) -> bool {
    filter.status.contains(&AttemptStatus::Pending)
}

pub(crate) const PENDING_IDS: &str =
    "SELECT min(id) AS first, max(id) AS last FROM queue WHERE schedule_used IS NOT NULL";
const ALL_IDS: &str =
    "SELECT 1::bigint AS first, greatest((SELECT max(id) FROM queue), (SELECT max(id) FROM log)) AS last";

/// The rows between the first and the last that is pending, or all, if exhausted ones are meant too.
async fn pending_range(conn: &Conn, filter: &AttemptFilter) -> DbResult<WalkRange> {
    let with_exhausted = filter.status.contains(&AttemptStatus::Exhausted);
    let row = conn.row(if with_exhausted { ALL_IDS } else { PENDING_IDS }, &[]).await?;
    let (first, last): (Option<i64>, Option<i64>) = (row.col("first")?, row.col("last")?);
    let from = WalkPosition { at: 0, id: first.map_or(0, |id| id - 1) };
    Ok(WalkRange { from, to: last.unwrap_or(0) })
}

/// An endpoint, as far as a job concerns it.
struct JobEndpoint {
    row: EndpointRow,
    id: EndpointId,
    status: EndpointStatus,
    events: Vec<EventPattern>,
    name: String,
    filter: Option<String>,
}

impl JobEndpoint {
    fn read(row: &Row) -> DbResult<JobEndpoint> {
        Ok(JobEndpoint {
            row: row.col("id")?,
            id: row.col("uid")?,
            status: row.col("status")?,
            events: read_patterns(row.col("events")?)?,
            name: row.col("name")?,
            filter: row.col("filter")?,
        })
    }

    /// Whether it wants an event of this kind, which is no news about itself. Its filter may be asked about all `kept`.
    fn wants(&self, event: EventRow, event_type: &EventType, origin: Origin, kept: &KeptEvents) -> bool {
        let tells_of_it =
            origin == Origin::System && kept.payload(event).is_some_and(|payload| is_about(payload, self.id));
        let is_wanted = || match &self.filter {
            Some(filter) => kept.is_wanted(event, filter, &self.name),
            None => true,
        };
        any_matches(&self.events, event_type) && !tells_of_it && is_wanted()
    }
}

/// An endpoint that was not deleted.
async fn target(conn: &Conn, app: AppRow, id: EndpointId) -> DbResult<Option<JobEndpoint>> {
    let sql = "SELECT id, uid, status, events, name, filter FROM endpoints \
               WHERE uid = $1 AND app = $2 AND deleted_at IS NULL";
    conn.row_opt(sql, &[&id, &app]).await?.as_ref().map(JobEndpoint::read).transpose()
}

async fn closed(conn: &Conn, app: AppRow, id: EndpointId) -> DbResult<Option<NoJob>> {
    Ok(match target(conn, app, id).await? {
        None => Some(NoJob::EndpointNotFound),
        Some(JobEndpoint { status: EndpointStatus::Disabled, .. }) => Some(NoJob::EndpointDisabled),
        Some(_) => None,
    })
}

// ---------------------------------------------------------------------------------------------
// Recover

pub(crate) const EVENTS: &str = "SELECT v.id, v.type, y.name, v.origin \
     FROM events v JOIN event_types y ON y.id = v.type WHERE v.app = $1 AND v.id > $2 AND v.id <= $3 \
     AND (v.id >= $7 OR v.id < $8) AND v.created_at >= $4 AND v.created_at < $5 AND v.payload IS NOT NULL ORDER BY v.id LIMIT $6";

/// An event that can be sent.
struct Candidate {
    row: EventRow,
    kind: TypeRow,
    event_type: EventType,
    origin: Origin,
}

impl Candidate {
    fn read(row: &Row) -> DbResult<Candidate> {
        Ok(Candidate {
            row: row.col("id")?,
            kind: row.col("type")?,
            event_type: row.col("name")?,
            origin: row.col("origin")?,
        })
    }
}

async fn missed(
    conn: &Conn,
    app: AppRow,
    endpoint: EndpointId,
    (since, until): (Timestamp, Timestamp),
    range: WalkRange,
) -> DbResult<WalkStep> {
    let target = target(conn, app, endpoint).await?.filter(|t| t.status != EndpointStatus::Disabled);
    let Some(target) = target else { return Ok(WalkStep::end(vec![], range.from)) };
    let to = range.to.min(ids::last_at(until));
    let limit = i64::from(JOB_STEP);
    let first = ids::first_at(since);
    let values: [&(dyn ToSql + Sync); 8] =
        [&app, &range.from.id, &to, &since, &until, &limit, &first, &ids::TIMELY_FROM];
    let found = conn.rows(EVENTS, &values).await?;
    let events = found.iter().map(Candidate::read).collect::<DbResult<Vec<_>>>()?;
    // Payloads are read only where something asks for them.
    let asks = |event: &&Candidate| target.filter.is_some() || event.origin == Origin::System;
    let asked: Vec<EventRow> = events.iter().filter(asks).map(|event| event.row).collect();
    let kept = KeptEvents::read(conn, &asked).await?;
    let should_have = |event: &&Candidate| {
        event.origin != Origin::Test && target.wants(event.row, &event.event_type, event.origin, &kept)
    };
    let wanted: Vec<&Candidate> = events.iter().filter(should_have).collect();
    let mut states = states(conn, &wanted, target.row).await?;
    let missing = |event: &&Candidate| {
        let states = states.remove(&event.row).unwrap_or_default();
        Item::missing(states, event.row, event.kind, target.row)
    };
    let items = wanted.iter().filter_map(missing).collect();
    let at = events.last().map_or(range.from, |event| WalkPosition { at: 0, id: event.row.0 });
    Ok(WalkStep { items, at, more: events.len() == JOB_STEP as usize })
}

/// Exactly one row of a delivery is not failed: the one that says where it stands.
pub(crate) const STATES: &str = concat!(
    "SELECT ",
    pending_columns!(),
    " FROM queue q WHERE q.event = ANY($1) AND q.endpoint = $2 UNION ALL SELECT ",
    ended_columns!(),
    " FROM log l WHERE l.event = ANY($1) AND l.endpoint = $2 AND l.status <> 'failed'"
);

/// Where the deliveries of events at an endpoint stand, by event.
async fn states(
    conn: &Conn,
    events: &[&Candidate],
    endpoint: EndpointRow,
) -> DbResult<HashMap<EventRow, Vec<Stored>>> {
    let events: Vec<EventRow> = events.iter().map(|event| event.row).collect();
    let mut states: HashMap<EventRow, Vec<Stored>> = HashMap::new();
    if !events.is_empty() {
        for row in conn.rows(STATES, &[&events, &endpoint]).await? {
            let row = stored_attempt(&row)?.row;
            states.entry(row.event).or_default().push(row);
        }
    }
    Ok(states)
}

// ---------------------------------------------------------------------------------------------
// Replay

/// An event of an app, and whether it can be sent.
async fn replayed(conn: &Conn, app: AppRow, event: EventId) -> DbResult<Option<(Candidate, bool)>> {
    let sql = "SELECT v.id, v.type, y.name, v.origin, v.payload IS NOT NULL AS has_payload \
               FROM events v JOIN event_types y ON y.id = v.type \
               WHERE v.uid = $1 AND v.app = $2 AND (v.id >= $3 AND v.id <= $4 OR v.id < $5)";
    let made_at = ids::made_at(event);
    let (first, last) = (ids::first_at(made_at), ids::last_at(made_at));
    let values: [&(dyn ToSql + Sync); 5] = [&event, &app, &first, &last, &ids::TIMELY_FROM];
    let found = conn.row_opt(sql, &values).await?;
    found.map(|row| Ok((Candidate::read(&row)?, row.col("has_payload")?))).transpose()
}

async fn unsendable(conn: &Conn, app: AppRow, event: EventId) -> DbResult<Option<NoJob>> {
    Ok(match replayed(conn, app, event).await? {
        None => Some(NoJob::EventNotFound),
        Some((Candidate { origin: Origin::Test, .. }, _)) => Some(NoJob::EventIsTest),
        Some((_, false)) => Some(NoJob::EventGone),
        Some(_) => None,
    })
}

pub(crate) const RECEIVERS: &str = "SELECT id, uid, status, events, name, filter FROM endpoints \
     WHERE app = $1 AND deleted_at IS NULL AND status <> 'disabled' AND id > $2 AND id <= $3 ORDER BY id LIMIT $4";

async fn receivers(
    conn: &Conn,
    app: AppRow,
    event: EventId,
    only: Option<EndpointId>,
    range: WalkRange,
) -> DbResult<WalkStep> {
    let Some((event, true)) = replayed(conn, app, event).await? else {
        return Ok(WalkStep::end(vec![], range.from));
    };
    let new = |endpoint| Item::New { event: event.row, kind: event.kind, endpoint };
    if let Some(id) = only {
        let target = target(conn, app, id).await?.filter(|t| t.status != EndpointStatus::Disabled);
        return Ok(WalkStep::end(target.map(|t| new(t.row)).into_iter().collect(), range.from));
    }
    let found = conn.rows(RECEIVERS, &[&app, &range.from.id, &range.to, &i64::from(JOB_STEP)]).await?;
    let endpoints = found.iter().map(JobEndpoint::read).collect::<DbResult<Vec<_>>>()?;
    let kept = KeptEvents::read(conn, &[event.row]).await?;
    let is_receiver =
        |endpoint: &&JobEndpoint| endpoint.wants(event.row, &event.event_type, event.origin, &kept);
    let items = endpoints.iter().filter(is_receiver).map(|endpoint| new(endpoint.row)).collect();
    let at = endpoints.last().map_or(range.from, |endpoint| WalkPosition { at: 0, id: endpoint.row.0 });
    Ok(WalkStep { items, at, more: endpoints.len() == JOB_STEP as usize })
}

/// The ids of endpoints, and whether they are active.
pub(crate) async fn endpoints_of(
    conn: &Conn,
    rows: &[EndpointRow],
) -> DbResult<HashMap<EndpointRow, (EndpointId, bool)>> {
    let mut found = HashMap::new();
    for row in conn.rows("SELECT id, uid, status FROM endpoints WHERE id = ANY($1)", &[&rows]).await? {
        let status: EndpointStatus = row.col("status")?;
        found.insert(row.col("id")?, (row.col("uid")?, status == EndpointStatus::Active));
    }
    Ok(found)
}
