//! Retention over hours of the test's clock: the log keeps the size that its policy allows, and what could not go
//! at its time goes soon after.

use std::path::PathBuf;
use std::sync::Arc;

use postrider::cluster::AlwaysLeader;
use postrider::domain::access::app::DEFAULT_APP;
use postrider::domain::attempts::attempt::{Outcome, Response};
use postrider::domain::retention::{Rule, Rules};
use postrider::domain::{AppId, AttemptId, Epoch, Headers, Span};
use postrider::host::clock::{Clock as _, FakeClock};
use postrider::store::sqlite::{Options, SqliteStore};
use postrider::store::{
    AppStore as _, EndpointStore as _, EventStore as _, NewEvent, QueueStore as _, SentAs, StoreError, Taken,
};
use postrider::upkeep::retention::Sweeper;
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::store::{activity, an_event, rules};
use crate::support::app::start_time;
use crate::support::{endpoints, in_time};

const POLICY_MS: i64 = 120_000;
/// How often the sweeper looks for expired rows.
const EVERY_MS: i64 = 30_000;
/// How long a row may outlive its policy.
const GRACE_MS: i64 = 900_000;

/// Storage with one endpoint and a running sweeper.
struct World {
    store: Arc<SqliteStore>,
    app: AppId,
    clock: Arc<FakeClock>,
    sweeper: Sweeper,
    sweeping: JoinHandle<()>,
    path: PathBuf,
    _dir: TempDir,
}

impl World {
    async fn start() -> World {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("db");
        let store = SqliteStore::open(&path, Options::new(start_time())).unwrap();
        let app = store.app_find(DEFAULT_APP).await.unwrap().unwrap().id;
        let settings = endpoints::settings("https://example.com/", &["*"]);
        let endpoint = endpoints::endpoint(app, settings, start_time());
        let entry = activity(postrider::domain::ActivityKind::EndpointCreated);
        assert!(store.endpoint_insert(endpoint, u32::MAX, entry).await.unwrap());
        let clock = Arc::new(FakeClock::new(start_time()));
        let rule = Rule { span: Span::from_secs(120), is_configured: true };
        let rules = Rules { logs: rule.clone(), events: rule };
        let sweeper = Sweeper::new(store.clone(), clock.clone(), Arc::new(AlwaysLeader::default()), rules);
        let sweeping = sweeper.start();
        let world = World { store, app, clock, sweeper, sweeping, path, _dir: dir };
        world.swept().await;
        world
    }

    /// Waits for the sweep of this moment.
    async fn swept(&self) {
        let now = self.clock.now();
        in_time("a sweep", async {
            while self.sweeper.state().last.is_none_or(|(at, _)| at < now) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    async fn post(&self, count: usize) -> Vec<AttemptId> {
        let events: Vec<NewEvent> = (0..count).map(|n| an_event("a", &n.to_string())).collect();
        let taken = self.store.event_insert(self.app, events, self.clock.now()).await.unwrap();
        let Taken::All(accepted) = taken else { panic!("there is no key") };
        accepted.iter().flat_map(|accepted| &accepted.queued).map(|queued| queued.attempt_id).collect()
    }

    async fn deliver(&self, attempts: Vec<AttemptId>) {
        let now = self.clock.now();
        let response =
            Response { status: 200, headers: Headers::default(), body: vec![], body_truncated: false };
        let outcome = Outcome {
            attempted_at: Some(now),
            finished_at: now,
            response_time_ms: Some(3),
            request: None,
            response: Some(response),
            failure: None,
            not_before: None,
            route: None,
            is_final: false,
        };
        let finish = |id| {
            self.store.attempt_finish(id, outcome.clone().into(), rules(), SentAs::in_epoch(Epoch::FIRST))
        };
        let finished: Vec<Result<_, StoreError>> =
            futures_util::future::join_all(attempts.into_iter().map(finish)).await;
        assert!(finished.iter().all(Result::is_ok));
    }

    fn number(&self, sql: &str) -> i64 {
        Connection::open(&self.path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
    }

    async fn stop(self) {
        self.sweeper.stop();
        in_time("its end", self.sweeping).await.unwrap();
        self.store.close().await;
    }
}

#[tokio::test]
async fn the_log_keeps_the_size_that_its_policy_allows() {
    const ROWS: usize = 100;
    let world = World::start().await;
    let mut sizes = Vec::new();
    // Twelve times the policy.
    for _ in 0..12 * POLICY_MS / EVERY_MS {
        for _ in 0..3 {
            let attempts = world.post(ROWS).await;
            world.deliver(attempts).await;
            world.clock.advance_ms(EVERY_MS / 3);
        }
        world.swept().await;
        let oldest = world.number("SELECT coalesce(min(created_at), 9e15) FROM attempts");
        assert!(oldest >= world.clock.now().as_millis() - POLICY_MS, "nothing that has expired is left");
        let rows = 3 * ROWS as i64 * (POLICY_MS / EVERY_MS);
        for table in ["attempts", "attempt_details", "events"] {
            let found = world.number(&format!("SELECT count(*) FROM {table}"));
            assert!(found <= rows, "{found} rows of {table}");
        }
        sizes.push(world.number("PRAGMA page_count"));
    }
    let (early, late) = (sizes[sizes.len() / 3], sizes[sizes.len() - 1]);
    assert!(late * 10 <= early * 11, "the file grows: {sizes:?}");
    world.stop().await;
}

#[tokio::test]
async fn what_was_still_to_be_sent_at_its_time_goes_soon_after() {
    let world = World::start().await;
    let late = world.post(3).await;
    let sent = world.post(2).await;
    world.deliver(sent).await;
    let mut passed = 0;
    while passed <= POLICY_MS {
        world.clock.advance_ms(EVERY_MS);
        world.swept().await;
        passed += EVERY_MS;
    }
    assert_eq!(world.number("SELECT count(*) FROM attempts"), 3, "pending ones stay");
    assert_eq!(world.number("SELECT count(*) FROM events WHERE payload IS NOT NULL"), 3);
    world.deliver(late).await;
    let mut left = GRACE_MS;
    while world.number("SELECT count(*) FROM attempts") + world.number("SELECT count(*) FROM events") > 0 {
        assert!(left > 0, "they are still there");
        world.clock.advance_ms(EVERY_MS);
        world.swept().await;
        left -= EVERY_MS;
    }
    world.stop().await;
}
