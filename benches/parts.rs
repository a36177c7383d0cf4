//! What the parts of a delivery cost by themselves: `cargo bench --bench parts`.
//!
//! Figures are of one machine; what they are for is the comparison before and after a change, and what a part
//! is of the whole (`docs/benchmarks.md`).

use std::net::IpAddr;
use std::sync::Arc;

use divan::{Bencher, counter::ItemsCount};
use postrider::delivery::sending::guard::Guard;
use postrider::domain::attempts::attempt::{Outcome, Request, Response};
use postrider::domain::attempts::hold::DisableRules;
use postrider::domain::attempts::retry::Schedule;
use postrider::domain::attempts::transition::Rules;
use postrider::domain::network::NetworkPolicy;
use postrider::domain::pattern::any_matches;
use postrider::domain::signing::signature;
use postrider::domain::{AppId, Epoch, EventPattern, EventType, Headers, SigningSecret, Timestamp};
use postrider::store::sqlite::SqliteStore;
use postrider::store::{
    AppStore as _, AttemptFilter, EventStore as _, FinishRules, LogStore as _, NewEvent, PageRequest,
    QueueStore as _, SentAs, Sort, Start, Taken,
};
use tokio::runtime::Runtime;
use url::Url;

mod log;

fn main() {
    divan::main();
}

/// The two signatures of a delivery.
#[divan::bench(args = [100, 1_024, 100_000])]
fn sign(bencher: Bencher<'_, '_>, bytes: usize) {
    let (secret, body) = (SigningSecret::from_key(&[7; 32]), vec![b'x'; bytes]);
    bencher.bench(|| {
        let standard = signature::standard([&secret], "msg_01hx", 1_790_000_000, divan::black_box(&body));
        (standard, signature::plain(&secret, &body))
    });
}

/// An address against the policy.
#[divan::bench(args = ["93.184.216.34", "10.1.2.3", "2606:2800:220:1::1", "::ffff:127.0.0.1"])]
fn judge_address(bencher: Bencher<'_, '_>, address: &str) {
    let (policy, address): (_, IpAddr) = (NetworkPolicy::new(vec![]), address.parse().expect("an address"));
    bencher.bench(|| policy.check(divan::black_box(address)).is_ok());
}

/// What is checked before a request to an address that needs no resolving.
#[divan::bench]
fn judge_literal_url(bencher: Bencher<'_, '_>) {
    let runtime = runtime();
    let guard = Guard::new(NetworkPolicy::new(vec![]));
    let url = Url::parse("https://93.184.216.34/hooks").expect("a URL");
    bencher.bench(|| runtime.block_on(guard.check_url(divan::black_box(&url))).is_ok());
}

/// Whether an endpoint wants an event: the last of so many patterns does.
#[divan::bench(args = [1, 10, 50])]
fn match_patterns(bencher: Bencher<'_, '_>, patterns: usize) {
    let pattern = |text: String| EventPattern::parse(&text).expect("a pattern");
    let mut all: Vec<EventPattern> = (1..patterns).map(|i| pattern(format!("category{i}.*"))).collect();
    all.push(pattern("license.*".to_owned()));
    let event_type = EventType::parse("license.assigned").expect("a type");
    bencher.bench(|| any_matches(divan::black_box(&all), divan::black_box(&event_type)));
}

/// A page of the log, from its rows to values.
#[divan::bench(args = [1, 50, 200])]
fn map_rows(bencher: Bencher<'_, '_>, rows: u32) {
    let runtime = runtime();
    let (dir, _scratch) = log::directory();
    let path = runtime.block_on(log::file(&dir, 20_000));
    let (store, app) = open(&runtime, &path);
    bencher.counter(ItemsCount::new(rows)).bench(|| {
        let page = PageRequest { start: Start::Page(1), per_page: rows };
        let found = store.attempt_list(app, AttemptFilter::default(), Sort::default(), page);
        runtime.block_on(found).expect("storage answers").rows.len()
    });
    runtime.block_on(store.close());
}

/// So many events of 1 KiB that wait for the writer together: taken in, on disk.
#[divan::bench(args = [1, 64, 512])]
fn write_events(bencher: Bencher<'_, '_>, events: usize) {
    let (runtime, world) = writing();
    bencher.counter(ItemsCount::new(events)).bench(|| runtime.block_on(world.post(events)).len());
}

/// So many results that wait for the writer together: on disk.
#[divan::bench(args = [1, 64, 512])]
fn write_results(bencher: Bencher<'_, '_>, results: usize) {
    let (runtime, world) = writing();
    bencher
        .counter(ItemsCount::new(results))
        .with_inputs(|| runtime.block_on(world.post(results)))
        .bench_values(|ids| runtime.block_on(world.finish(ids)));
}

// ---------------------------------------------------------------------------------------------
// The writer's world

struct World {
    store: Arc<SqliteStore>,
    app: AppId,
    rules: FinishRules,
    _dir: tempfile::TempDir,
}

impl World {
    /// Events that wait together; the attempts that they make.
    async fn post(&self, events: usize) -> Vec<postrider::domain::AttemptId> {
        let now = Timestamp::from_millis(log::END);
        let posts = (0..events).map(|_| {
            let event = NewEvent {
                event_type: EventType::parse("license.assigned").expect("a type"),
                payload: bytes::Bytes::from(format!("\"{}\"", "x".repeat(1_022))),
                resource_id: None,
                idempotency_key: None,
            };
            self.store.event_insert(self.app, vec![event], now)
        });
        let taken = futures_util::future::join_all(posts).await.into_iter();
        taken
            .flat_map(|taken| match taken.expect("storage takes events") {
                Taken::All(accepted) => accepted.into_iter().flat_map(|one| one.queued),
                Taken::KeyConflict { .. } | Taken::BatchConflict => unreachable!("there is no key"),
            })
            .map(|queued| queued.attempt_id)
            .collect()
    }

    async fn finish(&self, ids: Vec<postrider::domain::AttemptId>) {
        let now = Timestamp::from_millis(log::END);
        let results = ids.into_iter().map(|id| {
            self.store.attempt_finish(
                id,
                outcome(now).into(),
                self.rules.clone(),
                SentAs::in_epoch(Epoch::FIRST),
            )
        });
        for finished in futures_util::future::join_all(results).await {
            finished.expect("storage takes results");
        }
    }
}

fn outcome(now: Timestamp) -> Outcome {
    let headers: Headers = [("content-type", "application/json")].into_iter().collect();
    let url = "https://receiver.example/hooks".to_owned();
    Outcome {
        attempted_at: Some(now),
        finished_at: now.plus_ms(40),
        response_time_ms: Some(40),
        request: Some(Request { method: None, url, headers: headers.clone(), body: None }),
        response: Some(Response { status: 200, headers, body: b"ok".to_vec(), body_truncated: false }),
        failure: None,
        not_before: None,
        is_final: false,
        route: None,
    }
}

/// An empty database with one webhook that wants everything.
fn writing() -> (Runtime, World) {
    let (runtime, dir) = (runtime(), tempfile::tempdir().expect("a directory"));
    let path = dir.path().join("parts.db");
    runtime.block_on(SqliteStore::open(&path, log::options()).expect("a new database").close());
    log::add_endpoint(&path).expect("an endpoint");
    let (store, app) = open(&runtime, &path);
    let rules = FinishRules {
        rules: Rules {
            circuit_failures: 0,
            disable: DisableRules { failures: 0, after_ms: 0 },
            hold_at_most_ms: 0,
            jitter: 0.0,
            unit: 0.0,
        },
        default_schedule: Arc::new(Schedule::new(vec![]).expect("no retries are a schedule")),
    };
    (runtime, World { store, app, rules, _dir: dir })
}

fn open(runtime: &Runtime, path: &std::path::Path) -> (Arc<SqliteStore>, AppId) {
    let store = SqliteStore::open(path, log::options()).expect("the database");
    let app = runtime.block_on(store.app_find("default")).expect("storage answers");
    (store, app.expect("there is one app").id)
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}
