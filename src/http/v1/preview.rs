//! `POST /v1/webhooks/preview`: what a webhook would be sent.

use poem_openapi::payload::Json as Answer;
use poem_openapi::types::Any;
use poem_openapi::{Object, OpenApi};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::domain::Scope;
use crate::domain::expr::Comparison;
use crate::domain::shaping::summary::Summary;
use crate::domain::values::invalid::Complaints;
use crate::http::problem::Problem;
use crate::http::request::auth::PreviewWebhooks;
use crate::http::request::body::{BodyShape, Fields, Json};
use crate::service::endpoints::endpoint_input::{self, InputRules, Presets};
use crate::service::endpoints::preview::{EndpointPreview, PreviewEndpoint, PreviewRequest};
use crate::service::{Caller, ServiceError};

use super::endpoints::{endpoint_id, known_fields};
use super::shapes::{One, one};
use super::{Tag, check_events_read, trials};

/// What a preview is of.
#[derive(Object)]
#[oai(rename = "WebhookPreviewInput")]
#[allow(dead_code, reason = "a documented shape; bodies are read field by field")]
pub(super) struct PreviewBody {
    /// The attributes of a webhook, perhaps with a `preset`. With `webhook_id` they are changes of that webhook, so
    /// that masks keep its secrets.
    webhook: Option<Any<Value>>,
    /// UUID of a webhook.
    webhook_id: Option<String>,
    /// `{"event_id"}`, `{"event_type","payload"}` with `source_id` and `resource_id` if they matter, or
    /// `{"sample":"github/release"}`.
    event: Any<Value>,
}

impl BodyShape for PreviewBody {
    /// What the caller lacks is said before what the body lacks.
    const MAY_BE_EMPTY: bool = true;
}

/// What would become of an event.
#[derive(Object)]
#[oai(rename = "WebhookPreview")]
pub(super) struct PreviewResource {
    /// `webhook_preview`
    #[oai(rename = "type")]
    kind: String,
    attributes: PreviewAttributes,
}

/// What would become of an event, step by step.
#[derive(Object)]
#[oai(rename = "WebhookPreviewAttributes")]
struct PreviewAttributes {
    wanted: WantedObject,
    /// Each comparison that the filter made.
    filter_trace: Vec<ComparisonObject>,
    summary: SummaryObject,
    /// The request, with masks in place of secrets; null when it cannot be rendered.
    request: Option<RequestObject>,
    /// Why it cannot be rendered.
    error: Option<String>,
    /// Missing paths, texts that are cut, what is over a limit of the receiver, and other surprises.
    warnings: Vec<String>,
    cost: CostObject,
}

/// Whether the webhook would get the event.
#[derive(Object)]
#[oai(rename = "WebhookPreviewWanted")]
struct WantedObject {
    /// Whether one of its patterns matches.
    pattern: bool,
    /// Whether its filter is true; true without a filter.
    filter: bool,
}

/// A comparison of a filter.
#[derive(Object)]
#[oai(rename = "WebhookPreviewComparison")]
struct ComparisonObject {
    /// As it is written.
    expression: String,
    /// The value on the left.
    left: String,
    /// The value on the right; empty for a test.
    right: String,
    result: bool,
}

/// What the event means to a person.
#[derive(Object)]
#[oai(rename = "WebhookPreviewSummary")]
struct SummaryObject {
    title: String,
    message: String,
    link: Option<String>,
    /// `info`, `success`, `warning` or `error`.
    level: String,
}

/// A request that is not sent. Signatures and the headers of the connection are left out.
#[derive(Object)]
#[oai(rename = "WebhookPreviewRequest")]
struct RequestObject {
    method: String,
    url: String,
    /// Names in lower case.
    headers: Any<Value>,
    /// Null when it is encrypted.
    body: Option<String>,
}

/// What rendering the request costs.
#[derive(Object)]
#[oai(rename = "WebhookPreviewCost")]
struct CostObject {
    /// Of 20,000.
    steps: u32,
    /// Of 1,048,576.
    bytes: u32,
}

impl PreviewResource {
    fn of(preview: EndpointPreview) -> PreviewResource {
        PreviewResource {
            kind: "webhook_preview".to_owned(),
            attributes: PreviewAttributes {
                wanted: WantedObject { pattern: preview.matches, filter: preview.passes },
                filter_trace: preview.filter_trace.into_iter().map(ComparisonObject::of).collect(),
                summary: SummaryObject::of(preview.summary),
                request: preview.request.map(RequestObject::of),
                error: preview.error,
                warnings: preview.warnings,
                cost: CostObject { steps: preview.cost.steps, bytes: preview.cost.bytes },
            },
        }
    }
}

impl ComparisonObject {
    fn of(comparison: Comparison) -> ComparisonObject {
        let Comparison { expression, left, right, result } = comparison;
        ComparisonObject { expression, left, right, result }
    }
}

impl SummaryObject {
    fn of(summary: Summary) -> SummaryObject {
        let Summary { title, message, link, level } = summary;
        SummaryObject { title, message, link, level: level.as_str().to_owned() }
    }
}

impl RequestObject {
    fn of(request: PreviewRequest) -> RequestObject {
        let mut headers = Map::new();
        for (name, value) in request.headers.iter() {
            headers.insert(name.to_owned(), Value::from(value));
        }
        let PreviewRequest { method, url, body, .. } = request;
        RequestObject { method, url, headers: Any(Value::Object(headers)), body }
    }
}

/// The operations.
pub struct PreviewApi;

#[OpenApi(tag = "Tag::Webhooks")]
impl PreviewApi {
    /// Preview a webhook
    ///
    /// What would be sent for an event, and why: patterns, filter, summary, and the request with masked secrets. Sends
    /// nothing and stores nothing. A template that does not parse is a 422, one that fails with this event a 200 with
    /// `error`. With `webhook_id` alone the scopes `webhooks:read` and `events:read` are enough; `event_id` needs
    /// `events:read`.
    #[oai(path = "/webhooks/preview", method = "post", operation_id = "preview_webhook")]
    async fn preview(
        &self,
        auth: PreviewWebhooks,
        body: Json<PreviewBody>,
    ) -> Result<Answer<One<PreviewResource>>, Problem> {
        let services = &auth.state.services;
        let mut fields = Fields::of_body(&body.bytes, &["webhook", "webhook_id", "event"])?;
        check_scopes(&auth.caller, &fields)?;
        let webhook = read_webhook(&mut fields, services.endpoints.input_rules())?;
        let event = match fields.raw("event") {
            Some(raw) => trials::read_event(&auth.caller, raw, &mut fields.errors)?,
            None => {
                fields.require("event");
                None
            }
        };
        fields.finish()?;
        let (webhook, event) = webhook.zip(event).ok_or_else(Problem::internal)?;
        let preview = services.endpoint_previews.preview(&auth.caller, webhook, event).await?;
        Ok(one(PreviewResource::of(preview)))
    }
}

fn forbidden(scope: Scope) -> Problem {
    ServiceError::Forbidden(scope).into()
}

/// Trying an endpoint as it is takes less than trying attributes.
fn check_scopes(caller: &Caller, fields: &Fields<'_>) -> Result<(), Problem> {
    let scopes = caller.by.scopes;
    let is_stored = fields.raw("webhook").is_none() && fields.raw("webhook_id").is_some();
    if scopes.allows(Scope::WebhooksWrite) {
        return Ok(());
    }
    if !is_stored {
        return Err(forbidden(Scope::WebhooksWrite));
    }
    check_events_read(caller)
}

fn read_webhook(fields: &mut Fields<'_>, rules: &InputRules) -> Result<Option<PreviewEndpoint>, Problem> {
    let id = fields.get::<String>("webhook_id", "a string");
    let id = id.map(|id| endpoint_id(&id)).transpose()?;
    let Some(raw) = fields.raw("webhook") else {
        if id.is_none() {
            fields.fail("webhook", "is required; give webhook, webhook_id, or both");
        }
        return Ok(id.map(PreviewEndpoint::Stored));
    };
    let mut given = match Fields::of_value(raw, "/webhook".to_owned(), &known_fields()) {
        Ok(given) => given,
        Err(error) => {
            fields.errors.push(error);
            return Ok(None);
        }
    };
    let presets = if id.is_some() { Presets::ExpandOrKeep } else { Presets::Expand };
    let is_expanded = presets.expands(given.raw("preset").map(RawValue::get));
    if id.is_none() && !is_expanded {
        given.require("url");
    }
    let mut errors = Complaints::default();
    let field = |name: &str| given.raw(name).map(RawValue::get);
    let checked = endpoint_input::read(field, presets, rules, &mut errors);
    fields.errors.append(&mut given.errors);
    fields.errors.extend(errors.into_vec().into_iter().map(|mut error| {
        error.pointer.insert_str(0, "/webhook");
        error
    }));
    Ok(Some(PreviewEndpoint::Given(Box::new(checked), id)))
}
