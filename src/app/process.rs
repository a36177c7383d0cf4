//! The server as a process: what it says, which signals it obeys, and that the service manager hears of it.

use std::time::Duration;

use super::{Server, StartError, World, greeting};
use crate::app::systemd;
use crate::config::Config;

/// Runs a server until the process is told to stop, and says on stdout how to use it.
/// `accept_clock`: a person says that the clock is right.
pub async fn serve(config: Config, accept_clock: bool) -> Result<(), StartError> {
    let signals = Signals::listen()?;
    let handed_over = systemd::listener().map_err(StartError::HandedOver)?;
    let server = Server::start_at(&config, World::real(), accept_clock, handed_over).await?;
    let setup = server.setup_link(&config).await;
    greeting::print(&config, &server.address(), setup.as_deref());
    server.ready().await;
    tracing::info!(address = %server.address(), data_dir = %config.data_dir.display(), "serving");
    systemd::ready();
    let signal = tend(&server, signals).await?;
    tracing::info!(signal, "stopping");
    systemd::stopping();
    server.stop().await;
    tracing::info!("stopped");
    Ok(())
}

/// Waits until the process is told to stop. Meanwhile the service manager is told that the server is
/// alive, and a SIGHUP has the certificate read again.
async fn tend(server: &Server, signals: Signals) -> Result<&'static str, StartError> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangup = signal(SignalKind::hangup()).map_err(StartError::Signals)?;
    let watched = systemd::watch_every();
    // Without a watchdog it never ticks.
    let mut pulse = tokio::time::interval(watched.unwrap_or(Duration::from_secs(3_600)));
    let stop = signals.received();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            signal = &mut stop => return Ok(signal),
            () = server.disk_failed() => return Err(StartError::DiskFailed),
            _ = hangup.recv() => match server.reload() {
                Ok(()) => tracing::info!("SIGHUP: what is read from files is up to date"),
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::error!(error, "the certificate could not be read again; the old one stays in use");
                }
            },
            _ = pulse.tick(), if watched.is_some() => {
                if server.is_well().await {
                    systemd::alive();
                }
            }
        }
    }
}

/// SIGTERM and SIGINT.
pub struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    /// Begins to listen; from now on the signals no longer end the process by themselves.
    pub fn listen() -> Result<Signals, StartError> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals {
            terminate: signal(SignalKind::terminate()).map_err(StartError::Signals)?,
            interrupt: signal(SignalKind::interrupt()).map_err(StartError::Signals)?,
        })
    }

    /// Waits for one of them and says which.
    pub async fn received(mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
