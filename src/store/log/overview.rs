//! What an overview shows: all endpoints of an app, pending deliveries, and how large storage is. None of
//! it walks over the log.

use async_trait::async_trait;

use crate::domain::{AppId, AttemptStatus, EndpointId, EndpointStatus, EventId, Timestamp};
use crate::store::Result;

/// An endpoint, as far as it is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointBrief {
    pub id: EndpointId,
    pub name: String,
    pub url: String,
    pub status: EndpointStatus,
    pub status_reason: Option<String>,
}

/// What is to be sent now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DueFigures {
    /// Attempts that are due, those in flight included; exact up to the cap.
    pub due: u64,
    /// When the earliest of them was due.
    pub oldest_due_at: Option<Timestamp>,
}

/// Attempts of an endpoint in an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HourCount {
    pub endpoint_id: EndpointId,
    pub start: Timestamp,
    pub delivered: u64,
    pub exhausted: u64,
}

/// How the deliveries of an event stand, each by its newest attempt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EventOutcome {
    pub delivered: u64,
    /// Not sent yet.
    pub pending: u64,
    /// Pending after a failed attempt.
    pub retrying: u64,
    pub exhausted: u64,
    pub cancelled: u64,
}

impl EventOutcome {
    /// Counts a delivery whose newest attempt has this status; `is_later`: it is not the first.
    pub(crate) fn count(&mut self, status: AttemptStatus, is_later: bool) {
        let place = match (status, is_later) {
            (AttemptStatus::Delivered, _) => &mut self.delivered,
            (AttemptStatus::Pending, false) => &mut self.pending,
            (AttemptStatus::Pending, true) => &mut self.retrying,
            (AttemptStatus::Exhausted | AttemptStatus::Failed, _) => &mut self.exhausted,
            (AttemptStatus::Cancelled, _) => &mut self.cancelled,
        };
        *place += 1;
    }
}

/// How large storage is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageFacts {
    /// What it is, and its version.
    pub kind: &'static str,
    pub version: String,
    pub database_bytes: u64,
    /// Of these, not in use.
    pub free_bytes: u64,
    /// What is written, and not yet in the database proper.
    pub wal_bytes: u64,
    /// Rows of the log, estimated from the first and the last.
    pub attempts: u64,
    /// Events, in the same way.
    pub events: u64,
    /// When the first row of the log was made.
    pub oldest_attempt_at: Option<Timestamp>,
}

/// Overviews.
#[async_trait]
pub trait OverviewStore: Send + Sync {
    /// The endpoints of an app, newest first; deleted ones left out.
    async fn endpoint_briefs(&self, app: AppId) -> Result<Vec<EndpointBrief>>;
    /// What an app's active endpoints are to be sent at `now`; counts no further than `cap`.
    async fn due_figures(&self, app: AppId, now: Timestamp, cap: u32) -> Result<DueFigures>;
    /// The hours of these endpoints of an app in which something was delivered or exhausted, from `since`
    /// (a whole hour) on, in no order. Deleted and unknown endpoints are left out.
    async fn endpoint_hours(
        &self,
        app: AppId,
        endpoints: Vec<EndpointId>,
        since: Timestamp,
    ) -> Result<Vec<HourCount>>;
    /// How the deliveries of these events of an app stand, in the same order; unknown events are left out. Of each,
    /// no more than `most` deliveries are counted.
    async fn event_outcomes(
        &self,
        app: AppId,
        events: Vec<EventId>,
        most: u32,
    ) -> Result<Vec<(EventId, EventOutcome)>>;
    /// How large storage is, over all apps.
    async fn storage_facts(&self) -> Result<StorageFacts>;
}
