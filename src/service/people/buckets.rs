//! Token buckets in memory.
//!
//! A bucket holds as many tokens as its limit and fills evenly, so a client that was quiet may ask for
//! a whole minute's (or second's) worth at once. Only what is missing from a bucket is kept, in whole
//! numbers: no rounding adds up, and a full bucket needs no memory and is dropped. Nothing is written
//! down: a restart fills all buckets, which does no harm.
//!
//! Who has many addresses must not gain by it ([`Networks`]), and must not push others into a bucket that
//! they share: when there are too many buckets, those that were not used for longest are forgotten
//! ([`Recent`]).

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};

use crate::domain::Timestamp;
use crate::service::{Result, ServiceError};
use crate::store::SignInLevel;

/// The most entries that strangers can cause, of a kind.
pub(crate) const STRANGERS_MAX: usize = 10_000;
/// Buckets that are kept before it is worth looking for full ones.
const SWEEP_FROM: usize = 1_024;

/// How late a node knows what others have taken, in milliseconds.
const SHARED_WITHIN_MS: u64 = 1_000;

/// A map of bounded size, which forgets what was not set for longest: when its young half is full, the old
/// one goes.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    half: usize,
}

impl<K: Hash + Eq, V> Recent<K, V> {
    /// At most `max` entries.
    pub(crate) fn new(max: usize) -> Recent<K, V> {
        Recent { young: HashMap::new(), old: HashMap::new(), half: (max / 2).max(1) }
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    pub(crate) fn set(&mut self, key: K, value: V) {
        self.old.remove(&key);
        if self.young.len() >= self.half && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    pub(crate) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    fn retain(&mut self, keep: impl Fn(&V) -> bool) {
        self.young.retain(|_, value| keep(value));
        self.old.retain(|_, value| keep(value));
    }
}

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

/// The result of asking for tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateVerdict {
    pub quota: Quota,
    /// `None` when the tokens were there; else whole seconds, at least 1, until they are.
    pub wait_secs: Option<u64>,
}

impl RateVerdict {
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
    /// Whether other nodes have taken from it, too, since it was full.
    is_shared: bool,
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

    /// What may be missing beyond the capacity, because what others have taken is known a second later: they took it
    /// when more may have been there than is now.
    fn grace(self, bucket: Option<&Bucket>) -> u64 {
        let is_shared = bucket.is_some_and(|bucket| bucket.is_shared);
        if is_shared { u64::from(self.limit) * SHARED_WITHIN_MS } else { 0 }
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
    kept: Recent<K, Bucket>,
    swept_at: Option<Timestamp>,
}

impl<K: Hash + Eq> Buckets<K> {
    /// At most `max` of them.
    pub(crate) fn new(rate: Rate, max: usize) -> Buckets<K> {
        Buckets { rate, kept: Recent::new(max), swept_at: None }
    }

    /// Takes `n` tokens, or none when they are not there. More than a bucket holds are given when it is
    /// full, and then have to be made good.
    pub(crate) fn take(&mut self, key: K, n: u32, now: Timestamp) -> RateVerdict {
        self.sweep(now);
        let verdict = self.check(&key, n, now);
        if verdict.wait_secs.is_some() {
            return verdict;
        }
        let (rate, before) = (self.rate, self.kept.get(&key));
        let left = rate.missing(before, now);
        let is_shared = left > 0 && before.is_some_and(|bucket| bucket.is_shared);
        let missing = left + rate.cost(n);
        self.kept.set(key, Bucket { missing, at: now, is_shared });
        RateVerdict { quota: rate.quota(missing), wait_secs: None }
    }

    /// Another node has given so many tokens of the same bucket lately, whether or not they were there.
    pub(crate) fn taken_elsewhere(&mut self, key: K, n: u64, now: Timestamp) {
        self.sweep(now);
        let rate = self.rate;
        let missing = rate.missing(self.kept.get(&key), now).saturating_add(n.saturating_mul(rate.period_ms));
        self.kept.set(key, Bucket { missing, at: now, is_shared: true });
    }

    /// Says whether `n` tokens are there, and leaves them.
    pub(crate) fn check(&self, key: &K, n: u32, now: Timestamp) -> RateVerdict {
        let rate = self.rate;
        let missing = rate.missing(self.kept.get(key), now);
        let room = rate.capacity() + rate.grace(self.kept.get(key).filter(|_| missing > 0));
        let over = missing.saturating_add(rate.cost(n).min(rate.capacity())).saturating_sub(room);
        let wait_ms = over.div_ceil(u64::from(rate.limit));
        let wait_secs = (over > 0).then(|| wait_ms.div_ceil(1_000));
        RateVerdict { quota: rate.quota(missing), wait_secs }
    }

    /// Puts tokens back that were taken.
    pub(crate) fn give_back(&mut self, key: &K, n: u32, now: Timestamp)
    where
        K: Clone,
    {
        let rate = self.rate;
        if let Some(bucket) = self.kept.get(key) {
            let missing = rate.missing(Some(bucket), now).saturating_sub(rate.cost(n));
            let is_shared = bucket.is_shared;
            self.kept.set(key.clone(), Bucket { missing, at: now, is_shared });
        }
    }

    /// Takes in a bucket that is kept elsewhere.
    pub(crate) fn import(&mut self, key: K, level: SignInLevel) {
        let SignInLevel { missing, at, .. } = level;
        self.kept.set(key, Bucket { missing, at, is_shared: false });
    }

    /// A bucket, to be kept elsewhere; `None`: it is full.
    pub(crate) fn export(&self, key: &K, now: Timestamp) -> Option<SignInLevel> {
        let Bucket { missing, at, .. } = *self.kept.get(key)?;
        let full_in = i64::try_from(missing.div_ceil(u64::from(self.rate.limit))).unwrap_or(i64::MAX);
        let is_missing = self.rate.missing(self.kept.get(key), now) > 0;
        is_missing.then(|| SignInLevel { missing, at, until: at.plus_ms(full_in) })
    }

    /// How many buckets are kept.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Drops full buckets: once in a period, since by then most are.
    fn sweep(&mut self, now: Timestamp) {
        let rate = self.rate;
        let period = rate.period_ms.cast_signed();
        let lately = self.swept_at.is_some_and(|t| (0..period).contains(&(now.as_millis() - t.as_millis())));
        if lately || self.kept.len() < SWEEP_FROM {
            return;
        }
        self.kept.retain(|bucket| rate.missing(Some(bucket), now) > 0);
        self.swept_at = Some(now);
    }
}

/// Buckets by the address of clients.
///
/// A client has one IPv4 address, but 64 bits of an IPv6 one, and with a rented server or a line come 56 or
/// 48 bits of them to choose from. So an IPv6 client pays into the bucket of its /64 and of the /56 and the
/// /48 around it, which hold 4 and 16 times as much: a crowd behind one line has more room than one client,
/// and an attacker with all of a /48 has no more than 16 clients.
#[derive(Debug)]
pub(crate) struct Networks {
    /// Of single clients first.
    levels: [Buckets<IpAddr>; 3],
}

/// How much more wider networks may.
const WIDER: [u32; 3] = [1, 4, 16];

impl Networks {
    /// `rate` is that of one client.
    pub(crate) fn new(rate: Rate) -> Networks {
        let wider = |times| Rate { limit: rate.limit.saturating_mul(times), ..rate };
        Networks { levels: WIDER.map(|times| Buckets::new(wider(times), STRANGERS_MAX)) }
    }

    /// Says whether a token is there, and leaves it.
    pub(crate) fn check(&self, address: IpAddr, now: Timestamp) -> RateVerdict {
        let mut said = None;
        for (buckets, network) in self.levels.iter().zip(networks(address)) {
            let verdict = buckets.check(&network, 1, now);
            if verdict.wait_secs.is_some() || said.is_none() {
                said = Some(verdict);
            }
        }
        said.expect("there is at least one network")
    }

    /// Takes a token of each network, or none when one of them has none.
    pub(crate) fn take(&mut self, address: IpAddr, now: Timestamp) -> RateVerdict {
        let verdict = self.check(address, now);
        if verdict.wait_secs.is_some() {
            return verdict;
        }
        let taken = self.levels.iter_mut().zip(networks(address));
        let taken: Vec<RateVerdict> = taken.map(|(buckets, network)| buckets.take(network, 1, now)).collect();
        taken[0]
    }

    /// Puts the token back.
    pub(crate) fn give_back(&mut self, address: IpAddr, now: Timestamp) {
        for (buckets, network) in self.levels.iter_mut().zip(networks(address)) {
            buckets.give_back(&network, 1, now);
        }
    }

    /// Takes in the buckets of an address that are kept elsewhere, the narrowest first.
    pub(crate) fn import(&mut self, address: IpAddr, kept: &[Option<SignInLevel>]) {
        for ((buckets, network), level) in self.levels.iter_mut().zip(networks(address)).zip(kept) {
            if let Some(level) = level {
                buckets.import(network, *level);
            }
        }
    }

    /// The buckets of an address, to be kept elsewhere.
    pub(crate) fn export(&self, address: IpAddr, now: Timestamp) -> Vec<Option<SignInLevel>> {
        let levels = self.levels.iter().zip(networks(address));
        levels.map(|(buckets, network)| buckets.export(&network, now)).collect()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.levels[0].len()
    }
}

/// The networks that a client belongs to, the narrowest first.
pub(crate) fn networks(address: IpAddr) -> impl Iterator<Item = IpAddr> {
    let address = address.to_canonical();
    let widths = if address.is_ipv6() { &[64, 56, 48][..] } else { &[32] };
    widths.iter().map(move |width| cut(address, *width))
}

/// What one client of the network has: an IPv4 address, or 64 bits of an IPv6 one.
pub fn network(address: IpAddr) -> IpAddr {
    cut(address.to_canonical(), 64)
}

/// The first bits of an IPv6 address; an IPv4 address is left whole.
fn cut(address: IpAddr, width: u32) -> IpAddr {
    match address {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << (128 - width))).into(),
        v4 => v4,
    }
}
