//! What is counted while the program runs, for [`crate::metrics`] to show.
//!
//! Whoever does something holds the meters of it and bumps them on its way: a few atomic additions, no
//! lock, no allocation, because this happens for every attempt and every commit. (The library's own
//! histogram takes a lock; hence [`Histogram`].) Names, help texts and labels are no matter of the
//! layers that count; they are in [`crate::metrics`].

use std::sync::atomic::{AtomicU64, Ordering};

pub use prometheus_client::metrics::counter::Counter;
pub use prometheus_client::metrics::gauge::Gauge;

/// A distribution of whole numbers, counted in fixed buckets.
#[derive(Debug)]
pub struct Histogram {
    /// Upper bounds, ascending and inclusive; above the last there is one more bucket.
    bounds: &'static [u64],
    /// How many of the observed numbers make one of the unit that is shown: 1,000 for milliseconds that
    /// are shown as seconds.
    per_unit: u32,
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// A histogram at one moment, in the unit that is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution {
    pub sum: f64,
    pub count: u64,
    /// Upper bound and how many lie in the bucket; the last bound is the largest number there is.
    pub buckets: Vec<(f64, u64)>,
}

impl Histogram {
    /// An empty one. `bounds` ascend; `per_unit` is at least 1.
    pub fn new(bounds: &'static [u64], per_unit: u32) -> Histogram {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Histogram { bounds, per_unit: per_unit.max(1), counts, sum: AtomicU64::new(0) }
    }

    /// Counts one number.
    pub fn observe(&self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// The sum of the numbers observed until now, as they were observed.
    pub fn sum(&self) -> u64 {
        self.sum.load(Ordering::Relaxed)
    }

    /// What has been counted until now.
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
    fn a_number_lies_in_the_first_bucket_that_is_not_below_it() {
        let histogram = Histogram::new(&[1, 10, 100], 10);
        for value in [0, 1, 2, 10, 11, 100, 101, 5_000] {
            histogram.observe(value);
        }
        let read = histogram.read();
        assert_eq!(read.buckets, [(0.1, 2), (1.0, 2), (10.0, 2), (f64::MAX, 2)]);
        assert_eq!((read.sum, read.count), (522.5, 8));
    }
}
