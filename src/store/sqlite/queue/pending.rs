//! The pending rows of the log, as the dispatcher sees them.
//!
//! Every question is answered from one of the partial indexes of pending rows, which hold nothing
//! else; so the cost follows what is waiting, not what is kept. A condition must be written just as in
//! the index for SQLite to use it.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::domain::attempts::attempt::Outcome;
use crate::domain::values::rate::Rate;
use crate::domain::{
    AttemptId, Endpoint, EndpointId, EventId, EventType, Shard, ShardSet, Timestamp, Trigger,
};
use crate::store::StoreMeters;
use crate::store::shared::endpoint_text::read_rate;
use crate::store::sqlite::engine::command;
use crate::store::sqlite::engine::command::Tx;
use crate::store::sqlite::engine::rows;
use crate::store::sqlite::engine::store::SqliteStore;
use crate::store::sqlite::queue::{attempts, endpoints, finish, sources, trouble};

use crate::store::sqlite::engine::rows::{EndpointRow, EventRow};
use crate::store::{
    Due, DueHold, EndpointQueue, FinishRules, Finished, Line, LoadedAttempt, Oldest, QueueStore, Queued,
    Result, SentAs,
};

/// The endpoints that have something in `attempts_due`, one step down the index for each: the
/// recursion asks for the next larger endpoint until there is none. Rows start at 1.
macro_rules! endpoints_with_pending {
    () => {
        "WITH RECURSIVE waiting (endpoint) AS ( \
             SELECT 0 UNION ALL \
             SELECT (SELECT t.endpoint FROM attempts t \
                 WHERE t.status = 'pending' AND t.schedule_used IS NOT NULL AND t.endpoint > w.endpoint \
                 ORDER BY t.endpoint LIMIT 1) \
             FROM waiting w WHERE w.endpoint IS NOT NULL) "
    };
}

pub(crate) const ENDPOINTS: &str = concat!(
    endpoints_with_pending!(),
    "SELECT p.uid, (SELECT t.due_at FROM attempts t \
         WHERE t.endpoint = p.id AND t.bulk = 0 AND t.status = 'pending' AND t.schedule_used IS NOT NULL \
         ORDER BY t.due_at LIMIT 1), \
         (SELECT t.due_at FROM attempts t \
         WHERE t.endpoint = p.id AND t.bulk = 1 AND t.status = 'pending' AND t.schedule_used IS NOT NULL \
         ORDER BY t.due_at LIMIT 1), p.hold_probe_at \
     FROM waiting w CROSS JOIN endpoints p ON p.id = w.endpoint \
     WHERE p.status = 'active' AND p.deleted_at IS NULL"
);

/// The same with those that are paused.
pub(crate) const OLDEST: &str = concat!(
    endpoints_with_pending!(),
    "SELECT p.status = 'active', (SELECT t.due_at FROM attempts t \
         WHERE t.endpoint = p.id AND t.bulk = 0 AND t.status = 'pending' AND t.schedule_used IS NOT NULL \
         ORDER BY t.due_at LIMIT 1), \
         (SELECT t.due_at FROM attempts t \
         WHERE t.endpoint = p.id AND t.bulk = 1 AND t.status = 'pending' AND t.schedule_used IS NOT NULL \
         ORDER BY t.due_at LIMIT 1) \
     FROM waiting w CROSS JOIN endpoints p ON p.id = w.endpoint \
     WHERE p.status <> 'disabled' AND p.deleted_at IS NULL"
);

pub(crate) const OLDEST_SINGLE: &str = "SELECT t.due_at FROM attempts t \
     WHERE t.status = 'pending' AND t.schedule_used IS NULL ORDER BY t.due_at LIMIT 1";

pub(crate) const DUE: &str = "SELECT t.id, t.due_at FROM attempts t \
     WHERE t.endpoint = ?1 AND t.bulk = ?2 AND t.status = 'pending' AND t.schedule_used IS NOT NULL \
     ORDER BY t.due_at, t.id LIMIT ?3";

pub(crate) const SINGLES: &str = "SELECT t.id, p.uid, t.due_at \
     FROM attempts t CROSS JOIN endpoints p ON p.id = t.endpoint \
     WHERE t.status = 'pending' AND t.schedule_used IS NULL AND t.due_at <= ?1 AND p.deleted_at IS NULL \
     ORDER BY t.due_at, t.id";

pub(crate) const URGENT: &str = "SELECT t.id, p.uid, t.due_at \
     FROM attempts t CROSS JOIN endpoints p ON p.id = t.endpoint \
     WHERE t.status = 'pending' AND t.urgent IS NOT NULL AND t.due_at <= ?1 AND p.deleted_at IS NULL \
     ORDER BY t.due_at, t.id";

pub(crate) const LOAD: &str = "SELECT t.attempt, t.trigger, t.schedule_used, v.uid, y.name, v.payload, t.endpoint, t.event, \
     coalesce(t.first_id, t.id), v.resource_id, v.created_at \
     FROM attempts t CROSS JOIN endpoints p ON p.id = t.endpoint CROSS JOIN events v ON v.id = t.event \
     CROSS JOIN event_types y ON y.id = t.type \
     WHERE t.id = ?1 AND t.status = 'pending' AND v.payload IS NOT NULL AND p.deleted_at IS NULL \
     AND (p.status = 'active' OR t.schedule_used IS NULL OR t.urgent IS NOT NULL) \
     AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.id = t.job AND j.status = 'cancelled')";

/// Pending attempts of endpoints that are disabled or deleted.
pub(crate) const LOST: &str = concat!(
    endpoints_with_pending!(),
    "SELECT t.id FROM waiting w CROSS JOIN endpoints p ON p.id = w.endpoint \
     CROSS JOIN attempts t ON t.endpoint = p.id AND t.status = 'pending' AND t.schedule_used IS NOT NULL \
     WHERE p.status = 'disabled' OR p.deleted_at IS NOT NULL LIMIT ?1"
);

pub(crate) const LOST_SINGLES: &str = "SELECT t.id FROM attempts t CROSS JOIN endpoints p ON p.id = t.endpoint \
     WHERE t.status = 'pending' AND t.schedule_used IS NULL AND p.deleted_at IS NOT NULL LIMIT ?1";

/// Pending attempts of bulk jobs that were stopped.
pub(crate) const LOST_BULK: &str = "SELECT t.id FROM jobs j \
     CROSS JOIN attempts t ON t.job = j.id AND t.status = 'pending' AND t.job IS NOT NULL \
     WHERE j.status = 'cancelled' AND j.queued > j.delivered + j.exhausted + j.cancelled LIMIT ?1";

pub(crate) const DEPTH: &str = "SELECT \
     (SELECT count(*) FROM (SELECT 1 FROM attempts WHERE status = 'pending' AND schedule_used IS NOT NULL LIMIT ?1)) \
     + (SELECT count(*) FROM (SELECT 1 FROM attempts WHERE status = 'pending' AND schedule_used IS NULL LIMIT ?1))";

/// An endpoint, as far as it concerns what is due.
struct DueEndpoint {
    row: EndpointRow,
    rate_limit: Option<Rate>,
    is_active: bool,
    failing: bool,
    /// While it is on hold.
    next_probe_at: Option<Timestamp>,
}

fn due_endpoint(conn: &Connection, id: EndpointId) -> rusqlite::Result<Option<DueEndpoint>> {
    conn.prepare_cached(
        "SELECT id, rate_limit, status = 'active', consecutive_failures > 0, hold_probe_at, rate_text FROM endpoints \
         WHERE uid = ?1 AND deleted_at IS NULL",
    )?
    .query_row([id], |row| {
        Ok(DueEndpoint {
            row: row.get(0)?,
            rate_limit: read_rate(row.get(1)?, row.get(5)?)?,
            is_active: row.get(2)?,
            failing: row.get(3)?,
            next_probe_at: row.get(4)?,
        })
    })
    .optional()
}

fn due(conn: &Connection, endpoint: EndpointId, now: Timestamp, limit: u32) -> rusqlite::Result<Due> {
    let Some(found) = due_endpoint(conn, endpoint)? else { return Ok(Due::default()) };
    let DueEndpoint { row: endpoint, rate_limit, is_active, failing, next_probe_at } = found;
    if !is_active {
        let hold = next_probe_at.map(|next_probe_at| DueHold { next_probe_at, probes: Vec::new() });
        return Ok(Due { rate_limit, failing, hold, ..Due::default() });
    }
    if let Some(next_probe_at) = next_probe_at {
        let hold = due_on_hold(conn, endpoint, next_probe_at, now, limit)?;
        let earliest = earliest(conn, endpoint)?;
        let next_due = earliest.map(|due_at| due_at.max(next_probe_at)).filter(|at| *at > now);
        return Ok(Due { rate_limit, failing, next_due, hold: Some(hold), ..Due::default() });
    }
    let (attempts, more, next) = due_of(conn, endpoint, false, now, limit)?;
    let (bulk, more_bulk, next_bulk) = due_of(conn, endpoint, true, now, limit)?;
    let next_due = [next, next_bulk].into_iter().flatten().min();
    Ok(Due { attempts, more, bulk, more_bulk, next_due, rate_limit, failing, hold: None })
}

/// What may be sent as the probe of an endpoint on hold.
fn due_on_hold(
    conn: &Connection,
    endpoint: EndpointRow,
    next_probe_at: Timestamp,
    now: Timestamp,
    limit: u32,
) -> rusqlite::Result<DueHold> {
    let mut probes = Vec::new();
    if next_probe_at <= now {
        for bulk in [false, true] {
            let line = if bulk { Line::Bulk } else { Line::Fresh };
            let mut statement = conn.prepare_cached(DUE)?;
            let mut found = statement.query(params![endpoint, bulk, limit])?;
            while let Some(row) = found.next()? {
                let due_at: Timestamp = row.get(1)?;
                if due_at > now {
                    break;
                }
                probes.push((due_at, row.get::<_, AttemptId>(0)?, line));
            }
        }
        probes.sort_by_key(|(due_at, id, _)| (*due_at, *id));
        probes.truncate(limit as usize);
    }
    let probes = probes.into_iter().map(|(_, id, line)| (id, line)).collect();
    Ok(DueHold { next_probe_at, probes })
}

/// When the earliest pending attempt of an endpoint is due, single shots apart.
fn earliest(conn: &Connection, endpoint: EndpointRow) -> rusqlite::Result<Option<Timestamp>> {
    let mut statement = conn.prepare_cached(DUE)?;
    let mut earliest: Option<Timestamp> = None;
    for bulk in [false, true] {
        let found = statement.query_row(params![endpoint, bulk, 1], |row| row.get(1)).optional()?;
        earliest = earliest.into_iter().chain(found).min();
    }
    Ok(earliest)
}

/// What is due of one of an endpoint's two queues, whether there is more, and when the next one is due.
fn due_of(
    conn: &Connection,
    endpoint: EndpointRow,
    bulk: bool,
    now: Timestamp,
    limit: u32,
) -> rusqlite::Result<(Vec<AttemptId>, bool, Option<Timestamp>)> {
    let mut statement = conn.prepare_cached(DUE)?;
    let mut found = statement.query(params![endpoint, bulk, i64::from(limit) + 1])?;
    let mut ids = Vec::new();
    while let Some(row) = found.next()? {
        let due_at: Timestamp = row.get(1)?;
        if due_at > now {
            return Ok((ids, false, Some(due_at)));
        }
        if ids.len() == limit as usize {
            return Ok((ids, true, None));
        }
        ids.push(row.get(0)?);
    }
    Ok((ids, false, None))
}

fn load(conn: &Connection, ids: &[AttemptId]) -> rusqlite::Result<Vec<LoadedAttempt>> {
    let mut known: HashMap<EndpointRow, Arc<Endpoint>> = HashMap::new();
    let mut statement = conn.prepare_cached(LOAD)?;
    let mut jobs = Vec::with_capacity(ids.len());
    for id in ids {
        let found = statement.query_row([id], |row| {
            let (event_id, event_type): (EventId, EventType) = (row.get(3)?, row.get(4)?);
            let (attempt, trigger): (u32, Trigger) = (row.get(0)?, row.get(1)?);
            let payload: Vec<u8> = row.get(5)?;
            let (endpoint, event): (EndpointRow, EventRow) = (row.get(6)?, row.get(7)?);
            let budget = rows::budget(row.get(2)?);
            let (delivery_id, resource_id, created_at) = (row.get(8)?, row.get(9)?, row.get(10)?);
            Ok((
                attempt,
                trigger,
                budget,
                event_id,
                event_type,
                payload,
                (endpoint, event, delivery_id, resource_id, created_at),
            ))
        });
        let Some((attempt, trigger, budget, event_id, event_type, payload, rest)) = found.optional()? else {
            continue;
        };
        let (row, event, delivery_id, resource_id, created_at) = rest;
        let endpoint = match known.get(&row) {
            Some(endpoint) => endpoint.clone(),
            None => {
                let endpoint = Arc::new(endpoints::by_row(conn, row)?);
                known.insert(row, endpoint.clone());
                endpoint
            }
        };
        let payload = Bytes::from(payload);
        jobs.push(LoadedAttempt {
            id: *id,
            attempt,
            trigger,
            budget,
            delivery_id,
            event_id,
            event_type,
            created_at,
            resource_id,
            payload,
            endpoint,
            from: sources::of_event(conn, event)?.map(Arc::new),
        });
    }
    Ok(jobs)
}

fn oldest(conn: &Connection) -> rusqlite::Result<Oldest> {
    // A single shot is sent whatever its endpoint's status.
    let single: Option<Timestamp> =
        conn.prepare_cached(OLDEST_SINGLE)?.query_row([], |row| row.get(0)).optional()?;
    let mut oldest = Oldest { of_all: single, of_active: single };
    let earlier = |one: Option<Timestamp>, other| one.into_iter().chain(other).min();
    let mut statement = conn.prepare_cached(OLDEST)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (is_active, fresh, bulk): (bool, Option<Timestamp>, Option<Timestamp>) =
            (row.get(0)?, row.get(1)?, row.get(2)?);
        let here = earlier(fresh, bulk);
        oldest.of_all = earlier(oldest.of_all, here);
        if is_active {
            oldest.of_active = earlier(oldest.of_active, here);
        }
    }
    Ok(oldest)
}

/// Sets the meter by counting, once; from then on commits keep it.
pub(crate) fn read_depth(conn: &Connection, meters: &StoreMeters) -> rusqlite::Result<()> {
    let depth: i64 = conn.query_row(DEPTH, [i64::MAX], |row| row.get(0))?;
    meters.queue_depth.set(depth);
    Ok(())
}

fn cancel(tx: &mut Tx<'_>, limit: u32) -> rusqlite::Result<u32> {
    let mut lost: Vec<AttemptId> = Vec::new();
    for sql in [LOST, LOST_SINGLES, LOST_BULK] {
        let left = i64::from(limit) - lost.len() as i64;
        for id in tx.prepare_cached(sql)?.query_map([left], |row| row.get(0))? {
            lost.push(id?);
        }
    }
    let mut cancelled = 0;
    for id in lost {
        cancelled += u32::from(attempts::cancel(tx, id)?);
    }
    Ok(cancelled)
}

#[async_trait]
impl QueueStore for SqliteStore {
    async fn queue_endpoints(&self, shards: ShardSet) -> Result<Vec<EndpointQueue>> {
        self.read("looking for work", move |conn| {
            let mut statement = conn.prepare_cached(ENDPOINTS)?;
            let mut rows = statement.query([])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let (fresh, bulk): (Option<Timestamp>, Option<Timestamp>) = (row.get(1)?, row.get(2)?);
                let next_probe_at: Option<Timestamp> = row.get(3)?;
                let endpoint_id = row.get(0)?;
                if let Some(earliest) = fresh.into_iter().chain(bulk).min()
                    && shards.contains_endpoint(endpoint_id)
                {
                    let earliest = next_probe_at.map_or(earliest, |at| at.max(earliest));
                    found.push(EndpointQueue { endpoint_id, earliest });
                }
            }
            Ok(found)
        })
        .await
    }

    async fn queue_due(&self, endpoint: EndpointId, now: Timestamp, limit: u32) -> Result<Due> {
        self.read("looking for what is due", move |conn| due(conn, endpoint, now, limit)).await
    }

    async fn queue_singles(&self, now: Timestamp, limit: u32, shards: ShardSet) -> Result<Vec<Queued>> {
        self.read("looking for single shots", move |conn| {
            let mut found = Vec::new();
            for sql in [URGENT, SINGLES] {
                let mut statement = conn.prepare_cached(sql)?;
                let mut rows = statement.query(params![now])?;
                while found.len() < limit as usize
                    && let Some(row) = rows.next()?
                {
                    let (attempt_id, endpoint_id, due_at) = (row.get(0)?, row.get(1)?, row.get(2)?);
                    if shards.contains_endpoint(endpoint_id) {
                        found.push(Queued { attempt_id, endpoint_id, due_at, line: Line::Single });
                    }
                }
            }
            Ok(found)
        })
        .await
    }

    async fn queue_load(&self, mut attempts: Vec<AttemptId>) -> Result<Vec<LoadedAttempt>> {
        let generation = self.fresh.generation();
        let mut jobs = self.fresh.take(&mut attempts);
        if !attempts.is_empty() {
            let read = self.read("loading attempts", move |conn| load(conn, &attempts)).await?;
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
        let epochs = self.epochs.clone();
        let finish = command::repeatable("writing a result", move |tx| {
            tx.cache.ended(id);
            let is_current = |endpoint| epochs.of(Shard::of(endpoint)) == sent.epoch;
            finish::finish(tx, id, &outcome, &rules, sent, is_current)
        });
        self.ask_patiently(finish).await
    }

    async fn queue_overdue(&self, since: Timestamp, limit: u32, shards: ShardSet) -> Result<Vec<AttemptId>> {
        self.read("looking for what was held for too long", move |conn| {
            let overdue = trouble::overdue(conn, since, limit)?.into_iter();
            Ok(overdue
                .filter(|(_, endpoint)| shards.contains_endpoint(*endpoint))
                .map(|(id, _)| id)
                .collect())
        })
        .await
    }

    async fn queue_give_up(&self, attempts: Vec<AttemptId>, since: Timestamp, now: Timestamp) -> Result<u32> {
        self.write_patiently("giving up", move |tx| finish::give_up(tx, &attempts, since, now)).await
    }

    async fn queue_cancel(&self, limit: u32) -> Result<u32> {
        self.write_patiently("cancelling what is pending", move |tx| cancel(tx, limit)).await
    }

    async fn queue_oldest(&self) -> Result<Oldest> {
        self.read("looking for the oldest", oldest).await
    }

    async fn queue_depth(&self, cap: u64) -> Result<u64> {
        let limit = i64::try_from(cap).unwrap_or(i64::MAX);
        let depth = self.read("counting what is pending", move |conn| {
            conn.prepare_cached(DEPTH)?.query_row([limit], |row| rows::count(row, 0))
        });
        Ok(depth.await?.min(cap))
    }
}
