//! `/admin/api/retention` and `about`: the server as a whole.

use poem_openapi::payload::Json as Answer;
use poem_openapi::{Object, OpenApi};

use crate::domain::Span;
use crate::domain::retention::RuleSource;
use crate::http::problem::Problem;
use crate::http::request::auth::{Admin, AnyRole};
use crate::http::request::body::{BodyShape, Fields, Json};
use crate::http::state::State;
use crate::service::retention::{Change, View};

use super::Tag;
use super::nodes::ClusterObject;

/// How long things are kept, and how large they are.
#[derive(Object)]
struct RetentionObject {
    /// The delivery log.
    logs: RuleObject,
    events: RuleObject,
    sizes: SizesObject,
    /// The last sweep since the start; null when there was none.
    last_sweep: Option<LastSweepObject>,
    /// When the next sweep is by itself: RFC 3339, UTC.
    next_sweep_at: Option<String>,
    /// Why nothing is removed, in a sentence; null when it is.
    held_back: Option<String>,
}

/// How long something is kept.
#[derive(Object)]
struct RuleObject {
    /// A length of time; `0` = forever.
    value: String,
    /// Who says so: `configuration`, which wins, `page`, or `default`.
    source: String,
}

impl RuleObject {
    fn of((span, source): &(Span, RuleSource)) -> RuleObject {
        RuleObject { value: span.to_string(), source: source.as_str().to_owned() }
    }
}

/// How large things are, over all apps.
#[derive(Object)]
struct SizesObject {
    database_bytes: u64,
    /// Of these, not in use.
    free_bytes: u64,
    /// Rows of the delivery log, estimated.
    attempts: u64,
    /// Estimated.
    events: u64,
    /// RFC 3339, UTC; null when there is no row.
    oldest_attempt_at: Option<String>,
}

/// What a sweep removed.
#[derive(Object)]
struct LastSweepObject {
    /// RFC 3339, UTC.
    at: String,
    attempts: u64,
    events: u64,
}

impl RetentionObject {
    fn of(view: &View) -> RetentionObject {
        let sizes = &view.sizes;
        RetentionObject {
            logs: RuleObject::of(&view.logs),
            events: RuleObject::of(&view.events),
            sizes: SizesObject {
                database_bytes: sizes.database_bytes,
                free_bytes: sizes.free_bytes,
                attempts: sizes.attempts,
                events: sizes.events,
                oldest_attempt_at: sizes.oldest_attempt_at.map(|t| t.to_string()),
            },
            last_sweep: view.sweeps.last.map(|(at, swept)| LastSweepObject {
                at: at.to_string(),
                attempts: swept.attempts,
                events: swept.events,
            }),
            next_sweep_at: view.sweeps.next_at.map(|t| t.to_string()),
            held_back: view.sweeps.held_back.clone(),
        }
    }
}

/// What changes about retention.
#[derive(Object)]
#[allow(dead_code, reason = "it documents the body, which is read field by field")]
struct RetentionBody {
    /// How long the delivery log is kept: `30d`; `0` = forever; null: the default.
    logs: Option<String>,
    /// How long events are kept; the same.
    events: Option<String>,
}

impl BodyShape for RetentionBody {}

/// What the server is.
#[derive(Object)]
struct AboutObject {
    version: String,
    /// RFC 3339, UTC.
    started_at: String,
    /// Where the database is.
    data_dir: String,
    /// What clients know the server by.
    public_url: String,
    storage: StorageObject,
    cluster: ClusterObject,
    network: NetworkObject,
    delivery: DeliveryObject,
    /// Names of the plain HMAC headers.
    signing_headers: Vec<String>,
    limits: LimitsObject,
    retention: RetentionPolicyObject,
    links: LinksObject,
}

/// Where everything is kept.
#[derive(Object)]
struct StorageObject {
    /// `sqlite` or `postgresql`
    kind: String,
    version: String,
    database_bytes: u64,
    wal_bytes: u64,
}

/// Where requests may go.
#[derive(Object)]
struct NetworkObject {
    /// Networks that may be reached although they are private.
    allow: Vec<String>,
}

/// How deliveries are sent, unless a webhook says otherwise.
#[derive(Object)]
struct DeliveryObject {
    timeout: String,
    connect_timeout: String,
    retry_schedule: Vec<String>,
    /// By how much of itself a wait may grow.
    jitter: f64,
    /// Requests in flight, at most.
    concurrency: u64,
    /// The same to one webhook.
    endpoint_concurrency: u64,
    /// Failed attempts in a row that disable a webhook; 0 = never.
    disable_after_failures: u32,
    /// Bytes that are kept of a response.
    response_body_limit: u64,
}

/// What one client may ask for; 0 = no limit.
#[derive(Object)]
struct LimitsObject {
    requests_per_minute: u32,
    events_per_second: u32,
    /// Bytes.
    event_size: u64,
}

/// How long things are kept.
#[derive(Object)]
struct RetentionPolicyObject {
    logs: String,
    events: String,
}

/// Where to look further; paths on this server.
#[derive(Object)]
struct LinksObject {
    docs: String,
    openapi: String,
    health: String,
}

/// The operations.
pub struct OperationApi;

#[OpenApi(tag = "Tag::Operation")]
impl OperationApi {
    /// Get retention
    ///
    /// How long things are kept and who says so, how large they are, and when the sweeper runs.
    #[oai(path = "/retention", method = "get", operation_id = "get_retention")]
    async fn retention(&self, auth: AnyRole) -> Result<Answer<RetentionObject>, Problem> {
        Ok(Answer(RetentionObject::of(&auth.state.services.retention.view().await?)))
    }

    /// Change retention
    ///
    /// From now on, without a restart. The configuration takes precedence: 409 naming the key.
    #[oai(path = "/retention", method = "put", operation_id = "change_retention")]
    async fn change_retention(
        &self,
        auth: Admin,
        body: Json<RetentionBody>,
    ) -> Result<Answer<RetentionObject>, Problem> {
        let mut fields = Fields::of_body(&body.bytes, &["logs", "events"])?;
        let change = Change { logs: span(&mut fields, "logs"), events: span(&mut fields, "events") };
        fields.finish()?;
        let retention = &auth.state.services.retention;
        retention.change(&auth.caller.by, change).await?;
        Ok(Answer(RetentionObject::of(&retention.view().await?)))
    }

    /// Get what the server is
    ///
    /// Its version, its storage and its configuration. No secret.
    #[oai(path = "/about", method = "get", operation_id = "get_about")]
    async fn about(&self, auth: AnyRole) -> Result<Answer<AboutObject>, Problem> {
        Ok(Answer(about(&auth.state).await?))
    }
}

/// A length of time, or null, if the field is there.
fn span(fields: &mut Fields<'_>, name: &str) -> Option<Option<Span>> {
    let shape = "a length of time such as 30d, or 0 for forever";
    let Some(text) = fields.nullable::<String>(name, shape)? else { return Some(None) };
    let span = Span::parse(&text);
    if span.is_none() {
        fields.fail(name, format!("must be {shape}, or null"));
    }
    span.map(Some)
}

async fn about(state: &State) -> Result<AboutObject, Problem> {
    let services = &state.services;
    let (facts, storage) = (services.about.facts().clone(), services.about.storage().await?);
    let (retention, nodes) = (services.retention.view().await?, services.nodes.list().await?);
    Ok(AboutObject {
        version: facts.version.to_owned(),
        started_at: facts.started_at.to_string(),
        data_dir: facts.data_dir,
        public_url: facts.public_url,
        storage: StorageObject {
            kind: storage.kind.to_owned(),
            version: storage.version,
            database_bytes: storage.database_bytes,
            wal_bytes: storage.wal_bytes,
        },
        cluster: ClusterObject::of(nodes),
        network: NetworkObject { allow: facts.network_allow },
        delivery: DeliveryObject {
            timeout: facts.timeout,
            connect_timeout: facts.connect_timeout,
            retry_schedule: facts.retry_schedule,
            jitter: facts.jitter,
            concurrency: facts.concurrency,
            endpoint_concurrency: facts.endpoint_concurrency,
            disable_after_failures: facts.disable_after_failures,
            response_body_limit: facts.response_body_limit,
        },
        signing_headers: facts.signing_headers,
        limits: LimitsObject {
            requests_per_minute: facts.requests_per_minute,
            events_per_second: facts.events_per_second,
            event_size: facts.event_size,
        },
        retention: RetentionPolicyObject {
            logs: retention.logs.0.to_string(),
            events: retention.events.0.to_string(),
        },
        links: LinksObject {
            docs: state.path("/docs"),
            openapi: state.path("/openapi.json"),
            health: state.path("/healthz"),
        },
    })
}
