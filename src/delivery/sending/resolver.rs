//! Resolves names with the operating system (`getaddrinfo`, with its `hosts` file and search list).
//!
//! A lookup cannot be interrupted: it holds a thread until the system returns, which with silent name servers
//! is half a minute after the attempt has failed. So concurrent lookups of one name are shared: a name that
//! hangs holds one thread, however many attempts need it. And names that resolved the last time have threads
//! of their own, so that hanging names cannot starve them.
//!
//! Results are not cached; only concurrent lookups of one name are shared.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use tokio::sync::{Semaphore, watch};

/// Resolves names. Tests replace the operating system's resolver.
pub trait Lookup: Send + Sync + 'static {
    /// All addresses of a name; their ports are ignored. An empty list is treated as an error.
    fn lookup(&self, host: &str) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;
}

/// A plain function works as a lookup.
impl<F> Lookup for F
where
    F: Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
{
    fn lookup(&self, host: &str) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let addresses = self(host).map(|all| all.into_iter().map(|ip| SocketAddr::new(ip, 0)).collect());
        Box::pin(std::future::ready(addresses))
    }
}

/// The most concurrent lookups of names that resolved the last time, and of all other names. They run on
/// Tokio's blocking pool (512 threads by default).
const KNOWN_LIMIT: usize = 64;
const UNKNOWN_LIMIT: usize = 256;
/// The most names that are remembered as having resolved: some megabytes.
const REMEMBERED_NAMES: usize = 50_000;

type LookupFn = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;
/// A result that several lookups share.
type LookupResult = Result<Vec<SocketAddr>, Arc<io::Error>>;

/// The operating system's resolver.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup(&self, host: &str) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        static SYSTEM: LazyLock<Arc<Resolver>> = LazyLock::new(|| {
            let ask = |host: &str| (host, 0).to_socket_addrs().map(Iterator::collect);
            Resolver::new(Box::new(ask), KNOWN_LIMIT, UNKNOWN_LIMIT)
        });
        Box::pin(SYSTEM.clone().find(host.to_owned()))
    }
}

/// Shares and limits lookups.
struct Resolver {
    ask: Box<LookupFn>,
    known: Semaphore,
    unknown: Semaphore,
    names: Mutex<Names>,
}

#[derive(Default)]
struct Names {
    /// Running lookups, each with the channel for its result.
    running: HashMap<String, watch::Receiver<Option<LookupResult>>>,
    /// Names that resolved the last time.
    resolved: HashSet<String>,
}

impl Resolver {
    fn new(ask: Box<LookupFn>, known: usize, unknown: usize) -> Arc<Resolver> {
        let (known, unknown) = (Semaphore::new(known), Semaphore::new(unknown));
        Arc::new(Resolver { ask, known, unknown, names: Mutex::default() })
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn find(self: Arc<Self>, host: String) -> io::Result<Vec<SocketAddr>> {
        loop {
            let mut result = self.clone().running(&host);
            // The channel closes without a result only if the runtime that started the lookup has ended.
            let Ok(found) = result.wait_for(Option::is_some).await.map(|found| found.clone()) else {
                continue;
            };
            let found = found.unwrap_or_else(|| Ok(Vec::new()));
            return found.map_err(|error| match error.raw_os_error() {
                Some(code) => io::Error::from_raw_os_error(code),
                None => io::Error::new(error.kind(), error.to_string()),
            });
        }
    }

    /// The channel for the result of a lookup, which is started unless it is running.
    fn running(self: Arc<Self>, host: &str) -> watch::Receiver<Option<LookupResult>> {
        let mut names = self.names();
        if let Some(result) = names.running.get(host) {
            return result.clone();
        }
        let (sender, result) = watch::channel(None);
        names.running.insert(host.to_owned(), result.clone());
        let is_known = names.resolved.contains(host);
        drop(names);
        let lookup = RunningLookup { resolver: self, host: host.to_owned(), result: sender };
        tokio::spawn(lookup.run(is_known));
        result
    }
}

/// One lookup.
struct RunningLookup {
    resolver: Arc<Resolver>,
    host: String,
    result: watch::Sender<Option<LookupResult>>,
}

impl RunningLookup {
    async fn run(self, is_known: bool) {
        let seats = if is_known { &self.resolver.known } else { &self.resolver.unknown };
        let _seat = seats.acquire().await;
        let (resolver, host) = (self.resolver.clone(), self.host.clone());
        let found = tokio::task::spawn_blocking(move || (resolver.ask)(&host)).await;
        let found = found.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(Arc::new);
        let mut names = self.resolver.names();
        if found.is_err() {
            names.resolved.remove(&self.host);
        } else if names.resolved.len() < REMEMBERED_NAMES {
            names.resolved.insert(self.host.clone());
        }
        drop(names);
        self.result.send_replace(Some(found));
    }
}

impl Drop for RunningLookup {
    fn drop(&mut self) {
        self.resolver.names().running.remove(&self.host);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;
    use tokio::time::timeout;

    const HERE: [SocketAddr; 1] = [SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0)];

    /// A resolver for which names that begin with `slow` hang until `hold` is dropped.
    struct World {
        resolver: Arc<Resolver>,
        asked: Arc<AtomicUsize>,
        hold: Option<mpsc::Sender<()>>,
    }

    impl World {
        fn new(known: usize, unknown: usize) -> World {
            let (hold, held) = mpsc::channel::<()>();
            let (held, asked) = (Mutex::new(held), Arc::new(AtomicUsize::new(0)));
            let count = asked.clone();
            let ask = move |host: &str| {
                count.fetch_add(1, Ordering::SeqCst);
                if host.starts_with("slow") {
                    // Returns when the other side is dropped.
                    let _ = held.lock().map(|held| held.recv());
                }
                Ok(HERE.to_vec())
            };
            World { resolver: Resolver::new(Box::new(ask), known, unknown), asked, hold: Some(hold) }
        }

        /// An attempt that gives up at once.
        async fn try_in_vain(&self, host: &str) {
            let find = self.resolver.clone().find(host.to_owned());
            assert!(timeout(Duration::from_millis(1), find).await.is_err(), "{host} hangs");
        }

        async fn find(&self, host: &str) -> Option<Vec<SocketAddr>> {
            let find = self.resolver.clone().find(host.to_owned());
            timeout(Duration::from_secs(20), find).await.ok()?.ok()
        }
    }

    impl Drop for World {
        fn drop(&mut self) {
            drop(self.hold.take());
        }
    }

    #[tokio::test]
    async fn a_name_that_hangs_holds_one_thread_for_all_attempts() {
        let mut world = World::new(1, 2);
        for _ in 0..20 {
            world.try_in_vain("slow").await;
        }
        assert_eq!(world.find("healthy").await.as_deref(), Some(&HERE[..]));
        assert_eq!(world.asked.load(Ordering::SeqCst), 2);
        drop(world.hold.take());
        assert_eq!(world.find("slow").await.as_deref(), Some(&HERE[..]), "a waiting lookup gets the result");
    }

    #[tokio::test]
    async fn hanging_names_leave_threads_for_names_that_resolved() {
        let world = World::new(1, 2);
        assert!(world.find("healthy").await.is_some());
        for n in 0..20 {
            world.try_in_vain(&format!("slow{n}")).await;
        }
        assert!(world.find("healthy").await.is_some());
        world.try_in_vain("new").await;
    }

    #[tokio::test]
    async fn results_are_not_cached() {
        let world = World::new(1, 1);
        for asked in 1..4 {
            assert!(world.find("healthy").await.is_some());
            assert_eq!(world.asked.load(Ordering::SeqCst), asked);
        }
    }

    #[test]
    fn a_lookup_whose_runtime_has_ended_is_started_again() {
        let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let (world, ended) = (World::new(1, 1), runtime());
        // The only thread is taken, so that the second waits for it in its runtime.
        ended.block_on(world.try_in_vain("slow"));
        ended.block_on(world.try_in_vain("healthy"));
        ended.shutdown_background();
        assert!(runtime().block_on(world.find("healthy")).is_some());
    }
}
