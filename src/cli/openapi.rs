//! `openapi`: print the OpenAPI document of a surface, without a server.

use clap::ValueEnum;

use super::{CliError, output};
use crate::config::Config;
use crate::http;

/// A surface that has a document.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Surface {
    /// The main surface
    V1,
    /// The surface of Devdraft's API
    V0,
    /// The dashboard's surface
    Admin,
}

/// Runs the command.
pub(super) fn run(surface: Surface, config: &Config) -> Result<(), CliError> {
    let document = match surface {
        Surface::V1 => http::openapi_v1(config.base_path()),
        Surface::V0 => http::openapi_v0(config.base_path()),
        Surface::Admin => http::openapi_admin(config.base_path()),
    };
    output::print(&format!("{document:#}\n"))
}
