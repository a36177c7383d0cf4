//! Events for very many endpoints, long transactions, and header values that are stored once.

use std::collections::HashSet;
use std::path::Path;

use futures_util::future::{Either, join_all, select};
use rusqlite::Connection;

use super::*;
use crate::domain::attempts::attempt::{ErrorKind, Failure, Request};
use crate::domain::attempts::hold::DisableRules;
use crate::domain::{App, AttemptId, Headers, Outcome};
use crate::store::sqlite::queue::fan_outs::AT_ONCE;
use crate::store::{Accepted, FinishRules, RetentionStore as _, SentAs, StepLimit};

const ENDPOINTS: usize = 120;
const EVENTS: usize = 60;

async fn add_endpoints(store: &SqliteStore, app: AppId, count: usize) -> Vec<Endpoint> {
    let all: Vec<_> = (0..count).map(|_| endpoint(app)).collect();
    let inserted = all.iter().map(|endpoint| store.endpoint_insert(endpoint.clone(), u32::MAX, activity()));
    assert!(join_all(inserted).await.into_iter().all(|inserted| inserted.unwrap()));
    all
}

fn batch(count: usize) -> Vec<NewEvent> {
    (0..count).map(|_| event(1)).collect()
}

fn all_of(taken: Result<Taken>) -> Vec<Accepted> {
    match taken.unwrap() {
        Taken::All(all) => all,
        conflict => panic!("{conflict:?}"),
    }
}

async fn another_app(store: &SqliteStore) -> AppId {
    let app = App { id: AppId::new(now()), name: "another".to_owned(), created_at: now() };
    assert!(store.app_insert(app.clone(), activity()).await.unwrap());
    app.id
}

fn number(path: &Path, sql: &str) -> i64 {
    Connection::open(path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn another_app_does_not_wait_for_a_batch_to_very_many_endpoints() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let app = default_app(&store).await;
    let endpoints = add_endpoints(&store, app, ENDPOINTS).await;
    let other = another_app(&store).await;
    add_endpoints(&store, other, 1).await;
    const { assert!(ENDPOINTS * EVENTS > 5 * AT_ONCE) };
    let large = Box::pin(store.event_insert(app, batch(EVENTS), now()));
    let small = Box::pin(store.event_insert(other, batch(1), now()));
    let Either::Right((small, large)) = select(large, small).await else {
        panic!("the other app's event waited for all of the batch")
    };
    assert_eq!(all_of(small)[0].queued.len(), 1);
    let large = all_of(large.await);
    assert_eq!(large.len(), EVENTS);
    let ids: HashSet<_> = endpoints.iter().map(|endpoint| endpoint.id).collect();
    for accepted in &large {
        assert_eq!(accepted.event.deliveries as usize, ENDPOINTS);
        let queued: HashSet<_> = accepted.queued.iter().map(|queued| queued.endpoint_id).collect();
        assert_eq!((queued == ids, accepted.queued.len()), (true, ENDPOINTS));
    }
    let depth = store.queue_depth(u64::MAX).await.unwrap();
    assert_eq!(depth as usize, ENDPOINTS * EVENTS + 1);
    assert_eq!(store.meters().queue_depth.get() as usize, ENDPOINTS * EVENTS + 1);
    let log = store.stats_totals_of(app).await;
    assert_eq!(log as usize, ENDPOINTS * EVENTS);
}

impl SqliteStore {
    /// Deliveries of an app by its statistics.
    async fn stats_totals_of(&self, app: AppId) -> u64 {
        let sql = "SELECT sum(deliveries) FROM totals t JOIN endpoints e ON e.id = t.endpoint JOIN apps a \
                   ON a.id = e.app WHERE a.uid = ?1";
        let sum =
            self.read("summing", move |conn| conn.query_row(sql, [app], |row| row.get::<_, Option<i64>>(0)));
        sum.await.unwrap().unwrap_or_default() as u64
    }
}

#[tokio::test]
async fn endpoints_that_change_meanwhile_get_what_they_would_have_got() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let app = default_app(&store).await;
    let endpoints = add_endpoints(&store, app, ENDPOINTS).await;
    // The app's filters are known, so that the post reaches the writer before the deletion.
    store.verdicts(app, &[], || None, now()).await.unwrap();
    let post = Box::pin(store.event_insert(app, batch(EVENTS), now()));
    let delete = Box::pin(store.endpoint_delete(app, endpoints[0].id, now(), activity()));
    let (taken, deleted) = tokio::join!(post, delete);
    assert!(deleted.unwrap());
    assert!(all_of(taken).iter().all(|accepted| accepted.event.deliveries as usize == ENDPOINTS));
    let depth = store.queue_depth(u64::MAX).await.unwrap();
    assert_eq!(depth as usize, ENDPOINTS * EVENTS, "what a deleted endpoint has pending is cancelled later");
    let mut cancelled = 0;
    loop {
        match store.queue_cancel(1_000).await.unwrap() {
            0 => break,
            n => cancelled += n as usize,
        }
    }
    assert_eq!(cancelled, EVENTS);
}

#[tokio::test]
async fn a_crash_between_the_steps_loses_no_delivery_and_repeats_none() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let app = default_app(&store).await;
    add_endpoints(&store, app, ENDPOINTS).await;
    let posting = tokio::spawn({
        let store = store.clone();
        async move { store.event_insert(app, batch(EVENTS), now()).await }
    });
    let path = dir.path().join("p.db");
    while number(&path, "SELECT count(*) FROM fan_outs WHERE next > 0") == 0 {
        assert!(!posting.is_finished(), "there was no moment between two steps");
        tokio::task::yield_now().await;
    }
    // What a power cut would leave.
    let crashed = tempfile::tempdir().unwrap();
    for file in ["p.db", "p.db-wal"] {
        std::fs::copy(dir.path().join(file), crashed.path().join(file)).unwrap();
    }
    drop((posting, store));
    let path = crashed.path().join("p.db");
    assert!(number(&path, "SELECT count(*) FROM fan_outs") > 0);
    assert_eq!(
        number(&path, "SELECT count(*) FROM events") as usize,
        EVENTS,
        "the batch is there as a whole"
    );
    let store = open(&crashed);
    while number(&path, "SELECT count(*) FROM fan_outs") > 0 {
        tokio::task::yield_now().await;
    }
    let wanted = (ENDPOINTS * EVENTS) as i64;
    assert_eq!(number(&path, "SELECT count(*) FROM attempts"), wanted);
    let pairs =
        "SELECT count(*) FROM (SELECT DISTINCT event, endpoint FROM attempts WHERE status = 'pending')";
    assert_eq!(number(&path, pairs), wanted);
    store.close().await;
}

#[tokio::test]
async fn a_closed_store_lets_go_whoever_waits_for_a_batch() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let app = default_app(&store).await;
    add_endpoints(&store, app, ENDPOINTS).await;
    // The app's filters are known, so that the post reaches the writer before the end.
    store.verdicts(app, &[], || None, now()).await.unwrap();
    let (taken, ()) = tokio::join!(store.event_insert(app, batch(EVENTS), now()), store.close());
    assert_eq!(all_of(taken).len(), EVENTS, "it had been accepted");
    let store = open(&dir);
    let path = dir.path().join("p.db");
    while number(&path, "SELECT count(*) FROM fan_outs") > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(number(&path, "SELECT count(*) FROM attempts") as usize, ENDPOINTS * EVENTS);
    store.close().await;
}

#[tokio::test]
async fn many_commands_do_not_become_one_long_transaction() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let app = default_app(&store).await;
    add_endpoints(&store, app, ENDPOINTS).await;
    let (release, held) = hold(&store).await;
    let commits = || store.meters().group_size.read().count;
    let before = commits();
    let posts = join_all((0..200).map(|_| store.event_insert(app, batch(1), now())));
    let (posts, ()) = tokio::join!(posts, async { drop(release) });
    held.await.unwrap().unwrap();
    assert!(posts.into_iter().all(|taken| all_of(taken)[0].queued.len() == ENDPOINTS));
    assert!(commits() - before >= 3, "24,000 rows were written in {} transactions", commits() - before);
}

fn outcome(headers: &[(&str, &str)]) -> Arc<Outcome> {
    let headers: Headers = headers.iter().copied().collect();
    Arc::new(Outcome {
        attempted_at: Some(now()),
        finished_at: now(),
        response_time_ms: None,
        request: Some(Request { method: None, url: "http://x/".to_owned(), headers, body: None }),
        response: None,
        failure: None,
        not_before: None,
        route: None,
        is_final: false,
    })
}

async fn finish(store: &SqliteStore, id: AttemptId, outcome: Arc<Outcome>) {
    let rules = FinishRules {
        rules: crate::domain::attempts::transition::Rules {
            circuit_failures: 0,
            disable: DisableRules { failures: 0, after_ms: 0 },
            hold_at_most_ms: 0,
            jitter: 0.0,
            unit: 0.0,
        },
        default_schedule: Arc::new(crate::domain::attempts::retry::Schedule::new(vec![]).unwrap()),
    };
    store.attempt_finish(id, outcome, rules, SentAs::in_epoch(crate::domain::Epoch::FIRST)).await.unwrap();
}

#[tokio::test]
async fn long_header_values_are_stored_once_and_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let app = default_app(&store).await;
    add_endpoints(&store, app, 1).await;
    let (first, second) = ("a".repeat(8_000), "b".repeat(8_000));
    let signature = "v1,".repeat(200);
    let headers =
        [("webhook-signature", &*signature), ("x-first", &*first), ("accept", "*/*"), ("x-second", &*second)];
    let mut ids = Vec::new();
    for accepted in all_of(store.event_insert(app, batch(30), now()).await) {
        ids.push(accepted.queued[0].attempt_id);
        finish(&store, accepted.queued[0].attempt_id, outcome(&headers)).await;
    }
    for id in [ids[0], ids[29]] {
        let request = store.attempt_get(app, id).await.unwrap().unwrap().request.unwrap();
        assert_eq!(request.headers.iter().collect::<Vec<_>>(), headers);
    }
    let path = dir.path().join("p.db");
    assert_eq!(number(&path, "SELECT count(*) FROM header_values"), 2);
    let longest = number(&path, "SELECT max(length(request_headers)) FROM attempt_details") as usize;
    assert!(longest < signature.len() + 100, "{longest}");

    assert_eq!(store.retention_header_values(10).await.unwrap().removed, 0, "the log refers to them");
    store.retention_attempts(0, now().plus_ms(1), StepLimit::rows(100)).await.unwrap();
    assert_eq!(number(&path, "SELECT count(*) FROM attempts"), 0);
    assert_eq!(store.retention_header_values(10).await.unwrap().removed, 2);
}

#[tokio::test]
async fn what_another_program_changes_about_an_endpoint_counts_for_the_next_result() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let app = default_app(&store).await;
    add_endpoints(&store, app, 1).await;
    let failed = Arc::new(Outcome {
        failure: Some(Failure { kind: ErrorKind::HttpStatus, message: "HTTP 500".to_owned() }),
        ..(*outcome(&[])).clone()
    });
    let end_one = async |outcome| {
        let accepted = all_of(store.event_insert(app, batch(1), now()).await).remove(0);
        finish(&store, accepted.queued[0].attempt_id, outcome).await;
    };
    let rows = || number(&dir.path().join("p.db"), "SELECT count(*) FROM attempts");
    end_one(outcome(&[])).await;
    let other = Connection::open(dir.path().join("p.db")).unwrap();
    other.execute("UPDATE endpoints SET retry_schedule = '1m'", []).unwrap();
    end_one(failed).await;
    assert_eq!(rows(), 3, "the failure has a retry");
}

#[tokio::test]
async fn an_event_that_is_still_written_in_steps_is_not_swept() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let app = default_app(&store).await;
    all_of(store.event_insert(app, batch(1), now()).await);
    let conn = Connection::open(dir.path().join("p.db")).unwrap();
    conn.execute("INSERT INTO fan_outs (event, app, endpoints) SELECT id, app, x'01' FROM events", [])
        .unwrap();
    let sweep = async |app| {
        store.retention_events(app, 0, now().plus_ms(1), StepLimit::rows(10)).await.unwrap().removed
    };
    assert_eq!((sweep(None).await, sweep(Some(app)).await), (0, 0), "its attempts are still to come");
    conn.execute("DELETE FROM fan_outs", []).unwrap();
    assert_eq!(sweep(None).await, 1);
}
