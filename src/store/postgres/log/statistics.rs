//! Reading statistics: sums of counts, never of rows of the log. [`crate::store::postgres::engine::counts`]
//! writes them.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use tokio_postgres::Row;

use crate::domain::{AppId, AttemptStatus, EndpointId, Timestamp};
use crate::store::postgres::engine::cache;
use crate::store::postgres::engine::conn::{Conn, Statements as _, plan_by_values};
use crate::store::postgres::engine::error::DbResult;
use crate::store::postgres::engine::partitions::{Parent, Partitions};
use crate::store::postgres::engine::rows::{AppRow, Columns as _, EndpointRow};
use crate::store::postgres::engine::store::PostgresStore;
use crate::store::postgres::log::day::{self, sums};
use crate::store::postgres::log::health;
use crate::store::postgres::log::plan::classes_of;
use crate::store::postgres::log::spans;
use crate::store::postgres::queue::endpoints;
use crate::store::shared::class::Class;
use crate::store::shared::counts::{HOUR_MS, MINUTE_MS, slot_of};
use crate::store::shared::day::{DAY_MS, Stretch};
use crate::store::shared::ranges::IdRange;
use crate::store::{EndpointFigures, ErrorCount, HealthFigures, Point, Result, StatsStore, Times, Totals};

// ---------------------------------------------------------------------------------------------
// Series

/// One of the tables of slots, summed up by the step.
macro_rules! by_step {
    ($table:literal, $unit:literal, $whose:literal, $what:expr, $groups:literal) => {
        concat!(
            "SELECT r.",
            $unit,
            " / $4::bigint AS step, ",
            $what,
            " FROM endpoints e JOIN ",
            $table,
            " r ON r.endpoint = e.id AND r.",
            $unit,
            " >= $2 AND r.",
            $unit,
            " < $3 WHERE ",
            $whose,
            " = $1 GROUP BY ",
            $groups,
            " ORDER BY ",
            $groups
        )
    };
}
macro_rules! points {
    ($table:literal, $unit:literal, $whose:literal) => {
        by_step!($table, $unit, $whose, sums!(), "1")
    };
}
macro_rules! times {
    ($table:literal, $unit:literal, $whose:literal) => {
        by_step!($table, $unit, $whose, "r.bucket, sum(r.count)::bigint AS count", "1, 2")
    };
}
macro_rules! statuses {
    ($whose:literal) => {
        by_step!("rollup_statuses_now", "hour", $whose, "r.class, sum(r.count)::bigint AS count", "1, 2")
    };
}

/// A query of points and the one of their histograms: `[of an app, of one endpoint]`.
const BY_MINUTE: [(&str, &str); 2] = [
    (points!("minutes_now", "minute", "e.app"), times!("minute_times_now", "minute", "e.app")),
    (points!("minutes_now", "minute", "e.id"), times!("minute_times_now", "minute", "e.id")),
];
const BY_HOUR: [(&str, &str); 2] = [
    (points!("rollups_now", "hour", "e.app"), times!("rollup_times_now", "hour", "e.app")),
    (points!("rollups_now", "hour", "e.id"), times!("rollup_times_now", "hour", "e.id")),
];
/// Failed attempts by the class of their response's status: `[of an app, of one endpoint]`.
const STATUSES: [&str; 2] = [statuses!("e.app"), statuses!("e.id")];

/// The row of the app, or of its endpoint, and which query asks for it.
async fn whose(conn: &Conn, app: AppId, endpoint: Option<EndpointId>) -> DbResult<Option<(i64, usize)>> {
    let Some(app) = cache::app_row(conn, app).await? else { return Ok(None) };
    match endpoint {
        None => Ok(Some((app.0, 0))),
        Some(id) => Ok(endpoints::row_of(conn, app, id).await?.map(|row| (row.0, 1))),
    }
}

async fn points(
    conn: &Conn,
    app: AppId,
    endpoint: Option<EndpointId>,
    range: (Timestamp, Timestamp),
    step_ms: i64,
) -> DbResult<Vec<Point>> {
    let Some((of, which)) = whose(conn, app, endpoint).await? else { return Ok(vec![]) };
    let (unit, queries) = if step_ms % HOUR_MS == 0 { (HOUR_MS, BY_HOUR) } else { (MINUTE_MS, BY_MINUTE) };
    let (sums, times) = queries[which];
    // Before 1970 nothing happened, so a division that rounds towards zero is never asked to do more.
    let (since, until) = (slot_of(range.0, unit).max(0), slot_of(range.1, unit));
    let start_ms = |row: &Row| row.num::<i64>("step").map(|step| step * step_ms);
    let steps = step_ms / unit;
    let mut all = BTreeMap::new();
    for row in conn.rows(sums, &[&of, &since, &until, &steps]).await? {
        all.insert(start_ms(&row)?, day::point(&row, start_ms(&row)?)?);
    }
    for row in conn.rows(times, &[&of, &since, &until, &steps]).await? {
        if let Some(point) = all.get_mut(&start_ms(&row)?) {
            point.histogram.push((row.num("bucket")?, row.num("count")?));
        }
    }
    if unit == HOUR_MS {
        for row in conn.rows(STATUSES[which], &[&of, &since, &until, &steps]).await? {
            if let Some(point) = all.get_mut(&start_ms(&row)?) {
                point.failed_statuses.push((row.col("class")?, row.num("count")?));
            }
        }
    }
    Ok(all.into_values().collect())
}

// ---------------------------------------------------------------------------------------------
// Endpoints

macro_rules! totals {
    ($rest:literal) => {
        concat!(
            "SELECT coalesce(sum(t.deliveries), 0)::bigint AS deliveries, \
             coalesce(sum(t.delivered), 0)::bigint AS delivered, coalesce(sum(t.exhausted), 0)::bigint AS exhausted, \
             coalesce(sum(t.pending), 0)::bigint AS pending, coalesce(sum(t.cancelled), 0)::bigint AS cancelled, \
             coalesce(sum(t.failed_attempts), 0)::bigint AS failed_attempts, \
             coalesce(sum(t.response_count), 0)::bigint AS response_count, \
             coalesce(sum(t.response_ms_sum), 0)::bigint AS response_ms_sum, \
             max(t.last_attempted_at) AS last_attempted_at",
            $rest
        )
    };
}
const TOTALS: [&str; 2] = [
    totals!(" FROM endpoints e JOIN totals_now t ON t.endpoint = e.id WHERE e.app = $1"),
    totals!(" FROM totals_now t WHERE t.endpoint = $1"),
];
const TOTALS_OF_EACH: &str =
    totals!(", t.endpoint FROM totals_now t WHERE t.endpoint = ANY($1) GROUP BY t.endpoint");

fn read_totals(row: &Row) -> DbResult<Totals> {
    Ok(Totals {
        deliveries: row.num("deliveries")?,
        delivered: row.num("delivered")?,
        exhausted: row.num("exhausted")?,
        pending: row.num("pending")?,
        cancelled: row.num("cancelled")?,
        failed_attempts: row.num("failed_attempts")?,
        response_count: row.num("response_count")?,
        response_ms_sum: row.num("response_ms_sum")?,
        last_attempted_at: row.col("last_attempted_at")?,
    })
}

/// The figures of these endpoints of the app, with their rows, in their order; unknown ones are left out.
async fn figures(
    conn: &Conn,
    app: AppRow,
    ids: &[EndpointId],
    now: Timestamp,
) -> DbResult<Vec<(EndpointRow, EndpointFigures)>> {
    let standings = health::standings(conn, app, ids, now).await?;
    let rows: Vec<EndpointRow> = standings.iter().map(|(row, _)| *row).collect();
    let mut totals: HashMap<EndpointRow, Totals> = HashMap::new();
    for row in conn.rows(TOTALS_OF_EACH, &[&rows]).await? {
        totals.insert(row.col("endpoint")?, read_totals(&row)?);
    }
    let days = day::window(conn, &rows, Stretch::last_day(now)).await?;
    let each = standings.into_iter().zip(days).map(|((row, standing), day)| {
        let figures = EndpointFigures {
            endpoint_id: standing.endpoint_id,
            totals: totals.get(&row).copied().unwrap_or_default(),
            standing,
            last_24h_deliveries: day.deliveries,
            last_24h_failed: day.failed_deliveries,
        };
        (row, figures)
    });
    Ok(each.collect())
}

const ERRORS: &str = "SELECT error_kind, response_status, sum(count)::bigint AS count, \
     (array_agg(last_message ORDER BY last_at DESC))[1] AS last_message, max(last_at) AS last_at FROM total_errors_now \
     WHERE endpoint = $1 GROUP BY 1, 2 ORDER BY 3 DESC, 5 DESC LIMIT $2";

async fn errors(conn: &Conn, endpoint: EndpointRow, limit: u32) -> DbResult<Vec<ErrorCount>> {
    let mut errors = Vec::new();
    for row in conn.rows(ERRORS, &[&endpoint, &i64::from(limit)]).await? {
        let status: u16 = row.num("response_status")?;
        errors.push(ErrorCount {
            kind: row.col("error_kind")?,
            response_status: (status != 0).then_some(status),
            count: row.num("count")?,
            last_message: row.col("last_message")?,
            last_at: row.col("last_at")?,
            since: None,
        });
    }
    Ok(errors)
}

const LAST_OF_CLASS: &str = "SELECT t.class, t.at FROM unnest($2::bigint[]) AS c(class) CROSS JOIN LATERAL ( \
     SELECT t.class, t.attempted_at AS at FROM log t WHERE t.endpoint = $1 AND t.class = c.class \
     AND t.attempted_at IS NOT NULL AND t.id >= $3 AND t.id <= $4 ORDER BY t.attempted_at DESC LIMIT 1) t";
const FIRST_OF_CLASS: &str = "SELECT t.class, t.at FROM unnest($2::bigint[]) AS c(class) CROSS JOIN LATERAL ( \
     SELECT t.class, t.attempted_at AS at FROM log t WHERE t.endpoint = $1 AND t.class = c.class \
     AND t.attempted_at > $5 AND t.id >= $3 AND t.id <= $4 ORDER BY t.attempted_at LIMIT 1) t";

/// Finds since when each error has been there without a success in between: a look at the end of each class of the
/// endpoint's rows, of which there are some hundreds at most, however long the log is.
async fn since(
    conn: &Conn,
    partitions: &Partitions,
    endpoint: EndpointRow,
    errors: &mut [ErrorCount],
) -> DbResult<()> {
    let mut groups: Vec<(IdRange, Vec<Class>)> = Vec::new();
    for ids in spans::groups(conn, partitions, Parent::Log).await? {
        let classes = classes_of(conn, endpoint, ids).await?;
        groups.push((ids, classes.into_iter().filter(|class| class.counts_as_sent()).collect()));
    }
    let mut delivered_at = i64::MIN;
    for (IdRange { from, to, .. }, classes) in &groups {
        let is_delivered = |class: &&Class| class.status() == Some(AttemptStatus::Delivered);
        let delivered: Vec<i64> = classes.iter().filter(is_delivered).map(|class| class.0).collect();
        for row in conn.rows(LAST_OF_CLASS, &[&endpoint, &delivered, from, to]).await? {
            delivered_at = delivered_at.max(row.num("at")?);
        }
    }
    for (IdRange { from, to, .. }, classes) in &groups {
        let is_asked = |class: &&Class| errors.iter().any(|e| class.has_error(e.kind, e.response_status));
        let asked: Vec<i64> = classes.iter().filter(is_asked).map(|class| class.0).collect();
        for row in conn.rows(FIRST_OF_CLASS, &[&endpoint, &asked, from, to, &delivered_at]).await? {
            let (class, at): (Class, Timestamp) = (Class(row.num("class")?), row.col("at")?);
            for error in errors.iter_mut().filter(|e| class.has_error(e.kind, e.response_status)) {
                error.since = Some(error.since.map_or(at, |known| known.min(at)));
            }
        }
    }
    Ok(())
}

async fn all_times(conn: &Conn, endpoint: EndpointRow) -> DbResult<Times> {
    let mut times = Times::default();
    let extremes =
        "SELECT min(response_ms_min) AS min, max(response_ms_max) AS max FROM totals_now WHERE endpoint = $1";
    let row = conn.row(extremes, &[&endpoint]).await?;
    (times.min_ms, times.max_ms) = (row.opt_num("min")?, row.opt_num("max")?);
    let sql = "SELECT bucket, sum(count)::bigint AS count FROM total_times_now WHERE endpoint = $1 \
               GROUP BY bucket HAVING sum(count) > 0 ORDER BY bucket";
    for row in conn.rows(sql, &[&endpoint]).await? {
        times.histogram.push((row.num("bucket")?, row.num("count")?));
    }
    Ok(times)
}

async fn health_figures(
    conn: &Conn,
    partitions: &Partitions,
    app: AppId,
    endpoint: EndpointId,
    most: u32,
    now: Timestamp,
) -> DbResult<Option<HealthFigures>> {
    plan_by_values(conn).await?;
    let Some(app) = cache::app_row(conn, app).await? else { return Ok(None) };
    let Some((row, figures)) = figures(conn, app, &[endpoint], now).await?.pop() else { return Ok(None) };
    let mut errors = errors(conn, row, most).await?;
    since(conn, partitions, row, &mut errors).await?;
    let before = Stretch::of(now.plus_ms(-2 * DAY_MS), now.plus_ms(-DAY_MS));
    Ok(Some(HealthFigures {
        figures,
        last_24h: day::window(conn, &[row], Stretch::last_day(now)).await?.pop().unwrap_or_default(),
        day_before: day::window(conn, &[row], before).await?.pop().unwrap_or_default(),
        errors,
        times: all_times(conn, row).await?,
    }))
}

#[async_trait]
impl StatsStore for PostgresStore {
    async fn stats_points(
        &self,
        app: AppId,
        endpoint: Option<EndpointId>,
        since: Timestamp,
        until: Timestamp,
        step_ms: i64,
    ) -> Result<Vec<Point>> {
        self.read("reading statistics", move |conn| {
            async move { points(conn, app, endpoint, (since, until), step_ms).await }.boxed()
        })
        .await
    }

    async fn stats_totals(&self, app: AppId, endpoint: Option<EndpointId>) -> Result<Totals> {
        self.read("reading totals", move |conn| {
            async move {
                match whose(conn, app, endpoint).await? {
                    Some((of, which)) => read_totals(&conn.row(TOTALS[which], &[&of]).await?),
                    None => Ok(Totals::default()),
                }
            }
            .boxed()
        })
        .await
    }

    async fn stats_endpoints(
        &self,
        app: AppId,
        endpoints: Vec<EndpointId>,
        now: Timestamp,
    ) -> Result<Vec<EndpointFigures>> {
        self.read("reading figures", move |conn| {
            async move {
                let Some(app) = cache::app_row(conn, app).await? else { return Ok(vec![]) };
                let found = figures(conn, app, &endpoints, now).await?;
                Ok(found.into_iter().map(|(_, figures)| figures).collect())
            }
            .boxed()
        })
        .await
    }

    async fn stats_health(
        &self,
        app: AppId,
        endpoint: EndpointId,
        most: u32,
        now: Timestamp,
    ) -> Result<Option<HealthFigures>> {
        let partitions = self.partitions.clone();
        self.read("reading the health of an endpoint", move |conn| {
            async move { health_figures(conn, &partitions, app, endpoint, most, now).await }.boxed()
        })
        .await
    }

    async fn ping(&self) -> Result<()> {
        self.query("looking whether storage answers", |conn| {
            async move { conn.row("SELECT 1 AS one FROM apps LIMIT 1", &[]).await.map(|_| ()) }.boxed()
        })
        .await
    }
}
