//! Recovery work over many deliveries: retry what a filter names, recover what an endpoint has missed,
//! replay an event; and the jobs that come of it.

use std::sync::Arc;

use serde_json::json;

use crate::cluster::Signals;
use crate::domain::attempts::bulk_job::{BulkJob, JobKind, Work};
use crate::domain::filter::AttemptFilter;
use crate::domain::{ActivityKind, EndpointId, EventId, Invalid, JobId, Timestamp};
use crate::host::clock::Clock;
use crate::store::{JobCreation, NoJob, Page, PageRequest, Store};

use crate::service::{Caller, Kind, Result, ServiceError};

/// Pending attempts that are cancelled in one transaction.
const CANCEL_STEP: u32 = 1_000;
/// The most steps that one request waits for; the dispatcher goes on with the rest.
const CANCEL_STEPS: u32 = 100;

/// The use cases of bulk jobs.
pub struct Jobs {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    signals: Arc<dyn Signals>,
}

impl Jobs {
    /// Joins the parts.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, signals: Arc<dyn Signals>) -> Jobs {
        Jobs { store, clock, signals }
    }

    /// Lets every exhausted delivery go on that matches the filter; with the status `pending` also makes pending
    /// ones due now.
    pub async fn retry(&self, caller: &Caller, filter: AttemptFilter, dry_run: bool) -> Result<BulkJob> {
        let filter = caller.filter(filter)?;
        self.make(caller, Work::Retry(filter), dry_run).await
    }

    /// Sends an endpoint what it has missed from `since` until before `until` (default: now).
    pub async fn recover(
        &self,
        caller: &Caller,
        endpoint: EndpointId,
        since: Timestamp,
        until: Option<Timestamp>,
        dry_run: bool,
    ) -> Result<BulkJob> {
        if until.is_some_and(|until| until <= since) {
            return Err(Invalid::one("/until", "must be after since").into());
        }
        // An event of this very millisecond has come before the request.
        let until = until.unwrap_or_else(|| self.clock.now().plus_ms(1));
        self.make(caller, Work::Recover { endpoint, since, until }, dry_run).await
    }

    /// Sends an event again, to one endpoint or to all that want it.
    pub async fn replay(
        &self,
        caller: &Caller,
        event: EventId,
        endpoint: Option<EndpointId>,
    ) -> Result<BulkJob> {
        self.make(caller, Work::Replay { event, endpoint }, false).await
    }

    async fn make(&self, caller: &Caller, work: Work, dry_run: bool) -> Result<BulkJob> {
        let kind = work.kind();
        let matched = self.store.job_count(caller.app_id, work.clone()).await?;
        let matched = matched.map_err(|why| refusal(kind, why))?;
        let now = self.clock.now();
        if dry_run {
            return Ok(BulkJob::dry_run(kind, matched, now));
        }
        let (by, meant) = (caller.clone(), work.clone());
        let note = Box::new(move |job: &BulkJob| note(&by, &meant, job));
        match self.store.job_insert(caller.app_id, work, matched, now, note).await? {
            JobCreation::Refused(why) => Err(refusal(kind, why)),
            JobCreation::Created { job, queued, more } => {
                self.signals.queued(&queued);
                if more {
                    self.signals.bulk_job_waiting();
                }
                Ok(job)
            }
        }
    }

    /// A page of the app's jobs, newest first.
    pub async fn list(&self, caller: &Caller, page: PageRequest<i64>) -> Result<Page<BulkJob, i64>> {
        Ok(self.store.job_list(caller.app_id, page).await?)
    }

    /// One job.
    pub async fn get(&self, caller: &Caller, id: JobId) -> Result<BulkJob> {
        self.store.job_get(caller.app_id, id).await?.ok_or(ServiceError::NotFound(Kind::BulkJob))
    }

    /// Stops a job: what is not sent yet is cancelled. One that is at its end stays as it is.
    pub async fn cancel(&self, caller: &Caller, id: JobId) -> Result<()> {
        let details = json!({ "job_id": id.to_string() });
        let summary = format!("Job {id}: stopped.");
        let activity = caller.activity(ActivityKind::JobCancelled, summary, details, self.clock.now());
        match self.store.job_cancel(caller.app_id, id, activity).await? {
            None => return Err(ServiceError::NotFound(Kind::BulkJob)),
            Some(false) => return Ok(()),
            Some(true) => {}
        }
        // In short transactions, so that ingest goes on beside it.
        for _ in 0..CANCEL_STEPS {
            if self.store.queue_cancel(CANCEL_STEP).await? < CANCEL_STEP {
                break;
            }
        }
        self.signals.result_committed();
        Ok(())
    }
}

/// Why there is no job, in words. What stands in the path is not found; what stands in the body is
/// invalid.
fn refusal(kind: JobKind, why: NoJob) -> ServiceError {
    let conflict = |text: &str| ServiceError::Conflict(text.to_owned());
    match (why, kind) {
        (NoJob::EndpointNotFound, JobKind::Replay) => {
            Invalid::one("/webhook_id", "names no webhook of this app").into()
        }
        (NoJob::EndpointNotFound, _) => ServiceError::NotFound(Kind::Endpoint),
        (NoJob::EndpointDisabled, _) => {
            conflict("The webhook is disabled; set its status to active or paused first.")
        }
        (NoJob::EventNotFound, _) => ServiceError::NotFound(Kind::Event),
        (NoJob::EventGone, _) => {
            conflict("The event's payload was removed by the retention policy; there is nothing to send.")
        }
        (NoJob::EventIsTest, _) => conflict("The event was made for a test; send another test instead."),
    }
}

/// The entry of the activity log.
fn note(caller: &Caller, work: &Work, job: &BulkJob) -> crate::domain::Activity {
    let n = job.matched;
    let mut details = json!({
        "job_id": job.id.map(|id| id.to_string()),
        "matched": n,
        "queued": job.queued,
    });
    let (kind, summary) = match work {
        Work::Retry(_) => (ActivityKind::DeliveryBulkRetried, format!("{n} deliveries: retried.")),
        Work::Recover { endpoint, since, until } => {
            details["endpoint_id"] = json!(endpoint.to_string());
            details["since"] = json!(since.to_string());
            details["until"] = json!(until.to_string());
            let summary = format!("Webhook {endpoint}: {n} missed events recovered.");
            (ActivityKind::EndpointRecovered, summary)
        }
        Work::Replay { event, .. } => {
            details["event_id"] = json!(event.to_string());
            (ActivityKind::EventReplayed, format!("Event {event}: replayed to {n} webhooks."))
        }
    };
    caller.activity(kind, summary, details, job.created_at)
}
