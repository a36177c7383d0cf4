//! `bench`: measures this machine.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{CliError, output, serve};
use crate::bench::{self, BenchPlan};
use crate::config::Config;

/// Flags of `bench`.
#[derive(Debug, Args)]
pub struct BenchOptions {
    /// Events to post
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub events: u32,
    /// Concurrent connections that post
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub clients: u32,
    /// Webhooks per event
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub endpoints: u32,
    /// Events per request; 1 = POST /v1/events
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub batch: u32,
    /// Payload size in bytes
    #[arg(long, default_value_t = 1_024, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub payload: u32,
    /// Print a JSON object
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub(super) fn run(options: &BenchOptions, config: &Config) -> Result<(), CliError> {
    let number = |n: u32| usize::try_from(n).expect("the argument's range bounds it");
    let plan = BenchPlan {
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
        return Err(CliError::Failed(format!(
            "{} did not arrive",
            super::output::counted(report.missing, "delivery")
        )));
    }
    Ok(())
}

/// The data directory, or its nearest existing ancestor: its disk is measured.
fn disk_of(data_dir: &Path) -> PathBuf {
    let here = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned());
    here.ancestors().find(|dir| dir.is_dir()).map_or_else(std::env::temp_dir, Path::to_owned)
}
