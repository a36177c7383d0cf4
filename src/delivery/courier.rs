//! Loads attempts, has them sent, and commits their results.
//!
//! The sender never holds a transaction. A slot is free as soon as the response is there, before the result
//! is committed, because a commit takes longer than a fast receiver. A result is never dropped: if it cannot
//! be committed (a full disk), the courier retries until it can, and reports it, so that the scheduler sends
//! nothing meanwhile.

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::cluster::Ownership;
use crate::domain::attempts::attempt::{Failure, Request};
use crate::domain::attempts::hold::DisableRules;
use crate::domain::attempts::retry::Schedule;
use crate::domain::attempts::transition::Rules;
use crate::domain::{AttemptId, EndpointId, Epoch, ErrorKind, Outcome, Timestamp, Trigger};
use crate::host::clock::{Chance, Clock};
use crate::store::{FinishRules, Finished, LoadedAttempt, SentAs, Store, StoreError, TestDelivery};
use crate::trace;

use super::begin::Begin;
use super::meters::{AttemptSummary, Meters};

/// How long to wait before the commit of a result is retried, in milliseconds.
const COMMIT_AGAIN_MS: u32 = 500;

/// Makes one request. [`crate::delivery::sending::sender::Sender`] does it over the network.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Sends one attempt. Every failure is part of the outcome. The request is noted in `flight` before the
    /// first byte leaves, because this future may be dropped at any later moment; and [`InFlight::begin`] is asked.
    async fn send(&self, attempt: &LoadedAttempt, flight: &InFlight) -> Outcome;
}

/// What is known of a request while it is in flight. The courier holds it, so that an interrupted request is
/// logged exactly as it was sent.
#[derive(Default)]
pub struct InFlight {
    request: Mutex<Option<(Timestamp, Request)>>,
    /// `None`: nobody can take the endpoint away.
    begin: Option<Arc<Begin>>,
}

impl InFlight {
    /// Of a request that may not be begun whenever it is asked for.
    pub fn asking(begin: Option<Arc<Begin>>) -> InFlight {
        InFlight { begin, ..InFlight::default() }
    }

    /// Who is asked right before the first byte is sent. After a refusal the outcome counts nowhere.
    pub fn begin(&self) -> Option<&Arc<Begin>> {
        self.begin.as_ref()
    }

    /// Whether the request was not begun, because it may not be any more.
    pub fn is_refused(&self) -> bool {
        self.begin.as_ref().is_some_and(|begin| begin.is_refused())
    }

    /// Notes the request that is about to be sent, and when it was started.
    pub fn note(&self, attempted_at: Timestamp, request: Request) {
        *self.noted() = Some((attempted_at, request));
    }

    /// Takes what was noted, if anything.
    pub fn take(&self) -> Option<(Timestamp, Request)> {
        self.noted().take()
    }

    /// Whether a request was noted.
    pub fn is_noted(&self) -> bool {
        self.noted().is_some()
    }

    fn noted(&self) -> MutexGuard<'_, Option<(Timestamp, Request)>> {
        // The value is replaced as a whole, so it is consistent even after a panic.
        self.request.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An attempt to send, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claimed {
    pub(super) id: AttemptId,
    pub(super) endpoint: EndpointId,
    pub(super) sent: SentAs,
}

/// How a request ended, as far as it concerns the scheduler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestEnd {
    /// With a 2xx.
    Succeeded,
    Failed,
    TimedOut,
    /// Nothing was sent, for a cause of this machine: it says nothing about the endpoint.
    Local,
}

impl RequestEnd {
    fn of(kind: Option<ErrorKind>) -> RequestEnd {
        match kind {
            None => RequestEnd::Succeeded,
            Some(ErrorKind::Timeout) => RequestEnd::TimedOut,
            Some(ErrorKind::Local) => RequestEnd::Local,
            Some(_) => RequestEnd::Failed,
        }
    }
}

/// The progress of an attempt, for the scheduler.
pub(super) enum CourierReport {
    /// The attempt is no longer pending, its shard is no longer held, or the program is stopping.
    NotSent { id: AttemptId, endpoint: EndpointId },
    /// Storage failed to load the attempt.
    LoadFailed { id: AttemptId, endpoint: EndpointId },
    /// The request is finished; the slot is free.
    Sent { id: AttemptId, endpoint: EndpointId, ended: RequestEnd },
    /// Storage failed to commit a result; the courier retries.
    Stuck,
    /// The result is committed. `was_stuck`: after a [`CourierReport::Stuck`].
    Committed { id: AttemptId, endpoint: EndpointId, finished: Finished, was_stuck: bool },
}

/// What follows a failed attempt.
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    /// For endpoints that have no schedule of their own.
    pub schedule: Arc<Schedule>,
    /// Random extra delay added to each wait, as a fraction: 0.1 = up to 10 %.
    pub jitter: f64,
    /// Failures in a row that put an endpoint on hold; 0 = never.
    pub circuit_failures: u32,
    /// When failures disable an endpoint.
    pub disable: DisableRules,
    /// How long a delivery may be held, in milliseconds; 0 = no limit.
    pub hold_at_most_ms: i64,
}

/// Loads, sends, commits.
pub(super) struct Courier {
    deps: CourierDeps,
    meters: Arc<Meters>,
    sending: SendingAttempts,
}

/// The attempts that are being sent, or whose results are not committed yet, with their endpoints. Clones share them.
#[derive(Clone, Default)]
pub struct SendingAttempts(Arc<Mutex<HashMap<AttemptId, EndpointId>>>);

impl SendingAttempts {
    /// All of them.
    pub fn list(&self) -> Vec<(AttemptId, EndpointId)> {
        self.lock().iter().map(|(id, endpoint)| (*id, *endpoint)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AttemptId, EndpointId>> {
        // Each change is one insertion or removal, so it is consistent even after a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the courier works with.
pub(super) struct CourierDeps {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) chance: Arc<dyn Chance>,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) policy: RetryPolicy,
    pub(super) ownership: Arc<Ownership>,
    /// Cancelled when nothing more may be sent.
    pub(super) stop: CancellationToken,
    /// Cancelled when the time for an orderly stop is over: interrupts requests in flight.
    pub(super) interrupt: CancellationToken,
}

impl Courier {
    /// A courier with new counters.
    pub(super) fn new(deps: CourierDeps) -> Courier {
        Courier { deps, meters: Arc::new(Meters::default()), sending: SendingAttempts::default() }
    }

    /// What is being sent.
    pub(super) fn sending(&self) -> &SendingAttempts {
        &self.sending
    }

    /// How long a delivery may be held, in milliseconds; 0 = no limit.
    pub(super) fn hold_at_most_ms(&self) -> i64 {
        self.deps.policy.hold_at_most_ms
    }

    /// Its counters.
    pub(super) fn meters(&self) -> Arc<Meters> {
        self.meters.clone()
    }

    /// Loads a batch and sends each attempt in a task of its own. Returns when the last result is committed.
    pub(super) async fn carry<F, Fut>(self: Arc<Self>, batch: Vec<Claimed>, tasks: &TaskTracker, report: F)
    where
        F: Fn(CourierReport) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send,
    {
        match self.load(&batch).await {
            Ok(loaded) => self.send_all(batch, loaded, tasks, report).await,
            // One row that cannot be read must not block the others.
            Err(_) if batch.len() > 1 => {
                let (mut readable, mut loaded) = (Vec::new(), Vec::new());
                for one in batch {
                    match self.load(&[one]).await {
                        Ok(attempt) => {
                            readable.push(one);
                            loaded.extend(attempt);
                        }
                        Err(error) => not_loaded(one, &error, &report).await,
                    }
                }
                self.send_all(readable, loaded, tasks, report).await;
            }
            Err(error) => {
                for one in batch {
                    not_loaded(one, &error, &report).await;
                }
            }
        }
    }

    async fn load(&self, batch: &[Claimed]) -> Result<Vec<LoadedAttempt>, StoreError> {
        self.deps.store.queue_load(batch.iter().map(|claimed| claimed.id).collect()).await
    }

    async fn send_all<F, Fut>(
        self: Arc<Self>,
        batch: Vec<Claimed>,
        loaded: Vec<LoadedAttempt>,
        tasks: &TaskTracker,
        report: F,
    ) where
        F: Fn(CourierReport) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send,
    {
        let mut loaded: HashMap<_, _> = loaded.into_iter().map(|attempt| (attempt.id, attempt)).collect();
        let mut last = None;
        for Claimed { id, endpoint, sent } in batch {
            match loaded.remove(&id) {
                Some(attempt) => {
                    if let Some((attempt, sent)) = last.replace((attempt, sent)) {
                        let (courier, report) = (self.clone(), report.clone());
                        // Boxed: the runtime moves a task several times before it runs, and this one is large.
                        tasks.spawn(Box::pin(async move { courier.deliver(attempt, sent, report).await }));
                    }
                }
                None => report(CourierReport::NotSent { id, endpoint }).await,
            }
        }
        // The last one, which is often the only one, runs in this task.
        if let Some((attempt, sent)) = last {
            Box::pin(self.deliver(attempt, sent, report)).await;
        }
    }

    /// Whether a request may be started: the program is not stopping, and the shard has not changed hands.
    fn may_send(&self, endpoint: EndpointId, epoch: Epoch) -> bool {
        !self.deps.stop.is_cancelled() && self.deps.ownership.epoch_of(endpoint) == Some(epoch)
    }

    async fn deliver<F, Fut>(&self, attempt: LoadedAttempt, sent: SentAs, report: F)
    where
        F: Fn(CourierReport) -> Fut,
        Fut: Future<Output = ()>,
    {
        let (id, endpoint, epoch) = (attempt.id, attempt.endpoint.id, sent.epoch);
        // Listed first: who withdraws the shard and then looks finds it there, or it is not sent.
        self.sending.lock().insert(id, endpoint);
        if !self.may_send(endpoint, epoch) {
            self.sending.lock().remove(&id);
            return report(CourierReport::NotSent { id, endpoint }).await;
        }
        let span = trace::attempt(trace::Attempt {
            attempt_id: id.0,
            attempt: attempt.attempt,
            endpoint_id: &endpoint,
            event_id: &attempt.event_id,
            event_type: attempt.event_type.as_str(),
        });
        let flight = InFlight::asking(self.begin(endpoint, epoch));
        let outcome = self.send(&attempt, &flight).instrument(span.clone()).await;
        if flight.is_refused() {
            self.sending.lock().remove(&id);
            tracing::info!(attempt_id = id.0, endpoint_id = %endpoint, "{NOT_BEGUN}");
            return report(CourierReport::NotSent { id, endpoint }).await;
        }
        let failure = outcome.failure.as_ref().map(|f| (f.kind.as_str(), f.message.as_str()));
        trace::attempt_ended(&span, outcome.response.as_ref().map(|r| r.status), failure);
        drop(span);
        let summary = AttemptSummary::from(&outcome);
        log(&attempt, &outcome);
        drop(attempt);
        report(CourierReport::Sent { id, endpoint, ended: RequestEnd::of(summary.kind) }).await;
        let (finished, was_stuck) = self.commit(id, Arc::new(outcome), sent, &report).await;
        match &finished {
            Finished::Done { status, .. } => self.meters.count(*status, &summary),
            Finished::StaleEpoch => {
                self.deps.ownership.refused(endpoint, epoch);
                tracing::warn!(attempt_id = id.0, endpoint_id = %endpoint, %epoch, "{STALE_EPOCH}");
            }
            Finished::Stale => {}
        }
        self.sending.lock().remove(&id);
        report(CourierReport::Committed { id, endpoint, finished, was_stuck }).await;
    }

    /// Asks whether the shard is still held, where somebody can take it.
    fn begin(&self, endpoint: EndpointId, epoch: Epoch) -> Option<Arc<Begin>> {
        let ownership = self.deps.ownership.clone();
        ownership.is_leased().then(|| Begin::when(move || ownership.epoch_of(endpoint) == Some(epoch)))
    }

    /// Makes one request outside the queue and logs it as a test that was requested at `created_at`. An error
    /// means that the request was made, but could not be logged.
    pub(super) async fn send_test(
        &self,
        attempt: LoadedAttempt,
        created_at: Timestamp,
    ) -> Result<(AttemptId, Outcome), StoreError> {
        let outcome = self.send(&attempt, &InFlight::default()).await;
        let (app, endpoint_id) = (attempt.endpoint.app_id, attempt.endpoint.id);
        let test = TestDelivery {
            endpoint_id,
            event_id: attempt.event_id,
            event_type: attempt.event_type,
            payload: attempt.payload,
            created_at,
            outcome: outcome.clone(),
        };
        let recorded = self.deps.store.test_record(app, test).await;
        if let Err(error) = &recorded {
            // The client may be gone; then this line is the only trace of the request.
            tracing::error!(%error, %endpoint_id, "a test was sent, but could not be logged");
        }
        recorded.map(|id| (id, outcome))
    }

    /// Makes the request. There is always an outcome.
    async fn send(&self, attempt: &LoadedAttempt, flight: &InFlight) -> Outcome {
        let _in_flight = self.meters.count_in_flight(attempt.endpoint.app_id);
        let started_at = self.deps.clock.now();
        // A panic must lose neither the slot nor the delivery.
        let sending = AssertUnwindSafe(self.deps.transport.send(attempt, flight)).catch_unwind();
        let (kind, message) = tokio::select! {
            outcome = sending => match outcome {
                Ok(outcome) => return outcome,
                // Once the request was noted, it may have been sent.
                Err(_) if flight.is_noted() => (ErrorKind::Protocol, PANICKED),
                Err(_) => (ErrorKind::Local, PANICKED),
            },
            () = self.deps.interrupt.cancelled() => match attempt.trigger {
                Trigger::Test => (ErrorKind::Interrupted, TEST_INTERRUPTED),
                _ => (ErrorKind::Interrupted, INTERRUPTED),
            },
        };
        let (attempted_at, request) = match flight.take() {
            Some((at, request)) => (at, Some(request)),
            None => (started_at, None),
        };
        Outcome {
            attempted_at: Some(attempted_at),
            finished_at: self.deps.clock.now(),
            response_time_ms: None,
            request,
            response: None,
            failure: Some(Failure { kind, message: message.to_owned() }),
            not_before: None,
            route: None,
            is_final: false,
        }
    }

    /// Commits a result, however long it takes; also says whether it was reported as stuck.
    async fn commit<F, Fut>(
        &self,
        id: AttemptId,
        outcome: Arc<Outcome>,
        sent: SentAs,
        report: &F,
    ) -> (Finished, bool)
    where
        F: Fn(CourierReport) -> Fut,
        Fut: Future<Output = ()>,
    {
        let mut stuck = false;
        loop {
            let rules = Rules {
                circuit_failures: self.deps.policy.circuit_failures,
                disable: self.deps.policy.disable,
                hold_at_most_ms: self.deps.policy.hold_at_most_ms,
                jitter: self.deps.policy.jitter,
                // A random number costs a system call; only a retry needs one.
                unit: if outcome.failure.is_some() { self.deps.chance.unit() } else { 0.0 },
            };
            let rules = FinishRules { rules, default_schedule: self.deps.policy.schedule.clone() };
            match self.deps.store.attempt_finish(id, outcome.clone(), rules, sent).await {
                Ok(finished) => return (finished, stuck),
                // Storage was closed by the stop: the row stays pending and is sent again (at least once).
                Err(StoreError::Closed) => return (Finished::Stale, stuck),
                Err(error) => {
                    if !stuck {
                        tracing::error!(%error, attempt_id = id.0, "a result could not be committed; retrying until it can");
                        stuck = true;
                        report(CourierReport::Stuck).await;
                    }
                    tokio::select! {
                        () = self.deps.clock.sleep_ms(COMMIT_AGAIN_MS) => {}
                        () = self.deps.interrupt.cancelled() => return (Finished::Stale, stuck),
                    }
                }
            }
        }
    }
}

async fn not_loaded<F, Fut>(Claimed { id, endpoint, .. }: Claimed, error: &StoreError, report: &F)
where
    F: Fn(CourierReport) -> Fut,
    Fut: Future<Output = ()>,
{
    tracing::warn!(%error, attempt_id = id.0, "an attempt could not be loaded");
    report(CourierReport::LoadFailed { id, endpoint }).await;
}

const STALE_EPOCH: &str =
    "a result was discarded: the endpoint has moved to another node meanwhile, which sends the attempt again";
const NOT_BEGUN: &str =
    "an attempt was not begun: this node no longer holds the endpoint, or cannot renew its lease";
const INTERRUPTED: &str = "Postrider was stopped while the request was in flight; it is sent again at once.";
const TEST_INTERRUPTED: &str = "Postrider was stopped while the request was in flight.";
const PANICKED: &str = "Postrider itself failed while sending; see its log for where. Please report it.";

fn log(attempt: &LoadedAttempt, outcome: &Outcome) {
    let (attempt_id, endpoint_id, attempt) = (attempt.id.0, attempt.endpoint.id, attempt.attempt);
    let duration_ms = outcome.response_time_ms;
    let status = outcome.response.as_ref().map(|r| r.status);
    match &outcome.failure {
        None => tracing::debug!(attempt_id, %endpoint_id, attempt, status, duration_ms, "delivered"),
        Some(failure) => {
            tracing::info!(attempt_id, %endpoint_id, attempt, status, duration_ms, error_kind = %failure.kind, "not delivered");
        }
    }
}
