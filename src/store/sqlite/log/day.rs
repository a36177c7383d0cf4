//! What happened at an endpoint in a day: minutes at both ends, and whole hours between.

use rusqlite::{Connection, Row};

use crate::domain::Timestamp;
use crate::store::Point;
use crate::store::shared::day::Stretch;
use crate::store::sqlite::engine::rows::{self, EndpointRow};

/// Minutes at both ends and whole hours between: at most 120 and 24 rows, wherever a day begins.
pub(crate) const WINDOW: &str = "SELECT 0, coalesce(sum(deliveries), 0), coalesce(sum(failed_deliveries), 0), \
     coalesce(sum(delivered), 0), coalesce(sum(exhausted), 0), coalesce(sum(failed_attempts), 0), \
     coalesce(sum(response_count), 0), coalesce(sum(response_ms_sum), 0) FROM ( \
     SELECT deliveries, failed_deliveries, delivered, exhausted, failed_attempts, response_count, \
         response_ms_sum FROM minutes WHERE endpoint = ?1 AND minute >= ?2 AND minute < ?3 \
     UNION ALL SELECT deliveries, failed_deliveries, delivered, exhausted, failed_attempts, response_count, \
         response_ms_sum FROM rollups WHERE endpoint = ?1 AND hour >= ?4 AND hour < ?5 \
     UNION ALL SELECT deliveries, failed_deliveries, delivered, exhausted, failed_attempts, response_count, \
         response_ms_sum FROM minutes WHERE endpoint = ?1 AND minute >= ?6 AND minute < ?7)";

/// The same stretch, and only what every webhook object shows: each part is summed up where it lies, which
/// takes half the time.
pub(crate) const WINDOW_COUNTS: &str = "SELECT coalesce(sum(d), 0), coalesce(sum(f), 0) FROM ( \
     SELECT sum(deliveries) AS d, sum(failed_deliveries) AS f FROM minutes \
         WHERE endpoint = ?1 AND minute >= ?2 AND minute < ?3 \
     UNION ALL SELECT sum(deliveries), sum(failed_deliveries) FROM rollups \
         WHERE endpoint = ?1 AND hour >= ?4 AND hour < ?5 \
     UNION ALL SELECT sum(deliveries), sum(failed_deliveries) FROM minutes \
         WHERE endpoint = ?1 AND minute >= ?6 AND minute < ?7)";

/// The parameters of the two.
fn parameters(endpoint: EndpointRow, of: Stretch) -> [i64; 7] {
    [endpoint.0, of.since, of.hours_since, of.first_hour, of.last_hour, of.hours_until, of.until]
}

/// What happened in a stretch of time.
pub(crate) fn window(conn: &Connection, endpoint: EndpointRow, of: Stretch) -> rusqlite::Result<Point> {
    conn.prepare_cached(WINDOW)?.query_row(parameters(endpoint, of), |row| point(row, of.start_ms()))
}

/// The last 24 hours.
pub(crate) fn last(conn: &Connection, endpoint: EndpointRow, now: Timestamp) -> rusqlite::Result<Point> {
    window(conn, endpoint, Stretch::last_day(now))
}

/// Deliveries made in the last 24 hours, and how many of them are exhausted.
pub(crate) fn counts(
    conn: &Connection,
    endpoint: EndpointRow,
    now: Timestamp,
) -> rusqlite::Result<(u64, u64)> {
    conn.prepare_cached(WINDOW_COUNTS)?.query_row(parameters(endpoint, Stretch::last_day(now)), |found| {
        Ok((rows::count(found, 0)?, rows::count(found, 1)?))
    })
}

/// Reads a point from the sums of a window.
pub(crate) fn point(row: &Row<'_>, start_ms: i64) -> rusqlite::Result<Point> {
    Ok(Point {
        start_ms,
        deliveries: rows::count(row, 1)?,
        failed_deliveries: rows::count(row, 2)?,
        delivered: rows::count(row, 3)?,
        exhausted: rows::count(row, 4)?,
        failed_attempts: rows::count(row, 5)?,
        response_count: rows::count(row, 6)?,
        response_ms_sum: rows::count(row, 7)?,
        histogram: vec![],
        failed_statuses: vec![],
    })
}
