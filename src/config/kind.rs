//! The formats of values, and how each is read.
//!
//! A value arrives as text (flag, environment, secret file) or as TOML. [`Kind::read`] is the only way
//! from there to a [`Value`]; its error says what was expected and never repeats the given value.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::value::{LogFormat, Value};
use super::{ByteSize, PublicUrl, Secret};
use crate::domain::Span;
use crate::domain::attempts::retry::{SCHEDULE_MAX, Schedule};
use crate::domain::endpoint::check_header_name;

/// The fewest characters of an encryption key.
pub const ENCRYPTION_KEY_MIN_CHARS: usize = 32;
/// The longest name of a node.
const NODE_NAME_MAX: usize = 100;
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// The format of a key's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Address,
    Path,
    EncryptionKey,
    Token,
    /// The URL of a PostgreSQL database, which may hold a password.
    DatabaseUrl,
    NodeName,
    PublicUrl,
    KeyPrefix,
    /// Bounds in milliseconds, both inclusive.
    Span {
        min_ms: u64,
        max_ms: u64,
    },
    Schedule,
    /// From 0 to 1.
    Fraction,
    /// Bounds inclusive.
    Count {
        min: u64,
        max: u64,
    },
    /// Bounds in bytes, both inclusive.
    Size {
        min: u64,
        max: u64,
    },
    HeaderNames,
    Nets,
    LogFormat,
    LogLevel,
}

/// A value as it arrived.
#[derive(Debug, Clone)]
pub enum Raw {
    /// Lists are separated by commas.
    Text(String),
    Toml(toml::Value),
}

impl Raw {
    /// A single text; numbers are taken as their digits, so that `0` and `16384` need no quotes.
    fn text(&self) -> Option<String> {
        match self {
            Raw::Text(text) | Raw::Toml(toml::Value::String(text)) => Some(text.clone()),
            Raw::Toml(toml::Value::Integer(number)) => Some(number.to_string()),
            Raw::Toml(toml::Value::Float(number)) => Some(number.to_string()),
            Raw::Toml(_) => None,
        }
    }

    /// A text; a number is refused.
    fn string(&self) -> Option<String> {
        match self {
            Raw::Toml(toml::Value::Integer(_) | toml::Value::Float(_)) => None,
            other => other.text(),
        }
    }

    fn list(&self) -> Option<Vec<String>> {
        match self {
            Raw::Text(text) if matches!(text.trim(), "" | "[]") => Some(Vec::new()),
            Raw::Text(text) => Some(text.split(',').map(|item| item.trim().to_owned()).collect()),
            Raw::Toml(toml::Value::Array(items)) => {
                items.iter().map(|item| item.as_str().map(str::to_owned)).collect()
            }
            Raw::Toml(_) => None,
        }
    }
}

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Raw::Text(text) => write!(f, "\"{text}\""),
            Raw::Toml(toml::Value::Table(_)) => f.write_str("a table"),
            Raw::Toml(value) => value.fmt(f),
        }
    }
}

impl Kind {
    /// Reads a value. The error says what was expected and does not contain the value.
    pub fn read(self, raw: &Raw) -> Result<Value, String> {
        self.try_read(raw).map_err(|specific| specific.unwrap_or_else(|| format!("expected {}", self.form())))
    }

    fn try_read(self, raw: &Raw) -> Result<Value, Option<String>> {
        let text = || raw.string().ok_or(None);
        match self {
            Kind::Address => text()?.parse().map(Value::Address).map_err(|_| None),
            Kind::Path => Some(text()?).filter(|t| !t.is_empty()).map(|t| Value::Path(t.into())).ok_or(None),
            Kind::EncryptionKey => {
                let long_enough = |t: &String| t.chars().count() >= ENCRYPTION_KEY_MIN_CHARS;
                Some(text()?).filter(long_enough).map(|t| Value::Secret(Secret::new(t))).ok_or(None)
            }
            Kind::Token => {
                let header_safe = |t: &String| !t.is_empty() && t.bytes().all(|b| b.is_ascii_graphic());
                Some(text()?).filter(header_safe).map(|t| Value::Secret(Secret::new(t))).ok_or(None)
            }
            Kind::DatabaseUrl => database_url(text()?).ok_or(None),
            Kind::NodeName => Some(text()?).filter(|text| is_node_name(text)).map(Value::Text).ok_or(None),
            Kind::PublicUrl => PublicUrl::parse(&text()?).map(Value::Url).ok_or(None),
            Kind::KeyPrefix => {
                let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
                let fits = |t: &String| (1..=20).contains(&t.len()) && t.bytes().all(plain);
                Some(text()?).filter(fits).map(Value::Text).ok_or(None)
            }
            Kind::Span { min_ms, max_ms } => {
                let fits = |s: &Span| (min_ms..=max_ms).contains(&s.as_millis());
                raw.text().and_then(|t| Span::parse(&t)).filter(fits).map(Value::Span).ok_or(None)
            }
            Kind::Schedule => {
                let waits: Option<Vec<Span>> =
                    raw.list().ok_or(None)?.iter().map(|t| Span::parse(t)).collect();
                Schedule::new(waits.ok_or(None)?).map(Value::Schedule).map_err(|_| None)
            }
            Kind::Fraction => {
                let number = raw.text().and_then(|t| t.parse::<f64>().ok()).ok_or(None)?;
                Some(number).filter(|n| (0.0..=1.0).contains(n)).map(Value::Fraction).ok_or(None)
            }
            Kind::Count { min, max } => {
                let digits = raw.text().filter(|t| t.bytes().all(|b| b.is_ascii_digit())).ok_or(None)?;
                let number = digits.parse::<u64>().ok();
                number.filter(|n| (min..=max).contains(n)).map(Value::Count).ok_or(None)
            }
            Kind::Size { min, max } => {
                let size = raw.text().and_then(|t| ByteSize::parse(&t));
                size.filter(|s| (min..=max).contains(&s.bytes())).map(Value::Size).ok_or(None)
            }
            Kind::HeaderNames => header_names(raw.list().ok_or(None)?).map_err(Some),
            Kind::Nets => raw
                .list()
                .ok_or(None)?
                .iter()
                .map(|t| net(t))
                .collect::<Option<_>>()
                .map(Value::Nets)
                .ok_or(None),
            Kind::LogFormat => {
                let name = text()?;
                LogFormat::ALL.into_iter().find(|f| f.as_str() == name).map(Value::Format).ok_or(None)
            }
            Kind::LogLevel => Some(text()?).filter(|t| is_log_level(t)).map(Value::Text).ok_or(None),
        }
    }

    /// A description of a valid value, such as "a path".
    pub fn form(self) -> String {
        match self {
            Kind::Address => "an IP address and a port, such as 127.0.0.1:8080, localhost:8080, :8080 (all IPv4 addresses) or [::]:8080, or unix: and the path of a socket".into(),
            Kind::Path => "a path".into(),
            Kind::EncryptionKey => format!("at least {ENCRYPTION_KEY_MIN_CHARS} characters"),
            Kind::Token => "letters, digits and punctuation without spaces".into(),
            Kind::DatabaseUrl => "the URL of a PostgreSQL database, such as postgres://user@host/database?sslmode=verify-full or postgres:///database?host=/run/postgresql".into(),
            Kind::NodeName => format!("1 to {NODE_NAME_MAX} letters, digits, dots, hyphens and underscores"),
            Kind::PublicUrl => "an http or https URL without credentials, query and fragment, and a plain path, such as https://host/hooks".into(),
            Kind::KeyPrefix => "1 to 20 of a-z, 0-9 and _".into(),
            Kind::Span { min_ms: 0, .. } => "a duration such as 30d (a whole number and ms, s, m, h or d), or 0".into(),
            Kind::Span { min_ms, max_ms } => format!(
                "a duration from {min_ms}ms to {}s, such as 10s (a whole number and ms, s or m)",
                max_ms / 1_000
            ),
            Kind::Schedule => format!(
                "a list of at most {SCHEDULE_MAX} durations of at most 30d, such as 2m, 8m, 20m (each a whole number and ms, s, m, h or d)"
            ),
            Kind::Fraction => "a number from 0 to 1".into(),
            Kind::Count { min, max } => format!("a whole number from {min} to {max}"),
            Kind::Size { min, max } => {
                format!("a size from {min} B to {} MiB, such as 16KiB, 1MiB or 16384", max >> 20)
            }
            Kind::HeaderNames => "a list of header names, such as X-Webhook-Signature".into(),
            Kind::Nets => {
                "a list of networks or addresses, such as 10.0.0.0/8, 192.168.1.7 or fd00::/8".into()
            }
            Kind::LogFormat => "text, json or auto".into(),
            Kind::LogLevel => "off, error, warn, info, debug or trace, or directives such as info,postrider::delivery=debug".into(),
        }
    }
}

fn database_url(text: String) -> Option<Value> {
    let is_url = text.starts_with("postgres://") || text.starts_with("postgresql://");
    is_url.then(|| Value::Secret(Secret::new(text)))
}

fn is_node_name(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=NODE_NAME_MAX).contains(&text.len()) && text.chars().all(is_plain)
}

fn header_names(names: Vec<String>) -> Result<Value, String> {
    for (i, name) in names.iter().enumerate() {
        check_header_name(name, &[]).map_err(|sentence| format!("expected other names: {sentence}"))?;
        if names[..i].iter().any(|earlier| earlier.eq_ignore_ascii_case(name)) {
            return Err(format!("expected each name once; {name} occurs twice"));
        }
    }
    Ok(Value::Texts(names))
}

/// A network, or an address as the network of just itself.
fn net(text: &str) -> Option<IpNet> {
    let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    net.ok().map(|n| n.trunc())
}

/// Stricter than the parser of directives, which takes a misspelled level for the name of a module.
fn is_log_level(text: &str) -> bool {
    let target =
        |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_alphanumeric() || b"_:".contains(&b));
    let level = |t: &str| LEVELS.contains(&t);
    text.split(',').map(str::trim).all(|directive| match directive.split_once('=') {
        Some((name, wanted)) => target(name) && level(wanted),
        None => level(directive),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(kind: Kind, text: &str) -> bool {
        kind.read(&Raw::Text(text.to_owned())).is_ok()
    }

    #[test]
    fn each_format_accepts_its_own_values_only() {
        let span = Kind::Span { min_ms: 1, max_ms: 30_000 };
        let keep = Kind::Span { min_ms: 0, max_ms: u64::MAX };
        let count = Kind::Count { min: 1, max: 10 };
        let key32 = "x".repeat(32);
        let key31 = "x".repeat(31);
        let cases: &[(Kind, &[&str], &[&str])] = &[
            (
                Kind::Address,
                &["0.0.0.0:80", "[::1]:8080", "unix:/run/p.sock", ":8080", "localhost:8080"],
                &["", "unix:", "8080", "host:8080", "1.2.3.4", ":x", ":99999"],
            ),
            (Kind::Path, &["/x", "x y"], &[""]),
            (Kind::EncryptionKey, &[&key32], &["", &key31]),
            (Kind::Token, &["a-b_c"], &["", "a b", "ü"]),
            (Kind::KeyPrefix, &["prk", "mxcep", "my_own2"], &["", "Prk", "a-b", "abcdefghijklmnopqrstu"]),
            (span, &["1ms", "30s"], &["0", "0s", "31s", "10", "ten"]),
            (keep, &["0", "0s", "400d"], &["-1d", "30"]),
            (Kind::Schedule, &["", "1s", "2m, 8m,20m"], &["2m,", "x", "31d"]),
            (Kind::Fraction, &["0", "0.5", "1"], &["", "-0.1", "1.1", "NaN", "10%"]),
            (count, &["1", "10"], &["0", "11", "", "+1", "1.0"]),
            (Kind::Size { min: 1, max: 1 << 20 }, &["1", "1MiB", "16KiB"], &["0", "2MiB", "16K"]),
            (Kind::HeaderNames, &["", "X-A", "X-A,X-B"], &["Host", "webhook-id", "X-A,x-a", "a b", "X-A,"]),
            (
                Kind::Nets,
                &["", "10.0.0.0/8", "10.1.2.3", "::1, fd00::/8"],
                &["10.0.0.0/33", "host", "10.0.0.0/8,"],
            ),
            (Kind::LogFormat, &["auto", "text", "json"], &["", "JSON", "xml"]),
            (
                Kind::LogLevel,
                &["info", "off", "info,postrider::delivery=debug"],
                &["", "inf", "info,", "x=y"],
            ),
        ];
        for (kind, good, bad) in cases {
            for text in *good {
                assert!(reads(*kind, text), "{kind:?} {text:?}");
            }
            for text in *bad {
                assert!(!reads(*kind, text), "{kind:?} {text:?}");
            }
        }
    }

    #[test]
    fn toml_must_have_the_right_type() {
        let toml = |text: &str| Raw::Toml(text.parse::<toml::Table>().unwrap()["v"].clone());
        assert!(Kind::Span { min_ms: 0, max_ms: u64::MAX }.read(&toml("v = 0")).is_ok());
        assert!(Kind::Size { min: 0, max: 1 << 20 }.read(&toml("v = 16384")).is_ok());
        assert!(Kind::Fraction.read(&toml("v = 1")).is_ok());
        assert!(Kind::Nets.read(&toml("v = ['10.0.0.0/8']")).is_ok());
        assert!(Kind::Nets.read(&toml("v = '10.0.0.0/8'")).is_err());
        assert!(Kind::Nets.read(&toml("v = [1]")).is_err());
        assert!(Kind::Path.read(&toml("v = 1")).is_err());
        assert!(Kind::Count { min: 0, max: 9 }.read(&toml("v = true")).is_err());
        assert!(Kind::Count { min: 0, max: 9 }.read(&toml("v = -1")).is_err());
    }

    #[test]
    fn an_address_is_the_network_of_itself() {
        assert_eq!(net("169.254.169.254").unwrap().to_string(), "169.254.169.254/32");
        assert_eq!(net("10.1.2.3/8").unwrap().to_string(), "10.0.0.0/8");
    }
}
