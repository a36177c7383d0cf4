//! Taking away what has grown old, in small steps: one call is one transaction that removes a bounded
//! number of rows, so that other writes wait for a few milliseconds at most.
//!
//! Statistics by the hour and totals are never taken.

use async_trait::async_trait;

use crate::domain::retention::PagePolicy;
use crate::domain::{Activity, AppId, Timestamp};
use crate::store::Result;

/// What one step did, and where the next one goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SweepStep {
    /// Rows that were removed.
    pub removed: u64,
    /// Where to go on; `None` when nothing is left to look at.
    pub next: Option<i64>,
}

/// Retention. `after` is 0 at first and then what the last step gave; `limit` bounds a step.
#[async_trait]
pub trait RetentionStore: Send + Sync {
    /// Removes deliveries, each as a whole, whose newest attempt was made before `before` and is not
    /// pending, with their details, and events that were only kept for them. A run of `limit` rows that
    /// are all younger, and some thousands after it too, ends the walk.
    async fn retention_attempts(&self, after: i64, before: Timestamp, limit: u32) -> Result<SweepStep>;
    /// Takes the payloads of an app's events made before `before` that have no pending attempt. They are
    /// in no list from then on; their rows go when no attempt and no idempotency key refers to them.
    async fn retention_events(
        &self,
        app: AppId,
        after: i64,
        before: Timestamp,
        limit: u32,
    ) -> Result<SweepStep>;
    /// Forgets idempotency keys that were first used at or before `before`.
    async fn retention_keys(&self, before: Timestamp, limit: u32) -> Result<SweepStep>;
    /// Removes long header values that were stored once for many attempts and that no attempt refers to any
    /// more.
    async fn retention_header_values(&self, limit: u32) -> Result<SweepStep>;
    /// Removes statistics by the minute from before `before`.
    async fn retention_minutes(&self, after: i64, before: Timestamp, limit: u32) -> Result<SweepStep>;
    /// Removes requests of the inbound log from before `before`.
    async fn retention_inbound(&self, before: Timestamp, limit: u32) -> Result<SweepStep>;
    /// Forgets dedupe keys and hourly counts of sources from before `before`, and deleted sources that no event and no
    /// request refers to.
    async fn retention_sources(&self, before: Timestamp, limit: u32) -> Result<SweepStep>;
    /// Removes entries of the activity log from before `before`.
    async fn retention_activity(&self, before: Timestamp, limit: u32) -> Result<SweepStep>;
    /// Gives up to `pages` free pages back to the file system, as long as more than a tenth of the file
    /// is free; says how many pages went.
    async fn retention_shrink(&self, pages: u32) -> Result<u64>;
    /// How much has been written since the start, in commands of whatever kind; each step is one. Who
    /// asks before and after knows whether others write too.
    fn retention_written(&self) -> u64;
    /// What the Retention page says.
    async fn retention_page(&self) -> Result<PagePolicy>;
    /// Changes what the page says.
    async fn retention_set_page(&self, page: PagePolicy, activity: Activity) -> Result<()>;
    /// The latest time that was noted with [`RetentionStore::clock_note`].
    async fn clock_seen(&self) -> Result<Option<Timestamp>>;
    /// Notes the time, if it is the latest one, or whatever it is when `anyway`; an entry of the activity
    /// log may go with it.
    async fn clock_note(&self, now: Timestamp, anyway: bool, activity: Option<Activity>) -> Result<()>;
}
