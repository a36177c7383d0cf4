//! Leadership: what runs once among all nodes runs only on the leader. (Ownership is tested with the dispatcher.)

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use postrider::cluster::LocalSignals;
use postrider::delivery::scheduling::bulk_jobs::BulkJobRunner;
use postrider::domain::access::app::DEFAULT_APP;
use postrider::domain::attempts::bulk_job::Work;
use postrider::domain::retention::{Rule, Rules};
use postrider::domain::{ActivityKind, AppId, BulkJob, EndpointStatus, EventType, Span};
use postrider::host::clock::FakeClock;
use postrider::service::By;
use postrider::store::sqlite::{Options, SqliteStore};
use postrider::store::{
    AppStore as _, EndpointStore as _, EventStore as _, JobCreation, JobStore as _, NewEvent, QueueStore as _,
};
use postrider::upkeep::retention::Sweeper;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::watch;

use crate::support::app::start_time;
use crate::support::{endpoints, in_time};

/// More than one step of a job.
const EVENTS: u64 = 1_050;
/// What creating a job queues at once.
const FIRST_STEP: u64 = 1_000;

async fn store() -> (TempDir, Arc<SqliteStore>, AppId) {
    let dir = TempDir::new().unwrap();
    let store = SqliteStore::open(&dir.path().join("db"), Options::new(start_time())).unwrap();
    let app = store.app_find(DEFAULT_APP).await.unwrap().unwrap().id;
    (dir, store, app)
}

/// Gives other tasks their turn, storage included.
async fn let_others_work(store: &SqliteStore) {
    for _ in 0..5 {
        tokio::task::yield_now().await;
        store.queue_cancel(1).await.unwrap();
    }
}

#[tokio::test]
async fn bulk_jobs_are_queued_by_the_leader_alone() {
    let (_dir, store, app) = store().await;
    let event = |n: u64| NewEvent {
        event_type: EventType::parse("a").unwrap(),
        payload: Bytes::from(n.to_string()),
        resource_id: None,
        idempotency_key: None,
    };
    store.event_insert(app, (0..EVENTS).map(event).collect(), start_time()).await.unwrap();
    let mut endpoint =
        endpoints::endpoint(app, endpoints::settings("http://a.example/", &["a"]), start_time());
    endpoint.status = EndpointStatus::Paused;
    let work =
        Work::Recover { endpoint: endpoint.id, since: start_time(), until: start_time().plus_ms(60_000) };
    let note = |kind| By::system().activity(kind, None, String::new(), json!({}), start_time());
    store.endpoint_insert(endpoint, u32::MAX, note(ActivityKind::EndpointCreated)).await.unwrap();
    let created = Box::new(move |_: &BulkJob| note(ActivityKind::DeliveryBulkRetried));
    let made = store.job_insert(app, work, EVENTS, start_time(), created).await.unwrap();
    assert!(matches!(made, JobCreation::Created { more: true, .. }), "{made:?}");

    let leads = Arc::new(watch::Sender::new(false));
    let (signals, _queue) = LocalSignals::new();
    let clock = Arc::new(FakeClock::new(start_time()));
    let waiting = signals.bulk_jobs();
    let runner =
        BulkJobRunner::start(store.clone(), clock.clone(), leads.clone(), signals.clone(), waiting.clone());
    waiting.notify_one();
    let_others_work(&store).await;
    clock.advance_ms(5_000);
    let_others_work(&store).await;
    assert_eq!(store.queue_depth(10_000).await.unwrap(), FIRST_STEP, "another node leads");

    leads.send_replace(true);
    in_time("the rest of the job", async {
        while store.queue_depth(10_000).await.unwrap() < EVENTS {
            tokio::task::yield_now().await;
        }
    })
    .await;
    runner.stop().await;
}

#[tokio::test]
async fn retention_sweeps_on_the_leader_alone() {
    let (_dir, store, _) = store().await;
    let leads = Arc::new(watch::Sender::new(false));
    let clock = Arc::new(FakeClock::new(start_time()));
    let rule = Rule { span: Span::from_secs(86_400), is_configured: true };
    let rules = Rules { logs: rule.clone(), events: rule };
    let sweeper = Sweeper::new(store.clone(), clock.clone(), leads.clone(), rules);
    let sweeping = sweeper.start();
    let_others_work(&store).await;
    clock.advance_ms(3_600_000);
    let_others_work(&store).await;
    assert!(sweeper.state().last.is_none(), "another node leads");

    leads.send_replace(true);
    in_time("a sweep", async {
        while sweeper.state().last.is_none() {
            let_others_work(&store).await;
        }
    })
    .await;
    sweeper.stop();
    tokio::time::timeout(Duration::from_secs(10), sweeping).await.unwrap().unwrap();
}
