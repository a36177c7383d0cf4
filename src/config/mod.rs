//! The configuration: typed sections, read once at the start and passed on from there.
//!
//! A value comes from a flag, the environment, the file or the default, in this order, and remembers
//! which. All problems are found before any is reported, so that one run shows everything there is to
//! mend. The table in [`keys`] is the only place that knows names, forms, defaults and explanations;
//! reading ([`load`]), showing ([`dump`]), the [`mod@reference`] and the example file follow it.
//!
//! Nothing here looks at the process: the environment is passed in, so tests need not change it.

use std::path::PathBuf;

use ipnet::IpNet;

use crate::domain::Span;
use crate::domain::attempts::retry::Schedule;

pub mod dump;
pub mod keys;
pub mod kind;
pub mod listen;
pub mod load;
pub mod problem;
pub mod public_url;
pub mod reference;
pub mod secret;
pub mod size;
pub mod value;

pub use keys::{KEYS, KeySpec};
pub use listen::Listen;
pub use load::{Origin, Sources};
pub use problem::{Problem, Problems};
pub use public_url::PublicUrl;
pub use secret::Secret;
pub use size::ByteSize;
pub use value::LogFormat;

use load::Settings;

/// Everything that can be configured, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the server listens.
    pub listen: Listen,
    /// Where the database and the key file are.
    pub data_dir: PathBuf,
    /// Encrypts what is secret at rest; `None`: the key file does. At least 32 characters.
    pub encryption_key: Option<Secret>,
    /// Under which URL clients see the server; `None`: see [`Config::public_base`].
    pub public_url: Option<PublicUrl>,
    pub auth: Auth,
    pub delivery: Delivery,
    pub signing: Signing,
    pub network: Network,
    pub retention: Retention,
    pub limits: Limits,
    pub http: Http,
    /// Certificate and key; `None`: connections are not encrypted here.
    pub tls: Option<Tls>,
    pub metrics: Metrics,
    pub backup: Backup,
    pub export: Export,
    pub log: Log,
    settings: Settings,
}

/// How credentials look.
#[derive(Debug, Clone)]
pub struct Auth {
    /// What tokens begin with, without the underscore that follows it.
    pub key_prefix: String,
}

/// How deliveries are sent.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// For a whole request, reading the response included; 1 ms to 30 s.
    pub timeout: Span,
    /// For connecting; 1 ms to 30 s.
    pub connect_timeout: Span,
    /// For endpoints that have none of their own.
    pub retry_schedule: Schedule,
    /// By how much of itself a wait may grow, 0 to 1.
    pub jitter: f64,
    /// Requests in flight, at least 1.
    pub concurrency: usize,
    /// Requests in flight to one endpoint, at least 1.
    pub endpoint_concurrency: usize,
    /// Failed attempts in a row that disable an endpoint; 0 = never.
    pub disable_after_failures: u32,
    /// Bytes of a response that are kept.
    pub response_body_limit: usize,
}

/// How requests are signed.
#[derive(Debug, Clone)]
pub struct Signing {
    /// Names of the plain HMAC headers.
    pub headers: Vec<String>,
}

/// Where requests may go.
#[derive(Debug, Clone)]
pub struct Network {
    /// Networks that may be reached although they are private.
    pub allow: Vec<IpNet>,
}

/// How long things are kept. [`Config::origin`] tells whether a person set it here.
#[derive(Debug, Clone)]
pub struct Retention {
    /// Attempts; zero = for ever.
    pub logs: Span,
    /// Events; zero = for ever.
    pub events: Span,
}

/// What one client may ask for.
#[derive(Debug, Clone)]
pub struct Limits {
    /// For each key or session, posting events apart; 0 = no limit.
    pub requests_per_minute: u32,
    /// Posted events for each key; 0 = no limit.
    pub events_per_second: u32,
    /// Bytes of an event's payload.
    pub event_size: usize,
    /// Endpoints of an app, deleted ones left out.
    pub endpoints_per_app: u32,
}

/// Who stands in between.
#[derive(Debug, Clone)]
pub struct Http {
    /// Networks of proxies that are believed about the client's address and scheme.
    pub trusted_proxies: Vec<IpNet>,
}

/// Files in PEM.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The server's certificate, and the chain after it.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Who may read `/metrics`.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// A bearer token that works from anywhere.
    pub token: Option<Secret>,
    /// Networks that need no token.
    pub allow: Vec<IpNet>,
}

/// Backups that the server makes by itself.
#[derive(Debug, Clone)]
pub struct Backup {
    /// How often; zero = never.
    pub every: Span,
    /// How many are kept, at least 1.
    pub keep: usize,
    /// Where they are; `None`: in the data directory.
    pub dir: Option<PathBuf>,
}

/// Limits of exports.
#[derive(Debug, Clone)]
pub struct Export {
    /// Rows of a workbook, which is built in memory.
    pub xlsx_max_rows: u32,
}

/// What is logged and how.
#[derive(Debug, Clone)]
pub struct Log {
    pub format: LogFormat,
    /// A level, or directives like `info,postrider::delivery=debug`.
    pub level: String,
}

impl Config {
    /// Reads, checks and merges all sources. The error has every problem there is.
    pub fn load(sources: &Sources) -> Result<Config, Problems> {
        let settings = load::settings(sources)?;
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

    /// Where the value of a key comes from. A name that is no key counts as default.
    pub fn origin(&self, key: &str) -> &Origin {
        self.settings.origin(key)
    }

    /// All keys with value and origin, as TOML; secrets hidden.
    pub fn dump(&self) -> String {
        dump::dump(&self.settings)
    }

    /// The URL that clients use, without trailing slash: `public_url`, or made from `listen`, where an
    /// address that means "all" becomes `localhost`.
    pub fn public_base(&self) -> String {
        self.public_base_at(self.listen.clone())
    }

    /// The same for a server that listens at `address`, which differs from `listen` where that leaves
    /// the choice of a port to the system.
    pub fn public_base_at(&self, address: impl Into<Listen>) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        match (&self.public_url, address.into()) {
            (Some(url), _) => url.as_str().to_owned(),
            (None, Listen::Tcp(address)) if address.ip().is_unspecified() => {
                format!("{scheme}://localhost:{}", address.port())
            }
            (None, Listen::Tcp(address)) => format!("{scheme}://{address}"),
            // Nobody can say under which URL the proxy before it is seen.
            (None, Listen::Unix(_)) => format!("{scheme}://localhost"),
        }
    }

    /// The path that everything also works under: `/hooks`, or empty.
    pub fn base_path(&self) -> &str {
        self.public_url.as_ref().map_or("", PublicUrl::path)
    }

    /// Where a program on this machine reaches the server: `listen`, with loopback for "all".
    pub fn local_address(&self) -> Listen {
        self.listen.local()
    }

    fn from_settings(s: Settings) -> Config {
        Config {
            listen: s.get("listen"),
            data_dir: s.get("data_dir"),
            encryption_key: s.get("encryption_key"),
            public_url: s.get("public_url"),
            auth: Auth { key_prefix: s.get("auth.key_prefix") },
            delivery: Delivery {
                timeout: s.get("delivery.timeout"),
                connect_timeout: s.get("delivery.connect_timeout"),
                retry_schedule: s.get("delivery.retry_schedule"),
                jitter: s.get("delivery.jitter"),
                concurrency: s.get("delivery.concurrency"),
                endpoint_concurrency: s.get("delivery.endpoint_concurrency"),
                disable_after_failures: s.get("delivery.disable_after_failures"),
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
            log: Log { format: s.get("log.format"), level: s.get("log.level") },
            settings: s,
        }
    }
}

/// What holds when nothing is configured.
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
        assert_eq!(c.auth.key_prefix, "prk");
        assert_eq!((c.delivery.timeout.as_millis(), c.delivery.connect_timeout.as_millis()), (10_000, 5_000));
        let waits: Vec<_> = c.delivery.retry_schedule.waits().iter().map(Span::to_string).collect();
        assert_eq!(waits, ["2m", "8m", "20m"]);
        assert_eq!(c.delivery.jitter, 0.1);
        assert_eq!((c.delivery.concurrency, c.delivery.endpoint_concurrency), (256, 10));
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
    fn without_a_public_url_it_is_made_from_the_address() {
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
