//! Hints that something has happened, for listeners that would otherwise find out by polling.
//!
//! Every signal may be lost: the table is the truth, and every listener polls it anyway. So senders never
//! wait, and a full queue drops signals and only remembers that it did.
//!
//! [`Signals`] is the sending side, which other nodes may be told through as well. Listening is always local:
//! [`LocalSignals`] has a channel for each kind of listener.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Notify, mpsc, watch};

use crate::domain::EndpointId;
use crate::store::Queued;

/// Signals about the queue that may wait for the scheduler.
const QUEUE_SIGNALS_MAX: usize = 8_192;

/// Sends signals. Call it after the commit that it is about.
pub trait Signals: Send + Sync {
    /// Attempts have become pending.
    fn queued(&self, queued: &[Queued]);
    /// An endpoint's status or settings have changed.
    fn endpoint_changed(&self, endpoint: EndpointId);
    /// Results were committed, or attempts cancelled.
    fn result_committed(&self);
    /// A bulk job was created that is not wholly queued.
    fn bulk_job_waiting(&self);
    /// What a key, a user or a session may do has changed.
    fn access_changed(&self);
}

/// A signal about the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueSignal {
    /// Attempts have become pending.
    Queued(Vec<Queued>),
    /// An endpoint's status or settings have changed.
    EndpointChanged(EndpointId),
    /// Other nodes may have told something that did not arrive here.
    Missed,
}

/// The signals of one process.
pub struct LocalSignals {
    queue: mpsc::Sender<QueueSignal>,
    lost: Arc<AtomicBool>,
    results: watch::Sender<u64>,
    bulk_jobs: Arc<Notify>,
    access: watch::Sender<u64>,
}

/// Where the scheduler gets its signals.
#[derive(Debug)]
pub struct QueueSignals {
    pub(crate) inbox: mpsc::Receiver<QueueSignal>,
    lost: Arc<AtomicBool>,
}

impl LocalSignals {
    /// Channels for all listeners; the scheduler's is given out here, because it can have only one.
    pub fn new() -> (Arc<LocalSignals>, QueueSignals) {
        let (queue, inbox) = mpsc::channel(QUEUE_SIGNALS_MAX);
        let lost = Arc::new(AtomicBool::new(false));
        let signals = LocalSignals {
            queue,
            lost: lost.clone(),
            results: watch::Sender::new(0),
            bulk_jobs: Arc::new(Notify::new()),
            access: watch::Sender::new(0),
        };
        (Arc::new(signals), QueueSignals { inbox, lost })
    }

    /// Changes with every [`Signals::result_committed`].
    pub fn results(&self) -> watch::Receiver<u64> {
        self.results.subscribe()
    }

    /// Notified with every [`Signals::bulk_job_waiting`]. For one listener.
    pub fn bulk_jobs(&self) -> Arc<Notify> {
        self.bulk_jobs.clone()
    }

    /// Changes with every [`Signals::access_changed`].
    pub fn access(&self) -> watch::Receiver<u64> {
        self.access.subscribe()
    }

    /// Whatever can happen may have happened.
    pub fn missed(&self) {
        self.send(QueueSignal::Missed);
        self.result_committed();
        self.bulk_job_waiting();
        self.access_changed();
    }

    fn send(&self, signal: QueueSignal) {
        if self.queue.try_send(signal).is_err() {
            self.lost.store(true, Ordering::Relaxed);
        }
    }
}

impl Signals for LocalSignals {
    fn queued(&self, queued: &[Queued]) {
        if !queued.is_empty() {
            self.send(QueueSignal::Queued(queued.to_vec()));
        }
    }

    fn endpoint_changed(&self, endpoint: EndpointId) {
        self.send(QueueSignal::EndpointChanged(endpoint));
    }

    fn result_committed(&self) {
        self.results.send_modify(|n| *n += 1);
    }

    fn bulk_job_waiting(&self) {
        self.bulk_jobs.notify_one();
    }

    fn access_changed(&self) {
        self.access.send_modify(|n| *n += 1);
    }
}

impl QueueSignals {
    /// Whether signals were lost since the last call.
    pub(crate) fn take_lost(&self) -> bool {
        // Read first: this is asked all the time, and almost never true.
        self.lost.load(Ordering::Relaxed) && self.lost.swap(false, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;

    #[test]
    fn a_full_queue_drops_signals_and_remembers_that_it_did() {
        let (signals, mut queue) = LocalSignals::new();
        let endpoint = EndpointId::new(Timestamp::from_millis(0));
        for _ in 0..QUEUE_SIGNALS_MAX {
            signals.endpoint_changed(endpoint);
        }
        assert!(!queue.take_lost());
        signals.endpoint_changed(endpoint);
        assert!(queue.take_lost() && !queue.take_lost(), "once");
        let arrived = std::iter::from_fn(|| queue.inbox.try_recv().ok()).count();
        assert_eq!(arrived, QUEUE_SIGNALS_MAX);
    }

    #[tokio::test]
    async fn every_listener_gets_its_own_signals() {
        let (signals, mut queue) = LocalSignals::new();
        let (results, access) = (signals.results(), signals.access());
        signals.queued(&[]);
        assert!(queue.inbox.try_recv().is_err(), "nothing has become pending");
        signals.result_committed();
        assert!(results.has_changed().unwrap() && !access.has_changed().unwrap());
        signals.access_changed();
        assert!(access.has_changed().unwrap());
        signals.bulk_job_waiting();
        signals.bulk_jobs().notified().await;
    }
}
