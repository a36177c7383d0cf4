//! A generated delivery log, for every benchmark that needs a large one.
//!
//! It is written by SQL, the statistics included, and kept in `POSTRIDER_BENCH_DIR` for the next run when
//! that is set: two million rows take some minutes.

#![allow(dead_code, reason = "each benchmark uses some of it")]

use std::path::{Path, PathBuf};

use postrider::domain::values::histogram::bucket_of;
use postrider::domain::{EndpointId, EventId, Timestamp};
use postrider::host::clock::{Clock as _, SystemClock};
use postrider::store::sqlite::{Options, SqliteStore};
use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, params};

/// The log covers this time.
pub(crate) const DAYS: i64 = 30;
pub(crate) const DAY_MS: i64 = 86_400_000;
pub(crate) const END: i64 = 1_790_000_000_000;

/// The first endpoint has half of the rows.
pub(crate) const ENDPOINTS: i64 = 20;
pub(crate) const TYPES: i64 = 40;

/// Rows of the large log.
pub(crate) fn rows() -> u64 {
    std::env::var("POSTRIDER_BENCH_ROWS").ok().and_then(|n| n.parse().ok()).unwrap_or(2_000_000)
}

/// Where logs are kept, and what removes the directory unless it was named.
pub(crate) fn directory() -> (PathBuf, tempfile::TempDir) {
    let scratch = tempfile::tempdir().expect("a directory for the logs");
    let kept = std::env::var("POSTRIDER_BENCH_DIR").ok().map(PathBuf::from);
    (kept.unwrap_or_else(|| scratch.path().to_owned()), scratch)
}

/// How a store is opened at the end of the log.
pub(crate) fn options() -> Options {
    Options::new(Timestamp::from_millis(END))
}

/// The file of a log with so many rows, which is made unless it is there.
pub(crate) async fn file(dir: &Path, rows: u64) -> PathBuf {
    let path = dir.join(format!("log-{rows}.db"));
    if !path.exists() {
        std::fs::create_dir_all(dir).expect("the directory for the logs");
        let begun = SystemClock.now();
        let making = dir.join("making.db");
        let _ = std::fs::remove_file(&making);
        SqliteStore::open(&making, options()).expect("a new log").close().await;
        generate(&making, rows).expect("the log is generated");
        std::fs::rename(&making, &path).expect("the log gets its name");
        let size = std::fs::metadata(&path).expect("the file is there").len();
        let took = SystemClock.now().as_millis() - begun.as_millis();
        println!("{rows} rows generated in {} s: {} MB", took / 1_000, size >> 20);
    }
    count(&path).expect("the log is counted");
    path
}

/// Numbers that look random and are the same every time (xorshift64*).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn unit(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40) as f64 / f64::from(1 << 24)
    }

    /// From 1 to `n`, the small ones more often.
    pub(crate) fn skewed(&mut self, n: i64) -> i64 {
        1 + (self.unit().powi(3) * n as f64) as i64
    }
}

/// How one request ended: status code, error, milliseconds.
pub(crate) type End = (Option<u16>, Option<&'static str>, i64);

pub(crate) fn end(dice: &mut Dice, endpoint: i64, is_outage: bool, is_retry: bool) -> End {
    let base = 20.0 * (1 + endpoint % 5) as f64;
    let took = (base * (1.0 - (1.0 - dice.unit()).ln())) as i64;
    let works = dice.unit()
        < if is_outage {
            0.02
        } else if is_retry {
            0.6
        } else {
            0.94
        };
    if works {
        return (Some(if dice.unit() < 0.9 { 200 } else { 204 }), None, took);
    }
    match (dice.unit() * 10.0) as u32 {
        0..3 => (None, Some("timeout"), 10_000),
        3 => (None, Some("connect"), took / 4),
        4 => (None, Some("protocol"), took),
        5 | 6 => (Some(503), Some("http_status"), took * 2),
        7 => (Some(404), Some("http_status"), took),
        _ => (Some(500), Some("http_status"), took * 3),
    }
}

/// Adds one endpoint, which wants everything, to an empty database.
pub(crate) fn add_endpoint(path: &Path) -> rusqlite::Result<()> {
    insert_endpoint(&Connection::open(path)?, 1)
}

fn insert_endpoint(conn: &Connection, endpoint: i64) -> rusqlite::Result<()> {
    let sql = "INSERT INTO endpoints (uid, app, status, consecutive_failures, url, name, events, headers, \
               encrypted, secret, retired_secrets, created_at, updated_at) \
               VALUES (?1, 1, 'active', 0, ?2, ?3, '*', '[]', 0, x'00', '[]', 0, 0)";
    let url = format!("https://receiver-{endpoint}.example/hooks");
    let uid = endpoint_id(endpoint).as_uuid().as_bytes().to_vec();
    conn.execute(sql, params![uid, url, format!("Receiver {endpoint}")])?;
    Ok(())
}

fn generate(path: &Path, rows: u64) -> rusqlite::Result<()> {
    let mut conn = Connection::open(path)?;
    conn.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -400000; PRAGMA foreign_keys = OFF;")?;
    let tx = conn.transaction()?;
    for endpoint in 1..=ENDPOINTS {
        insert_endpoint(&tx, endpoint)?;
    }
    for kind in 1..=TYPES {
        let sql = "INSERT INTO event_types (app, name, count, last_seen_at) VALUES (1, ?1, 1, 1)";
        tx.execute(sql, [type_name(kind)])?;
    }
    {
        let mut add_event = tx.prepare(
            "INSERT INTO events (uid, app, type, origin, deliveries, created_at, resource_id, payload) \
             VALUES (?1, 1, ?2, 'client', 1, ?3, ?4, ?5)",
        )?;
        let mut add = tx.prepare(
            "INSERT INTO attempts (first_id, app, endpoint, event, type, status, trigger, attempt, schedule_used, \
             created_at, due_at, attempted_at, finished_at, response_status, response_time_ms, error_kind, \
             error_message) \
             VALUES (?1, 1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
        )?;
        let mut add_details = tx.prepare(
            "INSERT INTO attempt_details (attempt, request_url, request_headers, response_headers, \
             response_truncated, response_body) VALUES (?1, 'https://receiver.example/hooks', \
             '[[\"content-type\",\"application/json\"]]', '[[\"content-length\",\"2\"]]', 0, x'6f6b')",
        )?;
        let mut dice = Dice(1);
        let mut made = 0;
        while made < rows {
            let through = made as f64 / rows as f64;
            let now = END - DAYS * DAY_MS + (through * (DAYS * DAY_MS) as f64) as i64;
            let endpoint = if dice.unit() < 0.5 { 1 } else { 1 + dice.skewed(ENDPOINTS - 1) };
            let kind = dice.skewed(TYPES);
            let is_outage = endpoint == 3 && (0.4..0.5).contains(&through);
            // Two endpoints' last events wait: one is paused, one is just being sent to.
            let waits = (endpoint == 5 && through > 0.8) || through > 0.9995;
            // Some clock reads are older than others when they are written.
            let mut at = now - (dice.unit() * 500.0) as i64;
            add_event.execute(params![
                EventId::new(Timestamp::from_millis(at)).as_uuid().as_bytes().to_vec(),
                kind,
                at,
                resource(made),
                format!("{{\"id\":\"{made:010}\"}}").into_bytes()
            ])?;
            let event = tx.last_insert_rowid();
            let mut first = None;
            for attempt in 1..=4_i64 {
                let (code, error, took) = end(&mut dice, endpoint, is_outage, attempt > 1);
                let delay = match attempt {
                    1 => (dice.unit() * 40.0) as i64,
                    n => [120_000, 480_000, 1_200_000][n as usize - 2],
                };
                let status = match (waits, error, attempt) {
                    (true, ..) => "pending",
                    (_, None, _) => "delivered",
                    (_, _, 4) => "exhausted",
                    _ => "failed",
                };
                let sent = (!waits).then_some(at + delay);
                let trigger = if attempt > 1 { "retry" } else { "event" };
                add.execute(params![
                    first,
                    endpoint,
                    event,
                    kind,
                    status,
                    trigger,
                    attempt,
                    at,
                    at + delay,
                    sent,
                    sent.map(|sent| sent + took),
                    code.filter(|_| !waits),
                    (!waits).then_some(took),
                    error.filter(|_| !waits),
                    error.filter(|_| !waits).map(|kind| message(kind, code))
                ])?;
                let id = tx.last_insert_rowid();
                made += 1;
                first = first.or(Some(id));
                if waits {
                    break;
                }
                add_details.execute([id])?;
                if error.is_none() {
                    break;
                }
                at += delay + took;
            }
        }
    }
    for (zones, table) in [("log_zones", "attempts"), ("event_zones", "events")] {
        tx.execute_batch(&format!(
            "INSERT INTO {zones} (zone, earliest, latest) SELECT id >> 12, min(created_at), max(created_at) \
             FROM {table} WHERE id < (SELECT max(id) FROM {table}) >> 12 << 12 GROUP BY 1"
        ))?;
    }
    tx.commit()
}

/// The sentence of a failure.
fn message(kind: &str, code: Option<u16>) -> String {
    match (kind, code) {
        (_, Some(code)) => format!("HTTP {code}"),
        ("connect", None) => {
            "connection refused by receiver.example: nothing listens there, or a firewall refuses".to_owned()
        }
        ("timeout", None) => "no response within 10s".to_owned(),
        _ => "the connection was closed before a response arrived".to_owned(),
    }
}

/// The resource of the event whose first attempt is the row after so many: a third of the events have one of their own,
/// and one in a thousand is about the same.
fn resource(made: u64) -> Option<String> {
    match made {
        n if n % 1_000 < 2 => Some(COMMON_RESOURCE.to_owned()),
        n if n % 3 == 0 => Some(format!("order-{n}")),
        _ => None,
    }
}

pub(crate) const COMMON_RESOURCE: &str = "customer-1";

pub(crate) fn endpoint_id(endpoint: i64) -> EndpointId {
    EndpointId::from_uuid(uuid::Uuid::from_u128(endpoint as u128))
}

pub(crate) fn type_name(kind: i64) -> String {
    format!(
        "{}.{}",
        ["order", "license", "customer", "invoice"][kind as usize % 4],
        ["made", "changed", "gone"][kind as usize % 3]
    ) + &format!(".v{kind}")
}

/// Fills the statistics from the log, as if the server had written both, unless that is done.
fn count(path: &Path) -> rusqlite::Result<()> {
    let mut conn = Connection::open(path)?;
    if conn.query_row("SELECT EXISTS (SELECT 1 FROM totals)", [], |row| row.get(0))? {
        return Ok(());
    }
    let flags = FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_UTF8;
    conn.create_scalar_function("bucket_of", 1, flags, |call| {
        Ok(bucket_of(u64::try_from(call.get::<i64>(0)?).unwrap_or(0)))
    })?;
    let tx = conn.transaction()?;
    tx.execute_batch(
        "INSERT INTO totals (endpoint, deliveries, delivered, exhausted, pending, cancelled, failed_attempts, \
             response_count, response_ms_sum, response_ms_min, response_ms_max, last_attempted_at) \
         SELECT endpoint, sum(first_id IS NULL), sum(status = 'delivered'), \
             sum(status = 'exhausted'), sum(status = 'pending'), sum(status = 'cancelled'), \
             sum(status IN ('failed', 'exhausted')), sum(n), sum(n * coalesce(response_time_ms, 0)), \
             min(response_time_ms), max(response_time_ms), max(attempted_at) \
         FROM (SELECT *, status IN ('delivered', 'exhausted') AND response_time_ms IS NOT NULL AS n \
             FROM attempts) GROUP BY endpoint; \
         INSERT INTO rollup_statuses (endpoint, hour, class, count) \
         SELECT endpoint, attempted_at / 3600000, CASE response_status / 100 WHEN 2 THEN '2xx' WHEN 3 THEN '3xx' \
             WHEN 4 THEN '4xx' WHEN 5 THEN '5xx' ELSE 'none' END, count(*) FROM attempts \
         WHERE status IN ('failed', 'exhausted') AND attempted_at IS NOT NULL GROUP BY 1, 2, 3; \
         INSERT INTO total_times SELECT endpoint, bucket_of(response_time_ms), count(*) FROM attempts \
         WHERE status IN ('delivered', 'exhausted') AND response_time_ms IS NOT NULL GROUP BY 1, 2; \
         INSERT INTO total_errors SELECT endpoint, error_kind, coalesce(response_status, 0), count(*), \
             'It failed.', max(finished_at) FROM attempts WHERE status IN ('failed', 'exhausted') \
         GROUP BY 1, 2, 3;",
    )?;
    for (table, unit, since) in [("minutes", 60_000, END - 7 * DAY_MS), ("rollups", 3_600_000, 0)] {
        let slot = if unit == 60_000 { "minute" } else { "hour" };
        tx.execute_batch(&format!(
            "INSERT INTO {table} (endpoint, {slot}, delivered, exhausted, failed_attempts, response_ms_sum, \
                 deliveries, failed_deliveries, response_count) \
             SELECT endpoint, slot, sum(a), sum(b), sum(c), sum(d), sum(e), sum(f), sum(g) FROM ( \
                 SELECT endpoint, attempted_at / {unit} AS slot, status = 'delivered' AS a, \
                     status = 'exhausted' AS b, status IN ('failed', 'exhausted') AS c, \
                     coalesce(response_time_ms, 0) AS d, 0 AS e, 0 AS f, response_time_ms IS NOT NULL AS g \
                 FROM attempts WHERE attempted_at >= {since} \
                 UNION ALL SELECT endpoint, created_at / {unit}, 0, 0, 0, 0, 1, 0, 0 FROM attempts \
                 WHERE first_id IS NULL AND created_at >= {since} \
                 UNION ALL SELECT t.endpoint, f.created_at / {unit}, 0, 0, 0, 0, 0, 1, 0 FROM attempts t \
                 JOIN attempts f ON f.id = coalesce(t.first_id, t.id) \
                 WHERE t.status = 'exhausted' AND f.created_at >= {since}) GROUP BY 1, 2; \
             INSERT INTO {times} SELECT endpoint, attempted_at / {unit}, bucket_of(response_time_ms), count(*) \
             FROM attempts WHERE attempted_at >= {since} AND response_time_ms IS NOT NULL GROUP BY 1, 2, 3;",
            times = if unit == 60_000 { "minute_times" } else { "rollup_times" },
        ))?;
    }
    tx.commit()
}

/// Nanoseconds since the first call.
pub(crate) fn monotonic() -> u64 {
    use std::sync::OnceLock;
    static START: OnceLock<tokio::time::Instant> = OnceLock::new();
    let start = START.get_or_init(tokio::time::Instant::now);
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// The value in the middle.
pub(crate) fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}
