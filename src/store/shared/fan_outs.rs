//! Callers that wait until the attempts of their event are all there, and how the task that writes these is
//! woken.
//!
//! What is to be done is in the table `fan_outs`; here is only who waits for it. Losing this loses a hint.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

use crate::store::Queued;
use crate::store::shared::row_numbers::EventRow;

/// The number of a waiting caller; later ones are larger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

#[derive(Debug)]
struct Waiter {
    ticket: Ticket,
    queued: Vec<Queued>,
    done: oneshot::Sender<Vec<Queued>>,
}

#[derive(Debug, Default)]
struct Waiters {
    last: Ticket,
    /// Whether the task has ended: nobody is to wait for it.
    is_closed: bool,
    by_event: HashMap<EventRow, Waiter>,
}

/// The task that writes attempts in steps, for as long as it runs.
pub(crate) struct Running(Arc<FanOuts>);

impl std::ops::Deref for Running {
    type Target = FanOuts;
    fn deref(&self) -> &FanOuts {
        &self.0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.is_running.store(false, Ordering::Release);
        let mut waiters = self.0.waiters();
        waiters.is_closed = true;
        waiters.by_event.clear();
    }
}

/// Open fan-outs, as far as this process knows.
#[derive(Debug, Default)]
pub(crate) struct FanOuts {
    is_running: AtomicBool,
    wake: Notify,
    waiters: Mutex<Waiters>,
}

impl FanOuts {
    /// There is a task now that writes attempts in steps; before, events write all of theirs at once.
    pub(crate) fn start(self: &Arc<Self>) -> Running {
        self.is_running.store(true, Ordering::Release);
        Running(self.clone())
    }

    pub(crate) fn is_running(&self) -> bool {
        self.is_running.load(Ordering::Acquire)
    }

    /// Says that there is something to do.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Waits until there is something to do.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Announces a caller that waits for an event's attempts. For the writer only: a transaction that is
    /// undone leaves its announcement behind, which the next event with the same row replaces.
    pub(crate) fn wait_for(&self, event: EventRow) -> oneshot::Receiver<Vec<Queued>> {
        let (done, waiting) = oneshot::channel();
        let mut waiters = self.waiters();
        if waiters.is_closed {
            return waiting;
        }
        waiters.last.0 += 1;
        let ticket = waiters.last;
        waiters.by_event.insert(event, Waiter { ticket, queued: vec![], done });
        waiting
    }

    /// The last caller that was announced.
    pub(crate) fn last_ticket(&self) -> Ticket {
        self.waiters().last
    }

    /// Passes on what a committed step has made pending.
    pub(crate) fn stepped(&self, queued: Vec<(EventRow, Queued)>, finished: &[EventRow]) {
        let mut waiters = self.waiters();
        for (event, queued) in queued {
            if let Some(waiter) = waiters.by_event.get_mut(&event) {
                waiter.queued.push(queued);
            }
        }
        for event in finished {
            if let Some(Waiter { queued, done, .. }) = waiters.by_event.remove(event) {
                // The caller may have gone away.
                let _ = done.send(queued);
            }
        }
    }

    /// Lets callers go, up to this one: another process has done the work, or it has to wait.
    pub(crate) fn release(&self, up_to: Ticket) {
        self.waiters().by_event.retain(|_, waiter| waiter.ticket > up_to);
    }

    fn waiters(&self) -> MutexGuard<'_, Waiters> {
        // Each change leaves it consistent.
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
