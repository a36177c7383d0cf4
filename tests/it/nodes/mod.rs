//! Several nodes on one database: leases, takeovers, handovers, and what becomes of results meanwhile.
//!
//! * [`model`]: two keepers and a store in memory, with everything that may go wrong between them.
//! * [`keepers`]: keepers on a real PostgreSQL, driven step by step.
//! * [`in_flight`]: what one node is sending, and what the others say of it.
//! * [`dropped`]: a server that was not stopped.
//! * [`pooler`]: nodes that reach the database through PgBouncer.
//! * [`services`]: what one node has answered holds on the other.
//!
//! What needs PostgreSQL runs wherever its programs are installed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use postrider::cluster::keeper::{Keeper, KeeperDeps, NodeFacts};
use postrider::cluster::{LeasedLead, Ownership};
use postrider::domain::{AttemptId, EndpointId, Epoch, NodeId, Shard, Timestamp};
use postrider::host::clock::FakeClock;
use postrider::host::identity::Identity;
use postrider::store::NodeStore;

mod dropped;
mod in_flight;
mod keepers;
mod model;
mod pooler;
mod services;

/// The lease of the nodes of these tests.
const LEASE_MS: i64 = 9_000;

/// A node without anything that sends.
struct Node {
    keeper: Keeper,
    clock: Arc<FakeClock>,
    ownership: Arc<Ownership>,
    lead: Arc<LeasedLead>,
    /// What it says that it has in flight.
    in_flight: Arc<Mutex<Vec<(AttemptId, EndpointId)>>>,
    /// Whether that ends once it was listed for a handover.
    is_brief: Arc<AtomicBool>,
}

impl Node {
    fn new(nodes: Arc<dyn NodeStore>, name: &str) -> Node {
        let identity = Identity {
            machine: format!("machine of {name}"),
            boot: "the first".to_owned(),
            process: "not one of this machine".to_owned(),
        };
        Node::with(nodes, name, identity)
    }

    fn with(nodes: Arc<dyn NodeStore>, name: &str, identity: Identity) -> Node {
        let clock = Arc::new(FakeClock::new(Timestamp::from_millis(1_700_000_000_000)));
        let ownership = Ownership::leased(clock.clone());
        let lead = Arc::new(LeasedLead::new(ownership.clone()));
        let in_flight: Arc<Mutex<Vec<(AttemptId, EndpointId)>>> = Arc::default();
        let is_brief = Arc::new(AtomicBool::new(false));
        let (flights, ends, held) = (in_flight.clone(), is_brief.clone(), ownership.clone());
        let facts = NodeFacts {
            in_flight: Box::new(move || {
                let (mut flights, ends) = (flights.lock().unwrap(), ends.load(Ordering::Relaxed));
                let listed = flights.clone();
                flights.retain(|(_, endpoint)| !ends || held.granted(Shard::of(*endpoint)).is_some());
                listed
            }),
            is_listening: Arc::new(AtomicBool::new(false)),
            configuration: "the same".to_owned(),
        };
        let keeper = Keeper::new(KeeperDeps {
            nodes,
            clock: clock.clone(),
            ownership: ownership.clone(),
            lead: lead.clone(),
            time: None,
            facts,
            name: name.to_owned(),
            identity,
            lease_ms: LEASE_MS,
        });
        Node { keeper, clock, ownership, lead, in_flight, is_brief }
    }

    fn id(&self) -> NodeId {
        self.keeper.id()
    }

    /// The shards that it may send for.
    fn held(&self) -> Vec<Shard> {
        let held = self.ownership.held();
        Shard::all().filter(|shard| held.contains(*shard)).collect()
    }

    fn epoch(&self, endpoint: EndpointId) -> Option<Epoch> {
        self.ownership.epoch_of(endpoint)
    }
}
