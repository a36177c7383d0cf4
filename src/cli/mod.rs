//! The command line: one file a command. Here is what they share: the flags, the way from a command to
//! its code, and the exit codes.
//!
//! What was asked for goes to stdout and everything else to stderr. Exit codes: 0 fine, 1 failed while
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
mod moving;
mod openapi;
mod output;
mod serve;
mod storage;
mod svix;
mod user;

pub use error::CliError;

/// Postrider delivers webhooks: it takes in events, signs them, sends them, retries, and keeps a log.
#[derive(Debug, Parser)]
#[command(name = "postrider", version, about)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Flags that every command takes.
#[derive(Debug, Args)]
pub struct Global {
    /// The configuration file (TOML); POSTRIDER_CONFIG names it too
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The data directory; goes before data_dir of environment and file
    #[arg(long, global = true, value_name = "DIR")]
    pub data: Option<String>,
    /// The address to listen on; goes before listen of environment and file
    #[arg(long, global = true, value_name = "ADDR")]
    pub listen: Option<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server (what happens without a command, too)
    Serve(serve::ServeOptions),
    /// See it at work: a server with a receiver, a webhook and events, in a throw-away data directory
    Demo,
    /// Make, list and revoke API keys
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Change the key that encrypts secrets at rest
    #[command(subcommand)]
    KeyFile(key_file::KeyFileCommand),
    /// Make and list the people who may sign in to the dashboard
    #[command(subcommand)]
    User(user::UserCommand),
    /// Make and list apps, the owners of endpoints, events and keys
    #[command(subcommand)]
    App(app::AppCommand),
    /// Check or show the configuration
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Print the OpenAPI document of a surface
    Openapi {
        #[arg(default_value = "v1")]
        surface: openapi::Surface,
    },
    /// Copy all data to a new file, for its owner only; the server may be running
    Backup {
        /// The file to write, which must not exist
        file: PathBuf,
    },
    /// Bring a backup back; what the data directory holds is kept beside
    Restore {
        /// The backup
        file: PathBuf,
    },
    /// Write apps, webhooks and keys as JSON, for another server; events and the log are not in it
    Export(moving::ExportOptions),
    /// Take in what export has written: all of it or nothing; once more changes nothing
    Import(moving::ImportOptions),
    /// Take in the applications and endpoints of a Svix server, with their signing secrets
    ImportSvix(moving::SvixOptions),
    /// Look at every page of the database: whether it is sound, and how big what is in it is
    Check {
        /// Print one JSON object for programs
        #[arg(long)]
        json: bool,
    },
    /// Say in plain words whether this machine is fit, and what is wrong on the way to a webhook
    Doctor(doctor::DoctorOptions),
    /// Measure what this machine can do: the server with a load and a receiver, in a throw-away directory
    Bench(bench::BenchOptions),
    /// Print completions for a shell
    Completions { shell: clap_complete::Shell },
    /// Print the manual page (roff)
    Man,
    /// Make a workbook of the rows on stdin; for the server itself
    #[command(hide = true)]
    MakeWorkbook,
    /// Ask the server at the configured address whether it is alive
    Healthcheck,
}

impl Global {
    /// What the configuration is read from, in this process.
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

/// Runs what the process was started for.
pub fn main() -> ExitCode {
    // Usage errors, --help and --version end the process in here, with 2, 0 and 0.
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", error.report());
            error.exit_code()
        }
    }
}

fn run(cli: Cli) -> Result<(), CliError> {
    // Each command says whether it needs a configuration.
    let config = || Config::load(&cli.global.sources());
    match cli.command.unwrap_or(Command::Serve(serve::ServeOptions::default())) {
        Command::Serve(options) => serve::run(config()?, &options),
        Command::Demo => demo::run(config()?),
        Command::Openapi { surface } => openapi::run(surface, &config()?),
        Command::Key(command) => key::run(command, &config()?),
        Command::KeyFile(command) => key_file::run(command, &config()?),
        Command::User(command) => user::run(command, &config()?),
        Command::App(command) => app::run(command, &config()?),
        Command::Config(command) => config::run(command, &config()?),
        Command::Backup { file } => backup::make(&config()?, &file),
        Command::Restore { file } => backup::restore(&config()?, &file),
        Command::Export(options) => moving::give_out(&options, &config()?),
        Command::Import(options) => moving::take_in(&options, &config()?),
        Command::ImportSvix(options) => moving::take_from_svix(&options, &config()?),
        Command::Check { json } => backup::check(&config()?, json),
        Command::Doctor(options) => doctor::run(&options, &config()?),
        Command::Bench(options) => bench::run(&options, &config()?),
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
