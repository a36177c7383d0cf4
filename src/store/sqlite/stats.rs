//! Roll-ups: what happened at an endpoint in an hour, counted in the transaction that made it happen.
//!
//! The rule they keep is written beside the tables. Only two things ever change them: an attempt that
//! ends ([`finished`]), and an exhausted one whose delivery goes on ([`no_longer_exhausted`]).

use async_trait::async_trait;
use rusqlite::{Connection, params};

use super::attempts::Stored;
use super::{SqliteStore, cache, endpoints, rows};
use crate::domain::attempt::{AttemptStatus, ErrorKind, Outcome, Trigger};
use crate::domain::histogram::bucket_of;
use crate::domain::{AppId, EndpointId, Timestamp};
use crate::store::{HourStats, Result, StatsStore};

const HOUR_MS: i64 = 3_600_000;

/// Counts an attempt that has ended with `status`.
pub(super) fn finished(
    conn: &Connection,
    row: &Stored,
    status: AttemptStatus,
    outcome: &Outcome,
) -> rusqlite::Result<()> {
    if row.current.trigger == Trigger::Test {
        return Ok(());
    }
    // What was never sent belongs to no hour.
    let Some(hour) = outcome.attempted_at.map(hour_of) else { return Ok(()) };
    let failed = outcome.failure.as_ref().is_some_and(|failure| failure.kind != ErrorKind::Interrupted);
    let ms = outcome.response_time_ms.map(i64::from);
    conn.prepare_cached(
        "INSERT INTO rollups (endpoint, hour, delivered, exhausted, failed_attempts, response_ms_sum) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (endpoint, hour) DO UPDATE SET \
         delivered = delivered + excluded.delivered, exhausted = exhausted + excluded.exhausted, \
         failed_attempts = failed_attempts + excluded.failed_attempts, \
         response_ms_sum = response_ms_sum + excluded.response_ms_sum",
    )?
    .execute(params![
        row.endpoint,
        hour,
        status == AttemptStatus::Delivered,
        status == AttemptStatus::Exhausted,
        failed,
        ms.unwrap_or(0)
    ])?;
    if let Some(ms) = outcome.response_time_ms {
        conn.prepare_cached(
            "INSERT INTO rollup_times (endpoint, hour, bucket, count) VALUES (?1, ?2, ?3, 1) \
             ON CONFLICT (endpoint, hour, bucket) DO UPDATE SET count = count + 1",
        )?
        .execute(params![row.endpoint, hour, bucket_of(u64::from(ms))])?;
    }
    Ok(())
}

/// Takes an exhausted attempt that becomes `failed` out of its hour; it stays a failed attempt.
pub(super) fn no_longer_exhausted(conn: &Connection, row: &Stored) -> rusqlite::Result<()> {
    let Some(hour) = row.attempted_at.map(hour_of) else { return Ok(()) };
    if row.current.trigger == Trigger::Test {
        return Ok(());
    }
    conn.prepare_cached("UPDATE rollups SET exhausted = exhausted - 1 WHERE endpoint = ?1 AND hour = ?2")?
        .execute(params![row.endpoint, hour])
        .map(|_| ())
}

fn hour_of(time: Timestamp) -> i64 {
    time.as_millis().div_euclid(HOUR_MS)
}

/// The first hour that starts at `time` or after it.
fn hour_from(time: Timestamp) -> i64 {
    let ms = time.as_millis();
    ms.div_euclid(HOUR_MS) + i64::from(ms.rem_euclid(HOUR_MS) > 0)
}

const HOURS: &str = "SELECT e.uid, r.hour, r.delivered, r.exhausted, r.failed_attempts, r.response_ms_sum \
     FROM endpoints e CROSS JOIN rollups r ON r.endpoint = e.id AND r.hour >= ?2 AND r.hour < ?3 \
     WHERE e.app = ?1 ORDER BY e.uid, r.hour";
const HOURS_OF_ONE: &str = "SELECT e.uid, r.hour, r.delivered, r.exhausted, r.failed_attempts, r.response_ms_sum \
     FROM endpoints e CROSS JOIN rollups r ON r.endpoint = e.id AND r.hour >= ?2 AND r.hour < ?3 \
     WHERE e.id = ?1 ORDER BY r.hour";
const TIMES: &str = "SELECT e.uid, r.hour, r.bucket, r.count \
     FROM endpoints e CROSS JOIN rollup_times r ON r.endpoint = e.id AND r.hour >= ?2 AND r.hour < ?3 \
     WHERE e.app = ?1 ORDER BY e.uid, r.hour, r.bucket";
const TIMES_OF_ONE: &str = "SELECT e.uid, r.hour, r.bucket, r.count \
     FROM endpoints e CROSS JOIN rollup_times r ON r.endpoint = e.id AND r.hour >= ?2 AND r.hour < ?3 \
     WHERE e.id = ?1 ORDER BY r.hour, r.bucket";

fn hours(
    conn: &Connection,
    app: AppId,
    endpoint: Option<EndpointId>,
    since: Timestamp,
    until: Timestamp,
) -> rusqlite::Result<Vec<HourStats>> {
    let Some(app) = cache::app_row(conn, app)? else { return Ok(vec![]) };
    let (of, hours, times) = match endpoint {
        None => (app, HOURS, TIMES),
        Some(id) => match endpoints::row_of(conn, app, id)? {
            Some(row) => (row, HOURS_OF_ONE, TIMES_OF_ONE),
            None => return Ok(vec![]),
        },
    };
    let range = params![of, hour_from(since), hour_from(until)];
    let mut all = conn
        .prepare_cached(hours)?
        .query_map(range, |row| {
            let hour: i64 = row.get(1)?;
            Ok(HourStats {
                endpoint_id: row.get(0)?,
                hour: Timestamp::from_millis(hour * HOUR_MS),
                delivered: rows::count(row, 2)?,
                exhausted: rows::count(row, 3)?,
                failed_attempts: rows::count(row, 4)?,
                response_ms_sum: rows::count(row, 5)?,
                histogram: vec![],
            })
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;

    // Both are in the same order, and every hour that has times has a roll-up: one walk joins them.
    let mut statement = conn.prepare_cached(times)?;
    let mut counts = statement.query(range)?;
    let mut at = 0;
    while let Some(row) = counts.next()? {
        let hour: i64 = row.get(1)?;
        let key = (row.get::<_, EndpointId>(0)?, Timestamp::from_millis(hour * HOUR_MS));
        while all.get(at).is_some_and(|stats| (stats.endpoint_id, stats.hour) != key) {
            at += 1;
        }
        if let Some(stats) = all.get_mut(at) {
            stats.histogram.push((row.get(2)?, rows::count(row, 3)?));
        }
    }
    Ok(all)
}

#[async_trait]
impl StatsStore for SqliteStore {
    async fn stats_hours(
        &self,
        app: AppId,
        endpoint: Option<EndpointId>,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<HourStats>> {
        self.read("reading statistics", move |conn| hours(conn, app, endpoint, since, until)).await
    }

    async fn ping(&self) -> Result<()> {
        self.read("looking whether storage answers", |conn| {
            conn.prepare_cached("SELECT 1 FROM apps LIMIT 1")?.query_row([], |_| Ok(()))
        })
        .await
    }
}
