//! Events: accepting and reading them.

use async_trait::async_trait;

use crate::domain::EventType;
use crate::domain::event::{Event, EventDetail, NewEvent};
use crate::domain::{AppId, EventId, Timestamp};
use crate::store::queue::pending::Queued;
use crate::store::{EventFilter, Page, PageRequest, Result, SearchPage};

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
    /// None of it: the key of the batch stands for another batch or event.
    BatchConflict,
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
    /// Takes in a batch, as [`Self::event_insert`] does, under an idempotency key for the whole of it: the same
    /// events again are answered with those that were taken in first.
    async fn event_batch_insert(
        &self,
        app: AppId,
        key: String,
        events: Vec<NewEvent>,
        now: Timestamp,
    ) -> Result<Taken>;
    /// Events whose payload contains the text of a filter, newest first. Reads for a bounded time; the page after it
    /// goes on.
    async fn event_search(
        &self,
        app: AppId,
        filter: EventFilter,
        page: PageRequest<i64>,
    ) -> Result<SearchPage<Event, i64>>;
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
