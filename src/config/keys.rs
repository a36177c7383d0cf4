//! The one table of configuration keys (section 2 of the contract).

use super::kind::Kind;
use crate::domain::endpoint::TIMEOUT_MAX_MS;

/// A key: what it is called, what form it has, and what holds without it.
#[derive(Debug)]
pub struct KeySpec {
    /// As it is written in the file, with dots between section and key.
    pub name: &'static str,
    pub kind: Kind,
    /// As it would be written in the environment; `None`: nothing holds unless something is given.
    pub default: Option<&'static str>,
    /// A line for people.
    pub about: &'static str,
}

impl KeySpec {
    /// The environment variable that sets it.
    pub fn env_name(&self) -> String {
        format!("POSTRIDER_{}", self.name.replace('.', "__").to_uppercase())
    }

    /// Whether the value is never shown, and can be given in a file of its own.
    pub fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::EncryptionKey | Kind::Token)
    }

    /// The section it is in, and its name there; the section is empty at the top.
    pub fn section_and_key(&self) -> (&'static str, &'static str) {
        self.name.split_once('.').unwrap_or(("", self.name))
    }
}

const fn key(name: &'static str, kind: Kind, default: &'static str, about: &'static str) -> KeySpec {
    KeySpec { name, kind, default: Some(default), about }
}

const fn unset(name: &'static str, kind: Kind, about: &'static str) -> KeySpec {
    KeySpec { name, kind, default: None, about }
}

const MIB: u64 = 1 << 20;
const U32: u64 = u32::MAX as u64;

/// All keys, in the order they are shown.
pub static KEYS: &[KeySpec] = &[
    key(
        "listen",
        Kind::Address,
        "127.0.0.1:8080",
        "The address and port to listen on, or a Unix socket (unix:/run/postrider/postrider.sock). A socket that systemd hands over goes before.",
    ),
    key(
        "data_dir",
        Kind::Path,
        "./data",
        "Where the database and the key file are; a relative path starts where the program is started.",
    ),
    unset(
        "encryption_key",
        Kind::EncryptionKey,
        "Encrypts signing secrets and secret header values at rest; at least 32 characters. Without it a key is made once, in data_dir/secret.key. encryption_key_file names a file that holds it.",
    ),
    unset(
        "public_url",
        Kind::PublicUrl,
        "The URL that clients use, with a base path if there is one (https://host/hooks). Without it, it is made from listen.",
    ),
    key("auth.key_prefix", Kind::KeyPrefix, "prk", "What API keys begin with; 1 to 20 of a-z, 0-9 and _."),
    key(
        "delivery.timeout",
        Kind::Span { min_ms: 1, max_ms: TIMEOUT_MAX_MS },
        "10s",
        "For a whole request, reading the response included; at most 30s.",
    ),
    key(
        "delivery.connect_timeout",
        Kind::Span { min_ms: 1, max_ms: TIMEOUT_MAX_MS },
        "5s",
        "For connecting to a receiver; at most 30s.",
    ),
    key(
        "delivery.retry_schedule",
        Kind::Schedule,
        "2m,8m,20m",
        "How long to wait before each retry; an empty list means no retries.",
    ),
    key("delivery.jitter", Kind::Fraction, "0.1", "By how much of itself each wait may grow, from 0 to 1."),
    key("delivery.concurrency", Kind::Count { min: 1, max: 65_536 }, "256", "Requests in flight."),
    key(
        "delivery.endpoint_concurrency",
        Kind::Count { min: 1, max: 65_536 },
        "10",
        "Requests in flight to one endpoint.",
    ),
    key(
        "delivery.disable_after_failures",
        Kind::Count { min: 0, max: U32 },
        "20",
        "Failed attempts in a row that disable an endpoint; 0 = never.",
    ),
    key(
        "delivery.response_body_limit",
        Kind::Size { min: 0, max: 16 * MIB },
        "16KiB",
        "How much of a response is kept.",
    ),
    key(
        "signing.headers",
        Kind::HeaderNames,
        "X-Webhook-Signature",
        "Names of the headers that carry a plain HMAC of the body, beside the Standard Webhooks ones.",
    ),
    key(
        "network.allow",
        Kind::Nets,
        "",
        "Networks (CIDR) or addresses that may be reached although they are private.",
    ),
    key(
        "retention.logs",
        Kind::Span { min_ms: 0, max_ms: u64::MAX },
        "30d",
        "How long the delivery log is kept; 0 = for ever.",
    ),
    key(
        "retention.events",
        Kind::Span { min_ms: 0, max_ms: u64::MAX },
        "30d",
        "How long events are kept; 0 = for ever.",
    ),
    key(
        "limits.requests_per_minute",
        Kind::Count { min: 0, max: U32 },
        "600",
        "Requests of one key or session, posting events apart; 0 = no limit.",
    ),
    key(
        "limits.events_per_second",
        Kind::Count { min: 0, max: U32 },
        "0",
        "Posted events of one key; 0 = no limit.",
    ),
    key(
        "limits.event_size",
        Kind::Size { min: 1, max: 64 * MIB },
        "256KiB",
        "The largest payload of an event.",
    ),
    key("limits.endpoints_per_app", Kind::Count { min: 1, max: U32 }, "5000", "The most webhooks of an app."),
    key(
        "http.trusted_proxies",
        Kind::Nets,
        "",
        "Networks (CIDR) or addresses of reverse proxies whose X-Forwarded-For, Forwarded and X-Forwarded-Proto are believed. One that comes over a Unix socket always is.",
    ),
    unset(
        "tls.certificate",
        Kind::Path,
        "A file with the certificate and its chain (PEM); connections are encrypted then. Read again on SIGHUP.",
    ),
    unset("tls.key", Kind::Path, "A file with the certificate's key (PEM, no password)."),
    unset(
        "metrics.token",
        Kind::Token,
        "A bearer token that may read /metrics from anywhere. metrics.token_file names a file that holds it.",
    ),
    key(
        "metrics.allow",
        Kind::Nets,
        "127.0.0.0/8,::1/128",
        "Networks (CIDR) or addresses that may read /metrics without a token.",
    ),
    key(
        "backup.every",
        Kind::Span { min_ms: 0, max_ms: u64::MAX },
        "0",
        "How often the server makes a backup by itself, such as 24h; 0 = never.",
    ),
    key(
        "backup.keep",
        Kind::Count { min: 1, max: 10_000 },
        "7",
        "How many of these are kept; older ones are removed.",
    ),
    unset(
        "backup.dir",
        Kind::Path,
        "Where they are put; without it, in data_dir/backups. Another disk is better; each server needs a directory of its own.",
    ),
    // The format itself ends at 1,048,576 rows, of which one is the header.
    key(
        "export.xlsx_max_rows",
        Kind::Count { min: 1, max: 1_048_575 },
        "20000",
        "Rows of an XLSX export, which a process of its own builds in memory (about 6.5 KiB a row).",
    ),
    key("log.format", Kind::LogFormat, "auto", "text, json, or auto: text on a terminal, else json."),
    key(
        "log.level",
        Kind::LogLevel,
        "info",
        "off, error, warn, info, debug or trace, or directives like info,postrider::delivery=debug.",
    ),
];

/// The key with this name.
pub fn find(name: &str) -> Option<&'static KeySpec> {
    KEYS.iter().find(|k| k.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_names_follow_the_keys() {
        let env = |name| find(name).unwrap().env_name();
        assert_eq!(env("listen"), "POSTRIDER_LISTEN");
        assert_eq!(env("delivery.retry_schedule"), "POSTRIDER_DELIVERY__RETRY_SCHEDULE");
    }
}
