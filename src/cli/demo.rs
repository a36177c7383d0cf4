//! `demo`: the product at work, in a throw-away data directory.

use super::{CliError, serve};
use crate::config::Config;
use crate::demo;
use crate::trace::logging;

/// Runs the command.
pub(super) fn run(config: Config) -> Result<(), CliError> {
    logging::init(&config);
    serve::runtime()?.block_on(demo::run(config))?;
    Ok(())
}
