//! `serve`: run the server until the process is told to stop.

use clap::Args;

use super::CliError;
use crate::config::Config;
use crate::{app, logging};

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
    logging::init(&config);
    let runtime = runtime()?;
    let result = runtime.block_on(app::serve(config, options.accept_clock));
    // Everything has been waited for that should be. A look-up of a name that hangs in the operating
    // system cannot be ended and must not hold up the exit.
    runtime.shutdown_timeout(LEFTOVERS);
    Ok(result?)
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
