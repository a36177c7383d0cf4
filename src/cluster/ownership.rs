//! Which shards this node holds, and under which epoch. Read for every attempt, so without a lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use crate::cluster::meters::ClusterMeters;
use crate::domain::shard::SHARDS;
use crate::domain::{EndpointId, Epoch, Shard, ShardSet};

/// Stands for a shard that is not held: no epoch grows so far.
const NOT_HELD: u64 = u64::MAX;

/// The shards that this node holds. The keeper of the leases changes it; the dispatcher reads it.
#[derive(Debug)]
pub struct Ownership {
    epochs: [AtomicU64; SHARDS],
    changes: watch::Sender<u64>,
    meters: Arc<ClusterMeters>,
}

impl Ownership {
    /// All shards at epoch 0: a node that is alone.
    pub fn of_everything() -> Arc<Ownership> {
        Ownership::with(Epoch::FIRST.number())
    }

    /// No shard yet.
    pub fn of_nothing() -> Arc<Ownership> {
        Ownership::with(NOT_HELD)
    }

    fn with(number: u64) -> Arc<Ownership> {
        let epochs = std::array::from_fn(|_| AtomicU64::new(number));
        Arc::new(Ownership { epochs, changes: watch::Sender::new(0), meters: Arc::default() })
    }

    /// The epoch under which this node may send to an endpoint; `None` if it may not.
    pub fn epoch_of(&self, endpoint: EndpointId) -> Option<Epoch> {
        self.epoch(Shard::of(endpoint))
    }

    fn epoch(&self, shard: Shard) -> Option<Epoch> {
        match self.epochs[shard.index()].load(Ordering::Acquire) {
            NOT_HELD => None,
            number => Some(Epoch::from_number(number)),
        }
    }

    /// The shards that are held now.
    pub fn held(&self) -> ShardSet {
        Shard::all().filter(|shard| self.epoch(*shard).is_some()).collect()
    }

    /// From now on this node holds a shard. Storage has made it the holder in this epoch.
    pub fn grant(&self, shard: Shard, epoch: Epoch) {
        self.epochs[shard.index()].store(epoch.number(), Ordering::Release);
        self.changes.send_modify(|n| *n += 1);
    }

    /// From now on this node sends nothing more to endpoints of this shard.
    pub fn withdraw(&self, shard: Shard) {
        self.epochs[shard.index()].store(NOT_HELD, Ordering::Release);
        self.changes.send_modify(|n| *n += 1);
    }

    /// Storage has refused a result of this epoch: if the shard still counts as held in it, the node has lost
    /// it without knowing, and sends nothing more.
    pub fn refused(&self, endpoint: EndpointId, epoch: Epoch) {
        self.meters.stale_results.inc();
        let held = &self.epochs[Shard::of(endpoint).index()];
        if held.compare_exchange(epoch.number(), NOT_HELD, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            self.changes.send_modify(|n| *n += 1);
        }
    }

    /// The meters of this node, for everything that deals with other nodes.
    pub fn meters(&self) -> Arc<ClusterMeters> {
        self.meters.clone()
    }

    /// Changes after every [`Ownership::grant`] and [`Ownership::withdraw`].
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;

    #[test]
    fn a_shard_is_held_from_grant_to_withdrawal() {
        let (ownership, endpoint) = (Ownership::of_nothing(), EndpointId::new(Timestamp::from_millis(0)));
        let (shard, epoch) = (Shard::of(endpoint), Epoch::FIRST.next());
        let mut changes = ownership.changes();
        assert_eq!((ownership.epoch_of(endpoint), ownership.held()), (None, ShardSet::default()));
        ownership.grant(shard, epoch);
        assert_eq!(ownership.epoch_of(endpoint), Some(epoch));
        assert_eq!(ownership.held(), [shard].into_iter().collect());
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        ownership.withdraw(shard);
        assert_eq!(ownership.epoch_of(endpoint), None);
        assert!(changes.has_changed().unwrap());
    }

    #[test]
    fn a_refused_result_withdraws_the_shard_only_in_its_own_epoch() {
        let (ownership, endpoint) = (Ownership::of_everything(), EndpointId::new(Timestamp::from_millis(0)));
        ownership.grant(Shard::of(endpoint), Epoch::FIRST.next());
        ownership.refused(endpoint, Epoch::FIRST);
        assert_eq!(ownership.epoch_of(endpoint), Some(Epoch::FIRST.next()), "it was taken again since");
        ownership.refused(endpoint, Epoch::FIRST.next());
        assert_eq!(ownership.epoch_of(endpoint), None);
        assert_eq!(ownership.meters().stale_results.get(), 2);
    }

    #[test]
    fn a_node_that_is_alone_holds_everything_at_epoch_0() {
        let ownership = Ownership::of_everything();
        assert_eq!(ownership.held(), ShardSet::ALL);
        let endpoint = EndpointId::new(Timestamp::from_millis(0));
        assert_eq!(ownership.epoch_of(endpoint), Some(Epoch::FIRST));
    }
}
