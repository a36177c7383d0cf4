//! What only this storage promises: which indexes its queries use, and how the writer bears trouble.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::engine::command::{self, Tx};
use super::engine::{counts, migrations, pool};
use super::log::{day, event_list, events as single_events, health, overview, recent, statistics};
use super::people::keys;
use super::queue::{attempts, bulk_job_walk, bulk_jobs, events, filters, finish, pending, trouble};
use super::upkeep::{expired, retention};
use crate::domain::endpoint::EndpointSecret;
use crate::domain::{Activity, ActivityKind, AppId, Endpoint, EventType, Timestamp};
use crate::store::sqlite::engine::error::fault;
use crate::store::sqlite::engine::rows::{AppRow, EndpointRow, EventRow, TypeRow};
use crate::store::sqlite::{Options, SqliteStore};
use crate::store::{
    AppStore as _, EndpointStore as _, EventStore as _, LogStore as _, NewEvent, PageRequest,
    QueueStore as _, Result, Retried, Start, StatsStore as _, StoreError, Taken,
};

mod steps;

pub(super) fn now() -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000)
}

fn open(dir: &TempDir) -> Arc<SqliteStore> {
    SqliteStore::open(&dir.path().join("p.db"), Options::new(now())).unwrap()
}

fn event(payload: usize) -> NewEvent {
    NewEvent {
        event_type: EventType::parse("a.b").unwrap(),
        payload: vec![b'1'; payload].into(),
        resource_id: None,
        idempotency_key: None,
    }
}

async fn default_app(store: &SqliteStore) -> AppId {
    store.app_find("default").await.unwrap().unwrap().id
}

#[tokio::test]
async fn no_connection_trusts_what_its_file_contains() {
    fn is_distrustful(conn: &Connection) -> bool {
        let is_set = |config| conn.db_config(config).unwrap();
        !is_set(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA) && is_set(DbConfig::SQLITE_DBCONFIG_DEFENSIVE)
    }
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    assert!(store.write("looking", |tx| Ok(is_distrustful(tx))).await.unwrap(), "the writer");
    assert!(store.read("looking", |conn| Ok(is_distrustful(conn))).await.unwrap(), "a reader");
    let path = dir.path().join("p.db");
    assert!(is_distrustful(&pool::checkpointer(&path, Duration::ZERO).unwrap()), "the one of checkpoints");
    assert!(is_distrustful(&pool::reader(&path, Duration::ZERO).unwrap()), "one reader");
}

// ---------------------------------------------------------------------------------------------
// Query plans

fn plan(conn: &Connection, sql: &str) -> String {
    let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let values = vec![1; statement.parameter_count()];
    let lines = statement.query_map(rusqlite::params_from_iter(values), |row| row.get::<_, String>(3));
    lines.unwrap().map(|line| line.unwrap()).collect::<Vec<_>>().join("\n")
}

/// A plan that walks no big table from end to end, and sorts nothing.
#[track_caller]
fn assert_quick(conn: &Connection, sql: &str, index: &str) {
    let plan = plan(conn, sql);
    assert!(!plan.contains("TEMP B-TREE"), "{sql}\n{plan}");
    let walks = |line: &str| line.starts_with("SCAN") && !line.contains("INDEX") && line != "SCAN w";
    // Constants, the recursion itself and what another line has found: no table is touched.
    let harmless =
        |line: &str| line.contains("CONSTANT ROW") || line.contains("waiting") || line.contains("(subquery");
    let bad: Vec<&str> = plan.lines().filter(|line| walks(line) && !harmless(line)).collect();
    assert!(bad.is_empty(), "{sql}\n{plan}");
    assert!(plan.contains(index), "{sql}\nshould use {index}:\n{plan}");
}

#[tokio::test]
async fn the_hot_queries_use_their_indexes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let app = default_app(&store).await;
    store
        .read("testing", move |conn| {
            assert_quick(conn, pending::ENDPOINTS, "attempts_due");
            assert_quick(conn, pending::DUE, "attempts_due");
            assert_quick(conn, filters::FILTERS, "endpoints_filter");
            assert_quick(conn, pending::SINGLES, "attempts_single");
            assert_quick(conn, pending::URGENT, "attempts_urgent");
            assert_quick(conn, trouble::HELD, "attempts_held");
            assert_quick(conn, trouble::LATER, "attempts_due");
            assert_quick(conn, trouble::OVERDUE, "endpoints_on_hold");
            assert_quick(conn, trouble::OVERDUE, "attempts_held");
            assert_quick(conn, trouble::IS_OVERDUE, "SEARCH t USING INTEGER PRIMARY KEY");
            assert_quick(conn, trouble::CONDITION, "USING INTEGER PRIMARY KEY");
            assert_quick(conn, bulk_job_walk::PASSED, "USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)");
            assert_quick(conn, pending::LOAD, "SEARCH t USING INTEGER PRIMARY KEY");
            assert_quick(conn, pending::OLDEST, "attempts_due");
            assert_quick(conn, pending::OLDEST_SINGLE, "attempts_single");
            assert_quick(conn, pending::LOST, "attempts_due");
            assert_quick(conn, pending::LOST_SINGLES, "attempts_single");
            assert_quick(conn, pending::LOST_BULK, "jobs_ending");
            assert_quick(conn, pending::LOST_BULK, "attempts_job");
            assert_quick(conn, bulk_jobs::WALKING, "jobs_walking");
            assert_quick(conn, bulk_jobs::IS_WALKING, "jobs_walking");
            assert_quick(conn, &bulk_jobs::get_sql("j.uid = ?1 AND j.app = ?2"), "sqlite_autoindex_jobs_1");
            assert_quick(conn, &bulk_jobs::get_sql(bulk_jobs::LIST), "jobs_app");
            assert_quick(
                conn,
                bulk_job_walk::EXHAUSTED,
                "attempts_exhausted (app=? AND rowid>? AND rowid<?)",
            );
            assert_quick(
                conn,
                bulk_job_walk::EVENTS,
                "events_created (app=? AND created_at>? AND created_at<?)",
            );
            assert_quick(conn, &bulk_job_walk::states_sql(), "attempts_event");
            for condition in ["app = ?", "endpoint = ? AND +type IN (1, 2)"] {
                let sql = bulk_job_walk::meant_sql(condition);
                assert_quick(conn, &sql, "SEARCH attempts USING INTEGER PRIMARY KEY (rowid=?)");
            }
            assert_quick(conn, pending::DEPTH, "attempts_due");
            assert_quick(conn, counts::ADVANCE, "USING INTEGER PRIMARY KEY");
            assert_quick(conn, counts::LAST, "USING INTEGER PRIMARY KEY");
            assert_quick(conn, finish::ENDPOINT_STATE, "USING INTEGER PRIMARY KEY");
            assert_quick(conn, attempts::CLEAR_FIRST, "USING INTEGER PRIMARY KEY");
            assert_quick(conn, attempts::CLEAR_LATER, "attempts_first");
            assert_quick(conn, &attempts::GET, "USING INTEGER PRIMARY KEY");
            assert_quick(conn, &attempts::newest_sql(), "attempts_first");
            assert_quick(conn, &attempts::of_delivery_sql(), "attempts_first");
            assert_quick(conn, &attempts::of_event_sql(), "attempts_event");
            assert_quick(conn, attempts::LIST_ROW, "SEARCH t USING INTEGER PRIMARY KEY");
            assert_quick(conn, single_events::GET, "sqlite_autoindex_events_1");
            assert_quick(conn, events::KEY_LOOKUP, "SEARCH i USING PRIMARY KEY");
            assert_quick(conn, recent::FIRSTS, "attempts_endpoint");
            assert_quick(conn, recent::LATER, "attempts_first");
            assert_quick(conn, event_list::ROW, "SEARCH v USING INTEGER PRIMARY KEY");
            assert_quick(conn, single_events::TYPES, "sqlite_autoindex_event_types_1");
            assert_quick(conn, keys::GET, "sqlite_autoindex_keys_1");
            let _ = app;
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn statistics_and_retention_walk_no_log() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    store
        .read("testing", move |conn| {
            for sql in [statistics::LAST_OF_CLASS, statistics::FIRST_OF_CLASS] {
                assert_quick(
                    conn,
                    sql,
                    "attempts_endpoint_attempted (endpoint=? AND class=? AND attempted_at>?",
                );
            }
            for sql in [day::WINDOW, day::WINDOW_COUNTS] {
                assert_quick(conn, sql, "SEARCH rollups USING PRIMARY KEY (endpoint=? AND hour>");
            }
            assert_quick(
                conn,
                health::DEGRADED_SINCE,
                "SEARCH minutes USING PRIMARY KEY (endpoint=? AND minute>",
            );
            for sql in [health::ONE, health::OF_APP] {
                assert_quick(conn, sql, "SEARCH t USING INTEGER PRIMARY KEY");
            }
            for sql in statistics::STATUSES {
                let plan = plan(conn, sql);
                let search = "SEARCH r USING PRIMARY KEY (endpoint=? AND hour>";
                assert!(plan.contains(search) && !plan.contains("SCAN"), "{sql}\n{plan}");
            }
            assert_quick(conn, statistics::TOTALS[0], "SEARCH t USING INTEGER PRIMARY KEY");
            assert_quick(conn, statistics::TOTALS[1], "SEARCH t USING INTEGER PRIMARY KEY");
            for (sums, times) in [statistics::BY_MINUTE, statistics::BY_HOUR].concat() {
                for sql in [sums, times] {
                    let plan = plan(conn, sql);
                    assert!(plan.contains("SEARCH r USING PRIMARY KEY (endpoint=? AND"), "{sql}\n{plan}");
                }
            }
            for sql in [overview::COUNT_DUE, overview::OLDEST_DUE] {
                let plan = plan(conn, sql);
                assert!(plan.contains("attempts_due (endpoint=? AND bulk=?"), "{sql}\n{plan}");
                assert!(plan.contains("attempts_single") && !plan.contains("SCAN t\n"), "{sql}\n{plan}");
            }
            assert_quick(conn, overview::HOURS, "SEARCH r USING PRIMARY KEY (endpoint=? AND hour>");
            assert_quick(conn, overview::OUTCOMES, "attempts_event (event=?)");
            assert_quick(conn, expired::WALK_ATTEMPTS, "USING INTEGER PRIMARY KEY (rowid>?)");
            for sql in [expired::DELETE_SINGLE, expired::WITH_RETRIES] {
                assert_quick(conn, sql, "USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)");
                assert_quick(conn, sql, "attempts_first (first_id=?)");
            }
            assert_quick(conn, expired::DELETE_LATER, "attempts_first");
            assert_quick(conn, expired::DELETE_FIRST, "USING INTEGER PRIMARY KEY");
            assert_quick(conn, expired::NEXT_ATTEMPT, "USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)");
            assert_quick(conn, expired::WALK_EVENTS, "USING INTEGER PRIMARY KEY (rowid>?)");
            assert_quick(conn, expired::WALK_APP, "events_app (app=? AND rowid>?)");
            assert_quick(conn, expired::NEXT_EVENT, "USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)");
            assert_quick(conn, expired::NEXT_OF_APP, "(app=? AND rowid>? AND rowid<?)");
            for sql in expired::REMOVE_EVENTS {
                assert_quick(conn, sql, "USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)");
                assert_quick(conn, sql, "attempts_event (event=?)");
            }
            for sql in expired::REMOVE_OF_APP {
                assert_quick(conn, sql, "events_app (app=? AND rowid>? AND rowid<?)");
            }
            assert_quick(conn, expired::REMOVE_EVENTS[0], "idempotency_created (created_at=?)");
            assert_quick(conn, expired::OLDEST_PAYLOAD, "events_app (app=?)");
            assert_quick(conn, expired::IS_REFERRED_TO, "attempts_event");
            assert_quick(conn, expired::HAS_KEY, "idempotency_created");
            assert_quick(conn, expired::EXPIRED_KEYS, "idempotency_created");
            assert_quick(conn, retention::DELETE_MINUTES, "PRIMARY KEY (endpoint=? AND minute<?)");
            assert_quick(conn, retention::DELETE_TIMES, "PRIMARY KEY (endpoint=? AND minute<?)");
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn what_is_undone_is_not_counted() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let app = default_app(&store).await;
    store.endpoint_insert(endpoint(app), u32::MAX, activity()).await.unwrap();
    let insert = |fail: bool| {
        store.write("adding", move |tx| {
            let new = attempts::NewAttempt {
                first: None,
                before: None,
                app: AppRow(1),
                endpoint: EndpointRow(1),
                event: EventRow(1),
                kind: TypeRow(1),
                trigger: crate::domain::Trigger::Event,
                attempt: 1,
                budget: crate::domain::Budget::Single,
                created_at: now(),
                due_at: now(),
                job: None,
                held_since: None,
            };
            attempts::insert(tx, &new)?;
            if fail { Err(fault("on purpose")) } else { Ok(()) }
        })
    };
    store.event_insert(app, vec![event(1)], now()).await.unwrap();
    let (good, bad, again) = tokio::join!(insert(false), insert(true), insert(false));
    assert!(good.is_ok() && bad.is_err() && again.is_ok());
    let totals = store.stats_totals(app, None).await.unwrap();
    assert_eq!((totals.deliveries, totals.pending), (3, 3));
}

// ---------------------------------------------------------------------------------------------
// The writer

#[tokio::test]
async fn a_command_that_fails_or_panics_undoes_only_itself() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let app = default_app(&store).await;
    let add = |name: &'static str| {
        store.write("adding", move |tx| {
            tx.execute("INSERT INTO apps (uid, name, created_at) VALUES (randomblob(16), ?1, 0)", [name])
        })
    };
    let fail = store.write::<(), _>("failing", |tx| {
        tx.execute("UPDATE apps SET name = 'spoilt ' || id", [])?;
        Err(fault("on purpose"))
    });
    let panic = store.write::<(), _>("panicking", |tx| {
        tx.execute("UPDATE apps SET name = 'spoilt ' || id", [])?;
        panic!("on purpose")
    });
    let (a, failed, b, panicked, c) = tokio::join!(add("a"), fail, add("b"), panic, add("c"));
    assert_eq!((a.unwrap(), b.unwrap(), c.unwrap()), (1, 1, 1));
    assert!(matches!(failed, Err(StoreError::Failed { doing: "failing", .. })));
    assert!(matches!(panicked, Err(StoreError::Failed { doing: "panicking", .. })));
    let names: Vec<String> = store.app_list().await.unwrap().into_iter().map(|app| app.name).collect();
    assert_eq!(names, ["a", "b", "c", "default"]);
    store.event_insert(app, vec![event(1)], now()).await.unwrap();
}

/// Holds the writer until the returned sender is dropped.
async fn hold(
    store: &Arc<SqliteStore>,
) -> (std::sync::mpsc::Sender<()>, tokio::task::JoinHandle<Result<()>>) {
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let (started, running) = oneshot::channel();
    let holder = store.clone();
    let task = tokio::spawn(async move {
        let work = move |_: &mut Tx<'_>| {
            let _ = started.send(());
            let _ = wait.recv();
            Ok(())
        };
        holder.write("holding", work).await
    });
    running.await.unwrap();
    (release, task)
}

#[tokio::test]
async fn of_commands_that_share_a_savepoint_only_those_that_fail_are_undone() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let app = default_app(&store).await;
    let runs = Arc::new(AtomicUsize::new(0));
    let add = |name: &'static str| {
        let runs = runs.clone();
        store.ask(command::repeatable("adding", move |tx| {
            runs.fetch_add(1, Ordering::Relaxed);
            tx.execute("INSERT INTO apps (uid, name, created_at) VALUES (randomblob(16), ?1, 0)", [name])?;
            tx.next_result_seq(AppRow(1))
        }))
    };
    let spoil = |panics: bool| {
        store.ask(command::repeatable("spoiling", move |tx| {
            tx.execute("UPDATE apps SET name = 'spoilt ' || id", [])?;
            tx.next_result_seq(AppRow(1))?;
            if panics { panic!("on purpose") } else { Err::<(), _>(fault("on purpose")) }
        }))
    };
    let post = || store.event_insert(app, vec![event(1)], now());
    // All of them wait for the writer, and so are in one group.
    let (release, held) = hold(&store).await;
    let release = async { drop(release) };
    let (a, failed, first, b, panicked, second, c, ()) =
        tokio::join!(add("a"), spoil(false), post(), add("b"), spoil(true), post(), add("c"), release);
    held.await.unwrap().unwrap();
    assert!(failed.is_err() && panicked.is_err() && first.is_ok() && second.is_ok());
    assert_eq!((a.unwrap(), b.unwrap(), c.unwrap()), (1, 2, 3), "positions without a gap");
    assert_eq!(runs.load(Ordering::Relaxed), 4, "only `a` had run when the first one failed");
    let names: Vec<String> = store.app_list().await.unwrap().into_iter().map(|app| app.name).collect();
    assert_eq!(names, ["a", "b", "c", "default"]);
    let first_page = PageRequest { start: Start::Page(1), per_page: 10 };
    let types = store.event_type_list(app, first_page).await.unwrap();
    assert_eq!(types.rows.iter().map(|row| row.count).collect::<Vec<_>>(), [2]);
}

#[tokio::test]
async fn clients_are_refused_when_too_much_waits_and_results_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { queue: 2, queue_bytes: 1_000, ..Options::new(now()) };
    let store = SqliteStore::open(&dir.path().join("p.db"), options).unwrap();
    let app = default_app(&store).await;
    let (release, held) = hold(&store).await;
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.event_insert(app, vec![event(1)], now()).await })
        })
        .collect();
    while store.inbox.capacity() > 0 {
        tokio::task::yield_now().await;
    }
    let refused = store.event_insert(app, vec![event(1)], now()).await;
    assert!(matches!(refused, Err(StoreError::Overloaded)));
    let patient = {
        let store = store.clone();
        tokio::spawn(async move { store.write_patiently("writing a result", |_| Ok(())).await })
    };
    tokio::task::yield_now().await;
    assert!(!patient.is_finished());
    drop(release);
    held.await.unwrap().unwrap();
    patient.await.unwrap().unwrap();
    for task in waiting {
        task.await.unwrap().unwrap();
    }
    store.event_insert(app, vec![event(2_000)], now()).await.expect("one large event passes alone");
}

#[tokio::test]
async fn events_that_wait_may_not_fill_memory() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { queue_bytes: 1_000, ..Options::new(now()) };
    let store = SqliteStore::open(&dir.path().join("p.db"), options).unwrap();
    let app = default_app(&store).await;
    let (release, held) = hold(&store).await;
    let waiting = {
        let store = store.clone();
        tokio::spawn(async move { store.event_insert(app, vec![event(900)], now()).await })
    };
    while store.waiting_bytes.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    let refused = store.event_insert(app, vec![event(900)], now()).await;
    assert!(matches!(refused, Err(StoreError::Overloaded)));
    drop(release);
    held.await.unwrap().unwrap();
    waiting.await.unwrap().unwrap();
    assert_eq!(store.waiting_bytes.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_full_disk_is_told_apart_and_writing_goes_on_when_there_is_space() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let app = default_app(&store).await;
    let limit = |pages: i64| {
        store.write("limiting", move |tx| {
            tx.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |row| row.get::<_, i64>(0))
        })
    };
    limit(60).await.unwrap();
    let full = store.event_insert(app, vec![event(400_000)], now()).await;
    assert!(matches!(full, Err(StoreError::Full)), "{full:?}");
    store.ping().await.unwrap();
    limit(1_000_000).await.unwrap();
    store.event_insert(app, vec![event(400_000)], now()).await.unwrap();
}

#[tokio::test]
async fn checkpoints_keep_the_wal_small() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let app = default_app(&store).await;
    for _ in 0..400 {
        store.event_insert(app, vec![event(200_000)], now()).await.unwrap();
    }
    let wal = std::fs::metadata(dir.path().join("p.db-wal")).unwrap().len();
    // 1,000 pages until the first of three passes, 4,000 that may come during each, and an event.
    assert!(wal < (13_000 * 4_120) + (1 << 20), "{wal} bytes");
    store.close().await;
    assert!(!dir.path().join("p.db-wal").exists());
}

#[tokio::test]
async fn reads_cannot_write() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let tried = store.read("testing", |conn| conn.execute("DELETE FROM apps", [])).await;
    assert!(matches!(tried, Err(StoreError::Failed { .. })));
}

#[cfg(unix)]
#[tokio::test]
async fn the_files_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    for name in ["p.db", "p.db-wal", "p.db-shm"] {
        let mode = std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    store.close().await;
}

#[tokio::test]
async fn what_is_answered_with_ok_is_there_even_when_the_disk_fills_up_within_a_commit() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let app = default_app(&store).await;
    store.write("limiting", |tx| tx.query_row("PRAGMA max_page_count = 300", [], |_| Ok(()))).await.unwrap();
    let (release, held) = hold(&store).await;
    let tasks: Vec<_> = (0..40)
        .map(|i| {
            let store = store.clone();
            let size = if i % 4 == 0 { 300_000 } else { 10 };
            tokio::spawn(async move { store.event_insert(app, vec![event(size)], now()).await })
        })
        .collect();
    while store.inbox.capacity() > 4_096 - 40 {
        tokio::task::yield_now().await;
    }
    drop(release);
    held.await.unwrap().unwrap();
    let (mut taken, mut full) = (0, 0);
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => taken += 1,
            Err(StoreError::Full) => full += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(full > 0 && taken > 0, "{taken} taken, {full} refused");
    let sql = "SELECT count(*) FROM events";
    let kept = store.read("counting", move |conn| conn.query_row(sql, [], |row| row.get::<_, i64>(0)));
    assert_eq!(kept.await.unwrap(), taken);
}

// ---------------------------------------------------------------------------------------------
// What the traits cannot show

fn endpoint(app: AppId) -> Endpoint {
    Endpoint::sample(app, now())
}

fn activity() -> Activity {
    Activity {
        kind: ActivityKind::EndpointChanged,
        app_id: None,
        actor: String::new(),
        address: None,
        summary: String::new(),
        details: serde_json::Value::Null,
        created_at: now(),
    }
}

#[tokio::test]
async fn a_deleted_endpoint_keeps_no_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let mut endpoint = endpoint(default_app(&store).await);
    let sealed = endpoint.secret.clone();
    endpoint.settings.secrets = vec![EndpointSecret { name: "token".to_owned(), sealed }];
    store.endpoint_insert(endpoint.clone(), u32::MAX, activity()).await.unwrap();
    assert_eq!(store.endpoint_get(endpoint.app_id, endpoint.id).await.unwrap().as_ref(), Some(&endpoint));
    assert!(store.endpoint_delete(endpoint.app_id, endpoint.id, now(), activity()).await.unwrap());
    let columns = store.read("looking", |conn| {
        conn.query_row(
            "SELECT secret, headers, retired_secrets, url FROM endpoints WHERE secrets IS NULL",
            [],
            |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
        )
    });
    let columns: (Vec<u8>, String, String, String) = columns.await.unwrap();
    assert_eq!(columns, (vec![], "[]".to_owned(), "[]".to_owned(), endpoint.settings.url));
}

#[tokio::test]
async fn an_event_without_its_payload_is_neither_sent_nor_retried_nor_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let app = default_app(&store).await;
    store.endpoint_insert(endpoint(app), u32::MAX, activity()).await.unwrap();
    let Taken::All(taken) = store.event_insert(app, vec![event(1)], now()).await.unwrap() else {
        panic!("there is no key")
    };
    let id = taken[0].queued[0].attempt_id;
    store.write("retaining", |tx| tx.execute("UPDATE events SET payload = NULL", [])).await.unwrap();
    assert!(store.queue_load(vec![id]).await.unwrap().is_empty());
    store.write("ending", |tx| tx.execute("UPDATE attempts SET status = 'cancelled'", [])).await.unwrap();
    assert_eq!(store.attempt_retry(app, id, vec![], now(), activity()).await.unwrap(), Retried::EventGone);
    assert_eq!(store.event_get(app, taken[0].event.id).await.unwrap(), None);
    assert!(store.attempt_get(app, id).await.unwrap().is_some());
}

#[tokio::test]
async fn the_file_is_set_up_for_safety_and_for_giving_space_back() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let store = open(&dir);
        let settings = store.write("looking", |tx| {
            let number = |name| tx.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
            let mode: String = tx.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
            Ok((mode, number("synchronous")?, number("foreign_keys")?, number("auto_vacuum")?))
        });
        assert_eq!(settings.await.unwrap(), ("wal".to_owned(), 2, 1, 2));
        store.close().await;
    }
}

#[tokio::test]
async fn closing_does_not_wait_for_another_process_and_does_not_hold_it_up() {
    let dir = tempfile::tempdir().unwrap();
    let server = open(&dir);
    let app = default_app(&server).await;
    let beside = open(&dir);
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let (started, running) = oneshot::channel();
    let reader = server.clone();
    let reading = tokio::spawn(async move {
        let work = move |conn: &Connection| {
            conn.query_row("SELECT count(*) FROM apps", [], |row| row.get::<_, i64>(0))?;
            let _ = started.send(());
            let _ = wait.recv();
            Ok(())
        };
        reader.read("reading for long", work).await
    });
    running.await.unwrap();
    server.event_insert(app, vec![event(1)], now()).await.unwrap();
    // With a reader in the way, a checkpoint that waits would wait for it until its time is up.
    tokio::time::timeout(Duration::from_secs(5), beside.close()).await.expect("it ends at once");
    server.event_insert(app, vec![event(1)], now()).await.unwrap();
    drop(release);
    reading.await.unwrap().unwrap();
}

// ---------------------------------------------------------------------------------------------
// Upgrades

#[tokio::test]
async fn a_database_of_an_older_program_is_copied_before_it_is_migrated() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p.db");
    let mut conn = Connection::open(&path).unwrap();
    conn.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).unwrap();
    migrations::MIGRATIONS.to_version(&mut conn, 2).unwrap();
    conn.execute("INSERT INTO apps (uid, name, created_at) VALUES (x'00', 'kept', 1)", []).unwrap();
    drop(conn);
    for _ in 0..2 {
        open(&dir).close().await;
    }
    let version =
        |conn: &Connection| -> i64 { conn.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap() };
    assert_eq!(version(&Connection::open(&path).unwrap()), migrations::KNOWN);
    let copy = Connection::open(dir.path().join("p.db.v2")).unwrap();
    let name: String = copy.query_row("SELECT name FROM apps", [], |row| row.get(0)).unwrap();
    assert_eq!((version(&copy), name.as_str()), (2, "kept"));
    let files = std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().file_name());
    let copies = files.filter(|name| name.to_string_lossy().contains(".v")).count();
    assert_eq!(copies, 1, "nothing is copied without need, and nothing is left half done");
}
