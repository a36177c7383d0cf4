//! The queue: the pending rows of the log, as the dispatcher sees them.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::domain::EventType;
use crate::domain::attempts::attempt::{AttemptStatus, Budget, Outcome, Trigger};
use crate::domain::attempts::retry::Schedule;
use crate::domain::attempts::transition::Rules;
use crate::domain::endpoint::Endpoint;
use crate::domain::inbound::source::EventSource;
use crate::domain::values::rate::Rate;
use crate::domain::{AttemptId, EndpointId, Epoch, EventId, ShardSet, Timestamp};
use crate::store::Result;

/// An attempt that has just become pending: a hint for the dispatcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queued {
    pub attempt_id: AttemptId,
    pub endpoint_id: EndpointId,
    pub due_at: Timestamp,
    pub line: Line,
}

/// The line of its endpoint in which a pending attempt is scheduled. They are served in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// A single shot: a person asked for this one request, so it is sent at once, whatever the endpoint's
    /// status.
    Single,
    /// First attempts of new events, and their retries.
    Fresh,
    /// Part of a bulk job.
    Bulk,
}

/// An endpoint that has pending attempts and may be sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndpointQueue {
    pub endpoint_id: EndpointId,
    /// When the earliest of its pending attempts is due; on hold not before the next probe.
    pub earliest: Timestamp,
}

/// When the earliest pending attempts are, or were, due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Oldest {
    /// Of all, pending attempts of paused endpoints included.
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
    /// The endpoint's `rate_limit`; also while it is not active, for single shots.
    pub rate_limit: Option<Rate>,
    /// Whether the endpoint's last delivery attempt failed.
    pub failing: bool,
    /// The endpoint's hold. Then `attempts` and `bulk` are empty.
    pub hold: Option<DueHold>,
}

/// What is due at an endpoint on hold: a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueHold {
    pub next_probe_at: Timestamp,
    /// What may be sent as the probe, in the order of due_at; empty before its time.
    pub probes: Vec<(AttemptId, Line)>,
}

/// How an attempt was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentAs {
    /// The epoch in which the shard of its endpoint was held.
    pub epoch: Epoch,
    /// Whether it was a probe of its endpoint's hold.
    pub is_probe: bool,
}

impl SentAs {
    /// In this epoch, and not as a probe.
    pub fn in_epoch(epoch: Epoch) -> SentAs {
        SentAs { epoch, is_probe: false }
    }
}

/// An attempt with all that is needed to send it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedAttempt {
    pub id: AttemptId,
    pub attempt: u32,
    pub trigger: Trigger,
    pub budget: Budget,
    /// The first attempt of its delivery.
    pub delivery_id: AttemptId,
    pub event_id: EventId,
    pub event_type: EventType,
    /// When the event was accepted.
    pub created_at: Timestamp,
    pub resource_id: Option<String>,
    pub payload: Bytes,
    pub endpoint: Arc<Endpoint>,
    /// The source that the event came by.
    pub from: Option<Arc<EventSource>>,
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
        /// Whether this attempt disabled its endpoint.
        disabled: bool,
        /// Whether its endpoint is on hold now and was not before, the reverse, or has another time for its
        /// next probe.
        hold_changed: bool,
    },
    /// The row was finished before, or is gone; nothing was changed.
    Stale,
    /// The shard of the endpoint has changed hands since the request was sent; nothing was changed, and the
    /// new holder sends the attempt again.
    StaleEpoch,
}

/// The pending rows, as the dispatcher sees them.
#[async_trait]
pub trait QueueStore: Send + Sync {
    /// The active endpoints (not paused, disabled or deleted) of these shards that have pending attempts,
    /// single shots apart; the cost follows their number, not that of the attempts.
    async fn queue_endpoints(&self, shards: ShardSet) -> Result<Vec<EndpointQueue>>;
    /// What is due at an endpoint, single shots apart; nothing unless it is active, and probes only while it
    /// is on hold. `limit` holds for fresh attempts and for bulk ones each.
    async fn queue_due(&self, endpoint: EndpointId, now: Timestamp, limit: u32) -> Result<Due>;
    /// Single shots that are due, and attempts that a person wants sent at once, over all endpoints of these
    /// shards.
    async fn queue_singles(&self, now: Timestamp, limit: u32, shards: ShardSet) -> Result<Vec<Queued>>;
    /// What is needed to send these attempts, in any order. Those that are no longer pending, whose
    /// endpoint is deleted or is not active (but for what a person wants sent at once), or whose job was
    /// stopped, are left out.
    async fn queue_load(&self, attempts: Vec<AttemptId>) -> Result<Vec<LoadedAttempt>>;
    /// Writes the end of an attempt: the row, the details, the next row, the endpoint's counter and
    /// hold and status, the roll-ups, and the events that tell of it, in one transaction. If the shard of the
    /// endpoint has changed hands since the request was sent, nothing is written ([`Finished::StaleEpoch`]).
    async fn attempt_finish(
        &self,
        id: AttemptId,
        outcome: Arc<Outcome>,
        rules: FinishRules,
        sent: SentAs,
    ) -> Result<Finished>;
    /// Up to `limit` pending attempts of active endpoints of these shards whose deliveries have been held since
    /// `since` or longer.
    async fn queue_overdue(&self, since: Timestamp, limit: u32, shards: ShardSet) -> Result<Vec<AttemptId>>;
    /// Exhausts those of these attempts that [`QueueStore::queue_overdue`] still gives, and says how many. The caller
    /// sees to it that none of them is in flight.
    async fn queue_give_up(&self, attempts: Vec<AttemptId>, since: Timestamp, now: Timestamp) -> Result<u32>;
    /// Cancels up to `limit` pending attempts of endpoints that are deleted or disabled, and of bulk jobs
    /// that were stopped, and says how many there were. Single shots of disabled endpoints stay: a person
    /// asked for them after.
    async fn queue_cancel(&self, limit: u32) -> Result<u32>;
    /// Since when attempts have been due, at endpoints that are active or paused; `None` when nothing is
    /// pending. The cost follows the number of endpoints that have something pending.
    async fn queue_oldest(&self) -> Result<Oldest>;
    /// How many attempts are pending, counted up to `cap`.
    async fn queue_depth(&self, cap: u64) -> Result<u64>;
}
