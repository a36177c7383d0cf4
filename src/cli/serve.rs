//! `serve`: run the server until the process is told to stop.

use clap::Args;

use super::CliError;
use crate::config::Config;
use crate::trace::logging;
use crate::{app, trace};

/// Flags of `serve`.
#[derive(Debug, Default, Args)]
pub struct ServeOptions {
    /// Trust the clock although it is more than a day ahead of what this server has seen last: retention
    /// removes nothing until then
    #[arg(long)]
    pub accept_clock: bool,
}

/// Runs the command.
pub(super) fn run(config: Config, options: &ServeOptions) -> Result<(), CliError> {
    let runtime = runtime()?;
    #[cfg(not(feature = "otel"))]
    logging::init(&config);
    #[cfg(feature = "otel")]
    {
        let _inside = runtime.enter();
        logging::init_with_traces(&config, collector_client()?);
    }
    let result = runtime.block_on(app::serve(config, options.accept_clock));
    // Their collector is asked by the runtime, which still runs.
    trace::finish();
    // Everything has been waited for that should be. A look-up of a name that hangs in the operating
    // system cannot be ended and must not hold up the exit.
    runtime.shutdown_timeout(LEFTOVERS);
    Ok(result?)
}

/// What sends traces. The operator chooses the collector, so the network policy does not hold for it.
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

/// How long threads that cannot be interrupted may take at the end.
const LEFTOVERS: std::time::Duration = std::time::Duration::from_millis(500);

/// The server's runtime: a worker for each core.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, CliError> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| CliError::Failed(format!("cannot start: {e}")))
}
