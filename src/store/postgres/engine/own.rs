//! The node that this process is, for who writes results.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::domain::NodeId;

/// The node of this process; none until it is registered, and none for a command.
#[derive(Debug, Clone, Default)]
pub(crate) struct OwnNode(Arc<AtomicI64>);

impl OwnNode {
    pub(crate) fn get(&self) -> Option<NodeId> {
        Some(self.0.load(Ordering::Acquire)).filter(|id| *id != 0).map(NodeId)
    }

    pub(crate) fn set(&self, id: NodeId) {
        self.0.store(id.0, Ordering::Release);
    }
}
