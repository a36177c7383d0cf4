//! The delivery log: its lists and details, manual retries, and test deliveries.

use async_trait::async_trait;
use bytes::Bytes;

use crate::domain::EventType;
use crate::domain::access::activity::Activity;
use crate::domain::attempts::attempt::{Attempt, AttemptDetail, Outcome};
use crate::domain::{AppId, AttemptId, EndpointId, EventId, Timestamp};
use crate::store::{AttemptFilter, LogKey, Page, PageRequest, Queued, Result, SearchPage, Sort};

/// The result of a manual retry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retried {
    /// No such attempt in this app.
    NotFound,
    /// The delivery is in flight.
    InFlight,
    /// The endpoint was deleted; there is nowhere to send.
    EndpointDeleted,
    /// Retention has taken the payload; there is nothing to send.
    EventGone,
    /// This attempt is due now.
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
    /// Rows of the log that a filter with a text means ([`AttemptFilter::reads_rows`]), in the default order of its
    /// view. Reads for a bounded time; the page after it goes on.
    async fn attempt_search(
        &self,
        app: AppId,
        filter: AttemptFilter,
        page: PageRequest<LogKey>,
    ) -> Result<SearchPage<Attempt, LogKey>>;
    /// One row with everything that is kept.
    async fn attempt_get(&self, app: AppId, id: AttemptId) -> Result<Option<AttemptDetail>>;
    /// The endpoint of an attempt.
    async fn attempt_endpoint(&self, app: AppId, id: AttemptId) -> Result<Option<EndpointId>>;
    /// A person's wish to send now, by any row of the delivery. `exhausted`: attempt n+1, as a single
    /// shot; `delivered`, `cancelled`: a new delivery, also a single shot; `pending`: the same row is due now,
    /// whatever the endpoint's status, unless it is among those `in_flight`.
    async fn attempt_retry(
        &self,
        app: AppId,
        id: AttemptId,
        in_flight: Vec<AttemptId>,
        now: Timestamp,
        activity: Activity,
    ) -> Result<Retried>;
    /// Logs a test delivery: its event (origin `test`) and its attempt, finished; counted nowhere.
    async fn test_record(&self, app: AppId, test: TestDelivery) -> Result<AttemptId>;
}
