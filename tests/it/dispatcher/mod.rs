//! The dispatcher over real storage, with a transport in place of the network: each request stays in flight
//! until the test ends it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use postrider::cluster::{LocalSignals, Ownership, Signals as _};
use postrider::delivery::courier::{InFlight, RetryPolicy, Transport};
use postrider::delivery::scheduling::dispatcher::{Dispatcher, DispatcherDeps, SlotLimits};
use postrider::domain::access::app::DEFAULT_APP;
use postrider::domain::attempts::attempt::{Attempt, Failure, Request, Response};
use postrider::domain::attempts::hold::DisableRules;
use postrider::domain::attempts::retry::Schedule;
use postrider::domain::values::list::{PageRequest, Start};
use postrider::domain::{
    ActivityKind, AppId, AttemptId, AttemptStatus, EndpointId, Epoch, ErrorKind, EventType, Headers, Outcome,
    Span,
};
use postrider::host::clock::{FakeChance, FakeClock};
use postrider::service::By;
use postrider::store::sqlite::{Options, SqliteStore};
use postrider::store::{
    AppStore as _, EndpointStore as _, EventStore as _, LoadedAttempt, LogStore as _, NewEvent, Queued,
    Store, Taken,
};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::{Mutex as AsyncMutex, mpsc, oneshot};

use crate::support::app::start_time;
use crate::support::{endpoints, in_time};

mod limits;
mod ownership;
mod trouble;

/// How a request ends.
#[derive(Debug, Clone, Copy)]
enum End {
    Answer(u16),
    Timeout,
    Panic,
}

/// A request that is in flight.
struct Flight {
    id: AttemptId,
    endpoint: EndpointId,
    /// In which it was sent.
    epoch: Epoch,
    payload: Bytes,
    end: oneshot::Sender<End>,
}

impl Flight {
    fn ends(self, end: End) {
        self.end.send(end).expect("it is in flight");
    }
}

/// The transport of the test.
struct Sky {
    ownership: Arc<Ownership>,
    flights: mpsc::UnboundedSender<Flight>,
    /// Requests in flight now and at most so far, by endpoint; the total is under `None`.
    counts: Mutex<HashMap<Option<EndpointId>, (usize, usize)>>,
}

impl Sky {
    fn count(&self, endpoint: EndpointId, change: isize) {
        let mut counts = self.counts.lock().unwrap();
        for key in [None, Some(endpoint)] {
            let (now, most) = counts.entry(key).or_default();
            *now = now.checked_add_signed(change).unwrap();
            *most = (*most).max(*now);
        }
    }
}

#[async_trait]
impl Transport for Sky {
    async fn send(&self, job: &LoadedAttempt, flight: &InFlight) -> Outcome {
        let (end, wait) = oneshot::channel();
        let endpoint = job.endpoint.id;
        self.count(endpoint, 1);
        let url = job.endpoint.settings.url.clone();
        flight.note(start_time(), Request { method: None, url, headers: Headers::default(), body: None });
        let epoch = self.ownership.epoch_of(endpoint).expect("a node sends only what it holds");
        self.flights.send(Flight { id: job.id, endpoint, epoch, payload: job.payload.clone(), end }).ok();
        let end = wait.await.expect("the test ends it");
        self.count(endpoint, -1);
        let (status, kind) = match end {
            End::Panic => panic!("on purpose"),
            End::Timeout => (None, Some(ErrorKind::Timeout)),
            End::Answer(status) => {
                (Some(status), (!(200..300).contains(&status)).then_some(ErrorKind::HttpStatus))
            }
        };
        Outcome {
            attempted_at: Some(start_time()),
            finished_at: start_time(),
            response_time_ms: Some(1),
            request: None,
            response: status.map(|status| Response {
                status,
                headers: Headers::default(),
                body: vec![],
                body_truncated: false,
            }),
            failure: kind.map(|kind| Failure { kind, message: "as the test says".to_owned() }),
            not_before: None,
            route: None,
            is_final: false,
        }
    }
}

/// A dispatcher with its transport and its signals.
struct Node {
    sky: Arc<Sky>,
    ownership: Arc<Ownership>,
    signals: Arc<LocalSignals>,
    dispatcher: Dispatcher,
}

impl Node {
    fn start(
        ownership: Arc<Ownership>,
        store: Arc<dyn Store>,
        clock: Arc<FakeClock>,
        flights: mpsc::UnboundedSender<Flight>,
        limits: SlotLimits,
    ) -> Node {
        let sky = Arc::new(Sky { ownership: ownership.clone(), flights, counts: Mutex::default() });
        let policy = RetryPolicy {
            schedule: Arc::new(Schedule::new(vec![Span::from_secs(60)]).unwrap()),
            jitter: 0.0,
            circuit_failures: 0,
            disable: DisableRules { failures: 0, after_ms: 0 },
            hold_at_most_ms: 0,
        };
        let (signals, queue) = LocalSignals::new();
        let deps = DispatcherDeps {
            store,
            clock,
            chance: Arc::new(FakeChance::new(0.0)),
            transport: sky.clone(),
            ownership: ownership.clone(),
            signals: signals.clone(),
            queue,
        };
        Node { sky, ownership, signals, dispatcher: Dispatcher::start(deps, policy, limits) }
    }
}

/// A dispatcher with its store, clock and transport.
struct Bench {
    dir: TempDir,
    store: Arc<SqliteStore>,
    clock: Arc<FakeClock>,
    flights: AsyncMutex<mpsc::UnboundedReceiver<Flight>>,
    node: Node,
    app: AppId,
}

impl Bench {
    async fn new(concurrency: usize, endpoint_concurrency: usize) -> Bench {
        let dir = TempDir::new().unwrap();
        let options = Options { busy_timeout: Duration::from_millis(50), ..Options::new(start_time()) };
        let store = SqliteStore::open(&dir.path().join("db"), options).unwrap();
        let app = store.app_find(DEFAULT_APP).await.unwrap().unwrap().id;
        let clock = Arc::new(FakeClock::new(start_time()));
        let (flights_tx, flights) = mpsc::unbounded_channel();
        let limits = SlotLimits { concurrency, endpoint_concurrency };
        let node = Node::start(Ownership::of_everything(), store.clone(), clock.clone(), flights_tx, limits);
        in_time("readiness", node.dispatcher.ready()).await;
        Bench { dir, store, clock, flights: AsyncMutex::new(flights), node, app }
    }

    /// A second dispatcher over the same store, which holds no shard yet.
    async fn another_node(&self, limits: SlotLimits) -> Node {
        let flights = self.node.sky.flights.clone();
        let (store, clock) = (self.store.clone(), self.clock.clone());
        let node = Node::start(Ownership::of_nothing(), store, clock, flights, limits);
        in_time("readiness", node.dispatcher.ready()).await;
        node
    }

    /// An endpoint that subscribes to this event type.
    async fn endpoint(&self, event_type: &str) -> EndpointId {
        self.endpoint_with(event_type, 0).await
    }

    /// The same, with so many failed attempts in a row.
    async fn endpoint_with(&self, event_type: &str, consecutive_failures: u32) -> EndpointId {
        let settings = endpoints::settings("http://receiver.example/", &[event_type]);
        let mut endpoint = endpoints::endpoint(self.app, settings, start_time());
        endpoint.consecutive_failures = consecutive_failures;
        let id = endpoint.id;
        let activity = By::system().activity(
            ActivityKind::EndpointCreated,
            None,
            String::new(),
            json!({}),
            start_time(),
        );
        self.store.endpoint_insert(endpoint, u32::MAX, activity).await.unwrap();
        id
    }

    /// The same, and its first request got a response.
    async fn responsive(&self, event_type: &str) -> EndpointId {
        let endpoint = self.endpoint(event_type).await;
        self.post(event_type, 1).await;
        self.flight_to(endpoint).await.ends(End::Answer(200));
        self.finished(1, AttemptStatus::Delivered, endpoint).await;
        endpoint
    }

    /// Inserts so many events of this type, with their number as payload, and hints at them.
    async fn post(&self, event_type: &str, n: usize) -> Vec<Queued> {
        let queued = self.post_without_hint(event_type, n).await;
        self.node.signals.queued(&queued);
        queued
    }

    /// The same without a hint: the dispatcher has to find them in the table.
    async fn post_without_hint(&self, event_type: &str, n: usize) -> Vec<Queued> {
        let event = |i: usize| NewEvent {
            event_type: EventType::parse(event_type).unwrap(),
            payload: Bytes::from(i.to_string()),
            resource_id: None,
            idempotency_key: None,
        };
        let taken =
            self.store.event_insert(self.app, (0..n).map(event).collect(), start_time()).await.unwrap();
        let Taken::All(accepted) = taken else { panic!("there are no keys") };
        accepted.into_iter().flat_map(|a| a.queued).collect()
    }

    /// The next request.
    async fn flight(&self) -> Flight {
        in_time("a request", async { self.flights.lock().await.recv().await }).await.unwrap()
    }

    /// The next request, which must be to this endpoint.
    async fn flight_to(&self, endpoint: EndpointId) -> Flight {
        let flight = self.flight().await;
        assert_eq!(flight.endpoint, endpoint);
        flight
    }

    async fn flights_to(&self, endpoint: EndpointId, n: usize) -> Vec<Flight> {
        let mut flights = Vec::new();
        for _ in 0..n {
            flights.push(self.flight_to(endpoint).await);
        }
        flights
    }

    /// How many requests to an endpoint, or in total, are in flight, and were at most.
    fn counts(&self, endpoint: Option<EndpointId>) -> (usize, usize) {
        self.node.sky.counts.lock().unwrap().get(&endpoint).copied().unwrap_or_default()
    }

    /// Waits until so many attempts of an endpoint have this status.
    async fn finished(&self, n: usize, status: AttemptStatus, endpoint: EndpointId) {
        let mut results = self.node.signals.results();
        in_time("the results", async {
            loop {
                results.mark_unchanged();
                if self.statuses(endpoint).await.iter().filter(|s| **s == status).count() == n {
                    return;
                }
                results.changed().await.unwrap();
            }
        })
        .await;
    }

    /// The statuses of an endpoint's attempts, newest first.
    async fn statuses(&self, endpoint: EndpointId) -> Vec<AttemptStatus> {
        self.rows(endpoint).await.iter().map(|row| row.status).collect()
    }

    /// An endpoint's attempts, newest first.
    async fn rows(&self, endpoint: EndpointId) -> Vec<Attempt> {
        let filter = postrider::store::AttemptFilter { endpoint: Some(endpoint), ..Default::default() };
        let page = PageRequest { start: Start::Page(1), per_page: 200 };
        self.store.attempt_list(self.app, filter, Default::default(), page).await.unwrap().rows
    }
}
