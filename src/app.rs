//! The server put together: what is started, in which order, and how it ends.
//!
//! Start: data directory and its lock, storage, dispatcher, HTTP. End, the other way round: no new
//! connections and no new attempts, then up to 20 seconds for what is under way, then storage.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::{Chance, Clock, SystemChance, SystemClock};
use crate::config::Config;
use crate::data_dir::{DataDir, DataDirError, ServeLock};
use crate::delivery::courier::RetryPolicy;
use crate::delivery::dispatcher::{Dispatcher, Limits};
use crate::delivery::guard::{Lookup, SystemLookup};
use crate::delivery::jobs::JobRunner;
use crate::delivery::{Sender, SenderConfig, SenderError};
use crate::domain::network::NetworkPolicy;
use crate::domain::{ActivityKind, AttemptId, EndpointId, Outcome, Timestamp};
use crate::http::{self, Readiness, State};
use crate::retention::{Policy, SweepError, Sweeper};
use crate::service::auth::Auth;
use crate::service::deliveries::Deliveries;
use crate::service::endpoint_input::InputRules;
use crate::service::endpoints::Endpoints;
use crate::service::events::Events;
use crate::service::export::Exports;
use crate::service::jobs::Jobs;
use crate::service::live::Live;
use crate::service::operations::{Operations, Sweep, Swept};
use crate::service::statistics::Statistics;
use crate::service::verification::Verification;
use crate::service::{self, By, Dispatch, ServiceError, Services};
use crate::store::sqlite::{Options, SqliteStore};
use crate::store::{ActivityStore as _, Job, Queued, StatsStore as _, Store, StoreError};
use crate::vault::Vault;

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
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    Sender(#[from] SenderError),
    #[error("cannot listen for signals")]
    Signals(#[source] std::io::Error),
}

/// What a server takes from the world, so that tests can give it another one.
#[derive(Clone)]
pub struct World {
    pub clock: Arc<dyn Clock>,
    pub chance: Arc<dyn Chance>,
    pub lookup: Arc<dyn Lookup>,
}

impl World {
    /// The real one.
    pub fn real() -> World {
        World { clock: Arc::new(SystemClock), chance: Arc::new(SystemChance), lookup: Arc::new(SystemLookup) }
    }
}

/// A running server.
pub struct Server {
    address: SocketAddr,
    store: Arc<SqliteStore>,
    clock: Arc<dyn Clock>,
    dispatcher: Dispatcher,
    jobs: JobRunner,
    services: Services,
    sweeper: Sweeper,
    sweeping: JoinHandle<()>,
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
        let dir = DataDir::open(config)?;
        let lock = dir.lock()?;
        let vault = Arc::new(dir.vault()?);
        let listener = listen(config.listen).await?;
        let address =
            listener.local_addr().map_err(|source| StartError::Listen { address: config.listen, source })?;
        let store = SqliteStore::open(&dir.database(), Options::new(world.clock.now()))?;
        let activity = By::system().activity(
            ActivityKind::ServerStarted,
            None,
            format!("Postrider {} started.", env!("CARGO_PKG_VERSION")),
            json!({ "version": env!("CARGO_PKG_VERSION") }),
            world.clock.now(),
        );
        store.activity_append(activity).await?;

        let (stop_http, abort_http) = (CancellationToken::new(), CancellationToken::new());
        let parts = assemble(config, &world, store.clone(), vault, stop_http.clone())?;
        let (dispatcher, jobs) = (parts.dispatcher, parts.jobs);
        let services = parts.state.services.clone();
        let sweeper = parts.sweeper;
        if accept_clock {
            sweeper.accept_clock().await?;
        }
        let sweeping = sweeper.start();
        let app = http::app(parts.state);
        let http = tokio::spawn(http::server::serve(listener, app, stop_http.clone(), abort_http.clone()));
        Ok(Server {
            address,
            store,
            clock: world.clock,
            dispatcher,
            jobs,
            services,
            sweeper,
            sweeping,
            http,
            stop_http,
            abort_http,
            _lock: lock,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its storage, for tests and for the demo.
    pub fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    /// Its services, for what runs in the same process.
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// Waits until it sends what is due.
    pub async fn ready(&self) {
        self.dispatcher.ready().await;
    }

    /// Changes with every result of an attempt that has been written.
    pub fn results(&self) -> tokio::sync::watch::Receiver<u64> {
        self.dispatcher.results()
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
        let http = async {
            match tokio::time::timeout(grace, &mut self.http).await {
                Ok(ended) => ended,
                Err(_) => {
                    self.abort_http.cancel();
                    (&mut self.http).await
                }
            }
        };
        let ((), (), http, sweeping) =
            tokio::join!(self.jobs.stop(), self.dispatcher.stop(grace), http, self.sweeping);
        // A client may have asked for a test while the rest was ending, and hung up.
        self.dispatcher.stop(deadline.saturating_duration_since(Instant::now())).await;
        for (name, ended) in [("the HTTP server", http), ("the sweeper", sweeping)] {
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

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, source })
}

struct Parts {
    state: State,
    dispatcher: Dispatcher,
    jobs: JobRunner,
    sweeper: Sweeper,
}

/// Joins services and delivery over one storage.
fn assemble(
    config: &Config,
    world: &World,
    store: Arc<SqliteStore>,
    vault: Arc<Vault>,
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
    let sender = Sender::with_lookup(sender_config, clock.clone(), vault.clone(), world.lookup.clone())?;
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
        Arc::new(sender),
        retry_policy,
        limits,
    );
    let jobs = JobRunner::start(shared.clone(), clock.clone(), dispatcher.clone());
    let dispatch: Arc<dyn Dispatch> =
        Arc::new(Delivery { dispatcher: dispatcher.clone(), jobs: jobs.wake() });
    let rules = InputRules { policy, signing_headers: config.signing.headers.clone() };
    let prefix = config.auth.key_prefix.clone();
    let policy = Policy::new(&config.retention.logs, &config.retention.events);
    let sweeper = Sweeper::new(shared.clone(), clock.clone(), policy);
    let services = Services {
        auth: Arc::new(Auth::new(shared.clone(), clock.clone(), prefix)),
        verification: Arc::new(Verification::new(
            shared.clone(),
            clock.clone(),
            vault.clone(),
            config.signing.headers.clone(),
        )),
        endpoints: Arc::new(Endpoints::new(shared.clone(), clock.clone(), vault, dispatch.clone(), rules)),
        events: Arc::new(Events::new(
            shared.clone(),
            clock.clone(),
            dispatch.clone(),
            config.limits.event_size,
        )),
        live: Arc::new(Live::new(shared.clone(), clock.clone(), dispatcher.results(), stop_http)),
        exports: Arc::new(Exports::new(shared.clone(), clock.clone(), config.export.xlsx_max_rows)),
        jobs: Arc::new(Jobs::new(shared.clone(), clock.clone(), dispatch.clone())),
        deliveries: Arc::new(Deliveries::new(shared.clone(), clock.clone(), dispatch)),
        statistics: Arc::new(Statistics::new(shared.clone(), clock.clone())),
        operations: Arc::new(Operations::new(shared, Arc::new(Sweeping(sweeper.clone())))),
        limits: Arc::new(service::limits::Limits::new(
            clock,
            config.limits.requests_per_minute,
            config.limits.events_per_second,
        )),
    };
    let readiness = Arc::new(Ready { store, dispatcher: dispatcher.clone() });
    let state = State { services, readiness, base_path: config.base_path().into() };
    Ok(Parts { state, dispatcher, jobs, sweeper })
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
    let server = Server::start_with(&config, World::real(), accept_clock).await?;
    print!("{}", greeting(&config, server.address()));
    server.ready().await;
    tracing::info!(address = %server.address(), data_dir = %config.data_dir.display(), "serving");
    let signal = signals.received().await;
    tracing::info!(signal, "stopping");
    server.stop().await;
    tracing::info!("stopped");
    Ok(())
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
fn greeting(config: &Config, address: SocketAddr) -> String {
    let base = config.public_base_at(address);
    let data = config.data_dir.display();
    format!(
        "Postrider {version}
  data      {data}
  API docs  {base}/docs
  health    {base}/healthz

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
