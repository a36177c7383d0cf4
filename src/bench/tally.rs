//! The times at which each event was posted, accepted and first delivered to each webhook. It is written for
//! every request, so it has no locks.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::arrivals::Arrivals;

/// Interval between checks for completion.
const POLL: Duration = Duration::from_millis(100);

/// The times of one run, in nanoseconds since its start; 0 = not yet.
#[derive(Debug)]
pub(super) struct Tally {
    begun: Instant,
    endpoints: usize,
    posted: Vec<AtomicU64>,
    accepted: Vec<AtomicU64>,
    /// For each event, its endpoints.
    arrived: Vec<AtomicU64>,
    accepted_count: AtomicUsize,
    arrived_count: AtomicUsize,
    duplicates: AtomicUsize,
    last_arrival: AtomicU64,
    all_arrived: Notify,
}

fn zeros(n: usize) -> Vec<AtomicU64> {
    (0..n).map(|_| AtomicU64::new(0)).collect()
}

impl Tally {
    pub(super) fn new(events: usize, endpoints: usize) -> Tally {
        Tally {
            begun: Instant::now(),
            endpoints,
            posted: zeros(events),
            accepted: zeros(events),
            arrived: zeros(events * endpoints),
            accepted_count: AtomicUsize::new(0),
            arrived_count: AtomicUsize::new(0),
            duplicates: AtomicUsize::new(0),
            last_arrival: AtomicU64::new(0),
            all_arrived: Notify::new(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1)
    }

    pub(super) fn events(&self) -> usize {
        self.posted.len()
    }

    pub(super) fn post(&self, event: usize) {
        self.posted[event].store(self.now(), Ordering::Relaxed);
    }

    pub(super) fn accept(&self, event: usize) {
        self.accepted[event].store(self.now(), Ordering::Relaxed);
        self.accepted_count.fetch_add(1, Ordering::Relaxed);
    }

    /// Records an arrival. One of another run is ignored.
    fn record(&self, event: usize, endpoint: usize) {
        if event >= self.events() || endpoint >= self.endpoints {
            return;
        }
        let (now, place) = (self.now(), &self.arrived[event * self.endpoints + endpoint]);
        if place.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            self.duplicates.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.last_arrival.fetch_max(now, Ordering::Relaxed);
        if self.arrived_count.fetch_add(1, Ordering::Relaxed) + 1 == self.arrived.len() {
            self.all_arrived.notify_one();
        }
    }

    pub(super) fn accepted(&self) -> usize {
        self.accepted_count.load(Ordering::Relaxed)
    }

    /// First arrivals.
    pub(super) fn arrived(&self) -> usize {
        self.arrived_count.load(Ordering::Relaxed)
    }

    /// Expected first arrivals.
    pub(super) fn expected(&self) -> usize {
        self.arrived.len()
    }

    /// Arrivals after the first.
    pub(super) fn duplicates(&self) -> usize {
        self.duplicates.load(Ordering::Relaxed)
    }

    /// Waits until everything accepted has arrived, or until nothing has arrived for `patience`.
    pub(super) async fn wait(&self, patience: Duration) {
        let (mut seen, mut since) = (self.arrived(), Instant::now());
        while self.arrived() < self.accepted() * self.endpoints && since.elapsed() < patience {
            let _ = tokio::time::timeout(POLL, self.all_arrived.notified()).await;
            if self.arrived() != seen {
                (seen, since) = (self.arrived(), Instant::now());
            }
        }
    }

    /// From the first post to the last arrival.
    pub(super) fn seconds(&self) -> f64 {
        let first = self.posted.iter().map(|t| t.load(Ordering::Relaxed)).filter(|t| *t > 0).min();
        let last = self.last_arrival.load(Ordering::Relaxed);
        last.saturating_sub(first.unwrap_or(0)) as f64 / 1e9
    }

    /// From post to 202 of accepted events, in ms, ascending.
    pub(super) fn until_accepted(&self) -> Vec<f64> {
        let pairs = self.posted.iter().zip(&self.accepted);
        lengths(pairs.map(|(from, to)| (from.load(Ordering::Relaxed), to.load(Ordering::Relaxed))))
    }

    /// From post to first arrival, in ms, ascending.
    pub(super) fn until_arrived(&self) -> Vec<f64> {
        let places = self.arrived.iter().enumerate();
        lengths(places.map(|(i, to)| {
            (self.posted[i / self.endpoints].load(Ordering::Relaxed), to.load(Ordering::Relaxed))
        }))
    }
}

impl Arrivals for Tally {
    fn arrive(&self, event: usize, endpoint: usize) {
        self.record(event, endpoint);
    }
}

fn lengths(pairs: impl Iterator<Item = (u64, u64)>) -> Vec<f64> {
    let mut found: Vec<f64> =
        pairs.filter(|(_, to)| *to > 0).map(|(from, to)| to.saturating_sub(from) as f64 / 1e6).collect();
    found.sort_by(f64::total_cmp);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn first_arrivals_count_and_later_ones_are_duplicates() {
        let tally = Tally::new(2, 2);
        tally.post(0);
        tokio::time::advance(Duration::from_millis(3)).await;
        tally.accept(0);
        tokio::time::advance(Duration::from_millis(4)).await;
        tally.arrive(0, 1);
        tally.arrive(0, 1);
        tally.arrive(7, 0);
        tally.arrive(0, 2);
        assert_eq!((tally.accepted(), tally.arrived(), tally.duplicates()), (1, 1, 1));
        assert_eq!((tally.until_accepted().len(), tally.until_arrived().len()), (1, 1));
        assert!((tally.until_accepted()[0] - 3.0).abs() < 0.01, "{:?}", tally.until_accepted());
        assert!((tally.until_arrived()[0] - 7.0).abs() < 0.01, "{:?}", tally.until_arrived());
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_ends_when_nothing_arrives() {
        let tally = Tally::new(1, 1);
        tally.post(0);
        tally.accept(0);
        tally.wait(Duration::from_secs(20)).await;
        assert_eq!(tally.arrived(), 0);
    }
}
