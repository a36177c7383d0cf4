//! Stands between the sender and every connection, and lets it go only where the network policy
//! allows.
//!
//! Two gates, because each sees what the other cannot:
//! * [`Guard::judge_before`] runs before every attempt. An address written in the URL bypasses a
//!   resolver, and so does a connection that is still open from an earlier attempt.
//! * The resolver that connections are made with ([`crate::delivery::sending::connections`], [`crate::delivery::sending::client`]) hands out only
//!   addresses it has judged itself, so a name that answers differently the second time (DNS
//!   rebinding) gains nothing: the connection goes to exactly a judged address.
//!
//! One blocked answer rejects the whole name: a name with a public and a private address is either
//! a mistake or an attack.
//!
//! Answers are not cached here; the operating system's resolver does that as its owner wishes.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::domain::network::{Blocked, NetworkPolicy};

pub use crate::delivery::sending::resolver::SystemLookup;

/// Why a request may not, or cannot, go to its host. It can be found again in the source chain of
/// the HTTP client's error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    /// The policy forbids the address that is written in the URL.
    #[error("{0}")]
    Blocked(Blocked),
    /// The policy forbids an address that the name stands for.
    #[error("{host} resolves to {}, which is {}; {}", .blocked.addr, .blocked.class, .blocked.advice())]
    BlockedName { host: String, blocked: Blocked },
    /// The name does not resolve.
    #[error("the name {host} does not resolve: {reason}")]
    Dns { host: String, reason: String },
}

/// How names become addresses. Tests put their own in place of the operating system's.
pub trait Lookup: Send + Sync + 'static {
    /// All addresses of a name; their ports mean nothing. Empty is the same as an error.
    fn lookup(&self, host: &str) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;
}

/// A function that knows the answer at once is a lookup, too.
impl<F> Lookup for F
where
    F: Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
{
    fn lookup(&self, host: &str) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let answer = self(host).map(|all| all.into_iter().map(|ip| SocketAddr::new(ip, 0)).collect());
        Box::pin(std::future::ready(answer))
    }
}

/// The network policy at work. Clones share everything.
#[derive(Clone)]
pub struct Guard {
    policy: Arc<NetworkPolicy>,
    lookup: Arc<dyn Lookup>,
}

impl Guard {
    /// A guard that asks the operating system for addresses.
    pub fn new(policy: NetworkPolicy) -> Guard {
        Guard::with_lookup(policy, Arc::new(SystemLookup))
    }

    /// A guard that asks `lookup` for addresses.
    pub fn with_lookup(policy: NetworkPolicy, lookup: Arc<dyn Lookup>) -> Guard {
        Guard { policy: Arc::new(policy), lookup }
    }

    /// Judges where a URL leads at this moment. To be called before every attempt, whether or not a
    /// connection is open already.
    pub async fn judge_before(&self, url: &Url) -> Result<(), GuardError> {
        match url.host() {
            Some(Host::Ipv4(addr)) => self.policy.check(addr.into()).map_err(GuardError::Blocked),
            Some(Host::Ipv6(addr)) => self.policy.check(addr.into()).map_err(GuardError::Blocked),
            Some(Host::Domain(name)) => self.resolve_judged(name).await.map(drop),
            None => Err(GuardError::Dns { host: String::new(), reason: "the URL has no host".to_owned() }),
        }
    }

    /// The addresses of a name, all of which may be reached.
    pub(crate) async fn resolve_judged(&self, host: &str) -> Result<Vec<SocketAddr>, GuardError> {
        let dns = |reason: String| GuardError::Dns { host: host.to_owned(), reason };
        let found = self.lookup.lookup(host).await.map_err(|e| dns(e.to_string()))?;
        if found.is_empty() {
            return Err(dns("it has no address".to_owned()));
        }
        for addr in &found {
            self.policy
                .check(addr.ip())
                .map_err(|blocked| GuardError::BlockedName { host: host.to_owned(), blocked })?;
        }
        Ok(found)
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let judged = guard.resolve_judged(name.as_str()).await?;
            Ok(Box::new(judged.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn guard(allow: &[&str], answers: &'static [&'static str]) -> Guard {
        let policy = NetworkPolicy::new(allow.iter().map(|net| net.parse().unwrap()).collect());
        let lookup = move |_: &str| Ok(answers.iter().map(|a| a.parse().unwrap()).collect());
        Guard::with_lookup(policy, Arc::new(lookup))
    }

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[tokio::test]
    async fn the_systems_resolver_knows_this_machine() {
        let found = SystemLookup.lookup("localhost").await.unwrap();
        assert!(!found.is_empty() && found.iter().all(|addr| addr.ip().is_loopback()), "{found:?}");
    }

    #[tokio::test]
    async fn one_blocked_answer_rejects_the_whole_name() {
        for answers in [
            &["93.184.216.34", "10.0.0.1"] as &'static [&'static str],
            &["10.0.0.1", "93.184.216.34"],
            &["2606:4700::1", "93.184.216.34", "::1"],
            &["::ffff:93.184.216.34"],
        ] {
            let guard = guard(&[], answers);
            let before = guard.judge_before(&url("https://mixed.example/")).await;
            assert!(matches!(before, Err(GuardError::BlockedName { .. })), "{answers:?}");
            let connect = guard.resolve("mixed.example".parse().unwrap()).await;
            let error = connect.map(drop).unwrap_err();
            assert!(matches!(error.downcast_ref(), Some(GuardError::BlockedName { .. })), "{answers:?}");
        }
    }

    #[tokio::test]
    async fn judged_addresses_are_handed_out_all_and_in_order() {
        let guard = guard(&["10.0.0.0/8"], &["93.184.216.34", "10.0.0.1"]);
        assert_eq!(guard.judge_before(&url("https://mixed.example/")).await, Ok(()));
        let addrs = guard.resolve("mixed.example".parse().unwrap()).await.map_err(|e| e.to_string()).unwrap();
        let addrs: Vec<String> = addrs.map(|a| a.to_string()).collect();
        assert_eq!(addrs, ["93.184.216.34:0", "10.0.0.1:0"]);
    }

    #[tokio::test]
    async fn literal_addresses_are_judged_without_asking_the_resolver() {
        let lookup = |_: &str| -> io::Result<Vec<IpAddr>> { panic!("a literal needs no lookup") };
        let guard = Guard::with_lookup(NetworkPolicy::default(), Arc::new(lookup));
        assert_eq!(guard.judge_before(&url("https://93.184.216.34/")).await, Ok(()));
        for text in ["http://127.0.0.1/", "http://0x7f.1/", "http://[::1]:80/", "http://169.254.169.254/"] {
            let judged = guard.judge_before(&url(text)).await;
            assert!(matches!(judged, Err(GuardError::Blocked(_))), "{text}");
        }
    }

    #[tokio::test]
    async fn a_name_is_judged_anew_each_time() {
        let asked = AtomicUsize::new(0);
        let lookup = move |_: &str| {
            let first = asked.fetch_add(1, Ordering::SeqCst) == 0;
            Ok(vec![if first { [93, 184, 216, 34].into() } else { [127, 0, 0, 1].into() }])
        };
        let guard = Guard::with_lookup(NetworkPolicy::default(), Arc::new(lookup));
        assert_eq!(guard.judge_before(&url("https://rebinding.example/")).await, Ok(()));
        // What the connection would ask next, and what the next attempt would.
        assert!(guard.resolve("rebinding.example".parse().unwrap()).await.is_err());
        assert!(guard.judge_before(&url("https://rebinding.example/")).await.is_err());
    }

    #[tokio::test]
    async fn no_answer_and_an_error_are_both_dns() {
        let nothing = guard(&[], &[]).judge_before(&url("https://empty.example/")).await;
        assert_eq!(
            nothing.unwrap_err().to_string(),
            "the name empty.example does not resolve: it has no address"
        );
        let lookup = |_: &str| -> io::Result<Vec<IpAddr>> { Err(io::Error::other("no such name")) };
        let guard = Guard::with_lookup(NetworkPolicy::default(), Arc::new(lookup));
        let failed = guard.judge_before(&url("https://missing.example/")).await;
        assert!(matches!(failed, Err(GuardError::Dns { .. })), "{failed:?}");
    }

    #[tokio::test]
    async fn the_message_names_host_address_class_and_setting() {
        let error = guard(&[], &["10.0.0.5"]).judge_before(&url("https://internal.example/")).await;
        assert_eq!(
            error.unwrap_err().to_string(),
            "internal.example resolves to 10.0.0.5, which is a private address; to let requests go there, add 10.0.0.5/32 to network.allow"
        );
    }

    #[tokio::test]
    async fn the_system_lookup_reads_the_hosts_file() {
        let found = SystemLookup.lookup("localhost").await.unwrap();
        assert!(found.iter().all(|a| a.ip().is_loopback()) && !found.is_empty(), "{found:?}");
    }
}
