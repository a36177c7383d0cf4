//! `/v1/webhooks`: endpoints.

use poem::Request;
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use poem_openapi::payload::Json as Answer;
use serde::Deserialize;

use crate::domain::endpoint::EndpointStatus;
use crate::domain::filter::EndpointFilter;
use crate::domain::values::invalid::escape_pointer;
use crate::domain::{EndpointId, EventType, FieldError, Span};
use crate::http::problem::Problem;
use crate::http::request::auth::{ReadWebhooks, WriteWebhooks};
use crate::http::request::body::{Fields, Json, Object};
use crate::http::request::paging;
use crate::http::request::paging::Paging;
use crate::http::request::query::Query;
use crate::service::ServiceError;
use crate::service::endpoints::endpoint_input::{
    Checked, EndpointInput, HeaderInput, InputRules, not_a_span,
};

use super::params;
use super::shapes::{
    Created, EndpointBody, EndpointResource, List, NoContent, One, RotateBody, TestBody, TestResource, one,
};
use super::{Tag, id_of};

/// What an overlap is unless it is given.
const OVERLAP_DEFAULT: &str = "24h";

const FIELDS: &[&str] = &[
    "url",
    "name",
    "description",
    "events",
    "headers",
    "encrypted",
    "retry_schedule",
    "timeout",
    "rate_limit",
    "status",
];
/// Known because reads show them; taken and left alone, so that what was read can be written back.
const READ_ONLY: &[&str] = &["status_reason", "consecutive_failures", "created_at", "updated_at"];

/// The operations.
pub struct EndpointsApi;

#[OpenApi(tag = "Tag::Webhooks")]
impl EndpointsApi {
    /// List webhooks
    ///
    /// All webhooks of the app, newest first. Signing secrets are never among the attributes.
    #[oai(path = "/webhooks", method = "get", operation_id = "list_webhooks")]
    async fn list(
        &self,
        auth: ReadWebhooks,
        request: &Request,
    ) -> Result<Answer<List<EndpointResource>>, Problem> {
        let mut query = Query::of(request, &params::endpoint_list());
        let filter = EndpointFilter {
            status: query.get("status", "active, paused or disabled", EndpointStatus::parse),
            q: params::search_text(&mut query),
        };
        let scope = format!("webhooks {}", auth.caller.app_id);
        let read = Paging::read::<uuid::Uuid>(
            &mut query,
            &auth.state.cursors,
            auth.state.path("/v1/webhooks"),
            &scope,
        );
        let (paging, page) = paging::settle(query, read)?;
        let page = super::map_key(page, EndpointId::from_uuid);
        let found = auth.state.services.endpoints.list(&auth.caller, filter, page).await?;
        let found = super::map_next(found, EndpointId::as_uuid);
        Ok(Answer(List {
            links: paging.links(&found),
            meta: paging.meta(&found),
            data: found.rows.iter().map(EndpointResource::of).collect(),
        }))
    }

    /// Create a webhook
    ///
    /// The answer carries `signing_secret`, which is shown this once. A URL whose host is a literal
    /// address is judged by the network policy at once; a name is judged before every attempt.
    #[oai(path = "/webhooks", method = "post", operation_id = "create_webhook")]
    async fn create(
        &self,
        auth: WriteWebhooks,
        body: Json<EndpointBody>,
    ) -> Result<Created<EndpointResource>, Problem> {
        let input = read_input(&body, auth.state.services.endpoints.input_rules(), &["url", "events"])?;
        let (endpoint, secret) = auth.state.services.endpoints.create(&auth.caller, input).await?;
        let data = EndpointResource::with_secret(&endpoint, Some(secret.as_str()));
        Ok(Created::Created(Answer(One { data })))
    }

    /// Get a webhook
    ///
    /// Its settings and its status, without the signing secret.
    #[oai(path = "/webhooks/:id", method = "get", operation_id = "get_webhook")]
    async fn get(
        &self,
        auth: ReadWebhooks,
        id: Path<String>,
    ) -> Result<Answer<One<EndpointResource>>, Problem> {
        let endpoint = auth.state.services.endpoints.get(&auth.caller, endpoint_id(&id)?).await?;
        Ok(one(EndpointResource::of(&endpoint)))
    }

    /// Replace a webhook
    ///
    /// All settings: what is not given gets its default. The status stays unless it is given.
    #[oai(path = "/webhooks/:id", method = "put", operation_id = "replace_webhook")]
    async fn replace(
        &self,
        auth: WriteWebhooks,
        id: Path<String>,
        body: Json<EndpointBody>,
    ) -> Result<Answer<One<EndpointResource>>, Problem> {
        let id = endpoint_id(&id)?;
        let input = read_input(&body, auth.state.services.endpoints.input_rules(), &["url", "events"])?;
        let endpoint = auth.state.services.endpoints.replace(&auth.caller, id, input).await?;
        Ok(one(EndpointResource::of(&endpoint)))
    }

    /// Change a webhook
    ///
    /// The fields that are given. `{"status":"paused"}` lets deliveries wait, `disabled` cancels them,
    /// `active` switches on again and clears the failure counter.
    #[oai(path = "/webhooks/:id", method = "patch", operation_id = "change_webhook")]
    async fn change(
        &self,
        auth: WriteWebhooks,
        id: Path<String>,
        body: Json<EndpointBody>,
    ) -> Result<Answer<One<EndpointResource>>, Problem> {
        let id = endpoint_id(&id)?;
        let input = read_input(&body, auth.state.services.endpoints.input_rules(), &[])?;
        let endpoint = auth.state.services.endpoints.change(&auth.caller, id, input).await?;
        Ok(one(EndpointResource::of(&endpoint)))
    }

    /// Delete a webhook
    ///
    /// What is pending for it is cancelled. Its delivery log stays until retention takes it.
    #[oai(path = "/webhooks/:id", method = "delete", operation_id = "delete_webhook")]
    async fn delete(&self, auth: WriteWebhooks, id: Path<String>) -> Result<NoContent, Problem> {
        auth.state.services.endpoints.delete(&auth.caller, endpoint_id(&id)?).await?;
        Ok(NoContent::Done)
    }

    /// Send a test
    ///
    /// Sends a synthetic event at once, whatever the webhook's status, and waits for the answer. It is
    /// logged with the trigger `test` and counts neither for nor against the webhook.
    #[oai(path = "/webhooks/:id/test", method = "post", operation_id = "test_webhook")]
    async fn test(
        &self,
        auth: ReadWebhooks,
        id: Path<String>,
        body: Json<TestBody>,
    ) -> Result<Answer<One<TestResource>>, Problem> {
        let id = endpoint_id(&id)?;
        let mut fields = Fields::of_body(&body.bytes, &["event_type"])?;
        let event_type = match fields.nullable::<String>("event_type", "a string").flatten() {
            Some(text) => EventType::parse(&text).map_err(|message| fields.fail("event_type", message)).ok(),
            None => None,
        };
        fields.finish()?;
        let (attempt, outcome) = auth.state.services.endpoints.test(&auth.caller, id, event_type).await?;
        Ok(one(TestResource::of(attempt, &outcome)))
    }

    /// Rotate the signing secret
    ///
    /// The answer carries the new `signing_secret`, which is shown this once. For the time of `overlap`
    /// requests are signed with both secrets, so that a receiver can change over without losing one.
    #[oai(path = "/webhooks/:id/rotate-secret", method = "post", operation_id = "rotate_webhook_secret")]
    async fn rotate(
        &self,
        auth: WriteWebhooks,
        id: Path<String>,
        body: Json<RotateBody>,
    ) -> Result<Answer<One<EndpointResource>>, Problem> {
        let id = endpoint_id(&id)?;
        let mut fields = Fields::of_body(&body.bytes, &["overlap", "end_oldest"])?;
        let text = fields.nullable::<String>("overlap", "a length of time, such as \"24h\"").flatten();
        let text = text.unwrap_or_else(|| OVERLAP_DEFAULT.to_owned());
        let overlap = Span::parse(&text);
        if overlap.is_none() {
            fields.fail("overlap", not_a_span(&text));
        }
        let end_oldest = fields.nullable::<bool>("end_oldest", "true or false").flatten().unwrap_or_default();
        fields.finish()?;
        let overlap = overlap.ok_or_else(Problem::internal)?;
        let endpoints = &auth.state.services.endpoints;
        let (endpoint, secret) = endpoints.rotate(&auth.caller, id, &overlap, end_oldest).await?;
        Ok(one(EndpointResource::with_secret(&endpoint, Some(secret.as_str()))))
    }
}

/// An endpoint's id from a path; a malformed one is simply not found.
pub(super) fn endpoint_id(text: &str) -> Result<EndpointId, Problem> {
    id_of(text).ok_or_else(|| ServiceError::NotFound("webhook").into())
}

/// A header in a body: a plain string, or an object.
#[derive(Deserialize)]
#[serde(untagged)]
enum HeaderShape {
    Plain(String),
    Object(HeaderObject),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderObject {
    value: String,
    #[serde(default)]
    secret: bool,
}

fn read_input(body: &Json<EndpointBody>, rules: &InputRules, required: &[&str]) -> Result<Checked, Problem> {
    let known: Vec<&str> = FIELDS.iter().chain(READ_ONLY).copied().collect();
    let mut fields = Fields::of_body(&body.bytes, &known)?;
    for name in required {
        fields.require(name);
    }
    let input = EndpointInput {
        url: fields.get("url", "a string"),
        name: fields.nullable("name", "a string"),
        description: fields.nullable("description", "a string"),
        events: fields.get("events", "a list of strings, such as [\"license.*\"]"),
        headers: read_headers(&mut fields),
        encrypted: fields.get("encrypted", "true or false"),
        retry_schedule: fields
            .nullable("retry_schedule", "a list of lengths of time, such as [\"2m\",\"8m\"]"),
        timeout: fields.nullable("timeout", "a length of time, such as \"10s\""),
        rate_limit: fields.nullable("rate_limit", "a whole number"),
        status: fields.get("status", "a string"),
    };
    let checked = input.check(rules, &mut fields.errors);
    fields.finish()?;
    Ok(checked)
}

fn read_headers(fields: &mut Fields<'_>) -> Option<Vec<(String, HeaderInput)>> {
    let given = fields.nullable::<Object<'_>>("headers", "an object")?;
    let mut headers = Vec::new();
    for (name, raw) in given.map(|object| object.0).unwrap_or_default() {
        if fields.errors.is_full() {
            break;
        }
        match serde_json::from_str(raw.get()) {
            Ok(HeaderShape::Plain(text)) => headers.push((name, HeaderInput::Plain(text))),
            Ok(HeaderShape::Object(HeaderObject { value, secret: true })) => {
                headers.push((name, HeaderInput::Secret(value)));
            }
            Ok(HeaderShape::Object(HeaderObject { value, secret: false })) => {
                headers.push((name, HeaderInput::Plain(value)));
            }
            Err(_) => {
                let message = "must be a string, or an object like {\"value\":\"…\",\"secret\":true}";
                let pointer = format!("/headers/{}", escape_pointer(&name));
                fields.errors.push(FieldError::new(pointer, message));
            }
        }
    }
    Some(headers)
}
