//! Applies the network policy to every attempt: requests reach only addresses that it allows.
//!
//! Two checks, because each covers a case that the other does not:
//! * [`Guard::check_url`] runs before every attempt. An address literal in the URL bypasses a resolver, and
//!   so does a connection that is still open from an earlier attempt.
//! * The resolver of the HTTP clients ([`connections`](crate::delivery::sending::connections),
//!   [`client`](crate::delivery::sending::client)) returns only addresses that it has checked itself. So DNS
//!   rebinding (a different response to the second lookup) gains nothing: the connection goes to exactly a
//!   checked address.
//!
//! One blocked address rejects the whole name: a name with a public and a private address is either a mistake
//! or an attack.
//!
//! Addresses are not cached here; the operating system's resolver may do that.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::domain::network::{Blocked, NetworkPolicy, RESOLVES_TO, WHICH_IS};

use crate::delivery::sending::causes::local_cause;
pub use crate::delivery::sending::resolver::{Lookup, SystemLookup};

/// Why a request may not, or cannot, go to its host. It appears in the source chain of the HTTP client's
/// error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    /// The policy blocks the address literal in the URL.
    #[error("{0}")]
    Blocked(Blocked),
    /// The policy blocks an address that the name resolves to.
    #[error("{host}{RESOLVES_TO}{}{WHICH_IS}{}; {}", .blocked.addr, .blocked.class, .blocked.advice())]
    BlockedName { host: String, blocked: Blocked },
    /// The name does not resolve.
    #[error("the name {host} does not resolve: {reason}")]
    Dns { host: String, reason: String },
    /// The resolver has no result at the moment (`EAI_AGAIN`): its own name servers, or those of the name, do
    /// not respond.
    #[error("the name {host} does not resolve at the moment: {reason}")]
    Unresolved { host: String, reason: String },
    /// This machine lacks something to resolve it.
    #[error("the name {host} cannot be resolved, because this machine {reason}")]
    Local { host: String, reason: String },
}

/// The texts of `EAI_AGAIN` in glibc and musl. The standard library does not expose the code.
const EAI_AGAIN: [&str; 2] = ["Temporary failure in name resolution", "Try again"];
/// The text of `EAI_MEMORY` in glibc.
const EAI_MEMORY: &str = "Memory allocation failure";

impl GuardError {
    fn of_lookup(host: &str, error: &io::Error) -> GuardError {
        let (host, reason) = (host.to_owned(), error.to_string());
        if let Some(what) = local_cause(error) {
            GuardError::Local { host, reason: format!("{what}: {reason}") }
        } else if reason.contains(EAI_MEMORY) {
            GuardError::Local { host, reason: "is out of memory".to_owned() }
        } else if EAI_AGAIN.iter().any(|text| reason.contains(text)) {
            GuardError::Unresolved { host, reason }
        } else {
            GuardError::Dns { host, reason }
        }
    }
}

/// The network policy with a resolver. Clones share everything.
#[derive(Clone)]
pub struct Guard {
    policy: Arc<NetworkPolicy>,
    lookup: Arc<dyn Lookup>,
}

impl Guard {
    /// A guard that uses the operating system's resolver.
    pub fn new(policy: NetworkPolicy) -> Guard {
        Guard::with_lookup(policy, Arc::new(SystemLookup))
    }

    /// A guard that resolves names with `lookup`.
    pub fn with_lookup(policy: NetworkPolicy, lookup: Arc<dyn Lookup>) -> Guard {
        Guard { policy: Arc::new(policy), lookup }
    }

    /// Checks every address that a URL leads to at this moment. Must be called before every attempt, even if
    /// a connection is already open.
    pub async fn check_url(&self, url: &Url) -> Result<(), GuardError> {
        match url.host() {
            Some(Host::Ipv4(addr)) => self.policy.check(addr.into()).map_err(GuardError::Blocked),
            Some(Host::Ipv6(addr)) => self.policy.check(addr.into()).map_err(GuardError::Blocked),
            Some(Host::Domain(name)) => self.resolve_checked(name).await.map(drop),
            None => Err(GuardError::Dns { host: String::new(), reason: "the URL has no host".to_owned() }),
        }
    }

    /// The addresses of a name, if all of them are allowed.
    pub(crate) async fn resolve_checked(&self, host: &str) -> Result<Vec<SocketAddr>, GuardError> {
        let found = self.lookup.lookup(host).await.map_err(|e| GuardError::of_lookup(host, &e))?;
        if found.is_empty() {
            return Err(GuardError::Dns { host: host.to_owned(), reason: "it has no address".to_owned() });
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
            let checked = guard.resolve_checked(name.as_str()).await?;
            Ok(Box::new(checked.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;
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
    async fn one_blocked_address_rejects_the_whole_name() {
        for answers in [
            &["93.184.216.34", "10.0.0.1"] as &'static [&'static str],
            &["10.0.0.1", "93.184.216.34"],
            &["2606:4700::1", "93.184.216.34", "::1"],
            &["::ffff:93.184.216.34"],
        ] {
            let guard = guard(&[], answers);
            let before = guard.check_url(&url("https://mixed.example/")).await;
            assert!(matches!(before, Err(GuardError::BlockedName { .. })), "{answers:?}");
            let connect = guard.resolve("mixed.example".parse().unwrap()).await;
            let error = connect.map(drop).unwrap_err();
            assert!(matches!(error.downcast_ref(), Some(GuardError::BlockedName { .. })), "{answers:?}");
        }
    }

    #[tokio::test]
    async fn all_checked_addresses_are_returned_in_order() {
        let guard = guard(&["10.0.0.0/8"], &["93.184.216.34", "10.0.0.1"]);
        assert_eq!(guard.check_url(&url("https://mixed.example/")).await, Ok(()));
        let addrs = guard.resolve("mixed.example".parse().unwrap()).await.map_err(|e| e.to_string()).unwrap();
        let addrs: Vec<String> = addrs.map(|a| a.to_string()).collect();
        assert_eq!(addrs, ["93.184.216.34:0", "10.0.0.1:0"]);
    }

    #[tokio::test]
    async fn address_literals_are_checked_without_a_lookup() {
        let lookup = |_: &str| -> io::Result<Vec<IpAddr>> { panic!("a literal needs no lookup") };
        let guard = Guard::with_lookup(NetworkPolicy::default(), Arc::new(lookup));
        assert_eq!(guard.check_url(&url("https://93.184.216.34/")).await, Ok(()));
        for text in ["http://127.0.0.1/", "http://0x7f.1/", "http://[::1]:80/", "http://169.254.169.254/"] {
            let checked = guard.check_url(&url(text)).await;
            assert!(matches!(checked, Err(GuardError::Blocked(_))), "{text}");
        }
    }

    #[tokio::test]
    async fn a_name_is_checked_again_each_time() {
        let asked = AtomicUsize::new(0);
        let lookup = move |_: &str| {
            let first = asked.fetch_add(1, Ordering::SeqCst) == 0;
            Ok(vec![if first { [93, 184, 216, 34].into() } else { [127, 0, 0, 1].into() }])
        };
        let guard = Guard::with_lookup(NetworkPolicy::default(), Arc::new(lookup));
        assert_eq!(guard.check_url(&url("https://rebinding.example/")).await, Ok(()));
        // The lookup of the connection, then that of the next attempt.
        assert!(guard.resolve("rebinding.example".parse().unwrap()).await.is_err());
        assert!(guard.check_url(&url("https://rebinding.example/")).await.is_err());
    }

    #[tokio::test]
    async fn an_empty_result_and_an_error_are_both_dns() {
        let nothing = guard(&[], &[]).check_url(&url("https://empty.example/")).await;
        assert_eq!(
            nothing.unwrap_err().to_string(),
            "the name empty.example does not resolve: it has no address"
        );
        let lookup = |_: &str| -> io::Result<Vec<IpAddr>> { Err(io::Error::other("no such name")) };
        let guard = Guard::with_lookup(NetworkPolicy::default(), Arc::new(lookup));
        let failed = guard.check_url(&url("https://missing.example/")).await;
        assert!(matches!(failed, Err(GuardError::Dns { .. })), "{failed:?}");
    }

    #[tokio::test]
    async fn trouble_of_the_resolver_is_distinguished_from_a_name_without_address() {
        let no_handles = rustix::io::Errno::MFILE.raw_os_error();
        for (text, code, variant) in [
            ("Name or service not known", 0, "Dns"),
            ("Temporary failure in name resolution", 0, "Unresolved"),
            ("Memory allocation failure", 0, "Local"),
            ("", no_handles, "Local"),
        ] {
            let lookup = move |_: &str| -> io::Result<Vec<IpAddr>> {
                let texts = || io::Error::other(format!("failed to lookup address information: {text}"));
                Err(if code == 0 { texts() } else { io::Error::from_raw_os_error(code) })
            };
            let guard = Guard::with_lookup(NetworkPolicy::default(), Arc::new(lookup));
            let failed = guard.check_url(&url("https://name.example/")).await.unwrap_err();
            assert!(format!("{failed:?}").starts_with(variant), "{failed:?}");
        }
    }

    #[tokio::test]
    async fn the_message_names_host_address_class_and_setting() {
        let error = guard(&[], &["10.0.0.5"]).check_url(&url("https://internal.example/")).await;
        let message = error.unwrap_err().to_string();
        assert_eq!(
            message,
            "internal.example resolves to 10.0.0.5, which is a private address; to let requests go there, add 10.0.0.5/32 to network.allow"
        );
        assert_eq!(
            crate::domain::network::without_address(&message).unwrap(),
            "internal.example resolves to a private address; requests go there only if the operator allows it in network.allow"
        );
        assert_eq!(crate::domain::network::without_address("HTTP 500"), None);
    }

    #[tokio::test]
    async fn the_system_lookup_resolves_localhost() {
        let found = SystemLookup.lookup("localhost").await.unwrap();
        assert!(found.iter().all(|a| a.ip().is_loopback()) && !found.is_empty(), "{found:?}");
    }
}
