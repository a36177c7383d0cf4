//! How nodes divide the shards among themselves: rules alone. Times are passed in as numbers.
//!
//! * [`lease`]: how long a node may send, and when another one may take its shards.
//! * [`shares`]: which node is to hold which shard.

use std::fmt;

pub mod lease;
pub mod shares;

/// One run of one process. The number is random and never used again, even when a database forgets the node; so a shard
/// that is held by it is held by this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub i64);

impl NodeId {
    /// The number of a run, from random bits; JavaScript can express it exactly.
    pub fn from_random(bits: u128) -> NodeId {
        let number = i64::try_from(bits & ((1 << 53) - 1)).unwrap_or_default();
        NodeId(number.max(1))
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
