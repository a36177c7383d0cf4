//! Writes what statistics count ([`Counts`]), once before the commit of a group.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use crate::store::shared::counts::{Counts, Sums, Tally, TotalSums};
use crate::store::shared::record_text;
use crate::store::sqlite::engine::rows::{AppRow, EndpointRow};
use crate::store::sqlite::engine::slots;

/// The number of the last attempt of an app that has a result.
pub(crate) const LAST: &str = "SELECT result_seq FROM apps WHERE id = ?1";
pub(crate) const ADVANCE: &str = "UPDATE apps SET result_seq = ?2 WHERE id = ?1";
const POSTED: &str = "UPDATE event_types SET count = count + ?2, \
     last_seen_at = coalesce(max(last_seen_at, ?3), ?3) WHERE id = ?1";

/// The next number in the order of an app's results ([`crate::store::sqlite::log::live`]).
pub(crate) fn next_result_seq(counts: &mut Counts, conn: &Connection, app: AppRow) -> rusqlite::Result<i64> {
    let last = match counts.last_result_seq(app) {
        Some(last) => last,
        None => conn.prepare_cached(LAST)?.query_row([app], |row| row.get(0))?,
    };
    counts.result_given(app, last + 1);
    Ok(last + 1)
}

/// Writes everything and forgets it.
pub(crate) fn write(counts: &mut Counts, conn: &Connection) -> rusqlite::Result<Tally> {
    let Some(sums) = counts.take() else { return Ok(Tally::default()) };
    let tally = sums.tally();
    write_sums(conn, sums).map(|()| tally)
}

fn write_sums(conn: &Connection, sums: Sums) -> rusqlite::Result<()> {
    let (hours, hour_times) = (sums.hours(), sums.hour_times());
    for (app, result_seq) in sums.result_seqs {
        conn.prepare_cached(ADVANCE)?.execute(params![app, result_seq])?;
    }
    for (kind, (count, last_at)) in sums.posted {
        conn.prepare_cached(POSTED)?.execute(params![kind, count, last_at])?;
    }
    write_totals(conn, &sums.totals)?;
    for ((endpoint, bucket), count) in sums.total_times {
        conn.prepare_cached(
            "INSERT INTO total_times (endpoint, bucket, count) VALUES (?1, ?2, ?3) \
             ON CONFLICT (endpoint, bucket) DO UPDATE SET count = count + excluded.count",
        )?
        .execute(params![endpoint, bucket, count])?;
    }
    slots::write(conn, slots::MINUTES, &sums.minutes)?;
    slots::write(conn, slots::HOURS, &hours)?;
    slots::write_times(conn, slots::MINUTE_TIMES, &sums.minute_times)?;
    slots::write_times(conn, slots::HOUR_TIMES, &hour_times)?;
    slots::write_statuses(conn, &sums.statuses)?;
    for ((endpoint, kind, status), (count, message, at)) in sums.errors {
        conn.prepare_cached(
            "INSERT INTO total_errors (endpoint, error_kind, response_status, count, last_message, \
             last_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
             ON CONFLICT (endpoint, error_kind, response_status) DO UPDATE SET \
             count = count + excluded.count, last_message = excluded.last_message, \
             last_at = excluded.last_at",
        )?
        .execute(params![endpoint, kind, status, count, message, at])?;
    }
    Ok(())
}
fn write_totals(conn: &Connection, totals: &HashMap<EndpointRow, TotalSums>) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(
        "INSERT INTO totals (endpoint, deliveries, delivered, exhausted, pending, cancelled, \
         failed_attempts, response_count, response_ms_sum, response_ms_min, response_ms_max, \
         last_attempted_at, record) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) \
         ON CONFLICT (endpoint) DO UPDATE SET deliveries = deliveries + excluded.deliveries, \
         delivered = delivered + excluded.delivered, exhausted = exhausted + excluded.exhausted, \
         pending = pending + excluded.pending, cancelled = cancelled + excluded.cancelled, \
         failed_attempts = failed_attempts + excluded.failed_attempts, \
         response_count = response_count + excluded.response_count, \
         response_ms_sum = response_ms_sum + excluded.response_ms_sum, \
         response_ms_min = coalesce(min(response_ms_min, excluded.response_ms_min), \
             response_ms_min, excluded.response_ms_min), \
         response_ms_max = coalesce(max(response_ms_max, excluded.response_ms_max), \
             response_ms_max, excluded.response_ms_max), \
         last_attempted_at = coalesce(max(last_attempted_at, excluded.last_attempted_at), \
             last_attempted_at, excluded.last_attempted_at), \
         record = CASE excluded.record WHEN '' THEN record ELSE merge_records(record, excluded.record) END",
    )?;
    for (endpoint, t) in totals {
        statement.execute(params![
            endpoint,
            t.deliveries,
            t.delivered,
            t.exhausted,
            t.pending,
            t.cancelled,
            t.failed_attempts,
            t.response_count,
            t.response_ms_sum,
            t.min,
            t.max,
            t.last_attempted_at,
            record_text::write(&t.record)
        ])?;
    }
    Ok(())
}
