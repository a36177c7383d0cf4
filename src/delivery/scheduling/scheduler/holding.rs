//! What this node sends for: shards come and go, and with a shard may come requests that its holder before still has in
//! flight.

use std::collections::HashMap;

use super::Scheduler;
use crate::domain::shard::SHARDS;
use crate::domain::{AttemptId, EndpointId, Epoch, Shard, Timestamp};
use crate::store::Line;

/// What the scheduler knows of the shards.
pub(super) struct Holding {
    /// In which epoch each was held at the last look, and since when, where it was taken from somebody.
    shards: [(Option<Epoch>, Option<Timestamp>); SHARDS],
    /// Requests that other nodes have in flight, which are claimed here.
    elsewhere: HashMap<AttemptId, EndpointId>,
    /// Of which version that is.
    version: u64,
}

impl Default for Holding {
    fn default() -> Holding {
        Holding { shards: [(None, None); SHARDS], elsewhere: HashMap::new(), version: 0 }
    }
}

impl Holding {
    /// Since when the shard of an endpoint has been held, where another node may have sent to it just before.
    pub(super) fn since(&self, endpoint: EndpointId) -> Option<Timestamp> {
        self.shards[Shard::of(endpoint).index()].1
    }
}

impl Scheduler {
    /// Whether this node sends to the endpoint.
    pub(super) fn holds(&self, endpoint: EndpointId) -> bool {
        self.deps.ownership.epoch_of(endpoint).is_some()
    }

    /// Drops what is pending at endpoints that are no longer held, and looks for what is pending at new ones.
    pub(super) fn ownership_changed(&mut self) {
        let lost: Vec<_> = self.lanes.keys().copied().filter(|endpoint| !self.holds(*endpoint)).collect();
        for endpoint in lost {
            let lane = self.lanes.get_mut(&endpoint).expect("it was found just now");
            for id in lane.clear() {
                self.claims.release(id);
            }
            self.timers.update(endpoint, lane);
        }
        self.note_epochs();
        self.take_elsewhere();
        self.may_find_backlogs = true;
        self.start_poll();
    }

    /// Shards that were taken begin with an empty bucket: their holder before may have sent a moment ago.
    fn note_epochs(&mut self) {
        let now = self.deps.clock.now();
        for shard in Shard::all() {
            let (known, since) = &mut self.holding.shards[shard.index()];
            let granted = self.deps.ownership.granted(shard);
            if granted.is_some() && granted != *known {
                // In its first epochs nobody has held it before.
                *since = (granted > Some(Epoch::FIRST.next())).then_some(now);
            }
            // A lease that has run out and is renewed changes nothing.
            *known = granted.or(*known);
        }
        for (endpoint, lane) in &mut self.lanes {
            let since = self.holding.since(*endpoint);
            if since == Some(now)
                && let Some(limiter) = &mut lane.limiter
            {
                limiter.empty_at(now);
            }
        }
    }

    /// Claims what other nodes have in flight, and releases what they have no more. They count at their endpoints.
    pub(super) fn take_elsewhere(&mut self) {
        let version = self.deps.ownership.elsewhere_version();
        if version == self.holding.version {
            return;
        }
        self.holding.version = version;
        let now = self.deps.ownership.elsewhere();
        let mut known = std::mem::take(&mut self.holding.elsewhere);
        for (id, endpoint) in &now {
            if known.contains_key(id) {
                continue;
            }
            // Else it is in flight here as well.
            if self.claims.claim(*id, Line::Fresh) {
                known.insert(*id, *endpoint);
                self.lane(*endpoint).elsewhere += 1;
            }
        }
        let ended: Vec<_> =
            known.iter().filter(|(id, _)| !now.contains_key(*id)).map(|(id, at)| (*id, *at)).collect();
        for (id, endpoint) in ended {
            known.remove(&id);
            self.claims.release(id);
            let lane = self.lane(endpoint);
            lane.elsewhere -= 1;
            // It may be pending, or what follows from it.
            lane.mark_stale();
            self.update_lane(endpoint);
        }
        self.holding.elsewhere = known;
    }
}
