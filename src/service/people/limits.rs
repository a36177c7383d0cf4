//! Rate limits: how much one client may ask for.
//!
//! Requests of a credential and of an address are counted apart, so guessing at credentials
//! from an address never locks out a valid one that comes from there, too.
//!
//! Several nodes tell each other once a second what was taken of the limits of credentials ([`SharedUse`]). So all
//! together they give no less than the limit, and at most what one second allows more.

use std::collections::HashMap;
use std::fmt::Display;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::cluster::SharedUse;
use crate::domain::Actor;
use crate::host::clock::Clock;
use crate::service::people::buckets::{Buckets, Networks, Rate, RateVerdict};

/// A minute in milliseconds.
const MINUTE_MS: u64 = 60_000;
/// A second in milliseconds.
const SECOND_MS: u64 = 1_000;
/// The most credentials that are counted, far more than there are.
const CREDENTIALS_MAX: usize = 1 << 20;

/// All limits.
pub struct Limits {
    clock: Arc<dyn Clock>,
    requests: Option<Mutex<Buckets<String>>>,
    events: Option<Mutex<Buckets<String>>>,
    addresses: Option<Mutex<Networks>>,
    /// What was taken here that others do not know yet; only where there may be others.
    untold: OnceLock<Mutex<HashMap<String, u64>>>,
}

/// What the names of limits begin with, as nodes tell them each other.
const REQUESTS: &str = "requests ";
const EVENTS: &str = "events ";

impl Limits {
    /// `requests_per_minute` and `events_per_second` are the configured limits; 0 = none.
    pub fn new(clock: Arc<dyn Clock>, requests_per_minute: u32, events_per_second: u32) -> Limits {
        let rate = |limit, period_ms| (limit > 0).then_some(Rate { limit, period_ms });
        let requests = rate(requests_per_minute, MINUTE_MS);
        Limits {
            clock,
            requests: requests.map(|rate| Mutex::new(Buckets::new(rate, CREDENTIALS_MAX))),
            events: rate(events_per_second, SECOND_MS)
                .map(|rate| Mutex::new(Buckets::new(rate, CREDENTIALS_MAX))),
            addresses: requests.map(|rate| Mutex::new(Networks::new(rate))),
            untold: OnceLock::new(),
        }
    }

    /// From now on it is noted what others have to know.
    pub fn share(&self) {
        self.untold.get_or_init(Mutex::default);
    }

    /// Takes tokens, and notes it for the others.
    fn take(
        &self,
        of: &str,
        buckets: Option<&Mutex<Buckets<String>>>,
        key: String,
        n: u32,
    ) -> Option<RateVerdict> {
        let mut buckets = buckets?.lock().expect("no panic happens while this is held");
        let name = self.untold.get().map(|untold| (untold, format!("{of}{key}")));
        let verdict = buckets.take(key, n, self.clock.now());
        drop(buckets);
        if let Some((untold, name)) = name.filter(|_| verdict.wait_secs.is_none() && n > 0) {
            *untold.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default() += u64::from(n);
        }
        Some(verdict)
    }

    /// Counts a request of a credential, which has this name. `None`: there is no limit.
    pub fn request(&self, credential: &dyn Display) -> Option<RateVerdict> {
        self.take(REQUESTS, self.requests.as_ref(), credential.to_string(), 1)
    }

    /// Counts `n` posted events of a credential. `None`: there is no limit.
    pub fn events(&self, actor: &Actor, n: u32) -> Option<RateVerdict> {
        self.take(EVENTS, self.events.as_ref(), actor.to_string(), n)
    }

    /// Says whether a credential may post an event, before its body is read; counts nothing. `None`:
    /// there is no limit.
    pub fn may_post(&self, actor: &Actor) -> Option<RateVerdict> {
        let buckets = self.events.as_ref()?.lock().expect("no panic happens while this is held");
        Some(buckets.check(&actor.to_string(), 1, self.clock.now()))
    }

    /// Counts a request without a valid credential. `None`: there is no limit.
    pub fn stranger(&self, address: IpAddr) -> Option<RateVerdict> {
        let mut networks = self.addresses.as_ref()?.lock().expect("no panic happens while this is held");
        Some(networks.take(address, self.clock.now()))
    }
}

impl SharedUse for Limits {
    fn take_used(&self) -> Vec<(String, u64)> {
        let Some(untold) = self.untold.get() else { return Vec::new() };
        std::mem::take(&mut *untold.lock().unwrap_or_else(PoisonError::into_inner)).into_iter().collect()
    }

    fn used_elsewhere(&self, name: &str, count: u64) {
        let known = [(REQUESTS, &self.requests), (EVENTS, &self.events)];
        let found =
            known.into_iter().find_map(|(of, buckets)| Some((name.strip_prefix(of)?, buckets.as_ref()?)));
        if let Some((key, buckets)) = found {
            let mut buckets = buckets.lock().expect("no panic happens while this is held");
            buckets.taken_elsewhere(key.to_owned(), count.min(u32::MAX.into()), self.clock.now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;
    use crate::host::clock::FakeClock;
    use crate::service::people::buckets::{Quota, STRANGERS_MAX};
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
                RateVerdict { quota: Quota { limit: 4, remaining: left, reset_secs }, wait_secs: None }
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
            RateVerdict { quota: Quota { limit: 10, remaining: 0, reset_secs: 5 }, wait_secs: None }
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
    fn a_crowd_of_addresses_shares_nothing_and_takes_bounded_memory() {
        let (clock, limits) = limits(1, 0);
        let kept = || limits.addresses.as_ref().unwrap().lock().unwrap().len();
        let stranger = |i: u32| limits.stranger(IpAddr::from(i.to_be_bytes())).unwrap().wait_secs.is_none();
        assert!((0..3 * STRANGERS_MAX as u32).all(stranger), "each has its own");
        assert!(kept() <= STRANGERS_MAX);
        assert!(!stranger(3 * STRANGERS_MAX as u32 - 1), "the newest are not forgotten");
        clock.advance_ms(60_000);
        assert!(stranger(1_000_001));
        assert_eq!(kept(), 1, "full buckets are dropped");
    }

    #[test]
    fn many_addresses_of_one_ipv6_network_gain_little() {
        let (_, limits) = limits(5, 0);
        let stranger = |text: String| limits.stranger(text.parse().unwrap()).unwrap().wait_secs.is_none();
        let of_56 = (0..256).filter(|i| stranger(format!("2001:db8:0:{i:x}::1"))).count();
        assert_eq!(of_56, 20, "4 times as much as one client");
        let of_48 = (1..256).filter(|i| stranger(format!("2001:db8:0:{i:x}00::1"))).count();
        assert_eq!(of_56 + of_48, 80, "16 times as much as one client");
        assert!(stranger("2001:db8:1::1".to_owned()), "a neighbor has its own");
    }

    #[test]
    fn a_clock_that_is_set_back_neither_gives_nor_takes() {
        let (clock, limits) = limits(2, 0);
        limits.request(&key());
        clock.advance_ms(-3_600_000);
        assert_eq!(limits.request(&key()).unwrap().wait_secs, None);
        assert_eq!(limits.request(&key()).unwrap().wait_secs, Some(30));
    }

    /// Two nodes, each with its limits, that tell each other.
    struct Two {
        clock: Arc<FakeClock>,
        nodes: [Limits; 2],
    }

    impl Two {
        fn new(requests: u32, events: u32) -> Two {
            let (clock, one) = limits(requests, events);
            let two = Two { nodes: [one, Limits::new(clock.clone(), requests, events)], clock };
            two.nodes.iter().for_each(Limits::share);
            two
        }

        fn tell(&self) {
            let [one, other] = &self.nodes;
            let (of_one, of_other) = (one.take_used(), other.take_used());
            of_one.iter().for_each(|(name, count)| other.used_elsewhere(name, *count));
            of_other.iter().for_each(|(name, count)| one.used_elsewhere(name, *count));
        }

        fn request(&self, node: usize) -> bool {
            self.nodes[node].request(&key()).unwrap().wait_secs.is_none()
        }
    }

    #[test]
    fn two_nodes_give_together_what_one_would_and_at_most_a_second_more() {
        let two = Two::new(600, 100);
        for second in 0..60 {
            // Ten a second, which is the limit, on whichever node.
            for n in 0..10 {
                assert!(two.request((second + n) % 2), "second {second}: never below the limit");
                two.clock.advance_ms(100);
            }
            two.tell();
        }
        let mut given = 0;
        for _ in 0..60 {
            given += (0..400).filter(|n| two.request(n % 2)).count();
            two.tell();
            two.clock.advance_ms(1_000);
        }
        // The bucket and what flows in a minute: what one second gave too much is missing later.
        assert!((1_150..=1_250).contains(&given), "{given}");
        let of_events = |node: usize| two.nodes[node].events(&key(), 100).unwrap().wait_secs.is_none();
        let given = (0..20).filter(|second| {
            let passed = of_events(second % 2);
            two.tell();
            two.clock.advance_ms(1_000);
            passed
        });
        assert_eq!(given.count(), 20, "100 a second are the limit");
        assert!(two.nodes[0].take_used().is_empty(), "everything was told");
    }

    #[test]
    fn a_node_that_is_alone_notes_nothing_for_others() {
        let (_, limits) = limits(10, 10);
        limits.request(&key());
        assert!(limits.untold.get().is_none() && limits.take_used().is_empty());
        limits.used_elsewhere("something new", 7);
        limits.used_elsewhere("requests key:b", u64::MAX);
        assert!(limits.request(&Actor::Key("b".into())).unwrap().wait_secs.is_some());
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
