//! Random operations on the dispatcher, the storage and a receiver, a crash among them, checked after each
//! against a model:
//!
//! * every accepted delivery has exactly one row that is pending or final;
//! * whatever is due is sent;
//! * no attempt is finished twice, none is sent after it was finished, and none twice in one epoch of its shard
//!   (between two crashes, if the shard does not move);
//! * an endpoint's failure counter and its hold follow from its responses;
//! * while it is on hold, no more is sent than its probes and what a person asks for;
//! * what has been held for too long is exhausted, but never while it is in flight.
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
use postrider::domain::attempts::hold::{Availability, DisableRules, HoldRules, HoldState};
use postrider::domain::attempts::retry::Schedule;
use postrider::domain::values::list::{PageRequest, Start};
use postrider::domain::{
    Activity, ActivityKind, AppId, AttemptId, AttemptStatus, Endpoint, EndpointId, EndpointStatus, Epoch,
    ErrorKind, EventType, Headers, Outcome, Shard, Span, Timestamp, Trigger,
};
use postrider::host::clock::{Clock as _, FakeChance, FakeClock};
use postrider::service::By;
use postrider::store::sqlite::{Options, SqliteStore};
use postrider::store::{
    AppStore as _, EndpointPatch, EndpointStore as _, EventStore as _, LoadedAttempt, LogStore as _,
    NewEvent, Retried, SendNow, ShardStore as _, Taken,
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
const DISABLE_AFTER: u32 = 8;
const CIRCUIT_FAILURES: u32 = 3;
const HOLD_AT_MOST_MS: i64 = 3_600_000;
/// The pause that a 429 asks for.
const PAUSE_MS: i64 = 45_000;
const STEPS: usize = 100;
/// How many requests, or minutes without one, it takes at most to finish everything.
const DRAIN_ROUNDS: u32 = 10_000;
/// How often a request for what is due is looked for, and how long each time.
const LOOKS: u32 = 600;
const LOOK: Duration = Duration::from_millis(50);

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
    SendNow {
        endpoint: usize,
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
    let code =
        || prop_oneof![6 => Just(200u16), 9 => Just(503), 2 => Just(429), 1 => Just(404), 1 => Just(410)];
    let status = prop_oneof![4 => Just(EndpointStatus::Active), 1 => Just(EndpointStatus::Paused)];
    let pick = || 0usize..1_000;
    prop_oneof![
        5 => (0..ENDPOINTS, 1usize..4).prop_map(|(endpoint, count)| Step::Post { endpoint, count }),
        8 => (pick(), code()).prop_map(|(pick, code)| Step::Answer { pick, code }),
        2 => pick().prop_map(|pick| Step::TimeOut { pick }),
        4 => (1i64..90).prop_map(|seconds| Step::Pass { seconds }),
        1 => (900i64..4_000).prop_map(|seconds| Step::Pass { seconds }),
        2 => pick().prop_map(|pick| Step::Retry { pick }),
        1 => (0..ENDPOINTS).prop_map(|endpoint| Step::SendNow { endpoint }),
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
    /// How many requests each endpoint got since the last crash.
    requests: Mutex<BTreeMap<EndpointId, usize>>,
    arrived: Notify,
}

/// The network, as one node uses it.
struct NodeAir {
    air: Arc<Air>,
    ownership: Arc<Ownership>,
    clock: Arc<FakeClock>,
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
        *self.air.requests.lock().unwrap().entry(job.endpoint.id).or_default() += 1;
        let attempted_at = self.clock.now();
        self.air.flights.lock().unwrap().push(Flight { id: job.id, shard, epoch, end });
        self.air.arrived.notify_one();
        let status = wait.await.unwrap_or(None);
        let failure = match status {
            Some(200) => None,
            Some(_) => Some(ErrorKind::HttpStatus),
            None => Some(ErrorKind::Timeout),
        };
        let finished_at = self.clock.now();
        Outcome {
            attempted_at: Some(attempted_at),
            finished_at,
            response_time_ms: Some(1),
            request: None,
            response: status.map(|status| Response {
                status,
                headers: Headers::default(),
                body: vec![],
                body_truncated: false,
            }),
            failure: failure.map(|kind| Failure { kind, message: "as the model says".to_owned() }),
            not_before: (status == Some(429)).then(|| finished_at.plus_ms(PAUSE_MS)),
            route: None,
            is_final: false,
        }
    }
}

/// What the result of a request says of its endpoint.
fn availability(code: Option<u16>, now: Timestamp) -> Availability {
    match code {
        Some(200) => Availability::Delivered,
        Some(429) => Availability::RateLimited { until: Some(now.plus_ms(PAUSE_MS)) },
        Some(404 | 410) => Availability::Responds,
        _ => Availability::Unavailable,
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
            transport: Arc::new(NodeAir {
                air: air.clone(),
                ownership: ownership.clone(),
                clock: clock.clone(),
            }),
            ownership: ownership.clone(),
            signals: signals.clone(),
            queue,
        };
        let policy = RetryPolicy {
            schedule: Arc::new(Schedule::new(vec![Span::from_secs(20), Span::from_secs(60)]).unwrap()),
            jitter: 0.0,
            circuit_failures: CIRCUIT_FAILURES,
            disable: DisableRules { failures: DISABLE_AFTER, after_ms: 0 },
            hold_at_most_ms: HOLD_AT_MOST_MS,
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
    /// The states that an endpoint's hold may be in: whether a request was sent as a probe is not known here.
    holds: BTreeMap<EndpointId, Vec<HoldState>>,
    /// Endpoints on hold: how many requests they may get.
    watched: BTreeMap<EndpointId, Watched>,
    /// Manual retries of each endpoint: so many single shots may be pending.
    asked: BTreeMap<EndpointId, usize>,
}

/// An endpoint on hold.
#[derive(Debug)]
struct Watched {
    next_probe_at: Timestamp,
    /// Requests that it had got when the hold was seen first.
    before: usize,
    /// Requests that it may get from then on.
    allowed: usize,
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
    /// Holds that began.
    holds: usize,
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
        let model = Model {
            failures: endpoints.iter().map(|id| (*id, 0)).collect(),
            holds: endpoints.iter().map(|id| (*id, vec![HoldState::default()])).collect(),
            ..Model::default()
        };
        let life = Some(life);
        World { place, clock, life, app, endpoints, model, crashes: 0, moves: 0, stale: 0, holds: 0 }
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
            Step::SendNow { endpoint } => self.send_now(self.endpoints[*endpoint]),
            Step::Status { endpoint, status } => self.set_status(*endpoint, *status),
            Step::Move { endpoint, in_order } => {
                let shard = Shard::of(self.endpoints[*endpoint]);
                self.life.as_mut().expect("a crash is followed by a start").move_shard(shard, *in_order);
                self.moves += 1;
                // The new holder may send the probe again, and what was on its way goes on.
                self.allow(self.endpoints[*endpoint], 1 + SLOTS_EACH);
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
        let mut looks = 0;
        while is_empty() && self.something_is_due() {
            looks += 1;
            assert!(looks < LOOKS, "there is no request for what is due: {:#?}", self.log());
            // The table is polled every few seconds of the clock that the test advances.
            if self.wait(async { tokio::time::timeout(LOOK, air.arrived.notified()).await }).is_err() {
                self.clock.advance_ms(5_000);
            }
        }
        let mut flights = air.flights.lock().unwrap();
        if flights.is_empty() {
            return None;
        }
        let at = pick % flights.len();
        Some(flights.remove(at))
    }

    /// Whether an attempt has to be sent now; of an endpoint on hold a probe.
    fn something_is_due(&self) -> bool {
        let now = self.clock.now();
        let holds = self.holds();
        let is_served = |id: &&EndpointId| {
            let may_probe = holds[*id].hold.is_none_or(|hold| hold.next_probe_at <= now);
            may_probe && self.endpoint(**id).status == EndpointStatus::Active
        };
        let served: BTreeSet<_> = self.endpoints.iter().filter(is_served).collect();
        let is_due = |row: &Attempt| {
            row.status == AttemptStatus::Pending
                && row.due_at.is_some_and(|at| at <= now)
                && served.contains(&row.endpoint_id)
        };
        self.log().iter().any(is_due)
    }

    /// The holds of all endpoints, as storage has them.
    fn holds(&self) -> BTreeMap<EndpointId, HoldState> {
        let found = self.life().store.endpoint_conditions(self.app, self.endpoints.clone());
        self.wait(found).unwrap().into_iter().map(|(id, found)| (id, found.trouble.hold)).collect()
    }

    /// An endpoint on hold may get so many requests more.
    fn allow(&mut self, id: EndpointId, more: usize) {
        if let Some(watched) = self.model.watched.get_mut(&id) {
            watched.allowed += more;
        }
    }

    fn send_now(&mut self, id: EndpointId) {
        let sent =
            self.life().store.endpoint_send_now(self.app, id, 1_000, self.clock.now(), Some(activity()));
        if let SendNow::Due { .. } = self.wait(sent).unwrap() {
            let now = self.clock.now();
            let states = self.model.holds.get_mut(&id).unwrap();
            states.iter_mut().for_each(|state| *state = state.probe_now(now));
            // One probe more, even if another is on its way.
            self.allow(id, 1);
        }
        self.signal(|signals| signals.endpoint_changed(id));
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
        let counted = match code {
            Some(200) => 0,
            // A pause that is asked for is no failure.
            Some(429) => *failures,
            _ => *failures + 1,
        };
        // An attempt that was cancelled while in flight does not count. Cancelling follows the disabling some
        // time later, so only the storage knows which ones.
        let was_disabled =
            endpoint.status == EndpointStatus::Disabled && endpoint.consecutive_failures == *failures;
        if before.status == AttemptStatus::Pending && !was_disabled {
            *failures = counted;
        }
        let counts = before.status == AttemptStatus::Pending && !was_disabled;
        self.may_hold(after.endpoint_id, code, counts && before.trigger != Trigger::Manual);
    }

    /// Notes what a result may do to a hold: as that of a probe or not, or nothing, unless it `counts` for sure.
    fn may_hold(&mut self, id: EndpointId, code: Option<u16>, counts: bool) {
        let now = self.clock.now();
        let rules = HoldRules { circuit_failures: CIRCUIT_FAILURES, jitter: false, unit: 0.0 };
        let result = availability(code, now);
        let states = self.model.holds.get_mut(&id).unwrap();
        let after =
            |state: &HoldState| [false, true].map(|is_probe| state.after(result, is_probe, now, rules));
        let mut possible: Vec<_> = states.iter().flat_map(after).collect();
        if !counts {
            possible.append(states);
        }
        *states = possible;
    }

    fn retry(&mut self, pick: usize) {
        let log = self.log();
        let Some(row) = log.get(pick % log.len().max(1)) else { return };
        let retried = self.life().store.attempt_retry(self.app, row.id, vec![], self.clock.now(), activity());
        let Retried::Queued(attempt, queued) = self.wait(retried).unwrap() else { return };
        if attempt.attempt == 1 {
            self.model.accepted.insert(attempt.id);
        }
        let endpoint = row.endpoint_id;
        let exhausted = log.iter().filter(|other| other.delivery_id == row.delivery_id);
        self.model.superseded.extend(exhausted.map(|row| row.id));
        *self.model.asked.entry(endpoint).or_default() += 1;
        self.allow(endpoint, 1);
        self.signal(|signals| signals.queued(&[queued]));
    }

    fn set_status(&mut self, endpoint: usize, status: EndpointStatus) {
        let id = self.endpoints[endpoint];
        let patch = EndpointPatch { status: Some(status), ..EndpointPatch::default() };
        let changed = self.life().store.endpoint_update(self.app, id, patch, self.clock.now(), activity());
        self.wait(changed).unwrap();
        if status == EndpointStatus::Active {
            self.model.failures.insert(id, 0);
            self.model.holds.insert(id, vec![HoldState::default()]);
        }
        self.signal(|signals| signals.endpoint_changed(id));
    }

    fn crash(&mut self) {
        self.sent_once();
        self.life.take().expect("it lives").crash();
        self.crashes += 1;
        self.life = Some(Life::begin(&self.place.path().join("db"), &self.clock));
        // The requests are counted from zero; a probe and single shots that were in flight are sent again.
        for (id, watched) in &mut self.model.watched {
            let asked = self.model.asked.get(id).copied().unwrap_or(0);
            (watched.before, watched.allowed) = (0, 1 + asked);
        }
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
        self.check_holds();
        self.sent_once();
    }

    fn check_holds(&mut self) {
        for (id, state) in self.holds() {
            let possible = self.model.holds.get_mut(&id).unwrap();
            assert!(possible.contains(&state), "a hold is {state:?}, and may be one of {possible:?}");
            *possible = vec![state];
            let requests = self.life().air.requests.lock().unwrap().get(&id).copied().unwrap_or(0);
            let Some(hold) = state.hold else {
                self.model.watched.remove(&id);
                continue;
            };
            let watched = self.model.watched.entry(id).or_insert_with(|| {
                self.holds += 1;
                // The probe, what was on its way, and single shots.
                let asked = self.model.asked.get(&id).copied().unwrap_or(0);
                let allowed = 1 + SLOTS_EACH + asked;
                Watched { next_probe_at: hold.next_probe_at, before: requests, allowed }
            });
            if watched.next_probe_at != hold.next_probe_at {
                watched.next_probe_at = hold.next_probe_at;
                watched.allowed += 1;
            }
            let got = requests.saturating_sub(watched.before);
            assert!(got <= watched.allowed, "{got} requests to an endpoint on hold: {watched:?}");
        }
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
        for round in 0.. {
            if self.log().iter().all(|row| row.status != AttemptStatus::Pending) {
                break;
            }
            assert!(round < DRAIN_ROUNDS, "something stays pending: {:#?}", self.log());
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
    holds: usize,
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
        all.holds += world.holds;
        all.attempts += world.model.ended.len();
        drop(all);
        world.life.take().expect("it lives").crash();
        Ok(())
    });
    if let Err(error) = done {
        panic!("{error}");
    }
    let Figures { steps, crashes, moves, stale, holds, attempts } = figures.into_inner().unwrap();
    assert!(moves == 0 || stale > 0, "no shard moved while a request was in flight");
    assert!(holds > 0, "no endpoint was on hold");
    say(
        "model",
        format!(
            "{steps} steps with {crashes} crashes, {moves} moves of shards, {stale} stale results, {holds} holds and \
             {attempts} attempts: each with one owner, none finished twice"
        ),
    );
}
