//! Which destinations worked lately: tells trouble of this machine from trouble of one receiver.
//!
//! A resolver that says "try again" or a network without a route is trouble of this machine only if nothing else
//! works either (section 2 of `contract/outages.md`). Otherwise a receiver could escape being disabled with a broken
//! name server.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long a success proves that this machine's network works.
const PROOF_LASTS: Duration = Duration::from_secs(60);

/// The two destinations that worked last. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Reachability(Arc<Shared>);

#[derive(Default)]
struct Shared {
    hasher: RandomState,
    /// By the hash of the name or address, newest first. Two, because one of them may be the destination that asks.
    recent: Mutex<[Option<(u64, Instant)>; 2]>,
}

impl Reachability {
    /// A name was resolved, or an address was connected to. This machine itself proves nothing.
    pub(crate) fn worked(&self, host: &str) {
        if is_this_machine(host) {
            return;
        }
        let entry = Some((self.0.hasher.hash_one(host), Instant::now()));
        let mut recent = self.0.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent[0].map(|(host, _)| host) != entry.map(|(host, _)| host) {
            recent[1] = recent[0];
        }
        recent[0] = entry;
    }

    /// Whether a destination other than `host` worked lately.
    pub(crate) fn others_work(&self, host: &str) -> bool {
        let host = self.0.hasher.hash_one(host);
        let recent = self.0.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.iter().flatten().any(|(other, at)| *other != host && at.elapsed() < PROOF_LASTS)
    }
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.starts_with("127.") || host == "[::1]"
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn only_another_destination_of_the_last_minute_counts() {
        let reachability = Reachability::default();
        assert!(!reachability.others_work("a.example"));
        reachability.worked("a.example");
        reachability.worked("a.example");
        assert!(!reachability.others_work("a.example"), "its own success proves nothing");
        assert!(reachability.others_work("b.example"));
        reachability.worked("b.example");
        assert!(reachability.others_work("a.example") && reachability.others_work("b.example"));
        advance(PROOF_LASTS).await;
        assert!(!reachability.others_work("a.example"), "a minute later it proves nothing");
    }

    #[tokio::test]
    async fn this_machine_proves_nothing() {
        let reachability = Reachability::default();
        for host in ["localhost", "127.0.0.1", "127.1.2.3", "[::1]"] {
            reachability.worked(host);
        }
        assert!(!reachability.others_work("a.example"));
    }
}
