//! Endpoints and their settings.

use async_trait::async_trait;

use crate::domain::access::activity::Activity;
use crate::domain::endpoint::{Endpoint, EndpointPatch};
use crate::domain::{AppId, EndpointId, Sealed, Timestamp};
use crate::store::{EndpointFilter, Page, PageRequest, Result};

/// Endpoints. Those that were deleted are not found by any method here.
#[async_trait]
pub trait EndpointStore: Send + Sync {
    /// Keeps a new endpoint.
    async fn endpoint_insert(&self, endpoint: Endpoint, activity: Activity) -> Result<()>;
    /// An endpoint of this app.
    async fn endpoint_get(&self, app: AppId, id: EndpointId) -> Result<Option<Endpoint>>;
    /// Endpoints of an app, newest first (descending id).
    async fn endpoint_list(
        &self,
        app: AppId,
        filter: EndpointFilter,
        page: PageRequest<EndpointId>,
    ) -> Result<Page<Endpoint, EndpointId>>;
    /// Changes an endpoint and gives it as it is now. What is pending is cancelled later, in steps, by
    /// [`QueueStore::queue_cancel`]; a disabled endpoint gets nothing meanwhile.
    async fn endpoint_update(
        &self,
        app: AppId,
        id: EndpointId,
        patch: EndpointPatch,
        now: Timestamp,
        activity: Activity,
    ) -> Result<Option<Endpoint>>;
    /// Deletes an endpoint: it is found no more, its secrets are gone, its log stays. `false` when
    /// there was none.
    async fn endpoint_delete(
        &self,
        app: AppId,
        id: EndpointId,
        now: Timestamp,
        activity: Activity,
    ) -> Result<bool>;
    /// Replaces the signing secret. The old one signs beside it until `retire_at`; `None` ends it, and
    /// all that were retired before, at once. Secrets whose time is over are dropped.
    async fn endpoint_rotate(
        &self,
        app: AppId,
        id: EndpointId,
        secret: Sealed,
        retire_at: Option<Timestamp>,
        now: Timestamp,
        activity: Activity,
    ) -> Result<Option<Endpoint>>;
}
