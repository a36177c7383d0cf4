//! Carries attempts from the table to the receiver and their results back.
//!
//! An attempt is loaded, sent, and its result written; the sender never holds a transaction. A slot is
//! free as soon as the answer is there, before the result is on disk, because a commit takes longer
//! than a fast receiver. A result is never dropped: while it cannot be written (a full disk) it is
//! tried again and again.

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::{Chance, Clock};
use crate::domain::attempt::Failure;
use crate::domain::retry::Schedule;
use crate::domain::transition::Rules;
use crate::domain::{AttemptId, EndpointId, ErrorKind, Outcome, Timestamp};
use crate::store::{FinishRules, Finished, Job, Store, StoreError};

/// How long to wait before a result that could not be written is tried again, in milliseconds.
const WRITE_AGAIN_MS: i64 = 500;

/// Makes one request. [`super::sender::Sender`] does it over the network.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Sends, and says what became of it; never fails.
    async fn send(&self, job: &Job) -> Outcome;
}

/// What the dispatcher is told. `lane` is `None` for single shots, which have no lane.
pub(super) enum Report {
    /// The row was no longer to be sent.
    NotPending { id: AttemptId, lane: Option<EndpointId> },
    /// Storage did not give the row.
    LoadFailed { id: AttemptId, lane: Option<EndpointId> },
    /// The request is done; the slot is free.
    Sent { lane: Option<EndpointId>, timed_out: bool },
    /// The result is on disk.
    Written { id: AttemptId, endpoint: EndpointId, finished: Finished },
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
        interrupt: CancellationToken,
    ) -> Courier {
        Courier { store, clock, chance, transport, policy, interrupt }
    }

    /// Loads a batch and sends each of it in a task of its own.
    pub(super) async fn carry<F, Fut>(
        self: Arc<Self>,
        batch: Vec<(AttemptId, Option<EndpointId>)>,
        tasks: &TaskTracker,
        report: F,
    ) where
        F: Fn(Report) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send,
    {
        let ids = batch.iter().map(|(id, _)| *id).collect();
        let jobs = match self.store.queue_load(ids).await {
            Ok(jobs) => jobs,
            Err(error) => {
                tracing::warn!(%error, "attempts could not be loaded");
                for (id, lane) in batch {
                    report(Report::LoadFailed { id, lane }).await;
                }
                return;
            }
        };
        let mut jobs: std::collections::HashMap<_, _> = jobs.into_iter().map(|j| (j.id, j)).collect();
        for (id, lane) in batch {
            match jobs.remove(&id) {
                Some(job) => {
                    let (courier, report) = (self.clone(), report.clone());
                    tasks.spawn(async move { courier.deliver(job, lane, report).await });
                }
                None => report(Report::NotPending { id, lane }).await,
            }
        }
    }

    async fn deliver<F, Fut>(&self, job: Job, lane: Option<EndpointId>, report: F)
    where
        F: Fn(Report) -> Fut,
        Fut: Future<Output = ()>,
    {
        let started_at = self.clock.now();
        let outcome = tokio::select! {
            outcome = self.transport.send(&job) => outcome,
            () = self.interrupt.cancelled() => interrupted(started_at, self.clock.now()),
        };
        let kind = outcome.failure.as_ref().map(|f| f.kind);
        log(&job, &outcome);
        report(Report::Sent { lane, timed_out: kind == Some(ErrorKind::Timeout) }).await;
        let finished = self.write(job.id, outcome).await;
        report(Report::Written { id: job.id, endpoint: job.endpoint.id, finished }).await;
    }

    /// Writes a result, however long it takes.
    async fn write(&self, id: AttemptId, outcome: Outcome) -> Finished {
        loop {
            let rules = Rules {
                disable_after_failures: self.policy.disable_after_failures,
                jitter: self.policy.jitter,
                unit: self.chance.unit(),
            };
            let rules = FinishRules { rules, default_schedule: self.policy.schedule.clone() };
            match self.store.attempt_finish(id, outcome.clone(), rules).await {
                Ok(finished) => return finished,
                // After the orderly end of storage the row stays pending and is sent again: at least once.
                Err(StoreError::Closed) => return Finished::Stale,
                Err(error) => {
                    tracing::error!(%error, attempt_id = id.0, "a result could not be written; trying again");
                    let again_at = self.clock.now().plus_ms(WRITE_AGAIN_MS);
                    tokio::select! {
                        () = self.clock.sleep_until(again_at) => {}
                        () = self.interrupt.cancelled() => return Finished::Stale,
                    }
                }
            }
        }
    }
}

fn interrupted(started_at: Timestamp, now: Timestamp) -> Outcome {
    Outcome {
        attempted_at: Some(started_at),
        finished_at: now,
        response_time_ms: None,
        request: None,
        response: None,
        failure: Some(Failure {
            kind: ErrorKind::Interrupted,
            message: "Postrider was stopped while the request was in flight; it is sent again at once."
                .to_owned(),
        }),
        not_before: None,
    }
}

fn log(job: &Job, outcome: &Outcome) {
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
