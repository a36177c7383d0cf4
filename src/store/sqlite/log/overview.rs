//! All endpoints of an app, due deliveries, and how large the file is.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::domain::{AppId, EndpointId, EventId, Timestamp};
use crate::store::shared::counts::{HOUR_MS, slot_of};
use crate::store::sqlite::engine::rows::{AppRow, EventRow};
use crate::store::sqlite::engine::store::SqliteStore;
use crate::store::sqlite::engine::{cache, rows};
use crate::store::{DueFigures, EndpointBrief, EventOutcome, HourCount, OverviewStore, Result, StorageFacts};

const BRIEFS: &str = "SELECT uid, name, url, status, status_reason FROM endpoints \
     WHERE app = ?1 AND deleted_at IS NULL ORDER BY uid DESC";

/// Fresh and bulk work of active endpoints, each a range of the index `attempts_due`, and single shots,
/// of which there are few.
pub(crate) const COUNT_DUE: &str = "SELECT \
     (SELECT count(*) FROM (SELECT 1 FROM endpoints e CROSS JOIN (SELECT 0 AS bulk UNION ALL SELECT 1) b \
         CROSS JOIN attempts t ON t.endpoint = e.id AND t.bulk = b.bulk AND t.due_at <= ?2 \
             AND t.status = 'pending' AND t.schedule_used IS NOT NULL \
         WHERE e.app = ?1 AND e.status = 'active' AND e.deleted_at IS NULL LIMIT ?3)) \
     + (SELECT count(*) FROM (SELECT t.app AS app FROM attempts t WHERE t.status = 'pending' \
         AND t.schedule_used IS NULL AND t.due_at <= ?2 LIMIT ?3) s WHERE s.app = ?1)";
pub(crate) const OLDEST_DUE: &str = "SELECT min(due_at) FROM (SELECT \
         (SELECT t.due_at FROM attempts t WHERE t.endpoint = e.id AND t.bulk = b.bulk \
             AND t.status = 'pending' AND t.schedule_used IS NOT NULL ORDER BY t.due_at LIMIT 1) AS due_at \
         FROM endpoints e CROSS JOIN (SELECT 0 AS bulk UNION ALL SELECT 1) b \
         WHERE e.app = ?1 AND e.status = 'active' AND e.deleted_at IS NULL \
     UNION ALL SELECT s.due_at FROM (SELECT t.app AS app, t.due_at AS due_at FROM attempts t \
         WHERE t.status = 'pending' AND t.schedule_used IS NULL ORDER BY t.due_at LIMIT ?3) s \
         WHERE s.app = ?1) WHERE due_at <= ?2";
pub(crate) const HOURS: &str = "SELECT e.uid AS uid, r.hour AS hour, r.delivered AS delivered, \
     r.exhausted AS exhausted FROM endpoints e CROSS JOIN rollups r ON r.endpoint = e.id AND r.hour >= ?2 \
     WHERE e.uid = ?3 AND e.app = ?1 AND e.deleted_at IS NULL AND r.delivered + r.exhausted > 0";
/// The newest attempts of an event's deliveries.
pub(crate) const OUTCOMES: &str =
    "SELECT status, attempt > 1 AS is_later FROM attempts WHERE event = ?1 AND status <> 'failed' LIMIT ?2";

fn briefs(conn: &Connection, app: AppRow) -> rusqlite::Result<Vec<EndpointBrief>> {
    conn.prepare_cached(BRIEFS)?
        .query_map([app], |row| {
            Ok(EndpointBrief {
                id: row.get("uid")?,
                name: row.get("name")?,
                url: row.get("url")?,
                status: row.get("status")?,
                status_reason: row.get("status_reason")?,
            })
        })?
        .collect()
}

fn due(conn: &Connection, app: AppRow, now: Timestamp, cap: u32) -> rusqlite::Result<DueFigures> {
    let values = params![app, now, cap];
    let due = conn.prepare_cached(COUNT_DUE)?.query_row(values, |row| rows::count(row, 0))?;
    let oldest_due_at = conn.prepare_cached(OLDEST_DUE)?.query_row(values, |row| row.get(0))?;
    Ok(DueFigures { due: due.min(cap.into()), oldest_due_at })
}

fn hours(
    conn: &Connection,
    app: AppRow,
    endpoint: EndpointId,
    since: Timestamp,
) -> rusqlite::Result<Vec<HourCount>> {
    conn.prepare_cached(HOURS)?
        .query_map(params![app, slot_of(since, HOUR_MS), endpoint], |row| {
            Ok(HourCount {
                endpoint_id: row.get("uid")?,
                start: Timestamp::from_millis(row.get::<_, i64>("hour")? * HOUR_MS),
                delivered: rows::count(row, "delivered")?,
                exhausted: rows::count(row, "exhausted")?,
            })
        })?
        .collect()
}

fn outcome(
    conn: &Connection,
    app: AppRow,
    event: EventId,
    most: u32,
) -> rusqlite::Result<Option<EventOutcome>> {
    let row: Option<EventRow> = conn
        .prepare_cached("SELECT id FROM events WHERE uid = ?1 AND app = ?2")?
        .query_row(params![event, app], |row| row.get(0))
        .optional()?;
    let Some(row) = row else { return Ok(None) };
    let mut outcome = EventOutcome::default();
    let mut newest = conn.prepare_cached(OUTCOMES)?;
    let mut newest = newest.query(params![row, most])?;
    while let Some(row) = newest.next()? {
        outcome.count(row.get("status")?, row.get("is_later")?);
    }
    Ok(Some(outcome))
}

fn facts(conn: &Connection) -> rusqlite::Result<StorageFacts> {
    let number = |name: &str| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let page = number("page_size")?;
    let bytes = |pages: i64| u64::try_from(pages * page).unwrap_or(0);
    // Ids ascend and are never used twice; two steps into a table say how many there can be.
    let span = |sql: &str| conn.query_row(sql, [], |row| rows::count(row, 0));
    let wal = conn.path().and_then(|path| std::fs::metadata(format!("{path}-wal")).ok());
    Ok(StorageFacts {
        kind: "sqlite",
        version: rusqlite::version().to_owned(),
        database_bytes: bytes(number("page_count")?),
        free_bytes: bytes(number("freelist_count")?),
        wal_bytes: wal.map_or(0, |file| file.len()),
        attempts: span(
            "SELECT coalesce((SELECT max(id) FROM attempts) - (SELECT min(id) FROM attempts) + 1, 0)",
        )?,
        events: span("SELECT coalesce((SELECT max(id) FROM events) - (SELECT min(id) FROM events) + 1, 0)")?,
        oldest_attempt_at: conn
            .query_row("SELECT created_at FROM attempts ORDER BY id LIMIT 1", [], |row| row.get(0))
            .optional()?,
    })
}

#[async_trait]
impl OverviewStore for SqliteStore {
    async fn endpoint_briefs(&self, app: AppId) -> Result<Vec<EndpointBrief>> {
        self.read("reading all endpoints", move |conn| match cache::app_row(conn, app)? {
            Some(app) => briefs(conn, app),
            None => Ok(vec![]),
        })
        .await
    }

    async fn due_figures(&self, app: AppId, now: Timestamp, cap: u32) -> Result<DueFigures> {
        self.read("reading what is due", move |conn| match cache::app_row(conn, app)? {
            Some(app) => due(conn, app, now, cap),
            None => Ok(DueFigures::default()),
        })
        .await
    }

    async fn endpoint_hours(
        &self,
        app: AppId,
        endpoints: Vec<EndpointId>,
        since: Timestamp,
    ) -> Result<Vec<HourCount>> {
        self.read("reading the hours of endpoints", move |conn| {
            let Some(app) = cache::app_row(conn, app)? else { return Ok(vec![]) };
            let mut found = Vec::new();
            for endpoint in &endpoints {
                found.append(&mut hours(conn, app, *endpoint, since)?);
            }
            Ok(found)
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
            let Some(app) = cache::app_row(conn, app)? else { return Ok(vec![]) };
            let mut found = Vec::with_capacity(events.len());
            for event in &events {
                found.extend(outcome(conn, app, *event, most)?.map(|outcome| (*event, outcome)));
            }
            Ok(found)
        })
        .await
    }

    async fn storage_facts(&self) -> Result<StorageFacts> {
        self.read("reading sizes", facts).await
    }
}
