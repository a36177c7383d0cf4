//! How long lists of many endpoints take: 5,000 in one app, of which every fourth has exhausted deliveries in the
//! last 24 hours, so that its figures must be summed up.
//!
//!     cargo bench --bench endpoint_lists
//!
//! It prints a table in Markdown, and ends with exit code 1 when a page takes 50 ms or longer.

use std::process::ExitCode;
use std::sync::Arc;

use futures_util::future::join_all;
use postrider::domain::access::activity::{Activity, ActivityKind};
use postrider::domain::attempts::attempt::{Failure, Response};
use postrider::domain::attempts::hold::DisableRules;
use postrider::domain::attempts::retry::Schedule;
use postrider::domain::attempts::transition::Rules;
use postrider::domain::endpoint::EndpointSettings;
use postrider::domain::filter::EndpointSort;
use postrider::domain::health::HealthState;
use postrider::domain::{
    AppId, Endpoint, EndpointId, EndpointStatus, Epoch, ErrorKind, EventPattern, EventType, Outcome, Sealed,
    Timestamp,
};
use postrider::store::sqlite::{Options, SqliteStore};
use postrider::store::{
    AppStore as _, EndpointFilter, EndpointStore as _, EventStore as _, FinishRules, HealthStore as _,
    NewEvent, PageRequest, QueueStore as _, SentAs, Start, Taken,
};

mod log;

const ENDPOINTS: usize = 5_000;
/// Events for each, three hours apart.
const EVENTS: i64 = 8;
/// Commands to storage at the same time.
const AT_ONCE: usize = 200;
const HOUR_MS: i64 = 3_600_000;
const ROUNDS: usize = 20;
const AT_MOST_MS: f64 = 50.0;

fn now() -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000)
}

fn entry() -> Activity {
    Activity {
        kind: ActivityKind::EndpointCreated,
        app_id: None,
        actor: "bench".to_owned(),
        address: None,
        summary: "made".to_owned(),
        details: serde_json::json!({}),
        created_at: now(),
    }
}

fn outcome(fails: bool, at: Timestamp) -> Outcome {
    let failure = Failure { kind: ErrorKind::HttpStatus, message: "HTTP 500".to_owned() };
    Outcome {
        attempted_at: Some(at),
        finished_at: at,
        response_time_ms: Some(20),
        request: None,
        response: Some(Response {
            status: if fails { 500 } else { 200 },
            headers: std::iter::empty::<(String, String)>().collect(),
            body: vec![],
            body_truncated: false,
        }),
        failure: fails.then_some(failure),
        not_before: None,
        is_final: false,
        route: None,
    }
}

async fn fill(store: &Arc<SqliteStore>, app: AppId) {
    let endpoint = |n: usize| {
        let settings = EndpointSettings {
            url: format!("https://receiver-{n}.example.com/hooks"),
            name: format!("Receiver {}", (n * 7_919) % ENDPOINTS),
            events: vec![EventPattern::All],
            ..EndpointSettings::default()
        };
        let id = EndpointId::new(now().plus_ms(n as i64));
        Endpoint::new(id, app, settings, Sealed(vec![1; 40]), now().plus_ms(-30 * 24 * HOUR_MS))
    };
    for first in (0..ENDPOINTS).step_by(AT_ONCE) {
        let made = (first..first + AT_ONCE).map(|n| store.endpoint_insert(endpoint(n), u32::MAX, entry()));
        for made in join_all(made).await {
            assert!(made.expect("storage answers"));
        }
    }
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
    for event in 0..EVENTS {
        let at = now().plus_ms(-HOUR_MS / 2 - event * 3 * HOUR_MS);
        let new = NewEvent {
            event_type: EventType::parse("a.b").expect("a type"),
            payload: b"{}".to_vec().into(),
            resource_id: None,
            idempotency_key: None,
        };
        let taken = store.event_insert(app, vec![new], at).await.expect("storage answers");
        let Taken::All(_) = taken else { panic!("no key was given") };
        loop {
            let queues =
                store.queue_endpoints(postrider::domain::ShardSet::ALL).await.expect("storage answers");
            if queues.is_empty() {
                break;
            }
            for chunk in queues.chunks(AT_ONCE) {
                let finished = chunk.iter().enumerate().map(async |(n, queue)| {
                    let due = store.queue_due(queue.endpoint_id, now(), 10).await.expect("storage answers");
                    for id in due.attempts {
                        let outcome = Arc::new(outcome(n % 4 == 0 && event % 3 == 0, at));
                        store
                            .attempt_finish(id, outcome, rules.clone(), SentAs::in_epoch(Epoch::FIRST))
                            .await
                            .expect("finished");
                    }
                });
                join_all(finished).await;
            }
        }
    }
}

fn main() -> ExitCode {
    let dir = tempfile::tempdir().expect("a directory");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let store = SqliteStore::open(&dir.path().join("p.db"), Options::new(now())).expect("a database");
        let app = store.app_find("default").await.expect("storage answers").expect("there is one app").id;
        fill(&store, app).await;
        println!("| {ENDPOINTS} endpoints, median of {ROUNDS} | ms |\n|---|--:|");
        let mut slowest: f64 = 0.0;
        let q = |text: &str| EndpointFilter { q: Some(text.to_owned()), ..EndpointFilter::default() };
        let all = EndpointFilter::default;
        let mut lists: Vec<(&str, EndpointFilter, String)> = Vec::new();
        for sort in [
            "health",
            "name",
            "-name",
            "success_rate",
            "-success_rate",
            "last_failure_at",
            "-last_failure_at",
            "waiting",
            "-waiting",
        ] {
            lists.push((sort, all(), format!("sort={sort}")));
            lists.push((sort, q("receiver-49"), format!("sort={sort}, that a text is in")));
        }
        for state in HealthState::ALL {
            let filter = EndpointFilter { health: vec![*state], ..all() };
            lists.push(("", filter.clone(), format!("health={state}, newest first")));
            lists.push(("name", filter, format!("health={state}, sort=name")));
        }
        let worst = vec![HealthState::OnHold, HealthState::Failing, HealthState::Degraded];
        let worst = EndpointFilter { health: worst, q: Some("receiver".to_owned()), ..all() };
        lists.push(("health", worst, "three states, that a text is in, sort=health".to_owned()));
        let active = EndpointFilter { status: Some(EndpointStatus::Active), ..all() };
        lists.push(("health", active, "status=active, sort=health".to_owned()));
        for (sort, filter, what) in lists {
            let sort = EndpointSort::parse(sort).unwrap_or_default();
            let mut times = Vec::new();
            for _ in 0..ROUNDS {
                let page = PageRequest { start: Start::Page(3), per_page: 50 };
                let begun = log::monotonic();
                let found =
                    store.endpoint_ranked(app, filter.clone(), sort, page, now()).await.expect("a page");
                times.push((log::monotonic() - begun) as f64 / 1_000_000.0);
                assert!(found.total.rows > 0 || !filter.health.is_empty(), "{what}");
            }
            times.sort_by(f64::total_cmp);
            println!("| {what} | {:.1} |", times[ROUNDS / 2]);
            slowest = slowest.max(times[ROUNDS / 2]);
        }
        let begun = log::monotonic();
        let counts = store.health_counts(now()).await.expect("counts");
        println!(
            "| counts of states, for a scrape | {:.1} |",
            (log::monotonic() - begun) as f64 / 1_000_000.0
        );
        println!("\n{counts:?}");
        if slowest < AT_MOST_MS { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    })
}
