//! `bench`: measures this machine.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::{CliError, output, serve};
use crate::bench::sustained::{Minute, SustainedPlan, SustainedReport};
use crate::bench::{self, BenchPlan, sustained};
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
    /// Other webhooks in the app, which get no event
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub webhooks: u32,
    /// Post for so many minutes, with retention at work, and print a line for each; --events does not count then
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_440), conflicts_with_all = ["events", "batch"])]
    pub minutes: Option<u32>,
    /// With --minutes: events a second; 0 = as many as the clients can post
    #[arg(long, default_value_t = 0, requires = "minutes")]
    pub rate: u32,
    /// With --minutes: how long the server keeps the log and the events
    #[arg(long, default_value = "2m", requires = "minutes")]
    pub retention: String,
    /// The length of a minute in ms, for tests
    #[arg(long, default_value_t = 60_000, hide = true)]
    pub minute_ms: u64,
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
        webhooks: number(options.webhooks),
        batch: number(options.batch),
        payload: number(options.payload),
        parent: disk_of(&config.data_dir),
        shows_progress: !options.json && std::io::stderr().is_terminal(),
    };
    if let Some(minutes) = options.minutes {
        let sustained = SustainedPlan {
            minutes,
            minute: Duration::from_millis(options.minute_ms),
            rate: options.rate,
            retention: options.retention.clone(),
        };
        return run_sustained(&plan, &sustained, options.json);
    }
    let report = serve::runtime()?.block_on(bench::run(&plan))?;
    if options.json {
        let value = serde_json::to_value(&report).expect("numbers and words are JSON");
        output::print_json(&value)?;
    } else {
        output::print(&report.text())?;
    }
    all_arrived(report.missing)
}

/// A line for each minute as it ends, or everything as JSON at the end.
fn run_sustained(plan: &BenchPlan, sustained: &SustainedPlan, as_json: bool) -> Result<(), CliError> {
    let on_minute = |minute: &Minute| {
        if !as_json {
            // The result is in the exit code, even if nobody reads the lines.
            let _ = output::print(&format!("{}\n", minute.line()));
        }
    };
    let report = serve::runtime()?.block_on(sustained::run(plan, sustained, on_minute))?;
    if as_json {
        let value = serde_json::to_value(&report).expect("numbers and words are JSON");
        output::print_json(&value)?;
    } else {
        let SustainedReport { accepted, refused, deliveries, .. } = report;
        output::print(&format!("accepted {accepted}, rejected {refused}, delivered {deliveries}\n"))?;
    }
    all_arrived(usize::try_from(report.missing).unwrap_or(usize::MAX))
}

fn all_arrived(missing: usize) -> Result<(), CliError> {
    match missing {
        0 => Ok(()),
        n => Err(CliError::Failed(format!("{} did not arrive", output::counted(n, "delivery")))),
    }
}

/// The data directory, or its nearest existing ancestor: its disk is measured.
fn disk_of(data_dir: &Path) -> PathBuf {
    let here = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned());
    here.ancestors().find(|dir| dir.is_dir()).map_or_else(std::env::temp_dir, Path::to_owned)
}
