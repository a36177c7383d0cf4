//! The store as the parts see it that start, measure and stop it.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt as _;

use crate::store::postgres::engine::conn::Statements as _;
use crate::store::postgres::engine::rows::Columns as _;
use crate::store::postgres::engine::store::PostgresStore;
use crate::store::{Backend, NodeStore, NoticeBoard, Result, SignInStore, StorageSize, StoreMeters};

#[async_trait]
impl Backend for PostgresStore {
    fn meters(&self) -> Arc<StoreMeters> {
        PostgresStore::meters(self)
    }

    fn leases(&self) -> Option<Arc<dyn NodeStore>> {
        Some(Arc::new(self.link.clone()))
    }

    fn sign_ins(self: Arc<Self>) -> Option<Arc<dyn SignInStore>> {
        Some(self)
    }

    fn notices(self: Arc<Self>) -> Option<Arc<dyn NoticeBoard>> {
        Some(self)
    }

    async fn size(&self) -> Result<StorageSize> {
        self.query("reading the size of the database", |conn| {
            async move {
                let row = conn.row("SELECT pg_database_size(current_database()) AS bytes", &[]).await?;
                // The write-ahead log is the server's, and of all its databases.
                Ok(StorageSize { bytes: row.num("bytes")?, wal_bytes: 0 })
            }
            .boxed()
        })
        .await
    }

    /// A server that fails says so, or is gone; what it has confirmed stays true.
    async fn broken(&self) {
        std::future::pending().await
    }

    async fn close(&self) {
        PostgresStore::close(self).await;
    }
}
