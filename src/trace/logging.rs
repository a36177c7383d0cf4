//! Log lines to stderr, as text or as JSON.
//!
//! Lines go through a bounded queue ([`OutputQueue`]), so a reader of stderr that has stopped never blocks the
//! program: lines are dropped and counted instead.
//!
//! Stdout is for requested output. `RUST_LOG` is ignored: `log.level` configures the level, and
//! [`set_level`] changes it while the process runs.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd as _;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Identity, Layered, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::config::kind::{Kind, Raw};
use crate::config::{Config, LogFormat};
use crate::host::clock::{Clock as _, SystemClock};
use crate::host::meter::Counter;
use crate::host::output_queue::OutputQueue;

/// Libraries that log only warnings unless they are named.
const QUIET: &[&str] = &[
    "hyper",
    "hyper_util",
    "reqwest",
    "rustls",
    "h2",
    "poem",
    "poem_openapi",
    "r2d2",
    "rusqlite",
    "tower",
    "mio",
];

/// The current level and the handle to change it; `None` before [`init`].
static CURRENT: Mutex<Option<(String, reload::Handle<Targets, Registry>)>> = Mutex::new(None);

fn current() -> MutexGuard<'static, Option<(String, reload::Handle<Targets, Registry>)>> {
    CURRENT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The current level in the format of `log.level`; `None` when nothing is logged.
pub fn level() -> Option<String> {
    current().as_ref().map(|(level, _)| level.clone())
}

/// Changes the level. The error says what it must be, or why it cannot be changed.
pub fn set_level(level: &str) -> Result<(), String> {
    let read = Kind::LogLevel.read(&Raw::Text(level.to_owned()));
    read.map_err(|_| format!("must be {}", Kind::LogLevel.form()))?;
    let mut current = current();
    let (configured, handle) = current.as_mut().ok_or("nothing is logged by this process")?;
    handle.reload(filter(level)).map_err(|error| error.to_string())?;
    level.clone_into(configured);
    Ok(())
}

/// The log lines, on which traces are layered.
type Lines = Layered<Box<dyn Layer<Registry> + Send + Sync>, Registry>;

/// Starts logging for the rest of the process. A second call changes nothing. A panic becomes a log line with
/// the id of its request.
pub fn init(config: &Config) {
    start(config, Identity::new());
}

/// The same, and exports traces with `client` if a collector is configured. Must be called inside a runtime.
#[cfg(feature = "otel")]
pub fn init_with_traces(config: &Config, client: reqwest::Client) {
    start(config, crate::trace::otel::layer(client));
}

fn start(config: &Config, traces: impl Layer<Lines> + Send + Sync) {
    let terminal = std::io::stderr().is_terminal();
    let json = match config.log.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !terminal,
    };
    start_queue(json);
    let lines = fmt::layer().with_writer(|| LineWriter);
    let (filter, handle) = reload::Layer::new(filter(&config.log.level));
    let lines = if json {
        lines.json().flatten_event(true).with_current_span(false).with_filter(filter).boxed()
    } else {
        lines.with_ansi(terminal).with_filter(filter).boxed()
    };
    // Fails only if logging has already started, for example in tests.
    if tracing_subscriber::registry().with(lines).with(traces).try_init().is_ok() {
        *current() = Some((config.log.level.clone(), handle));
        std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "panic (a bug in Postrider)")));
    }
}

/// The queue of stderr, once logging has started.
static QUEUE: OnceLock<OutputQueue> = OnceLock::new();

/// How long the last lines may take at the end of the process.
const FLUSH: Duration = Duration::from_secs(1);

fn start_queue(json: bool) {
    let notice = if json { json_notice } else { text_notice };
    let start = || -> io::Result<OutputQueue> {
        let file = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        OutputQueue::start("log", file, Some(notice))
    };
    if QUEUE.get().is_none()
        && let Ok(queue) = start()
    {
        // A second call finds the queue of the first.
        let _ = QUEUE.set(queue);
    }
}

fn text_notice(lines: u64) -> String {
    format!("{}  WARN postrider::trace::logging: {lines} log lines dropped\n", SystemClock.now())
}

fn json_notice(lines: u64) -> String {
    let (at, message) = (SystemClock.now(), format!("{lines} log lines dropped"));
    let line = serde_json::json!({
        "timestamp": at.to_string(), "level": "WARN", "message": message, "lines": lines,
        "target": "postrider::trace::logging",
    });
    format!("{line}\n")
}

/// The number of log lines that were dropped because nobody read stderr.
pub fn dropped() -> Counter {
    QUEUE.get().map(OutputQueue::dropped).unwrap_or_default()
}

/// Writes the remaining lines before the process ends; blocks for a second at most.
pub fn flush() {
    if let Some(queue) = QUEUE.get() {
        queue.flush(FLUSH);
    }
}

/// Writes a log line, which arrives as a whole, to the queue.
struct LineWriter;

impl io::Write for LineWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match QUEUE.get() {
            Some(queue) => queue.send(line.to_vec()),
            None => io::stderr().write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The filter of `level`, with warnings only for libraries that it does not name.
fn filter(level: &str) -> Targets {
    let wanted: Targets =
        level.replace(' ', "").parse().unwrap_or_else(|_| Targets::new().with_default(Level::INFO));
    let default = wanted.default_level().unwrap_or(LevelFilter::OFF);
    let named: Vec<_> = wanted.iter().map(|(target, _)| target.to_owned()).collect();
    let quiet =
        QUIET.iter().filter(|q| !named.iter().any(|n| n == *q)).map(|q| (*q, default.min(LevelFilter::WARN)));
    wanted.with_targets(quiet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_quiet_unless_they_are_named() {
        let info = filter("info");
        assert!(info.would_enable("postrider::delivery", &Level::INFO));
        assert!(!info.would_enable("postrider::delivery", &Level::DEBUG));
        assert!(!info.would_enable("hyper::proto", &Level::INFO));
        assert!(info.would_enable("hyper::proto", &Level::WARN));
        let named = filter("warn, hyper=debug,postrider::delivery=trace");
        assert!(named.would_enable("hyper::proto", &Level::DEBUG));
        assert!(named.would_enable("postrider::delivery", &Level::TRACE));
        assert!(!named.would_enable("postrider", &Level::INFO));
        assert!(!filter("off").would_enable("hyper", &Level::ERROR));
    }
}
