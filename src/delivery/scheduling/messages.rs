//! What the scheduler is told, by whom it works for and by the tasks it has started.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::domain::EndpointId;
use crate::store::{Due, Queued, StoreError};

use crate::delivery::courier::Report;
use crate::delivery::scheduling::poll::Poll;

/// Messages that may wait; more hints are dropped, and the table is asked instead.
pub(crate) const MESSAGES: usize = 8_192;

/// Something for the scheduler to know.
pub(crate) enum Message {
    /// These attempts have become pending.
    Queued(Vec<Queued>),
    /// An endpoint's status or settings have changed.
    EndpointChanged(EndpointId),
    /// What is due at an endpoint, after it was asked for.
    Refilled(EndpointId, Result<Due, StoreError>),
    /// What the table says, after it was asked.
    Polled(Result<Poll, StoreError>),
    /// What became of an attempt that was to be sent.
    Reported(Report),
}

/// Tells the scheduler; when it has stopped, nobody needs to know.
pub(crate) async fn send(messages: &mpsc::Sender<Message>, abort: &CancellationToken, message: Message) {
    tokio::select! {
        _ = messages.send(message) => {}
        () = abort.cancelled() => {}
    }
}
