//! Where alerts go, what was told to whom, and which endpoints are in trouble.

use async_trait::async_trait;

use crate::domain::alert::{AlertTarget, AlertTry, Told};
use crate::domain::{Activity, AlertKind, AlertTargetId, AppId, EndpointId, EndpointStatus, Timestamp};
use crate::store::Result;

/// An endpoint that fails, or was switched off for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointTrouble {
    pub id: EndpointId,
    pub app_id: AppId,
    pub app_name: String,
    pub name: String,
    pub url: String,
    /// [`EndpointStatus::Active`] or [`EndpointStatus::Disabled`].
    pub status: EndpointStatus,
    /// Of a disabled one: why, in a sentence.
    pub status_reason: Option<String>,
    /// Of a disabled one: when it was switched off.
    pub disabled_at: Option<Timestamp>,
    pub consecutive_failures: u32,
}

/// Alerts.
#[async_trait]
pub trait AlertStore: Send + Sync {
    /// Keeps a new target; `false` when there are `max` already.
    async fn alert_target_insert(&self, target: AlertTarget, max: u32, activity: Activity) -> Result<bool>;
    /// All targets, oldest first.
    async fn alert_target_list(&self) -> Result<Vec<AlertTarget>>;
    /// One of them.
    async fn alert_target_get(&self, id: AlertTargetId) -> Result<Option<AlertTarget>>;
    /// Replaces a target, except its last try; `false` when there is none.
    async fn alert_target_update(&self, target: AlertTarget, activity: Activity) -> Result<bool>;
    /// Deletes a target with what was told to it; `false` when there is none.
    async fn alert_target_delete(&self, id: AlertTargetId, activity: Activity) -> Result<bool>;
    /// Notes a try; what was told by it, and an entry of the activity log, may go with it. Of a target
    /// that is gone nothing is noted.
    async fn alert_tried(
        &self,
        target: AlertTargetId,
        tried: AlertTry,
        told: Option<Told>,
        activity: Option<Activity>,
    ) -> Result<()>;
    /// All that was told last, of each target, kind and subject.
    async fn alert_told(&self) -> Result<Vec<Told>>;
    /// Forgets what was told of a trouble that is over.
    async fn alert_forget(&self, target: AlertTargetId, kind: AlertKind, subject: String) -> Result<()>;
    /// Endpoints of all apps that were switched off for their failures, and active ones with at least
    /// `failures` failed attempts in a row (`None`: none of these). Deleted ones are left out.
    async fn endpoint_troubles(&self, failures: Option<u32>) -> Result<Vec<EndpointTrouble>>;
}
