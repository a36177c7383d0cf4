//! Sources, the requests to them, and the events that these become.

use std::collections::HashMap;

use async_trait::async_trait;
use bytes::Bytes;

use crate::domain::event::Event;
use crate::domain::inbound::source::{
    EventSource, InboundOutcome, OutcomeCounts, Source, SummaryText, TokenHash,
};
use crate::domain::{Activity, AppId, EventId, EventType, Headers, SourceId, Timestamp};
use crate::store::queue::pending::Queued;
use crate::store::{Page, PageRequest, Result};

/// What became of writing a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceWrite {
    Written,
    /// The app has as many as may be.
    TooMany,
    /// Another source of the app has the name.
    NameTaken,
    /// It was changed or deleted meanwhile.
    Changed,
}

/// How much a source is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SourceUse {
    pub last_request_at: Option<Timestamp>,
    /// Of the last 24 hours.
    pub counts: OutcomeCounts,
}

/// A request as the inbound log keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundEntry {
    pub outcome: InboundOutcome,
    pub reason: Option<String>,
    pub status: u16,
    pub client_ip: Option<String>,
    pub method: String,
    pub path: Option<String>,
    /// Bytes of the body.
    pub size: u64,
    /// Lower-case names; secret values are masked.
    pub headers: Headers,
    /// A JSON object; secret values are masked.
    pub query: Option<String>,
    /// `None`: the payload of the event.
    pub body: Option<InboundBody>,
}

/// A body in the inbound log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundBody {
    pub bytes: Bytes,
    pub content: BodyContent,
}

/// What the bytes of an [`InboundBody`] are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyContent {
    /// The body as it came.
    Whole,
    /// What it is as a payload: files were left out.
    Payload,
    /// The beginning of the body.
    Cut,
}

/// An event that a request becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundEvent {
    /// The app and the name of the source, and its summary, as filters see them.
    pub app_id: AppId,
    pub source_name: String,
    pub summary: Option<SummaryText>,
    pub event_type: EventType,
    pub payload: Bytes,
    pub resource_id: Option<String>,
    /// Remembered for 24 hours.
    pub dedupe: Option<[u8; 32]>,
    pub hops: u32,
}

/// What became of a request that is to be an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InboundTaken {
    /// The event, and the attempts that it made.
    Event { event: Event, queued: Vec<Queued> },
    /// One with the same dedupe key was taken in before, as this event.
    Duplicate { event: Option<EventId> },
    /// The source was deleted meanwhile.
    NoSource,
}

/// Which requests of a source are listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InboundFilter {
    pub outcome: Option<InboundOutcome>,
    /// Included.
    pub since: Option<Timestamp>,
    /// Not included.
    pub until: Option<Timestamp>,
}

/// A row of the inbound log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundRow {
    pub id: i64,
    pub source_id: SourceId,
    pub received_at: Timestamp,
    pub outcome: InboundOutcome,
    pub reason: Option<String>,
    pub status: u16,
    pub client_ip: Option<String>,
    pub method: String,
    pub path: Option<String>,
    pub size: u64,
    pub event: Option<(EventId, EventType)>,
}

/// A row of the inbound log with everything that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundDetail {
    pub row: InboundRow,
    pub headers: Headers,
    pub query: Option<String>,
    /// `None`: the payload of the event.
    pub body: Option<InboundBody>,
    /// The payload of the event, as long as it is kept.
    pub payload: Option<Bytes>,
}

/// Sources. Those that were deleted are found by [`SourceStore::source_of_event`] only.
#[async_trait]
pub trait SourceStore: Send + Sync {
    /// Inserts a new source, if its app has fewer than `most`.
    async fn source_insert(&self, source: Source, most: u32, activity: Activity) -> Result<SourceWrite>;
    /// A source of this app.
    async fn source_get(&self, app: AppId, id: SourceId) -> Result<Option<Source>>;
    /// Sources of an app, newest first (descending id).
    async fn source_list(&self, app: AppId, page: PageRequest<SourceId>) -> Result<Page<Source, SourceId>>;
    /// Writes a source that was last changed at `read_at`; [`SourceWrite::Changed`] if it was changed since.
    async fn source_update(
        &self,
        source: Source,
        read_at: Timestamp,
        activity: Activity,
    ) -> Result<SourceWrite>;
    /// Deletes a source: its URL is unknown from then on, its secrets are gone, its events stay. `false` when there
    /// was none.
    async fn source_delete(
        &self,
        app: AppId,
        id: SourceId,
        now: Timestamp,
        activity: Activity,
    ) -> Result<bool>;
    /// How much the sources of an app are used; those without any request are left out.
    async fn source_uses(&self, app: AppId, now: Timestamp) -> Result<HashMap<SourceId, SourceUse>>;
    /// The enabled source whose URL has this token, or had it until after `now`.
    async fn source_of_token(&self, token: TokenHash, now: Timestamp) -> Result<Option<Source>>;
    /// The source that an event of this app came by, also if it was deleted since.
    async fn source_of_event(&self, app: AppId, event: EventId) -> Result<Option<EventSource>>;

    /// Writes a request that becomes no event to the inbound log. Of those that strangers can cause, only the newest
    /// of a source are kept.
    async fn inbound_note(&self, source: SourceId, entry: InboundEntry, now: Timestamp) -> Result<()>;
    /// Takes in a request: the event, one pending attempt for each endpoint that wants it, the dedupe key, and the
    /// row of the inbound log. With a key that was seen in the last 24 hours only the row is written, with
    /// [`InboundOutcome::Duplicate`].
    async fn inbound_take(
        &self,
        source: SourceId,
        entry: InboundEntry,
        event: InboundEvent,
        now: Timestamp,
    ) -> Result<InboundTaken>;
    /// Takes in an event from a request that the inbound log has already, without a dedupe key.
    async fn inbound_replay(
        &self,
        source: SourceId,
        event: InboundEvent,
        activity: Activity,
        now: Timestamp,
    ) -> Result<InboundTaken>;
    /// The inbound log of a source, newest first.
    async fn inbound_list(
        &self,
        app: AppId,
        source: SourceId,
        filter: InboundFilter,
        page: PageRequest<i64>,
    ) -> Result<Page<InboundRow, i64>>;
    /// A request of the inbound log.
    async fn inbound_get(&self, app: AppId, source: SourceId, id: i64) -> Result<Option<InboundDetail>>;
}
