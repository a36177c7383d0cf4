//! Writes what statistics count ([`Sums`]), once before the commit of a group. Rows are locked in the order of their
//! keys, so that nodes never wait for each other in a circle.

use std::collections::HashMap;
use std::hash::Hash;

use futures_util::future::try_join;
use tokio_postgres::types::ToSql;

use crate::domain::values::histogram::Bucket;
use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::error::DbResult;
use crate::store::postgres::engine::rows::{Columns as _, EndpointRow, opt_num};
use crate::store::shared::counts::{SlotSums, Sums, TotalSums};
use crate::store::shared::record_text;

/// An UPDATE by itself locks rows in any order.
const POSTED: &str = "WITH locked AS MATERIALIZED ( \
         SELECT id FROM event_types WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE) \
     UPDATE event_types t SET count = t.count + n.count, last_seen_at = greatest(t.last_seen_at, n.last_at) \
     FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) n (id, count, last_at) \
     WHERE t.id = n.id AND t.id IN (SELECT id FROM locked)";

const ERRORS: &str = "INSERT INTO total_errors AS t \
     (endpoint, error_kind, response_status, count, last_message, last_at) \
     SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::bigint[]) \
     ON CONFLICT (endpoint, error_kind, response_status) DO UPDATE SET count = t.count + excluded.count, \
     last_message = excluded.last_message, last_at = excluded.last_at";

const STATUSES: &str = "INSERT INTO rollup_statuses AS t (endpoint, hour, class, count) \
     SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[]) \
     ON CONFLICT (endpoint, hour, class) DO UPDATE SET count = t.count + excluded.count";

const TOTAL_TIMES: &str = "INSERT INTO total_times AS t (endpoint, bucket, count) \
     SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) \
     ON CONFLICT (endpoint, bucket) DO UPDATE SET count = t.count + excluded.count";

macro_rules! times {
    ($table:literal, $unit:literal) => {
        concat!(
            "INSERT INTO ",
            $table,
            " AS t (endpoint, ",
            $unit,
            ", bucket, count) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) \
             ON CONFLICT (endpoint, ",
            $unit,
            ", bucket) DO UPDATE SET count = t.count + excluded.count"
        )
    };
}
const MINUTE_TIMES: &str = times!("minute_times", "minute");
const HOUR_TIMES: &str = times!("rollup_times", "hour");

macro_rules! slots {
    ($table:literal, $unit:literal) => {
        concat!(
            "INSERT INTO ",
            $table,
            " AS t (endpoint, ",
            $unit,
            ", delivered, exhausted, failed_attempts, response_ms_sum, deliveries, failed_deliveries, \
             response_count, ended_exhausted) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], \
             $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[]) \
             ON CONFLICT (endpoint, ",
            $unit,
            ") DO UPDATE SET delivered = t.delivered + excluded.delivered, \
             exhausted = t.exhausted + excluded.exhausted, \
             failed_attempts = t.failed_attempts + excluded.failed_attempts, \
             response_ms_sum = t.response_ms_sum + excluded.response_ms_sum, \
             deliveries = t.deliveries + excluded.deliveries, \
             failed_deliveries = t.failed_deliveries + excluded.failed_deliveries, \
             response_count = t.response_count + excluded.response_count, \
             ended_exhausted = t.ended_exhausted + excluded.ended_exhausted"
        )
    };
}
const MINUTES: &str = slots!("minutes", "minute");
const HOURS: &str = slots!("rollups", "hour");

const RECORDS: &str =
    "SELECT endpoint, record FROM totals WHERE endpoint = ANY($1) ORDER BY endpoint FOR UPDATE";

const TOTALS: &str = "INSERT INTO totals AS t (endpoint, deliveries, delivered, exhausted, pending, cancelled, \
     failed_attempts, response_count, response_ms_sum, response_ms_min, response_ms_max, last_attempted_at, record) \
     SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], \
     $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::text[]) \
     ON CONFLICT (endpoint) DO UPDATE SET deliveries = t.deliveries + excluded.deliveries, \
     delivered = t.delivered + excluded.delivered, exhausted = t.exhausted + excluded.exhausted, \
     pending = t.pending + excluded.pending, cancelled = t.cancelled + excluded.cancelled, \
     failed_attempts = t.failed_attempts + excluded.failed_attempts, \
     response_count = t.response_count + excluded.response_count, \
     response_ms_sum = t.response_ms_sum + excluded.response_ms_sum, \
     response_ms_min = least(t.response_ms_min, excluded.response_ms_min), \
     response_ms_max = greatest(t.response_ms_max, excluded.response_ms_max), \
     last_attempted_at = greatest(t.last_attempted_at, excluded.last_attempted_at), record = excluded.record";

/// The entries of a map in the order of their keys.
fn sorted<K: Copy + Ord + Hash, V>(map: &HashMap<K, V>) -> Vec<(K, &V)> {
    let mut all: Vec<(K, &V)> = map.iter().map(|(key, value)| (*key, value)).collect();
    all.sort_unstable_by_key(|(key, _)| *key);
    all
}

/// A column of entries as an array.
fn column<K: Copy, V, T>(entries: &[(K, &V)], value: impl Fn(K, &V) -> T) -> Vec<T> {
    entries.iter().map(|(key, of)| value(*key, of)).collect()
}

/// Writes everything.
pub(crate) async fn write(conn: &Conn, sums: &Sums) -> DbResult<()> {
    write_totals(conn, &sums.totals).await?;
    try_join(try_join(write_seldom(conn, sums), write_slots(conn, sums)), write_times(conn, sums)).await?;
    Ok(())
}

async fn write_seldom(conn: &Conn, sums: &Sums) -> DbResult<()> {
    let posted = sorted(&sums.posted);
    if !posted.is_empty() {
        let kinds = column(&posted, |kind, _| kind);
        let counts = column(&posted, |_, (count, _)| *count);
        let last = column(&posted, |_, (_, last_at)| *last_at);
        conn.run(POSTED, &[&kinds, &counts, &last]).await?;
    }
    let mut errors: Vec<_> = sums.errors.iter().collect();
    errors.sort_unstable_by_key(|((endpoint, kind, status), _)| (*endpoint, kind.as_str(), *status));
    if !errors.is_empty() {
        let endpoints: Vec<_> = errors.iter().map(|((endpoint, ..), _)| *endpoint).collect();
        let kinds: Vec<_> = errors.iter().map(|((_, kind, _), _)| *kind).collect();
        let statuses: Vec<_> = errors.iter().map(|((.., status), _)| i64::from(*status)).collect();
        let counts: Vec<_> = errors.iter().map(|(_, (count, ..))| *count).collect();
        let messages: Vec<_> =
            errors.iter().map(|(_, (_, message, _))| message.replace('\0', "\u{fffd}")).collect();
        let last: Vec<_> = errors.iter().map(|(_, (.., at))| *at).collect();
        conn.run(ERRORS, &[&endpoints, &kinds, &statuses, &counts, &messages, &last]).await?;
    }
    let mut statuses: Vec<_> = sums.statuses.iter().collect();
    statuses.sort_unstable_by_key(|((endpoint, hour, class), _)| (*endpoint, *hour, class.as_str()));
    if !statuses.is_empty() {
        let endpoints: Vec<_> = statuses.iter().map(|((endpoint, ..), _)| *endpoint).collect();
        let hours: Vec<_> = statuses.iter().map(|((_, hour, _), _)| *hour).collect();
        let classes: Vec<_> = statuses.iter().map(|((.., class), _)| *class).collect();
        let counts: Vec<_> = statuses.iter().map(|(_, count)| **count).collect();
        conn.run(STATUSES, &[&endpoints, &hours, &classes, &counts]).await?;
    }
    Ok(())
}

async fn write_slots(conn: &Conn, sums: &Sums) -> DbResult<()> {
    write_slot_table(conn, MINUTES, &sums.minutes).await?;
    write_slot_table(conn, HOURS, &sums.hours()).await
}

async fn write_slot_table(
    conn: &Conn,
    sql: &'static str,
    slots: &HashMap<(EndpointRow, i64), SlotSums>,
) -> DbResult<()> {
    let slots = sorted(slots);
    if slots.is_empty() {
        return Ok(());
    }
    let of = |value: fn(&SlotSums) -> i64| column(&slots, move |_, sums| value(sums));
    let values: [Vec<i64>; 8] = [
        of(|sums| sums.delivered),
        of(|sums| sums.exhausted),
        of(|sums| sums.failed_attempts),
        of(|sums| sums.response_ms_sum),
        of(|sums| sums.deliveries),
        of(|sums| sums.failed_deliveries),
        of(|sums| sums.response_count),
        of(|sums| sums.ended_exhausted),
    ];
    let endpoints = column(&slots, |(endpoint, _), _| endpoint);
    let times = column(&slots, |(_, slot), _| slot);
    let mut params: Vec<&(dyn ToSql + Sync)> = vec![&endpoints, &times];
    params.extend(values.iter().map(|value| value as &(dyn ToSql + Sync)));
    conn.run(sql, &params).await.map(|_| ())
}

async fn write_times(conn: &Conn, sums: &Sums) -> DbResult<()> {
    let totals = sorted(&sums.total_times);
    if !totals.is_empty() {
        let endpoints = column(&totals, |(endpoint, _), _| endpoint);
        let buckets = column(&totals, |(_, bucket), _| i64::from(bucket));
        let counts = column(&totals, |_, count| *count);
        conn.run(TOTAL_TIMES, &[&endpoints, &buckets, &counts]).await?;
    }
    write_time_table(conn, MINUTE_TIMES, &sums.minute_times).await?;
    write_time_table(conn, HOUR_TIMES, &sums.hour_times()).await
}

async fn write_time_table(
    conn: &Conn,
    sql: &'static str,
    times: &HashMap<(EndpointRow, i64, Bucket), i64>,
) -> DbResult<()> {
    let times = sorted(times);
    if times.is_empty() {
        return Ok(());
    }
    let endpoints = column(&times, |(endpoint, ..), _| endpoint);
    let slots = column(&times, |(_, slot, _), _| slot);
    let buckets = column(&times, |(.., bucket), _| i64::from(bucket));
    let counts = column(&times, |_, count| *count);
    conn.run(sql, &[&endpoints, &slots, &buckets, &counts]).await.map(|_| ())
}

async fn write_totals(conn: &Conn, totals: &HashMap<EndpointRow, TotalSums>) -> DbResult<()> {
    let totals = sorted(totals);
    if totals.is_empty() {
        return Ok(());
    }
    let endpoints = column(&totals, |endpoint, _| endpoint);
    let mut known: HashMap<EndpointRow, String> = HashMap::new();
    for row in conn.rows(RECORDS, &[&endpoints]).await? {
        known.insert(row.col("endpoint")?, row.col("record")?);
    }
    let records = column(&totals, |endpoint, sums| {
        let record = known.get(&endpoint).map_or("", String::as_str);
        match record_text::write(&sums.record) {
            later if later.is_empty() => record.to_owned(),
            later => record_text::merge(record, &later),
        }
    });
    let of = |value: fn(&TotalSums) -> i64| column(&totals, move |_, sums| value(sums));
    let values: [Vec<i64>; 8] = [
        of(|sums| sums.deliveries),
        of(|sums| sums.delivered),
        of(|sums| sums.exhausted),
        of(|sums| sums.pending),
        of(|sums| sums.cancelled),
        of(|sums| sums.failed_attempts),
        of(|sums| sums.response_count),
        of(|sums| sums.response_ms_sum),
    ];
    let least = column(&totals, |_, sums| opt_num(sums.min));
    let most = column(&totals, |_, sums| opt_num(sums.max));
    let last = column(&totals, |_, sums| sums.last_attempted_at);
    let mut params: Vec<&(dyn ToSql + Sync)> = vec![&endpoints];
    params.extend(values.iter().map(|value| value as &(dyn ToSql + Sync)));
    let rest: [&(dyn ToSql + Sync); 4] = [&least, &most, &last, &records];
    params.extend(rest);
    conn.run(TOTALS, &params).await.map(|_| ())
}
