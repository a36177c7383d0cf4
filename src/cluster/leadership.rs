//! Whether this node runs what has to run once among all nodes: retention, alerts and bulk jobs.
//!
//! Leadership is a lease that may be lost at any time. So a task asks before every step, and no step does
//! harm when another node does it, too. A task of a node that does not lead waits for a change, and takes
//! over then.

use std::sync::Arc;

use tokio::sync::watch;

use crate::cluster::Ownership;

/// Says whether this node leads.
pub trait Leadership: Send + Sync {
    /// True while this node leads. The sender lives as long as this.
    fn watch(&self) -> watch::Receiver<bool>;

    /// Whether this node leads now.
    fn is_leader(&self) -> bool {
        *self.watch().borrow()
    }
}

/// A node that is alone.
#[derive(Debug)]
pub struct AlwaysLeader(watch::Sender<bool>);

impl Default for AlwaysLeader {
    fn default() -> AlwaysLeader {
        AlwaysLeader(watch::Sender::new(true))
    }
}

impl Leadership for AlwaysLeader {
    fn watch(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }
}

/// A node that leads only while its lease is good. The keeper of the leases says whether the lead is its.
pub struct LeasedLead {
    leads: watch::Sender<bool>,
    ownership: Arc<Ownership>,
}

impl LeasedLead {
    /// A node that does not lead yet.
    pub fn new(ownership: Arc<Ownership>) -> LeasedLead {
        LeasedLead { leads: watch::Sender::new(false), ownership }
    }

    pub(crate) fn set(&self, leads: bool) {
        self.leads.send_if_modified(|known| std::mem::replace(known, leads) != leads);
    }
}

impl Leadership for LeasedLead {
    fn watch(&self) -> watch::Receiver<bool> {
        self.leads.subscribe()
    }

    /// Also while the keeper has no time to say that the lease has run out, as after a pause.
    fn is_leader(&self) -> bool {
        *self.leads.borrow() && self.ownership.is_good()
    }
}

/// A node whose leadership another part of the program, or a test, sets.
impl Leadership for watch::Sender<bool> {
    fn watch(&self) -> watch::Receiver<bool> {
        self.subscribe()
    }
}
