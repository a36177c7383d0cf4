//! The configuration: typed sections, read once at the start.
//!
//! A value comes from a flag, the environment, the file or the default, in this order, and keeps its origin.
//! All problems are collected before any is reported, so that one run shows everything that must be fixed.
//! The table in [`keys`] is the only place with names, formats, defaults and descriptions; reading
//! ([`load`]), showing ([`dump`]), the [`mod@reference`] and the example file are derived from it.
//!
//! Nothing here reads the process environment: it is passed in, so tests need not change it.

use std::path::PathBuf;

use ipnet::IpNet;

use crate::domain::Span;
use crate::domain::attempts::retry::Schedule;

pub mod dump;
mod fingerprint;
pub mod input_file;
pub mod keys;
pub mod kind;
pub mod listen;
pub mod load;
pub mod origin;
pub mod problem;
pub mod public_url;
pub mod reference;
pub mod secret;
mod service_links;
pub mod size;
mod toml_error;
pub mod value;

pub use keys::{KEYS, KeySpec};
pub use listen::Listen;
pub use load::Sources;
pub use origin::Origin;
pub use problem::{Problem, Problems};
pub use public_url::PublicUrl;
pub use secret::Secret;
pub use size::ByteSize;
pub use value::LogFormat;

use load::Settings;

/// The whole configuration, validated.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the server listens.
    pub listen: Listen,
    /// The directory of the database and the key file.
    pub data_dir: PathBuf,
    /// Encrypts secrets at rest; `None`: the key file is used. At least 32 characters.
    pub encryption_key: Option<Secret>,
    /// The URL that clients use; `None`: see [`Config::public_base`].
    pub public_url: Option<PublicUrl>,
    pub storage: Storage,
    pub cluster: Cluster,
    pub auth: Auth,
    pub delivery: Delivery,
    pub signing: Signing,
    pub network: Network,
    pub retention: Retention,
    pub limits: Limits,
    pub http: Http,
    /// Certificate and key; `None`: plain HTTP.
    pub tls: Option<Tls>,
    pub metrics: Metrics,
    pub backup: Backup,
    pub export: Export,
    pub inbound: Inbound,
    pub log: Log,
    /// What does not stop the start, such as unknown environment variables.
    pub warnings: Vec<Problem>,
    settings: Settings,
}

/// The database server, if there is one.
#[derive(Debug, Clone)]
pub struct Storage {
    /// A PostgreSQL database; `None`: SQLite in the data directory.
    pub url: Option<Secret>,
    /// The same database for notifications; `None`: `url`.
    pub listen_url: Option<Secret>,
    /// The most connections.
    pub connections: usize,
}

/// This node among others.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Its name; `None`: that of the host.
    pub node: Option<String>,
    /// How long a node that is gone keeps its shards.
    pub lease: Span,
}

/// The format of credentials.
#[derive(Debug, Clone)]
pub struct Auth {
    /// The prefix of tokens, without the underscore.
    pub key_prefix: String,
}

/// How deliveries are sent.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Of a whole request, including reading the response; 1 ms to 30 s.
    pub timeout: Span,
    /// For connecting; 1 ms to 30 s.
    pub connect_timeout: Span,
    /// For endpoints that have none of their own.
    pub retry_schedule: Schedule,
    /// Random extra delay of a wait, as a fraction from 0 to 1.
    pub jitter: f64,
    /// Maximum requests in flight, at least 1.
    pub concurrency: usize,
    /// Maximum requests in flight to one endpoint, at least 1.
    pub endpoint_concurrency: usize,
    /// Failures in a row that put an endpoint on hold; 0 = never.
    pub circuit_failures: u32,
    /// How long a delivery may be held before it is exhausted; 0 = no limit.
    pub hold_at_most: Span,
    /// Consecutive failed attempts that disable an endpoint, if nothing has succeeded for `disable_after`; 0 =
    /// never.
    pub disable_after_failures: u32,
    /// How long nothing has succeeded before an endpoint is disabled; 0 = the number of failures alone counts.
    pub disable_after: Span,
    /// Stored bytes of a response body.
    pub response_body_limit: usize,
}

/// How requests are signed.
#[derive(Debug, Clone)]
pub struct Signing {
    /// Names of the plain HMAC headers.
    pub headers: Vec<String>,
}

/// Allowed destinations.
#[derive(Debug, Clone)]
pub struct Network {
    /// Private networks that deliveries may reach.
    pub allow: Vec<IpNet>,
}

/// Retention. [`Config::origin`] tells whether a key is set in the configuration.
#[derive(Debug, Clone)]
pub struct Retention {
    /// Attempts; zero = forever.
    pub logs: Span,
    /// Events; zero = forever.
    pub events: Span,
}

/// Per-client limits.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Requests of a key or session, not counting posted events; 0 = no limit.
    pub requests_per_minute: u32,
    /// Posted events for each key; 0 = no limit.
    pub events_per_second: u32,
    /// Bytes of an event's payload.
    pub event_size: usize,
    /// Endpoints of an app, deleted ones left out.
    pub endpoints_per_app: u32,
}

/// Reverse proxies.
#[derive(Debug, Clone)]
pub struct Http {
    /// Networks of proxies that are trusted about the client's address and scheme.
    pub trusted_proxies: Vec<IpNet>,
}

/// Files in PEM.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The server's certificate, and the chain after it.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Access to `/metrics`.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// A bearer token that works from anywhere.
    pub token: Option<Secret>,
    /// Networks that need no token.
    pub allow: Vec<IpNet>,
}

/// Scheduled backups.
#[derive(Debug, Clone)]
pub struct Backup {
    /// Interval; zero = never.
    pub every: Span,
    /// Number of backups to keep, at least 1.
    pub keep: usize,
    /// Their directory; `None`: in the data directory.
    pub dir: Option<PathBuf>,
}

/// Limits of exports.
#[derive(Debug, Clone)]
pub struct Export {
    /// Maximum rows of a workbook, which is built in memory.
    pub xlsx_max_rows: u32,
}

/// Requests to sources.
#[derive(Debug, Clone)]
pub struct Inbound {
    /// An address that serves nothing else; `None`: that of the server.
    pub listen: Option<Listen>,
    /// The URL that senders use; `None`: that of the server.
    pub public_url: Option<PublicUrl>,
    /// Bytes of a body.
    pub body_size: usize,
    /// Requests to all sources together; 0 = no limit.
    pub requests_per_minute: u32,
}

/// Level and format of the log.
#[derive(Debug, Clone)]
pub struct Log {
    pub format: LogFormat,
    /// A level, or directives like `info,postrider::delivery=debug`.
    pub level: String,
}

impl Config {
    /// Reads, checks and merges all sources. The error has all problems.
    pub fn load(sources: &Sources) -> Result<Config, Problems> {
        Config::of(load::settings(sources)?)
    }

    /// The same for what makes data of its own for a moment: where data is kept otherwise plays no part.
    pub fn load_without_storage(sources: &Sources) -> Result<Config, Problems> {
        let mut settings = load::settings(sources)?;
        settings.forget("storage.");
        Config::of(settings)
    }

    fn of(settings: Settings) -> Result<Config, Problems> {
        let unfit = unfit_for_a_database_server(&settings);
        if !unfit.is_empty() {
            return Err(Problems(unfit));
        }
        let (certificate, key): (Option<PathBuf>, Option<PathBuf>) =
            (settings.get("tls.certificate"), settings.get("tls.key"));
        let missing = match (certificate, key) {
            (Some(_), None) => "tls.key",
            (None, Some(_)) => "tls.certificate",
            _ => return Ok(Config::from_settings(settings)),
        };
        let advice = "expected tls.certificate and tls.key together, or neither".to_owned();
        Err(Problems(vec![Problem { subject: missing.to_owned(), value: None, origin: None, advice }]))
    }

    /// The origin of a key's value. An unknown name counts as default.
    pub fn origin(&self, key: &str) -> &Origin {
        self.settings.origin(key)
    }

    /// All keys with value and origin, as TOML; secrets are hidden.
    pub fn dump(&self) -> String {
        dump::dump(&self.settings)
    }

    /// A hash of what has to be the same on all nodes that share a database.
    pub fn fingerprint(&self) -> String {
        fingerprint::of(&self.settings)
    }

    /// The URL that clients use, without trailing slash: `public_url`, or derived from `listen`, where an
    /// unspecified address becomes `localhost`.
    pub fn public_base(&self) -> String {
        self.public_base_at(self.listen.clone())
    }

    /// The same for a server that listens on `address`, which differs from `listen` when the system chooses
    /// the port.
    pub fn public_base_at(&self, address: impl Into<Listen>) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        match (&self.public_url, address.into()) {
            (Some(url), _) => url.as_str().to_owned(),
            (None, Listen::Tcp(address)) if address.ip().is_unspecified() => {
                format!("{scheme}://localhost:{}", address.port())
            }
            (None, Listen::Tcp(address)) => format!("{scheme}://{address}"),
            // The URL of the proxy in front of it is unknown.
            (None, Listen::Unix(_)) => format!("{scheme}://localhost"),
        }
    }

    /// The URL that senders use, without trailing slash: `inbound.public_url`, or that of the server. `address` is
    /// where requests to sources arrive.
    pub fn inbound_base_at(&self, address: impl Into<Listen>) -> String {
        match &self.inbound.public_url {
            Some(url) => url.as_str().to_owned(),
            None => self.public_base_at(address),
        }
    }

    /// The base path of the URLs of sources.
    pub fn inbound_base_path(&self) -> &str {
        self.inbound.public_url.as_ref().map_or_else(|| self.base_path(), PublicUrl::path)
    }

    /// The base path: `/hooks`, or empty.
    pub fn base_path(&self) -> &str {
        self.public_url.as_ref().map_or("", PublicUrl::path)
    }

    /// The address for programs on this machine: `listen`, with loopback for an unspecified address.
    pub fn local_address(&self) -> Listen {
        self.listen.local()
    }

    fn from_settings(s: Settings) -> Config {
        Config {
            listen: s.get("listen"),
            data_dir: s.get("data_dir"),
            encryption_key: s.get("encryption_key"),
            public_url: s.get("public_url"),
            storage: Storage {
                url: s.get("storage.url"),
                listen_url: s.get("storage.listen_url"),
                connections: s.get("storage.connections"),
            },
            cluster: Cluster { node: s.get("cluster.node"), lease: s.get("cluster.lease") },
            auth: Auth { key_prefix: s.get("auth.key_prefix") },
            delivery: Delivery {
                timeout: s.get("delivery.timeout"),
                connect_timeout: s.get("delivery.connect_timeout"),
                retry_schedule: s.get("delivery.retry_schedule"),
                jitter: s.get("delivery.jitter"),
                concurrency: s.get("delivery.concurrency"),
                endpoint_concurrency: s.get("delivery.endpoint_concurrency"),
                circuit_failures: s.get("delivery.circuit_failures"),
                hold_at_most: s.get("delivery.hold_at_most"),
                disable_after_failures: s.get("delivery.disable_after_failures"),
                disable_after: s.get("delivery.disable_after"),
                response_body_limit: s.get("delivery.response_body_limit"),
            },
            signing: Signing { headers: s.get("signing.headers") },
            network: Network { allow: s.get("network.allow") },
            retention: Retention { logs: s.get("retention.logs"), events: s.get("retention.events") },
            limits: Limits {
                requests_per_minute: s.get("limits.requests_per_minute"),
                events_per_second: s.get("limits.events_per_second"),
                event_size: s.get("limits.event_size"),
                endpoints_per_app: s.get("limits.endpoints_per_app"),
            },
            http: Http { trusted_proxies: s.get("http.trusted_proxies") },
            tls: match (s.get("tls.certificate"), s.get("tls.key")) {
                (Some(certificate), Some(key)) => Some(Tls { certificate, key }),
                _ => None,
            },
            metrics: Metrics { token: s.get("metrics.token"), allow: s.get("metrics.allow") },
            backup: Backup {
                every: s.get("backup.every"),
                keep: s.get("backup.keep"),
                dir: s.get("backup.dir"),
            },
            export: Export { xlsx_max_rows: s.get("export.xlsx_max_rows") },
            inbound: Inbound {
                listen: s.get("inbound.listen"),
                public_url: s.get("inbound.public_url"),
                body_size: s.get("inbound.body_size"),
                requests_per_minute: s.get("inbound.requests_per_minute"),
            },
            log: Log { format: s.get("log.format"), level: s.get("log.level") },
            warnings: s.warnings().to_vec(),
            settings: s,
        }
    }
}

/// What must change for data in a database server.
fn unfit_for_a_database_server(settings: &Settings) -> Vec<Problem> {
    let (url, key, backups): (Option<Secret>, Option<Secret>, Span) =
        (settings.get("storage.url"), settings.get("encryption_key"), settings.get("backup.every"));
    if url.is_none() {
        return Vec::new();
    }
    let problem = |key: &str, advice: &str| Problem {
        subject: key.to_owned(),
        value: None,
        origin: None,
        advice: advice.to_owned(),
    };
    let mut problems = Vec::new();
    if key.is_none() {
        let advice =
            "expected a key of at least 32 characters, the same on all nodes, because storage.url is set";
        problems.push(problem("encryption_key", advice));
    }
    if backups.as_millis() > 0 {
        let advice = "expected 0, because storage.url is set: back the database up with pg_dump or your provider's snapshots";
        problems.push(problem("backup.every", advice));
    }
    problems
}

/// The configuration without any source.
impl Default for Config {
    fn default() -> Config {
        Config::load(&Sources::default()).expect("the defaults of the table are valid, as a test shows")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_contract() {
        let c = Config::default();
        assert_eq!(c.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(c.data_dir, PathBuf::from("./data"));
        assert!(c.encryption_key.is_none() && c.public_url.is_none() && c.metrics.token.is_none());
        assert!(c.storage.url.is_none() && c.storage.listen_url.is_none() && c.cluster.node.is_none());
        assert_eq!((c.storage.connections, c.cluster.lease.as_millis()), (20, 10_000));
        assert_eq!(c.auth.key_prefix, "prk");
        assert_eq!((c.delivery.timeout.as_millis(), c.delivery.connect_timeout.as_millis()), (10_000, 5_000));
        let waits: Vec<_> = c.delivery.retry_schedule.waits().iter().map(Span::to_string).collect();
        assert_eq!(waits, ["2m", "8m", "20m"]);
        assert_eq!(c.delivery.jitter, 0.1);
        assert_eq!((c.delivery.concurrency, c.delivery.endpoint_concurrency), (256, 10));
        assert_eq!(c.delivery.circuit_failures, 5);
        let spans = (c.delivery.hold_at_most.to_string(), c.delivery.disable_after.to_string());
        assert_eq!(spans, ("3d".to_owned(), "5d".to_owned()));
        assert_eq!((c.delivery.disable_after_failures, c.delivery.response_body_limit), (20, 16 * 1_024));
        assert_eq!(c.signing.headers, ["X-Webhook-Signature"]);
        assert!(c.network.allow.is_empty());
        assert_eq!(
            (c.retention.logs.to_string(), c.retention.events.to_string()),
            ("30d".into(), "30d".into())
        );
        assert_eq!((c.limits.requests_per_minute, c.limits.events_per_second), (600, 0));
        assert_eq!(c.limits.event_size, 256 * 1_024);
        let allow: Vec<_> = c.metrics.allow.iter().map(IpNet::to_string).collect();
        assert_eq!(allow, ["127.0.0.0/8", "::1/128"]);
        assert_eq!(c.export.xlsx_max_rows, 20_000);
        assert_eq!((c.log.format, c.log.level.as_str()), (LogFormat::Auto, "info"));
    }

    #[test]
    fn without_a_public_url_the_base_is_derived_from_the_address() {
        let mut config = Config::default();
        assert_eq!((config.public_base().as_str(), config.base_path()), ("http://127.0.0.1:8080", ""));
        config.listen = "0.0.0.0:9000".parse().unwrap();
        assert_eq!(config.public_base(), "http://localhost:9000");
        assert_eq!(config.local_address().to_string(), "127.0.0.1:9000");
        config.listen = "[::]:9000".parse().unwrap();
        assert_eq!(config.public_base(), "http://localhost:9000");
        assert_eq!(config.local_address().to_string(), "[::1]:9000");
        config.public_url = PublicUrl::parse("https://example.com/hooks/");
        assert_eq!(
            (config.public_base().as_str(), config.base_path()),
            ("https://example.com/hooks", "/hooks")
        );
    }
}
