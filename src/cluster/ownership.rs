//! Which shards this node holds, and under which epoch. Read for every attempt.
//!
//! A node that shares storage with others holds its shards only while its lease is good ([`Ownership::renewed`]). A
//! lease that has run out takes nothing away: when it is renewed, and nobody has taken a shard, all is as it was.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::watch;

use crate::cluster::meters::ClusterMeters;
use crate::domain::cluster::lease::Lease;
use crate::domain::shard::SHARDS;
use crate::domain::{AttemptId, EndpointId, Epoch, Shard, ShardSet};
use crate::host::clock::Clock;

/// Stands for a shard that is not held: no epoch grows so far.
const NOT_HELD: u64 = u64::MAX;

/// The shards that this node holds. The keeper of the leases changes it; the dispatcher reads it.
pub struct Ownership {
    epochs: [AtomicU64; SHARDS],
    changes: watch::Sender<u64>,
    meters: Arc<ClusterMeters>,
    /// `None`: nobody else is there to take anything.
    leased: Option<Leased>,
    elsewhere: Mutex<HashMap<AttemptId, EndpointId>>,
    /// Changes with [`Ownership::set_elsewhere`].
    elsewhere_version: AtomicU64,
}

/// The lease, and the clock that it goes by.
struct Leased {
    clock: Arc<dyn Clock>,
    lease: RwLock<Option<Lease>>,
}

impl Leased {
    fn is_good(&self) -> bool {
        let lease = *self.lease.read().unwrap_or_else(PoisonError::into_inner);
        lease.is_some_and(|lease| lease.is_good(self.clock.reading()))
    }
}

impl Ownership {
    /// All shards at epoch 0: a node that is alone.
    pub fn of_everything() -> Arc<Ownership> {
        Ownership::with(Epoch::FIRST.number(), None)
    }

    /// No shard yet; those that are granted are held without a lease.
    pub fn of_nothing() -> Arc<Ownership> {
        Ownership::with(NOT_HELD, None)
    }

    /// No shard yet, and no lease.
    pub fn leased(clock: Arc<dyn Clock>) -> Arc<Ownership> {
        Ownership::with(NOT_HELD, Some(Leased { clock, lease: RwLock::default() }))
    }

    fn with(number: u64, leased: Option<Leased>) -> Arc<Ownership> {
        Arc::new(Ownership {
            epochs: std::array::from_fn(|_| AtomicU64::new(number)),
            changes: watch::Sender::new(0),
            meters: Arc::default(),
            leased,
            elsewhere: Mutex::default(),
            elsewhere_version: AtomicU64::new(0),
        })
    }

    /// Whether what is held may be taken by others.
    pub fn is_leased(&self) -> bool {
        self.leased.is_some()
    }

    /// Whether this node may begin anything now.
    pub fn is_good(&self) -> bool {
        self.leased.as_ref().is_none_or(Leased::is_good)
    }

    /// The lease was renewed.
    pub fn renewed(&self, lease: Lease) {
        let Some(leased) = &self.leased else { return };
        let was_good = leased.is_good();
        *leased.lease.write().unwrap_or_else(PoisonError::into_inner) = Some(lease);
        if !was_good {
            // What is held may be sent again.
            self.changed();
        }
    }

    /// The epoch under which this node may send to an endpoint; `None` if it may not.
    pub fn epoch_of(&self, endpoint: EndpointId) -> Option<Epoch> {
        self.granted(Shard::of(endpoint)).filter(|_| self.is_good())
    }

    /// The epoch in which a shard was granted, whether or not the lease is good.
    pub fn granted(&self, shard: Shard) -> Option<Epoch> {
        match self.epochs[shard.index()].load(Ordering::Acquire) {
            NOT_HELD => None,
            number => Some(Epoch::from_number(number)),
        }
    }

    /// How many shards are granted, whether or not the lease is good.
    pub fn granted_count(&self) -> usize {
        Shard::all().filter(|shard| self.granted(*shard).is_some()).count()
    }

    /// The shards that are held now.
    pub fn held(&self) -> ShardSet {
        if !self.is_good() {
            return ShardSet::default();
        }
        Shard::all().filter(|shard| self.granted(*shard).is_some()).collect()
    }

    /// From now on this node holds a shard. Storage has made it the holder in this epoch.
    pub fn grant(&self, shard: Shard, epoch: Epoch) {
        self.grant_all(&[(shard, epoch)]);
    }

    /// The same for several.
    pub fn grant_all(&self, shards: &[(Shard, Epoch)]) {
        for (shard, epoch) in shards {
            self.epochs[shard.index()].store(epoch.number(), Ordering::Release);
        }
        if !shards.is_empty() {
            self.changed();
        }
    }

    /// From now on this node sends nothing more to endpoints of this shard.
    pub fn withdraw(&self, shard: Shard) {
        self.epochs[shard.index()].store(NOT_HELD, Ordering::Release);
        self.changed();
    }

    /// Storage has refused a result of this epoch: if the shard still counts as held in it, the node has lost
    /// it without knowing, and sends nothing more.
    pub fn refused(&self, endpoint: EndpointId, epoch: Epoch) {
        self.meters.stale_results.inc();
        let held = &self.epochs[Shard::of(endpoint).index()];
        if held.compare_exchange(epoch.number(), NOT_HELD, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            self.changed();
        }
    }

    /// What other nodes still have in flight of the shards that they handed over to this one.
    pub fn set_elsewhere(&self, attempts: HashMap<AttemptId, EndpointId>) {
        let mut known = self.lock_elsewhere();
        if *known != attempts {
            *known = attempts;
            self.elsewhere_version.fetch_add(1, Ordering::Release);
            drop(known);
            self.changed();
        }
    }

    /// The same, for who counts it.
    pub fn elsewhere(&self) -> HashMap<AttemptId, EndpointId> {
        self.lock_elsewhere().clone()
    }

    /// Changes with what is elsewhere.
    pub fn elsewhere_version(&self) -> u64 {
        self.elsewhere_version.load(Ordering::Acquire)
    }

    fn lock_elsewhere(&self) -> MutexGuard<'_, HashMap<AttemptId, EndpointId>> {
        // It is replaced as a whole.
        self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The meters of this node, for everything that deals with other nodes.
    pub fn meters(&self) -> Arc<ClusterMeters> {
        self.meters.clone()
    }

    /// Changes whenever this node may send more, or less.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn changed(&self) {
        self.changes.send_modify(|n| *n += 1);
    }
}

impl std::fmt::Debug for Ownership {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ownership").field("held", &self.held()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;
    use crate::host::clock::FakeClock;

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

    #[test]
    fn nothing_is_held_without_a_good_lease_and_all_of_it_again_with_one() {
        let clock = Arc::new(FakeClock::new(Timestamp::from_millis(0)));
        let ownership = Ownership::leased(clock.clone());
        let (endpoint, epoch) = (EndpointId::new(Timestamp::from_millis(0)), Epoch::FIRST.next());
        ownership.grant(Shard::of(endpoint), epoch);
        assert_eq!((ownership.epoch_of(endpoint), ownership.held()), (None, ShardSet::default()));
        ownership.renewed(Lease::renewed(clock.reading(), 10_000));
        assert_eq!(ownership.epoch_of(endpoint), Some(epoch));
        let mut changes = ownership.changes();
        clock.advance_ms(8_000);
        ownership.renewed(Lease::renewed(clock.reading(), 10_000));
        assert!(!changes.has_changed().unwrap(), "nothing has changed for who sends");
        clock.advance_ms(9_000);
        assert_eq!((ownership.epoch_of(endpoint), ownership.held()), (None, ShardSet::default()));
        ownership.renewed(Lease::renewed(clock.reading(), 10_000));
        assert_eq!(ownership.epoch_of(endpoint), Some(epoch), "under the same epoch");
        assert!(changes.has_changed().unwrap(), "and who sends is told");
        changes.mark_unchanged();
        clock.set(Timestamp::from_millis(3_600_000));
        assert_eq!(ownership.epoch_of(endpoint), None, "a clock has jumped");
    }
}
