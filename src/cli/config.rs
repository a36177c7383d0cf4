//! `config`: whether the configuration is right, and what it comes to. Neither touches the data
//! directory.

use clap::Subcommand;

use super::{CliError, output};
use crate::config::{Config, reference};

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say whether the configuration is fine, or all that is wrong with it
    Check,
    /// Show each key with its value and where that comes from; secrets are hidden
    Dump,
    /// Print all keys with form, default and environment variable, as Markdown
    Reference,
}

/// Runs the command. A configuration that is not fine has been reported before this.
pub(super) fn run(command: ConfigCommand, config: &Config) -> Result<(), CliError> {
    match command {
        ConfigCommand::Check => output::print("configuration is fine\n"),
        ConfigCommand::Dump => output::print(&config.dump()),
        ConfigCommand::Reference => output::print(&reference::markdown()),
    }
}
