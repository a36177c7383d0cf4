//! An open storage, as the parts see it that start, measure and stop it.

use std::sync::Arc;

use async_trait::async_trait;

use crate::store::meters::StoreMeters;
use crate::store::{NodeStore, NoticeBoard, Result, SignInStore, Store};

/// Bytes that storage takes on its disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StorageSize {
    /// Everything, the write-ahead log included.
    pub bytes: u64,
    /// The write-ahead log.
    pub wal_bytes: u64,
}

/// A storage that is open. [`crate::store::location::Location`] opens one.
#[async_trait]
pub trait Backend: Store {
    /// Its counters and gauges.
    fn meters(&self) -> Arc<StoreMeters>;

    /// The leases of the nodes that share it; `None` where one process has it to itself.
    fn leases(&self) -> Option<Arc<dyn NodeStore>> {
        None
    }

    /// Failed sign-ins of the nodes that share it; `None` where one process has it to itself.
    fn sign_ins(self: Arc<Self>) -> Option<Arc<dyn SignInStore>> {
        None
    }

    /// Where nodes that share it tell each other something; `None` where one process has it to itself.
    fn notices(self: Arc<Self>) -> Option<Arc<dyn NoticeBoard>> {
        None
    }

    /// How much of its disk it takes now.
    ///
    /// # Errors
    /// [`crate::store::StoreError::Failed`] when the size cannot be read.
    async fn size(&self) -> Result<StorageSize>;

    /// Waits until it can no longer promise durability, because an fsync failed. Nothing is written from then on,
    /// and only a new start knows what is on the disk.
    async fn broken(&self);

    /// Writes what is queued and closes. Later calls of any method return
    /// [`crate::store::StoreError::Closed`]; closing twice does nothing.
    async fn close(&self);
}
