//! What cannot be seen from outside: the order in which lanes are refilled after a poll.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::cluster::LocalSignals;
use crate::delivery::courier::{CourierDeps, InFlight, RetryPolicy, Transport};
use crate::delivery::scheduling::poll::Poll;
use crate::domain::attempts::hold::DisableRules;
use crate::domain::attempts::retry::Schedule;
use crate::domain::{AttemptId, Outcome, Span};
use crate::host::clock::{FakeChance, FakeClock};
use crate::store::location::{Location, Purpose};
use crate::store::{Due, DueHold, EndpointQueue, Line, LoadedAttempt};

/// Sends nothing.
struct NoTransport;

#[async_trait]
impl Transport for NoTransport {
    async fn send(&self, _: &LoadedAttempt, _: &InFlight) -> Outcome {
        unreachable!("there is no attempt")
    }
}

fn now() -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000)
}

/// A scheduler whose loop does not run: the test calls it. The rest has to outlive it.
fn scheduler() -> (Scheduler, mpsc::Receiver<SchedulerMessage>, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let store = Location::File(dir.path().join("p.db")).open(Purpose::Command, now()).unwrap();
    let clock = Arc::new(FakeClock::new(now()));
    let ownership = Ownership::of_everything();
    let (messages, inbox) = mpsc::channel(INBOX_SIZE);
    let (stop, abort) = (CancellationToken::new(), CancellationToken::new());
    let courier = Courier::new(CourierDeps {
        store: store.clone(),
        clock: clock.clone(),
        chance: Arc::new(FakeChance::new(0.0)),
        transport: Arc::new(NoTransport),
        policy: RetryPolicy {
            schedule: Arc::new(Schedule::new(vec![Span::from_secs(60)]).unwrap()),
            jitter: 0.0,
            circuit_failures: 0,
            disable: DisableRules { failures: 0, after_ms: 0 },
            hold_at_most_ms: 0,
        },
        ownership: ownership.clone(),
        stop: stop.clone(),
        interrupt: abort.clone(),
    });
    let (signals, _) = LocalSignals::new();
    let deps = SchedulerDeps {
        store,
        clock,
        courier: Arc::new(courier),
        limits: SlotLimits { concurrency: 8, endpoint_concurrency: 8 },
        messages,
        tasks: TaskTracker::new(),
        abort,
        ready: watch::channel(false).0,
        signals,
        ownership,
    };
    (Scheduler::new(deps), inbox, dir)
}

/// Ten endpoints.
fn endpoints() -> Vec<EndpointId> {
    (0..10).map(|n| EndpointId::new(now().plus_ms(n))).collect()
}

fn found(endpoints: &[EndpointId]) -> Poll {
    let queue = |id: &EndpointId| EndpointQueue { endpoint_id: *id, earliest: now() };
    Poll {
        endpoints: endpoints.iter().map(queue).collect(),
        singles: Vec::new(),
        cancelled: 0,
        overdue: Vec::new(),
        more: false,
    }
}

/// The endpoints whose refills wait for a turn, in order.
fn waiting(scheduler: &mut Scheduler) -> Vec<EndpointId> {
    std::iter::from_fn(|| scheduler.refill_queue.pop()).map(|(endpoint, _)| endpoint).collect()
}

#[tokio::test]
async fn an_endpoint_that_a_poll_finds_before_its_hint_is_read_before_every_backlog() {
    let endpoints = endpoints();
    let (quiet, busy) = endpoints.split_last().unwrap();
    let (mut scheduler, _inbox, _dir) = scheduler();
    scheduler.polled(Ok(found(busy)));
    scheduler.polled(Ok(found(&endpoints)));
    assert_eq!(waiting(&mut scheduler)[0], *quiet);
}

#[tokio::test]
async fn after_the_start_and_a_change_of_ownership_a_poll_finds_backlogs_which_are_read_in_turn() {
    let endpoints = endpoints();
    let (mut scheduler, _inbox, _dir) = scheduler();
    scheduler.polled(Ok(found(&endpoints)));
    // Three at a time.
    assert_eq!(waiting(&mut scheduler), endpoints[3..]);

    let (mut scheduler, _inbox, _dir) = self::scheduler();
    scheduler.polled(Ok(found(&endpoints[..9])));
    scheduler.ownership_changed();
    scheduler.polled(Ok(found(&endpoints)));
    assert_eq!(waiting(&mut scheduler).last(), endpoints.last());
}

#[tokio::test]
async fn an_endpoint_with_nothing_left_to_send_is_read_before_every_backlog() {
    let endpoints = endpoints();
    let (quiet, busy) = endpoints.split_first().unwrap();
    let (mut scheduler, _inbox, _dir) = scheduler();
    scheduler.polled(Ok(found(&endpoints)));
    waiting(&mut scheduler);
    scheduler.refilled(*quiet, Ok(Due { attempts: vec![AttemptId(1)], ..Due::default() }));
    for (n, endpoint) in (1..).zip(busy) {
        let attempts = (n * 10..n * 10 + 5).map(AttemptId).collect();
        scheduler.refilled(*endpoint, Ok(Due { attempts, more: true, ..Due::default() }));
    }
    // All of them have something to send when the next poll ends.
    scheduler.polled(Ok(found(&endpoints)));
    scheduler.send_due();
    assert_eq!(waiting(&mut scheduler)[0], *quiet);
}

#[tokio::test]
async fn a_probe_that_was_chosen_and_not_sent_when_the_hold_ends_is_sent_like_others() {
    let endpoint = endpoints()[0];
    let (mut scheduler, _inbox, _dir) = scheduler();
    scheduler.polled(Ok(found(&[endpoint])));
    let hold = DueHold { next_probe_at: now(), probes: vec![(AttemptId(1), Line::Fresh)] };
    scheduler.refilled(endpoint, Ok(Due { hold: Some(hold), ..Due::default() }));
    assert!(!scheduler.lane(endpoint).may_probe(), "it is chosen, and waits for a slot");
    // The hold has ended by another request, whose report comes later.
    scheduler.refilled(endpoint, Ok(Due { attempts: vec![AttemptId(1), AttemptId(2)], ..Due::default() }));
    let lane = scheduler.lane(endpoint);
    let next = [lane.pop(), lane.pop(), lane.pop()].map(|hint| hint.map(|hint| hint.id));
    assert_eq!(next, [Some(AttemptId(1)), Some(AttemptId(2)), None]);
}
