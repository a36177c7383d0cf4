//! Counters of the running program, shown by [`crate::metrics`].
//!
//! Each part owns its meters and updates them with a few atomic additions: no lock and no allocation,
//! because this happens for every attempt and every commit. (The library's histogram takes a lock; hence
//! [`Histogram`].) Names, help texts and labels are in [`crate::metrics`], not in the parts that count.

use std::sync::atomic::{AtomicU64, Ordering};

pub use prometheus_client::metrics::counter::Counter;
pub use prometheus_client::metrics::gauge::Gauge;

/// A distribution of whole numbers, counted in fixed buckets.
#[derive(Debug)]
pub struct Histogram {
    /// Upper bounds, ascending and inclusive; above the last there is one more bucket.
    bounds: &'static [u64],
    /// Observed units per displayed unit: 1,000 for milliseconds displayed as seconds.
    per_unit: u32,
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// A histogram at one moment, in the displayed unit.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution {
    pub sum: f64,
    pub count: u64,
    /// Upper bound and count of each bucket; the last bound is `f64::MAX`.
    pub buckets: Vec<(f64, u64)>,
}

impl Histogram {
    /// An empty one. `bounds` ascend; `per_unit` is at least 1.
    pub fn new(bounds: &'static [u64], per_unit: u32) -> Histogram {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Histogram { bounds, per_unit: per_unit.max(1), counts, sum: AtomicU64::new(0) }
    }

    /// Counts one value.
    pub fn observe(&self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// The sum of all values so far, in observed units.
    pub fn sum(&self) -> u64 {
        self.sum.load(Ordering::Relaxed)
    }

    /// The counts so far.
    pub fn read(&self) -> Distribution {
        let unit = f64::from(self.per_unit);
        let bounds = self.bounds.iter().map(|bound| *bound as f64 / unit).chain([f64::MAX]);
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        Distribution {
            sum: self.sum.load(Ordering::Relaxed) as f64 / unit,
            count: buckets.iter().map(|(_, count)| count).sum(),
            buckets,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_counted_in_the_first_bucket_that_contains_it() {
        let histogram = Histogram::new(&[1, 10, 100], 10);
        for value in [0, 1, 2, 10, 11, 100, 101, 5_000] {
            histogram.observe(value);
        }
        let read = histogram.read();
        assert_eq!(read.buckets, [(0.1, 2), (1.0, 2), (10.0, 2), (f64::MAX, 2)]);
        assert_eq!((read.sum, read.count), (522.5, 8));
    }
}
