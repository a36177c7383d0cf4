//! `serve`: runs the server until SIGTERM or SIGINT.

use clap::Args;

use super::{CliError, output};
use crate::config::{Config, Problems};
use crate::trace::logging;
use crate::{app, trace};

/// Flags of `serve`.
#[derive(Debug, Default, Args)]
pub struct ServeOptions {
    /// Accept a clock that is more than a day ahead of the last time this server has seen; until then
    /// retention deletes nothing
    #[arg(long)]
    pub accept_clock: bool,
}

/// Runs the command. The handlers of signals are installed before anything else, so that a signal during the
/// start is not lost and does not end the process.
pub(super) fn run(
    config: impl FnOnce() -> Result<Config, Problems>,
    options: &ServeOptions,
) -> Result<(), CliError> {
    let runtime = runtime()?;
    let signals = {
        let _inside = runtime.enter();
        app::Signals::listen()?
    };
    let config = config()?;
    #[cfg(not(feature = "otel"))]
    logging::init(&config);
    #[cfg(feature = "otel")]
    {
        let _inside = runtime.enter();
        logging::init_with_traces(&config, collector_client()?);
    }
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let result = runtime.block_on(app::serve(config, signals, options.accept_clock));
    // The exporter needs the runtime, which still runs.
    trace::finish();
    // All tasks that matter have finished. A name lookup that hangs in the operating system cannot be
    // cancelled and must not delay the exit.
    runtime.shutdown_timeout(LEFTOVERS);
    output::flush();
    Ok(result?)
}

/// The client that sends traces. The operator chooses the collector, so the network policy does not apply.
#[cfg(feature = "otel")]
fn collector_client() -> Result<reqwest::Client, CliError> {
    use crate::delivery::Guard;
    use crate::delivery::sending::client;
    use crate::domain::Span;
    use crate::domain::network::NetworkPolicy;

    let anywhere = ["0.0.0.0/0", "::/0"].map(|net| net.parse().expect("these are networks"));
    let guard = Guard::new(NetworkPolicy::new(anywhere.to_vec()));
    client::build(guard, &Span::from_secs(5)).map_err(|e| CliError::Failed(format!("cannot start: {e}")))
}

/// How long to wait at the end for threads that cannot be interrupted.
const LEFTOVERS: std::time::Duration = std::time::Duration::from_millis(500);

/// The server's runtime: a worker for each core.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, CliError> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| CliError::Failed(format!("cannot start: {e}")))
}
