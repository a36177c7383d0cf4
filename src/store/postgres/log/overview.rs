//! All endpoints of an app, due deliveries, and how large the database is.

use std::collections::HashMap;

use async_trait::async_trait;
use futures_util::FutureExt as _;

use crate::domain::{AppId, EndpointId, EventId, Timestamp};
use crate::store::postgres::engine::conn::{Conn, Statements as _, plan_by_values};
use crate::store::postgres::engine::error::DbResult;
use crate::store::postgres::engine::partitions::{Parent, Partitions};
use crate::store::postgres::engine::rows::{Columns as _, EventRow};
use crate::store::postgres::engine::store::PostgresStore;
use crate::store::postgres::engine::{cache, ids};
use crate::store::shared::counts::{HOUR_MS, slot_of};
use crate::store::{DueFigures, EndpointBrief, EventOutcome, HourCount, OverviewStore, Result, StorageFacts};

const BRIEFS: &str = "SELECT e.uid, e.name, e.url, e.status, e.status_reason \
     FROM endpoints e JOIN apps a ON a.id = e.app \
     WHERE a.uid = $1 AND e.deleted_at IS NULL ORDER BY e.uid DESC";

/// Fresh and bulk work of active endpoints, each a range of the index `queue_due`, and single shots, of which there
/// are few.
const COUNT_DUE: &str = "SELECT \
     (SELECT count(*) FROM (SELECT 1 FROM endpoints e CROSS JOIN (VALUES (0), (1)) b(bulk) \
         CROSS JOIN LATERAL (SELECT 1 FROM queue q WHERE q.endpoint = e.id \
             AND (q.job IS NOT NULL)::int = b.bulk AND q.due_at <= $2 AND q.schedule_used IS NOT NULL LIMIT $3) d \
         WHERE e.app = $1 AND e.status = 'active' AND e.deleted_at IS NULL LIMIT $3) f) \
     + (SELECT count(*) FROM (SELECT q.app FROM queue q \
         WHERE q.schedule_used IS NULL AND q.due_at <= $2 LIMIT $3) s WHERE s.app = $1) AS count";
const OLDEST_DUE: &str = "SELECT min(f.due_at) AS due_at FROM ( \
     SELECT d.due_at FROM endpoints e CROSS JOIN (VALUES (0), (1)) b(bulk) \
         CROSS JOIN LATERAL (SELECT q.due_at FROM queue q WHERE q.endpoint = e.id \
             AND (q.job IS NOT NULL)::int = b.bulk AND q.schedule_used IS NOT NULL ORDER BY q.due_at LIMIT 1) d \
         WHERE e.app = $1 AND e.status = 'active' AND e.deleted_at IS NULL \
     UNION ALL SELECT s.due_at FROM (SELECT q.app, q.due_at FROM queue q \
         WHERE q.schedule_used IS NULL ORDER BY q.due_at LIMIT $3) s WHERE s.app = $1) f WHERE f.due_at <= $2";

async fn briefs(conn: &Conn, app: AppId) -> DbResult<Vec<EndpointBrief>> {
    let mut found = Vec::new();
    for row in conn.rows(BRIEFS, &[&app]).await? {
        found.push(EndpointBrief {
            id: row.col("uid")?,
            name: row.col("name")?,
            url: row.col("url")?,
            status: row.col("status")?,
            status_reason: row.col("status_reason")?,
        });
    }
    Ok(found)
}

async fn due(conn: &Conn, app: AppId, now: Timestamp, cap: u32) -> DbResult<DueFigures> {
    let Some(app) = cache::app_row(conn, app).await? else { return Ok(DueFigures::default()) };
    let limit = i64::from(cap);
    let due: u64 = conn.row(COUNT_DUE, &[&app, &now, &limit]).await?.num("count")?;
    let oldest_due_at = conn.row(OLDEST_DUE, &[&app, &now, &limit]).await?.col("due_at")?;
    Ok(DueFigures { due: due.min(cap.into()), oldest_due_at })
}

const HOURS: &str = "SELECT e.uid, r.hour, sum(r.delivered)::bigint AS delivered, \
     sum(r.exhausted)::bigint AS exhausted FROM endpoints e JOIN apps a ON a.id = e.app \
     JOIN rollups_now r ON r.endpoint = e.id AND r.hour >= $2 \
     WHERE e.uid = ANY($3) AND a.uid = $1 AND e.deleted_at IS NULL \
     GROUP BY e.uid, r.hour HAVING sum(r.delivered + r.exhausted) > 0";

async fn hours(
    conn: &Conn,
    app: AppId,
    endpoints: &[EndpointId],
    since: Timestamp,
) -> DbResult<Vec<HourCount>> {
    let mut found = Vec::new();
    for row in conn.rows(HOURS, &[&app, &slot_of(since, HOUR_MS), &endpoints]).await? {
        found.push(HourCount {
            endpoint_id: row.col("uid")?,
            start: Timestamp::from_millis(row.num::<i64>("hour")? * HOUR_MS),
            delivered: row.num("delivered")?,
            exhausted: row.num("exhausted")?,
        });
    }
    Ok(found)
}

const EVENTS: &str = "SELECT v.uid, v.id FROM events v WHERE v.uid = ANY($1) AND v.app = $2 \
     AND (v.id >= $3 AND v.id <= $4 OR v.id < $5)";
/// The newest attempts of events' deliveries, no more than so many of each.
const OUTCOMES: &str = "SELECT w.event, n.status, n.attempt > 1 AS is_later \
     FROM unnest($1::bigint[]) AS w(event) CROSS JOIN LATERAL ( \
         SELECT f.status, f.attempt FROM ( \
             (SELECT 'pending' AS status, q.attempt FROM queue q WHERE q.event = w.event LIMIT $2) \
             UNION ALL (SELECT l.status, l.attempt FROM log l WHERE l.event = w.event AND l.status <> 'failed' \
                 AND (l.id >= $3 OR l.id < $4) LIMIT $2)) f LIMIT $2) n";

async fn outcomes(
    conn: &Conn,
    app: AppId,
    events: &[EventId],
    most: u32,
) -> DbResult<Vec<(EventId, EventOutcome)>> {
    plan_by_values(conn).await?;
    let Some(app) = cache::app_row(conn, app).await? else { return Ok(vec![]) };
    let made = |event: &EventId| ids::made_at(*event);
    let (Some(first), Some(last)) = (events.iter().map(made).min(), events.iter().map(made).max()) else {
        return Ok(vec![]);
    };
    let (from, to) = (ids::first_at(first), ids::last_at(last));
    let mut row_of: HashMap<EventId, EventRow> = HashMap::new();
    for row in conn.rows(EVENTS, &[&events, &app, &from, &to, &ids::TIMELY_FROM]).await? {
        row_of.insert(row.col("uid")?, row.col("id")?);
    }
    let rows: Vec<EventRow> = row_of.values().copied().collect();
    let mut outcome_of: HashMap<EventRow, EventOutcome> = HashMap::new();
    for row in conn.rows(OUTCOMES, &[&rows, &i64::from(most), &from, &ids::TIMELY_FROM]).await? {
        let outcome = outcome_of.entry(row.col("event").map(EventRow)?).or_default();
        outcome.count(row.col("status")?, row.col("is_later")?);
    }
    let each = events.iter().filter_map(|event| Some((*event, *row_of.get(event)?)));
    Ok(each.map(|(event, row)| (event, outcome_of.get(&row).copied().unwrap_or_default())).collect())
}

/// Up to so many rows are counted; more are estimated.
const COUNTED: i64 = 10_000;

/// How many rows a table with partitions has, by the statistics that autovacuum keeps.
const ESTIMATE: &str = "SELECT coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint AS count FROM pg_inherits i \
     JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = ($1::text)::regclass";
const SIZES: &str = "SELECT pg_database_size(current_database()) AS bytes, \
     current_setting('server_version') AS version, \
     (SELECT count(*) FROM (SELECT 1 FROM queue LIMIT $1) q) AS queued, \
     (SELECT greatest(c.reltuples, 0)::bigint FROM pg_class c WHERE c.oid = 'queue'::regclass) AS queued_about";
const OLDEST_QUEUED: &str = "SELECT q.id, q.created_at FROM queue q ORDER BY q.id LIMIT 1";

/// How many rows there are in a table with partitions: exact where they are few.
async fn rows_of(conn: &Conn, partitions: &Partitions, parent: Parent) -> DbResult<i64> {
    let mut counted = 0;
    for partition in partitions.of(parent).iter() {
        if counted >= COUNTED {
            let about: i64 = conn.row(ESTIMATE, &[&parent.name()]).await?.num("count")?;
            return Ok(about.max(counted));
        }
        let sql = format!(
            "SELECT count(*) AS count FROM (SELECT 1 FROM {} t WHERE t.id >= $1 AND t.id < $2 LIMIT $3) f",
            parent.name()
        );
        let left = COUNTED - counted;
        counted += conn.row(&sql, &[&partition.from, &partition.to, &left]).await?.num::<i64>("count")?;
    }
    Ok(counted)
}

/// When the first attempt was made.
async fn oldest(conn: &Conn, partitions: &Partitions) -> DbResult<Option<Timestamp>> {
    let queued = conn.row_opt(OLDEST_QUEUED, &[]).await?;
    let sql = "SELECT l.id, l.created_at FROM log l WHERE l.id >= $1 AND l.id < $2 ORDER BY l.id LIMIT 1";
    let mut ended = None;
    for partition in partitions.of(Parent::Log).iter() {
        ended = conn.row_opt(sql, &[&partition.from, &partition.to]).await?;
        if ended.is_some() {
            break;
        }
    }
    let mut first: Option<(i64, Timestamp)> = None;
    for row in queued.into_iter().chain(ended) {
        let this = (row.num("id")?, row.col("created_at")?);
        first = Some(first.map_or(this, |first| first.min(this)));
    }
    Ok(first.map(|(_, created_at)| created_at))
}

async fn facts(conn: &Conn, partitions: &Partitions) -> DbResult<StorageFacts> {
    plan_by_values(conn).await?;
    let sizes = conn.row(SIZES, &[&COUNTED]).await?;
    let (queued, about): (i64, i64) = (sizes.num("queued")?, sizes.num("queued_about")?);
    let queued = if queued < COUNTED { queued } else { about.max(queued) };
    let attempts = rows_of(conn, partitions, Parent::Log).await? + queued;
    Ok(StorageFacts {
        kind: "postgresql",
        version: sizes.col("version")?,
        database_bytes: sizes.num("bytes")?,
        free_bytes: 0,
        wal_bytes: 0,
        attempts: attempts.unsigned_abs(),
        events: rows_of(conn, partitions, Parent::Events).await?.unsigned_abs(),
        oldest_attempt_at: oldest(conn, partitions).await?,
    })
}

#[async_trait]
impl OverviewStore for PostgresStore {
    async fn endpoint_briefs(&self, app: AppId) -> Result<Vec<EndpointBrief>> {
        self.query("reading all endpoints", move |conn| async move { briefs(conn, app).await }.boxed()).await
    }

    async fn due_figures(&self, app: AppId, now: Timestamp, cap: u32) -> Result<DueFigures> {
        self.read("reading what is due", move |conn| async move { due(conn, app, now, cap).await }.boxed())
            .await
    }

    async fn endpoint_hours(
        &self,
        app: AppId,
        endpoints: Vec<EndpointId>,
        since: Timestamp,
    ) -> Result<Vec<HourCount>> {
        self.query("reading the hours of endpoints", move |conn| {
            async move { hours(conn, app, &endpoints, since).await }.boxed()
        })
        .await
    }

    async fn event_outcomes(
        &self,
        app: AppId,
        events: Vec<EventId>,
        most: u32,
    ) -> Result<Vec<(EventId, EventOutcome)>> {
        self.read("reading outcomes of events", move |conn| {
            async move { outcomes(conn, app, &events, most).await }.boxed()
        })
        .await
    }

    async fn storage_facts(&self) -> Result<StorageFacts> {
        let partitions = self.partitions.clone();
        self.read("reading sizes", move |conn| async move { facts(conn, &partitions).await }.boxed()).await
    }
}
