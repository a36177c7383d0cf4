//! Where alerts go, what was told to whom, and which endpoints are in trouble.

use async_trait::async_trait;

use crate::domain::alert::{AlertTarget, AlertTry, Told};
use crate::domain::health::Record;
use crate::domain::{Activity, AlertKind, AlertTargetId, AppId, EndpointId, EndpointStatus, Timestamp};
use crate::store::Result;

/// An endpoint, as far as alerts look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedEndpoint {
    pub id: EndpointId,
    pub app_id: AppId,
    pub app_name: String,
    pub name: String,
    pub url: String,
    pub status: EndpointStatus,
    /// Of a disabled one: why, in a sentence.
    pub status_reason: Option<String>,
    /// Of a disabled one: when it was switched off.
    pub disabled_at: Option<Timestamp>,
    pub consecutive_failures: u32,
    /// Whether its outage was announced, and is not over.
    pub is_failing: bool,
    /// Whether only probes are sent.
    pub is_on_hold: bool,
    /// An e-mail address or a URL.
    pub contact: Option<String>,
    pub record: Record,
}

/// Attempts that fail for a cause of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalFailures {
    /// When the first of them failed so.
    pub since: Timestamp,
    /// How many are pending, counted up to a cap.
    pub pending: u64,
    /// Of the first of them: a sentence.
    pub message: String,
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
    /// Notes a try; what was told by it, and an entry of the activity log, may go with it. The contact of an
    /// endpoint goes by the endpoint's id. Of a target that is gone nothing is noted.
    async fn alert_tried(
        &self,
        target: AlertTargetId,
        tried: AlertTry,
        told: Option<Told>,
        activity: Option<Activity>,
    ) -> Result<()>;
    /// Notes what a target does not hear of, but what a later alert depends on.
    async fn alert_track(&self, told: Told) -> Result<()>;
    /// All that was told last, of each target or contact, kind and subject.
    async fn alert_told(&self) -> Result<Vec<Told>>;
    /// Forgets what was told of a trouble that is over.
    async fn alert_forget(&self, target: AlertTargetId, kind: AlertKind, subject: String) -> Result<()>;
    /// Endpoints of all apps to which something was sent, and disabled ones. Deleted ones are left out.
    async fn watched_endpoints(&self) -> Result<Vec<WatchedEndpoint>>;
    /// Whether an endpoint has a contact.
    async fn has_contacts(&self) -> Result<bool>;
    /// How many deliveries of these endpoints became exhausted from `since` to before `until`, to the minute;
    /// those with none are left out.
    async fn exhausted_counts(
        &self,
        endpoints: Vec<EndpointId>,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<(EndpointId, u64)>>;
    /// Attempts that fail for a cause of this machine, counted up to `cap`; `None`: there are none.
    async fn local_failures(&self, cap: u64) -> Result<Option<LocalFailures>>;
}
