//! `demo`: a temporary server with sample data.

use super::{CliError, output, serve};
use crate::config::Config;
use crate::demo;
use crate::trace::logging;

/// Runs the command.
pub(super) fn run(config: Config) -> Result<(), CliError> {
    logging::init(&config);
    let result = serve::runtime()?.block_on(demo::run(config));
    output::flush();
    Ok(result?)
}
