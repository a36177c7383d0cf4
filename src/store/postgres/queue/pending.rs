//! The queue, as the dispatcher sees it.
//!
//! Every question is answered from one of the partial indexes of the queue, so the cost follows what is waiting.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{try_join, try_join3};
use tokio_postgres::Row;

use crate::domain::attempts::attempt::Outcome;
use crate::domain::inbound::source::EventSource;
use crate::domain::values::rate::Rate;
use crate::domain::{AttemptId, Endpoint, EndpointId, EventId, Shard, ShardSet, Timestamp};
use crate::store::postgres::engine::command;
use crate::store::postgres::engine::command::Tx;
use crate::store::postgres::engine::conn::{Conn, Statements as _, plan_by_values};
use crate::store::postgres::engine::error::{DbResult, fault};
use crate::store::postgres::engine::partitions::{Parent, Partitions};
use crate::store::postgres::engine::rows::{Columns as _, EndpointRow, SourceRow, budget};
use crate::store::postgres::engine::store::PostgresStore;
use crate::store::postgres::queue::{attempts, endpoints, finish, trouble};
use crate::store::shared::endpoint_text::read_rate;
use crate::store::shared::source_text::read_mapping;
use crate::store::{
    Due, DueHold, EndpointQueue, FinishRules, Finished, Line, LoadedAttempt, Oldest, QueueStore, Queued,
    Result, SentAs,
};

/// The endpoints that have something in `queue_due`, one step down the index for each: the
/// recursion asks for the next larger endpoint until there is none. Rows start at 1.
macro_rules! endpoints_with_pending {
    () => {
        "WITH RECURSIVE waiting (endpoint) AS ( \
             SELECT 0::bigint UNION ALL \
             SELECT (SELECT q.endpoint FROM queue q \
                 WHERE q.schedule_used IS NOT NULL AND q.endpoint > w.endpoint ORDER BY q.endpoint LIMIT 1) \
             FROM waiting w WHERE w.endpoint IS NOT NULL) "
    };
}
/// When the first of both lines of an endpoint `p` is due.
macro_rules! earliest {
    () => {
        "least((SELECT q.due_at FROM queue q WHERE q.endpoint = p.id AND (q.job IS NOT NULL)::int = 0 \
             AND q.schedule_used IS NOT NULL ORDER BY q.due_at LIMIT 1), \
         (SELECT q.due_at FROM queue q WHERE q.endpoint = p.id AND (q.job IS NOT NULL)::int = 1 \
             AND q.schedule_used IS NOT NULL ORDER BY q.due_at LIMIT 1)) AS earliest"
    };
}

pub(crate) const ENDPOINTS: &str = concat!(
    endpoints_with_pending!(),
    "SELECT p.uid, p.hold_probe_at, ",
    earliest!(),
    " FROM waiting w JOIN endpoints p ON p.id = w.endpoint \
     WHERE p.status = 'active' AND p.deleted_at IS NULL AND p.shard = ANY($1)"
);

/// The same with those that are paused.
pub(crate) const OLDEST: &str = concat!(
    endpoints_with_pending!(),
    "SELECT p.status = 'active' AS is_active, ",
    earliest!(),
    " FROM waiting w JOIN endpoints p ON p.id = w.endpoint WHERE p.status <> 'disabled' AND p.deleted_at IS NULL"
);

pub(crate) const OLDEST_SINGLE: &str =
    "SELECT due_at FROM queue WHERE schedule_used IS NULL ORDER BY due_at LIMIT 1";

pub(crate) const DUE: &str = "SELECT q.id, q.due_at FROM queue q \
     WHERE q.endpoint = $1 AND (q.job IS NOT NULL)::int = $2 AND q.schedule_used IS NOT NULL \
     ORDER BY q.due_at, q.id LIMIT $3";

macro_rules! singles {
    ($where:literal) => {
        concat!(
            "SELECT q.id, p.uid, q.due_at FROM queue q JOIN endpoints p ON p.id = q.endpoint WHERE ",
            $where,
            " AND q.due_at <= $1 AND p.deleted_at IS NULL AND p.shard = ANY($3) \
             ORDER BY q.due_at, q.id LIMIT $2"
        )
    };
}
pub(crate) const SINGLES: &str = singles!("q.schedule_used IS NULL");
pub(crate) const URGENT: &str = singles!("q.urgent");

pub(crate) const LOAD: &str = "SELECT q.id, q.attempt, q.trigger, q.schedule_used, q.event, y.name, q.endpoint, \
     coalesce(q.first_id, q.id) AS delivery \
     FROM queue q JOIN endpoints p ON p.id = q.endpoint JOIN event_types y ON y.id = q.type \
     WHERE q.id = ANY($1) AND p.deleted_at IS NULL \
     AND (p.status = 'active' OR q.schedule_used IS NULL OR q.urgent) \
     AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.id = q.job AND j.status = 'cancelled')";

/// The events of attempts, those of one partition at a time.
pub(crate) const LOAD_EVENTS: &str = "SELECT v.id, v.uid, v.payload, v.resource_id, v.created_at, v.hops, v.source \
     FROM events v WHERE v.id = ANY($1) AND v.id >= $2 AND v.id <= $3 AND v.payload IS NOT NULL";

const LOAD_SOURCE: &str =
    "SELECT uid, name, deleted_at IS NOT NULL AS is_deleted, settings FROM sources WHERE id = $1";

/// Pending attempts of endpoints that are disabled or deleted.
pub(crate) const LOST: &str = concat!(
    endpoints_with_pending!(),
    "SELECT q.id FROM waiting w JOIN endpoints p ON p.id = w.endpoint \
     JOIN queue q ON q.endpoint = p.id AND q.schedule_used IS NOT NULL \
     WHERE p.status = 'disabled' OR p.deleted_at IS NOT NULL LIMIT $1"
);

pub(crate) const LOST_SINGLES: &str = "SELECT q.id FROM queue q JOIN endpoints p ON p.id = q.endpoint \
     WHERE q.schedule_used IS NULL AND p.deleted_at IS NOT NULL LIMIT $1";

/// Pending attempts of bulk jobs that were stopped.
pub(crate) const LOST_BULK: &str = "SELECT q.id FROM jobs j JOIN queue q ON q.job = j.id AND q.job IS NOT NULL \
     WHERE j.status = 'cancelled' AND j.queued > j.delivered + j.exhausted + j.cancelled LIMIT $1";

pub(crate) const DEPTH: &str = "SELECT count(*) AS count FROM (SELECT 1 FROM queue LIMIT $1) AS pending";

/// The numbers of shards, as statements have them.
fn numbers(shards: ShardSet) -> Vec<i16> {
    Shard::all().filter(|shard| shards.contains(*shard)).map(|shard| i16::from(shard.0)).collect()
}

/// An endpoint, as far as it concerns what is due.
struct DueEndpoint {
    row: EndpointRow,
    rate_limit: Option<Rate>,
    is_active: bool,
    failing: bool,
    /// While it is on hold.
    next_probe_at: Option<Timestamp>,
}

async fn due_endpoint(conn: &Conn, id: EndpointId) -> DbResult<Option<DueEndpoint>> {
    let sql = "SELECT id, rate_limit, rate_text, status = 'active' AS is_active, \
               consecutive_failures > 0 AS failing, hold_probe_at FROM endpoints \
               WHERE uid = $1 AND deleted_at IS NULL";
    let read = |row: Row| {
        Ok(DueEndpoint {
            row: row.col("id")?,
            rate_limit: read_rate(row.opt_num("rate_limit")?, row.col("rate_text")?)?,
            is_active: row.col("is_active")?,
            failing: row.col("failing")?,
            next_probe_at: row.col("hold_probe_at")?,
        })
    };
    conn.row_opt(sql, &[&id]).await?.map(read).transpose()
}

/// The first rows of both lines of an endpoint, fresh ones and those of bulk jobs, in the order in which they are due.
async fn lines(conn: &Conn, endpoint: EndpointRow, limit: i64) -> DbResult<[Vec<(AttemptId, Timestamp)>; 2]> {
    let line = async |bulk: i32| {
        let found = conn.rows(DUE, &[&endpoint, &bulk, &limit]).await?;
        found.iter().map(|row| Ok((row.col("id")?, row.col("due_at")?))).collect::<DbResult<Vec<_>>>()
    };
    let (fresh, bulk) = try_join(line(0), line(1)).await?;
    Ok([fresh, bulk])
}

async fn due(conn: &Conn, endpoint: EndpointId, now: Timestamp, limit: u32) -> DbResult<Due> {
    let Some(found) = due_endpoint(conn, endpoint).await? else { return Ok(Due::default()) };
    let DueEndpoint { row: endpoint, rate_limit, is_active, failing, next_probe_at } = found;
    if !is_active {
        let hold = next_probe_at.map(|next_probe_at| DueHold { next_probe_at, probes: Vec::new() });
        return Ok(Due { rate_limit, failing, hold, ..Due::default() });
    }
    // At least one, which says when the next is due.
    let [fresh, bulk] = lines(conn, endpoint, i64::from(limit) + 1).await?;
    if let Some(next_probe_at) = next_probe_at {
        let earliest = fresh.first().into_iter().chain(bulk.first()).map(|(_, due_at)| *due_at).min();
        let next_due = earliest.map(|due_at| due_at.max(next_probe_at)).filter(|at| *at > now);
        let hold = due_on_hold([fresh, bulk], next_probe_at, now, limit);
        return Ok(Due { rate_limit, failing, next_due, hold: Some(hold), ..Due::default() });
    }
    let (attempts, more, next) = due_of(fresh, now, limit);
    let (bulk, more_bulk, next_bulk) = due_of(bulk, now, limit);
    let next_due = [next, next_bulk].into_iter().flatten().min();
    Ok(Due { attempts, more, bulk, more_bulk, next_due, rate_limit, failing, hold: None })
}

/// What may be sent as the probe of an endpoint on hold.
fn due_on_hold(
    [fresh, bulk]: [Vec<(AttemptId, Timestamp)>; 2],
    next_probe_at: Timestamp,
    now: Timestamp,
    limit: u32,
) -> DueHold {
    if next_probe_at > now {
        return DueHold { next_probe_at, probes: Vec::new() };
    }
    let of_line = |found: Vec<(AttemptId, Timestamp)>, line| {
        found.into_iter().filter(|(_, due_at)| *due_at <= now).map(move |(id, due_at)| (due_at, id, line))
    };
    let mut probes: Vec<_> = of_line(fresh, Line::Fresh).chain(of_line(bulk, Line::Bulk)).collect();
    probes.sort_by_key(|(due_at, id, _)| (*due_at, *id));
    probes.truncate(limit as usize);
    DueHold { next_probe_at, probes: probes.into_iter().map(|(_, id, line)| (id, line)).collect() }
}

/// What is due of one of an endpoint's two lines, whether there is more, and when the next one is due.
fn due_of(
    found: Vec<(AttemptId, Timestamp)>,
    now: Timestamp,
    limit: u32,
) -> (Vec<AttemptId>, bool, Option<Timestamp>) {
    let mut ids = Vec::new();
    for (id, due_at) in found {
        if due_at > now {
            return (ids, false, Some(due_at));
        }
        if ids.len() == limit as usize {
            return (ids, true, None);
        }
        ids.push(id);
    }
    (ids, false, None)
}

async fn singles(conn: &Conn, now: Timestamp, limit: u32, shards: &[i16]) -> DbResult<Vec<Queued>> {
    let mut found = Vec::new();
    for sql in [URGENT, SINGLES] {
        let left = i64::from(limit) - found.len() as i64;
        for row in conn.rows(sql, &[&now, &left, &shards]).await? {
            let (attempt_id, endpoint_id, due_at) = (row.col("id")?, row.col("uid")?, row.col("due_at")?);
            found.push(Queued { attempt_id, endpoint_id, due_at, line: Line::Single });
        }
    }
    Ok(found)
}

async fn load(conn: &Conn, partitions: &Partitions, ids: &[AttemptId]) -> DbResult<Vec<LoadedAttempt>> {
    let found = conn.rows(LOAD, &[&ids]).await?;
    let events = found.iter().map(|row| row.num("event")).collect::<DbResult<Vec<i64>>>()?;
    let mut rows = found.iter().map(|row| row.col("endpoint")).collect::<DbResult<Vec<EndpointRow>>>()?;
    rows.sort_unstable();
    rows.dedup();
    // Only events are in partitions, and worth a plan of their own.
    let endpoints = endpoints::by_rows(conn, &rows);
    let (endpoints, (), events) =
        try_join3(endpoints, plan_by_values(conn), load_events(conn, partitions, events)).await?;
    let known: HashMap<EndpointRow, Arc<Endpoint>> =
        endpoints.into_iter().map(|(row, endpoint)| (row, Arc::new(endpoint))).collect();
    let job = |row: &Row| {
        // Retention may have taken the payload.
        let Some(event) = events.get(&row.num("event")?) else { return Ok(None) };
        let endpoint = known.get(&row.col("endpoint")?).cloned();
        Ok(Some(LoadedAttempt {
            id: row.col("id")?,
            attempt: row.num("attempt")?,
            trigger: row.col("trigger")?,
            budget: budget(row.opt_num("schedule_used")?),
            delivery_id: row.col("delivery")?,
            event_id: event.id,
            event_type: row.col("name")?,
            created_at: event.created_at,
            resource_id: event.resource_id.clone(),
            payload: event.payload.clone(),
            endpoint: endpoint.ok_or_else(|| fault("an attempt has no endpoint"))?,
            from: event.from.clone(),
        }))
    };
    found.iter().filter_map(|row| job(row).transpose()).collect()
}

/// An event, as attempts need it.
struct LoadedEvent {
    id: EventId,
    created_at: Timestamp,
    resource_id: Option<String>,
    payload: Bytes,
    from: Option<Arc<EventSource>>,
}

/// The events with these row numbers that still have their payload.
async fn load_events(
    conn: &Conn,
    partitions: &Partitions,
    rows: Vec<i64>,
) -> DbResult<HashMap<i64, LoadedEvent>> {
    let mut events = HashMap::with_capacity(rows.len());
    for rows in partitions.by_partition(Parent::Events, rows) {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { continue };
        for row in conn.rows(LOAD_EVENTS, &[&rows, first, last]).await? {
            let event = LoadedEvent {
                id: row.col("uid")?,
                created_at: row.col("created_at")?,
                resource_id: row.col("resource_id")?,
                payload: Bytes::from(row.col::<Vec<u8>>("payload")?),
                from: source(conn, &row).await?.map(Arc::new),
            };
            events.insert(row.num("id")?, event);
        }
    }
    Ok(events)
}

/// The source that an event came by.
async fn source(conn: &Conn, event: &Row) -> DbResult<Option<EventSource>> {
    let Some(row) = event.col::<Option<SourceRow>>("source")? else { return Ok(None) };
    let source = conn.row(LOAD_SOURCE, &[&row]).await?;
    let summary = read_mapping(source.col("settings")?)?.summary;
    let hops = event.opt_num("hops")?.unwrap_or_default();
    let (id, name) = (source.col("uid")?, source.col("name")?);
    Ok(Some(EventSource { id, name, is_deleted: source.col("is_deleted")?, summary, hops }))
}

async fn oldest(conn: &Conn) -> DbResult<Oldest> {
    // A single shot is sent whatever its endpoint's status.
    let single = conn.row_opt(OLDEST_SINGLE, &[]).await?;
    let single: Option<Timestamp> = single.map(|row| row.col("due_at")).transpose()?;
    let mut oldest = Oldest { of_all: single, of_active: single };
    let earlier = |one: Option<Timestamp>, other: Option<Timestamp>| one.into_iter().chain(other).min();
    for row in conn.rows(OLDEST, &[]).await? {
        let here: Option<Timestamp> = row.col("earliest")?;
        oldest.of_all = earlier(oldest.of_all, here);
        if row.col("is_active")? {
            oldest.of_active = earlier(oldest.of_active, here);
        }
    }
    Ok(oldest)
}

async fn waiting(conn: &Conn, shards: &[i16]) -> DbResult<Vec<EndpointQueue>> {
    let mut found = Vec::new();
    for row in conn.rows(ENDPOINTS, &[&shards]).await? {
        let (earliest, probe): (Option<Timestamp>, Option<Timestamp>) =
            (row.col("earliest")?, row.col("hold_probe_at")?);
        if let Some(earliest) = earliest {
            let earliest = probe.map_or(earliest, |at| at.max(earliest));
            found.push(EndpointQueue { endpoint_id: row.col("uid")?, earliest });
        }
    }
    Ok(found)
}

async fn cancel(tx: &mut Tx, limit: u32) -> DbResult<u32> {
    // What its own group has made or ended is in the table first.
    tx.settle().await?;
    let mut lost: Vec<AttemptId> = Vec::new();
    for sql in [LOST, LOST_SINGLES, LOST_BULK] {
        let left = i64::from(limit) - lost.len() as i64;
        for row in tx.rows(sql, &[&left]).await? {
            lost.push(row.col("id")?);
        }
    }
    attempts::cancel(tx, &lost).await
}

#[async_trait]
impl QueueStore for PostgresStore {
    async fn queue_endpoints(&self, shards: ShardSet) -> Result<Vec<EndpointQueue>> {
        let shards = numbers(shards);
        self.query("looking for work", move |conn| async move { waiting(conn, &shards).await }.boxed()).await
    }

    async fn queue_due(&self, endpoint: EndpointId, now: Timestamp, limit: u32) -> Result<Due> {
        self.read("looking for what is due", move |conn| due(conn, endpoint, now, limit).boxed()).await
    }

    async fn queue_singles(&self, now: Timestamp, limit: u32, shards: ShardSet) -> Result<Vec<Queued>> {
        let shards = numbers(shards);
        self.read("looking for single shots", move |conn| {
            async move { singles(conn, now, limit, &shards).await }.boxed()
        })
        .await
    }

    async fn queue_load(&self, mut attempts: Vec<AttemptId>) -> Result<Vec<LoadedAttempt>> {
        let generation = self.fresh.generation();
        let mut jobs = self.fresh.take(&mut attempts);
        if !attempts.is_empty() {
            let partitions = self.partitions.clone();
            let read = self.read("loading attempts", move |conn| {
                async move { load(conn, &partitions, &attempts).await }.boxed()
            });
            let read = read.await?;
            self.fresh.keep_endpoints(generation, &read);
            jobs.extend(read);
        }
        Ok(jobs)
    }

    async fn attempt_finish(
        &self,
        id: AttemptId,
        outcome: Arc<Outcome>,
        rules: FinishRules,
        sent: SentAs,
    ) -> Result<Finished> {
        let finish = command::lasting("writing a result", (id, finish::read_ahead), move |tx| {
            let (outcome, rules) = (outcome.clone(), rules.clone());
            async move { finish::finish(tx, id, &outcome, &rules, sent).await }.boxed()
        });
        self.ask_patiently(finish).await
    }

    async fn queue_overdue(&self, since: Timestamp, limit: u32, shards: ShardSet) -> Result<Vec<AttemptId>> {
        let shards = numbers(shards);
        self.query("looking for what was held for too long", move |conn| {
            async move { trouble::overdue(conn, since, limit, &shards).await }.boxed()
        })
        .await
    }

    async fn queue_give_up(&self, attempts: Vec<AttemptId>, since: Timestamp, now: Timestamp) -> Result<u32> {
        self.write_patiently("giving up", move |tx| {
            async move { finish::give_up(tx, &attempts, since, now).await }.boxed()
        })
        .await
    }

    async fn queue_cancel(&self, limit: u32) -> Result<u32> {
        // Another node may be cancelling the same; then this one looks again.
        let cancel = command::repeatable("cancelling what is pending", move |tx| cancel(tx, limit).boxed());
        self.ask_patiently(cancel).await
    }

    async fn queue_oldest(&self) -> Result<Oldest> {
        self.read("looking for the oldest", |conn| oldest(conn).boxed()).await
    }

    async fn queue_depth(&self, cap: u64) -> Result<u64> {
        let limit = i64::try_from(cap).unwrap_or(i64::MAX);
        self.query("counting what is pending", move |conn| {
            async move { conn.row(DEPTH, &[&limit]).await?.num("count") }.boxed()
        })
        .await
    }
}
