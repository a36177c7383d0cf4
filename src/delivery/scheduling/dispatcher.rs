//! Delivery, as the rest of the program holds it: started, told what has changed, asked for a probe,
//! stopped.
//!
//! What is sent next is decided in a task of its own ([`crate::delivery::scheduling::scheduler`]), which takes messages from
//! here. They are hints: when too many wait they are dropped, and the table is asked instead.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::domain::{AttemptId, EndpointId, Outcome, Timestamp};
use crate::host::clock::{Chance, Clock};
use crate::store::{LoadedAttempt, Queued, Store, StoreError};

use crate::delivery::courier::{Courier, RetryPolicy, Transport};
use crate::delivery::meters::Meters;
use crate::delivery::scheduling::messages::{MESSAGES, Message};
use crate::delivery::scheduling::scheduler::{Parts, Scheduler};

pub use crate::delivery::scheduling::slots::Limits;

/// The running dispatcher, as others see it.
#[derive(Clone)]
pub struct Dispatcher {
    messages: mpsc::Sender<Message>,
    missed: Arc<AtomicBool>,
    courier: Arc<Courier>,
    stop: CancellationToken,
    abort: CancellationToken,
    tasks: TaskTracker,
    ready: watch::Receiver<bool>,
    results: Arc<watch::Sender<u64>>,
}

impl Dispatcher {
    /// Starts it. Sending begins once the table has been read for the first time.
    pub fn start(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        chance: Arc<dyn Chance>,
        transport: Arc<dyn Transport>,
        policy: RetryPolicy,
        limits: Limits,
    ) -> Dispatcher {
        let (messages, inbox) = mpsc::channel(MESSAGES);
        let (ready_tx, ready) = watch::channel(false);
        let results = Arc::new(watch::Sender::new(0));
        let (stop, abort) = (CancellationToken::new(), CancellationToken::new());
        let courier = Arc::new(Courier::new(
            store.clone(),
            clock.clone(),
            chance,
            transport,
            policy,
            stop.clone(),
            abort.clone(),
        ));
        let (tasks, missed) = (TaskTracker::new(), Arc::new(AtomicBool::new(false)));
        let scheduler = Scheduler::new(Parts {
            store,
            clock,
            courier: courier.clone(),
            limits,
            messages: messages.clone(),
            tasks: tasks.clone(),
            abort: abort.clone(),
            ready: ready_tx,
            results: results.clone(),
        });
        tasks.spawn(scheduler.run(inbox, missed.clone(), stop.clone()));
        Dispatcher { messages, missed, courier, stop, abort, tasks, ready, results }
    }

    /// What delivery counts of itself.
    pub fn meters(&self) -> Arc<Meters> {
        self.courier.meters()
    }

    /// Tells of attempts that have just become pending.
    pub fn queued(&self, queued: &[Queued]) {
        if !queued.is_empty() {
            self.tell(Message::Queued(queued.to_vec()));
        }
    }

    /// Tells that an endpoint's status or settings have changed.
    pub fn endpoint_changed(&self, endpoint: EndpointId) {
        self.tell(Message::EndpointChanged(endpoint));
    }

    /// Whether the table has been read and sending has begun.
    pub fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// Waits until [`Dispatcher::is_ready`].
    pub async fn ready(&self) {
        // The sender lives as long as the dispatcher; when it is gone there is nothing to wait for.
        let _ = self.ready.clone().wait_for(|ready| *ready).await;
    }

    /// Changes with every committed result, and when something was cancelled. A hint to look again.
    pub fn results(&self) -> watch::Receiver<u64> {
        self.results.subscribe()
    }

    /// Notifies of a result that was committed elsewhere.
    pub fn result_committed(&self) {
        self.results.send_modify(|n| *n += 1);
    }

    /// Makes one request outside the queue, whatever its endpoint's status, and puts it in the log as a
    /// test. Goes on to its end when nobody waits for it any more: what was sent is in the log.
    /// Fails when the log could not be written.
    pub async fn probe(
        &self,
        job: LoadedAttempt,
        created_at: Timestamp,
    ) -> Result<(AttemptId, Outcome), StoreError> {
        let (courier, results) = (self.courier.clone(), self.results.clone());
        let probe = self.tasks.spawn(async move {
            let probed = courier.probe(job, created_at).await;
            results.send_modify(|n| *n += 1);
            probed
        });
        probe
            .await
            .unwrap_or_else(|error| Err(StoreError::Failed { doing: "sending a test", source: error.into() }))
    }

    /// Starts nothing more by itself, waits for what is in flight for at most `grace`, then interrupts it, and
    /// returns when every result is written. May be called again for what was asked for meanwhile.
    pub async fn stop(&self, grace: Duration) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(grace, self.tasks.wait()).await.is_err() {
            self.abort.cancel();
            self.tasks.wait().await;
        }
    }

    fn tell(&self, message: Message) {
        if self.messages.try_send(message).is_err() {
            self.missed.store(true, Ordering::Relaxed);
        }
    }
}
