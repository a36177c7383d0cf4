//! Carries attempts from the table to the receiver and their results back.
//!
//! An attempt is loaded, sent, and its result written; the sender never holds a transaction. A slot is
//! free as soon as the answer is there, before the result is on disk, because a commit takes longer
//! than a fast receiver. A result is never dropped: while it cannot be written (a full disk) it is
//! tried again and again, and the dispatcher is told, so that nothing more is sent meanwhile.

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::domain::attempts::attempt::{Failure, Request};
use crate::domain::attempts::retry::Schedule;
use crate::domain::attempts::transition::Rules;
use crate::domain::{AttemptId, EndpointId, ErrorKind, Outcome, Timestamp, Trigger};
use crate::host::clock::{Chance, Clock};
use crate::store::{FinishRules, Finished, LoadedAttempt, Store, StoreError, TestDelivery};
use crate::trace;

use super::meters::{Ended, Meters};

/// How long to wait before a result that could not be written is tried again, in milliseconds.
const WRITE_AGAIN_MS: u32 = 500;

/// Makes one request. [`crate::delivery::sending::sender::Sender`] does it over the network.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Sends, and says what became of it; never fails. What is sent is noted in `flight` before the
    /// first byte leaves, because this may be dropped at any moment after.
    async fn send(&self, job: &LoadedAttempt, flight: &InFlight) -> Outcome;
}

/// What is known of a request before its end. Whoever waits for the end holds it, so that a request
/// whose end nobody saw is in the log as it was sent all the same.
#[derive(Debug, Default)]
pub struct InFlight(Mutex<Option<(Timestamp, Request)>>);

impl InFlight {
    /// Notes the request that is about to be sent, and when it was begun.
    pub fn note(&self, attempted_at: Timestamp, request: Request) {
        *self.noted() = Some((attempted_at, request));
    }

    /// Gives out what was noted, if anything was.
    pub fn take(&self) -> Option<(Timestamp, Request)> {
        self.noted().take()
    }

    fn noted(&self) -> MutexGuard<'_, Option<(Timestamp, Request)>> {
        // What it holds is replaced as a whole, so it is right even after a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the dispatcher is told.
pub(super) enum Report {
    /// The row was no longer to be sent, or sending has ended.
    NotSent { id: AttemptId, endpoint: EndpointId },
    /// Storage did not give the row.
    LoadFailed { id: AttemptId, endpoint: EndpointId },
    /// The request is done; the slot is free.
    Sent { id: AttemptId, endpoint: EndpointId, timed_out: bool },
    /// Storage did not take a result; it is tried again until it does.
    Stuck,
    /// The result is on disk. `was_stuck`: after a [`Report::Stuck`].
    Written { id: AttemptId, endpoint: EndpointId, finished: Finished, was_stuck: bool },
}

/// The policy for what follows a failure.
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    /// For endpoints that have no schedule of their own.
    pub schedule: Arc<Schedule>,
    /// Share of a wait by which it may be longer: 0.1 = 10 %.
    pub jitter: f64,
    /// Failed attempts in a row that disable an endpoint; 0 = never.
    pub disable_after_failures: u32,
}

/// Loads, sends, writes.
pub(super) struct Courier {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    chance: Arc<dyn Chance>,
    transport: Arc<dyn Transport>,
    policy: RetryPolicy,
    meters: Arc<Meters>,
    /// Cancelled when nothing more is to be sent.
    stop: CancellationToken,
    /// Cancelled when the time for an orderly stop is over: requests in flight are interrupted.
    interrupt: CancellationToken,
}

impl Courier {
    /// Joins the parts.
    pub(super) fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        chance: Arc<dyn Chance>,
        transport: Arc<dyn Transport>,
        policy: RetryPolicy,
        stop: CancellationToken,
        interrupt: CancellationToken,
    ) -> Courier {
        let meters = Arc::new(Meters::default());
        Courier { store, clock, chance, transport, policy, meters, stop, interrupt }
    }

    /// What it counts of itself.
    pub(super) fn meters(&self) -> Arc<Meters> {
        self.meters.clone()
    }

    /// Loads a batch and sends each of it in a task of its own. Ends when the last one has been written.
    pub(super) async fn carry<F, Fut>(
        self: Arc<Self>,
        batch: Vec<(AttemptId, EndpointId)>,
        tasks: &TaskTracker,
        report: F,
    ) where
        F: Fn(Report) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send,
    {
        match self.load(&batch).await {
            Ok(jobs) => self.send_all(batch, jobs, tasks, report).await,
            // One row that cannot be read must not hold up the others.
            Err(_) if batch.len() > 1 => {
                let (mut readable, mut jobs) = (Vec::new(), Vec::new());
                for one in batch {
                    match self.load(&[one]).await {
                        Ok(job) => {
                            readable.push(one);
                            jobs.extend(job);
                        }
                        Err(error) => not_loaded(one, &error, &report).await,
                    }
                }
                self.send_all(readable, jobs, tasks, report).await;
            }
            Err(error) => {
                for one in batch {
                    not_loaded(one, &error, &report).await;
                }
            }
        }
    }

    async fn load(&self, batch: &[(AttemptId, EndpointId)]) -> Result<Vec<LoadedAttempt>, StoreError> {
        self.store.queue_load(batch.iter().map(|(id, _)| *id).collect()).await
    }

    async fn send_all<F, Fut>(
        self: Arc<Self>,
        batch: Vec<(AttemptId, EndpointId)>,
        jobs: Vec<LoadedAttempt>,
        tasks: &TaskTracker,
        report: F,
    ) where
        F: Fn(Report) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send,
    {
        let mut jobs: HashMap<_, _> = jobs.into_iter().map(|j| (j.id, j)).collect();
        let mut last = None;
        for (id, endpoint) in batch {
            match jobs.remove(&id) {
                Some(job) if !self.stop.is_cancelled() => {
                    if let Some(job) = last.replace(job) {
                        let (courier, report) = (self.clone(), report.clone());
                        tasks.spawn(async move { courier.deliver(job, report).await });
                    }
                }
                _ => report(Report::NotSent { id, endpoint }).await,
            }
        }
        // The last one, which is often the only one, has this task.
        if let Some(job) = last {
            self.deliver(job, report).await;
        }
    }

    async fn deliver<F, Fut>(&self, job: LoadedAttempt, report: F)
    where
        F: Fn(Report) -> Fut,
        Fut: Future<Output = ()>,
    {
        let (id, endpoint) = (job.id, job.endpoint.id);
        let span = trace::attempt(trace::Attempt {
            attempt_id: id.0,
            attempt: job.attempt,
            endpoint_id: &endpoint,
            event_id: &job.event_id,
            event_type: job.event_type.as_str(),
        });
        let outcome = self.send(&job).instrument(span.clone()).await;
        let failure = outcome.failure.as_ref().map(|f| (f.kind.as_str(), f.message.as_str()));
        trace::attempt_ended(&span, outcome.response.as_ref().map(|r| r.status), failure);
        drop(span);
        let ended = Ended::from(&outcome);
        log(&job, &outcome);
        drop(job);
        report(Report::Sent { id, endpoint, timed_out: ended.kind == Some(ErrorKind::Timeout) }).await;
        let (finished, was_stuck) = self.write(id, Arc::new(outcome), &report).await;
        if let Finished::Done { status, .. } = &finished {
            self.meters.ended(*status, &ended);
        }
        report(Report::Written { id, endpoint, finished, was_stuck }).await;
    }

    /// Makes one request outside the queue, and puts it in the log as a test that was asked for at
    /// `created_at`. Fails when the log could not be written, although the request was made.
    pub(super) async fn probe(
        &self,
        job: LoadedAttempt,
        created_at: Timestamp,
    ) -> Result<(AttemptId, Outcome), StoreError> {
        let outcome = self.send(&job).await;
        let (app, endpoint_id) = (job.endpoint.app_id, job.endpoint.id);
        let test = TestDelivery {
            endpoint_id,
            event_id: job.event_id,
            event_type: job.event_type,
            payload: job.payload,
            created_at,
            outcome: outcome.clone(),
        };
        let recorded = self.store.test_record(app, test).await;
        if let Err(error) = &recorded {
            // The client may be gone; then nobody else hears of it.
            tracing::error!(%error, %endpoint_id, "a test was sent, but could not be written to the log");
        }
        recorded.map(|id| (id, outcome))
    }

    /// Makes the request; it ends with an outcome in any case.
    async fn send(&self, job: &LoadedAttempt) -> Outcome {
        let _flying = self.meters.fly(job.endpoint.app_id);
        let started_at = self.clock.now();
        let flight = InFlight::default();
        // A panic must cost neither the slot nor the delivery.
        let sending = AssertUnwindSafe(self.transport.send(job, &flight)).catch_unwind();
        let (kind, message) = tokio::select! {
            outcome = sending => match outcome {
                Ok(outcome) => return outcome,
                Err(_) => (ErrorKind::Protocol, PANICKED),
            },
            () = self.interrupt.cancelled() => match job.trigger {
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
            finished_at: self.clock.now(),
            response_time_ms: None,
            request,
            response: None,
            failure: Some(Failure { kind, message: message.to_owned() }),
            not_before: None,
        }
    }

    /// Writes a result, however long it takes. Says, too, whether it was reported as stuck.
    async fn write<F, Fut>(&self, id: AttemptId, outcome: Arc<Outcome>, report: &F) -> (Finished, bool)
    where
        F: Fn(Report) -> Fut,
        Fut: Future<Output = ()>,
    {
        let mut stuck = false;
        loop {
            let rules = Rules {
                disable_after_failures: self.policy.disable_after_failures,
                jitter: self.policy.jitter,
                // Chance is a question to the system; only a wait for the next attempt needs it.
                unit: if outcome.failure.is_some() { self.chance.unit() } else { 0.0 },
            };
            let rules = FinishRules { rules, default_schedule: self.policy.schedule.clone() };
            match self.store.attempt_finish(id, outcome.clone(), rules).await {
                Ok(finished) => return (finished, stuck),
                // After the orderly end of storage the row stays pending and is sent again: at least once.
                Err(StoreError::Closed) => return (Finished::Stale, stuck),
                Err(error) => {
                    if !stuck {
                        tracing::error!(%error, attempt_id = id.0, "a result could not be written; it is tried again until it can");
                        stuck = true;
                        report(Report::Stuck).await;
                    }
                    tokio::select! {
                        () = self.clock.sleep_ms(WRITE_AGAIN_MS) => {}
                        () = self.interrupt.cancelled() => return (Finished::Stale, stuck),
                    }
                }
            }
        }
    }
}

async fn not_loaded<F, Fut>((id, endpoint): (AttemptId, EndpointId), error: &StoreError, report: &F)
where
    F: Fn(Report) -> Fut,
    Fut: Future<Output = ()>,
{
    tracing::warn!(%error, attempt_id = id.0, "an attempt could not be loaded");
    report(Report::LoadFailed { id, endpoint }).await;
}

const INTERRUPTED: &str = "Postrider was stopped while the request was in flight; it is sent again at once.";
const TEST_INTERRUPTED: &str = "Postrider was stopped while the request was in flight.";
const PANICKED: &str = "Postrider itself failed while it was sending; its log says where. Please report it.";

fn log(job: &LoadedAttempt, outcome: &Outcome) {
    let (attempt_id, endpoint_id, attempt) = (job.id.0, job.endpoint.id, job.attempt);
    let duration_ms = outcome.response_time_ms;
    let status = outcome.response.as_ref().map(|r| r.status);
    match &outcome.failure {
        None => tracing::debug!(attempt_id, %endpoint_id, attempt, status, duration_ms, "delivered"),
        Some(failure) => {
            tracing::info!(attempt_id, %endpoint_id, attempt, status, duration_ms, error_kind = %failure.kind, "not delivered");
        }
    }
}
