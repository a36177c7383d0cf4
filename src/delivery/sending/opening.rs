//! What is learned while a connection is opened: where it leads, and how long each part took.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How a connection was opened.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Opened {
    /// The address that was tried last.
    pub(crate) address: Option<SocketAddr>,
    pub(crate) dns: Option<Duration>,
    pub(crate) connect: Option<Duration>,
    pub(crate) tls: Option<Duration>,
}

/// The same while it goes on: what is known when the time runs out.
#[derive(Debug, Default)]
pub(crate) struct Opening(Mutex<Opened>);

impl Opening {
    pub(crate) fn note(&self, change: impl FnOnce(&mut Opened)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn get(&self) -> Opened {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
