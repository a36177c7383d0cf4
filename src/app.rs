//! The server put together: what is started, in which order, and how it ends.
//!
//! Start: data directory and its lock, storage, dispatcher, HTTP. End, the other way round: no new
//! connections and no new attempts, then up to 20 seconds for what is under way, then storage.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::alerts::{Alerts, Watched};
use crate::backup::Scheduled;
use crate::clock::{Chance, Clock, SystemChance, SystemClock};
use crate::config::{self, Config, Listen, PublicUrl};
use crate::data_dir::{DataDir, DataDirError, ServeLock};
use crate::delivery::courier::RetryPolicy;
use crate::delivery::dispatcher::{Dispatcher, Limits};
use crate::delivery::guard::{Lookup, SystemLookup};
use crate::delivery::jobs::JobRunner;
use crate::delivery::{Sender, SenderConfig, SenderError};
use crate::domain::alert::{AlertTarget, AlertTry};
use crate::domain::network::NetworkPolicy;
use crate::domain::retention::{Rule, Rules};
use crate::domain::{ActivityKind, AlertKind, AppId, AttemptId, EndpointId, Outcome, Span, Timestamp};
use crate::http::listener::Listener;
use crate::http::metrics::{Access, Exposition};
use crate::http::proxies::Proxies;
use crate::http::server::Door;
use crate::http::tls::{Tls, TlsError};
use crate::http::{self, Readiness, State};
use crate::metrics::{Metrics, Sources};
use crate::retention::{SweepError, Sweeper, SweeperState};
use crate::service::about::{About, Facts};
use crate::service::accounts::Accounts;
use crate::service::alerts::{AlertTargets, Messenger};
use crate::service::auth::Auth;
use crate::service::deliveries::Deliveries;
use crate::service::endpoint_input::InputRules;
use crate::service::endpoints::Endpoints;
use crate::service::events::Events;
use crate::service::export::Exports;
use crate::service::jobs::Jobs;
use crate::service::live::Live;
use crate::service::log_level::{LogControl, LogLevel};
use crate::service::operations::{Operations, Sweep, SweepState, Swept};
use crate::service::overview::Overviews;
use crate::service::retention::Retention;
use crate::service::sessions::Sessions;
use crate::service::statistics::Statistics;
use crate::service::verification::Verification;
use crate::service::workbooks::Workbooks;
use crate::service::{self, By, Dispatch, ServiceError, Services};
use crate::store::sqlite::{Options, SqliteStore};
use crate::store::{ActivityStore as _, Job, Queued, StatsStore as _, Store, StoreError};
use crate::vault::Vault;
use crate::{logging, systemd};

/// How long to wait before the lock of the data directory is tried again, and how often.
const LOCK_AGAIN: Duration = Duration::from_millis(20);
const LOCK_TRIES: u32 = 100;
/// What is set aside on the disk: room for some steps of a sweep.
const RESERVE_BYTES: usize = 4 << 20;
/// How long what is in flight, deliveries and requests of clients alike, may take when the server stops.
const STOP_GRACE: Duration = Duration::from_secs(20);

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot listen on {address}: choose another address with listen (--listen)")]
    Listen {
        address: Listen,
        #[source]
        source: std::io::Error,
    },
    #[error("the socket that was handed over (LISTEN_FDS) cannot be used")]
    HandedOver(#[source] std::io::Error),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Sender(#[from] SenderError),
    /// It had started; storage can no longer promise anything.
    #[error(
        "the disk did not take what was written (fsync failed); the server has ended, because nobody knows what the \
         disk holds now. What was answered with 202 before is safe; look after the disk, then start again"
    )]
    DiskFailed,
    #[error("cannot listen for signals")]
    Signals(#[source] std::io::Error),
}

/// What a server takes from the world, so that tests can give it another one.
#[derive(Clone)]
pub struct World {
    pub clock: Arc<dyn Clock>,
    pub chance: Arc<dyn Chance>,
    pub lookup: Arc<dyn Lookup>,
    /// The program that makes workbooks: this one, as a process of its own. `None`: the server does.
    pub workbook_maker: Option<PathBuf>,
}

impl World {
    /// The real one.
    pub fn real() -> World {
        World {
            clock: Arc::new(SystemClock),
            chance: Arc::new(SystemChance),
            lookup: Arc::new(SystemLookup),
            workbook_maker: this_program(),
        }
    }
}

/// The file of this program. On Linux by a name that stays right when an upgrade replaces the file.
fn this_program() -> Option<PathBuf> {
    let running = PathBuf::from("/proc/self/exe");
    if running.exists() { Some(running) } else { std::env::current_exe().ok() }
}

/// A running server.
pub struct Server {
    address: Listen,
    tls: Option<Tls>,
    store: Arc<SqliteStore>,
    clock: Arc<dyn Clock>,
    dispatcher: Dispatcher,
    jobs: JobRunner,
    services: Services,
    sweeper: Sweeper,
    sweeping: JoinHandle<()>,
    backups: Scheduled,
    backing_up: JoinHandle<()>,
    alerts: Alerts,
    alerting: JoinHandle<()>,
    http: JoinHandle<()>,
    stop_http: CancellationToken,
    abort_http: CancellationToken,
    _lock: ServeLock,
}

impl Server {
    /// Starts a server and returns when it answers requests; sending begins a moment later, see
    /// [`Server::ready`].
    pub async fn start(config: &Config, world: World) -> Result<Server, StartError> {
        Server::start_with(config, world, false).await
    }

    /// Like [`Server::start`]; with `accept_clock` a person has said that the clock is right.
    pub async fn start_with(config: &Config, world: World, accept_clock: bool) -> Result<Server, StartError> {
        Server::start_at(config, world, accept_clock, None).await
    }

    /// Like [`Server::start_with`], at a socket that was handed over, if there is one.
    pub async fn start_at(
        config: &Config,
        world: World,
        accept_clock: bool,
        handed_over: Option<Listener>,
    ) -> Result<Server, StartError> {
        let dir = DataDir::open(config)?;
        let lock = take(&dir).await?;
        let vault = Arc::new(dir.vault()?);
        let tls = config.tls.as_ref().map(|files| Tls::load(&files.certificate, &files.key)).transpose()?;
        let (listener, address) = listen(&config.listen, handed_over).await?;
        let options = Options { reserve_bytes: RESERVE_BYTES, ..Options::new(world.clock.now()) };
        let store = SqliteStore::open(&dir.database(), options)?;
        let activity = By::system().activity(
            ActivityKind::ServerStarted,
            None,
            format!("Postrider {} started.", env!("CARGO_PKG_VERSION")),
            json!({ "version": env!("CARGO_PKG_VERSION") }),
            world.clock.now(),
        );
        store.activity_append(activity).await?;

        let (stop_http, abort_http) = (CancellationToken::new(), CancellationToken::new());
        let parts = assemble(config, &world, store.clone(), vault, &address, stop_http.clone())?;
        let (dispatcher, jobs) = (parts.dispatcher, parts.jobs);
        let services = parts.state.services.clone();
        let sweeper = parts.sweeper;
        if accept_clock {
            sweeper.accept_clock().await?;
        }
        let sweeping = sweeper.start();
        let backups = parts.backups;
        let backing_up = backups.start();
        let alerts = parts.alerts;
        let alerting = alerts.start();
        let app = http::app(parts.state);
        let proxies = Proxies::new(config.http.trusted_proxies.clone());
        let door = Door { listener, tls: tls.clone(), proxies };
        let http = tokio::spawn(http::server::serve(door, app, stop_http.clone(), abort_http.clone()));
        Ok(Server {
            address,
            tls,
            store,
            clock: world.clock,
            dispatcher,
            jobs,
            services,
            sweeper,
            sweeping,
            backups,
            backing_up,
            alerts,
            alerting,
            http,
            stop_http,
            abort_http,
            _lock: lock,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> Listen {
        self.address.clone()
    }

    /// Reads the certificate's files again. After an error the old ones stay in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.tls.as_ref().map_or(Ok(()), Tls::reload)
    }

    /// Whether it can do its work, as `/readyz` says.
    pub async fn is_well(&self) -> bool {
        self.store.ping().await.is_ok() && self.dispatcher.is_ready()
    }

    /// Its storage, for tests and for the demo.
    pub fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    /// A one-time link that makes the first user, when there is none; earlier links are void.
    pub async fn setup_link(&self, config: &Config) -> Option<String> {
        match self.services.sessions.issue_setup().await {
            Ok(token) => {
                let base = config.public_base_at(self.address.clone());
                token.map(|token| format!("{base}/admin/setup/{}", token.as_str()))
            }
            Err(error) => {
                tracing::warn!(%error, "the set-up link could not be made");
                None
            }
        }
    }

    /// Its services, for what runs in the same process.
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// Waits until the disk fails. Nothing can be promised from then on, and an orderly stop cannot be noted.
    pub async fn disk_failed(&self) {
        self.store.broken().await;
    }

    /// Waits until it sends what is due.
    pub async fn ready(&self) {
        self.dispatcher.ready().await;
    }

    /// Changes with every result of an attempt that has been written.
    pub fn results(&self) -> tokio::sync::watch::Receiver<u64> {
        self.dispatcher.results()
    }

    /// Changes with every look for what people should be told.
    pub fn alert_looks(&self) -> tokio::sync::watch::Receiver<u64> {
        self.alerts.looks()
    }

    /// Stops in order: nothing new, up to 20 seconds for what is under way, then storage.
    pub async fn stop(self) {
        self.stop_with(STOP_GRACE).await;
    }

    /// Like [`Server::stop`], with another time for what is under way.
    pub async fn stop_with(mut self, grace: Duration) {
        let deadline = Instant::now() + grace;
        self.stop_http.cancel();
        self.sweeper.stop();
        self.backups.stop();
        self.alerts.stop();
        let http = async {
            match tokio::time::timeout(grace, &mut self.http).await {
                Ok(ended) => ended,
                Err(_) => {
                    self.abort_http.cancel();
                    (&mut self.http).await
                }
            }
        };
        let ((), (), http, sweeping, backing_up, alerting) = tokio::join!(
            self.jobs.stop(),
            self.dispatcher.stop(grace),
            http,
            self.sweeping,
            self.backing_up,
            self.alerting
        );
        // A client may have asked for a test while the rest was ending, and hung up.
        self.dispatcher.stop(deadline.saturating_duration_since(Instant::now())).await;
        let parts = [
            ("the HTTP server", http),
            ("the sweeper", sweeping),
            ("backups", backing_up),
            ("alerts", alerting),
        ];
        for (name, ended) in parts {
            if let Err(error) = ended {
                tracing::error!(%error, name, "a part of the server ended badly");
            }
        }
        let activity = By::system().activity(
            ActivityKind::ServerStopped,
            None,
            "Postrider stopped.".to_owned(),
            json!({}),
            self.clock.now(),
        );
        if let Err(error) = self.store.activity_append(activity).await {
            tracing::warn!(%error, "the stop could not be noted");
        }
        self.store.close().await;
    }
}

/// Takes the directory. A server that was killed has it until the system has taken that one down, which may
/// be a moment after the next one starts; so this asks again for two seconds.
async fn take(dir: &DataDir) -> Result<ServeLock, DataDirError> {
    for _ in 0..LOCK_TRIES {
        match dir.lock() {
            Err(DataDirError::InUse(_)) => tokio::time::sleep(LOCK_AGAIN).await,
            taken_or_failed => return taken_or_failed,
        }
    }
    dir.lock()
}

/// The socket, and where it is: a port that was left to the system is known then.
async fn listen(at: &Listen, handed_over: Option<Listener>) -> Result<(Listener, Listen), StartError> {
    let failed = |source| StartError::Listen { address: at.clone(), source };
    let listener = match (handed_over, at) {
        (Some(listener), _) => listener,
        (None, Listen::Tcp(address)) => Listener::tcp(*address).await.map_err(failed)?,
        (None, Listen::Unix(path)) => Listener::unix(path).map_err(failed)?,
    };
    let address = match listener.address().map_err(failed)? {
        Ok(address) => Listen::Tcp(address),
        Err(path) => Listen::Unix(path),
    };
    Ok((listener, address))
}

struct Parts {
    state: State,
    dispatcher: Dispatcher,
    jobs: JobRunner,
    sweeper: Sweeper,
    backups: Scheduled,
    alerts: Alerts,
}

/// Joins services and delivery over one storage.
fn assemble(
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
    let rules = InputRules { policy: policy.clone(), signing_headers: config.signing.headers.clone() };
    let prefix = config.auth.key_prefix.clone();
    let accounts = Arc::new(Accounts::new(shared.clone(), clock.clone(), prefix.clone()));
    let backups = Scheduled::new(config.clone(), shared.clone(), clock.clone());
    let alerts =
        Alerts::new(shared.clone(), clock.clone(), vault.clone(), sender, backups.clone(), watched(config));
    let sources =
        Sources { storage: store.meters(), delivery: dispatcher.meters(), backups: backups.meters() };
    let database = config.data_dir.join(crate::data_dir::DATABASE);
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
        limits: Arc::new(service::limits::Limits::new(
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
    let state = State { services, readiness, base_path: config.base_path().into(), is_https, metrics };
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

/// Delivery, as the services see it.
struct Delivery {
    dispatcher: Dispatcher,
    jobs: Arc<Notify>,
}

#[async_trait]
impl Dispatch for Delivery {
    fn queued(&self, queued: &[Queued]) {
        self.dispatcher.queued(queued);
    }

    fn in_flight(&self, app: AppId) -> u64 {
        self.dispatcher.meters().in_flight_of(app)
    }

    fn endpoint_changed(&self, endpoint: EndpointId) {
        self.dispatcher.endpoint_changed(endpoint);
    }

    fn job_waiting(&self) {
        self.jobs.notify_one();
    }

    fn finished(&self) {
        self.dispatcher.result_written();
    }

    async fn probe(&self, job: Job, created_at: Timestamp) -> Result<(AttemptId, Outcome), StoreError> {
        self.dispatcher.probe(job, created_at).await
    }
}

/// Retention, as the services see it.
struct Sweeping(Sweeper);

#[async_trait]
impl Sweep for Sweeping {
    async fn sweep(&self, by: &By) -> service::Result<Swept> {
        match self.0.sweep(Some((&by.actor, by.address.as_deref()))).await {
            Ok(swept) => Ok(Swept { attempts: swept.attempts, events: swept.events }),
            Err(error @ SweepError::Held { .. }) => Err(ServiceError::Conflict(format!(
                "Nothing was removed: {error}. Set the clock right, or restart with serve --accept-clock."
            ))),
            Err(SweepError::Store(error)) => Err(error.into()),
        }
    }

    async fn state(&self) -> SweepState {
        let SweeperState { last, next_at, held_back } = self.0.state();
        let last = last.map(|(at, s)| (at, Swept { attempts: s.attempts, events: s.events }));
        SweepState { last, next_at, held_back }
    }
}

/// Alerts, as the services see them.
struct Telling(Alerts);

#[async_trait]
impl Messenger for Telling {
    async fn test(&self, target: &AlertTarget, kind: AlertKind) -> AlertTry {
        self.0.test(target, kind).await
    }
}

/// Log lines, as the services see them.
struct LogLines;

impl LogControl for LogLines {
    fn level(&self) -> Option<String> {
        logging::level()
    }

    fn set(&self, level: &str) -> Result<(), String> {
        logging::set_level(level)
    }
}

/// Metrics, as the HTTP surface sees them.
struct Figures(Metrics);

#[async_trait]
impl Exposition for Figures {
    async fn text(&self, openmetrics: bool) -> Result<String, String> {
        let text = if openmetrics { self.0.openmetrics().await } else { self.0.text().await };
        text.map_err(|error| error.to_string())
    }
}

struct Ready {
    store: Arc<SqliteStore>,
    dispatcher: Dispatcher,
}

#[async_trait]
impl Readiness for Ready {
    async fn ready(&self) -> Result<(), String> {
        self.store.ping().await.map_err(|error| format!("storage: {error}"))?;
        if self.dispatcher.is_ready() {
            Ok(())
        } else {
            Err("the dispatcher has not read the queue yet".to_owned())
        }
    }
}

/// Runs a server until the process is told to stop, and says on stdout how to use it.
/// `accept_clock`: a person says that the clock is right.
pub async fn serve(config: Config, accept_clock: bool) -> Result<(), StartError> {
    let signals = Signals::listen()?;
    let handed_over = systemd::listener().map_err(StartError::HandedOver)?;
    let server = Server::start_at(&config, World::real(), accept_clock, handed_over).await?;
    let setup = server.setup_link(&config).await;
    print!("{}", greeting(&config, server.address(), setup.as_deref()));
    server.ready().await;
    tracing::info!(address = %server.address(), data_dir = %config.data_dir.display(), "serving");
    systemd::ready();
    let signal = tend(&server, signals).await?;
    tracing::info!(signal, "stopping");
    systemd::stopping();
    server.stop().await;
    tracing::info!("stopped");
    Ok(())
}

/// Waits until the process is told to stop. Meanwhile the service manager is told that the server is
/// alive, and a SIGHUP has the certificate read again.
async fn tend(server: &Server, signals: Signals) -> Result<&'static str, StartError> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangup = signal(SignalKind::hangup()).map_err(StartError::Signals)?;
    let watched = systemd::watch_every();
    // Without a watchdog it never ticks.
    let mut pulse = tokio::time::interval(watched.unwrap_or(Duration::from_secs(3_600)));
    let stop = signals.received();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            signal = &mut stop => return Ok(signal),
            () = server.disk_failed() => return Err(StartError::DiskFailed),
            _ = hangup.recv() => match server.reload() {
                Ok(()) => tracing::info!("SIGHUP: what is read from files is up to date"),
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::error!(error, "the certificate could not be read again; the old one stays in use");
                }
            },
            _ = pulse.tick(), if watched.is_some() => {
                if server.is_well().await {
                    systemd::alive();
                }
            }
        }
    }
}

/// SIGTERM and SIGINT.
pub struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    /// Begins to listen; from now on the signals no longer end the process by themselves.
    pub fn listen() -> Result<Signals, StartError> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals {
            terminate: signal(SignalKind::terminate()).map_err(StartError::Signals)?,
            interrupt: signal(SignalKind::interrupt()).map_err(StartError::Signals)?,
        })
    }

    /// Waits for one of them and says which.
    pub async fn received(mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// What a person reads after the start.
fn greeting(config: &Config, address: Listen, setup: Option<&str>) -> String {
    let base = config.public_base_at(address);
    let data = config.data_dir.display();
    let setup = setup.map_or(String::new(), |link| {
        format!("\nNobody can sign in yet. This link makes the owner, once, within 30 minutes:\n  {link}\n")
    });
    format!(
        "Postrider {version}
  data       {data}
  dashboard  {base}/admin/
  API docs   {base}/docs
  health     {base}/healthz
{setup}
Make a key, in another terminal:
  postrider --data {data} key create --name first --scope admin

Then make a webhook and post an event:
  export TOKEN=…
  curl {base}/v1/webhooks -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' \\
    -d '{{\"url\":\"https://example.com/hook\",\"events\":[\"*\"]}}'
  curl {base}/v1/events -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' \\
    -d '{{\"event_type\":\"license.assigned\",\"payload\":{{\"license\":\"L-1\"}}}}'

",
        version = env!("CARGO_PKG_VERSION"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_directory_that_is_given_up_within_a_moment_is_taken() {
        let parent = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.data_dir = parent.path().join("data");
        let dir = DataDir::open(&config).unwrap();
        let held = dir.lock().unwrap();
        let release = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            drop(held);
        };
        let (taken, ()) = tokio::join!(take(&dir), release);
        assert!(taken.is_ok());
        // For as long as it is held, nobody else has it.
        assert!(matches!(take(&dir).await, Err(DataDirError::InUse(_))));
    }
}
