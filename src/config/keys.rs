//! The one table of configuration keys (section 2 of the contract).

use super::kind::Kind;
use crate::domain::endpoint::TIMEOUT_MAX_MS;

/// A key: its name, the format of its value, and its default.
#[derive(Debug)]
pub struct KeySpec {
    /// As in the file, with a dot between section and key.
    pub name: &'static str,
    pub kind: Kind,
    /// As in the environment; `None`: not set.
    pub default: Option<&'static str>,
    /// One line for people.
    pub about: &'static str,
}

impl KeySpec {
    /// The environment variable that sets it.
    pub fn env_name(&self) -> String {
        format!("POSTRIDER_{}", self.name.replace('.', "__").to_uppercase())
    }

    /// Whether the value is never shown, and may be given as a file.
    pub fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::EncryptionKey | Kind::Token | Kind::DatabaseUrl)
    }

    /// Its section and its name there; the section is empty at the top level.
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
const DAY_MS: u64 = 86_400_000;
const U32: u64 = u32::MAX as u64;

/// All keys, in display order.
pub static KEYS: &[KeySpec] = &[
    key(
        "listen",
        Kind::Address,
        "127.0.0.1:8080",
        "Address and port to listen on, or a Unix socket (unix:/run/postrider/postrider.sock). A socket passed by systemd takes precedence.",
    ),
    key(
        "data_dir",
        Kind::Path,
        "./data",
        "Directory of the database and the key file; relative paths are resolved against the working directory.",
    ),
    unset(
        "encryption_key",
        Kind::EncryptionKey,
        "Encrypts signing secrets and secret header values at rest; at least 32 characters. If not set, a key is generated once in data_dir/secret.key. encryption_key_file names a file with the key.",
    ),
    unset(
        "public_url",
        Kind::PublicUrl,
        "URL that clients use, including a base path (https://host/hooks). If not set, it is derived from listen.",
    ),
    unset(
        "storage.url",
        Kind::DatabaseUrl,
        "PostgreSQL database (14 or newer) that holds all data, such as postgres://user@host/database?sslmode=verify-full; encryption_key is required then, and data_dir is not used. If not set, SQLite in data_dir. storage.url_file names a file with the URL.",
    ),
    unset(
        "storage.listen_url",
        Kind::DatabaseUrl,
        "The same database without a pooler between, for what nodes tell each other (LISTEN), when storage.url leads to a pooler in transaction mode. If not set, storage.url. storage.listen_url_file names a file with the URL.",
    ),
    key(
        "storage.connections",
        Kind::Count { min: 2, max: 10_000 },
        "20",
        "Most connections of this node to the database; leases and notifications take two more.",
    ),
    unset(
        "cluster.node",
        Kind::NodeName,
        "Name of this node in logs, metrics and the dashboard. If not set, the name of the host.",
    ),
    key(
        "cluster.lease",
        Kind::Span { min_ms: 3_000, max_ms: 60_000 },
        "10s",
        "How long a node that is gone keeps its share of the endpoints; from 3s to 60s.",
    ),
    key("auth.key_prefix", Kind::KeyPrefix, "prk", "Prefix of API keys; 1 to 20 of a-z, 0-9 and _."),
    key(
        "delivery.timeout",
        Kind::Span { min_ms: 1, max_ms: TIMEOUT_MAX_MS },
        "10s",
        "Timeout of a whole request, including reading the response; at most 30s.",
    ),
    key(
        "delivery.connect_timeout",
        Kind::Span { min_ms: 1, max_ms: TIMEOUT_MAX_MS },
        "5s",
        "Timeout for connecting to a receiver; at most 30s.",
    ),
    key(
        "delivery.retry_schedule",
        Kind::Schedule,
        "2m,8m,20m",
        "Wait before each retry; an empty list means no retries.",
    ),
    key(
        "delivery.jitter",
        Kind::Fraction,
        "0.1",
        "Random extra delay added to each wait, as a fraction from 0 to 1.",
    ),
    key(
        "delivery.concurrency",
        Kind::Count { min: 1, max: 65_536 },
        "256",
        "Maximum number of requests in flight.",
    ),
    key(
        "delivery.endpoint_concurrency",
        Kind::Count { min: 1, max: 65_536 },
        "10",
        "Maximum number of requests in flight to one endpoint.",
    ),
    key(
        "delivery.circuit_failures",
        Kind::Count { min: 0, max: U32 },
        "5",
        "Failures in a row (no response, 408, or 5xx, over 10 s or more) that put an endpoint on hold: only \
         probes are sent until one succeeds, and no retry is used up; 0 = never.",
    ),
    key(
        "delivery.hold_at_most",
        Kind::Span { min_ms: 0, max_ms: 30 * DAY_MS },
        "3d",
        "How long a delivery is held at most, from when it was first held; then it is exhausted. 0s = no limit.",
    ),
    key(
        "delivery.disable_after_failures",
        Kind::Count { min: 0, max: U32 },
        "20",
        "Consecutive failed attempts that disable an endpoint, if nothing has succeeded for \
         delivery.disable_after; 0 = never.",
    ),
    key(
        "delivery.disable_after",
        Kind::Span { min_ms: 0, max_ms: 90 * DAY_MS },
        "5d",
        "How long nothing has succeeded before delivery.disable_after_failures disables an endpoint. 0s = the \
         failures alone decide.",
    ),
    key(
        "delivery.response_body_limit",
        Kind::Size { min: 0, max: 16 * MIB },
        "16KiB",
        "Maximum size of a stored response body.",
    ),
    key(
        "signing.headers",
        Kind::HeaderNames,
        "X-Webhook-Signature",
        "Names of the headers with a plain HMAC of the body, in addition to the Standard Webhooks headers.",
    ),
    key("network.allow", Kind::Nets, "", "Private networks (CIDR) or addresses that deliveries may reach."),
    key(
        "retention.logs",
        Kind::Span { min_ms: 0, max_ms: u64::MAX },
        "30d",
        "How long to keep the delivery log; 0 = forever.",
    ),
    key(
        "retention.events",
        Kind::Span { min_ms: 0, max_ms: u64::MAX },
        "30d",
        "How long to keep events; 0 = forever.",
    ),
    key(
        "limits.requests_per_minute",
        Kind::Count { min: 0, max: U32 },
        "600",
        "Requests of one key or session, not counting posted events; 0 = no limit.",
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
        "Maximum size of an event's payload.",
    ),
    key("limits.endpoints_per_app", Kind::Count { min: 1, max: U32 }, "5000", "The most webhooks of an app."),
    key(
        "http.trusted_proxies",
        Kind::Nets,
        "",
        "Networks (CIDR) or addresses of reverse proxies whose X-Forwarded-For, Forwarded and X-Forwarded-Proto headers are trusted. A proxy on a Unix socket is always trusted.",
    ),
    unset(
        "tls.certificate",
        Kind::Path,
        "File with the certificate and its chain (PEM); enables TLS. Read again on SIGHUP.",
    ),
    unset("tls.key", Kind::Path, "File with the private key of the certificate (PEM, no password)."),
    unset(
        "metrics.token",
        Kind::Token,
        "Bearer token that may read /metrics from anywhere. metrics.token_file names a file with the token.",
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
        "Interval of scheduled backups, such as 24h; 0 = never.",
    ),
    key(
        "backup.keep",
        Kind::Count { min: 1, max: 10_000 },
        "7",
        "Number of scheduled backups to keep; older ones are deleted.",
    ),
    unset(
        "backup.dir",
        Kind::Path,
        "Directory of scheduled backups. If not set, data_dir/backups. Prefer another disk; each server needs its own directory.",
    ),
    // The format allows 1,048,576 rows including the header.
    key(
        "export.xlsx_max_rows",
        Kind::Count { min: 1, max: 1_048_575 },
        "20000",
        "Maximum rows of an XLSX export, which a separate process builds in memory (about 6.5 KiB a row).",
    ),
    unset(
        "inbound.listen",
        Kind::Address,
        "Address that serves only the URLs of sources (/in/) and /healthz, with the same TLS; listen then does not serve /in/. If not set, listen serves them.",
    ),
    unset(
        "inbound.public_url",
        Kind::PublicUrl,
        "URL that senders use, with the base path of the URLs of sources; shown in these URLs. If not set, public_url.",
    ),
    key(
        "inbound.body_size",
        Kind::Size { min: 1, max: 64 * MIB },
        "2MiB",
        "Maximum size of the body of a request to a source.",
    ),
    key(
        "inbound.requests_per_minute",
        Kind::Count { min: 0, max: U32 },
        "6000",
        "Requests to all sources together; 0 = no limit.",
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
