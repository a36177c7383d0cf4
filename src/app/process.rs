//! The server as a process: greeting, signals, and notifications to the service manager.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Server, StartError, World, greeting};
use crate::app::systemd;
use crate::config::Config;
use crate::host::process;

/// How long a stop takes at most where the data is in a database server, which may not answer: requests in flight get
/// [`super::STOP_GRACE`] of it. After [`Server::retire`] it ends within the 30 s that Kubernetes gives.
const STOPPED_WITHIN: Duration = Duration::from_secs(22);

/// Runs a server until SIGTERM or SIGINT, and prints the greeting on stdout. `accept_clock`: the operator
/// confirms that the clock is right.
pub async fn serve(config: Config, signals: Signals, accept_clock: bool) -> Result<(), StartError> {
    let mut signals = signals;
    raise_open_files(&config);
    let passed = systemd::listener().map_err(StartError::PassedSocket)?;
    let server = Server::start_at(&config, World::real(), accept_clock, passed).await?;
    let setup = server.setup_link(&config).await;
    greeting::print(&config, &server.address(), setup.as_deref());
    server.ready().await;
    match &config.storage.url {
        None => tracing::info!(address = %server.address(), data_dir = %config.data_dir.display(), "serving"),
        Some(_) => tracing::info!(address = %server.address(), data = greeting::DATABASE, "serving"),
    }
    systemd::ready();
    let signal = supervise(&server, &mut signals).await?;
    tracing::info!(signal, "stopping");
    systemd::stopping();
    tokio::select! {
        () = server.retire() => {}
        // Somebody is in a hurry.
        () = signals.stop() => {}
    }
    let limit = match config.storage.url {
        Some(_) => STOPPED_WITHIN,
        None => Duration::MAX,
    };
    match tokio::time::timeout(limit, server.stop()).await {
        Ok(()) => tracing::info!("stopped"),
        // Results that were not written are sent again.
        Err(_) => tracing::error!("the database does not answer; stopping without it"),
    }
    Ok(())
}

/// Open files besides requests in flight: the database, clients of the API, the log.
const OTHER_FILES: u64 = 256;

/// Raises the soft limit of open files to the hard one: many systems start programs with 1,024, and every client
/// and every delivery takes one.
pub fn raise_open_files(config: &Config) {
    let needed = u64::try_from(config.delivery.concurrency).unwrap_or(u64::MAX).saturating_add(OTHER_FILES);
    match process::raise_open_files() {
        Ok(limit) if limit < needed => tracing::warn!(
            limit,
            needed,
            "the limit of open files is too low for delivery.concurrency; raise it (ulimit -n, LimitNOFILE=)"
        ),
        Ok(limit) => tracing::debug!(limit, "limit of open files"),
        Err(error) => tracing::warn!(%error, "cannot raise the limit of open files"),
    }
}

/// Waits for a signal to stop. Meanwhile it notifies the watchdog, and SIGHUP reloads the certificate.
async fn supervise(server: &Server, signals: &mut Signals) -> Result<&'static str, StartError> {
    let watched = systemd::watch_every();
    // Polled only with a watchdog.
    let mut pulse = tokio::time::interval(watched.unwrap_or(Duration::from_secs(3_600)));
    loop {
        tokio::select! {
            request = signals.next() => match request {
                Request::Stop(signal) => return Ok(signal),
                Request::Reload => reload(server),
            },
            () = server.disk_failed() => return Err(StartError::DiskFailed),
            _ = pulse.tick(), if watched.is_some() => {
                if server.is_healthy().await {
                    systemd::alive();
                }
            }
        }
    }
}

fn reload(server: &Server) {
    match server.reload() {
        Ok(()) => tracing::info!("SIGHUP: the certificate files were read again"),
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::error!(error, "the certificate could not be read again; the old one stays in use");
        }
    }
}

/// SIGTERM, SIGINT and SIGHUP.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Stop, by the signal of this name.
    Stop(&'static str),
    /// Read the certificate files again.
    Reload,
}

impl Signals {
    /// Installs the handlers; from now on the signals no longer end the process by themselves. Those that come
    /// during the start are handled after it. Must be called in a runtime.
    ///
    /// # Errors
    /// When the operating system refuses a handler.
    pub fn listen() -> Result<Signals, StartError> {
        let listen = |kind| signal(kind).map_err(StartError::Signals);
        Ok(Signals {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for one that asks to stop.
    async fn stop(&mut self) {
        while self.next().await == Request::Reload {}
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Request {
        tokio::select! {
            _ = self.terminate.recv() => Request::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Request::Stop("SIGINT"),
            _ = self.hangup.recv() => Request::Reload,
        }
    }
}
