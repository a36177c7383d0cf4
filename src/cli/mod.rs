//! The command line: one file a command. This file has what they share: the global flags, the dispatch to
//! the commands, and the exit codes.
//!
//! Requested output goes to stdout, everything else to stderr. Exit codes: 0 success, 1 failed while
//! running, 2 bad usage or configuration.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, Sources};

mod app;
mod backup;
mod bench;
mod config;
mod demo;
mod doctor;
mod error;
mod generate;
mod healthcheck;
mod key;
mod key_file;
mod make_workbook;
mod migrate_storage;
mod moving;
mod openapi;
mod output;
mod serve;
mod storage;
mod svix;
mod user;

pub use error::CliError;

/// Self-hosted webhook delivery: one binary, one SQLite file
#[derive(Debug, Parser)]
#[command(name = "postrider", version, about)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Flags of every command.
#[derive(Debug, Args)]
pub struct Global {
    /// Configuration file in TOML (overrides POSTRIDER_CONFIG)
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Data directory (overrides POSTRIDER_DATA_DIR and data_dir)
    #[arg(long, global = true, value_name = "DIR")]
    pub data: Option<String>,
    /// Address to listen on (overrides POSTRIDER_LISTEN and listen)
    #[arg(long, global = true, value_name = "ADDR")]
    pub listen: Option<String>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server (default)
    Serve(serve::ServeOptions),
    /// Run a temporary server with sample data, a receiver and a webhook
    Demo,
    /// Create, list and revoke API keys
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Rotate the key that encrypts secrets at rest
    #[command(subcommand)]
    KeyFile(key_file::KeyFileCommand),
    /// Create and list users of the dashboard
    #[command(subcommand)]
    User(user::UserCommand),
    /// Create and list apps, the owners of webhooks, events and keys
    #[command(subcommand)]
    App(app::AppCommand),
    /// Check or show the configuration
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Print the OpenAPI document of an API
    Openapi {
        #[arg(default_value = "v1")]
        surface: openapi::Surface,
    },
    /// Back up all data to a new file (mode 0600); safe while the server runs
    Backup {
        /// File to write; it must not exist
        file: PathBuf,
    },
    /// Restore a backup; existing data is moved aside, not deleted
    Restore {
        /// Backup file
        file: PathBuf,
    },
    /// Export apps, webhooks and keys as JSON for another server (no events, no log)
    Export(moving::ExportOptions),
    /// Import an export file (all or nothing; safe to repeat)
    Import(moving::ImportOptions),
    /// Import applications and endpoints from Svix, including signing secrets
    ImportSvix(moving::SvixOptions),
    /// Move everything, the log included, from SQLite to PostgreSQL or back (stop all servers first)
    MigrateStorage(migrate_storage::MigrateOptions),
    /// Check the database for corruption and show what is in it
    Check {
        /// Print one JSON object for programs
        #[arg(long)]
        json: bool,
    },
    /// Diagnose this machine, or the connection to a webhook
    Doctor(doctor::DoctorOptions),
    /// Benchmark this machine with a temporary server, load generator and receiver
    Bench(bench::BenchOptions),
    /// Print shell completions
    Completions { shell: clap_complete::Shell },
    /// Print the manual page (roff)
    Man,
    /// Build a workbook from the rows on stdin; for the server itself
    #[command(hide = true)]
    MakeWorkbook,
    /// Check that the server at the configured address is alive
    Healthcheck,
}

impl Global {
    /// The sources of the configuration in this process.
    fn sources(&self) -> Sources {
        let flag = |flag, key, value: &Option<String>| value.clone().map(|value| (flag, key, value));
        Sources {
            file: self.config.clone(),
            environment: std::env::vars_os().collect(),
            flags: [flag("--data", "data_dir", &self.data), flag("--listen", "listen", &self.listen)]
                .into_iter()
                .flatten()
                .collect(),
        }
    }
}

/// Runs the command of this process.
pub fn main() -> ExitCode {
    // Usage errors, --help and --version end the process here, with 2, 0 and 0.
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::message(&error.report());
            error.exit_code()
        }
    }
}

fn run(cli: Cli) -> Result<(), CliError> {
    // Each command decides whether it needs a configuration.
    let load = || Config::load(&cli.global.sources());
    let warned = |config: Config| {
        for warning in &config.warnings {
            output::message(&format!("warning: {warning}"));
        }
        config
    };
    let config = || Ok::<_, CliError>(warned(load()?));
    let without_storage = || Config::load_without_storage(&cli.global.sources());
    match cli.command.unwrap_or(Command::Serve(serve::ServeOptions::default())) {
        Command::Serve(options) => serve::run(load, &options),
        Command::Demo => demo::run(warned(without_storage()?)),
        Command::Openapi { surface } => openapi::run(surface, &config()?),
        Command::Key(command) => key::run(command, &config()?),
        Command::KeyFile(command) => key_file::run(command, &config()?),
        Command::User(command) => user::run(command, &config()?),
        Command::App(command) => app::run(command, &config()?),
        Command::Config(command) => config::run(command, &config()?),
        Command::Backup { file } => backup::create(&config()?, &file),
        Command::Restore { file } => backup::restore(&config()?, &file),
        Command::Export(options) => moving::export_to(&options, &config()?),
        Command::Import(options) => moving::import_from(&options, &config()?),
        Command::ImportSvix(options) => moving::import_svix(&options, &config()?),
        Command::MigrateStorage(options) => migrate_storage::run(&options, &config()?),
        Command::Check { json } => backup::check(&config()?, json),
        Command::Doctor(options) => doctor::run(&options, &config()?),
        Command::Bench(options) => bench::run(&options, &warned(without_storage()?)),
        Command::Completions { shell } => generate::completions(shell),
        Command::Man => generate::man(),
        Command::MakeWorkbook => make_workbook::run(),
        Command::Healthcheck => healthcheck::run(&config()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
