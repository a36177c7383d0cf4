//! What the end of an attempt adds to the counters of the bulk job that it is part of.

use crate::domain::attempts::attempt::AttemptStatus;

/// Changes of a job's counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct JobEnd {
    pub(crate) delivered: i64,
    pub(crate) exhausted: i64,
    pub(crate) cancelled: i64,
}

impl JobEnd {
    /// Of an attempt whose status changes.
    pub(crate) fn of(from: AttemptStatus, to: AttemptStatus) -> JobEnd {
        if matches!(to, AttemptStatus::Failed | AttemptStatus::Pending) {
            return JobEnd::default(); // Its next attempt counts.
        }
        let is = |status| i64::from(to == status);
        // It was counted as cancelled when it was in flight and its endpoint was lost.
        let was = i64::from(from == AttemptStatus::Cancelled);
        JobEnd {
            delivered: is(AttemptStatus::Delivered),
            exhausted: is(AttemptStatus::Exhausted),
            cancelled: is(AttemptStatus::Cancelled) - was,
        }
    }

    /// Adds another one.
    pub(crate) fn add(&mut self, other: JobEnd) {
        self.delivered += other.delivered;
        self.exhausted += other.exhausted;
        self.cancelled += other.cancelled;
    }

    pub(crate) fn is_nothing(self) -> bool {
        self == JobEnd::default()
    }
}
