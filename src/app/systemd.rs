//! What the service manager tells and is told: sockets it has opened, readiness, the end, signs of life.
//!
//! Without one there is nothing in the environment, and everything here does nothing.

use std::io;
use std::time::Duration;

use listenfd::ListenFd;
use sd_notify::NotifyState;

use crate::http::transport::listener::Listener;

/// The socket that was handed over (`LISTEN_FDS`), which then counts instead of `listen`. Must be called
/// in a runtime.
///
/// # Errors
/// When what was handed over is no socket that listens.
pub fn listener() -> io::Result<Option<Listener>> {
    let mut handed_over = ListenFd::from_env();
    if handed_over.len() == 0 {
        return Ok(None);
    }
    if handed_over.len() > 1 {
        tracing::warn!(
            sockets = handed_over.len(),
            "more than one socket was handed over; the first is used"
        );
    }
    // One of another kind is left where it is.
    if let Ok(Some(socket)) = handed_over.take_tcp_listener(0) {
        return Listener::inherited_tcp(socket).map(Some);
    }
    match handed_over.take_unix_listener(0)? {
        Some(socket) => Listener::inherited_unix(socket).map(Some),
        None => Ok(None),
    }
}

/// Tells that requests are answered and deliveries sent.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Tells that the end has begun.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Tells that the process works.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// How often [`alive`] is to be told: twice in the time after which the manager would act. `None` when it
/// does not watch.
pub fn watch_every() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|within| within / 2)
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}
