//! The server put together: what is started, in which order, and how it ends.
//!
//! Start: data directory and its lock, storage, dispatcher, HTTP. End, the other way round: no new
//! connections and no new attempts, then up to 20 seconds for what is under way, then storage.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Listen};
use crate::delivery::SenderError;
use crate::delivery::scheduling::bulk_jobs::JobRunner;
use crate::delivery::scheduling::dispatcher::Dispatcher;
use crate::delivery::sending::guard::{Lookup, SystemLookup};
use crate::domain::ActivityKind;
use crate::host::clock::{Chance, Clock, SystemChance, SystemClock};
use crate::host::data_dir::{DataDir, DataDirError, ServeLock};
use crate::http;
use crate::http::transport::listener::Listener;
use crate::http::transport::proxies::Proxies;
use crate::http::transport::server::{Door, connections_within};
use crate::http::transport::tls::{Tls, TlsError};
use crate::service::{By, Services};
use crate::store::sqlite::{Options, SqliteStore};
use crate::store::{ActivityStore as _, StatsStore as _, Store, StoreError};
use crate::upkeep::alerts::Alerts;
use crate::upkeep::backup::Scheduled;
use crate::upkeep::retention::Sweeper;

mod adapters;
mod greeting;
mod process;
pub mod systemd;
mod wiring;

pub use process::{Signals, serve};
use wiring::assemble;

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
        let open_files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let connections = connections_within(open_files, config.delivery.concurrency);
        let door = Door { listener, tls: tls.clone(), proxies, connections };
        let http =
            tokio::spawn(http::transport::server::serve(door, app, stop_http.clone(), abort_http.clone()));
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
