//! Keeps this node's lease, and with it the shards that it holds.
//!
//! A round ([`round`]) looks at all nodes and shards, every third of the lease while it renews; grants and withdraws in
//! [`Ownership`] what the database says; takes the shards of nodes that are gone and hands over what others should have
//! ([`moves`]). Every round begins with the truth, so one that fails at any point is only late.
//!
//! While the database cannot be reached, the lease runs out and nothing more is begun. What is in flight ends, and its
//! results are written once the database is back: under the same epochs, if nobody took the shards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::cluster::{LeasedLead, Ownership};
use crate::domain::cluster::lease::Witness;
use crate::domain::{AttemptId, EndpointId, NodeId};
use crate::host::clock::Clock;
use crate::host::following_clock::FollowingClock;
use crate::host::identity::{self, Identity};
use crate::store::{NodeCard, NodeStore, Result, Seen};

mod moves;
mod round;

/// How often it is tried to leave the database in order.
const LEAVE_TRIES: u32 = 3;

/// What a node tells of itself with each renewal.
pub struct NodeFacts {
    /// The attempts that are being sent, or whose results are not committed yet.
    pub in_flight: Box<dyn Fn() -> Vec<(AttemptId, EndpointId)> + Send + Sync>,
    /// Whether notifications of other nodes reach this one.
    pub is_listening: Arc<AtomicBool>,
    /// A hash of what must be the same on all nodes.
    pub configuration: String,
}

/// What the keeper works with.
pub struct KeeperDeps {
    pub nodes: Arc<dyn NodeStore>,
    /// For leases alone: no test of anything else moves it.
    pub clock: Arc<dyn Clock>,
    pub ownership: Arc<Ownership>,
    pub lead: Arc<LeasedLead>,
    /// Follows the time of the database.
    pub time: Option<Arc<FollowingClock>>,
    pub facts: NodeFacts,
    /// As it is configured.
    pub name: String,
    pub identity: Identity,
    pub lease_ms: i64,
}

/// One node's part in the cluster.
pub struct Keeper {
    deps: KeeperDeps,
    card: NodeCard,
    is_registered: bool,
    /// The number of the last renewal, and when it was started.
    renewal: i64,
    renewed_at: Option<i64>,
    /// Renew before anything that the database says is believed: what it was asked for may still happen.
    must_renew: bool,
    witnesses: BTreeMap<NodeId, Witness>,
    /// Others that were seen to renew.
    renewing: BTreeSet<NodeId>,
    /// As it is shown.
    name: String,
    is_leaving: bool,
    /// Whether the others have, or nobody else is there.
    has_left: bool,
    /// Whether it was logged that the lease cannot be renewed.
    is_told: bool,
}

impl Keeper {
    /// One that has not registered yet.
    pub fn new(deps: KeeperDeps) -> Keeper {
        let run_id = Uuid::new_v4();
        let Identity { machine, boot, process } = deps.identity.clone();
        let card = NodeCard {
            id: NodeId::from_random(run_id.as_u128()),
            run_id,
            base_name: deps.name.clone(),
            machine,
            boot,
            process,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            lease_ms: deps.lease_ms,
        };
        Keeper {
            name: card.base_name.clone(),
            card,
            deps,
            is_registered: false,
            renewal: 0,
            renewed_at: None,
            must_renew: true,
            witnesses: BTreeMap::new(),
            renewing: BTreeSet::new(),
            is_leaving: false,
            has_left: false,
            is_told: false,
        }
    }

    /// This node.
    pub fn id(&self) -> NodeId {
        self.card.id
    }

    fn own(&self) -> Seen {
        Seen { id: self.card.id, renewal: self.renewal }
    }

    /// Registers, if that has not been done; else the first round does it.
    ///
    /// # Errors
    /// What the storage says: a refusal means that no server may come now.
    pub async fn register(&mut self) -> Result<()> {
        if !self.is_registered {
            self.deps.nodes.node_register(self.card.clone()).await?;
            self.is_registered = true;
            self.must_renew = true;
        }
        Ok(())
    }

    /// Wants no shards from now on.
    pub fn leave(&mut self) {
        if !self.is_leaving {
            self.is_leaving = true;
            self.must_renew = true;
        }
    }

    /// Whether it holds nothing any more, or there is nobody who could take it.
    pub fn has_left(&self) -> bool {
        self.is_leaving && self.has_left
    }

    /// Gives everything free. Whatever happens, its lease runs out.
    pub async fn end(&mut self) {
        self.deps.lead.set(false);
        self.withdraw_all();
        for tried in 1..=LEAVE_TRIES {
            match self.deps.nodes.node_leave(self.card.id).await {
                Ok(()) => return,
                Err(error) if tried == LEAVE_TRIES => {
                    tracing::warn!(%error, "this node could not leave in order; the others take over when its lease ends");
                }
                Err(_) => self.deps.clock.sleep_ms(round::AGAIN_MS).await,
            }
        }
    }

    fn is_running(process: &str) -> bool {
        identity::is_running(process)
    }

    /// Starts rounds, the first of which is over when this returns.
    pub async fn start(mut self) -> Keeping {
        let (orders, wanted) = watch::channel(Order::Keep);
        let (told, left) = watch::channel(false);
        let wait = self.step().await;
        let task = tokio::spawn(run(self, wait, wanted, told));
        Keeping { orders, left, task }
    }

    fn is_listening(&self) -> bool {
        self.deps.facts.is_listening.load(Ordering::Relaxed)
    }
}

/// What the keeper is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Keep,
    Leave,
    End,
}

/// A keeper that is running. It ends when this is dropped, and then says nothing to the others.
pub struct Keeping {
    orders: watch::Sender<Order>,
    left: watch::Receiver<bool>,
    task: JoinHandle<()>,
}

impl Keeping {
    /// Gives all shards to the others, and returns when they have them, or after this time.
    pub async fn leave(&self, within: Duration) {
        self.orders.send_if_modified(|order| {
            let is_first = *order == Order::Keep;
            if is_first {
                *order = Order::Leave;
            }
            is_first
        });
        let mut left = self.left.clone();
        // Neither matters: the lease ends anyway.
        let _ = tokio::time::timeout(within, left.wait_for(|left| *left)).await;
    }

    /// Ends, and leaves the database in order.
    pub async fn end(self) {
        self.orders.send_replace(Order::End);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the keeper of the leases failed");
        }
    }
}

async fn run(
    mut keeper: Keeper,
    mut wait: u32,
    mut orders: watch::Receiver<Order>,
    told: watch::Sender<bool>,
) {
    loop {
        let clock = keeper.deps.clock.clone();
        tokio::select! {
            changed = orders.changed() => if changed.is_err() { return },
            () = clock.sleep_ms(wait) => {}
        }
        let order = *orders.borrow_and_update();
        match order {
            Order::Keep => {}
            Order::Leave => keeper.leave(),
            Order::End => return keeper.end().await,
        }
        wait = keeper.step().await;
        told.send_replace(keeper.has_left());
    }
}
