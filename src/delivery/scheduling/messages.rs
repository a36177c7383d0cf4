//! The scheduler's inbox: results of the tasks that it started. Hints come by [`crate::cluster::signals`]
//! instead, which may be lost; these may not.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::domain::{AttemptId, EndpointId};
use crate::store::{Due, StoreError};

use crate::delivery::courier::CourierReport;
use crate::delivery::scheduling::poll::Poll;

/// Size of the inbox. When it is full, the tasks wait.
pub(crate) const INBOX_SIZE: usize = 8_192;

/// A message to the scheduler.
pub(crate) enum SchedulerMessage {
    /// What is due at an endpoint: the result of a refill.
    Refilled(EndpointId, Result<Due, StoreError>),
    /// The result of a poll.
    Polled(Result<Poll, StoreError>),
    /// These attempts, or `count` of them, were exhausted, because they were held for too long; `more`: there may be
    /// others.
    GivenUp { attempts: Vec<AttemptId>, count: u32, more: bool },
    /// The progress of an attempt that is being sent.
    Reported(CourierReport),
}

/// Sends a message to the scheduler. When it has stopped, the message is dropped: nobody needs it.
pub(crate) async fn send(
    messages: &mpsc::Sender<SchedulerMessage>,
    abort: &CancellationToken,
    message: SchedulerMessage,
) {
    tokio::select! {
        _ = messages.send(message) => {}
        () = abort.cancelled() => {}
    }
}
