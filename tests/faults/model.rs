//! Random operations on the dispatcher, the storage and a receiver, with a crash as one of them, against a model
//! that knows what must be true after each:
//!
//! * every accepted delivery has an owner: one row of it, and only one, is pending or at its end;
//! * what is due is sent, whatever went before;
//! * no attempt is finished twice, and none is sent after it was finished, nor twice in one life;
//! * an endpoint's failure counter is what its answers say.
//!
//! A crash takes the dispatcher away in the middle of whatever it does, with its requests in the air. What the disk
//! holds then is the matter of [`crate::crash`] and [`crate::power`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use postrider::delivery::courier::{InFlight, RetryPolicy, Transport};
use postrider::delivery::scheduling::dispatcher::{Dispatcher, Limits};
use postrider::domain::access::app::DEFAULT_APP;
use postrider::domain::attempts::attempt::{Attempt, Failure, Response};
use postrider::domain::attempts::retry::Schedule;
use postrider::domain::values::list::{PageRequest, Start};
use postrider::domain::{
    Activity, ActivityKind, AppId, AttemptId, AttemptStatus, Endpoint, EndpointId, EndpointStatus, ErrorKind,
    EventType, Headers, Outcome, Span,
};
use postrider::host::clock::{Clock as _, FakeChance, FakeClock};
use postrider::service::By;
use postrider::store::sqlite::{Options, SqliteStore};
use postrider::store::{
    AppStore as _, EndpointPatch, EndpointStore as _, EventStore as _, LoadedAttempt, LogStore as _,
    NewEvent, Retried, Store, Taken,
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
    Crash,
    /// The answer and the crash race: the result may be on disk or not.
    AnswerAndCrash {
        pick: usize,
        code: u16,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let code = || prop_oneof![4 => Just(200u16), 4 => Just(500), 1 => Just(410)];
    let status = prop_oneof![4 => Just(EndpointStatus::Active), 1 => Just(EndpointStatus::Paused)];
    let any = || 0usize..1_000;
    prop_oneof![
        5 => (0..ENDPOINTS, 1usize..4).prop_map(|(endpoint, count)| Step::Post { endpoint, count }),
        8 => (any(), code()).prop_map(|(pick, code)| Step::Answer { pick, code }),
        2 => any().prop_map(|pick| Step::TimeOut { pick }),
        3 => (1i64..90).prop_map(|seconds| Step::Pass { seconds }),
        2 => any().prop_map(|pick| Step::Retry { pick }),
        2 => (0..ENDPOINTS, status).prop_map(|(endpoint, status)| Step::Status { endpoint, status }),
        1 => Just(Step::Crash),
        1 => (any(), code()).prop_map(|(pick, code)| Step::AnswerAndCrash { pick, code }),
    ]
}

/// A request in the air.
struct Flight {
    id: AttemptId,
    end: oneshot::Sender<Option<u16>>,
}

/// The network of one life.
#[derive(Default)]
struct Air {
    flights: Mutex<Vec<Flight>>,
    /// What was sent in this life, and what is sent twice in it.
    sent: Mutex<(BTreeSet<AttemptId>, Vec<AttemptId>)>,
    arrived: Notify,
}

#[async_trait]
impl Transport for Air {
    async fn send(&self, job: &LoadedAttempt, _: &InFlight) -> Outcome {
        let (end, wait) = oneshot::channel();
        {
            let (sent, twice) = &mut *self.sent.lock().unwrap();
            if !sent.insert(job.id) {
                twice.push(job.id);
            }
        }
        self.flights.lock().unwrap().push(Flight { id: job.id, end });
        self.arrived.notify_one();
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
        }
    }
}

/// From a start to a crash.
struct Life {
    runtime: tokio::runtime::Runtime,
    store: Arc<SqliteStore>,
    air: Arc<Air>,
    dispatcher: Dispatcher,
}

impl Life {
    fn begin(path: &Path, clock: &Arc<FakeClock>) -> Life {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let store = SqliteStore::open(path, Options::new(start_time())).unwrap();
        let air = Arc::new(Air::default());
        let policy = RetryPolicy {
            schedule: Arc::new(Schedule::new(vec![Span::from_secs(20), Span::from_secs(60)]).unwrap()),
            jitter: 0.0,
            disable_after_failures: DISABLE_AFTER,
        };
        let limits = Limits { concurrency: SLOTS, endpoint_concurrency: SLOTS_EACH };
        let shared: Arc<dyn Store> = store.clone();
        let dispatcher = {
            let _inside = runtime.enter();
            let chance = Arc::new(FakeChance::new(0.0));
            Dispatcher::start(shared, clock.clone(), chance, air.clone(), policy, limits)
        };
        Life { runtime, store, air, dispatcher }
    }

    /// Ends it without a word to the dispatcher.
    fn crash(self) {
        self.runtime.block_on(self.store.close());
        self.runtime.shutdown_background();
    }
}

/// What must be true.
#[derive(Debug, Default)]
struct Model {
    /// Failed attempts in a row, by endpoint.
    failures: BTreeMap<EndpointId, u32>,
    /// First attempts of everything that was accepted.
    accepted: BTreeSet<AttemptId>,
    /// The end of each attempt that has one.
    ended: BTreeMap<AttemptId, (AttemptStatus, Option<u16>)>,
    /// Attempts that were asked to be sent again by a person.
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
}

impl World {
    fn new() -> World {
        // Commits wait for the disk, and here nothing depends on it.
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
        World { place, clock, life: Some(life), app, endpoints, model, crashes: 0 }
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
            Step::Crash => self.crash(),
            Step::AnswerAndCrash { pick, code } => {
                let flight = self.flight(*pick);
                let Some(Flight { id, end }) = flight else { return };
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
        // Those of a paused endpoint wait and are not told of.
        self.model.accepted.extend(all.iter().flat_map(|one| &one.queued).map(|queued| queued.attempt_id));
        let queued: Vec<_> = all.into_iter().flat_map(|one| one.queued).collect();
        self.wait(async { self.life().dispatcher.queued(&queued) });
    }

    /// One of those in the air. If there is none although something is due, it is waited for.
    fn flight(&self, pick: usize) -> Option<Flight> {
        let air = self.life().air.clone();
        let is_empty = || air.flights.lock().unwrap().is_empty();
        if is_empty() && self.something_is_due() {
            self.wait(in_time("a request for what is due", async {
                while is_empty() {
                    // The table is looked at every few seconds of the clock that the test moves.
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
        let Some(Flight { id, end }) = self.flight(pick) else { return };
        let before = self.row(id);
        let mut results = self.life().dispatcher.results();
        results.mark_unchanged();
        end.send(code).ok();
        let after = self.wait(in_time("the result", async {
            loop {
                let row = self.row_of(id).await;
                if has_ended(&row) {
                    return row;
                }
                // Something else may have been written at the same time.
                tokio::time::timeout(Duration::from_millis(20), results.changed()).await.ok();
            }
        }));
        self.ended(&before, &after, code);
    }

    /// Notes the end of an attempt, and what it means for its endpoint.
    fn ended(&mut self, before: &Attempt, after: &Attempt, code: Option<u16>) {
        assert_eq!(after.response_status, code, "{after:?}");
        let endpoint = self.endpoint(after.endpoint_id);
        let failures = self.model.failures.get_mut(&after.endpoint_id).unwrap();
        let counted = if code == Some(200) { 0 } else { *failures + 1 };
        // What was cancelled while it was in the air does not count. That happens some time after the endpoint was
        // disabled, so of these only the storage knows.
        let was_disabled =
            endpoint.status == EndpointStatus::Disabled && endpoint.consecutive_failures == *failures;
        if before.status == AttemptStatus::Pending && !was_disabled {
            *failures = counted;
        }
    }

    fn retry(&mut self, pick: usize) {
        let log = self.log();
        let Some(row) = log.get(pick % log.len().max(1)) else { return };
        let retried = self.life().store.attempt_retry(self.app, row.id, self.clock.now(), activity());
        let Retried::Queued(attempt, queued) = self.wait(retried).unwrap() else { return };
        if attempt.attempt == 1 {
            self.model.accepted.insert(attempt.id);
        }
        let exhausted = log.iter().filter(|other| other.delivery_id == row.delivery_id);
        self.model.superseded.extend(exhausted.map(|row| row.id));
        self.wait(async { self.life().dispatcher.queued(&[queued]) });
    }

    fn set_status(&mut self, endpoint: usize, status: EndpointStatus) {
        let id = self.endpoints[endpoint];
        let patch = EndpointPatch { status: Some(status), ..EndpointPatch::default() };
        let changed = self.life().store.endpoint_update(self.app, id, patch, self.clock.now(), activity());
        self.wait(changed).unwrap();
        if status == EndpointStatus::Active {
            self.model.failures.insert(id, 0);
        }
        self.wait(async { self.life().dispatcher.endpoint_changed(id) });
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
            assert_eq!(owners.get(id), Some(&1), "delivery {id:?} has not one owner");
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
        // What was exhausted becomes failed when somebody lets the delivery go on.
        let went_on =
            known == (Exhausted, end.1) && end.0 == Failed && self.model.superseded.contains(&row.id);
        assert!(known == end || went_on, "{row:?} had ended as {known:?}");
        self.model.ended.insert(row.id, end);
    }

    fn sent_once(&self) {
        let (_, twice) = &*self.life().air.sent.lock().unwrap();
        assert!(twice.is_empty(), "sent twice in one life: {twice:?}");
        for flight in &*self.life().air.flights.lock().unwrap() {
            assert!(
                !self.model.ended.contains_key(&flight.id),
                "{:?} is in the air after its end",
                flight.id
            );
        }
    }

    /// Lets everything come to its end.
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

#[test]
fn whatever_happens_every_delivery_has_an_owner_and_every_attempt_one_end() {
    let mut dice = Dice::of("model");
    let seed: Vec<u8> = (0..4).flat_map(|_| dice.next().to_le_bytes()).collect();
    let cases = form(25, 1_000);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let figures = Mutex::new((0, 0, 0));
    let steps = proptest::collection::vec(step(), STEPS);
    let done = runner.run(&steps, |steps| {
        let mut world = World::new();
        for step in &steps {
            world.run(step);
            world.check();
        }
        world.drain();
        let (all, crashes, attempts) = &mut *figures.lock().unwrap();
        (*all, *crashes, *attempts) =
            (*all + steps.len(), *crashes + world.crashes, *attempts + world.model.ended.len());
        world.life.take().expect("it lives").crash();
        Ok(())
    });
    if let Err(error) = done {
        panic!("{error}");
    }
    let (steps, crashes, attempts) = *figures.lock().unwrap();
    say(
        "model",
        format!(
            "{steps} steps with {crashes} crashes and {attempts} attempts: every one owned, none ended twice"
        ),
    );
}
