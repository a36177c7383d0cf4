//! Reading statistics: sums of counts, never of rows of the log. [`crate::store::sqlite::engine::counts`]
//! writes them.

use std::collections::BTreeMap;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::domain::{AppId, AttemptStatus, EndpointId, Timestamp};
use crate::store::shared::class::Class;
use crate::store::shared::counts::{HOUR_MS, MINUTE_MS, slot_of};
use crate::store::shared::day::{DAY_MS, Stretch};
use crate::store::sqlite::engine::rows::{AppRow, EndpointRow};
use crate::store::sqlite::engine::store::SqliteStore;
use crate::store::sqlite::engine::{cache, rows};
use crate::store::sqlite::log::day;
use crate::store::sqlite::log::health;
use crate::store::sqlite::log::plan::{Scope, classes};
use crate::store::sqlite::queue::endpoints;
use crate::store::{EndpointFigures, ErrorCount, HealthFigures, Point, Result, StatsStore, Times, Totals};

// ---------------------------------------------------------------------------------------------
// Series

/// One of the two tables of slots, summed up by the step.
macro_rules! points {
    ($table:literal, $unit:literal, $whose:literal) => {
        concat!(
            "SELECT r.",
            $unit,
            " / ?4, sum(r.deliveries), sum(r.failed_deliveries), sum(r.delivered), sum(r.exhausted), \
             sum(r.failed_attempts), sum(r.response_count), sum(r.response_ms_sum) \
             FROM endpoints e CROSS JOIN ",
            $table,
            " r ON r.endpoint = e.id AND r.",
            $unit,
            " >= ?2 AND r.",
            $unit,
            " < ?3 WHERE ",
            $whose,
            " = ?1 GROUP BY 1 ORDER BY 1"
        )
    };
}
macro_rules! times {
    ($table:literal, $unit:literal, $whose:literal) => {
        concat!(
            "SELECT r.",
            $unit,
            " / ?4, r.bucket, sum(r.count) FROM endpoints e CROSS JOIN ",
            $table,
            " r ON r.endpoint = e.id AND r.",
            $unit,
            " >= ?2 AND r.",
            $unit,
            " < ?3 WHERE ",
            $whose,
            " = ?1 GROUP BY 1, 2 ORDER BY 1, 2"
        )
    };
}

/// A query of points and the one of their histograms: `[of an app, of one endpoint]`.
pub(crate) const BY_MINUTE: [(&str, &str); 2] = [
    (points!("minutes", "minute", "e.app"), times!("minute_times", "minute", "e.app")),
    (points!("minutes", "minute", "e.id"), times!("minute_times", "minute", "e.id")),
];
pub(crate) const BY_HOUR: [(&str, &str); 2] = [
    (points!("rollups", "hour", "e.app"), times!("rollup_times", "hour", "e.app")),
    (points!("rollups", "hour", "e.id"), times!("rollup_times", "hour", "e.id")),
];

macro_rules! statuses {
    ($whose:literal) => {
        concat!(
            "SELECT r.hour / ?4, r.class, sum(r.count) FROM endpoints e CROSS JOIN rollup_statuses r \
             ON r.endpoint = e.id AND r.hour >= ?2 AND r.hour < ?3 WHERE ",
            $whose,
            " = ?1 GROUP BY 1, 2 ORDER BY 1, 2"
        )
    };
}
/// Failed attempts by the class of their response's status: `[of an app, of one endpoint]`.
pub(crate) const STATUSES: [&str; 2] = [statuses!("e.app"), statuses!("e.id")];

/// The row of the app, or of its endpoint, and which query asks for it.
fn whose(
    conn: &Connection,
    app: AppId,
    endpoint: Option<EndpointId>,
) -> rusqlite::Result<Option<(i64, usize)>> {
    let Some(app) = cache::app_row(conn, app)? else { return Ok(None) };
    match endpoint {
        None => Ok(Some((app.0, 0))),
        Some(id) => Ok(endpoints::row_of(conn, app, id)?.map(|row| (row.0, 1))),
    }
}

fn points(
    conn: &Connection,
    app: AppId,
    endpoint: Option<EndpointId>,
    range: (Timestamp, Timestamp),
    step_ms: i64,
) -> rusqlite::Result<Vec<Point>> {
    let Some((of, which)) = whose(conn, app, endpoint)? else { return Ok(vec![]) };
    let (unit, queries) = if step_ms % HOUR_MS == 0 { (HOUR_MS, BY_HOUR) } else { (MINUTE_MS, BY_MINUTE) };
    let (sums, times) = queries[which];
    // Before 1970 nothing happened, so a division that rounds towards zero is never asked to do more.
    let range = params![of, slot_of(range.0, unit).max(0), slot_of(range.1, unit), step_ms / unit];
    let mut all = BTreeMap::new();
    let mut statement = conn.prepare_cached(sums)?;
    let mut found = statement.query(range)?;
    while let Some(row) = found.next()? {
        let start_ms = row.get::<_, i64>(0)? * step_ms;
        all.insert(start_ms, day::point(row, start_ms)?);
    }
    let mut statement = conn.prepare_cached(times)?;
    let mut found = statement.query(range)?;
    while let Some(row) = found.next()? {
        if let Some(point) = all.get_mut(&(row.get::<_, i64>(0)? * step_ms)) {
            point.histogram.push((row.get(1)?, rows::count(row, 2)?));
        }
    }
    if unit == HOUR_MS {
        let mut statement = conn.prepare_cached(STATUSES[which])?;
        let mut found = statement.query(range)?;
        while let Some(row) = found.next()? {
            if let Some(point) = all.get_mut(&(row.get::<_, i64>(0)? * step_ms)) {
                point.failed_statuses.push((row.get(1)?, rows::count(row, 2)?));
            }
        }
    }
    Ok(all.into_values().collect())
}

// ---------------------------------------------------------------------------------------------
// Endpoints

macro_rules! totals {
    ($whose:literal) => {
        concat!(
            "SELECT coalesce(sum(t.deliveries), 0), coalesce(sum(t.delivered), 0), \
             coalesce(sum(t.exhausted), 0), coalesce(sum(t.pending), 0), coalesce(sum(t.cancelled), 0), \
             coalesce(sum(t.failed_attempts), 0), coalesce(sum(t.response_count), 0), \
             coalesce(sum(t.response_ms_sum), 0), max(t.last_attempted_at) \
             FROM endpoints e CROSS JOIN totals t ON t.endpoint = e.id WHERE ",
            $whose,
            " = ?1"
        )
    };
}
pub(crate) const TOTALS: [&str; 2] = [totals!("e.app"), totals!("e.id")];

fn totals(conn: &Connection, (of, which): (i64, usize)) -> rusqlite::Result<Totals> {
    conn.prepare_cached(TOTALS[which])?.query_row([of], |row| {
        Ok(Totals {
            deliveries: rows::count(row, 0)?,
            delivered: rows::count(row, 1)?,
            exhausted: rows::count(row, 2)?,
            pending: rows::count(row, 3)?,
            cancelled: rows::count(row, 4)?,
            failed_attempts: rows::count(row, 5)?,
            response_count: rows::count(row, 6)?,
            response_ms_sum: rows::count(row, 7)?,
            last_attempted_at: row.get(8)?,
        })
    })
}

fn figures(
    conn: &Connection,
    app: AppRow,
    row: EndpointRow,
    id: EndpointId,
    now: Timestamp,
) -> rusqlite::Result<Option<EndpointFigures>> {
    let Some(standing) = health::standing(conn, app, id, now)? else { return Ok(None) };
    let (last_24h_deliveries, last_24h_failed) = day::counts(conn, row, now)?;
    let totals = totals(conn, (row.0, 1))?;
    Ok(Some(EndpointFigures { endpoint_id: id, totals, standing, last_24h_deliveries, last_24h_failed }))
}

fn of_endpoints(
    conn: &Connection,
    app: AppId,
    ids: &[EndpointId],
    now: Timestamp,
) -> rusqlite::Result<Vec<EndpointFigures>> {
    let Some(app) = cache::app_row(conn, app)? else { return Ok(vec![]) };
    let mut all = Vec::with_capacity(ids.len());
    for id in ids {
        if let Some(row) = endpoints::row_of(conn, app, *id)? {
            all.extend(figures(conn, app, row, *id, now)?);
        }
    }
    Ok(all)
}

fn errors(conn: &Connection, endpoint: EndpointRow, limit: u32) -> rusqlite::Result<Vec<ErrorCount>> {
    conn.prepare_cached(
        "SELECT error_kind, response_status, count, last_message, last_at FROM total_errors \
         WHERE endpoint = ?1 ORDER BY count DESC, last_at DESC LIMIT ?2",
    )?
    .query_map(params![endpoint, limit], |row| {
        let status: u16 = row.get(1)?;
        Ok(ErrorCount {
            kind: row.get(0)?,
            response_status: (status != 0).then_some(status),
            count: rows::count(row, 2)?,
            last_message: row.get(3)?,
            last_at: row.get(4)?,
            since: None,
        })
    })?
    .collect()
}

pub(crate) const LAST_OF_CLASS: &str = "SELECT max(attempted_at) FROM attempts \
     INDEXED BY attempts_endpoint_attempted WHERE endpoint = ?1 AND class = ?2 AND attempted_at IS NOT NULL";
pub(crate) const FIRST_OF_CLASS: &str = "SELECT min(attempted_at) FROM attempts \
     INDEXED BY attempts_endpoint_attempted WHERE endpoint = ?1 AND class = ?2 AND attempted_at > ?3";

/// Finds since when each error has been there without a success in between: a look at the end of each
/// class of the endpoint's rows, of which there are some hundreds at most, however long the log is.
fn since(conn: &Connection, endpoint: EndpointRow, errors: &mut [ErrorCount]) -> rusqlite::Result<()> {
    let all = classes(conn, Scope::Endpoint(endpoint), Class(i64::MIN), Class(i64::MAX))?;
    let counts = |class: &&Class| class.counts_as_sent();
    let mut last = conn.prepare_cached(LAST_OF_CLASS)?;
    let mut delivered_at = i64::MIN;
    for class in all.iter().filter(counts).filter(|c| c.status() == Some(AttemptStatus::Delivered)) {
        let at: Option<i64> = last.query_row([endpoint.0, class.0], |row| row.get(0))?;
        delivered_at = delivered_at.max(at.unwrap_or(i64::MIN));
    }
    let mut first = conn.prepare_cached(FIRST_OF_CLASS)?;
    for error in errors {
        let is_such = |class: &&Class| class.has_error(error.kind, error.response_status);
        for class in all.iter().filter(counts).filter(is_such) {
            let at: Option<Timestamp> =
                first.query_row([endpoint.0, class.0, delivered_at], |row| row.get(0))?;
            error.since = match (error.since, at) {
                (Some(known), Some(at)) => Some(known.min(at)),
                (known, at) => known.or(at),
            };
        }
    }
    Ok(())
}

fn all_times(conn: &Connection, endpoint: EndpointRow) -> rusqlite::Result<Times> {
    let extremes = conn
        .prepare_cached("SELECT response_ms_min, response_ms_max FROM totals WHERE endpoint = ?1")?
        .query_row([endpoint], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (min_ms, max_ms): (Option<u32>, Option<u32>) = extremes.unwrap_or_default();
    let histogram = conn
        .prepare_cached(
            "SELECT bucket, count FROM total_times WHERE endpoint = ?1 AND count > 0 ORDER BY bucket",
        )?
        .query_map([endpoint], |row| Ok((row.get(0)?, rows::count(row, 1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Times { min_ms: min_ms.map(u64::from), max_ms: max_ms.map(u64::from), histogram })
}

#[async_trait]
impl StatsStore for SqliteStore {
    async fn stats_points(
        &self,
        app: AppId,
        endpoint: Option<EndpointId>,
        since: Timestamp,
        until: Timestamp,
        step_ms: i64,
    ) -> Result<Vec<Point>> {
        self.read("reading statistics", move |conn| points(conn, app, endpoint, (since, until), step_ms))
            .await
    }

    async fn stats_totals(&self, app: AppId, endpoint: Option<EndpointId>) -> Result<Totals> {
        self.read("reading totals", move |conn| match whose(conn, app, endpoint)? {
            Some(of) => totals(conn, of),
            None => Ok(Totals::default()),
        })
        .await
    }

    async fn stats_endpoints(
        &self,
        app: AppId,
        endpoints: Vec<EndpointId>,
        now: Timestamp,
    ) -> Result<Vec<EndpointFigures>> {
        self.read("reading figures", move |conn| of_endpoints(conn, app, &endpoints, now)).await
    }

    async fn stats_health(
        &self,
        app: AppId,
        endpoint: EndpointId,
        most: u32,
        now: Timestamp,
    ) -> Result<Option<HealthFigures>> {
        self.read("reading the health of an endpoint", move |conn| {
            let Some(app) = cache::app_row(conn, app)? else { return Ok(None) };
            let Some(row) = endpoints::row_of(conn, app, endpoint)? else { return Ok(None) };
            let Some(figures) = figures(conn, app, row, endpoint, now)? else { return Ok(None) };
            let mut errors = errors(conn, row, most)?;
            since(conn, row, &mut errors)?;
            Ok(Some(HealthFigures {
                figures,
                last_24h: day::last(conn, row, now)?,
                day_before: day::window(
                    conn,
                    row,
                    Stretch::of(now.plus_ms(-2 * DAY_MS), now.plus_ms(-DAY_MS)),
                )?,
                errors,
                times: all_times(conn, row)?,
            }))
        })
        .await
    }

    async fn ping(&self) -> Result<()> {
        self.read("looking whether storage answers", |conn| {
            conn.prepare_cached("SELECT 1 FROM apps LIMIT 1")?.query_row([], |_| Ok(()))
        })
        .await
    }
}
