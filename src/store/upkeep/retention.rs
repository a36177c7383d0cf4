//! Removing what has expired, in steps: one call is one transaction with a limit, because other writes wait
//! for it. [`crate::domain::sweep`] says how long a step may take.
//!
//! Statistics by the hour and totals are never removed.

use std::time::Duration;

use async_trait::async_trait;

use crate::domain::retention::PagePolicy;
use crate::domain::{Activity, AppId, Timestamp};
use crate::store::Result;

/// How large a step may become. It ends with the first of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepLimit {
    /// Rows that are removed, or looked at.
    pub rows: u32,
    /// How long it may run, without its commit.
    pub time: Duration,
    /// How long it may run while other writers wait.
    pub time_contended: Duration,
}

impl StepLimit {
    /// By the number of rows alone.
    pub fn rows(rows: u32) -> StepLimit {
        StepLimit { rows, time: Duration::MAX, time_contended: Duration::MAX }
    }
}

/// What one step did, and where the next one goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SweepStep {
    /// Rows that were removed.
    pub removed: u64,
    /// Where to go on; `None` when nothing is left to look at.
    pub next: Option<i64>,
    /// The last row that was passed, where rows are walked by number.
    pub reached: i64,
    /// When the newest removed row was made; `None`: nothing was removed, or nobody needs to know.
    pub newest: Option<Timestamp>,
    /// How long it ran, without its commit.
    pub ran: Duration,
    /// Whether `removed` is an estimate: the rows went without being counted.
    pub is_estimated: bool,
}

/// Rows made before these times have expired; `None`: rows of this kind never do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cutoffs {
    pub attempts: Option<Timestamp>,
    pub events: Option<Timestamp>,
    /// Idempotency keys.
    pub keys: Timestamp,
}

/// Where expired rows are, estimated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expired {
    /// The last row of the log and the last event that have expired.
    pub attempts_to: i64,
    pub events_to: i64,
    /// There is no row of the log up to this one, and no event with a payload.
    pub attempts_from: i64,
    pub events_from: i64,
    /// How many numbers there are to a row, on average; where rows are numbered one by one, 1.
    pub attempts_spread: i64,
    pub events_spread: i64,
    /// Idempotency keys; a large number of them is not counted to its end.
    pub keys: u64,
}

/// What the writer did since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WriterLoad {
    /// Commands of all kinds; each step is one.
    pub commands: u64,
    /// The time that it needed for them and their commits.
    pub busy: Duration,
}

/// Retention. `after` is 0 at first and then what the last step returned.
#[async_trait]
pub trait RetentionStore: Send + Sync {
    /// Removes deliveries, each as a whole, whose newest attempt was made before `before` and is not
    /// pending, with their details, and events that were only kept for them. A run of rows that
    /// are all younger, and some thousands after it too, ends the walk.
    async fn retention_attempts(&self, after: i64, before: Timestamp, limit: StepLimit) -> Result<SweepStep>;
    /// Removes the payloads of events made before `before` that have no pending attempt: of an app, or of all.
    /// They are in no list from then on; their rows go when no attempt and no idempotency key refers to them.
    async fn retention_events(
        &self,
        app: Option<AppId>,
        after: i64,
        before: Timestamp,
        limit: StepLimit,
    ) -> Result<SweepStep>;
    /// Forgets idempotency keys that were first used at or before `before`.
    async fn retention_keys(&self, before: Timestamp, limit: StepLimit) -> Result<SweepStep>;
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
    /// Where expired rows are. Nothing is written and no writer waits.
    async fn retention_expired(&self, cutoffs: Cutoffs) -> Result<Expired>;
    /// How busy the writer is.
    fn retention_load(&self) -> WriterLoad;
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
