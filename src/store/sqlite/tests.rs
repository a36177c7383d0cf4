//! What only this storage promises: which indexes its queries use, and how the writer bears trouble.

use std::sync::Arc;

use rusqlite::Connection;
use tempfile::TempDir;

use super::error::fault;
use super::*;
use crate::domain::AppId;
use crate::domain::event::EventType;
use crate::store::{
    AppStore as _, AttemptFilter, EventStore as _, LogKey, NewEvent, Sort, SortValue, StatsStore as _,
};

fn now() -> Timestamp {
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
            assert_quick(conn, queue::ENDPOINTS, "attempts_due");
            assert_quick(conn, queue::DUE, "attempts_due");
            assert_quick(conn, queue::SINGLES, "attempts_single");
            assert_quick(conn, queue::LOAD, "SEARCH t USING INTEGER PRIMARY KEY");
            assert_quick(conn, queue::LOST, "attempts_due");
            assert_quick(conn, queue::LOST_SINGLES, "attempts_single");
            assert_quick(conn, queue::DEPTH, "attempts_due");
            assert_quick(conn, finish::TARGET, "USING INTEGER PRIMARY KEY");
            assert_quick(conn, attempts::CLEAR_FIRST, "USING INTEGER PRIMARY KEY");
            assert_quick(conn, attempts::CLEAR_LATER, "attempts_first");
            assert_quick(conn, &attempts::get_sql(), "USING INTEGER PRIMARY KEY");
            assert_quick(conn, &attempts::newest_sql(), "attempts_first");
            assert_quick(conn, &attempts::of_delivery_sql(), "attempts_first");
            assert_quick(conn, &attempts::of_event_sql(), "attempts_event");
            assert_quick(conn, attempts::LIST_ROW, "SEARCH t USING INTEGER PRIMARY KEY");
            assert_quick(conn, events::GET, "sqlite_autoindex_events_1");
            assert_quick(conn, events::KEY_LOOKUP, "SEARCH i USING PRIMARY KEY");
            assert_quick(conn, &events::list_sql("v.app = ? AND v.origin <> 'test'"), "events_app");
            assert_quick(conn, &events::list_sql("v.app = ? AND v.id < ?"), "events_app");
            assert_quick(conn, keys::GET, "sqlite_autoindex_keys_1");
            let _ = app;
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn the_default_order_of_the_log_needs_no_sorting() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    store
        .read("testing", move |conn| {
            conn.query_row("SELECT id FROM apps", [], |row| row.get::<_, i64>(0))?;
            let exhausted = AttemptFilter {
                status: vec![crate::domain::AttemptStatus::Exhausted],
                ..AttemptFilter::default()
            };
            let after = LogKey { id: crate::domain::AttemptId(9), value: SortValue::Null };
            for (filter, index) in
                [(AttemptFilter::default(), "attempts_app (app=?"), (exhausted, "attempts_exhausted (app=?")]
            {
                let wanted = log_query::Wanted::of(conn, 1, &filter)?.unwrap();
                for after in [None, Some(&after)] {
                    assert_quick(conn, &wanted.find(Sort::default(), after, 51, 0).0, index);
                }
                assert_quick(conn, &wanted.count().0, index);
            }
            let one = log_query::Wanted::of_endpoint(1);
            for after in [None, Some(&after)] {
                let sql = one.find(Sort::default(), after, 51, 0).0;
                assert_quick(conn, &sql, "attempts_endpoint (endpoint=?");
            }
            Ok(())
        })
        .await
        .unwrap();
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
    for _ in 0..60 {
        store.event_insert(app, vec![event(200_000)], now()).await.unwrap();
    }
    let wal = std::fs::metadata(dir.path().join("p.db-wal")).unwrap().len();
    assert!(wal < 8 << 20, "{wal} bytes");
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
