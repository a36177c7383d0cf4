//! Endpoints and their settings.

use std::collections::HashMap;

use async_trait::async_trait;

use crate::domain::access::activity::Activity;
use crate::domain::condition::Condition;
use crate::domain::endpoint::{Endpoint, EndpointPatch, EndpointStatus};
use crate::domain::{AppId, EndpointId, Sealed, Timestamp};
use crate::store::{EndpointFilter, Page, PageRequest, Result};

/// The result of rotating a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotation {
    Rotated(Box<Endpoint>),
    NotFound,
    /// As many secrets sign as may; the oldest one until this time.
    TooMany {
        oldest_until: Timestamp,
    },
}

/// An endpoint that was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    pub endpoint: Endpoint,
    /// Since when it was disabled, if it is enabled now.
    pub disabled_since: Option<Timestamp>,
}

/// The result of making the pending deliveries of an endpoint due now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendNow {
    NotFound,
    /// It is paused or disabled.
    NotActive(EndpointStatus),
    /// So much waits and is due now; `more`: rows that are due later are left for another step.
    Due {
        waiting: u64,
        more: bool,
    },
}

/// Endpoints. Those that were deleted are not found by any method here.
#[async_trait]
pub trait EndpointStore: Send + Sync {
    /// Inserts a new endpoint; `false` when its app has `most` endpoints already, deleted ones left out.
    async fn endpoint_insert(&self, endpoint: Endpoint, most: u32, activity: Activity) -> Result<bool>;
    /// An endpoint of this app.
    async fn endpoint_get(&self, app: AppId, id: EndpointId) -> Result<Option<Endpoint>>;
    /// Endpoints of an app, newest first (descending id).
    async fn endpoint_list(
        &self,
        app: AppId,
        filter: EndpointFilter,
        page: PageRequest<EndpointId>,
    ) -> Result<Page<Endpoint, EndpointId>>;
    /// Changes an endpoint and gives it as it is now. Its failures and its hold are forgotten when it is set to
    /// active or gets another URL. What is pending is cancelled later, in steps, by
    /// [`crate::store::QueueStore::queue_cancel`]; a disabled endpoint gets nothing meanwhile.
    async fn endpoint_update(
        &self,
        app: AppId,
        id: EndpointId,
        patch: EndpointPatch,
        now: Timestamp,
        activity: Activity,
    ) -> Result<Option<Changed>>;
    /// How endpoints of an app stand: their failures, their holds, and how much waits.
    async fn endpoint_conditions(
        &self,
        app: AppId,
        ids: Vec<EndpointId>,
    ) -> Result<HashMap<EndpointId, Condition>>;
    /// Makes up to `limit` of the rows that wait for an endpoint due now, and its hold's next probe too. With
    /// an `activity` it is the first step.
    async fn endpoint_send_now(
        &self,
        app: AppId,
        id: EndpointId,
        limit: u32,
        now: Timestamp,
        activity: Option<Activity>,
    ) -> Result<SendNow>;
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
    ///
    /// At most [`SIGNING_SECRETS_MAX`](crate::domain::endpoint::SIGNING_SECRETS_MAX) secrets sign: with
    /// `end_oldest` the oldest ones stop signing, without it nothing is changed.
    #[allow(clippy::too_many_arguments, reason = "the parts of one transaction")]
    async fn endpoint_rotate(
        &self,
        app: AppId,
        id: EndpointId,
        secret: Sealed,
        retire_at: Option<Timestamp>,
        end_oldest: bool,
        now: Timestamp,
        activity: Activity,
    ) -> Result<Rotation>;
}
