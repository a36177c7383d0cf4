//! Start and stop of the server, in order.
//!
//! Start: data directory and lock, storage, dispatcher, HTTP. Stop, in reverse: no new connections and
//! attempts, up to 20 seconds for those in flight, then storage.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cluster::LocalSignals;
use crate::cluster::keeper::Keeping;
use crate::config::{Config, Listen};
use crate::delivery::SenderError;
use crate::delivery::scheduling::bulk_jobs::BulkJobRunner;
use crate::delivery::scheduling::dispatcher::Dispatcher;
use crate::delivery::sending::guard::{Lookup, SystemLookup};
use crate::domain::{Activity, ActivityKind, Timestamp};
use crate::host::clock::{Chance, Clock, SystemChance, SystemClock};
use crate::host::data_dir::{DataDir, DataDirError, ServeLock};
use crate::host::vault::Vault;
use crate::http::transport::listener::Listener;
use crate::http::transport::tls::{Tls, TlsError};
use crate::service::{By, Services};
use crate::store::location::Purpose;
use crate::store::{Backend, Store, StoreError};
use crate::upkeep::alerts::Alerts;
use crate::upkeep::backup::BackupSchedule;
use crate::upkeep::retention::Sweeper;

mod adapters;
mod doors;
mod greeting;
mod membership;
pub mod place;
mod process;
pub mod systemd;
mod wiring;

use doors::Doors;
use membership::Membership;
use place::Place;
pub use process::{Request, Signals, raise_open_files, serve};
use wiring::assemble;

/// Wait between tries to take the lock of the data directory, and number of tries.
const LOCK_WAIT: Duration = Duration::from_millis(20);
const LOCK_TRIES: u32 = 100;
/// How long deliveries and requests in flight may take when the server stops.
const STOP_GRACE: Duration = Duration::from_secs(20);

/// How long a server that stops serves requests after it has said that it is not ready, where others take them over.
const SERVED_ON: Duration = Duration::from_secs(5);
/// How long it waits until others have what it sent for.
const HANDED_OVER_WITHIN: Duration = Duration::from_secs(4);

/// The reason why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot listen on {address}: {reason}. {advice}")]
    Listen { address: Listen, reason: String, advice: &'static str },
    #[error("the socket passed by the service manager (LISTEN_FDS) cannot be used")]
    PassedSocket(#[source] std::io::Error),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Sender(#[from] SenderError),
    /// After the start: storage can no longer guarantee durability.
    #[error(
        "fsync failed: the disk did not confirm a write, so the server has stopped. Events accepted with 202 before are \
         safe. Check the disk, then start the server again"
    )]
    DiskFailed,
    #[error("cannot listen for signals")]
    Signals(#[source] std::io::Error),
}

/// The environment of a server, so that tests can replace it.
#[derive(Clone)]
pub struct World {
    pub clock: Arc<dyn Clock>,
    pub chance: Arc<dyn Chance>,
    pub lookup: Arc<dyn Lookup>,
    /// What leases go by, where several servers share a database.
    pub lease_clock: Arc<dyn Clock>,
    /// Whether times are those of such a database.
    pub follows_database: bool,
    /// The program that builds workbooks: this program in another process. `None`: the server builds them.
    pub workbook_maker: Option<PathBuf>,
}

impl World {
    /// The real environment.
    pub fn real() -> World {
        World {
            clock: Arc::new(SystemClock),
            chance: Arc::new(SystemChance),
            lookup: Arc::new(SystemLookup),
            lease_clock: Arc::new(SystemClock),
            follows_database: true,
            workbook_maker: this_program(),
        }
    }
}

/// The file of this program. On Linux by a path that stays valid when an upgrade replaces the file.
fn this_program() -> Option<PathBuf> {
    let running = PathBuf::from("/proc/self/exe");
    if running.exists() { Some(running) } else { std::env::current_exe().ok() }
}

/// A running server.
pub struct Server {
    address: Listen,
    inbound_address: Listen,
    tls: Option<Tls>,
    store: Arc<dyn Backend>,
    clock: Arc<dyn Clock>,
    dispatcher: Dispatcher,
    signals: Arc<LocalSignals>,
    jobs: BulkJobRunner,
    services: Services,
    sweeper: Sweeper,
    sweeping: JoinHandle<()>,
    backups: BackupSchedule,
    backing_up: JoinHandle<()>,
    alerts: Alerts,
    alerting: JoinHandle<()>,
    http: JoinHandle<()>,
    stop_http: CancellationToken,
    abort_http: CancellationToken,
    /// `None`: nobody shares the data.
    keeping: Option<Keeping>,
    is_leaving: Arc<AtomicBool>,
    /// `None`: the data is in a database server.
    dir: Option<DataDir>,
    _lock: Option<ServeLock>,
}

impl Server {
    /// Starts a server and returns when it accepts requests; sending starts a moment later, see
    /// [`Server::ready`].
    pub async fn start(config: &Config, world: World) -> Result<Server, StartError> {
        Server::start_with(config, world, false).await
    }

    /// Like [`Server::start`]; `accept_clock`: the operator confirms that the clock is right.
    pub async fn start_with(config: &Config, world: World, accept_clock: bool) -> Result<Server, StartError> {
        Server::start_at(config, world, accept_clock, None).await
    }

    /// Like [`Server::start_with`], on a passed socket, if there is one.
    pub async fn start_at(
        config: &Config,
        mut world: World,
        accept_clock: bool,
        passed: Option<Listener>,
    ) -> Result<Server, StartError> {
        let place = Place::open(config)?;
        let lock = lock_of(&place).await?;
        let vault = Arc::new(place.vault(config)?);
        let (doors, address, inbound_address) = Doors::listen(config, passed).await?;
        let tls = doors.tls.clone();
        let store = place.location().open(Purpose::Server, world.clock.now())?;
        prove_key(&*store, &vault, &place).await?;
        let membership = Membership::of(&*store, &mut world).await?;
        store.activity_append(started(world.clock.now())).await?;

        let (stop_http, abort_http) = (CancellationToken::new(), CancellationToken::new());
        let doors_at = (&address, &inbound_address);
        let parts = assemble(config, &world, store.clone(), &membership, vault, doors_at, stop_http.clone())?;
        let (dispatcher, signals, jobs) = (parts.dispatcher, parts.signals, parts.jobs);
        let services = parts.state.services.clone();
        let is_leaving = membership.is_leaving.clone();
        // Before upkeep starts, which asks whether this node leads.
        let keeping = membership.join(config, dispatcher.sending().clone()).await?;
        let sweeper = parts.sweeper;
        if accept_clock {
            sweeper.accept_clock().await?;
        }
        let sweeping = sweeper.start();
        let backups = parts.backups;
        let backing_up = backups.start();
        let alerts = parts.alerts;
        let alerting = alerts.start();
        let http = doors.open(config, parts.state, &stop_http, &abort_http);
        note_url(&place, config, &address);
        Ok(Server {
            address,
            inbound_address,
            tls,
            store,
            clock: world.clock,
            dispatcher,
            signals,
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
            keeping,
            is_leaving,
            dir: place.dir,
            _lock: lock,
        })
    }

    /// Its address.
    pub fn address(&self) -> Listen {
        self.address.clone()
    }

    /// Where requests to sources arrive: its address, or that of `inbound.listen`.
    pub fn inbound_address(&self) -> Listen {
        self.inbound_address.clone()
    }

    /// Reads the certificate files again. After an error the old certificate stays in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.tls.as_ref().map_or(Ok(()), Tls::reload)
    }

    /// Whether it is ready, as in `/readyz`.
    pub async fn is_healthy(&self) -> bool {
        self.store.ping().await.is_ok() && self.dispatcher.is_ready()
    }

    /// Its storage, for tests and for the demo.
    pub fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    /// A one-time link to create the first user, if there is none; earlier links of this server become invalid, those
    /// of other nodes do not.
    pub async fn setup_link(&self, config: &Config) -> Option<String> {
        match self.services.sessions.issue_setup().await {
            Ok(token) => {
                let base = config.public_base_at(self.address.clone());
                token.map(|token| format!("{base}/admin/setup/{}", token.as_str()))
            }
            Err(error) => {
                tracing::warn!(%error, "cannot create the setup link");
                None
            }
        }
    }

    /// Its services, for code in the same process.
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// Waits until the disk fails. From then on nothing is durable, and an orderly stop cannot be recorded.
    pub async fn disk_failed(&self) {
        self.store.broken().await;
    }

    /// Waits until it sends due attempts.
    pub async fn ready(&self) {
        self.dispatcher.ready().await;
    }

    /// Changes with every committed result of an attempt.
    pub fn results(&self) -> tokio::sync::watch::Receiver<u64> {
        self.signals.results()
    }

    /// Changes after every check for alerts.
    pub fn alert_checks(&self) -> tokio::sync::watch::Receiver<u64> {
        self.alerts.checks()
    }

    /// Where others share the data: is not ready from now on, hands over what it sends for, and serves requests for
    /// some seconds more, until nobody sends it any.
    pub async fn retire(&self) {
        if let Some(keeping) = &self.keeping {
            self.is_leaving.store(true, Ordering::Release);
            tokio::join!(keeping.leave(HANDED_OVER_WITHIN), tokio::time::sleep(SERVED_ON));
        }
    }

    /// Stops in order: nothing new, up to 20 seconds for requests in flight, then storage.
    pub async fn stop(self) {
        self.stop_with(STOP_GRACE).await;
    }

    /// Like [`Server::stop`], with another time for requests in flight.
    pub async fn stop_with(mut self, grace: Duration) {
        if let Some(keeping) = &self.keeping {
            self.is_leaving.store(true, Ordering::Release);
            keeping.leave(HANDED_OVER_WITHIN).await;
        }
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
        // A client may have requested a test during the stop and disconnected.
        self.dispatcher.stop(deadline.saturating_duration_since(Instant::now())).await;
        let parts = [
            ("the HTTP server", http),
            ("the sweeper", sweeping),
            ("backups", backing_up),
            ("alerts", alerting),
        ];
        for (name, ended) in parts {
            if let Err(error) = ended {
                tracing::error!(%error, name, "a part of the server failed");
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
            tracing::warn!(%error, "cannot record the stop");
        }
        if let Some(keeping) = self.keeping {
            keeping.end().await;
        }
        self.store.close().await;
        if let Some(dir) = &self.dir {
            dir.forget_url();
        }
    }
}

/// Refuses a database that was written with another encryption key, and stores the check value in one that has none.
async fn prove_key(store: &dyn Store, vault: &Vault, place: &Place) -> Result<(), StartError> {
    let evidence = store.secrets_key_evidence().await?;
    if !vault.opens(&evidence) {
        return Err(place.wrong_key().into());
    }
    if evidence.check.is_none() {
        store.secrets_put_key_check(vault.seal_key_check()).await?;
    }
    Ok(())
}

/// Notes the server's URL for commands on its data directory.
fn note_url(place: &Place, config: &Config, address: &Listen) {
    if let Some(dir) = &place.dir
        && let Err(error) = dir.note_url(&config.public_base_at(address.clone()))
    {
        tracing::warn!(%error, "cannot note the server's URL for commands");
    }
}

/// The entry of the activity log about a start.
fn started(now: Timestamp) -> Activity {
    let version = env!("CARGO_PKG_VERSION");
    let summary = format!("Postrider {version} started.");
    By::system().activity(ActivityKind::ServerStarted, None, summary, json!({ "version": version }), now)
}

/// The lock of the data directory; a database server has one of its own.
async fn lock_of(place: &Place) -> Result<Option<ServeLock>, DataDirError> {
    match &place.dir {
        Some(dir) => lock(dir).await.map(Some),
        None => Ok(None),
    }
}

/// Takes the lock. After a kill the system may release it a moment after the next server starts; so this
/// tries for two seconds.
async fn lock(dir: &DataDir) -> Result<ServeLock, DataDirError> {
    for _ in 0..LOCK_TRIES {
        match dir.lock() {
            Err(DataDirError::InUse(_)) => tokio::time::sleep(LOCK_WAIT).await,
            taken_or_failed => return taken_or_failed,
        }
    }
    dir.lock()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lock_that_is_released_within_a_moment_is_taken() {
        let parent = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.data_dir = parent.path().join("data");
        let dir = DataDir::open(&config).unwrap();
        let held = dir.lock().unwrap();
        let release = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            drop(held);
        };
        let (taken, ()) = tokio::join!(lock(&dir), release);
        assert!(taken.is_ok());
        // While it is held, nobody else gets it.
        assert!(matches!(lock(&dir).await, Err(DataDirError::InUse(_))));
    }
}
