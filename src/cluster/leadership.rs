//! Whether this node runs what has to run once among all nodes: retention, alerts and bulk jobs.
//!
//! Leadership is a lease that may be lost at any time. So a task asks before every step, and no step does
//! harm when another node does it, too. A task of a node that does not lead waits for a change, and takes
//! over then.

use tokio::sync::watch;

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

/// A node whose leadership another part of the program, or a test, sets.
impl Leadership for watch::Sender<bool> {
    fn watch(&self) -> watch::Receiver<bool> {
        self.subscribe()
    }
}
