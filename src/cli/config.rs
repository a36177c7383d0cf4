//! `config`: checks and shows the configuration. Nothing is created in the data directory.

use clap::Subcommand;

use super::{CliError, output, storage};
use crate::config::{Config, Problems, reference};
use crate::host::data_dir::DataDir;

/// Commands on the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check the configuration and report all problems; the database of storage.url is not contacted (see doctor)
    Check {
        /// Treat warnings, such as unknown environment variables, as errors
        #[arg(long)]
        strict: bool,
    },
    /// Show each key with its value and origin; secrets are hidden
    Dump,
    /// Print all keys with format, default and environment variable, as Markdown
    Reference,
}

/// Runs the command. Problems of the configuration were reported before this.
pub(super) fn run(command: ConfigCommand, config: &Config) -> Result<(), CliError> {
    match command {
        ConfigCommand::Check { strict } => check(config, strict),
        ConfigCommand::Dump => output::print(&config.dump()),
        ConfigCommand::Reference => output::print(&reference::markdown()),
    }
}

/// Besides the configuration itself, checks that its key is the one of the database, if there is one.
fn check(config: &Config, strict: bool) -> Result<(), CliError> {
    if strict && !config.warnings.is_empty() {
        return Err(Problems(config.warnings.clone()).into());
    }
    let dir = DataDir::existing(config);
    if config.storage.url.is_none() && dir.database().exists() {
        storage::prove_key(&dir, &dir.vault()?)?;
    }
    output::print(match config.storage.url {
        None => "configuration is fine\n",
        Some(_) => "configuration is fine. The database was not contacted: postrider doctor checks it.\n",
    })
}
