//! The wiring of the server: builds each part from the configuration.

use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::adapters::{AlertSender, Delivering, Logging, MetricsText, Ready, Sweeping};
use super::{StartError, World};
use crate::app::membership::Membership;
use crate::cluster::{Leadership, LocalSignals, Notices, Ownership, Signals};
use crate::config::{self, Config, Listen, PublicUrl};
use crate::delivery::courier::RetryPolicy;
use crate::delivery::scheduling::bulk_jobs::BulkJobRunner;
use crate::delivery::scheduling::dispatcher::{Dispatcher, DispatcherDeps, SlotLimits};
use crate::delivery::{Sender, SenderConfig};
use crate::domain::attempts::hold::DisableRules;
use crate::domain::network::NetworkPolicy;
use crate::domain::retention::{Rule, Rules};
use crate::domain::{Span, Timestamp};
use crate::host::clock::Clock;
use crate::host::process;
use crate::host::vault::Vault;
use crate::http;
use crate::http::metrics::Access;
use crate::http::request::budget::Budget;
use crate::http::request::paging::CursorKey;
use crate::http::state::State;
use crate::metrics::{ClusterSources, MeterSources, Metrics};
use crate::service::about::{About, Facts};
use crate::service::alerts::AlertTargets;
use crate::service::bulk_jobs::Jobs;
use crate::service::endpoints::endpoint_input::InputRules;
use crate::service::endpoints::manage::Endpoints;
use crate::service::endpoints::preview::EndpointPreviews;
use crate::service::endpoints::testing::Tests;
use crate::service::endpoints::trial::Trials;
use crate::service::endpoints::verification::Verification;
use crate::service::events::Events;
use crate::service::log::deliveries::Deliveries;
use crate::service::log::export::Exports;
use crate::service::log::live::Live;
use crate::service::log::overview::Overviews;
use crate::service::log::statistics::Statistics;
use crate::service::log::workbooks::Workbooks;
use crate::service::log_level::LogLevel;
use crate::service::nodes::{Nodes, OwnNode};
use crate::service::operations::{Operations, Sweep};
use crate::service::people::accounts::Accounts;
use crate::service::people::auth::Auth;
use crate::service::people::limits::Limits;
use crate::service::people::sessions::Sessions;
use crate::service::retention::Retention;
use crate::service::sources::context::Contexts;
use crate::service::sources::manage::Sources;
use crate::service::sources::preview::Previews;
use crate::service::sources::receive::{InboundMeters, Receiver, ReceiverConfig};
use crate::service::sources::requests::InboundLog;
use crate::service::{Dispatch, Services};
use crate::store::{Backend, Store};
use crate::trace::logging;
use crate::upkeep::alerts::{Alerts, Watched};
use crate::upkeep::backup::BackupSchedule;
use crate::upkeep::retention::Sweeper;

/// The parts of a server, before HTTP is started.
pub(super) struct Wired {
    pub(super) state: State,
    pub(super) dispatcher: Dispatcher,
    pub(super) signals: Arc<LocalSignals>,
    pub(super) jobs: BulkJobRunner,
    pub(super) sweeper: Sweeper,
    pub(super) backups: BackupSchedule,
    pub(super) alerts: Alerts,
}

/// Dependencies that most parts share.
struct Deps<'a> {
    config: &'a Config,
    world: &'a World,
    address: &'a Listen,
    /// Where requests to sources arrive.
    inbound_address: &'a Listen,
    inbound_meters: InboundMeters,
    backend: Arc<dyn Backend>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    vault: Arc<Vault>,
    policy: NetworkPolicy,
}

/// Delivery, running.
struct Running {
    dispatcher: Dispatcher,
    jobs: BulkJobRunner,
    sender: Arc<Sender>,
    dispatch: Arc<dyn Dispatch>,
    local: Arc<LocalSignals>,
    signals: Arc<dyn Signals>,
    ownership: Arc<Ownership>,
    /// Where nodes share the storage.
    notices: Option<Arc<Notices>>,
    leadership: Arc<dyn Leadership>,
}

/// Upkeep, not started yet.
struct Upkeep {
    backups: BackupSchedule,
    alerts: Alerts,
    sweeper: Sweeper,
    sweep: Arc<dyn Sweep>,
    rules: Rules,
}

/// Starts delivery and builds the services over one storage.
pub(super) fn assemble(
    config: &Config,
    world: &World,
    backend: Arc<dyn Backend>,
    membership: &Membership,
    vault: Arc<Vault>,
    (address, inbound_address): (&Listen, &Listen),
    stop_http: CancellationToken,
) -> Result<Wired, StartError> {
    let (clock, policy) = (world.clock.clone(), NetworkPolicy::new(config.network.allow.clone()));
    let cursors = CursorKey::new(vault.cursor_key());
    let inbound_meters = InboundMeters::default();
    let deps = Deps {
        config,
        world,
        address,
        inbound_address,
        inbound_meters: inbound_meters.clone(),
        backend: backend.clone(),
        store: backend.clone(),
        clock,
        vault,
        policy,
    };
    let delivery = deps.start_delivery(membership)?;
    let upkeep = deps.upkeep(&delivery);
    let sources = MeterSources {
        storage: backend.meters(),
        delivery: delivery.dispatcher.meters(),
        backups: upkeep.backups.meters(),
        log_lines_dropped: logging::dropped(),
        inbound: inbound_meters,
        cluster: config.storage.url.is_some().then(|| ClusterSources {
            ownership: delivery.ownership.clone(),
            leads: delivery.leadership.watch(),
        }),
    };
    let metrics = deps.metrics(sources);
    let services = deps.services(&delivery, &upkeep, stop_http);
    let Running { dispatcher, jobs, local, .. } = delivery;
    let is_leaving = membership.is_leaving.clone();
    let readiness = Arc::new(Ready { store: backend, dispatcher: dispatcher.clone(), is_leaving });
    let is_https = config.tls.is_some() || config.public_url.as_ref().is_some_and(PublicUrl::is_https);
    let base_path = config.base_path().into();
    let inbound_base_path = config.inbound_base_path().into();
    let state = State::new(http::state::Parts {
        services,
        readiness,
        base_path,
        inbound_base_path,
        is_https,
        metrics,
        bodies: Budget::of_bodies(),
        cursors,
    });
    let Upkeep { backups, alerts, sweeper, .. } = upkeep;
    Ok(Wired { state, dispatcher, signals: local, jobs, sweeper, backups, alerts })
}

impl Deps<'_> {
    fn start_delivery(&self, membership: &Membership) -> Result<Running, StartError> {
        let Deps { config, world, store, clock, .. } = self;
        let sender_config = SenderConfig {
            timeout: config.delivery.timeout.clone(),
            connect_timeout: config.delivery.connect_timeout.clone(),
            response_body_limit: config.delivery.response_body_limit,
            signing_headers: config.signing.headers.clone(),
            policy: self.policy.clone(),
        };
        let lookup = world.lookup.clone();
        let sender = Arc::new(Sender::with_lookup(sender_config, clock.clone(), self.vault.clone(), lookup)?);
        let retry_policy = RetryPolicy {
            schedule: Arc::new(config.delivery.retry_schedule.clone()),
            jitter: config.delivery.jitter,
            circuit_failures: config.delivery.circuit_failures,
            disable: DisableRules {
                failures: config.delivery.disable_after_failures,
                after_ms: config.delivery.disable_after.as_millis_i64(),
            },
            hold_at_most_ms: config.delivery.hold_at_most.as_millis_i64(),
        };
        let limits = SlotLimits {
            concurrency: config.delivery.concurrency,
            endpoint_concurrency: config.delivery.endpoint_concurrency,
        };
        let (local, queue) = LocalSignals::new();
        let leadership = membership.leadership.clone();
        let ownership = membership.ownership.clone();
        let (signals, notices) = self.signals(&local, membership);
        let deps = DispatcherDeps {
            store: store.clone(),
            clock: clock.clone(),
            chance: world.chance.clone(),
            transport: sender.clone(),
            ownership: ownership.clone(),
            signals: signals.clone(),
            queue,
        };
        let dispatcher = Dispatcher::start(deps, retry_policy, limits);
        let jobs = BulkJobRunner::start(
            store.clone(),
            clock.clone(),
            leadership.clone(),
            signals.clone(),
            local.bulk_jobs(),
        );
        if let Some(notices) = &notices {
            // Not the dispatcher, which holds the notices.
            let sending = dispatcher.sending().clone();
            notices.tell_sending(Box::new(move || sending.list()));
        }
        let dispatch: Arc<dyn Dispatch> =
            Arc::new(Delivering { dispatcher: dispatcher.clone(), notices: notices.clone() });
        Ok(Running { dispatcher, jobs, sender, dispatch, local, signals, notices, ownership, leadership })
    }

    /// Where signals are sent to: this process, and the other nodes, if there can be any.
    fn signals(
        &self,
        local: &Arc<LocalSignals>,
        membership: &Membership,
    ) -> (Arc<dyn Signals>, Option<Arc<Notices>>) {
        match self.backend.clone().notices() {
            None => (local.clone(), None),
            Some(board) => {
                let node = Uuid::new_v4().as_u64_pair().0;
                let (ownership, is_listening) =
                    (membership.ownership.clone(), membership.is_listening.clone());
                let notices = Notices::start(node, board, local.clone(), ownership, is_listening);
                (notices.clone(), Some(notices))
            }
        }
    }

    fn upkeep(&self, delivery: &Running) -> Upkeep {
        let Deps { config, store, clock, .. } = self;
        let backups = BackupSchedule::new((*config).clone(), store.clone(), clock.clone());
        let rules = retention_rules(config);
        let sweeper = Sweeper::new(store.clone(), clock.clone(), delivery.leadership.clone(), rules.clone());
        let alerts = Alerts::new(
            store.clone(),
            clock.clone(),
            self.vault.clone(),
            delivery.sender.clone(),
            backups.clone(),
            sweeper.clone(),
            delivery.leadership.clone(),
            watched(config),
        );
        let sweep: Arc<dyn Sweep> = Arc::new(Sweeping(sweeper.clone()));
        Upkeep { backups, alerts, sweeper, sweep, rules }
    }

    fn metrics(&self, sources: MeterSources) -> http::metrics::Metrics {
        let config = self.config;
        let metrics = Metrics::new(self.backend.clone(), self.clock.clone(), sources);
        http::metrics::Metrics {
            access: Access {
                token: config.metrics.token.as_ref().map(|token| token.expose().to_owned()),
                allow: config.metrics.allow.clone(),
            },
            source: Arc::new(MetricsText(metrics)),
        }
    }

    fn services(&self, delivery: &Running, upkeep: &Upkeep, stop_http: CancellationToken) -> Services {
        let Deps { config, store, clock, vault, .. } = self;
        let (store, clock, vault) = (|| store.clone(), || clock.clone(), || vault.clone());
        let (prefix, signing) = (|| config.auth.key_prefix.clone(), || config.signing.headers.clone());
        let (dispatch, sweep) = (|| delivery.dispatch.clone(), || upkeep.sweep.clone());
        let (alerts, signals) = (Arc::new(AlertSender(upkeep.alerts.clone())), || delivery.signals.clone());
        let (results, access) = (delivery.local.results(), delivery.local.access());
        let rules = InputRules {
            policy: self.policy.clone(),
            signing_headers: signing(),
            endpoints_per_app: config.limits.endpoints_per_app,
        };
        let workbooks = Workbooks::new(self.world.workbook_maker.clone());
        let (max_rows, level) = (config.export.xlsx_max_rows, config.log.level.clone());
        let (per_minute, per_second) = (config.limits.requests_per_minute, config.limits.events_per_second);
        let facts = facts(config, self.address, self.clock.now());
        let sessions = Sessions::new(store(), clock(), signals());
        let sessions = Arc::new(sessions.counting_in(self.backend.clone().sign_ins()));
        let event_size = config.limits.event_size;
        let receiver = self.receiver(signals());
        let inbound_log = Arc::new(InboundLog::new(store(), clock(), vault(), signals(), event_size));
        let base_url = config.inbound_base_at(self.inbound_address.clone());
        let endpoints = Endpoints::new(store(), clock(), vault(), dispatch(), signals(), rules);
        let (endpoints, trials) = (Arc::new(endpoints), Trials::new(store(), clock(), event_size));
        Services {
            auth: Arc::new(Auth::new(store(), clock(), prefix(), sessions.clone())),
            sessions,
            verification: Arc::new(Verification::new(store(), clock(), vault(), signing())),
            accounts: Arc::new(Accounts::new(store(), clock(), signals(), prefix())),
            log_level: Arc::new(LogLevel::new(store(), clock(), Arc::new(Logging), level)),
            alerts: Arc::new(AlertTargets::new(store(), clock(), vault(), alerts, self.policy.clone())),
            tests: Arc::new(Tests::new(clock(), dispatch(), endpoints.clone(), trials.clone())),
            endpoint_previews: Arc::new(EndpointPreviews::new(vault(), endpoints.clone(), trials)),
            endpoints,
            events: Arc::new(Events::new(store(), clock(), signals(), config.limits.event_size)),
            live: Arc::new(Live::new(store(), clock(), results, access, stop_http)),
            exports: Arc::new(Exports::new(store(), clock(), max_rows, workbooks)),
            jobs: Arc::new(Jobs::new(store(), clock(), signals())),
            overviews: Arc::new(Overviews::new(store(), clock(), dispatch())),
            deliveries: Arc::new(Deliveries::new(store(), clock(), dispatch(), signals())),
            statistics: Arc::new(Statistics::new(store(), clock())),
            retention: Arc::new(Retention::new(store(), clock(), sweep(), upkeep.rules.clone())),
            nodes: Arc::new(Nodes::new(store(), clock(), dispatch(), own_node(config, &facts))),
            about: Arc::new(About::new(store(), facts)),
            operations: Arc::new(Operations::new(store(), sweep())),
            sources: Arc::new(Sources::new(store(), clock(), vault(), base_url)),
            previews: Arc::new(Previews::new(
                store(),
                clock(),
                vault(),
                receiver.clone(),
                inbound_log.clone(),
            )),
            contexts: Arc::new(Contexts::new(store())),
            inbound_log,
            receiver,
            limits: shared_limits(Limits::new(clock(), per_minute, per_second), delivery.notices.as_deref()),
        }
    }
}

impl Deps<'_> {
    fn receiver(&self, signals: Arc<dyn Signals>) -> Arc<Receiver> {
        let config = ReceiverConfig {
            base_url: self.config.inbound_base_at(self.inbound_address.clone()),
            event_size: self.config.limits.event_size,
            body_size: self.config.inbound.body_size,
            requests_per_minute: self.config.inbound.requests_per_minute,
        };
        let (store, clock, vault) = (self.store.clone(), self.clock.clone(), self.vault.clone());
        Arc::new(Receiver::new(store, clock, vault, signals, config, self.inbound_meters.clone()))
    }
}

/// Limits that count what all nodes give, if there can be others.
fn shared_limits(limits: Limits, notices: Option<&Notices>) -> Arc<Limits> {
    let limits = Arc::new(limits);
    if let Some(notices) = notices {
        limits.share();
        notices.share(limits.clone());
    }
    limits
}

/// The configured retention, and whether it is set explicitly.
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

/// What alerts check besides storage.
fn watched(config: &Config) -> Watched {
    let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
    // With a database server nothing is written to this machine.
    let is_here = config.storage.url.is_none();
    let mut directories: Vec<PathBuf> = is_here.then(|| absolute(&config.data_dir)).into_iter().collect();
    directories.extend(config.backup.dir.as_ref().map(absolute));
    Watched {
        directories,
        dashboard: config.public_url.as_ref().map(|url| format!("{}/admin", url.as_str())),
    }
}

/// What this node knows of itself.
fn own_node(config: &Config, facts: &Facts) -> OwnNode {
    let name = config.cluster.node.clone().unwrap_or_else(process::host_name);
    OwnNode { name, version: facts.version, started_at: facts.started_at }
}

/// The facts on the dashboard's About page.
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
