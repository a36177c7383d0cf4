//! The conformance suite of storage, written against the traits alone. A backend takes part by implementing
//! [`backends::Factory`]; `POSTRIDER_TEST_STORAGE` names the one that is tested.

pub(crate) mod accounts;
mod alerts;
mod backends;
mod bulk_and_list;
mod counts;
mod durability;
mod endpoints;
mod events;
mod export;
mod finish;
mod health;
mod invariants;
mod jobs;
mod log;
mod log_deliveries;
mod log_orders;
mod log_search;
mod moving;
mod nodes;
mod nodes_shown;
mod overview;
mod partitions;
mod plans;
mod queue;
mod recent;
mod result_numbers;
mod retention;
mod sessions;
mod sources;
mod stats;
pub(crate) mod transfer;

use std::sync::Arc;

use postrider::domain::access::activity::{Activity, ActivityKind};
use postrider::domain::attempts::attempt::{Attempt, Failure, Request, Response};
use postrider::domain::attempts::hold::DisableRules;
use postrider::domain::attempts::retry::Schedule;
use postrider::domain::attempts::transition::Rules;
use postrider::domain::endpoint::EndpointSettings;
use postrider::domain::values::rate::Rate;
use postrider::domain::*;
use postrider::store::SentAs;
use postrider::store::*;

use crate::support;
use backends::{Factory, factory};

/// A store under test, with an app and what tests do often.
pub(crate) struct World {
    pub(crate) store: Arc<dyn Backend>,
    factory: Box<dyn Factory>,
    pub(crate) app: AppId,
}

/// The time at which tests begin.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000)
}

/// A new, empty store.
pub(crate) async fn fresh() -> World {
    let factory = factory();
    let store = factory.open();
    let app = store.app_find("default").await.unwrap().unwrap().id;
    World { store, factory, app }
}

/// The same data, opened again after an orderly end.
pub(crate) async fn reopen(world: World) -> World {
    world.store.close().await;
    let World { app, store, factory } = world;
    drop(store);
    World { store: factory.open(), factory, app }
}

/// The same data, opened again after the process has ended without a word.
pub(crate) async fn crash(world: World) -> World {
    let World { app, store, factory } = world;
    let factory = factory.crashed();
    // Only now: closing would write what the crash has left.
    drop(store);
    World { store: factory.open(), factory, app }
}

pub(crate) fn activity(kind: ActivityKind) -> Activity {
    Activity {
        kind,
        app_id: None,
        actor: "cli".to_owned(),
        address: Some("127.0.0.1".to_owned()),
        summary: format!("Did {}.", kind.as_str()),
        details: serde_json::json!({ "n": 1 }),
        created_at: now(),
    }
}

pub(crate) fn event_type(text: &str) -> EventType {
    EventType::parse(text).unwrap()
}

pub(crate) fn settings(patterns: &[&str]) -> EndpointSettings {
    support::endpoints::settings("https://example.com/hook?token=t", patterns)
}

pub(crate) fn an_endpoint(app: AppId, settings: EndpointSettings) -> Endpoint {
    support::endpoints::endpoint(app, settings, now())
}

pub(crate) fn an_event(name: &str, payload: &str) -> NewEvent {
    NewEvent {
        event_type: event_type(name),
        payload: payload.as_bytes().to_vec().into(),
        resource_id: None,
        idempotency_key: None,
    }
}

pub(crate) fn schedule(seconds: &[u32]) -> Schedule {
    Schedule::new(seconds.iter().map(|s| Span::from_secs(*s)).collect()).unwrap()
}

/// Two retries, after a minute and after two; switched off after five failures.
pub(crate) fn rules() -> FinishRules {
    FinishRules {
        rules: Rules {
            circuit_failures: 0,
            disable: DisableRules { failures: 5, after_ms: 0 },
            hold_at_most_ms: 0,
            jitter: 0.0,
            unit: 0.0,
        },
        default_schedule: Arc::new(schedule(&[60, 120])),
    }
}

/// An answer with this status, to a request that was sent at `at` and took 25 ms.
pub(crate) fn answered(status: u16, at: Timestamp) -> Outcome {
    let failure = Failure { kind: ErrorKind::HttpStatus, message: format!("HTTP {status}") };
    Outcome {
        attempted_at: Some(at),
        finished_at: at.plus_ms(25),
        response_time_ms: Some(25),
        request: Some(Request {
            method: None,
            url: "https://example.com/hook".to_owned(),
            headers: [("content-type", "application/json")].into_iter().collect(),
            body: None,
        }),
        response: Some(Response {
            status,
            headers: [("a", "1"), ("a", "2, \"3\"")].into_iter().collect(),
            body: b"thanks".to_vec(),
            body_truncated: false,
        }),
        failure: (!(200..300).contains(&status)).then_some(failure),
        not_before: None,
        route: None,
        is_final: false,
    }
}

/// A request without an answer.
pub(crate) fn unanswered(kind: ErrorKind, at: Timestamp) -> Outcome {
    let failure = Failure { kind, message: format!("It failed: {kind}.") };
    Outcome { response: None, response_time_ms: None, failure: Some(failure), ..answered(200, at) }
}

/// A stop before the first byte.
pub(crate) fn interrupted(at: Timestamp) -> Outcome {
    Outcome { attempted_at: None, request: None, ..unanswered(ErrorKind::Interrupted, at) }
}

pub(crate) fn first_page<K>(per_page: u32) -> PageRequest<K> {
    PageRequest { start: Start::Page(1), per_page }
}

impl World {
    /// One on a store that the test has opened itself.
    pub(crate) async fn of_store(store: Arc<dyn Backend>) -> World {
        let app = store.app_find("default").await.unwrap().unwrap().id;
        World { factory: Box::new(backends::OpenedByTest(store.clone())), store, app }
    }

    pub(crate) async fn add_endpoint(&self, patterns: &[&str]) -> Endpoint {
        self.add(an_endpoint(self.app, settings(patterns))).await
    }

    pub(crate) async fn add(&self, endpoint: Endpoint) -> Endpoint {
        let kind = ActivityKind::EndpointCreated;
        self.store.endpoint_insert(endpoint.clone(), u32::MAX, activity(kind)).await.unwrap();
        endpoint
    }

    pub(crate) async fn add_app(&self, name: &str) -> AppId {
        let app = App { id: AppId::new(now()), name: name.to_owned(), created_at: now() };
        assert!(self.store.app_insert(app.clone(), activity(ActivityKind::AppCreated)).await.unwrap());
        app.id
    }

    pub(crate) async fn set_status(&self, id: EndpointId, status: EndpointStatus) -> Endpoint {
        let patch = EndpointPatch { status: Some(status), ..EndpointPatch::default() };
        let kind = activity(ActivityKind::EndpointStatusChanged);
        self.store.endpoint_update(self.app, id, patch, now(), kind).await.unwrap().unwrap().endpoint
    }

    pub(crate) async fn delete(&self, id: EndpointId) {
        let kind = activity(ActivityKind::EndpointDeleted);
        assert!(self.store.endpoint_delete(self.app, id, now(), kind).await.unwrap());
    }

    pub(crate) async fn endpoint(&self, id: EndpointId) -> Endpoint {
        self.store.endpoint_get(self.app, id).await.unwrap().unwrap()
    }

    pub(crate) async fn take(&self, events: Vec<NewEvent>, now: Timestamp) -> Vec<Accepted> {
        match self.store.event_insert(self.app, events, now).await.unwrap() {
            Taken::All(all) => all,
            conflict => panic!("{conflict:?}"),
        }
    }

    /// Posts an event and gives the attempts it made.
    pub(crate) async fn post(&self, name: &str) -> Vec<AttemptId> {
        let accepted = self.take(vec![an_event(name, "{}")], now()).await;
        accepted[0].queued.iter().map(|queued| queued.attempt_id).collect()
    }

    /// Posts an event that goes to one endpoint.
    pub(crate) async fn post_one(&self, name: &str) -> AttemptId {
        let ids = self.post(name).await;
        assert_eq!(ids.len(), 1);
        ids[0]
    }

    pub(crate) async fn finish(&self, id: AttemptId, outcome: Outcome) -> Finished {
        self.store.attempt_finish(id, outcome.into(), rules(), SentAs::in_epoch(Epoch::FIRST)).await.unwrap()
    }

    /// Finishes an attempt, and gives the retry that this leads to.
    pub(crate) async fn fail(&self, id: AttemptId) -> AttemptId {
        let Finished::Done { status, queued, .. } = self.finish(id, answered(500, now())).await else {
            panic!("stale")
        };
        assert_eq!(status, AttemptStatus::Failed);
        queued[0].attempt_id
    }

    /// Fails an attempt until nothing follows, and gives the last one.
    pub(crate) async fn exhaust(&self, mut id: AttemptId) -> AttemptId {
        loop {
            match self.finish(id, answered(500, now())).await {
                Finished::Done { status: AttemptStatus::Failed, queued, .. } => id = queued[0].attempt_id,
                Finished::Done { status: AttemptStatus::Exhausted, .. } => return id,
                other => panic!("{other:?}"),
            }
        }
    }

    pub(crate) async fn attempt(&self, id: AttemptId) -> Attempt {
        self.detail(id).await.attempt
    }

    pub(crate) async fn detail(&self, id: AttemptId) -> attempts::attempt::AttemptDetail {
        self.store.attempt_get(self.app, id).await.unwrap().unwrap()
    }

    pub(crate) async fn retry(&self, id: AttemptId) -> Retried {
        let kind = activity(ActivityKind::DeliveryRetried);
        self.store.attempt_retry(self.app, id, vec![], now(), kind).await.unwrap()
    }

    /// The whole log, oldest first.
    pub(crate) async fn log(&self) -> Vec<Attempt> {
        let sort = Sort { field: SortField::Id, descending: false };
        let page = self.list(AttemptFilter::default(), sort, first_page(10_000)).await;
        assert!(page.next.is_none());
        page.rows
    }

    pub(crate) async fn list(
        &self,
        filter: AttemptFilter,
        sort: Sort,
        page: PageRequest<LogKey>,
    ) -> Page<Attempt, LogKey> {
        self.store.attempt_list(self.app, filter, sort, page).await.unwrap()
    }

    /// The ids of the rows that a filter lets through, newest first.
    pub(crate) async fn ids(&self, filter: AttemptFilter) -> Vec<AttemptId> {
        let page = self.list(filter, Sort::default(), first_page(200)).await;
        assert_eq!(page.total.rows, page.rows.len() as u64);
        page.rows.into_iter().map(|row| row.id).collect()
    }
}
