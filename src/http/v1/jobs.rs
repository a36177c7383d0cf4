//! Recovery work over many deliveries, and the jobs that come of it.

use poem::Request;
use poem_openapi::param::Path;
use poem_openapi::payload::Json as Answer;
use poem_openapi::{Object, OpenApi};
use serde_json::Value;

use crate::domain::attempts::bulk_job::BulkJob;
use crate::domain::filter::AttemptFilter;
use crate::domain::{EndpointId, EventId, JobId, Timestamp};
use crate::http::problem::Problem;
use crate::http::request::auth::{ReadWebhooks, WriteWebhooks};
use crate::http::request::body::{BodyShape, Fields, Json};
use crate::http::request::paging;
use crate::http::request::paging::Paging;
use crate::http::request::query::Query;
use crate::service::{Kind, ServiceError};

use super::endpoints::endpoint_id;
use super::shapes::{Accepted, List, NoContent, One, list, one};
use super::{Tag, filters, id_of};

const TIME: &str = "an RFC 3339 time, such as 2026-05-01T05:14:38Z";

/// The operations.
pub struct JobsApi;

#[OpenApi(tag = "Tag::Jobs")]
impl JobsApi {
    /// Retry many deliveries
    ///
    /// Every delivery that matches the filter and is `exhausted` gets its next attempt (trigger `manual`)
    /// and, if that fails, the whole retry schedule again. Others are not counted: what is pending or delivered
    /// stays as it is, so repeating the request doubles nothing. Not counted either are deliveries of
    /// webhooks that are disabled or deleted, tests, and events whose payload retention has removed. An
    /// empty filter means all. Queued in the background, behind fresh events.
    #[oai(path = "/webhooks/deliveries/retry", method = "post", operation_id = "retry_deliveries")]
    async fn retry(
        &self,
        auth: WriteWebhooks,
        body: Json<BulkRetryBody>,
    ) -> Result<Accepted<One<JobResource>>, Problem> {
        let mut fields = Fields::of_body(&body.bytes, &["filter", "dry_run"])?;
        fields.require("filter");
        let filter = read_filter(&mut fields);
        let dry_run = read_dry_run(&mut fields);
        fields.finish()?;
        let job = auth.state.services.jobs.retry(&auth.caller, filter, dry_run).await?;
        Ok(accepted(&job))
    }

    /// Recover what a webhook has missed
    ///
    /// For each event with `created_at` from `since` until before `until` (default: now) that the webhook
    /// wants by its present patterns: a new delivery where there is none or it was cancelled, the next
    /// attempt where it is exhausted, both with the trigger `recover` and the whole schedule. What is
    /// pending or delivered stays as it is. It also finds events that came while the webhook was disabled;
    /// while it still is, this is a 409. Events whose payload retention has removed are not counted.
    #[oai(path = "/webhooks/:id/recover", method = "post", operation_id = "recover_webhook")]
    async fn recover(
        &self,
        auth: WriteWebhooks,
        id: Path<String>,
        body: Json<RecoverBody>,
    ) -> Result<Accepted<One<JobResource>>, Problem> {
        let id = endpoint_id(&id)?;
        let mut fields = Fields::of_body(&body.bytes, &["since", "until", "dry_run"])?;
        fields.require("since");
        let since = fields.get::<String>("since", TIME).and_then(|text| {
            let since = Timestamp::parse(&text);
            if since.is_none() {
                fields.fail("since", format!("must be {TIME}"));
            }
            since
        });
        let until = time(&mut fields, "until");
        let dry_run = read_dry_run(&mut fields);
        fields.finish()?;
        let since = since.ok_or_else(Problem::internal)?;
        let job = auth.state.services.jobs.recover(&auth.caller, id, since, until, dry_run).await?;
        Ok(accepted(&job))
    }

    /// Replay an event
    ///
    /// Always a new delivery (trigger `replay`), which counts again: to `webhook_id`, or to every webhook
    /// that wants the event and is not disabled. A disabled `webhook_id` is a 409.
    #[oai(path = "/events/:id/replay", method = "post", operation_id = "replay_event")]
    async fn replay(
        &self,
        auth: WriteWebhooks,
        id: Path<String>,
        body: Json<ReplayBody>,
    ) -> Result<Accepted<One<JobResource>>, Problem> {
        let event: EventId = id_of(&id).ok_or_else(|| Problem::from(ServiceError::NotFound(Kind::Event)))?;
        let mut fields = Fields::of_body(&body.bytes, &["webhook_id"])?;
        let endpoint = read(&mut fields, "webhook_id", "the UUID of a webhook", id_of::<EndpointId>);
        fields.finish()?;
        let job = auth.state.services.jobs.replay(&auth.caller, event, endpoint).await?;
        Ok(accepted(&job))
    }

    /// List jobs
    ///
    /// Bulk work of this app, newest first.
    #[oai(path = "/jobs", method = "get", operation_id = "list_jobs")]
    async fn list(
        &self,
        auth: ReadWebhooks,
        request: &Request,
    ) -> Result<Answer<List<JobResource>>, Problem> {
        let mut query = Query::of(request, &paging::PARAMS);
        let scope = format!("jobs {}", auth.caller.app_id);
        let read = Paging::read::<i64>(&mut query, &auth.state.cursors, auth.state.path("/v1/jobs"), &scope);
        let (paging, page) = paging::settle(query, read)?;
        let found = auth.state.services.jobs.list(&auth.caller, page).await?;
        Ok(list(&paging, &found, JobResource::of))
    }

    /// Get a job
    #[oai(path = "/jobs/:id", method = "get", operation_id = "get_job")]
    async fn get(&self, auth: ReadWebhooks, id: Path<String>) -> Result<Answer<One<JobResource>>, Problem> {
        let job = auth.state.services.jobs.get(&auth.caller, job_id(&id)?).await?;
        Ok(one(JobResource::of(&job)))
    }

    /// Stop a job
    ///
    /// Nothing more is queued, and what was not sent yet becomes `cancelled`; what is in flight comes to
    /// its end. A job that is done or cancelled stays as it is.
    #[oai(path = "/jobs/:id", method = "delete", operation_id = "cancel_job")]
    async fn cancel(&self, auth: WriteWebhooks, id: Path<String>) -> Result<NoContent, Problem> {
        auth.state.services.jobs.cancel(&auth.caller, job_id(&id)?).await?;
        Ok(NoContent::Done)
    }
}

fn job_id(text: &str) -> Result<JobId, Problem> {
    id_of(text).ok_or_else(|| ServiceError::NotFound(Kind::BulkJob).into())
}

fn accepted(job: &BulkJob) -> Accepted<One<JobResource>> {
    Accepted::Accepted(one(JobResource::of(job)))
}

// --- reading bodies -----------------------------------------------------------------------------

/// A string field, read by `parse`; null is as good as none. `expected` is the end of "must be …".
fn read<T>(
    fields: &mut Fields<'_>,
    name: &str,
    expected: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Option<T> {
    let text = fields.nullable::<String>(name, expected).flatten()?;
    let value = parse(&text);
    if value.is_none() {
        fields.fail(name, format!("must be {expected}"));
    }
    value
}

fn time(fields: &mut Fields<'_>, name: &str) -> Option<Timestamp> {
    read(fields, name, TIME, Timestamp::parse)
}

fn read_dry_run(fields: &mut Fields<'_>) -> bool {
    fields.nullable("dry_run", "true or false").flatten().unwrap_or(false)
}

/// Reads `filter`: the log filters, as fields.
fn read_filter(fields: &mut Fields<'_>) -> AttemptFilter {
    let Some(raw) = fields.raw("filter") else { return AttemptFilter::default() };
    let mut inner = match Fields::of_value(raw, "/filter".to_owned(), filters::OF_BULK_RETRY) {
        Ok(inner) => inner,
        Err(error) => {
            fields.errors.push(error);
            return AttemptFilter::default();
        }
    };
    let filter = filters::of_log(&mut inner);
    filters::any_sort(&mut inner, filter.view);
    if filter.contains.is_some() {
        inner.fail("contains", "cannot be used for a bulk retry; select with the other filters");
    }
    fields.errors.append(&mut inner.errors);
    filter
}

// --- shapes -------------------------------------------------------------------------------------

/// Which deliveries are retried.
#[derive(Object)]
#[oai(rename = "BulkRetry")]
#[allow(dead_code, reason = "a documented shape; bodies are read field by field")]
pub(super) struct BulkRetryBody {
    /// Which ones; `{}` means all that are exhausted.
    filter: BulkRetryFilter,
    /// Only says how many there are; nothing is queued or kept.
    dry_run: Option<bool>,
}

impl BodyShape for BulkRetryBody {}

/// The filters of the delivery log. All that is given must hold.
#[derive(Object)]
#[allow(dead_code, reason = "a documented shape; bodies are read field by field")]
pub(super) struct BulkRetryFilter {
    /// Which attempt of a pending delivery `response_status` and `error_kind` look at; see the lists.
    view: Option<String>,
    /// `exhausted`, `pending` or a list of them; exhausted ones unless given. Pending deliveries are sent now,
    /// ahead of their time.
    status: Option<poem_openapi::types::Any<Value>>,
    /// An event type, or one followed by `.*`.
    event_type: Option<String>,
    /// UUID of a webhook.
    endpoint_id: Option<String>,
    /// `500` or `5xx`.
    response_status: Option<String>,
    /// `dns`, `connect`, `tls`, `timeout`, `http_status`, `blocked_address`, `protocol`, `interrupted`, `local`,
    /// `template`, `response`.
    error_kind: Option<String>,
    /// `event`, `retry`, `manual`, `recover` or `replay`.
    trigger: Option<String>,
    /// Id of an event, `evt_…`.
    event_id: Option<String>,
    /// The resource id of the event, exactly.
    resource_id: Option<String>,
    /// Id of a delivery.
    delivery_id: Option<i64>,
    /// Part of the error message.
    error: Option<String>,
    /// Attempts with `created_at` at or after this time.
    since: Option<String>,
    /// Attempts with `created_at` before this time.
    until: Option<String>,
    /// Part of the webhook's name or URL or of the event type, or exactly an event id or a resource id.
    q: Option<String>,
    /// Accepted and ignored.
    sort: Option<String>,
}

/// Which events are recovered.
#[derive(Object)]
#[oai(rename = "Recover")]
#[allow(dead_code, reason = "a documented shape; bodies are read field by field")]
pub(super) struct RecoverBody {
    /// Events with `created_at` at or after this time. RFC 3339.
    since: String,
    /// Events with `created_at` before this time; now unless given.
    until: Option<String>,
    /// Only says how many there are; nothing is queued or kept.
    dry_run: Option<bool>,
}

impl BodyShape for RecoverBody {}

/// Where an event is sent again.
#[derive(Object)]
#[oai(rename = "Replay")]
#[allow(dead_code, reason = "a documented shape; bodies are read field by field")]
pub(super) struct ReplayBody {
    /// UUID of the webhook; all that want the event unless given.
    webhook_id: Option<String>,
}

impl BodyShape for ReplayBody {
    const REQUIRED: bool = false;
}

/// Recovery work over many deliveries.
#[derive(Object)]
#[oai(rename = "BulkJob")]
pub(super) struct JobResource {
    /// `bulk_job`
    #[oai(rename = "type")]
    pub(super) kind: String,
    /// UUID of the job; null for a dry run.
    pub(super) id: Option<String>,
    pub(super) attributes: JobAttributes,
}

/// Attributes of a job.
#[derive(Object)]
#[oai(rename = "BulkJobAttributes")]
pub(super) struct JobAttributes {
    /// `retry`, `recover` or `replay`.
    pub(super) kind: String,
    /// `running`, `done` (all is queued, and every delivery has come to an end), `cancelled` or `dry_run`.
    pub(super) status: String,
    /// Deliveries that are meant.
    pub(super) matched: u64,
    /// Of these, how many have been queued so far.
    pub(super) queued: u64,
    /// Of these, how many were delivered.
    pub(super) delivered: u64,
    /// Of these, how many are exhausted (no retries left).
    pub(super) exhausted: u64,
    /// RFC 3339, UTC.
    pub(super) created_at: String,
}

impl JobResource {
    /// A job, or a dry run.
    pub(super) fn of(job: &BulkJob) -> JobResource {
        JobResource {
            kind: "bulk_job".to_owned(),
            id: job.id.map(|id| id.to_string()),
            attributes: JobAttributes {
                kind: job.kind.to_string(),
                status: job.status.to_string(),
                matched: job.matched,
                queued: job.queued,
                delivered: job.delivered,
                exhausted: job.exhausted,
                created_at: job.created_at.to_string(),
            },
        }
    }
}
