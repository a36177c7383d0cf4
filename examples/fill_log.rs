//! Creates a delivery log of any length, for benchmarks:
//!
//! ```text
//! cargo run --release --example fill_log -- DATA_DIR ROWS [WEBHOOKS]
//! ```
//!
//! The program itself creates the database, so that its schema is the real one. Then SQL fills it with one
//! finished attempt for each event, because posting a million events takes minutes. The rows belong to the
//! app `default`: of ten attempts eight were delivered, one failed and one is exhausted; 30 event types, 250
//! bytes of payload and about 200 bytes of response, spread over the 30 days before 2026-11-21. Roll-ups are
//! left empty. DATA_DIR should be new, and no server may be running on it.

use postrider::config::Config;
use postrider::domain::Timestamp;
use postrider::host::data_dir::DataDir;
use postrider::store::sqlite::{Options, SqliteStore};
use rusqlite::{Connection, params};

/// 2026-11-21T00:00:00Z
const END_MS: i64 = 1_795_219_200_000;
const DAYS_30_MS: i64 = 30 * 86_400_000;

const NUMBERS: &str = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) ";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (Some(dir), Some(rows)) = (arguments.first(), arguments.get(1)) else {
        return Err("usage: fill_log DATA_DIR ROWS [WEBHOOKS]".into());
    };
    let rows: i64 = rows.parse()?;
    let hooks: i64 = arguments.get(2).map_or(Ok(10), |text| text.parse())?;
    let mut config = Config::default();
    config.data_dir = dir.into();
    let file = DataDir::open(&config)?.database();
    SqliteStore::open(&file, Options::new(Timestamp::from_millis(END_MS)))?.close().await;
    let mut conn = Connection::open(&file)?;
    fill(&mut conn, rows, hooks)?;
    println!("{rows} attempts of {hooks} webhooks in {}", file.display());
    Ok(())
}

fn fill(conn: &mut Connection, rows: i64, hooks: i64) -> rusqlite::Result<()> {
    // Nothing here is worth waiting for the disk.
    conn.pragma_update(None, "synchronous", "OFF")?;
    conn.pragma_update(None, "cache_size", -200_000)?;
    let tx = conn.transaction()?;
    let app: i64 = tx.query_row("SELECT id FROM apps WHERE name = 'default'", [], |row| row.get(0))?;
    tx.execute(
        &format!(
            "{NUMBERS} INSERT INTO endpoints (uid, app, status, consecutive_failures, url, name, events, \
             headers, encrypted, secret, retired_secrets, created_at, updated_at) \
             SELECT randomblob(16), ?2, 'active', 0, 'https://receiver-' || i || '.example.com/hooks/incoming', \
             'Receiver ' || i, '*', '[]', 0, x'', '[]', ?3, ?3 FROM n"
        ),
        params![hooks, app, END_MS - DAYS_30_MS],
    )?;
    tx.execute(
        &format!(
            "{NUMBERS} INSERT INTO event_types (app, name, count, last_seen_at) \
             SELECT ?2, 'category' || (i % 5) || '.type' || i, ?3 / 30, ?4 FROM n"
        ),
        params![30, app, rows, END_MS],
    )?;
    let first_type: i64 = tx.query_row("SELECT max(id) - 29 FROM event_types", [], |row| row.get(0))?;
    let last_hook: i64 = tx.query_row("SELECT max(id) FROM endpoints", [], |row| row.get(0))?;
    let first_event: i64 = tx.query_row("SELECT coalesce(max(id), 0) FROM events", [], |row| row.get(0))?;
    let step = (DAYS_30_MS / rows.max(1)).max(1);
    tx.execute(
        &format!(
            "{NUMBERS} INSERT INTO events (uid, app, type, resource_id, origin, deliveries, created_at, payload) \
             SELECT randomblob(16), ?2, ?3 + i % 30, 'res-' || i, 'client', 1, ?4 + i * ?5, \
             CAST('{{\"n\":' || i || ',\"text\":\"' || hex(randomblob(112)) || '\"}}' AS BLOB) FROM n"
        ),
        params![rows, app, first_type, END_MS - DAYS_30_MS, step],
    )?;
    let first: i64 = tx.query_row("SELECT coalesce(max(id), 0) FROM attempts", [], |row| row.get(0))?;
    tx.execute(
        "INSERT INTO attempts (app, endpoint, event, type, status, trigger, attempt, schedule_used, created_at, \
         due_at, attempted_at, finished_at, response_status, response_time_ms, error_kind, error_message, \
         result_seq) \
         SELECT app, ?2 - id % ?3, id, type, \
         CASE id % 10 WHEN 0 THEN 'failed' WHEN 5 THEN 'exhausted' ELSE 'delivered' END, 'event', 1, 0, \
         created_at, created_at, created_at + 3, created_at + 3 + id % 700, \
         CASE WHEN id % 5 = 0 THEN 500 ELSE 200 END, id % 700, \
         CASE WHEN id % 5 = 0 THEN 'http_status' END, \
         CASE WHEN id % 5 = 0 THEN 'The receiver answered with 500 Internal Server Error.' END, id \
         FROM events WHERE id > ?1 ORDER BY id",
        params![first_event, last_hook, hooks],
    )?;
    tx.execute(
        "INSERT INTO attempt_details (attempt, request_url, request_headers, response_headers, \
         response_truncated, response_body) \
         SELECT id, 'https://receiver.example.com/hooks/incoming', '[[\"content-type\",\"application/json\"]]', \
         '[[\"content-type\",\"application/json\"]]', 0, \
         CAST('{\"received\":true,\"id\":\"' || hex(randomblob(80)) || '\"}' AS BLOB) \
         FROM attempts WHERE id > ?1 ORDER BY id",
        params![first],
    )?;
    for (zones, table) in [("log_zones", "attempts"), ("event_zones", "events")] {
        tx.execute_batch(&format!(
            "INSERT OR REPLACE INTO {zones} (zone, earliest, latest) SELECT id >> 12, min(created_at), \
             max(created_at) FROM {table} WHERE id < (SELECT max(id) FROM {table}) >> 12 << 12 GROUP BY 1"
        ))?;
    }
    tx.execute("UPDATE apps SET result_seq = (SELECT max(result_seq) FROM attempts)", [])?;
    tx.commit()?;
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}
