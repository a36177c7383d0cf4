//! `serve`: run the server until the process is told to stop.

use super::CliError;
use crate::config::Config;
use crate::{app, logging};

/// Runs the command.
pub(super) fn run(config: Config) -> Result<(), CliError> {
    logging::init(&config);
    runtime()?.block_on(app::serve(config))?;
    Ok(())
}

/// The server's runtime: a worker for each core.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, CliError> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| CliError::Failed(format!("cannot start: {e}")))
}
