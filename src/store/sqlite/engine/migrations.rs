//! The schema, as embedded SQL files that only go forward.
//!
//! A file that was published is never edited; a change is a new file with the next number. The number
//! of files that have been run is the database's `user_version`, so a database from a newer program is
//! known before anything is touched, and refused.

use rusqlite::Connection;
use rusqlite_migration::{M, Migrations};

use crate::store::sqlite::engine::error;
use crate::store::{Result, StoreError};

const DELIVERIES: M<'static> = M::up(include_str!("migrations/0016_deliveries.sql"));
const STEPS: &[M<'static>] = &[
    M::up(include_str!("migrations/0001_initial.sql")),
    M::up(include_str!("migrations/0002_jobs.sql")),
    M::up(include_str!("migrations/0003_statistics.sql")),
    M::up(include_str!("migrations/0004_finish_order.sql")),
    M::up(include_str!("migrations/0005_log_indexes.sql")),
    M::up(include_str!("migrations/0006_sessions.sql")),
    M::up(include_str!("migrations/0007_settings.sql")),
    M::up(include_str!("migrations/0008_alerts.sql")),
    M::up(include_str!("migrations/0009_cheap_writes.sql")),
    M::up(include_str!("migrations/0010_result_seq.sql")),
    M::up(include_str!("migrations/0011_fan_outs.sql")),
    M::up(include_str!("migrations/0012_header_values.sql")),
    M::up(include_str!("migrations/0013_local_failures.sql")),
    M::up(include_str!("migrations/0014_resources.sql")),
    M::up(include_str!("migrations/0015_holds.sql")),
    DELIVERIES,
    M::up(include_str!("migrations/0017_health.sql")),
    M::up(include_str!("migrations/0018_sources.sql")),
    M::up(include_str!("migrations/0019_filters.sql")),
    M::up(include_str!("migrations/0020_routes.sql")),
    M::up(include_str!("migrations/0021_requests.sql")),
    M::up(include_str!("migrations/0022_alerts.sql")),
    M::up(include_str!("migrations/0023_presets.sql")),
    M::up(include_str!("migrations/0024_statuses.sql")),
];
pub(crate) const MIGRATIONS: Migrations<'static> = Migrations::from_slice(STEPS);

/// The schema version of this program.
pub(crate) const KNOWN: i64 = STEPS.len() as i64;

/// Refuses a database that a newer program has written. Reads only.
pub(crate) fn check(conn: &Connection) -> Result<()> {
    let found = version(conn)?;
    if found > KNOWN { Err(StoreError::Newer { found, known: KNOWN }) } else { Ok(()) }
}

/// The version of a database that an older program has written; `None` when it is empty or up to date.
pub(crate) fn outdated(conn: &Connection) -> Result<Option<i64>> {
    let found = version(conn)?;
    Ok((1..KNOWN).contains(&found).then_some(found))
}

/// Brings the database to this program's version.
pub(crate) fn run(conn: &mut Connection) -> Result<()> {
    let Err(cause) = MIGRATIONS.to_latest(conn) else { return Ok(()) };
    // Another process may have done the same at the same moment; then there is nothing left to do.
    if version(conn)? == KNOWN {
        return Ok(());
    }
    Err(StoreError::Failed { doing: "bringing the database up to date", source: Box::new(cause) })
}

/// Brings an empty database to a version that this program knows.
pub(crate) fn run_to(conn: &mut Connection, version: i64) -> Result<()> {
    let version = usize::try_from(version).unwrap_or_default();
    MIGRATIONS
        .to_version(conn, version)
        .map_err(|e| StoreError::Failed { doing: "creating a schema", source: Box::new(e) })
}

/// The version of a database's schema; 0 when there is none.
pub(crate) fn version(conn: &Connection) -> Result<i64> {
    conn.query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(|e| error::of("reading the database's version", e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Origin;
    use crate::domain::attempts::attempt::{AttemptStatus, ErrorKind, Trigger};

    #[test]
    fn the_migrations_are_sound() {
        MIGRATIONS.validate().unwrap();
    }

    #[test]
    fn the_record_of_an_older_database_is_made_of_its_counts() {
        let mut conn = Connection::open_in_memory().unwrap();
        run_to(&mut conn, 13).unwrap();
        conn.execute_batch(
            "INSERT INTO apps (id, uid, name, created_at) VALUES (1, x'01', 'a', 0);
             INSERT INTO event_types (id, app, name, count) VALUES (1, 1, 'a', 0);
             INSERT INTO events (id, uid, app, type, origin, deliveries, created_at) VALUES (1, x'01', 1, 1, 'client', 2, 0);
             INSERT INTO endpoints (id, uid, app, status, consecutive_failures, url, name, events, headers, encrypted,
                 secret, retired_secrets, created_at, updated_at)
             VALUES (1, x'01', 1, 'active', 2, 'u', 'n', '*', '[]', 0, x'00', '[]', 5, 9),
                    (2, x'02', 1, 'paused', 0, 'u', 'n', '*', '[]', 0, x'00', '[]', 5, 9);
             INSERT INTO totals (endpoint, deliveries, delivered, exhausted, pending, cancelled, failed_attempts,
                 response_count, response_ms_sum) VALUES (1, 2, 1, 1, 0, 0, 2, 0, 0), (2, 0, 0, 0, 0, 0, 0, 0, 0);
             INSERT INTO minutes VALUES (1, 10, 1, 0, 0, 9, 2, 0, 1), (1, 12, 0, 0, 1, 9, 0, 0, 1), (1, 13, 0, 1, 1, 9, 0, 1, 1);
             INSERT INTO total_errors VALUES (1, 'http_status', 500, 2, 'm', 780001);
             INSERT INTO attempts (id, first_id, app, endpoint, event, type, status, trigger, attempt, created_at, due_at,
                 finished_at, error_kind) VALUES
                 (1, NULL, 1, 1, 1, 1, 'delivered', 'event', 1, 0, 0, 600000, NULL),
                 (2, NULL, 1, 1, 1, 1, 'failed', 'event', 1, 0, 0, 720000, 'http_status'),
                 (3, 2, 1, 1, 1, 1, 'exhausted', 'retry', 2, 0, 0, 780000, 'http_status');",
        )
        .unwrap();
        run(&mut conn).unwrap();
        let record = |endpoint: i64| -> String {
            conn.query_row("SELECT record FROM totals WHERE endpoint = ?1", [endpoint], |row| row.get(0))
                .unwrap()
        };
        assert_eq!(record(1), "2 720000 http_status 500 0 600000 780001 - - 780000 600000 2!780000 1");
        assert_eq!(record(2), "0 - - - 0 - - - - - -");
        let since: Vec<i64> = conn
            .prepare("SELECT status_since FROM endpoints ORDER BY id")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(|since| since.unwrap())
            .collect();
        assert_eq!(since, [5, 9]);
        for text in [record(1), record(2)] {
            crate::store::shared::record_text::read(&text).unwrap();
        }
    }

    #[test]
    fn no_constraint_of_the_log_is_a_list_and_each_still_holds() {
        let mut conn = Connection::open_in_memory().unwrap();
        MIGRATIONS.to_latest(&mut conn).unwrap();
        conn.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        for table in ["attempts", "events"] {
            let sql = "SELECT sql FROM sqlite_schema WHERE name = ?1";
            let text: String = conn.query_row(sql, [table], |row| row.get(0)).unwrap();
            assert!(text.contains("CHECK (") && !text.contains(" IN ("), "{text}");
        }
        let sound: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(sound, "ok");
        let attempt = |status: &str, trigger: &str, error: Option<&str>| {
            let sql = "INSERT INTO attempts (app, endpoint, event, type, attempt, created_at, due_at, status, \
                       trigger, error_kind) VALUES (1, 1, 1, 1, 1, 0, 0, ?1, ?2, ?3)";
            conn.execute(sql, (status, trigger, error)).is_ok()
        };
        assert!(AttemptStatus::ALL.iter().all(|status| attempt(status.as_str(), "event", None)));
        assert!(Trigger::ALL.iter().all(|trigger| attempt("pending", trigger.as_str(), None)));
        assert!(ErrorKind::ALL.iter().all(|kind| attempt("failed", "event", Some(kind.as_str()))));
        assert!(!attempt("sent", "event", None) && !attempt("pending", "hook", None));
        assert!(!attempt("failed", "event", Some("bad")));
        let event = |origin: &str| {
            let sql = "INSERT INTO events (uid, app, type, origin, deliveries, created_at) \
                       VALUES (randomblob(16), 1, 1, ?1, 1, 0)";
            conn.execute(sql, [origin]).is_ok()
        };
        assert!([Origin::Client, Origin::System, Origin::Test].iter().all(|origin| event(origin.as_str())));
        assert!(!event("else"));
    }

    #[test]
    fn attempts_that_wait_for_a_retry_get_the_outcome_of_the_one_before() {
        let mut conn = Connection::open_in_memory().unwrap();
        let before = STEPS.len() - 1 - STEPS.iter().rev().position(|step| *step == DELIVERIES).unwrap();
        MIGRATIONS.to_version(&mut conn, before).unwrap();
        conn.execute_batch(
            "PRAGMA foreign_keys = OFF; \
             INSERT INTO attempts (id, first_id, app, endpoint, event, type, attempt, created_at, due_at, status, \
             trigger, error_kind, response_status) VALUES \
             (1, NULL, 1, 1, 1, 1, 1, 0, 0, 'failed', 'event', 'http_status', 503), \
             (2, 1, 1, 1, 1, 1, 2, 0, 0, 'pending', 'retry', NULL, NULL), \
             (3, NULL, 1, 1, 1, 1, 1, 0, 0, 'failed', 'event', 'http_status', 503), \
             (4, 3, 1, 1, 1, 1, 2, 0, 0, 'failed', 'retry', 'timeout', NULL), \
             (5, 3, 1, 1, 1, 1, 3, 0, 0, 'pending', 'retry', NULL, NULL), \
             (6, NULL, 1, 1, 1, 1, 1, 0, 0, 'pending', 'event', NULL, NULL)",
        )
        .unwrap();
        MIGRATIONS.to_latest(&mut conn).unwrap();
        let outcome = |id: i64| -> Option<i64> {
            let sql = "SELECT last_outcome FROM attempts WHERE id = ?1";
            conn.query_row(sql, [id], |row| row.get(0)).unwrap()
        };
        assert_eq!(
            [1, 2, 3, 4, 5, 6].map(outcome),
            [None, Some(5 << 14 | 503), None, None, Some(4 << 14), None]
        );
        let sound: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(sound, "ok");
        let sql = "SELECT id FROM attempts WHERE app = 1 AND class & 1023 = 503 AND status = 'pending'";
        assert_eq!(conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap(), 2);
    }
}
