//! Shards: how endpoints are divided among the nodes that send to them.
//!
//! Every endpoint is in one of 256 shards, and at any time one node holds a shard and sends to its endpoints.
//! Whenever a shard changes hands its [`Epoch`] grows, and a result carries the epoch under which its request
//! was sent: so the result of a former holder is recognized, and two holders never count for one attempt. A
//! single node holds all shards at epoch 0 forever.
//!
//! `crate::cluster` says which shards this node holds at the moment; here is only arithmetic.

use std::fmt;

use crate::domain::EndpointId;

/// Number of shards.
pub const SHARDS: usize = 256;

/// A shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard(pub u8);

impl Shard {
    /// The shard of an endpoint: the last byte of its id, which is random in a UUIDv7. Storage shared by
    /// several nodes keeps it in a column, so that versions of the program cannot disagree.
    pub fn of(endpoint: EndpointId) -> Shard {
        let [.., last] = endpoint.as_uuid().into_bytes();
        Shard(last)
    }

    /// All shards.
    pub fn all() -> impl Iterator<Item = Shard> {
        (0..=u8::MAX).map(Shard)
    }

    /// Its number, as an index into an array of [`SHARDS`].
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// How often a shard has changed hands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(u64);

impl Epoch {
    /// The epoch of a shard that never changed hands.
    pub const FIRST: Epoch = Epoch(0);

    /// The epoch after the next takeover.
    #[must_use]
    pub fn next(self) -> Epoch {
        Epoch(self.0 + 1)
    }

    /// Its number.
    pub fn number(self) -> u64 {
        self.0
    }

    /// The epoch with this number.
    pub fn from_number(number: u64) -> Epoch {
        Epoch(number)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A set of shards.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ShardSet([u64; SHARDS / 64]);

impl ShardSet {
    /// The set of all shards.
    pub const ALL: ShardSet = ShardSet([u64::MAX; SHARDS / 64]);

    /// Adds a shard.
    pub fn insert(&mut self, shard: Shard) {
        self.0[shard.index() / 64] |= 1 << (shard.index() % 64);
    }

    /// Whether the shard is in the set.
    pub fn contains(&self, shard: Shard) -> bool {
        self.0[shard.index() / 64] & (1 << (shard.index() % 64)) != 0
    }

    /// Whether the shard of this endpoint is in the set.
    pub fn contains_endpoint(&self, endpoint: EndpointId) -> bool {
        self.contains(Shard::of(endpoint))
    }
}

impl FromIterator<Shard> for ShardSet {
    fn from_iter<I: IntoIterator<Item = Shard>>(shards: I) -> ShardSet {
        let mut set = ShardSet::default();
        shards.into_iter().for_each(|shard| set.insert(shard));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;

    #[test]
    fn endpoints_are_spread_evenly_over_all_shards() {
        let now = Timestamp::from_millis(1_700_000_000_000);
        let mut counts = [0u32; SHARDS];
        for _ in 0..SHARDS * 200 {
            counts[Shard::of(EndpointId::new(now)).index()] += 1;
        }
        // 200 each on average; 7 standard deviations are 100.
        assert!(counts.iter().all(|count| (100..300).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_set_contains_what_was_inserted() {
        let odd: ShardSet = Shard::all().filter(|shard| shard.0 % 2 == 1).collect();
        assert!(Shard::all().all(|shard| odd.contains(shard) == (shard.0 % 2 == 1)));
        assert!(Shard::all().all(|shard| ShardSet::ALL.contains(shard)));
        assert_eq!(Shard::all().collect::<ShardSet>(), ShardSet::ALL);
    }
}
