//! Log lines: to stderr, as text for people or JSON for programs.
//!
//! Stdout is left to what a person asked for. `RUST_LOG` is not looked at: there is one place to
//! configure, `log.level`, and one to change it while the process runs, [`set_level`].

use std::io::IsTerminal;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Identity, Layered, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::config::kind::{Kind, Raw};
use crate::config::{Config, LogFormat};

/// Libraries whose own lines matter to nobody unless something is wrong.
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

/// What is let through now, and the way to change it; `None` before [`init`].
static NOW: Mutex<Option<(String, reload::Handle<Targets, Registry>)>> = Mutex::new(None);

fn now() -> MutexGuard<'static, Option<(String, reload::Handle<Targets, Registry>)>> {
    NOW.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is let through now, as `log.level` says it; `None` when nothing is logged.
pub fn level() -> Option<String> {
    now().as_ref().map(|(level, _)| level.clone())
}

/// Lets other lines through from now on. The error says what would be right.
pub fn set_level(level: &str) -> Result<(), String> {
    Kind::LogLevel.read(&Raw::Text(level.to_owned()))?;
    let mut now = now();
    let (current, handle) = now.as_mut().ok_or("nothing is logged by this process")?;
    handle.reload(filter(level)).map_err(|error| error.to_string())?;
    level.clone_into(current);
    Ok(())
}

/// The log lines, on which traces may stand.
type Lines = Layered<Box<dyn Layer<Registry> + Send + Sync>, Registry>;

/// Starts logging for the rest of the process. A second call changes nothing. A panic becomes a log
/// line like others, with the id of the request it happened in.
pub fn init(config: &Config) {
    start(config, Identity::new());
}

/// The same, with traces if a collector is named, to which `client` sends them. To be called inside a runtime.
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
    let lines = fmt::layer().with_writer(std::io::stderr);
    let (filter, handle) = reload::Layer::new(filter(&config.log.level));
    let lines = if json {
        lines.json().flatten_event(true).with_current_span(false).with_filter(filter).boxed()
    } else {
        lines.with_ansi(terminal).with_filter(filter).boxed()
    };
    // Fails only when logging has been started before, in tests for example.
    if tracing_subscriber::registry().with(lines).with(traces).try_init().is_ok() {
        *now() = Some((config.log.level.clone(), handle));
        std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "a bug: something panicked")));
    }
}

/// What is let through: what `level` says, and of libraries that it does not name only warnings.
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
