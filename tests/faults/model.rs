//! Random operations on the dispatcher, the storage and a receiver, a crash among them, checked after each
//! against a model:
//!
//! * every accepted delivery has exactly one row that is pending or final;
//! * whatever is due is sent;
//! * no attempt is finished twice, none is sent after it was finished, and none twice in one epoch of its shard
//!   (between two crashes, if the shard does not move);
//! * an endpoint's failure counter follows from its responses.
//!
//! Two dispatchers share the storage. A shard moves between them in good order, or is taken from one that does
//! not know yet and goes on sending.
//!
//! A crash drops the dispatchers at any moment, with its requests in flight. [`crate::crash`] and
//! [`crate::power`] check what the disk holds after one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt as _;
use postrider::cluster::{LocalSignals, Ownership, Signals as _};
use postrider::delivery::courier::{InFlight, RetryPolicy, Transport};
use postrider::delivery::scheduling::dispatcher::{Dispatcher, DispatcherDeps, SlotLimits};
use postrider::domain::access::app::DEFAULT_APP;
use postrider::domain::attempts::attempt::{Attempt, Failure, Response};
use postrider::domain::attempts::hold::DisableRules;
use postrider::domain::attempts::retry::Schedule;
use postrider::domain::values::list::{PageRequest, Start};
use postrider::domain::{
    Activity, ActivityKind, AppId, AttemptId, AttemptStatus, Endpoint, EndpointId, EndpointStatus, Epoch,
    ErrorKind, EventType, Headers, Outcome, Shard, Span,
};
use postrider::host::clock::{Clock as _, FakeChance, FakeClock};
use postrider::service::By;
use postrider::store::sqlite::{Options, SqliteStore};
use postrider::store::{
    AppStore as _, EndpointPatch, EndpointStore as _, EventStore as _, LoadedAttempt, LogStore as _,
    NewEvent, Retried, ShardStore as _, Taken,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::json;
use tokio::sync::{Notify, oneshot};

use crate::support::app::start_time;
use crate::support::{endpoints, in_time};
use crate::{Dice, form, say};

const ENDPOINTS: usize = 3;
const SLOTS: usize = 4;
const SLOTS_EACH: usize = 2;
const DISABLE_AFTER: u32 = 5;
const STEPS: usize = 100;

#[derive(Debug, Clone)]
enum Step {
    Post {
        endpoint: usize,
        count: usize,
    },
    Answer {
        pick: usize,
        code: u16,
    },
    TimeOut {
        pick: usize,
    },
    Pass {
        seconds: i64,
    },
    Retry {
        pick: usize,
    },
    Status {
        endpoint: usize,
        status: EndpointStatus,
    },
    /// The shard of an endpoint moves to the other node; `in_order` if its holder stops sending before.
    Move {
        endpoint: usize,
        in_order: bool,
    },
    Crash,
    /// The response and the crash race: the result may be on disk or not.
    AnswerAndCrash {
        pick: usize,
        code: u16,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let code = || prop_oneof![4 => Just(200u16), 4 => Just(500), 1 => Just(410)];
    let status = prop_oneof![4 => Just(EndpointStatus::Active), 1 => Just(EndpointStatus::Paused)];
    let pick = || 0usize..1_000;
    prop_oneof![
        5 => (0..ENDPOINTS, 1usize..4).prop_map(|(endpoint, count)| Step::Post { endpoint, count }),
        8 => (pick(), code()).prop_map(|(pick, code)| Step::Answer { pick, code }),
        2 => pick().prop_map(|pick| Step::TimeOut { pick }),
        3 => (1i64..90).prop_map(|seconds| Step::Pass { seconds }),
        2 => pick().prop_map(|pick| Step::Retry { pick }),
        2 => (0..ENDPOINTS, status).prop_map(|(endpoint, status)| Step::Status { endpoint, status }),
        2 => (0..ENDPOINTS, any::<bool>()).prop_map(|(endpoint, in_order)| Step::Move { endpoint, in_order }),
        1 => Just(Step::Crash),
        1 => (pick(), code()).prop_map(|(pick, code)| Step::AnswerAndCrash { pick, code }),
    ]
}

/// A request in flight.
struct Flight {
    id: AttemptId,
    /// The shard of its endpoint, and the epoch in which it was sent.
    shard: Shard,
    epoch: Epoch,
    end: oneshot::Sender<Option<u16>>,
}

/// The attempts that were sent, each with the epoch in which it was, and in their order.
type Sent = (BTreeSet<(AttemptId, Epoch)>, Vec<AttemptId>);

/// The network between two crashes.
#[derive(Default)]
struct Air {
    flights: Mutex<Vec<Flight>>,
    /// Attempts sent since the last crash, with their epochs, and those sent twice in one epoch.
    sent: Mutex<Sent>,
    arrived: Notify,
}

/// The network, as one node uses it.
struct NodeAir {
    air: Arc<Air>,
    ownership: Arc<Ownership>,
}

#[async_trait]
impl Transport for NodeAir {
    async fn send(&self, job: &LoadedAttempt, _: &InFlight) -> Outcome {
        let (end, wait) = oneshot::channel();
        let shard = Shard::of(job.endpoint.id);
        let epoch = self.ownership.epoch_of(job.endpoint.id).expect("a node sends only what it holds");
        {
            let (sent, twice) = &mut *self.air.sent.lock().unwrap();
            if !sent.insert((job.id, epoch)) {
                twice.push(job.id);
            }
        }
        self.air.flights.lock().unwrap().push(Flight { id: job.id, shard, epoch, end });
        self.air.arrived.notify_one();
        let status = wait.await.unwrap_or(None);
        let failure = match status {
            Some(200) => None,
            Some(_) => Some(ErrorKind::HttpStatus),
            None => Some(ErrorKind::Timeout),
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
            failure: failure.map(|kind| Failure { kind, message: "as the model says".to_owned() }),
            not_before: None,
            route: None,
            is_final: false,
        }
    }
}

/// The program from a start to a crash.
struct Life {
    runtime: tokio::runtime::Runtime,
    store: Arc<SqliteStore>,
    air: Arc<Air>,
    nodes: [Node; 2],
    /// Which node holds a shard, of those that have moved; the others are held by the first.
    holders: BTreeMap<Shard, usize>,
}

/// One of two dispatchers.
struct Node {
    ownership: Arc<Ownership>,
    signals: Arc<LocalSignals>,
    _dispatcher: Dispatcher,
}

impl Node {
    fn start(
        ownership: Arc<Ownership>,
        air: &Arc<Air>,
        store: &Arc<SqliteStore>,
        clock: &Arc<FakeClock>,
    ) -> Node {
        let (signals, queue) = LocalSignals::new();
        let deps = DispatcherDeps {
            store: store.clone(),
            clock: clock.clone(),
            chance: Arc::new(FakeChance::new(0.0)),
            transport: Arc::new(NodeAir { air: air.clone(), ownership: ownership.clone() }),
            ownership: ownership.clone(),
            signals: signals.clone(),
            queue,
        };
        let policy = RetryPolicy {
            schedule: Arc::new(Schedule::new(vec![Span::from_secs(20), Span::from_secs(60)]).unwrap()),
            jitter: 0.0,
            circuit_failures: 0,
            disable: DisableRules { failures: DISABLE_AFTER, after_ms: 0 },
            hold_at_most_ms: 0,
        };
        let limits = SlotLimits { concurrency: SLOTS, endpoint_concurrency: SLOTS_EACH };
        Node { ownership, signals, _dispatcher: Dispatcher::start(deps, policy, limits) }
    }
}

impl Life {
    fn begin(path: &Path, clock: &Arc<FakeClock>) -> Life {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let store = SqliteStore::open(path, Options::new(start_time())).unwrap();
        let air = Arc::new(Air::default());
        let nodes = {
            let _inside = runtime.enter();
            [Ownership::of_everything(), Ownership::of_nothing()]
                .map(|ownership| Node::start(ownership, &air, &store, clock))
        };
        Life { runtime, store, air, nodes, holders: BTreeMap::new() }
    }

    /// Moves a shard to the other node.
    fn move_shard(&mut self, shard: Shard, in_order: bool) {
        let holder = self.holders.entry(shard).or_default();
        let (from, to) = (&self.nodes[*holder], &self.nodes[1 - *holder]);
        if in_order {
            from.ownership.withdraw(shard);
        }
        let epoch = self.runtime.block_on(self.store.shard_take(shard)).unwrap();
        to.ownership.grant(shard, epoch);
        *holder = 1 - *holder;
    }

    /// Whether the result of a request still counts.
    fn is_current(&self, flight: &Flight) -> bool {
        let epoch = self.store.shard_epoch(flight.shard).now_or_never().expect("it is in memory");
        epoch.unwrap() == flight.epoch
    }

    /// Ends it without stopping the dispatchers.
    fn crash(self) {
        self.runtime.block_on(self.store.close());
        self.runtime.shutdown_background();
    }
}

/// The expected state.
#[derive(Debug, Default)]
struct Model {
    /// Failed attempts in a row, by endpoint.
    failures: BTreeMap<EndpointId, u32>,
    /// First attempts of everything that was accepted.
    accepted: BTreeSet<AttemptId>,
    /// The result of each finished attempt.
    ended: BTreeMap<AttemptId, (AttemptStatus, Option<u16>)>,
    /// Attempts that were retried manually.
    superseded: BTreeSet<AttemptId>,
}

struct World {
    place: tempfile::TempDir,
    clock: Arc<FakeClock>,
    life: Option<Life>,
    app: AppId,
    endpoints: Vec<EndpointId>,
    model: Model,
    crashes: usize,
    moves: usize,
    /// Results of requests whose shard had moved.
    stale: usize,
}

impl World {
    fn new() -> World {
        // In memory, because nothing here depends on the disk and commits would wait for it.
        let memory = Path::new("/dev/shm");
        let place = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let clock = Arc::new(FakeClock::new(start_time()));
        let life = Life::begin(&place.path().join("db"), &clock);
        let app = life.runtime.block_on(life.store.app_find(DEFAULT_APP)).unwrap().unwrap().id;
        let make = |n: usize| {
            let settings = endpoints::settings("http://receiver.example/", &[&format!("type{n}")]);
            let endpoint = endpoints::endpoint(app, settings, start_time());
            let id = endpoint.id;
            life.runtime.block_on(life.store.endpoint_insert(endpoint, u32::MAX, activity())).unwrap();
            id
        };
        let endpoints: Vec<_> = (0..ENDPOINTS).map(make).collect();
        let model = Model { failures: endpoints.iter().map(|id| (*id, 0)).collect(), ..Model::default() };
        World { place, clock, life: Some(life), app, endpoints, model, crashes: 0, moves: 0, stale: 0 }
    }

    fn life(&self) -> &Life {
        self.life.as_ref().expect("a crash is followed by a start")
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.life().runtime.block_on(future)
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Post { endpoint, count } => self.post(*endpoint, *count),
            Step::Answer { pick, code } => self.answer(*pick, Some(*code)),
            Step::TimeOut { pick } => self.answer(*pick, None),
            Step::Pass { seconds } => self.clock.advance_ms(seconds * 1_000),
            Step::Retry { pick } => self.retry(*pick),
            Step::Status { endpoint, status } => self.set_status(*endpoint, *status),
            Step::Move { endpoint, in_order } => {
                let shard = Shard::of(self.endpoints[*endpoint]);
                self.life.as_mut().expect("a crash is followed by a start").move_shard(shard, *in_order);
                self.moves += 1;
            }
            Step::Crash => self.crash(),
            Step::AnswerAndCrash { pick, code } => {
                let Some(flight) = self.flight(*pick) else { return };
                if !self.life().is_current(&flight) {
                    flight.end.send(Some(*code)).ok();
                    return self.crash();
                }
                let Flight { id, end, .. } = flight;
                let before = self.row(id);
                end.send(Some(*code)).ok();
                self.crash();
                let after = self.row(id);
                if has_ended(&after) {
                    self.ended(&before, &after, Some(*code));
                }
            }
        }
    }

    /// Sends a signal to both nodes.
    fn signal(&self, send: impl Fn(&LocalSignals)) {
        let _inside = self.life().runtime.enter();
        self.life().nodes.iter().for_each(|node| send(&node.signals));
    }

    fn post(&mut self, endpoint: usize, count: usize) {
        let event = |n: usize| NewEvent {
            event_type: EventType::parse(&format!("type{endpoint}")).unwrap(),
            payload: Bytes::from(n.to_string()),
            resource_id: None,
            idempotency_key: None,
        };
        let events = (0..count).map(event).collect();
        let taken = self.wait(self.life().store.event_insert(self.app, events, self.clock.now())).unwrap();
        let Taken::All(all) = taken else { panic!("there are no keys") };
        // Deliveries of a paused endpoint are pending, but there is no hint.
        self.model.accepted.extend(all.iter().flat_map(|one| &one.queued).map(|queued| queued.attempt_id));
        let queued: Vec<_> = all.into_iter().flat_map(|one| one.queued).collect();
        self.signal(|signals| signals.queued(&queued));
    }

    /// One of the requests in flight. Waits for one if there is none although something is due.
    fn flight(&self, pick: usize) -> Option<Flight> {
        let air = self.life().air.clone();
        let is_empty = || air.flights.lock().unwrap().is_empty();
        if is_empty() && self.something_is_due() {
            self.wait(in_time("a request for what is due", async {
                while is_empty() {
                    // The table is polled every few seconds of the clock that the test advances.
                    if tokio::time::timeout(Duration::from_millis(50), air.arrived.notified()).await.is_err()
                    {
                        self.clock.advance_ms(5_000);
                    }
                }
            }));
        }
        let mut flights = air.flights.lock().unwrap();
        if flights.is_empty() {
            return None;
        }
        let at = pick % flights.len();
        Some(flights.remove(at))
    }

    fn something_is_due(&self) -> bool {
        let now = self.clock.now();
        let active: BTreeSet<_> =
            self.endpoints.iter().filter(|id| self.endpoint(**id).status == EndpointStatus::Active).collect();
        let is_due = |row: &Attempt| {
            row.status == AttemptStatus::Pending
                && row.due_at.is_some_and(|at| at <= now)
                && active.contains(&row.endpoint_id)
        };
        self.log().iter().any(is_due)
    }

    fn answer(&mut self, pick: usize, code: Option<u16>) {
        let Some(flight) = self.flight(pick) else { return };
        if !self.life().is_current(&flight) {
            // The result is discarded, so there is nothing to wait for.
            flight.end.send(code).ok();
            self.stale += 1;
            return;
        }
        let Flight { id, shard, end, .. } = flight;
        let before = self.row(id);
        let holder = self.life().holders.get(&shard).copied().unwrap_or(0);
        let mut results = self.life().nodes[holder].signals.results();
        results.mark_unchanged();
        end.send(code).ok();
        let after = self.wait(in_time("the result", async {
            loop {
                let row = self.row_of(id).await;
                if has_ended(&row) {
                    return row;
                }
                // The change may have been another result.
                tokio::time::timeout(Duration::from_millis(20), results.changed()).await.ok();
            }
        }));
        self.ended(&before, &after, code);
    }

    /// Records the result of an attempt, and its effect on its endpoint.
    fn ended(&mut self, before: &Attempt, after: &Attempt, code: Option<u16>) {
        assert_eq!(after.response_status, code, "{after:?}");
        let endpoint = self.endpoint(after.endpoint_id);
        let failures = self.model.failures.get_mut(&after.endpoint_id).unwrap();
        let counted = if code == Some(200) { 0 } else { *failures + 1 };
        // An attempt that was cancelled while in flight does not count. Cancelling follows the disabling some
        // time later, so only the storage knows which ones.
        let was_disabled =
            endpoint.status == EndpointStatus::Disabled && endpoint.consecutive_failures == *failures;
        if before.status == AttemptStatus::Pending && !was_disabled {
            *failures = counted;
        }
    }

    fn retry(&mut self, pick: usize) {
        let log = self.log();
        let Some(row) = log.get(pick % log.len().max(1)) else { return };
        let retried = self.life().store.attempt_retry(self.app, row.id, vec![], self.clock.now(), activity());
        let Retried::Queued(attempt, queued) = self.wait(retried).unwrap() else { return };
        if attempt.attempt == 1 {
            self.model.accepted.insert(attempt.id);
        }
        let exhausted = log.iter().filter(|other| other.delivery_id == row.delivery_id);
        self.model.superseded.extend(exhausted.map(|row| row.id));
        self.signal(|signals| signals.queued(&[queued]));
    }

    fn set_status(&mut self, endpoint: usize, status: EndpointStatus) {
        let id = self.endpoints[endpoint];
        let patch = EndpointPatch { status: Some(status), ..EndpointPatch::default() };
        let changed = self.life().store.endpoint_update(self.app, id, patch, self.clock.now(), activity());
        self.wait(changed).unwrap();
        if status == EndpointStatus::Active {
            self.model.failures.insert(id, 0);
        }
        self.signal(|signals| signals.endpoint_changed(id));
    }

    fn crash(&mut self) {
        self.sent_once();
        self.life.take().expect("it lives").crash();
        self.crashes += 1;
        self.life = Some(Life::begin(&self.place.path().join("db"), &self.clock));
    }

    fn endpoint(&self, id: EndpointId) -> Endpoint {
        self.wait(self.life().store.endpoint_get(self.app, id)).unwrap().unwrap()
    }

    fn row(&self, id: AttemptId) -> Attempt {
        self.wait(self.row_of(id))
    }

    async fn row_of(&self, id: AttemptId) -> Attempt {
        self.life().store.attempt_get(self.app, id).await.unwrap().unwrap().attempt
    }

    fn log(&self) -> Vec<Attempt> {
        let mut rows = Vec::new();
        for page in 1.. {
            let page = PageRequest { start: Start::Page(page), per_page: 200 };
            let list = self.life().store.attempt_list(self.app, Default::default(), Default::default(), page);
            let list = self.wait(list).unwrap().rows;
            let is_last = list.len() < 200;
            rows.extend(list);
            if is_last {
                return rows;
            }
        }
        unreachable!("a page is not full at some time")
    }

    /// What must be true after every step.
    fn check(&mut self) {
        let log = self.log();
        let mut owners: BTreeMap<AttemptId, usize> = BTreeMap::new();
        for row in &log {
            *owners.entry(row.delivery_id).or_default() += usize::from(row.status != AttemptStatus::Failed);
            self.ends_once(row);
        }
        for id in &self.model.accepted {
            assert_eq!(owners.get(id), Some(&1), "delivery {id:?} does not have exactly one open row");
        }
        for (id, failures) in &self.model.failures {
            let found = self.endpoint(*id);
            assert_eq!(found.consecutive_failures, *failures, "the failure counter of {found:?}");
        }
        self.sent_once();
    }

    fn ends_once(&mut self, row: &Attempt) {
        use AttemptStatus::{Cancelled, Exhausted, Failed, Pending};
        if matches!(row.status, Pending | Cancelled) {
            let known = self.model.ended.get(&row.id);
            assert!(known.is_none(), "{row:?} had ended as {known:?}");
            return;
        }
        let end = (row.status, row.response_status);
        let known = *self.model.ended.entry(row.id).or_insert(end);
        // An exhausted attempt becomes failed when its delivery is retried.
        let went_on =
            known == (Exhausted, end.1) && end.0 == Failed && self.model.superseded.contains(&row.id);
        assert!(known == end || went_on, "{row:?} had ended as {known:?}");
        self.model.ended.insert(row.id, end);
    }

    fn sent_once(&self) {
        let (_, twice) = &*self.life().air.sent.lock().unwrap();
        assert!(twice.is_empty(), "sent twice in one epoch: {twice:?}");
        for flight in &*self.life().air.flights.lock().unwrap() {
            assert!(
                !self.model.ended.contains_key(&flight.id) || !self.life().is_current(flight),
                "{:?} is in flight after its result",
                flight.id
            );
        }
    }

    /// Finishes everything that is pending.
    fn drain(&mut self) {
        for endpoint in 0..ENDPOINTS {
            self.set_status(endpoint, EndpointStatus::Active);
        }
        while self.log().iter().any(|row| row.status == AttemptStatus::Pending) {
            if !self.something_is_due() {
                self.clock.advance_ms(60_000);
            }
            self.answer(0, Some(200));
        }
        self.check();
    }
}

fn has_ended(row: &Attempt) -> bool {
    !matches!(row.status, AttemptStatus::Pending | AttemptStatus::Cancelled)
}

fn activity() -> Activity {
    By::system().activity(ActivityKind::EndpointCreated, None, String::new(), json!({}), start_time())
}

/// The sums of all runs.
#[derive(Default)]
struct Figures {
    steps: usize,
    crashes: usize,
    moves: usize,
    stale: usize,
    attempts: usize,
}

#[test]
fn every_delivery_has_one_owner_and_every_attempt_one_result() {
    let mut dice = Dice::of("model");
    let seed: Vec<u8> = (0..4).flat_map(|_| dice.next().to_le_bytes()).collect();
    let cases = form(25, 1_000);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let figures = Mutex::new(Figures::default());
    let steps = proptest::collection::vec(step(), STEPS);
    let done = runner.run(&steps, |steps| {
        let mut world = World::new();
        for step in &steps {
            world.run(step);
            world.check();
        }
        world.drain();
        let mut all = figures.lock().unwrap();
        all.steps += steps.len();
        all.crashes += world.crashes;
        all.moves += world.moves;
        all.stale += world.stale;
        all.attempts += world.model.ended.len();
        drop(all);
        world.life.take().expect("it lives").crash();
        Ok(())
    });
    if let Err(error) = done {
        panic!("{error}");
    }
    let Figures { steps, crashes, moves, stale, attempts } = figures.into_inner().unwrap();
    assert!(moves == 0 || stale > 0, "no shard moved while a request was in flight");
    say(
        "model",
        format!(
            "{steps} steps with {crashes} crashes, {moves} moves of shards, {stale} stale results and {attempts} \
             attempts: each with one owner, none finished twice"
        ),
    );
}
