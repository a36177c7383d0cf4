//! The memory that the bodies of all requests together may take, while they arrive and while they are
//! worked on.
//!
//! Each body has a limit of its own, but many clients can each send a large one slowly. What would go
//! beyond the sum is a 503, and a client tries again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// All bodies together, in bytes.
const BODIES_LIMIT: usize = 64 << 20;

/// A number of bytes that many share.
#[derive(Debug)]
pub struct Budget {
    used: AtomicUsize,
    limit: usize,
}

/// What one body takes of it; given back when dropped.
#[derive(Debug)]
pub struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    /// The budget of bodies.
    pub fn of_bodies() -> Arc<Budget> {
        Budget::of(BODIES_LIMIT)
    }

    /// One of another size.
    pub fn of(limit: usize) -> Arc<Budget> {
        Arc::new(Budget { used: AtomicUsize::new(0), limit })
    }

    /// A share, which is empty at first.
    pub fn share(self: &Arc<Budget>) -> Share {
        Share { budget: self.clone(), bytes: 0 }
    }
}

impl Share {
    /// Takes so many bytes more. `false`: they are not there.
    pub fn grow(&mut self, bytes: usize) -> bool {
        let before = self.budget.used.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > self.budget.limit {
            self.budget.used.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        self.bytes += bytes;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_together_are_never_more_than_the_budget_and_come_back() {
        let budget = Budget::of(10);
        let (mut one, mut other) = (budget.share(), budget.share());
        assert!(one.grow(6) && other.grow(4) && !one.grow(1) && !budget.share().grow(usize::MAX));
        drop(other);
        assert!(one.grow(4));
        drop(one);
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }
}
