//! The latest deliveries of an endpoint.

use async_trait::async_trait;

use crate::domain::attempts::delivery::RecentDelivery;
use crate::domain::{AppId, EndpointId};
use crate::store::Result;

/// The log, delivery by delivery.
#[async_trait]
pub trait RecentStore: Send + Sync {
    /// The newest deliveries of an endpoint of this app, newest first, tests left out.
    async fn delivery_recent(
        &self,
        app: AppId,
        endpoint: EndpointId,
        limit: u32,
    ) -> Result<Vec<RecentDelivery>>;
}
