//! `bench`: what this machine can do.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{CliError, output, serve};
use crate::bench::{self, Plan};
use crate::config::Config;

/// What to measure.
#[derive(Debug, Args)]
pub struct BenchOptions {
    /// Events to post
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub events: u32,
    /// Connections that post at the same time
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub clients: u32,
    /// Webhooks that get each event
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub endpoints: u32,
    /// Events of one request; with 1 each is posted by itself
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub batch: u32,
    /// Bytes of a payload
    #[arg(long, default_value_t = 1_024, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub payload: u32,
    /// Print one JSON object for programs
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub(super) fn run(options: &BenchOptions, config: &Config) -> Result<(), CliError> {
    let number = |n: u32| usize::try_from(n).expect("it is bounded by its range");
    let plan = Plan {
        events: number(options.events),
        clients: number(options.clients),
        endpoints: number(options.endpoints),
        batch: number(options.batch),
        payload: number(options.payload),
        parent: disk_of(&config.data_dir),
        shows_progress: !options.json && std::io::stderr().is_terminal(),
    };
    let report = serve::runtime()?.block_on(bench::run(&plan))?;
    if options.json {
        let value = serde_json::to_value(&report).expect("numbers and words are JSON");
        output::print_json(&value)?;
    } else {
        output::print(&report.text())?;
    }
    if report.missing > 0 {
        return Err(CliError::Failed(format!("{} deliveries did not arrive", report.missing)));
    }
    Ok(())
}

/// The data directory, or the nearest one above it that is there: what is measured is its disk.
fn disk_of(data_dir: &Path) -> PathBuf {
    let here = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned());
    here.ancestors().find(|dir| dir.is_dir()).map_or_else(std::env::temp_dir, Path::to_owned)
}
