//! The handle of delivery for the rest of the program: start, tests, stop.
//!
//! The scheduler runs in a task of its own ([`crate::delivery::scheduling::scheduler`]). Hints reach it by
//! [`crate::cluster::signals`].

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cluster::{Ownership, QueueSignals, Signals};
use crate::domain::{AttemptId, EndpointId, Outcome, Timestamp};
use crate::host::clock::{Chance, Clock};
use crate::store::{LoadedAttempt, Store, StoreError};

use crate::delivery::courier::{Courier, CourierDeps, RetryPolicy, SendingAttempts, Transport};
use crate::delivery::meters::Meters;
use crate::delivery::scheduling::messages::INBOX_SIZE;
use crate::delivery::scheduling::scheduler::{Scheduler, SchedulerDeps};
use crate::delivery::test_slots::TestSlots;

pub use crate::delivery::scheduling::slots::SlotLimits;

/// What the dispatcher works with.
pub struct DispatcherDeps {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub chance: Arc<dyn Chance>,
    pub transport: Arc<dyn Transport>,
    pub ownership: Arc<Ownership>,
    pub signals: Arc<dyn Signals>,
    /// The listening end of its signals.
    pub queue: QueueSignals,
}

/// A handle to the running dispatcher.
#[derive(Clone)]
pub struct Dispatcher {
    courier: Arc<Courier>,
    signals: Arc<dyn Signals>,
    stop: CancellationToken,
    abort: CancellationToken,
    tasks: TaskTracker,
    ready: watch::Receiver<bool>,
    test_slots: Arc<TestSlots<EndpointId>>,
}

impl Dispatcher {
    /// Starts the scheduler and the courier. Sending begins after the first poll.
    pub fn start(deps: DispatcherDeps, policy: RetryPolicy, limits: SlotLimits) -> Dispatcher {
        let DispatcherDeps { store, clock, chance, transport, ownership, signals, queue } = deps;
        let (messages, inbox) = mpsc::channel(INBOX_SIZE);
        let (ready_tx, ready) = watch::channel(false);
        let (stop, abort, tasks) = (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        let courier = Arc::new(Courier::new(CourierDeps {
            store: store.clone(),
            clock: clock.clone(),
            chance,
            transport,
            policy,
            ownership: ownership.clone(),
            stop: stop.clone(),
            interrupt: abort.clone(),
        }));
        let scheduler = Scheduler::new(SchedulerDeps {
            store,
            clock,
            courier: courier.clone(),
            limits,
            messages,
            tasks: tasks.clone(),
            abort: abort.clone(),
            ready: ready_tx,
            signals: signals.clone(),
            ownership,
        });
        tasks.spawn(scheduler.run(inbox, queue, stop.clone()));
        Dispatcher { courier, signals, stop, abort, tasks, ready, test_slots: Arc::default() }
    }

    /// The counters of delivery.
    pub fn meters(&self) -> Arc<Meters> {
        self.courier.meters()
    }

    /// What is being sent.
    pub fn sending(&self) -> &SendingAttempts {
        self.courier.sending()
    }

    /// Whether the first poll is done and sending has begun.
    pub fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// Waits until [`Dispatcher::is_ready`].
    pub async fn ready(&self) {
        // The sending end lives as long as the scheduler; when it is gone there is nothing to wait for.
        let _ = self.ready.clone().wait_for(|ready| *ready).await;
    }

    /// Makes one request outside the queue, whatever its endpoint's status, and logs it as a test. Continues
    /// when the caller is gone, so that every request is in the log. `None` if too many tests are in flight.
    /// An error means that it could not be logged.
    pub async fn send_test(
        &self,
        test: LoadedAttempt,
        created_at: Timestamp,
    ) -> Result<Option<(AttemptId, Outcome)>, StoreError> {
        let Some(slot) = self.test_slots.take(test.endpoint.id) else { return Ok(None) };
        let (courier, signals) = (self.courier.clone(), self.signals.clone());
        let sending = self.tasks.spawn(async move {
            let sent = courier.send_test(test, created_at).await;
            signals.result_committed();
            drop(slot);
            sent
        });
        match sending.await {
            Ok(sent) => sent.map(Some),
            Err(error) => Err(StoreError::Failed { doing: "sending a test", source: error.into() }),
        }
    }

    /// Starts no further attempt, waits up to `grace` for those in flight, then interrupts them, and returns
    /// when every result is committed. May be called again, for tests that were requested meanwhile.
    pub async fn stop(&self, grace: Duration) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(grace, self.tasks.wait()).await.is_err() {
            self.abort.cancel();
            self.tasks.wait().await;
        }
    }
}
