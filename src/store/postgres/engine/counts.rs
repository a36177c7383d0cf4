//! Writes what statistics count ([`Sums`]), once before the commit of a group: as rows of its own, so that nodes which
//! count for the same endpoint do not wait for each other. [`super::folding`] adds them to the tables of counts.

use std::collections::HashMap;

use futures_util::future::{try_join, try_join5};

use crate::domain::values::histogram::Bucket;
use crate::store::postgres::engine::conn::{Conn, Params, Statements as _};
use crate::store::postgres::engine::error::DbResult;
use crate::store::postgres::engine::rows::{EndpointRow, clean, opt_num};
use crate::store::shared::counts::{SlotSums, Sums, TotalSums};
use crate::store::shared::record_text;

const POSTED: &str = "INSERT INTO event_types_added (type, count, last_seen_at) \
     SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[])";
const ERRORS: &str = "INSERT INTO total_errors_added \
     (endpoint, error_kind, response_status, count, last_message, last_at) \
     SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::bigint[])";
const STATUSES: &str = "INSERT INTO rollup_statuses_added (endpoint, hour, class, count) \
     SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[])";
const TOTAL_TIMES: &str = "INSERT INTO total_times_added (endpoint, bucket, count) \
     SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[])";
const MINUTE_TIMES: &str = "INSERT INTO minute_times_added (endpoint, minute, bucket, count) \
     SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[])";
const MINUTES: &str = "INSERT INTO minutes_added (endpoint, minute, delivered, exhausted, failed_attempts, \
     response_ms_sum, deliveries, failed_deliveries, response_count, ended_exhausted) \
     SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], \
     $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[])";
const TOTALS: &str = "INSERT INTO totals_added (endpoint, deliveries, delivered, exhausted, pending, cancelled, \
     failed_attempts, response_count, response_ms_sum, response_ms_min, response_ms_max, last_attempted_at, record) \
     SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], \
     $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::text[])";

/// Joins what is pending at some endpoints, and their records, as `t`: looked up for each.
macro_rules! totals_of_each {
    ($endpoint:literal) => {
        concat!(
            "LEFT JOIN LATERAL (SELECT sum(n.pending)::bigint AS pending, \
             string_agg(n.record, E'\\n' ORDER BY n.id) AS record FROM totals_now n WHERE n.endpoint = ",
            $endpoint,
            ") t ON true"
        )
    };
}
pub(crate) use totals_of_each;

/// The same of very many endpoints. Few have counts that are not added yet; these are summed up once.
macro_rules! totals_of_many {
    ($endpoint:literal) => {
        concat!(
            "LEFT JOIN (SELECT coalesce(f.endpoint, a.endpoint) AS endpoint, \
             coalesce(f.pending, 0) + coalesce(a.pending, 0) AS pending, \
             concat_ws(E'\\n', nullif(f.record, ''), a.record) AS record \
             FROM totals f FULL JOIN (SELECT n.endpoint, sum(n.pending)::bigint AS pending, \
                 string_agg(nullif(n.record, ''), E'\\n' ORDER BY n.id) AS record FROM totals_added n GROUP BY n.endpoint) a \
             ON a.endpoint = f.endpoint) t ON t.endpoint = ",
            $endpoint
        )
    };
}
pub(crate) use totals_of_many;

/// A column of a map's entries as an array. All arrays of a map that does not change are in one order.
fn column<K: Copy, V, T>(entries: &HashMap<K, V>, value: impl Fn(K, &V) -> T) -> Vec<T> {
    entries.iter().map(|(key, of)| value(*key, of)).collect()
}

/// Inserts rows, if there are any.
async fn insert<K, V>(conn: &Conn, sql: &str, entries: &HashMap<K, V>, values: Params<'_>) -> DbResult<()> {
    if entries.is_empty() {
        return Ok(());
    }
    conn.run(sql, values).await.map(|_| ())
}

/// Writes everything.
pub(crate) async fn write(conn: &Conn, sums: &Sums) -> DbResult<()> {
    try_join(
        try_join5(
            write_totals(conn, &sums.totals),
            write_minutes(conn, &sums.minutes),
            write_minute_times(conn, &sums.minute_times),
            write_total_times(conn, &sums.total_times),
            write_posted(conn, sums),
        ),
        try_join(write_errors(conn, sums), write_statuses(conn, sums)),
    )
    .await?;
    Ok(())
}

async fn write_posted(conn: &Conn, Sums { posted, .. }: &Sums) -> DbResult<()> {
    let kinds = column(posted, |kind, _| kind);
    let counts = column(posted, |_, (count, _)| *count);
    let last = column(posted, |_, (_, last_at)| *last_at);
    insert(conn, POSTED, posted, &[&kinds, &counts, &last]).await
}

async fn write_errors(conn: &Conn, Sums { errors, .. }: &Sums) -> DbResult<()> {
    let endpoints = column(errors, |(endpoint, ..), _| endpoint);
    let kinds = column(errors, |(_, kind, _), _| kind);
    let statuses = column(errors, |(.., status), _| i64::from(status));
    let counts = column(errors, |_, (count, ..)| *count);
    let messages = column(errors, |_, (_, message, _)| clean(message).into_owned());
    let last = column(errors, |_, (.., at)| *at);
    insert(conn, ERRORS, errors, &[&endpoints, &kinds, &statuses, &counts, &messages, &last]).await
}

async fn write_statuses(conn: &Conn, Sums { statuses, .. }: &Sums) -> DbResult<()> {
    let endpoints = column(statuses, |(endpoint, ..), _| endpoint);
    let hours = column(statuses, |(_, hour, _), _| hour);
    let classes = column(statuses, |(.., class), _| class);
    let counts = column(statuses, |_, count| *count);
    insert(conn, STATUSES, statuses, &[&endpoints, &hours, &classes, &counts]).await
}

async fn write_minutes(conn: &Conn, minutes: &HashMap<(EndpointRow, i64), SlotSums>) -> DbResult<()> {
    let of = |value: fn(&SlotSums) -> i64| column(minutes, move |_, sums| value(sums));
    let values: Params<'_> = &[
        &column(minutes, |(endpoint, _), _| endpoint),
        &column(minutes, |(_, minute), _| minute),
        &of(|sums| sums.delivered),
        &of(|sums| sums.exhausted),
        &of(|sums| sums.failed_attempts),
        &of(|sums| sums.response_ms_sum),
        &of(|sums| sums.deliveries),
        &of(|sums| sums.failed_deliveries),
        &of(|sums| sums.response_count),
        &of(|sums| sums.ended_exhausted),
    ];
    insert(conn, MINUTES, minutes, values).await
}

async fn write_minute_times(conn: &Conn, times: &HashMap<(EndpointRow, i64, Bucket), i64>) -> DbResult<()> {
    let endpoints = column(times, |(endpoint, ..), _| endpoint);
    let minutes = column(times, |(_, minute, _), _| minute);
    let buckets = column(times, |(.., bucket), _| i64::from(bucket));
    let counts = column(times, |_, count| *count);
    insert(conn, MINUTE_TIMES, times, &[&endpoints, &minutes, &buckets, &counts]).await
}

async fn write_total_times(conn: &Conn, times: &HashMap<(EndpointRow, Bucket), i64>) -> DbResult<()> {
    let endpoints = column(times, |(endpoint, _), _| endpoint);
    let buckets = column(times, |(_, bucket), _| i64::from(bucket));
    let counts = column(times, |_, count| *count);
    insert(conn, TOTAL_TIMES, times, &[&endpoints, &buckets, &counts]).await
}

async fn write_totals(conn: &Conn, totals: &HashMap<EndpointRow, TotalSums>) -> DbResult<()> {
    let of = |value: fn(&TotalSums) -> i64| column(totals, move |_, sums| value(sums));
    let values: Params<'_> = &[
        &column(totals, |endpoint, _| endpoint),
        &of(|sums| sums.deliveries),
        &of(|sums| sums.delivered),
        &of(|sums| sums.exhausted),
        &of(|sums| sums.pending),
        &of(|sums| sums.cancelled),
        &of(|sums| sums.failed_attempts),
        &of(|sums| sums.response_count),
        &of(|sums| sums.response_ms_sum),
        &column(totals, |_, sums| opt_num(sums.min)),
        &column(totals, |_, sums| opt_num(sums.max)),
        &column(totals, |_, sums| sums.last_attempted_at),
        &column(totals, |_, sums| record_text::write(&sums.record)),
    ];
    insert(conn, TOTALS, totals, values).await
}
