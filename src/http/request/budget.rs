//! The memory that the bodies of all requests together may take, while they arrive and while they are
//! worked on.
//!
//! Each body has a limit of its own, but many clients can each send a large one slowly. What would go
//! beyond the sum is a 503, and a client tries again. One client has half of it at most, so that it cannot
//! take the place of all others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::service::people::buckets::network;

/// All bodies together, in bytes.
const BODIES_LIMIT: usize = 64 << 20;

/// A number of bytes that many share.
#[derive(Debug)]
pub struct Budget {
    used: Mutex<Used>,
    limit: usize,
}

#[derive(Debug, Default)]
struct Used {
    all: usize,
    by_client: HashMap<IpAddr, usize>,
}

/// What one body takes of it; given back when dropped.
#[derive(Debug)]
pub struct Share {
    budget: Arc<Budget>,
    /// `None`: it came over a Unix socket that names no client.
    client: Option<IpAddr>,
    bytes: usize,
}

impl Budget {
    /// The budget of bodies.
    pub fn of_bodies() -> Arc<Budget> {
        Budget::of(BODIES_LIMIT)
    }

    /// One of another size.
    pub fn of(limit: usize) -> Arc<Budget> {
        Arc::new(Budget { used: Mutex::default(), limit })
    }

    /// A share of a client (for IPv6, of its /64), which is empty at first.
    pub fn share(self: &Arc<Budget>, client: Option<IpAddr>) -> Share {
        Share { budget: self.clone(), client: client.map(network), bytes: 0 }
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// Takes so many bytes more. `false`: they are not there.
    pub fn grow(&mut self, bytes: usize) -> bool {
        let mut used = self.budget.used();
        let all = used.all.saturating_add(bytes);
        let own = self.client.and_then(|client| used.by_client.get(&client)).copied().unwrap_or(0);
        let own = own.saturating_add(bytes);
        if all > self.budget.limit || (self.client.is_some() && own > self.budget.limit / 2) {
            return false;
        }
        used.all = all;
        if let Some(client) = self.client {
            used.by_client.insert(client, own);
        }
        drop(used);
        self.bytes += bytes;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let mut used = self.budget.used();
        used.all -= self.bytes;
        let Some(client) = self.client else { return };
        if let Some(own) = used.by_client.get_mut(&client) {
            *own -= self.bytes;
            if *own == 0 {
                used.by_client.remove(&client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_together_are_never_more_than_the_budget_and_come_back() {
        let budget = Budget::of(10);
        let (mut one, mut other) = (budget.share(None), budget.share(None));
        assert!(one.grow(6) && other.grow(4) && !one.grow(1) && !budget.share(None).grow(usize::MAX));
        drop(other);
        assert!(one.grow(4));
        drop(one);
        assert_eq!(budget.used().all, 0);
    }

    #[test]
    fn one_client_has_half_of_it_at_most() {
        let budget = Budget::of(10);
        let share = |text: &str| budget.share(Some(text.parse().unwrap()));
        let (mut one, mut same, mut other) = (share("2001:db8::1"), share("2001:db8::2"), share("192.0.2.1"));
        assert!(one.grow(3) && same.grow(2) && !same.grow(1), "one /64 is one client");
        assert!(other.grow(5) && !share("192.0.2.2").grow(1));
        drop(one);
        assert!(same.grow(3) && !other.grow(1));
        drop((same, other));
        assert!(budget.used().by_client.is_empty());
    }
}
