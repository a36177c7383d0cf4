//! What happened at endpoints in a day: minutes at both ends, and whole hours between.

use std::collections::HashMap;

use tokio_postgres::Row;

use crate::domain::Timestamp;
use crate::domain::health::LastDay;
use crate::store::Point;
use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::error::DbResult;
use crate::store::postgres::engine::rows::{Columns as _, EndpointRow};
use crate::store::shared::day::{self, Stretch};

macro_rules! counts {
    ($table:literal, $unit:literal, $from:literal, $to:literal) => {
        concat!(
            "SELECT endpoint, deliveries, failed_deliveries, delivered, exhausted, failed_attempts, \
             response_count, response_ms_sum FROM ",
            $table,
            " WHERE endpoint = ANY($1) AND ",
            $unit,
            " >= ",
            $from,
            " AND ",
            $unit,
            " < ",
            $to
        )
    };
}

/// The sums that [`point`] reads, of a table `r`.
macro_rules! sums {
    () => {
        "sum(r.deliveries)::bigint AS deliveries, sum(r.failed_deliveries)::bigint AS failed_deliveries, \
         sum(r.delivered)::bigint AS delivered, sum(r.exhausted)::bigint AS exhausted, \
         sum(r.failed_attempts)::bigint AS failed_attempts, sum(r.response_count)::bigint AS response_count, \
         sum(r.response_ms_sum)::bigint AS response_ms_sum"
    };
}
pub(crate) use sums;

const WINDOW: &str = concat!(
    "SELECT r.endpoint, ",
    sums!(),
    " FROM (",
    counts!("minutes_now", "minute", "$2", "$3"),
    " UNION ALL ",
    counts!("rollups_now", "hour", "$4", "$5"),
    " UNION ALL ",
    counts!("minutes_now", "minute", "$6", "$7"),
    ") r GROUP BY r.endpoint"
);

/// When the newest minutes of endpoints began to be bad: with exhausted deliveries, or slow on average.
const DEGRADED_SINCE: &str = "SELECT endpoint, min(minute) AS minute FROM ( \
         SELECT endpoint, minute FROM minutes_now WHERE endpoint = ANY($1) AND minute >= $2 GROUP BY endpoint, minute \
         HAVING sum(exhausted) > 0 OR sum(response_ms_sum) > 3000 * sum(response_count)) bad GROUP BY endpoint";

/// What happened at endpoints in a stretch of time, in their order.
pub(crate) async fn window(conn: &Conn, endpoints: &[EndpointRow], of: Stretch) -> DbResult<Vec<Point>> {
    let Stretch { since, hours_since, first_hour, last_hour, hours_until, until } = of;
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 7] =
        [&endpoints, &since, &hours_since, &first_hour, &last_hour, &hours_until, &until];
    let mut found: HashMap<EndpointRow, Point> = HashMap::new();
    for row in conn.rows(WINDOW, &values).await? {
        found.insert(row.col("endpoint")?, point(&row, of.start_ms())?);
    }
    let none = || Point { start_ms: of.start_ms(), ..Point::default() };
    Ok(endpoints.iter().map(|endpoint| found.get(endpoint).cloned().unwrap_or_else(none)).collect())
}

/// The last days of endpoints, in their order. `precisely`: also since when they are degraded.
pub(crate) async fn last(
    conn: &Conn,
    endpoints: &[EndpointRow],
    now: Timestamp,
    precisely: bool,
) -> DbResult<Vec<LastDay>> {
    if endpoints.is_empty() {
        return Ok(vec![]);
    }
    let mut degraded: HashMap<EndpointRow, i64> = HashMap::new();
    if precisely {
        for row in conn.rows(DEGRADED_SINCE, &[&endpoints, &day::degraded_from(now)]).await? {
            degraded.insert(row.col("endpoint")?, row.num("minute")?);
        }
    }
    let points = window(conn, endpoints, Stretch::last_day(now)).await?;
    let days = endpoints.iter().zip(&points);
    Ok(days.map(|(row, point)| day::last_day(point, degraded.get(row).copied(), now)).collect())
}

/// Reads a point from sums.
pub(crate) fn point(row: &Row, start_ms: i64) -> DbResult<Point> {
    Ok(Point {
        start_ms,
        deliveries: row.num("deliveries")?,
        failed_deliveries: row.num("failed_deliveries")?,
        delivered: row.num("delivered")?,
        exhausted: row.num("exhausted")?,
        failed_attempts: row.num("failed_attempts")?,
        response_count: row.num("response_count")?,
        response_ms_sum: row.num("response_ms_sum")?,
        histogram: vec![],
        failed_statuses: vec![],
    })
}
