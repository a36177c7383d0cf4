//! Adds what groups have counted ([`super::counts`]) to the tables of counts, once a second while something is counted.
//!
//! Who reads counts reads both (`…_now`), so it does not matter when this happens. It is done by one node at a time:
//! who gets the lock takes the rows of all nodes, those of a node that is gone too.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio_postgres::Row;

use crate::store::postgres::engine::conn::{Conn, Params, Statements as _};
use crate::store::postgres::engine::error::DbResult;
use crate::store::postgres::engine::rows::{Columns as _, EndpointRow};
use crate::store::postgres::engine::store::PostgresStore;
use crate::store::shared::record_text;
use crate::store::{Result, StoreError};

/// How long counts are left where they are, so that many are added at once.
const EVERY: Duration = Duration::from_secs(1);
/// The most rows of a table that one transaction takes.
const MOST: i64 = 50_000;

/// Rows of a table of added counts that are taken from it, as `gone`.
macro_rules! gone {
    ($table:literal) => {
        concat!(
            "WITH gone AS (DELETE FROM ",
            $table,
            " WHERE ctid = ANY(ARRAY(SELECT ctid FROM ",
            $table,
            " LIMIT $1)) RETURNING *)"
        )
    };
}
/// Sums of the columns of `minutes`, in the order of `slot_columns!`.
macro_rules! slot_sums {
    () => {
        "sum(delivered)::bigint, sum(exhausted)::bigint, sum(failed_attempts)::bigint, sum(response_ms_sum)::bigint, \
         sum(deliveries)::bigint, sum(failed_deliveries)::bigint, sum(response_count)::bigint, \
         sum(ended_exhausted)::bigint FROM gone GROUP BY 1, 2 ORDER BY 1, 2"
    };
}
macro_rules! slot_columns {
    () => {
        "delivered, exhausted, failed_attempts, response_ms_sum, deliveries, failed_deliveries, response_count, \
         ended_exhausted"
    };
}
macro_rules! add_slots {
    () => {
        "delivered = t.delivered + excluded.delivered, exhausted = t.exhausted + excluded.exhausted, \
         failed_attempts = t.failed_attempts + excluded.failed_attempts, \
         response_ms_sum = t.response_ms_sum + excluded.response_ms_sum, \
         deliveries = t.deliveries + excluded.deliveries, \
         failed_deliveries = t.failed_deliveries + excluded.failed_deliveries, \
         response_count = t.response_count + excluded.response_count, \
         ended_exhausted = t.ended_exhausted + excluded.ended_exhausted"
    };
}

/// Each takes rows of one table, adds them up, and says how many it took.
const FOLDS: [&str; 6] = [
    concat!(
        gone!("event_types_added"),
        ", added AS (UPDATE event_types t SET count = t.count + n.count, \
         last_seen_at = greatest(t.last_seen_at, n.last_seen_at) FROM (SELECT type, sum(count)::bigint AS count, \
         max(last_seen_at) AS last_seen_at FROM gone GROUP BY type) n WHERE t.id = n.type) \
         SELECT count(*) AS count FROM gone"
    ),
    concat!(
        gone!("minutes_added"),
        ", added AS (INSERT INTO minutes AS t (endpoint, minute, ",
        slot_columns!(),
        ") SELECT endpoint, minute, ",
        slot_sums!(),
        " ON CONFLICT (endpoint, minute) DO UPDATE SET ",
        add_slots!(),
        "), hours AS (INSERT INTO rollups AS t (endpoint, hour, ",
        slot_columns!(),
        ") SELECT endpoint, minute / 60, ",
        slot_sums!(),
        " ON CONFLICT (endpoint, hour) DO UPDATE SET ",
        add_slots!(),
        ") SELECT count(*) AS count FROM gone"
    ),
    concat!(
        gone!("minute_times_added"),
        ", added AS (INSERT INTO minute_times AS t (endpoint, minute, bucket, count) \
         SELECT endpoint, minute, bucket, sum(count)::bigint FROM gone GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 \
         ON CONFLICT (endpoint, minute, bucket) DO UPDATE SET count = t.count + excluded.count), \
         hours AS (INSERT INTO rollup_times AS t (endpoint, hour, bucket, count) \
         SELECT endpoint, minute / 60, bucket, sum(count)::bigint FROM gone GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 \
         ON CONFLICT (endpoint, hour, bucket) DO UPDATE SET count = t.count + excluded.count) \
         SELECT count(*) AS count FROM gone"
    ),
    concat!(
        gone!("total_times_added"),
        ", added AS (INSERT INTO total_times AS t (endpoint, bucket, count) \
         SELECT endpoint, bucket, sum(count)::bigint FROM gone GROUP BY 1, 2 ORDER BY 1, 2 \
         ON CONFLICT (endpoint, bucket) DO UPDATE SET count = t.count + excluded.count) \
         SELECT count(*) AS count FROM gone"
    ),
    concat!(
        gone!("rollup_statuses_added"),
        ", added AS (INSERT INTO rollup_statuses AS t (endpoint, hour, class, count) \
         SELECT endpoint, hour, class, sum(count)::bigint FROM gone GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 \
         ON CONFLICT (endpoint, hour, class) DO UPDATE SET count = t.count + excluded.count) \
         SELECT count(*) AS count FROM gone"
    ),
    concat!(
        gone!("total_errors_added"),
        ", added AS (INSERT INTO total_errors AS t \
         (endpoint, error_kind, response_status, count, last_message, last_at) \
         SELECT endpoint, error_kind, response_status, sum(count)::bigint, \
         (array_agg(last_message ORDER BY last_at DESC))[1], max(last_at) FROM gone GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 \
         ON CONFLICT (endpoint, error_kind, response_status) DO UPDATE SET count = t.count + excluded.count, \
         last_message = CASE WHEN excluded.last_at >= t.last_at THEN excluded.last_message ELSE t.last_message END, \
         last_at = greatest(t.last_at, excluded.last_at)) \
         SELECT count(*) AS count FROM gone"
    ),
];

const TAKE_TOTALS: &str = concat!(
    gone!("totals_added"),
    " SELECT endpoint, count(*) AS taken, sum(deliveries)::bigint AS deliveries, sum(delivered)::bigint AS delivered, \
     sum(exhausted)::bigint AS exhausted, sum(pending)::bigint AS pending, sum(cancelled)::bigint AS cancelled, \
     sum(failed_attempts)::bigint AS failed_attempts, sum(response_count)::bigint AS response_count, \
     sum(response_ms_sum)::bigint AS response_ms_sum, min(response_ms_min) AS response_ms_min, \
     max(response_ms_max) AS response_ms_max, max(last_attempted_at) AS last_attempted_at, \
     coalesce(string_agg(nullif(record, ''), E'\\n' ORDER BY id), '') AS record FROM gone GROUP BY endpoint ORDER BY endpoint"
);

const RECORDS: &str = "SELECT endpoint, record FROM totals WHERE endpoint = ANY($1)";

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

fn numbers(rows: &[Row], name: &str) -> DbResult<Vec<i64>> {
    rows.iter().map(|row| row.num(name)).collect()
}

fn optional_numbers(rows: &[Row], name: &str) -> DbResult<Vec<Option<i64>>> {
    rows.iter().map(|row| row.col(name)).collect()
}

/// Totals have a record, which only the program can add to. Says how many rows it took.
async fn fold_totals(conn: &Conn) -> DbResult<i64> {
    let rows = conn.rows(TAKE_TOTALS, &[&MOST]).await?;
    if rows.is_empty() {
        return Ok(0);
    }
    let endpoints: Vec<EndpointRow> = rows.iter().map(|row| row.col("endpoint")).collect::<DbResult<_>>()?;
    let mut known: HashMap<EndpointRow, String> = HashMap::new();
    for row in conn.rows(RECORDS, &[&endpoints]).await? {
        known.insert(row.col("endpoint")?, row.col("record")?);
    }
    let mut records = Vec::with_capacity(rows.len());
    for (row, endpoint) in rows.iter().zip(&endpoints) {
        let later: &str = row.try_get("record")?;
        records.push(record_text::merge(known.get(endpoint).map_or("", String::as_str), later));
    }
    let values: Params<'_> = &[
        &endpoints,
        &numbers(&rows, "deliveries")?,
        &numbers(&rows, "delivered")?,
        &numbers(&rows, "exhausted")?,
        &numbers(&rows, "pending")?,
        &numbers(&rows, "cancelled")?,
        &numbers(&rows, "failed_attempts")?,
        &numbers(&rows, "response_count")?,
        &numbers(&rows, "response_ms_sum")?,
        &optional_numbers(&rows, "response_ms_min")?,
        &optional_numbers(&rows, "response_ms_max")?,
        &optional_numbers(&rows, "last_attempted_at")?,
        &records,
    ];
    conn.run(TOTALS, values).await?;
    Ok(numbers(&rows, "taken")?.iter().sum())
}

/// Holds off every other node until the transaction ends.
const TRY_LOCK: &str =
    "SELECT pg_try_advisory_xact_lock(hashtext('postrider counts'), hashtext(current_schema())) AS is_mine";
const LOCK: &str = "SELECT true AS is_mine FROM pg_advisory_xact_lock(hashtext('postrider counts'), hashtext(current_schema()))";

/// Adds up to [`MOST`] rows of each table, once it has the lock; whether there may be more. In an open transaction.
async fn fold_some(conn: &Conn, lock: &str) -> DbResult<bool> {
    if !conn.row(lock, &[]).await?.col::<bool>("is_mine")? {
        return Ok(false);
    }
    let mut is_more = fold_totals(conn).await? >= MOST;
    for sql in FOLDS {
        let taken: i64 = conn.row(sql, &[&MOST]).await?.num("count")?;
        is_more |= taken >= MOST;
    }
    Ok(is_more)
}

/// The tables of added counts.
pub(crate) const ADDED: [&str; 7] = [
    "totals_added",
    "total_times_added",
    "total_errors_added",
    "minutes_added",
    "minute_times_added",
    "rollup_statuses_added",
    "event_types_added",
];

/// Adds everything that was committed before.
pub(crate) async fn fold(conn: &Conn) -> DbResult<()> {
    fold_all(conn, LOCK).await
}

async fn fold_all(conn: &Conn, lock: &str) -> DbResult<()> {
    loop {
        // If the server loses it, the rows are there again.
        conn.script("BEGIN; SET LOCAL synchronous_commit = off").await?;
        match fold_some(conn, lock).await {
            Ok(is_more) => {
                conn.script("COMMIT").await?;
                if !is_more {
                    return Ok(());
                }
            }
            Err(error) => {
                // Without a connection there is nothing to undo.
                let _ = conn.script("ROLLBACK").await;
                return Err(error);
            }
        }
    }
}

/// Starts the task that does it.
pub(crate) fn start(store: &Arc<PostgresStore>) {
    let (weak, stopped, counted) = (Arc::downgrade(store), store.stopped.clone(), store.counted.clone());
    store.threads().spawn(async move {
        loop {
            tokio::select! {
                () = stopped.cancelled() => return,
                () = counted.notified() => {}
            }
            if tokio::time::timeout(EVERY, stopped.cancelled()).await.is_ok() {
                return;
            }
            match now(&weak).await {
                Ok(()) => {}
                Err(StoreError::Closed) => return,
                Err(error) => {
                    tracing::debug!(%error, "counts could not be added up; trying again");
                    counted.notify_one();
                }
            }
        }
    });
}

async fn now(store: &Weak<PostgresStore>) -> Result<()> {
    // Only now: the task must not keep the store open.
    let store = store.upgrade().ok_or(StoreError::Closed)?;
    store.query("adding up counts", |conn| fold_all(conn, TRY_LOCK).boxed()).await
}
