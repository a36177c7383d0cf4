//! `openapi`: prints the OpenAPI document of an API, without a server.

use clap::ValueEnum;

use super::{CliError, output};
use crate::config::Config;
use crate::http;

/// An API that has a document.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Surface {
    /// The main API
    V1,
    /// The Devdraft-compatible API
    V0,
    /// The API of the dashboard
    Admin,
}

/// Runs the command.
pub(super) fn run(surface: Surface, config: &Config) -> Result<(), CliError> {
    let document = match surface {
        Surface::V1 => http::openapi_v1(config.base_path()),
        Surface::V0 => http::openapi_v0(config.base_path()),
        Surface::Admin => http::openapi_admin(config.base_path()),
    };
    output::print_exactly(&format!("{document:#}\n"))
}
