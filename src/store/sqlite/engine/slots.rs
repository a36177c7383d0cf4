//! Counts of stretches of time: what an endpoint did in a minute (`minutes`) or in an hour (`rollups`).

use std::collections::HashMap;

use rusqlite::{Connection, params};

use crate::domain::attempts::status_class::StatusClass;
use crate::domain::values::histogram::Bucket;
use crate::store::shared::counts::SlotSums;
use crate::store::sqlite::engine::rows::EndpointRow;

macro_rules! slots {
    ($table:literal, $unit:literal) => {
        concat!(
            "INSERT INTO ",
            $table,
            " (endpoint, ",
            $unit,
            ", delivered, exhausted, failed_attempts, response_ms_sum, deliveries, failed_deliveries, \
             response_count, ended_exhausted) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) \
             ON CONFLICT (endpoint, ",
            $unit,
            ") DO UPDATE SET delivered = delivered + excluded.delivered, \
             exhausted = exhausted + excluded.exhausted, \
             failed_attempts = failed_attempts + excluded.failed_attempts, \
             response_ms_sum = response_ms_sum + excluded.response_ms_sum, \
             deliveries = deliveries + excluded.deliveries, \
             failed_deliveries = failed_deliveries + excluded.failed_deliveries, \
             response_count = response_count + excluded.response_count, \
             ended_exhausted = ended_exhausted + excluded.ended_exhausted"
        )
    };
}
pub(crate) const MINUTES: &str = slots!("minutes", "minute");
pub(crate) const HOURS: &str = slots!("rollups", "hour");

/// Adds to the rows of a table.
pub(crate) fn write(
    conn: &Connection,
    sql: &'static str,
    slots: &HashMap<(EndpointRow, i64), SlotSums>,
) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(sql)?;
    for ((endpoint, slot), s) in slots {
        statement.execute(params![
            endpoint,
            slot,
            s.delivered,
            s.exhausted,
            s.failed_attempts,
            s.response_ms_sum,
            s.deliveries,
            s.failed_deliveries,
            s.response_count,
            s.ended_exhausted
        ])?;
    }
    Ok(())
}

pub(crate) const MINUTE_TIMES: &str = "INSERT INTO minute_times (endpoint, minute, bucket, count) VALUES (?1, ?2, ?3, ?4) \
     ON CONFLICT (endpoint, minute, bucket) DO UPDATE SET count = count + excluded.count";
pub(crate) const HOUR_TIMES: &str = "INSERT INTO rollup_times (endpoint, hour, bucket, count) VALUES (?1, ?2, ?3, ?4) \
     ON CONFLICT (endpoint, hour, bucket) DO UPDATE SET count = count + excluded.count";

/// Adds to the response times of a table.
pub(crate) fn write_times(
    conn: &Connection,
    sql: &'static str,
    times: &HashMap<(EndpointRow, i64, Bucket), i64>,
) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(sql)?;
    for ((endpoint, slot, bucket), count) in times {
        statement.execute(params![endpoint, slot, bucket, count])?;
    }
    Ok(())
}

pub(crate) const STATUSES: &str = "INSERT INTO rollup_statuses (endpoint, hour, class, count) VALUES (?1, ?2, ?3, ?4) \
     ON CONFLICT (endpoint, hour, class) DO UPDATE SET count = count + excluded.count";

/// Adds to the failed attempts by the class of their response's status.
pub(crate) fn write_statuses(
    conn: &Connection,
    statuses: &HashMap<(EndpointRow, i64, StatusClass), i64>,
) -> rusqlite::Result<()> {
    if statuses.is_empty() {
        return Ok(());
    }
    let mut statement = conn.prepare_cached(STATUSES)?;
    for ((endpoint, hour, class), count) in statuses {
        statement.execute(params![endpoint, hour, class, count])?;
    }
    Ok(())
}
