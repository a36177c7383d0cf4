//! What is learned while a connection is opened: where it leads, and how long each part took.
//!
//! The HTTP client opens connections by itself and passes nothing of the request to the connector. But it does so in
//! the task of the request, so the connector finds the request's notes there.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

tokio::task_local! {
    /// What the request that is being sent learns of its connection.
    static OPENING: Arc<Opening>;
}

/// What opening a connection has told.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Opened {
    /// The address that was tried last.
    pub(crate) address: Option<SocketAddr>,
    pub(crate) dns: Option<Duration>,
    pub(crate) connect: Option<Duration>,
    pub(crate) tls: Option<Duration>,
}

/// The same while it goes on.
#[derive(Debug, Default)]
pub(crate) struct Opening(Mutex<Opened>);

impl Opening {
    /// That of the request that is being sent in this task.
    pub(crate) fn current() -> Arc<Opening> {
        OPENING.try_with(Arc::clone).unwrap_or_default()
    }

    pub(crate) fn note(&self, change: impl FnOnce(&mut Opened)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn get(&self) -> Opened {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs the sending of a request whose notes these are.
pub(crate) async fn noting<T>(opening: Arc<Opening>, sending: impl Future<Output = T>) -> T {
    OPENING.scope(opening, sending).await
}
