//! This server's part among others on the same database: its lease, its lead, and its clock. Storage that it has to
//! itself makes it a node that is alone, and none of this is started.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::app::World;
use crate::cluster::keeper::{Keeper, KeeperDeps, Keeping, NodeFacts};
use crate::cluster::{AlwaysLeader, Leadership, LeasedLead, Ownership};
use crate::config::Config;
use crate::delivery::courier::SendingAttempts;
use crate::host::clock::Clock;
use crate::host::following_clock::FollowingClock;
use crate::host::identity::Identity;
use crate::host::process;
use crate::store::{Backend, NodeStore, StoreError};

/// What the parts of the server ask, whether or not there are others.
pub(super) struct Membership {
    pub(super) ownership: Arc<Ownership>,
    pub(super) leadership: Arc<dyn Leadership>,
    /// Whether notifications of other nodes reach this one.
    pub(super) is_listening: Arc<AtomicBool>,
    /// Whether the server is about to stop, so that nobody sends new requests to it.
    pub(super) is_leaving: Arc<AtomicBool>,
    joining: Option<Joining>,
}

/// What it takes to join others.
struct Joining {
    nodes: Arc<dyn NodeStore>,
    lead: Arc<LeasedLead>,
    clock: Arc<dyn Clock>,
    time: Option<Arc<FollowingClock>>,
}

impl Membership {
    /// That of a server on this storage. Where others may share it, `world` shows the time of the database from now on.
    ///
    /// # Errors
    /// When the time of the database cannot be read.
    pub(super) async fn of(backend: &dyn Backend, world: &mut World) -> Result<Membership, StoreError> {
        let (is_listening, is_leaving) = Default::default();
        let Some(nodes) = backend.leases() else {
            return Ok(Membership {
                ownership: Ownership::of_everything(),
                leadership: Arc::new(AlwaysLeader::default()),
                is_listening,
                is_leaving,
                joining: None,
            });
        };
        let mut time = None;
        if world.follows_database {
            let following = Arc::new(FollowingClock::new(world.clock.clone()));
            let measured = nodes.database_time().await?;
            following.measured(measured.now, measured.age_ms);
            world.clock = following.clone();
            time = Some(following);
        }
        let clock = world.lease_clock.clone();
        let ownership = Ownership::leased(clock.clone());
        let lead = Arc::new(LeasedLead::new(ownership.clone()));
        let joining = Some(Joining { nodes, lead: lead.clone(), clock, time });
        Ok(Membership { ownership, leadership: lead, is_listening, is_leaving, joining })
    }

    /// Joins the others, and has its first shards then. `None`: there are no others.
    ///
    /// # Errors
    /// When a command has just begun that must be alone. Everything else is tried again.
    pub(super) async fn join(
        self,
        config: &Config,
        sending: SendingAttempts,
    ) -> Result<Option<Keeping>, StoreError> {
        let Some(Joining { nodes, lead, clock, time }) = self.joining else { return Ok(None) };
        let facts = NodeFacts {
            in_flight: Box::new(move || sending.list()),
            is_listening: self.is_listening,
            configuration: config.fingerprint(),
        };
        let mut keeper = Keeper::new(KeeperDeps {
            nodes,
            clock,
            ownership: self.ownership,
            lead,
            time,
            facts,
            name: config.cluster.node.clone().unwrap_or_else(process::host_name),
            identity: Identity::own(),
            lease_ms: config.cluster.lease.as_millis_i64(),
        });
        if let Err(error @ StoreError::Refused { .. }) = keeper.register().await {
            return Err(error);
        }
        Ok(Some(keeper.start().await))
    }
}
