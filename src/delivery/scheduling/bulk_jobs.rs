//! Queues bulk jobs in the background, a step at a time.
//!
//! A job is a row of a table that says how far it has come. Each step is one short transaction that
//! makes up to a thousand deliveries pending; whoever else writes comes in between. After a crash the
//! oldest job that is not wholly queued simply goes on from its row, so nothing here has to be
//! remembered, and jobs are queued one after the other.
//!
//! Making rows pending is all that happens here. That they do not stand before fresh events is the
//! dispatcher's business ([`crate::delivery::scheduling::lane`]): bulk rows are a queue of their own behind the fresh ones of
//! each endpoint. The other way, to release a few rows at a time and top them up as they finish, would
//! need a second scheduler that follows every result, and a job could not be seen in the log, nor be
//! cancelled there, before its turn.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::host::clock::Clock;
use crate::store::{JobStep, Store, StoreError};

use crate::delivery::scheduling::dispatcher::Dispatcher;

/// How often the table is asked whether a wake-up was missed, in milliseconds.
const POLL_EVERY_MS: u32 = 5_000;
/// How long to wait after a failure, in milliseconds.
const AGAIN_AFTER_MS: u32 = 500;

/// The running background work.
pub struct JobRunner {
    wake: Arc<Notify>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl JobRunner {
    /// Starts it; what was left unfinished goes on at once.
    pub fn start(store: Arc<dyn Store>, clock: Arc<dyn Clock>, dispatcher: Dispatcher) -> JobRunner {
        let (wake, stop) = (Arc::new(Notify::new()), CancellationToken::new());
        let task = tokio::spawn(run(store, clock, dispatcher, wake.clone(), stop.clone()));
        JobRunner { wake, stop, task }
    }

    /// To be notified when there is a job to queue. A hint: the table is asked anyway.
    pub fn wake(&self) -> Arc<Notify> {
        self.wake.clone()
    }

    /// Starts no further step, and returns when the last one is written.
    pub async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the queueing of bulk jobs ended badly");
        }
    }
}

async fn run(
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    dispatcher: Dispatcher,
    wake: Arc<Notify>,
    stop: CancellationToken,
) {
    while !stop.is_cancelled() {
        let wait_ms = match store.job_step(clock.now()).await {
            Ok(JobStep { queued, more }) => {
                dispatcher.queued(&queued);
                if more {
                    continue;
                }
                POLL_EVERY_MS
            }
            Err(StoreError::Closed) => return,
            Err(error) => {
                tracing::warn!(%error, "a bulk job could not be queued; trying again");
                AGAIN_AFTER_MS
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = wake.notified() => {}
            () = clock.sleep_ms(wait_ms) => {}
        }
    }
}
