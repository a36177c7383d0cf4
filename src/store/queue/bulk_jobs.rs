//! Bulk jobs: recovery work over many deliveries, as storage sees it.
//!
//! The rows a job is made for are fixed when it is made; each step looks at the next thousand of them,
//! makes what is still meant pending, and writes how far it came, all in one transaction. So a job that
//! is broken off goes on from the table, and nothing is queued twice.

use async_trait::async_trait;

use crate::domain::attempts::bulk_job::{BulkJob, Work};
use crate::domain::{Activity, AppId, JobId, Timestamp};

use crate::store::{Page, PageRequest, Queued, Result};

/// The most rows that one step looks at, and so the most that it makes pending.
pub const JOB_STEP: u32 = 1_000;

/// Makes the entry of the activity log for a job as it was made.
pub type JobNote = Box<dyn FnOnce(&BulkJob) -> Activity + Send>;

/// Why there is nothing that a job could be made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoJob {
    /// No such endpoint in this app.
    EndpointNotFound,
    /// The endpoint is disabled; what was queued for it would be cancelled.
    EndpointDisabled,
    /// No such event in this app.
    EventNotFound,
    /// Retention has taken the payload; there is nothing to send.
    EventGone,
    /// The event was made for a test, which counts nowhere and is not sent again.
    EventIsTest,
}

/// A job that has been made, or why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobCreation {
    Refused(NoJob),
    Created {
        job: BulkJob,
        /// What its first step has made pending.
        queued: Vec<Queued>,
        /// Whether there may be more to queue, by [`JobStore::job_step`].
        more: bool,
    },
}

/// What a step has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobStep {
    /// What it has made pending; not of paused endpoints, where it waits.
    pub queued: Vec<Queued>,
    /// Whether any job may have more to queue.
    pub more: bool,
}

/// Bulk jobs.
#[async_trait]
pub trait JobStore: Send + Sync {
    /// How many deliveries the work would queue now. Changes nothing, and reads in steps.
    async fn job_count(&self, app: AppId, work: Work) -> Result<std::result::Result<u64, NoJob>>;
    /// Makes a job and, unless another job of the app is still being queued, does its first step in the
    /// same transaction. `matched` is what [`JobStore::job_count`] said; once all is queued, it is set to
    /// what really was.
    async fn job_insert(
        &self,
        app: AppId,
        work: Work,
        matched: u64,
        now: Timestamp,
        note: JobNote,
    ) -> Result<JobCreation>;
    /// Does the next step of the oldest job that is not wholly queued.
    async fn job_step(&self, now: Timestamp) -> Result<JobStep>;
    /// The jobs of an app, newest first. The key is the storage's own order.
    async fn job_list(&self, app: AppId, page: PageRequest<i64>) -> Result<Page<BulkJob, i64>>;
    /// A job of this app.
    async fn job_get(&self, app: AppId, id: JobId) -> Result<Option<BulkJob>>;
    /// Stops a job that is running: nothing more is queued, and nothing of it that is not yet being sent
    /// will be. Its pending attempts are cancelled later, in steps, by
    /// [`crate::store::QueueStore::queue_cancel`]. `None` when there is no such job; `false` when it was at
    /// its end already.
    async fn job_cancel(&self, app: AppId, id: JobId, activity: Activity) -> Result<Option<bool>>;
}
