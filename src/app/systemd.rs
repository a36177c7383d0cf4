//! The protocol of the service manager: sockets passed to us, readiness, stopping, the watchdog.
//!
//! Without a service manager the environment variables are missing, and everything here does nothing.

use std::io;
use std::time::Duration;

use listenfd::ListenFd;
use sd_notify::NotifyState;

use crate::http::transport::listener::Listener;

/// The socket passed by the service manager (`LISTEN_FDS`), which replaces `listen`. Must be called in a
/// runtime.
///
/// # Errors
/// When the passed socket does not listen.
pub fn listener() -> io::Result<Option<Listener>> {
    let mut passed = ListenFd::from_env();
    if passed.len() == 0 {
        return Ok(None);
    }
    if passed.len() > 1 {
        tracing::warn!(sockets = passed.len(), "more than one socket was passed; using the first");
    }
    // A socket of another kind is left in place.
    if let Ok(Some(socket)) = passed.take_tcp_listener(0) {
        return Listener::inherited_tcp(socket).map(Some);
    }
    match passed.take_unix_listener(0)? {
        Some(socket) => Listener::inherited_unix(socket).map(Some),
        None => Ok(None),
    }
}

/// Notifies: the server is ready.
pub fn ready() {
    notify(&[NotifyState::Ready]);
}

/// Notifies: the server is stopping.
pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Notifies: the process is alive.
pub fn alive() {
    notify(&[NotifyState::Watchdog]);
}

/// The interval for [`alive`]: half of the watchdog's timeout. `None` without a watchdog.
pub fn watch_every() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|within| within / 2)
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "cannot notify the service manager");
    }
}
