//! What storage can do, as traits: one method is one intent is one transaction.
//!
//! The queue is the log: a delivery is a chain of rows of one table, and the rows with status
//! `pending` are the queue. Nothing is kept twice, so nothing has to be reconciled after a crash.
//!
//! Rules for every implementation:
//! * `now` is always a parameter; times cross as [`Timestamp`].
//! * A method that returns `Ok` has made its change durable.
//! * No truth lives only in memory. Wake-ups ([`Queued`]) are hints; the table is the truth.
//! * How an attempt changes is asked of [`crate::domain::attempts::transition::apply`], inside the transaction.
//! * Nothing of the implementation (connections, SQL, its errors' types) appears here.
//!
//! `tests/it/store/` holds the conformance suite, written against these traits.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::domain::EventType;
use crate::domain::access::activity::{Activity, ActivityKind};
use crate::domain::attempts::attempt::{Attempt, AttemptDetail, AttemptStatus, Budget, Outcome, Trigger};
use crate::domain::attempts::retry::Schedule;
use crate::domain::attempts::transition::Rules;
use crate::domain::endpoint::{Endpoint, EndpointHeader, EndpointSettings, EndpointStatus};
use crate::domain::event::Event;
use crate::domain::{
    App, AppId, AttemptId, EndpointId, EventId, EventPattern, Key, Sealed, Span, Timestamp, User,
};

pub use self::retention::{RetentionStore, Step};
pub use self::secrets::{Reseal, Resealed, SealAgain, SecretsStore};
pub use self::statistics::{
    EndpointFigures, ErrorCount, HealthFigures, MINUTES_KEPT_MS, Point, StatsStore, Times, Totals,
};
pub use crate::domain::event::EventDetail;
pub use crate::domain::filter::{
    AttemptFilter, EndpointFilter, EventFilter, LogKey, Sort, SortField, SortValue, StatusFilter, TypeFilter,
};
pub use crate::domain::values::list::{Page, PageRequest, Start, TOTAL_CAP, Total};

mod alerts;
mod export;
mod jobs;
mod live;
mod moving;
mod overview;
pub mod recent;
pub mod retention;
pub mod secrets;
mod sessions;
pub mod sqlite;
pub mod statistics;

pub use alerts::{AlertStore, EndpointTrouble};
pub use jobs::{JOB_STEP, JobMade, JobNote, JobStep, JobStore, NoJob};
pub use recent::RecentStore;

pub use export::{EXPORT_AHEAD, ExportPage, ExportPlace, ExportStore};
pub use live::{FinishPlace, FinishedPage, LiveStore};
pub use moving::{Import, MovingStore};
pub use overview::{DueFigures, EndpointBrief, HourCount, OverviewStore, StorageFacts};
pub use sessions::{SessionStore, UserChange};

/// Why storage did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// More work is waiting than is allowed to; try again in a second.
    #[error("storage is overloaded")]
    Overloaded,
    /// The disk is full; reads go on.
    #[error("storage is full")]
    Full,
    /// Storage has been closed.
    #[error("storage is closed")]
    Closed,
    /// Another process has these files.
    #[error("{path} is in use by another postrider")]
    InUse { path: String },
    /// The files were written by a newer version of the program.
    #[error("the database has version {found}, this program knows up to {known}: use a newer postrider")]
    Newer { found: i64, known: i64 },
    /// The files are not what they should be; `what` is how the storage itself puts it.
    #[error("the database is damaged: {what}")]
    Damaged { what: String },
    /// Anything else; `doing` says what was being done.
    #[error("storage failed while {doing}")]
    Failed {
        doing: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The result of a storage method.
pub type Result<T> = std::result::Result<T, StoreError>;

/// All of storage.
pub trait Store:
    AppStore
    + KeyStore
    + UserStore
    + ActivityStore
    + EndpointStore
    + EventStore
    + LogStore
    + ExportStore
    + LiveStore
    + QueueStore
    + RecentStore
    + StatsStore
    + RetentionStore
    + SecretsStore
    + JobStore
    + SessionStore
    + OverviewStore
    + AlertStore
    + MovingStore
{
}

impl<T> Store for T where
    T: AppStore
        + KeyStore
        + UserStore
        + ActivityStore
        + EndpointStore
        + EventStore
        + LogStore
        + ExportStore
        + LiveStore
        + QueueStore
        + StatsStore
        + RecentStore
        + RetentionStore
        + SecretsStore
        + JobStore
        + SessionStore
        + OverviewStore
        + AlertStore
        + MovingStore
{
}

// ---------------------------------------------------------------------------------------------
// Apps, keys, people, activity

/// What became of a new name for an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppRenamed {
    Done,
    /// There is no such app.
    NotFound,
    /// Another app has this name.
    NameTaken,
}

/// Apps.
#[async_trait]
pub trait AppStore: Send + Sync {
    /// Makes an app; `false` when the name is taken.
    async fn app_insert(&self, app: App, activity: Activity) -> Result<bool>;
    /// All apps by name.
    async fn app_list(&self) -> Result<Vec<App>>;
    /// Gives an app another name.
    async fn app_rename(&self, id: AppId, name: String, activity: Activity) -> Result<AppRenamed>;
    /// The app with this id.
    async fn app_get(&self, id: AppId) -> Result<Option<App>>;
    /// The app with this name.
    async fn app_find(&self, name: &str) -> Result<Option<App>>;
}

/// API keys.
#[async_trait]
pub trait KeyStore: Send + Sync {
    /// Keeps a new key.
    async fn key_insert(&self, key: Key, activity: Activity) -> Result<()>;
    /// The key with this id (without prefix), whatever its state.
    async fn key_get(&self, id: &str) -> Result<Option<Key>>;
    /// All keys, newest first; of one app or of all.
    async fn key_list(&self, app: Option<AppId>) -> Result<Vec<Key>>;
    /// Ends a key; `false` when there is none or it has been revoked before.
    async fn key_revoke(&self, id: &str, now: Timestamp, activity: Activity) -> Result<bool>;
    /// Notes that a key was used.
    async fn key_touch(&self, id: &str, now: Timestamp) -> Result<()>;
}

/// People.
#[async_trait]
pub trait UserStore: Send + Sync {
    /// Keeps a new user and voids the set-up link; `false` when the address is taken.
    async fn user_insert(&self, user: User, password_hash: String, activity: Activity) -> Result<bool>;
    /// All users by address.
    async fn user_list(&self) -> Result<Vec<User>>;
    /// Replaces a user's password and ends their sessions; `false` when there is no such user.
    async fn user_set_password(&self, email: &str, password_hash: String, activity: Activity)
    -> Result<bool>;
    /// A user and the hash of the password.
    async fn user_find(&self, email: &str) -> Result<Option<(User, String)>>;
}

/// Which entries of the activity log are meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ActivityFilter {
    pub kind: Option<ActivityKind>,
    /// At or after.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
}

/// An entry with its number, which is never used twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivityEntry {
    pub id: i64,
    pub activity: Activity,
}

/// The record of what the system and people did. Nothing of it is ever changed.
#[async_trait]
pub trait ActivityStore: Send + Sync {
    /// Adds an entry that belongs to no other change.
    async fn activity_append(&self, activity: Activity) -> Result<()>;
    /// The newest entries, newest first.
    async fn activity_recent(&self, limit: u32) -> Result<Vec<Activity>>;
    /// Entries of all apps and of the server as a whole, newest first. The key is their number.
    async fn activity_list(
        &self,
        filter: ActivityFilter,
        page: PageRequest<i64>,
    ) -> Result<Page<ActivityEntry, i64>>;
}

// ---------------------------------------------------------------------------------------------
// Endpoints

/// What changes about an endpoint; `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointPatch {
    pub url: Option<String>,
    pub name: Option<String>,
    pub description: Option<Option<String>>,
    pub events: Option<Vec<EventPattern>>,
    pub headers: Option<Vec<EndpointHeader>>,
    pub encrypted: Option<bool>,
    pub retry_schedule: Option<Option<Schedule>>,
    pub timeout: Option<Option<Span>>,
    pub rate_limit: Option<Option<u32>>,
    /// Set by a person: clears `status_reason`; `Active` also clears the failure counter; `Disabled`
    /// cancels what is pending.
    pub status: Option<EndpointStatus>,
}

impl EndpointPatch {
    /// The patch that replaces all settings and leaves the status.
    pub fn whole(settings: EndpointSettings) -> EndpointPatch {
        EndpointPatch {
            url: Some(settings.url),
            name: Some(settings.name),
            description: Some(settings.description),
            events: Some(settings.events),
            headers: Some(settings.headers),
            encrypted: Some(settings.encrypted),
            retry_schedule: Some(settings.retry_schedule),
            timeout: Some(settings.timeout),
            rate_limit: Some(settings.rate_limit),
            status: None,
        }
    }
}

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

// ---------------------------------------------------------------------------------------------
// Events

/// An event to take in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    pub event_type: EventType,
    pub payload: Bytes,
    pub resource_id: Option<String>,
    pub idempotency_key: Option<String>,
}

/// An attempt that has just become pending: a hint for the dispatcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queued {
    pub attempt_id: AttemptId,
    pub endpoint_id: EndpointId,
    pub due_at: Timestamp,
    /// A single shot, which goes before everything else.
    pub single: bool,
    /// Part of a bulk job, which goes behind everything else of its endpoint.
    pub bulk: bool,
}

/// An event that was taken in, now or when its idempotency key was first seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    pub event: Event,
    /// The attempts it made; empty for a repetition, and for paused endpoints' (they wait).
    pub queued: Vec<Queued>,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// All of it is on disk; one result for each, in order.
    All(Vec<Accepted>),
    /// None of it: the event at this index has an idempotency key that stands for another event.
    KeyConflict { index: usize },
}

/// How often clients have posted a type, over all time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventTypeCount {
    pub event_type: EventType,
    pub count: u64,
    pub last_seen_at: Option<Timestamp>,
}

/// Events.
#[async_trait]
pub trait EventStore: Send + Sync {
    /// Takes in one event or a batch, whole or not at all: each event, one pending attempt for each
    /// endpoint of the app that is not disabled and wants it, and its idempotency key.
    async fn event_insert(&self, app: AppId, events: Vec<NewEvent>, now: Timestamp) -> Result<Taken>;
    /// Events of an app that clients posted or the system emitted, newest first. The key is the
    /// storage's own order.
    async fn event_list(
        &self,
        app: AppId,
        filter: EventFilter,
        page: PageRequest<i64>,
    ) -> Result<Page<Event, i64>>;
    /// The types of what clients have posted to an app, by name. The key is the name.
    async fn event_type_list(
        &self,
        app: AppId,
        page: PageRequest<String>,
    ) -> Result<Page<EventTypeCount, String>>;
    /// An event of this app, test events included.
    async fn event_get(&self, app: AppId, id: EventId) -> Result<Option<EventDetail>>;
}

// ---------------------------------------------------------------------------------------------
// The delivery log

/// What became of a wish to send again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retried {
    /// No such attempt in this app.
    NotFound,
    /// The delivery is under way already.
    Pending,
    /// The endpoint was deleted; there is nowhere to send.
    EndpointDeleted,
    /// Retention has taken the payload; there is nothing to send.
    EventGone,
    /// This attempt is pending now.
    Queued(Box<Attempt>, Queued),
}

/// A test delivery that has been made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestDelivery {
    pub endpoint_id: EndpointId,
    pub event_id: EventId,
    pub event_type: EventType,
    pub payload: Bytes,
    pub created_at: Timestamp,
    pub outcome: Outcome,
}

/// The log of attempts.
#[async_trait]
pub trait LogStore: Send + Sync {
    /// Rows of the log of an app. Rows of deleted endpoints are there too.
    async fn attempt_list(
        &self,
        app: AppId,
        filter: AttemptFilter,
        sort: Sort,
        page: PageRequest<LogKey>,
    ) -> Result<Page<Attempt, LogKey>>;
    /// One row with everything that is kept.
    async fn attempt_get(&self, app: AppId, id: AttemptId) -> Result<Option<AttemptDetail>>;
    /// A person's wish to send again, by any row of the delivery. `exhausted`: attempt n+1, as a single
    /// shot; `delivered`, `cancelled`: a new delivery, also a single shot.
    async fn attempt_retry(
        &self,
        app: AppId,
        id: AttemptId,
        now: Timestamp,
        activity: Activity,
    ) -> Result<Retried>;
    /// Logs a test delivery: its event (origin `test`) and its attempt, finished; counted nowhere.
    async fn test_record(&self, app: AppId, test: TestDelivery) -> Result<AttemptId>;
}

// ---------------------------------------------------------------------------------------------
// The queue: the pending rows of the log

/// An endpoint that has pending attempts and may be sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndpointQueue {
    pub endpoint_id: EndpointId,
    /// When the earliest of its pending attempts is due.
    pub earliest: Timestamp,
}

/// When the earliest pending attempts are, or were, due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Oldest {
    /// Of all, those that wait for a paused endpoint included.
    pub of_all: Option<Timestamp>,
    /// Of those that are to be sent when they are due.
    pub of_active: Option<Timestamp>,
}

/// What is due at one endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Due {
    /// In the order of (due_at, id), without those of bulk jobs.
    pub attempts: Vec<AttemptId>,
    /// Whether more was due than the limit let through.
    pub more: bool,
    /// The same for bulk jobs, with a limit of their own.
    pub bulk: Vec<AttemptId>,
    pub more_bulk: bool,
    /// When the next one that is not yet due will be, as far as that is known; `None` when `more`
    /// and `more_bulk`, or when there is none.
    pub next_due: Option<Timestamp>,
    /// The endpoint's `rate_limit`, requests a second; also while it is not active, for single shots.
    pub rate_limit: Option<u32>,
    /// Whether the endpoint's last delivery attempt failed.
    pub failing: bool,
}

/// An attempt with all that is needed to send it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedAttempt {
    pub id: AttemptId,
    pub attempt: u32,
    pub trigger: Trigger,
    pub budget: Budget,
    pub event_id: EventId,
    pub event_type: EventType,
    pub payload: Bytes,
    pub endpoint: Arc<Endpoint>,
}

/// The policy that the end of an attempt is judged by.
#[derive(Debug, Clone, PartialEq)]
pub struct FinishRules {
    pub rules: Rules,
    /// For endpoints that have none of their own.
    pub default_schedule: Arc<Schedule>,
}

/// What the end of an attempt led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finished {
    /// The row is written.
    Done {
        status: AttemptStatus,
        /// The retry, if one is scheduled, and first attempts of system events.
        queued: Vec<Queued>,
        /// Whether this attempt switched its endpoint off.
        disabled: bool,
    },
    /// The row was finished before, or is gone; nothing was changed.
    Stale,
}

/// The pending rows, as the dispatcher sees them.
#[async_trait]
pub trait QueueStore: Send + Sync {
    /// The active endpoints (not paused, disabled or deleted) that have pending attempts, single
    /// shots apart; the cost follows their number, not that of the attempts.
    async fn queue_endpoints(&self) -> Result<Vec<EndpointQueue>>;
    /// What is due at an endpoint, single shots apart; nothing unless it is active. `limit` holds for
    /// fresh attempts and for bulk ones each.
    async fn queue_due(&self, endpoint: EndpointId, now: Timestamp, limit: u32) -> Result<Due>;
    /// Single shots that are due, over all endpoints, in the order of (due_at, id).
    async fn queue_singles(&self, now: Timestamp, limit: u32) -> Result<Vec<Queued>>;
    /// What is needed to send these attempts, in any order. Those that are no longer pending, whose
    /// endpoint is deleted or is not active (single shots apart), or whose job was stopped, are left out.
    async fn queue_load(&self, attempts: Vec<AttemptId>) -> Result<Vec<LoadedAttempt>>;
    /// Writes the end of an attempt: the row, the details, the next row, the endpoint's counter and
    /// status, the roll-ups, and what a disabling brings with it, in one transaction.
    async fn attempt_finish(
        &self,
        id: AttemptId,
        outcome: Arc<Outcome>,
        rules: FinishRules,
    ) -> Result<Finished>;
    /// Cancels up to `limit` pending attempts of endpoints that are deleted or disabled, and of bulk jobs
    /// that were stopped, and says how many there were. Single shots of disabled endpoints stay: a person asked for them after.
    async fn queue_cancel(&self, limit: u32) -> Result<u32>;
    /// Since when attempts have been due, at endpoints that are active or paused; `None` when nothing is
    /// pending. The cost follows the number of endpoints that have something pending.
    async fn queue_oldest(&self) -> Result<Oldest>;
    /// How many attempts are pending, counted up to `cap`.
    async fn queue_depth(&self, cap: u64) -> Result<u64>;
}
