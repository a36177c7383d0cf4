//! What the server is made of: each part with what it needs, from the configuration.

use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::adapters::{Delivery, Figures, LogLines, Ready, Sweeping, Telling};
use super::{StartError, World};
use crate::config::{self, Config, Listen, PublicUrl};
use crate::delivery::courier::RetryPolicy;
use crate::delivery::scheduling::bulk_jobs::JobRunner;
use crate::delivery::scheduling::dispatcher::{Dispatcher, Limits};
use crate::delivery::{Sender, SenderConfig};
use crate::domain::network::NetworkPolicy;
use crate::domain::retention::{Rule, Rules};
use crate::domain::{Span, Timestamp};
use crate::host::vault::Vault;
use crate::http;
use crate::http::metrics::Access;
use crate::http::request::budget::Budget;
use crate::http::request::paging::CursorKey;
use crate::http::state::State;
use crate::metrics::{Metrics, Sources};
use crate::service::about::{About, Facts};
use crate::service::alerts::AlertTargets;
use crate::service::bulk_jobs::Jobs;
use crate::service::endpoints::endpoint_input::InputRules;
use crate::service::endpoints::manage::Endpoints;
use crate::service::endpoints::verification::Verification;
use crate::service::events::Events;
use crate::service::log::deliveries::Deliveries;
use crate::service::log::export::Exports;
use crate::service::log::live::Live;
use crate::service::log::overview::Overviews;
use crate::service::log::statistics::Statistics;
use crate::service::log::workbooks::Workbooks;
use crate::service::log_level::LogLevel;
use crate::service::operations::{Operations, Sweep};
use crate::service::people::accounts::Accounts;
use crate::service::people::auth::Auth;
use crate::service::people::sessions::Sessions;
use crate::service::retention::Retention;
use crate::service::{self, Dispatch, Services};
use crate::store::Store;
use crate::store::sqlite::SqliteStore;
use crate::upkeep::alerts::{Alerts, Watched};
use crate::upkeep::backup::Scheduled;
use crate::upkeep::retention::Sweeper;

pub(super) struct Parts {
    pub(super) state: State,
    pub(super) dispatcher: Dispatcher,
    pub(super) jobs: JobRunner,
    pub(super) sweeper: Sweeper,
    pub(super) backups: Scheduled,
    pub(super) alerts: Alerts,
}

/// Joins services and delivery over one storage.
pub(super) fn assemble(
    config: &Config,
    world: &World,
    store: Arc<SqliteStore>,
    vault: Arc<Vault>,
    address: &Listen,
    stop_http: CancellationToken,
) -> Result<Parts, StartError> {
    let policy = NetworkPolicy::new(config.network.allow.clone());
    let sender_config = SenderConfig {
        timeout: config.delivery.timeout.clone(),
        connect_timeout: config.delivery.connect_timeout.clone(),
        response_body_limit: config.delivery.response_body_limit,
        signing_headers: config.signing.headers.clone(),
        policy: policy.clone(),
    };
    let clock = world.clock.clone();
    let sender =
        Arc::new(Sender::with_lookup(sender_config, clock.clone(), vault.clone(), world.lookup.clone())?);
    let retry_policy = RetryPolicy {
        schedule: Arc::new(config.delivery.retry_schedule.clone()),
        jitter: config.delivery.jitter,
        disable_after_failures: config.delivery.disable_after_failures,
    };
    let limits = Limits {
        concurrency: config.delivery.concurrency,
        endpoint_concurrency: config.delivery.endpoint_concurrency,
    };
    let shared: Arc<dyn Store> = store.clone();
    let dispatcher = Dispatcher::start(
        shared.clone(),
        clock.clone(),
        world.chance.clone(),
        sender.clone(),
        retry_policy,
        limits,
    );
    let jobs = JobRunner::start(shared.clone(), clock.clone(), dispatcher.clone());
    let dispatch: Arc<dyn Dispatch> =
        Arc::new(Delivery { dispatcher: dispatcher.clone(), jobs: jobs.wake() });
    let cursors = CursorKey::new(vault.cursor_key());
    let rules = InputRules { policy: policy.clone(), signing_headers: config.signing.headers.clone() };
    let prefix = config.auth.key_prefix.clone();
    let accounts = Arc::new(Accounts::new(shared.clone(), clock.clone(), prefix.clone()));
    let backups = Scheduled::new(config.clone(), shared.clone(), clock.clone());
    let alerts =
        Alerts::new(shared.clone(), clock.clone(), vault.clone(), sender, backups.clone(), watched(config));
    let sources =
        Sources { storage: store.meters(), delivery: dispatcher.meters(), backups: backups.meters() };
    let database = config.data_dir.join(crate::host::data_dir::DATABASE);
    let metrics = Metrics::new(shared.clone(), clock.clone(), database, sources);
    let rules_of_retention = retention_rules(config);
    let sweeper = Sweeper::new(shared.clone(), clock.clone(), rules_of_retention.clone());
    let sweep: Arc<dyn Sweep> = Arc::new(Sweeping(sweeper.clone()));
    let sessions = Arc::new(Sessions::new(shared.clone(), clock.clone()));
    let services = Services {
        auth: Arc::new(Auth::new(shared.clone(), clock.clone(), prefix, sessions.clone())),
        sessions,
        verification: Arc::new(Verification::new(
            shared.clone(),
            clock.clone(),
            vault.clone(),
            config.signing.headers.clone(),
        )),
        accounts,
        log_level: Arc::new(LogLevel::new(
            shared.clone(),
            clock.clone(),
            Arc::new(LogLines),
            config.log.level.clone(),
        )),
        alerts: Arc::new(AlertTargets::new(
            shared.clone(),
            clock.clone(),
            vault.clone(),
            Arc::new(Telling(alerts.clone())),
            policy,
        )),
        endpoints: Arc::new(Endpoints::new(shared.clone(), clock.clone(), vault, dispatch.clone(), rules)),
        events: Arc::new(Events::new(
            shared.clone(),
            clock.clone(),
            dispatch.clone(),
            config.limits.event_size,
        )),
        live: Arc::new(Live::new(shared.clone(), clock.clone(), dispatcher.results(), stop_http)),
        exports: Arc::new(Exports::new(
            shared.clone(),
            clock.clone(),
            config.export.xlsx_max_rows,
            Workbooks::new(world.workbook_maker.clone()),
        )),
        jobs: Arc::new(Jobs::new(shared.clone(), clock.clone(), dispatch.clone())),
        overviews: Arc::new(Overviews::new(shared.clone(), clock.clone(), dispatch.clone())),
        deliveries: Arc::new(Deliveries::new(shared.clone(), clock.clone(), dispatch)),
        statistics: Arc::new(Statistics::new(shared.clone(), clock.clone())),
        retention: Arc::new(Retention::new(shared.clone(), clock.clone(), sweep.clone(), rules_of_retention)),
        about: Arc::new(About::new(shared.clone(), facts(config, address, clock.now()))),
        operations: Arc::new(Operations::new(shared, sweep)),
        limits: Arc::new(service::people::limits::Limits::new(
            clock,
            config.limits.requests_per_minute,
            config.limits.events_per_second,
        )),
    };
    let readiness = Arc::new(Ready { store, dispatcher: dispatcher.clone() });
    let metrics = http::metrics::Metrics {
        access: Access {
            token: config.metrics.token.as_ref().map(|token| token.expose().to_owned()),
            allow: config.metrics.allow.clone(),
        },
        source: Arc::new(Figures(metrics)),
    };
    let is_https = config.tls.is_some() || config.public_url.as_ref().is_some_and(PublicUrl::is_https);
    let base_path = config.base_path().into();
    let state = State::new(http::state::Parts {
        services,
        readiness,
        base_path,
        is_https,
        metrics,
        bodies: Budget::of_bodies(),
        cursors,
    });
    Ok(Parts { state, dispatcher, jobs, sweeper, backups, alerts })
}

/// How long the configuration keeps things, and whether a person said so.
fn retention_rules(config: &Config) -> Rules {
    let rule = |key: &str, span: &Span| Rule {
        span: span.clone(),
        is_configured: *config.origin(key) != config::Origin::Default,
    };
    Rules {
        logs: rule("retention.logs", &config.retention.logs),
        events: rule("retention.events", &config.retention.events),
    }
}

/// What alerts are about, besides storage.
fn watched(config: &Config) -> Watched {
    let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
    let mut directories = vec![absolute(&config.data_dir)];
    directories.extend(config.backup.dir.as_ref().map(absolute));
    Watched {
        disable_after_failures: config.delivery.disable_after_failures,
        directories,
        dashboard: config.public_url.as_ref().map(|url| format!("{}/admin", url.as_str())),
    }
}

/// What the server tells of itself.
fn facts(config: &Config, address: &Listen, started_at: Timestamp) -> Facts {
    let bytes = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let data_dir = std::path::absolute(&config.data_dir).unwrap_or_else(|_| config.data_dir.clone());
    Facts {
        version: env!("CARGO_PKG_VERSION"),
        started_at,
        data_dir: data_dir.display().to_string(),
        public_url: config.public_base_at(address.clone()),
        network_allow: config.network.allow.iter().map(ToString::to_string).collect(),
        timeout: config.delivery.timeout.to_string(),
        connect_timeout: config.delivery.connect_timeout.to_string(),
        retry_schedule: config.delivery.retry_schedule.waits().iter().map(ToString::to_string).collect(),
        jitter: config.delivery.jitter,
        concurrency: bytes(config.delivery.concurrency),
        endpoint_concurrency: bytes(config.delivery.endpoint_concurrency),
        disable_after_failures: config.delivery.disable_after_failures,
        response_body_limit: bytes(config.delivery.response_body_limit),
        signing_headers: config.signing.headers.clone(),
        requests_per_minute: config.limits.requests_per_minute,
        events_per_second: config.limits.events_per_second,
        event_size: bytes(config.limits.event_size),
    }
}
