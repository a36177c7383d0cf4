//! Bulk jobs: recovery work over many deliveries, asked for at once and done in steps.
//!
//! A job says what is meant ([`Work`]); which deliveries that are is fixed when it is made, and
//! storage walks over them. What becomes of a delivery is not said here but by
//! [`crate::domain::attempts::transition::apply`], as for every other attempt.

use crate::domain::attempts::attempt::Trigger;
use crate::domain::filter::AttemptFilter;
use crate::domain::values::words::words;
use crate::domain::{EndpointId, EventId, JobId, Timestamp};

words! {
    /// What a job does.
    pub enum JobKind {
        /// Exhausted deliveries that match a filter go on.
        Retry = "retry",
        /// An endpoint gets what it has missed.
        Recover = "recover",
        /// An event is sent again.
        Replay = "replay",
    }
}

impl JobKind {
    /// The trigger of the attempts it makes (contract, section 1).
    pub fn trigger(self) -> Trigger {
        match self {
            JobKind::Retry => Trigger::Manual,
            JobKind::Recover => Trigger::Recover,
            JobKind::Replay => Trigger::Replay,
        }
    }
}

words! {
    /// Where a job stands.
    pub enum JobStatus {
        /// Something is still to be queued, or on its way.
        Running = "running",
        /// All that it meant has been queued, and every delivery has come to an end.
        Done = "done",
        /// Somebody stopped it.
        Cancelled = "cancelled",
        /// It was only asked what it would do; nothing of it is kept.
        DryRun = "dry_run",
    }
}

/// What a job is to do.
#[allow(clippy::large_enum_variant, reason = "a job is made once, and its work is passed by reference")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// Every delivery whose newest row matches and is exhausted. Not those of deleted or disabled
    /// endpoints (a disabled one would cancel them again at once), not tests, and not those whose
    /// payload retention has taken.
    Retry(AttemptFilter),
    /// Every event with `since <= created_at < until` that the endpoint wants by its present patterns
    /// and has not got: no delivery, or the newest one was cancelled or is exhausted.
    Recover { endpoint: EndpointId, since: Timestamp, until: Timestamp },
    /// One event, to one endpoint or to all that want it and are not disabled.
    Replay { event: EventId, endpoint: Option<EndpointId> },
}

impl Work {
    /// Its kind.
    pub fn kind(&self) -> JobKind {
        match self {
            Work::Retry(_) => JobKind::Retry,
            Work::Recover { .. } => JobKind::Recover,
            Work::Replay { .. } => JobKind::Replay,
        }
    }
}

/// A job and how far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkJob {
    /// `None` for a dry run, which is not kept.
    pub id: Option<JobId>,
    pub kind: JobKind,
    pub status: JobStatus,
    /// Deliveries that are meant. Counted when the job is made; once all is queued, exactly what was.
    pub matched: u64,
    /// Of these, how many have been made pending.
    pub queued: u64,
    /// Of these, how many were delivered.
    pub delivered: u64,
    /// Of these, how many are exhausted.
    pub exhausted: u64,
    pub created_at: Timestamp,
}

impl BulkJob {
    /// What a job would do.
    pub fn dry_run(kind: JobKind, matched: u64, now: Timestamp) -> BulkJob {
        let status = JobStatus::DryRun;
        BulkJob { id: None, kind, status, matched, queued: 0, delivered: 0, exhausted: 0, created_at: now }
    }
}
