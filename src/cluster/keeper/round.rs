//! One round: renews or looks, and does what follows from it.

use std::collections::HashMap;

use crate::cluster::keeper::Keeper;
use crate::domain::cluster::lease::{ClockReading, Lease, Witness};
use crate::domain::shard::SHARDS;
use crate::domain::{NodeId, Shard, ShardSet};
use crate::store::{ClusterView, KnownNode, NodeNews, Result, Seen};

/// How often is looked, and how often while shards are on their way, in milliseconds.
const LOOK_MS: u32 = 500;
const MOVING_MS: u32 = 100;
/// How soon after a failure.
pub(super) const AGAIN_MS: u32 = 250;

impl Keeper {
    /// Does one round; says in how many milliseconds the next one is due.
    pub async fn step(&mut self) -> u32 {
        let renewal = self.renewal;
        let done = self.round().await;
        if renewal != self.renewal && std::mem::take(&mut self.is_told) {
            tracing::info!(node = %self.name, "the lease of this node is renewed again");
        }
        let error = match done {
            Ok(wait) => return wait,
            Err(error) => error,
        };
        let error: &dyn std::error::Error = &error;
        if self.deps.ownership.is_good() {
            tracing::debug!(error, "a look at the other nodes, or a move of a shard, failed; trying again");
        } else {
            self.deps.lead.set(false);
            if !std::mem::replace(&mut self.is_told, true) {
                tracing::warn!(error, "the lease of this node cannot be renewed; trying again");
            }
        }
        AGAIN_MS
    }

    async fn round(&mut self) -> Result<u32> {
        self.register().await?;
        let started = self.deps.clock.reading();
        let mut view = if self.is_renewal_due(started) {
            match self.renew(started).await? {
                Some(view) => view,
                None => return Ok(0),
            }
        } else {
            let view = self.deps.nodes.node_view().await?;
            self.adopt(&view);
            view
        };
        let gone = self.watch(&view);
        self.resend_for(&mut view, &gone).await?;
        self.lead(&view, &gone).await?;
        let is_settled = self.move_shards(&view, &gone).await?;
        self.tidy(&view, &gone).await?;
        let flies = view.handed_over.iter().any(|one| one.node == self.card.id);
        Ok(if self.must_renew {
            0
        } else if is_settled && !flies {
            LOOK_MS
        } else {
            MOVING_MS
        })
    }

    /// Whether the lease is to be renewed: a third of it is over, or something has happened to it.
    fn is_renewal_due(&self, now: ClockReading) -> bool {
        let passed = self.renewed_at.map(|at| now.boot - at);
        self.must_renew
            || passed.is_none_or(|passed| passed < 0 || passed >= self.card.lease_ms / 3)
            || !self.deps.ownership.is_good()
    }

    async fn renew(&mut self, started: ClockReading) -> Result<Option<ClusterView>> {
        let meters = self.deps.ownership.meters();
        let renewed = self.deps.nodes.node_renew(self.card.id, self.news()).await;
        let Some(renewed) = renewed.inspect_err(|_| {
            meters.renewal_failures.inc();
            self.must_renew = true;
        })?
        else {
            // All that it held was taken, or the database has forgotten it.
            self.is_registered = false;
            self.withdraw_all();
            return Ok(None);
        };
        let took = self.deps.clock.reading().steady - started.steady;
        meters.renewals.inc();
        meters.renewal.observe(u64::try_from(took).unwrap_or_default());
        (self.renewal, self.renewed_at, self.must_renew) = (renewed.renewal, Some(started.boot), false);
        self.adopt(&renewed.view);
        // After what was lost is withdrawn.
        self.deps.ownership.renewed(Lease::renewed(started, self.card.lease_ms));
        if let Some(time) = &self.deps.time {
            match self.deps.nodes.database_time().await {
                Ok(measured) => time.measured(measured.now, measured.age_ms),
                Err(error) => tracing::debug!(%error, "the time of the database could not be read"),
            }
        }
        Ok(Some(renewed.view))
    }

    fn news(&self) -> NodeNews {
        NodeNews {
            name: self.name.clone(),
            in_flight: u64::try_from((self.deps.facts.in_flight)().len()).unwrap_or(u64::MAX),
            is_listening: self.is_listening(),
            configuration: self.deps.facts.configuration.clone(),
            is_leaving: self.is_leaving,
        }
    }

    pub(super) fn withdraw_all(&self) {
        let ownership = &self.deps.ownership;
        Shard::all()
            .filter(|shard| ownership.granted(*shard).is_some())
            .for_each(|shard| ownership.withdraw(shard));
    }

    /// Holds what the database says that it holds.
    fn adopt(&self, view: &ClusterView) {
        let ownership = &self.deps.ownership;
        let (mut mine, mut new) = (ShardSet::default(), Vec::new());
        for known in &view.shards {
            let granted = ownership.granted(known.shard);
            if known.holder == Some(self.card.id) {
                mine.insert(known.shard);
                if granted != Some(known.epoch) {
                    new.push((known.shard, known.epoch));
                }
            } else if granted.is_some() {
                ownership.withdraw(known.shard);
                ownership.meters().shards_lost.inc();
            }
        }
        // Before the shards are granted: what others still send of them is not sent from here.
        self.note_elsewhere(view, mine);
        ownership.grant_all(&new);
    }

    /// What other nodes still have in flight of these shards.
    pub(super) fn note_elsewhere(&self, view: &ClusterView, shards: ShardSet) {
        let of_others =
            view.handed_over.iter().filter(|one| one.node != self.card.id && shards.contains(one.shard));
        let elsewhere: HashMap<_, _> = of_others.map(|one| (one.attempt, one.endpoint)).collect();
        self.deps.ownership.set_elsewhere(elsewhere);
    }

    /// The shards that this node holds.
    pub(super) fn mine(&self, view: &ClusterView) -> ShardSet {
        view.shards
            .iter()
            .filter(|known| known.holder == Some(self.card.id))
            .map(|known| known.shard)
            .collect()
    }

    /// Notes who has renewed; gives those that are gone.
    fn watch(&mut self, view: &ClusterView) -> Vec<Seen> {
        let now = self.deps.clock.reading().steady;
        let is_there = |id: &NodeId| view.nodes.iter().any(|node| node.id == *id);
        self.witnesses.retain(|id, _| is_there(id));
        let mut gone = Vec::new();
        for node in view.nodes.iter().filter(|node| node.id != self.card.id) {
            let witness = self.witnesses.entry(node.id).or_insert_with(|| Witness::first(node.renewal, now));
            if witness.saw(node.renewal, node.lease_ms, now) {
                self.renewing.insert(node.id);
            }
            if witness.is_over(node.lease_ms, now) || self.is_ended_predecessor(node) {
                self.renewing.remove(&node.id);
                gone.push(Seen { id: node.id, renewal: node.renewal });
            }
        }
        self.renewing.retain(|id| is_there(id));
        self.name = self.name_among(view);
        gone
    }

    /// Whether it is this node as it was before its process ended.
    fn is_ended_predecessor(&self, node: &KnownNode) -> bool {
        let own = &self.card;
        node.base_name == own.base_name
            && node.machine == own.machine
            && node.boot == own.boot
            && node.process != own.process
            && !Keeper::is_running(&node.process)
    }

    /// The configured name, with a suffix while another node that was there before renews under it.
    fn name_among(&self, view: &ClusterView) -> String {
        let base = &self.card.base_name;
        let since = view.nodes.iter().find(|node| node.id == self.card.id).map(|node| (node.since, node.id));
        let before = view.nodes.iter().filter(|node| {
            node.base_name == *base
                && self.renewing.contains(&node.id)
                && since.is_some_and(|since| (node.since, node.id) < since)
        });
        match before.count() {
            0 => base.clone(),
            others => format!("{base}-{}", others + 1),
        }
    }

    /// Leads, or sees to it that somebody does.
    async fn lead(&self, view: &ClusterView, gone: &[Seen]) -> Result<()> {
        let (lead, id) = (&self.deps.lead, self.card.id);
        if view.leader == Some(id) {
            if self.is_leaving {
                lead.set(false);
                return self.deps.nodes.leader_give_up(id).await;
            }
            lead.set(self.deps.ownership.is_good());
            return Ok(());
        }
        lead.set(false);
        let from = view.leader.map(|leader| gone.iter().find(|seen| seen.id == leader).copied());
        let is_free = from.is_none_or(|from| from.is_some());
        if is_free && !self.is_leaving && self.deps.nodes.leader_take(self.own(), from.flatten()).await? {
            lead.set(true);
        }
        Ok(())
    }

    /// Removes nodes that are gone and hold nothing, and notes which requests that it has handed over have ended.
    async fn tidy(&mut self, view: &ClusterView, gone: &[Seen]) -> Result<()> {
        for seen in gone {
            if !view.shards.iter().any(|known| known.holder == Some(seen.id)) {
                self.deps.nodes.node_forget(*seen).await?;
            }
        }
        if view.handed_over.iter().any(|one| one.node == self.card.id) {
            let still = (self.deps.facts.in_flight)().into_iter().map(|(attempt, _)| attempt).collect();
            let kept = self.deps.nodes.handed_over_keep(self.own(), still).await;
            // What happens late after all must not be about requests that are handed over meanwhile.
            self.must_renew |= kept.is_err();
            return kept;
        }
        Ok(())
    }
}

/// Who holds each shard.
pub(super) fn holders(view: &ClusterView) -> [Option<NodeId>; SHARDS] {
    let mut holders = [None; SHARDS];
    for known in &view.shards {
        holders[known.shard.index()] = known.holder;
    }
    holders
}
