//! How much one client may ask for: token buckets in memory.
//!
//! A bucket holds as many tokens as its limit and fills evenly, so a client that was quiet may ask for
//! a whole minute's (or second's) worth at once. Only what is missing from a bucket is kept, in whole
//! numbers: no rounding adds up, and a full bucket needs no memory and is dropped. Nothing is written
//! down: a restart fills all buckets, which does no harm.
//!
//! Requests of a credential and of an address are counted apart, so whoever guesses at credentials
//! from an address never locks out a valid one that comes from there too.

use std::collections::HashMap;
use std::fmt::Display;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex};

use crate::domain::{Actor, Timestamp};
use crate::host::clock::Clock;

use crate::service::{Result, ServiceError};

/// The most addresses that have a bucket of their own; further ones share one.
pub(crate) const ADDRESSES_MAX: usize = 10_000;
/// Buckets that are kept before it is worth looking for full ones.
const SWEEP_FROM: usize = 1_024;
/// A minute in milliseconds.
const MINUTE_MS: u64 = 60_000;
/// A second in milliseconds.
const SECOND_MS: u64 = 1_000;

/// What is left of a limit, as the `X-RateLimit-…` headers say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Tokens of a full bucket.
    pub limit: u32,
    /// Whole tokens that are left.
    pub remaining: u32,
    /// Whole seconds until the bucket is full, rounded up.
    pub reset_secs: u64,
}

/// What happened to a wish for tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    pub quota: Quota,
    /// `None` when the tokens were there; else whole seconds, at least 1, until they are.
    pub wait_secs: Option<u64>,
}

impl Verdict {
    /// The verdict as a result.
    ///
    /// # Errors
    /// [`ServiceError::RateLimited`] when the tokens were not there.
    pub fn check(self) -> Result<()> {
        match self.wait_secs {
            None => Ok(()),
            Some(retry_after_secs) => Err(ServiceError::RateLimited { retry_after_secs }),
        }
    }
}

/// How fast a bucket fills: `limit` tokens in `period_ms`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    pub(crate) limit: u32,
    pub(crate) period_ms: u64,
}

/// What is missing from a bucket, in parts: a token has `period_ms` of them, and `limit` are added
/// each millisecond.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    missing: u64,
    at: Timestamp,
}

impl Rate {
    fn capacity(self) -> u64 {
        u64::from(self.limit) * self.period_ms
    }

    fn cost(self, n: u32) -> u64 {
        u64::from(n) * self.period_ms
    }

    /// What is missing at `now`. A clock that was set back adds nothing and takes nothing.
    fn missing(self, bucket: Option<&Bucket>, now: Timestamp) -> u64 {
        let Some(bucket) = bucket else { return 0 };
        let elapsed = u64::try_from(now.as_millis() - bucket.at.as_millis()).unwrap_or(0);
        bucket.missing.saturating_sub(elapsed.saturating_mul(u64::from(self.limit)))
    }

    fn quota(self, missing: u64) -> Quota {
        let remaining = self.capacity().saturating_sub(missing) / self.period_ms;
        let reset_ms = missing.div_ceil(u64::from(self.limit));
        Quota {
            limit: self.limit,
            remaining: u32::try_from(remaining).unwrap_or(self.limit),
            reset_secs: reset_ms.div_ceil(1_000),
        }
    }
}

/// Buckets that fill alike.
#[derive(Debug)]
pub(crate) struct Buckets<K> {
    rate: Rate,
    kept: HashMap<K, Bucket>,
    swept_at: Option<Timestamp>,
}

impl<K: Hash + Eq> Buckets<K> {
    pub(crate) fn new(rate: Rate) -> Buckets<K> {
        Buckets { rate, kept: HashMap::new(), swept_at: None }
    }

    /// Takes `n` tokens, or none when they are not there. More than a bucket holds are given when it is
    /// full, and then have to be made good.
    pub(crate) fn take(&mut self, key: K, n: u32, now: Timestamp) -> Verdict {
        self.sweep(now);
        let verdict = self.look(&key, n, now);
        if verdict.wait_secs.is_some() {
            return verdict;
        }
        let rate = self.rate;
        let missing = rate.missing(self.kept.get(&key), now) + rate.cost(n);
        self.kept.insert(key, Bucket { missing, at: now });
        Verdict { quota: rate.quota(missing), wait_secs: None }
    }

    /// Says whether `n` tokens are there, and leaves them.
    pub(crate) fn look(&self, key: &K, n: u32, now: Timestamp) -> Verdict {
        let rate = self.rate;
        let missing = rate.missing(self.kept.get(key), now);
        let over = (missing + rate.cost(n).min(rate.capacity())).saturating_sub(rate.capacity());
        let wait_ms = over.div_ceil(u64::from(rate.limit));
        let wait_secs = (over > 0).then(|| wait_ms.div_ceil(1_000));
        Verdict { quota: rate.quota(missing), wait_secs }
    }

    /// Puts tokens back that were taken.
    pub(crate) fn give_back(&mut self, key: &K, n: u32, now: Timestamp) {
        let rate = self.rate;
        if let Some(bucket) = self.kept.get_mut(key) {
            let missing = rate.missing(Some(bucket), now).saturating_sub(rate.cost(n));
            *bucket = Bucket { missing, at: now };
        }
    }

    /// How many buckets are kept.
    pub(crate) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether there is a bucket of this key.
    pub(crate) fn contains(&self, key: &K) -> bool {
        self.kept.contains_key(key)
    }

    /// Drops full buckets: once in a period, since by then most are.
    fn sweep(&mut self, now: Timestamp) {
        let rate = self.rate;
        let period = rate.period_ms.cast_signed();
        let lately = self.swept_at.is_some_and(|t| (0..period).contains(&(now.as_millis() - t.as_millis())));
        if lately || self.kept.len() < SWEEP_FROM {
            return;
        }
        self.kept.retain(|_, bucket| rate.missing(Some(bucket), now) > 0);
        self.swept_at = Some(now);
    }
}

/// All limits.
pub struct Limits {
    clock: Arc<dyn Clock>,
    requests: Option<Mutex<Buckets<String>>>,
    events: Option<Mutex<Buckets<String>>>,
    /// By network; `None` is the bucket of those for whom there is no room.
    addresses: Option<Mutex<Buckets<Option<IpAddr>>>>,
}

impl Limits {
    /// `requests_per_minute` and `events_per_second` are the configured limits; 0 = none.
    pub fn new(clock: Arc<dyn Clock>, requests_per_minute: u32, events_per_second: u32) -> Limits {
        let rate = |limit, period_ms| (limit > 0).then_some(Rate { limit, period_ms });
        let requests = rate(requests_per_minute, MINUTE_MS);
        Limits {
            clock,
            requests: requests.map(|rate| Mutex::new(Buckets::new(rate))),
            events: rate(events_per_second, SECOND_MS).map(|rate| Mutex::new(Buckets::new(rate))),
            addresses: requests.map(|rate| Mutex::new(Buckets::new(rate))),
        }
    }

    /// Counts a request of a credential, which has this name. `None`: there is no limit.
    pub fn request(&self, credential: &dyn Display) -> Option<Verdict> {
        take(self.requests.as_ref(), credential.to_string(), 1, self.clock.now())
    }

    /// Counts `n` posted events of a credential. `None`: there is no limit.
    pub fn events(&self, actor: &Actor, n: u32) -> Option<Verdict> {
        take(self.events.as_ref(), actor.to_string(), n, self.clock.now())
    }

    /// Says whether a credential may post an event, before its body is read; counts nothing. `None`:
    /// there is no limit.
    pub fn may_post(&self, actor: &Actor) -> Option<Verdict> {
        let buckets = self.events.as_ref()?.lock().expect("no panic happens while this is held");
        Some(buckets.look(&actor.to_string(), 1, self.clock.now()))
    }

    /// Counts a request without a valid credential. `None`: there is no limit.
    pub fn stranger(&self, address: IpAddr) -> Option<Verdict> {
        let mut buckets = self.addresses.as_ref()?.lock().expect("no panic happens while this is held");
        let key = Some(network(address));
        let has_room = buckets.kept.len() < ADDRESSES_MAX || buckets.kept.contains_key(&key);
        Some(buckets.take(key.filter(|_| has_room), 1, self.clock.now()))
    }
}

fn take(buckets: Option<&Mutex<Buckets<String>>>, key: String, n: u32, now: Timestamp) -> Option<Verdict> {
    Some(buckets?.lock().expect("no panic happens while this is held").take(key, n, now))
}

/// What one client of the network has: an IPv4 address, or 64 bits of an IPv6 one.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::clock::FakeClock;
    use proptest::prelude::*;

    fn limits(requests: u32, events: u32) -> (Arc<FakeClock>, Limits) {
        let clock = Arc::new(FakeClock::new(Timestamp::from_millis(1_700_000_000_000)));
        (clock.clone(), Limits::new(clock, requests, events))
    }

    fn key() -> Actor {
        Actor::Key("a".into())
    }

    #[test]
    fn a_full_bucket_gives_its_limit_at_once_and_then_fills_evenly() {
        let (clock, limits) = limits(4, 0);
        for left in [3, 2, 1, 0] {
            let verdict = limits.request(&key()).unwrap();
            let reset_secs = u64::from(4 - left) * 15;
            assert_eq!(
                verdict,
                Verdict { quota: Quota { limit: 4, remaining: left, reset_secs }, wait_secs: None }
            );
        }
        assert_eq!(limits.request(&key()).unwrap().wait_secs, Some(15));
        clock.advance_ms(14_999);
        assert_eq!(limits.request(&key()).unwrap().wait_secs, Some(1), "rounded up, never 0");
        clock.advance_ms(1);
        assert_eq!(limits.request(&key()).unwrap().wait_secs, None);
        assert_eq!(limits.request(&Actor::Key("b".into())).unwrap().quota.remaining, 3, "each has its own");
    }

    #[test]
    fn zero_is_no_limit() {
        let (_, limits) = limits(0, 0);
        let address = IpAddr::from([192, 0, 2, 1]);
        assert!(limits.request(&key()).is_none() && limits.events(&key(), 9).is_none());
        assert!(limits.stranger(address).is_none() && limits.may_post(&key()).is_none());
    }

    #[test]
    fn a_batch_larger_than_the_bucket_passes_when_it_is_full_and_is_made_good() {
        let (clock, limits) = limits(0, 10);
        let posted = limits.events(&key(), 50).unwrap();
        assert_eq!(
            posted,
            Verdict { quota: Quota { limit: 10, remaining: 0, reset_secs: 5 }, wait_secs: None }
        );
        assert_eq!(limits.may_post(&key()).unwrap().wait_secs, Some(5), "4.1 s until there is one");
        assert_eq!(limits.events(&key(), 50).unwrap().wait_secs, Some(5));
        clock.advance_ms(4_900);
        assert_eq!(limits.events(&key(), 50).unwrap().wait_secs, Some(1), "not full yet");
        assert_eq!(limits.may_post(&key()).unwrap().wait_secs, None);
        clock.advance_ms(100);
        assert_eq!(limits.events(&key(), 50).unwrap().wait_secs, None);
    }

    #[test]
    fn addresses_are_counted_by_network() {
        let (_, limits) = limits(2, 0);
        let stranger = |text: &str| limits.stranger(text.parse().unwrap()).unwrap().wait_secs.is_none();
        assert!(stranger("192.0.2.1") && stranger("::ffff:192.0.2.1") && !stranger("192.0.2.1"));
        assert!(stranger("192.0.2.2"));
        assert!(stranger("2001:db8::1") && stranger("2001:db8::2:0:0:1") && !stranger("2001:db8::3"));
        assert!(stranger("2001:db8:0:1::1"));
    }

    #[test]
    fn full_buckets_are_dropped_and_a_crowd_shares_one() {
        let (clock, limits) = limits(1, 0);
        let kept = || limits.addresses.as_ref().unwrap().lock().unwrap().kept.len();
        let stranger = |i: u32| limits.stranger(IpAddr::from(i.to_be_bytes())).unwrap().wait_secs.is_none();
        assert!((0..ADDRESSES_MAX as u32).all(stranger));
        assert!(stranger(1_000_000) && !stranger(1_000_001), "there is one for all that come later");
        assert_eq!(kept(), ADDRESSES_MAX + 1);
        assert!(!stranger(0), "those who have one keep it");
        clock.advance_ms(60_000);
        assert!(stranger(1_000_001));
        assert_eq!(kept(), 1);
    }

    #[test]
    fn a_clock_that_is_set_back_neither_gives_nor_takes() {
        let (clock, limits) = limits(2, 0);
        limits.request(&key());
        clock.advance_ms(-3_600_000);
        assert_eq!(limits.request(&key()).unwrap().wait_secs, None);
        assert_eq!(limits.request(&key()).unwrap().wait_secs, Some(30));
    }

    proptest! {
        #[test]
        fn nobody_gets_more_than_a_bucket_and_what_has_flowed_since(
            limit in 1u32..100,
            steps in proptest::collection::vec(0i64..3_000, 1..200),
        ) {
            let (clock, limits) = limits(limit, 0);
            let (mut taken, mut elapsed) = (0u64, 0u64);
            for step in steps {
                clock.advance_ms(step);
                elapsed += step.unsigned_abs();
                let verdict = limits.request(&key()).unwrap();
                taken += u64::from(verdict.wait_secs.is_none());
                prop_assert!(taken <= u64::from(limit) + elapsed * u64::from(limit) / MINUTE_MS);
                prop_assert!(verdict.quota.remaining <= limit && verdict.wait_secs != Some(0));
            }
        }
    }
}
