//! The epochs of shards, in memory.
//!
//! Only one process opens a database file for sending, so it holds every shard at epoch 0 without a statement,
//! and a restart may begin at 0 again: nothing is in flight then. Takeovers happen only where one process runs
//! several dispatchers, which the tests of ownership do.
//!
//! A takeover and every result run on the writer's thread, one after the other. So relaxed atomics are enough.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::domain::shard::SHARDS;
use crate::domain::{Epoch, Shard};

/// The current epoch of each shard.
#[derive(Debug)]
pub(crate) struct ShardEpochs([AtomicU64; SHARDS]);

impl Default for ShardEpochs {
    fn default() -> ShardEpochs {
        ShardEpochs(std::array::from_fn(|_| AtomicU64::new(Epoch::FIRST.number())))
    }
}

impl ShardEpochs {
    /// The epoch of a shard.
    pub(crate) fn of(&self, shard: Shard) -> Epoch {
        Epoch::from_number(self.0[shard.index()].load(Ordering::Relaxed))
    }

    /// Starts the next epoch of a shard.
    pub(crate) fn take(&self, shard: Shard) -> Epoch {
        let epoch = self.of(shard).next();
        self.0[shard.index()].store(epoch.number(), Ordering::Relaxed);
        epoch
    }
}
