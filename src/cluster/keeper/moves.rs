//! Shards change hands: those of nodes that are gone, and those that another node should have.

use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::keeper::Keeper;
use crate::cluster::keeper::round::holders;
use crate::domain::cluster::shares::shares;
use crate::domain::shard::SHARDS;
use crate::domain::{AttemptId, Epoch, NodeId, Shard};
use crate::store::{ClusterView, Result, Seen};

impl Keeper {
    /// What nodes that are gone had in flight of the shards of this one is sent again.
    pub(super) async fn resend_for(&self, view: &mut ClusterView, gone: &[Seen]) -> Result<()> {
        for seen in gone {
            let has_some = view.handed_over.iter().any(|one| one.node == seen.id);
            if has_some && self.deps.nodes.handed_over_forget(*seen).await? {
                view.handed_over.retain(|one| one.node != seen.id);
                self.note_elsewhere(view, self.mine(view));
            }
        }
        Ok(())
    }

    /// Takes what this node should have of nodes that are gone, and hands over what others should have. Says whether
    /// all nodes that are there have what they should.
    pub(super) async fn move_shards(&mut self, view: &ClusterView, gone: &[Seen]) -> Result<bool> {
        let id = self.card.id;
        let is_gone = |node: &NodeId| gone.iter().any(|seen| seen.id == *node);
        let there = view.nodes.iter().filter(|node| !is_gone(&node.id));
        let is_leaving = |node: NodeId, leaves: bool| if node == id { self.is_leaving } else { leaves };
        let members: Vec<NodeId> =
            there.filter(|node| !is_leaving(node.id, node.is_leaving)).map(|node| node.id).collect();
        let Some(wanted) = shares(&holders(view), &members) else {
            self.has_left = true;
            return Ok(true);
        };
        self.take(view, &wanted, gone).await?;
        self.give(view, &wanted).await?;
        self.has_left = self.deps.ownership.granted_count() == 0;
        Ok(view.shards.iter().all(|known| known.holder == Some(wanted[known.shard.index()])))
    }

    async fn take(&self, view: &ClusterView, wanted: &[NodeId; SHARDS], gone: &[Seen]) -> Result<()> {
        // By who held them.
        let mut to_take: BTreeMap<Option<NodeId>, Vec<(Shard, Epoch)>> = BTreeMap::new();
        for known in view.shards.iter().filter(|known| wanted[known.shard.index()] == self.card.id) {
            let is_free = known.holder.is_none_or(|holder| gone.iter().any(|seen| seen.id == holder));
            if is_free {
                to_take.entry(known.holder).or_default().push((known.shard, known.epoch));
            }
        }
        let mut mine = self.mine(view);
        for (holder, shards) in to_take {
            let from = holder.and_then(|holder| gone.iter().find(|seen| seen.id == holder)).copied();
            let taken = self.deps.nodes.shards_take(self.own(), from, shards).await?;
            if let (Some(from), false) = (from, taken.is_empty()) {
                let shards = taken.len();
                tracing::warn!(node = %from.id, shards, "a node is gone; this one takes over endpoints of it");
            }
            self.deps.ownership.meters().shards_taken.inc_by(taken.len() as u64);
            taken.iter().for_each(|(shard, _)| mine.insert(*shard));
            self.note_elsewhere(view, mine);
            self.deps.ownership.grant_all(&taken);
        }
        Ok(())
    }

    /// One by one: nothing else of the shard is written meanwhile, and no two are ever waited for at a time.
    async fn give(&mut self, view: &ClusterView, wanted: &[NodeId; SHARDS]) -> Result<()> {
        let ownership = self.deps.ownership.clone();
        let mine = |holder: Option<NodeId>| holder == Some(self.card.id);
        let to_give: Vec<_> = view
            .shards
            .iter()
            .filter(|known| mine(known.holder) && ownership.granted(known.shard) == Some(known.epoch))
            .map(|known| (known.shard, known.epoch, wanted[known.shard.index()]))
            .filter(|(_, _, to)| *to != self.card.id)
            .collect();
        let own = view.handed_over.iter().filter(|one| one.node == self.card.id);
        let mut flown: BTreeSet<AttemptId> = own.map(|one| one.attempt).collect();
        for (shard, epoch, to) in to_give {
            self.tell_ended(&mut flown).await?;
            let passed = self.renewed_at.map_or(0, |at| self.deps.clock.reading().boot - at);
            if passed > self.card.lease_ms / 2 {
                self.must_renew = true;
                return Ok(());
            }
            // Nothing of it is begun from now on; what is in flight already is listed after that.
            ownership.withdraw(shard);
            let flights = (self.deps.facts.in_flight)();
            let flights: Vec<_> =
                flights.into_iter().filter(|(_, endpoint)| Shard::of(*endpoint) == shard).collect();
            flown.extend(flights.iter().map(|(attempt, _)| *attempt));
            let handed = self.deps.nodes.shard_hand_over(self.own(), to, (shard, epoch), flights).await;
            if !matches!(handed, Ok(true)) {
                // It may still happen, or not. Whose the shard is, the round after the next renewal knows.
                self.must_renew = true;
                return handed.map(|_| ());
            }
            ownership.meters().shards_handed_over.inc();
        }
        self.tell_ended(&mut flown).await
    }

    /// Which of the requests that were handed over have ended is told at once: until then the others send nothing of
    /// these deliveries, and to hand over many shards takes a while.
    async fn tell_ended(&mut self, flown: &mut BTreeSet<AttemptId>) -> Result<()> {
        if flown.is_empty() {
            return Ok(());
        }
        let still: BTreeSet<AttemptId> =
            (self.deps.facts.in_flight)().into_iter().map(|(attempt, _)| attempt).collect();
        let before = flown.len();
        flown.retain(|attempt| still.contains(attempt));
        if flown.len() == before {
            return Ok(());
        }
        let kept = self.deps.nodes.handed_over_keep(self.own(), still.into_iter().collect()).await;
        // What happens late after all must not be about requests that are handed over meanwhile.
        self.must_renew |= kept.is_err();
        kept
    }
}
