//! Asks the operating system for addresses (`getaddrinfo`, with its `hosts` file and search list).
//!
//! A look-up cannot be interrupted: it holds a thread until the system has answered, and where name servers are
//! silent that is half a minute after the attempt that asked has failed. So whoever asks for a name that is being
//! looked up already hears the same answer: a name that hangs holds one thread, however often it is tried. And
//! names that had an answer the last time have threads of their own, so that all the others may hang.
//!
//! Nothing is kept of an answer: who asks after it has come asks the system anew.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use tokio::sync::{Semaphore, watch};

use crate::delivery::sending::guard::Lookup;

/// Look-ups at once of names that had an answer the last time, and of all others. Their threads are those of the
/// pool that storage reads with, too (512 by default).
const KNOWN: usize = 64;
const UNKNOWN: usize = 256;
/// For how many names it is remembered that they had an answer: some megabytes.
const NAMES: usize = 50_000;

type Ask = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;
/// An answer that many can hear.
type Found = Result<Vec<SocketAddr>, Arc<io::Error>>;

/// The operating system's resolver.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup(&self, host: &str) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        static SYSTEM: LazyLock<Arc<Resolver>> = LazyLock::new(|| {
            let ask = |host: &str| (host, 0).to_socket_addrs().map(Iterator::collect);
            Resolver::new(Box::new(ask), KNOWN, UNKNOWN)
        });
        Box::pin(SYSTEM.clone().find(host.to_owned()))
    }
}

/// Who asks whom for what.
struct Resolver {
    ask: Box<Ask>,
    known: Semaphore,
    unknown: Semaphore,
    names: Mutex<Names>,
}

#[derive(Default)]
struct Names {
    /// Those that are being looked up, and where the answer will be heard.
    under_way: HashMap<String, watch::Receiver<Option<Found>>>,
    /// Those that had an answer the last time.
    answered: HashSet<String>,
}

impl Resolver {
    fn new(ask: Box<Ask>, known: usize, unknown: usize) -> Arc<Resolver> {
        let (known, unknown) = (Semaphore::new(known), Semaphore::new(unknown));
        Arc::new(Resolver { ask, known, unknown, names: Mutex::default() })
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn find(self: Arc<Self>, host: String) -> io::Result<Vec<SocketAddr>> {
        loop {
            let mut answer = self.clone().under_way(&host);
            // It ends without an answer only together with the runtime that it was begun in.
            let Ok(found) = answer.wait_for(Option::is_some).await.map(|found| found.clone()) else {
                continue;
            };
            let found = found.unwrap_or_else(|| Ok(Vec::new()));
            return found.map_err(|error| io::Error::new(error.kind(), error.to_string()));
        }
    }

    /// Where the answer about a name will be heard, which is asked for if nobody has.
    fn under_way(self: Arc<Self>, host: &str) -> watch::Receiver<Option<Found>> {
        let mut names = self.names();
        if let Some(answer) = names.under_way.get(host) {
            return answer.clone();
        }
        let (tell, answer) = watch::channel(None);
        names.under_way.insert(host.to_owned(), answer.clone());
        let is_known = names.answered.contains(host);
        drop(names);
        let asking = Asking { resolver: self, host: host.to_owned(), tell };
        tokio::spawn(asking.ask(is_known));
        answer
    }
}

/// A name that is being looked up.
struct Asking {
    resolver: Arc<Resolver>,
    host: String,
    tell: watch::Sender<Option<Found>>,
}

impl Asking {
    async fn ask(self, is_known: bool) {
        let seats = if is_known { &self.resolver.known } else { &self.resolver.unknown };
        let _seat = seats.acquire().await;
        let (resolver, host) = (self.resolver.clone(), self.host.clone());
        let found = tokio::task::spawn_blocking(move || (resolver.ask)(&host)).await;
        let found = found.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(Arc::new);
        let mut names = self.resolver.names();
        if found.is_err() {
            names.answered.remove(&self.host);
        } else if names.answered.len() < NAMES {
            names.answered.insert(self.host.clone());
        }
        drop(names);
        self.tell.send_replace(Some(found));
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.resolver.names().under_way.remove(&self.host);
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

    /// Where names that begin with `slow` hang until it is let go of.
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
                    // The end of the other side is what all of them wait for.
                    let _ = held.lock().map(|held| held.recv());
                }
                Ok(HERE.to_vec())
            };
            World { resolver: Resolver::new(Box::new(ask), known, unknown), asked, hold: Some(hold) }
        }

        /// An attempt that gives up at once when there is no answer.
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
    async fn a_name_that_hangs_holds_one_thread_however_often_it_is_tried() {
        let mut world = World::new(1, 2);
        for _ in 0..20 {
            world.try_in_vain("slow").await;
        }
        assert_eq!(world.find("healthy").await.as_deref(), Some(&HERE[..]));
        assert_eq!(world.asked.load(Ordering::SeqCst), 2);
        drop(world.hold.take());
        assert_eq!(world.find("slow").await.as_deref(), Some(&HERE[..]), "whoever still waits hears it");
    }

    #[tokio::test]
    async fn names_that_had_an_answer_find_a_thread_beside_any_number_that_hang() {
        let world = World::new(1, 2);
        assert!(world.find("healthy").await.is_some());
        for n in 0..20 {
            world.try_in_vain(&format!("slow{n}")).await;
        }
        assert!(world.find("healthy").await.is_some());
        world.try_in_vain("new").await;
    }

    #[tokio::test]
    async fn nothing_is_kept_of_an_answer() {
        let world = World::new(1, 1);
        for asked in 1..4 {
            assert!(world.find("healthy").await.is_some());
            assert_eq!(world.asked.load(Ordering::SeqCst), asked);
        }
    }

    #[test]
    fn a_look_up_whose_runtime_has_ended_is_begun_again() {
        let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let (world, ended) = (World::new(1, 1), runtime());
        // The only thread is taken, so that the second waits for it in its runtime.
        ended.block_on(world.try_in_vain("slow"));
        ended.block_on(world.try_in_vain("healthy"));
        ended.shutdown_background();
        assert!(runtime().block_on(world.find("healthy")).is_some());
    }
}
