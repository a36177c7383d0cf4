//! Rows of the log as code changes them: one to be made, and one that is there.

use crate::domain::attempts::attempt::{AttemptStatus, Budget, Trigger};
use crate::domain::attempts::transition::{Current, Next};
use crate::domain::{AttemptId, Timestamp};
use crate::store::shared::counts;
use crate::store::shared::row_numbers::{AppRow, EndpointRow, EventRow, JobRow, TypeRow};

/// A row to be made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewAttempt {
    /// The delivery's first attempt; `None` for that one itself.
    pub(crate) first: Option<AttemptId>,
    /// The attempt before it, which has its result.
    pub(crate) before: Option<AttemptId>,
    pub(crate) app: AppRow,
    pub(crate) endpoint: EndpointRow,
    pub(crate) event: EventRow,
    pub(crate) kind: TypeRow,
    pub(crate) trigger: Trigger,
    pub(crate) attempt: u32,
    pub(crate) budget: Budget,
    pub(crate) created_at: Timestamp,
    pub(crate) due_at: Timestamp,
    /// The bulk job it is part of.
    pub(crate) job: Option<JobRow>,
    /// Since when the delivery has been held, once it was.
    pub(crate) held_since: Option<Timestamp>,
}

/// A delivery that is to be made: whose event of which type goes to which endpoint.
pub(crate) struct NewDelivery {
    pub(crate) app: AppRow,
    pub(crate) endpoint: EndpointRow,
    pub(crate) event: EventRow,
    pub(crate) kind: TypeRow,
}

impl NewDelivery {
    /// Its first attempt, which is due at once.
    pub(crate) fn first_attempt(self, trigger: Trigger, budget: Budget, now: Timestamp) -> NewAttempt {
        let NewDelivery { app, endpoint, event, kind } = self;
        NewAttempt {
            first: None,
            before: None,
            app,
            endpoint,
            event,
            kind,
            trigger,
            attempt: 1,
            budget,
            created_at: now,
            due_at: now,
            job: None,
            held_since: None,
        }
    }

    /// The first attempt of an event that has just been accepted.
    pub(crate) fn of_event(self, accepted_at: Timestamp) -> NewAttempt {
        self.first_attempt(Trigger::Event, Budget::Schedule { used: 0 }, accepted_at)
    }
}

/// What is needed of a row to change it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stored {
    pub(crate) id: AttemptId,
    pub(crate) first: Option<AttemptId>,
    pub(crate) app: AppRow,
    pub(crate) endpoint: EndpointRow,
    pub(crate) event: EventRow,
    pub(crate) kind: TypeRow,
    pub(crate) current: Current,
    pub(crate) created_at: Timestamp,
    pub(crate) attempted_at: Option<Timestamp>,
    pub(crate) response_time_ms: Option<u32>,
    /// The bulk job it is part of.
    pub(crate) job: Option<JobRow>,
}

impl Stored {
    /// The id of the delivery.
    pub(crate) fn delivery(&self) -> AttemptId {
        self.first.unwrap_or(self.id)
    }

    /// The row as statistics count it.
    pub(crate) fn counted(&self) -> counts::Row {
        counts::Row {
            endpoint: self.endpoint,
            delivery: self.delivery(),
            is_first: self.first.is_none(),
            status: self.current.status,
            trigger: self.current.trigger,
            attempted_at: self.attempted_at,
            response_time_ms: self.response_time_ms,
        }
    }

    /// The same event to the same endpoint, as another delivery.
    pub(crate) fn again(&self) -> NewDelivery {
        NewDelivery { app: self.app, endpoint: self.endpoint, event: self.event, kind: self.kind }
    }

    /// The row that follows this one, as part of the same bulk job.
    pub(crate) fn next(&self, next: &Next, created_at: Timestamp) -> NewAttempt {
        NewAttempt {
            first: Some(self.delivery()),
            before: Some(self.id),
            app: self.app,
            endpoint: self.endpoint,
            event: self.event,
            kind: self.kind,
            trigger: next.trigger,
            attempt: next.attempt,
            budget: next.budget,
            created_at,
            due_at: next.due_at,
            job: self.job,
            held_since: next.held_since,
        }
    }
}

/// `due_at` says when a pending attempt is to be sent; afterwards it means nothing to anyone.
pub(crate) fn pending_only(status: AttemptStatus, due_at: Timestamp) -> Option<Timestamp> {
    (status == AttemptStatus::Pending).then_some(due_at)
}
