//! Response times in buckets, so that percentiles come from a handful of counts and not from rows.
//!
//! Buckets are one millisecond wide up to 32 ms; above, each doubling is cut into 16 equal parts, so a
//! value is known to within 1/16 (6.25 %) of itself. Counts of the same bucket can be added up over
//! endpoints and hours. The numbering is stored and must not change.

/// The number of a bucket.
pub type Bucket = u16;

const LINEAR: u64 = 32;
const PARTS: u64 = 16;

/// The bucket that holds a response time of `ms`.
pub fn bucket_of(ms: u64) -> Bucket {
    if ms < LINEAR {
        return ms as Bucket;
    }
    let octave = u64::from(ms.ilog2()) - 5;
    let part = (ms >> (octave + 1)) - PARTS;
    (LINEAR + octave * PARTS + part) as Bucket
}

/// The smallest response time in a bucket, and the first above it, in ms.
pub fn bounds(bucket: Bucket) -> (u64, u64) {
    let b = u64::from(bucket);
    if b < LINEAR {
        return (b, b + 1);
    }
    let octave = ((b - LINEAR) / PARTS).min(57);
    let part = (b - LINEAR) % PARTS;
    let width = 1u64 << (octave + 1);
    let low = (PARTS + part) * width;
    (low, low.saturating_add(width))
}

/// The response time below or at which the share `q` (0.0 to 1.0) of all lie, in ms: the middle of the
/// bucket in which that share is reached. `counts` is in ascending order of buckets. `None` when empty.
pub fn quantile(counts: &[(Bucket, u64)], q: f64) -> Option<u64> {
    let total: u64 = counts.iter().map(|(_, n)| n).sum();
    if total == 0 {
        return None;
    }
    let rank = ((q * total as f64).ceil() as u64).clamp(1, total);
    let mut seen = 0;
    for (bucket, n) in counts {
        seen += n;
        if seen >= rank {
            let (low, high) = bounds(*bucket);
            return Some(low + (high - 1 - low) / 2);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn buckets_adjoin() {
        for b in 0..600 {
            assert_eq!(bounds(b).1, bounds(b + 1).0, "{b}");
            assert_eq!((bucket_of(bounds(b).0), bucket_of(bounds(b).1 - 1)), (b, b));
        }
    }

    #[test]
    fn nothing_has_no_quantile() {
        assert_eq!(quantile(&[], 0.5), None);
    }

    proptest! {
        #[test]
        fn every_time_has_a_bucket_that_holds_it(ms in 0u64..1 << 40) {
            let (low, high) = bounds(bucket_of(ms));
            prop_assert!(low <= ms && ms < high);
            prop_assert!(high - low <= (ms / 16).max(1));
        }

        #[test]
        fn a_quantile_is_within_a_sixteenth_of_the_exact_one(mut times in proptest::collection::vec(0u64..100_000, 1..200), q in 0.0f64..=1.0) {
            times.sort_unstable();
            let mut counts = std::collections::BTreeMap::new();
            for t in &times {
                *counts.entry(bucket_of(*t)).or_insert(0u64) += 1;
            }
            let counts: Vec<_> = counts.into_iter().collect();
            let rank = ((q * times.len() as f64).ceil() as usize).clamp(1, times.len());
            let exact = times[rank - 1];
            let got = quantile(&counts, q).unwrap();
            prop_assert!(got.abs_diff(exact) <= exact / 16 + 1, "{} for {}", got, exact);
        }
    }
}
