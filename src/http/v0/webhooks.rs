//! `/api/v0/webhooks`: the same endpoints as `/v1/webhooks`, in Devdraft's words.

use poem::Request;
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use poem_openapi::payload::Json as Answer;
use serde_json::value::RawValue;

use crate::domain::filter::EndpointFilter;
use crate::domain::values::invalid::Complaints;
use crate::domain::values::list::{PageRequest, Start};
use crate::domain::{Endpoint, EndpointId, Scope};
use crate::http::problem::Problem;
use crate::http::request::auth::{ReadWebhooks, WriteWebhooks};
use crate::http::request::body::{BodyShape, Fields, Json};
use crate::http::request::query::{Param, Query, Shape};
use crate::http::state::State;
use crate::service::endpoints::endpoint_input::{self, Checked, Presets};
use crate::service::{Caller, ServiceError};

use super::ids;
use super::shapes::{CreateBody, Created, Deleted, RecentEvent, UpdateBody, WebhookObject};

/// Webhooks of a list unless it is asked for another number, and the most.
const TAKE_DEFAULT: i64 = 50;
const TAKE_MAX: i64 = 200;
/// Recent events unless another number is asked for, and the most; more is taken as the most.
const EVENTS_DEFAULT: i64 = 10;
const EVENTS_MAX: i64 = 50;
/// How far a list can be skipped.
const SKIP_MAX: i64 = 10_000;

/// Parameters of the list.
pub(super) const LIST: [Param; 2] = [
    Param {
        name: "skip",
        shape: Shape::Integer { min: 0, max: SKIP_MAX },
        description: "How many webhooks to leave out; 0 unless given.",
        example: "0",
    },
    Param {
        name: "take",
        shape: Shape::Integer { min: 1, max: TAKE_MAX },
        description: "How many webhooks to give; 50 unless given.",
        example: "50",
    },
];

/// Parameters of one webhook.
pub(super) const ONE: [Param; 2] = [
    Param {
        name: "include_events",
        shape: Shape::OneOf(&["true", "false"]),
        description: "Whether to add `recent_events`; false unless given.",
        example: "true",
    },
    Param {
        name: "events_limit",
        shape: Shape::Integer { min: 1, max: EVENTS_MAX },
        description: "How many recent events, 1 to 50; 10 unless given. More is taken as 50.",
        example: "10",
    },
];

/// The operations.
pub struct WebhooksApi;

#[OpenApi]
impl WebhooksApi {
    /// Create a webhook
    ///
    /// The answer has the whole `signing_secret`.
    #[oai(path = "/webhooks", method = "post", operation_id = "v0_create_webhook")]
    async fn create(&self, auth: WriteWebhooks, body: Json<CreateBody>) -> Result<Created, Problem> {
        let (caller, state) = (&auth.caller, &auth.state);
        let input = read_input(&body, state, true)?;
        let (endpoint, _) = state.services.endpoints.create(caller, input).await?;
        let object = object(state, caller, &endpoint, true).await?;
        Ok(Created::Created(Answer(object)))
    }

    /// List webhooks
    ///
    /// Newest first, as a plain array.
    #[oai(path = "/webhooks", method = "get", operation_id = "v0_list_webhooks")]
    async fn list(
        &self,
        auth: ReadWebhooks,
        request: &Request,
    ) -> Result<Answer<Vec<WebhookObject>>, Problem> {
        let mut query = Query::lenient(request);
        let skip = query.integer("skip", 0, SKIP_MAX).unwrap_or(0);
        let take = query.integer("take", 1, TAKE_MAX).unwrap_or(TAKE_DEFAULT);
        query.finish()?;
        // One page that reaches to the end of what is asked for; lists here are short.
        let page = PageRequest { start: Start::Page(1), per_page: u32::try_from(skip + take).unwrap_or(1) };
        let found = auth.state.services.endpoints.list(&auth.caller, EndpointFilter::default(), page).await?;
        let rows = found.rows.get(usize::try_from(skip).unwrap_or(0)..).unwrap_or_default();
        Ok(Answer(objects_with(&auth.state, &auth.caller, rows, false).await?))
    }

    /// Get a webhook
    ///
    /// With its delivery statistics, health labels and, if asked for, its latest deliveries.
    #[oai(path = "/webhooks/:webhook_id", method = "get", operation_id = "v0_get_webhook")]
    async fn get(
        &self,
        auth: ReadWebhooks,
        webhook_id: Path<String>,
        request: &Request,
    ) -> Result<Answer<WebhookObject>, Problem> {
        let (caller, state) = (&auth.caller, &auth.state);
        let mut query = Query::lenient(request);
        let wanted = query.get("include_events", "true or false", |text| text.parse::<bool>().ok());
        let limit = query.integer("events_limit", 1, i64::from(u32::MAX)).unwrap_or(EVENTS_DEFAULT);
        query.finish()?;

        let endpoint = find(state, caller, &webhook_id).await?;
        let mut object = object(state, caller, &endpoint, false).await?;
        if wanted == Some(true) {
            let limit = u32::try_from(limit.min(EVENTS_MAX)).unwrap_or(1);
            let recent = state.services.statistics.recent(caller, endpoint.id, limit).await?;
            object.recent_events = Some(recent.iter().map(RecentEvent::of).collect());
        }
        Ok(Answer(object))
    }

    /// Update a webhook
    ///
    /// The fields that are given; `isActive: false` pauses it.
    #[oai(path = "/webhooks/:webhook_id", method = "patch", operation_id = "v0_update_webhook")]
    async fn update(
        &self,
        auth: WriteWebhooks,
        webhook_id: Path<String>,
        body: Json<UpdateBody>,
    ) -> Result<Answer<WebhookObject>, Problem> {
        let (caller, state) = (&auth.caller, &auth.state);
        let id = find(state, caller, &webhook_id).await?.id;
        let input = read_input(&body, state, false)?;
        let endpoint = state.services.endpoints.change(caller, id, input).await?.endpoint;
        Ok(Answer(object(state, caller, &endpoint, false).await?))
    }

    /// Delete a webhook
    #[oai(path = "/webhooks/:webhook_id", method = "delete", operation_id = "v0_delete_webhook")]
    async fn delete(&self, auth: WriteWebhooks, webhook_id: Path<String>) -> Result<Deleted, Problem> {
        let id = find(&auth.state, &auth.caller, &webhook_id).await?.id;
        auth.state.services.endpoints.delete(&auth.caller, id).await?;
        Ok(Deleted::Done)
    }
}

/// The webhook with this id, or the answer that there is none.
async fn find(state: &State, caller: &Caller, text: &str) -> Result<Endpoint, Problem> {
    let not_found =
        || Problem::not_found(format!("No webhook found with ID: {text}")).titled("Webhook not found");
    let id: EndpointId = ids::parse_webhook(text).ok_or_else(not_found)?;
    match state.services.endpoints.get(caller, id).await {
        Err(ServiceError::NotFound(_)) => Err(not_found()),
        found => Ok(found?),
    }
}

async fn object(
    state: &State,
    caller: &Caller,
    endpoint: &Endpoint,
    created: bool,
) -> Result<WebhookObject, Problem> {
    let mut objects = objects_with(state, caller, std::slice::from_ref(endpoint), created).await?;
    objects.pop().ok_or_else(Problem::internal)
}

/// Puts webhooks together with their app, secret and statistics.
async fn objects_with(
    state: &State,
    caller: &Caller,
    endpoints: &[Endpoint],
    created: bool,
) -> Result<Vec<WebhookObject>, Problem> {
    let whole_secret = created || caller.by.scopes.allows(Scope::WebhooksSecrets);
    let app = state.services.auth.app_of(caller).await?;
    let ids = endpoints.iter().map(|e| e.id).collect();
    let summaries = state.services.statistics.summaries(caller, ids).await?;
    let mut objects = Vec::with_capacity(endpoints.len());
    for endpoint in endpoints {
        let Some((_, summary)) = summaries.iter().find(|(id, _)| *id == endpoint.id) else { continue };
        let secret = state.services.endpoints.signing_secret(endpoint)?;
        objects.push(WebhookObject::of(endpoint, &app, &secret, whole_secret, summary));
    }
    Ok(objects)
}

/// Reads the fields of a body; unknown ones are ignored.
fn read_input<T: BodyShape>(body: &Json<T>, state: &State, is_new: bool) -> Result<Checked, Problem> {
    let mut fields = Fields::lenient(&body.bytes)?;
    if is_new {
        fields.require("url");
    }
    let active: Option<bool> = fields.get("isActive", "true or false");
    let status = active.map(|active| if active { "\"active\"" } else { "\"paused\"" });
    let text = |name: &str| match name {
        "status" => status,
        "events" if is_new => Some(fields.raw(name).map_or("[\"*\"]", RawValue::get)),
        "url" | "name" | "events" | "encrypted" => fields.raw(name).map(RawValue::get),
        _ => None,
    };
    let mut errors = Complaints::default();
    let checked =
        endpoint_input::read(text, Presets::Keep, state.services.endpoints.input_rules(), &mut errors);
    fields.errors.append(&mut errors);
    fields.finish()?;
    Ok(checked)
}
