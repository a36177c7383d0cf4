//! Limits of tests in flight.
//!
//! A test is one request outside the queue, sent at once by the node that was asked, so the slots of the
//! scheduler do not apply to it. Without limits of its own, anybody who may request tests could keep any
//! number of connections, tasks and payloads at a receiver that hangs.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Tests in flight to one target.
const PER_TARGET: usize = 2;
/// Tests in flight in total.
const TOTAL: usize = 20;

/// Counts tests in flight, by target.
#[derive(Debug)]
pub struct TestSlots<K: Eq + Hash>(Arc<Mutex<HashMap<K, usize>>>);

/// A test in flight, until it is dropped.
#[derive(Debug)]
pub struct TestSlot<K: Eq + Hash> {
    target: K,
    slots: Arc<Mutex<HashMap<K, usize>>>,
}

impl<K: Eq + Hash> Default for TestSlots<K> {
    fn default() -> TestSlots<K> {
        TestSlots(Arc::default())
    }
}

impl<K: Eq + Hash + Copy> TestSlots<K> {
    /// A slot for one more test to this target; `None` if too many are in flight.
    pub fn take(&self, target: K) -> Option<TestSlot<K>> {
        let mut in_flight = lock(&self.0);
        if in_flight.values().sum::<usize>() >= TOTAL {
            return None;
        }
        let to_target = in_flight.entry(target).or_default();
        if *to_target >= PER_TARGET {
            return None;
        }
        *to_target += 1;
        Some(TestSlot { target, slots: self.0.clone() })
    }
}

impl<K: Eq + Hash> Drop for TestSlot<K> {
    fn drop(&mut self) {
        let mut in_flight = lock(&self.slots);
        if let Some(to_target) = in_flight.get_mut(&self.target) {
            *to_target -= 1;
        }
        in_flight.retain(|_, to_target| *to_target > 0);
    }
}

fn lock<K>(slots: &Mutex<HashMap<K, usize>>) -> MutexGuard<'_, HashMap<K, usize>> {
    // Nothing in between can panic.
    slots.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_target_gets_two_slots_until_one_is_dropped() {
        let slots = TestSlots::default();
        let (first, _second) = (slots.take('a').unwrap(), slots.take('a').unwrap());
        assert!(slots.take('a').is_none());
        assert!(slots.take('b').is_some());
        drop(first);
        assert!(slots.take('a').is_some());
    }

    #[test]
    fn all_targets_share_twenty_slots_and_leave_nothing_behind() {
        let slots = TestSlots::default();
        let taken: Vec<_> = (0..TOTAL).map(|target| slots.take(target).unwrap()).collect();
        assert!(slots.take(TOTAL).is_none());
        drop(taken);
        assert!(lock(&slots.0).is_empty());
    }
}
