//! Queues bulk jobs in the background, a step at a time.
//!
//! A job is a row of a table that records its progress. Each step is one short transaction that makes up to a
//! thousand deliveries pending; other writes happen between steps. After a crash the oldest job that is not
//! wholly queued continues from its row, so nothing here has to be remembered, and jobs are queued one after
//! the other. Of several nodes the leader queues them.
//!
//! This only makes rows pending. The scheduler keeps them behind fresh events: bulk work has a window of its
//! own ([`crate::delivery::scheduling::lane`]). The alternative, releasing a few rows at a time and adding
//! more as they finish, would need a second scheduler that follows every result, and a job could be neither
//! seen in the log nor cancelled there before its turn.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cluster::{Leadership, Signals};
use crate::host::clock::Clock;
use crate::store::{JobStep, Store, StoreError};

/// How often the table is polled for a job whose hint was lost, in milliseconds.
const POLL_EVERY_MS: u32 = 5_000;
/// How long to wait after a failure, in milliseconds.
const RETRY_AFTER_MS: u32 = 500;

/// Queues bulk jobs in a task of its own.
pub struct BulkJobRunner {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl BulkJobRunner {
    /// Starts the task. Unfinished jobs continue at once. `waiting` hints at new jobs.
    pub fn start(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        leadership: Arc<dyn Leadership>,
        signals: Arc<dyn Signals>,
        waiting: Arc<Notify>,
    ) -> BulkJobRunner {
        let stop = CancellationToken::new();
        let queueing = Queueing { store, clock, leadership, signals, waiting };
        let task = tokio::spawn(queueing.run(stop.clone()));
        BulkJobRunner { stop, task }
    }

    /// Starts no further step, and returns when the last one is committed.
    pub async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "queueing bulk jobs failed");
        }
    }
}

/// The task.
struct Queueing {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    leadership: Arc<dyn Leadership>,
    signals: Arc<dyn Signals>,
    waiting: Arc<Notify>,
}

impl Queueing {
    async fn run(self, stop: CancellationToken) {
        let mut leads = self.leadership.watch();
        while !stop.is_cancelled() {
            let is_leader = *leads.borrow_and_update();
            let step = match is_leader {
                true => self.store.job_step(self.clock.now()).await,
                false => Ok(JobStep::default()),
            };
            let wait_ms = match step {
                Ok(JobStep { queued, more }) => {
                    self.signals.queued(&queued);
                    if more {
                        continue;
                    }
                    POLL_EVERY_MS
                }
                Err(StoreError::Closed) => return,
                Err(error) => {
                    tracing::warn!(%error, "a bulk job could not be queued; retrying");
                    RETRY_AFTER_MS
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.waiting.notified() => {}
                Ok(()) = leads.changed() => {}
                () = self.clock.sleep_ms(wait_ms) => {}
            }
        }
    }
}
