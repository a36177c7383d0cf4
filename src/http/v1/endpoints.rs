//! `/v1/webhooks`: endpoints.

use bytes::Bytes;
use poem::Request;
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use poem_openapi::payload::Json as Answer;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::domain::endpoint::{EndpointSettings, EndpointStatus};
use crate::domain::event::TEST_TYPE;
use crate::domain::filter::{EndpointFilter, EndpointKey, EndpointSort};
use crate::domain::health::HealthState;
use crate::domain::values::invalid::Complaints;
use crate::domain::{Endpoint, EndpointId, EventType, Scope};
use crate::http::problem::Problem;
use crate::http::request::auth::{ReadWebhooks, TestWebhooks, WriteWebhooks};
use crate::http::request::body::{Fields, Json};
use crate::http::request::paging;
use crate::http::request::paging::Paging;
use crate::http::request::query::Query;
use crate::http::request::values::Values as _;
use crate::http::state::State;
use crate::service::endpoints::endpoint_input::{self, Checked, InputRules, Presets};
use crate::service::endpoints::testing::TestInput;
use crate::service::endpoints::trial::TrialInput;
use crate::service::{Caller, Kind, ServiceError};

use super::params;
use super::places::PlaceValue;
use super::shapes::{
    Accepted, Created, EndpointBody, EndpointResource, List, NoContent, One, RotateBody, SendNowResource,
    TestBody, TestResource, one,
};
use super::{Tag, filters, id_of, read_overlap, trials};

/// Known because reads show them; taken and left alone, so that what was read can be written back.
const READ_ONLY: &[&str] = &[
    "status_reason",
    "consecutive_failures",
    "hold",
    "missed",
    "health",
    "success_rate",
    "last_failure_at",
    "waiting",
    "filter_error",
    "created_at",
    "updated_at",
];

/// The operations.
pub struct EndpointsApi;

#[OpenApi(tag = "Tag::Webhooks")]
impl EndpointsApi {
    /// List webhooks
    ///
    /// All webhooks of the app, newest first unless `sort` is given. Signing secrets are never among the
    /// attributes.
    #[oai(path = "/webhooks", method = "get", operation_id = "list_webhooks")]
    async fn list(
        &self,
        auth: ReadWebhooks,
        request: &Request,
    ) -> Result<Answer<List<EndpointResource>>, Problem> {
        let mut query = Query::of(request, &params::endpoint_list());
        let filter = EndpointFilter {
            status: query.get("status", "active, paused or disabled", EndpointStatus::parse),
            health: query.values(
                "health",
                &format!("one of {}", HealthState::WORDS.join(", ")),
                HealthState::parse,
            ),
            q: filters::search_text(&mut query),
        };
        let expected = format!("one of {}", params::ENDPOINT_SORTS.join(", "));
        let sort = query.get("sort", &expected, EndpointSort::parse).unwrap_or_default();
        let scope = format!("webhooks {}", auth.caller.app_id);
        let read = Paging::read::<EndpointPlace>(
            &mut query,
            &auth.state.cursors,
            auth.state.path("/v1/webhooks"),
            &scope,
        );
        let (paging, page) = paging::settle(query, read)?;
        let page = super::map_key(page, EndpointPlace::key);
        let found = auth.state.services.endpoints.ranked(&auth.caller, filter, sort, page).await?;
        let ids: Vec<EndpointId> = found.rows.iter().map(|endpoint| endpoint.id).collect();
        let mut standings = auth.state.services.endpoints.standings(&auth.caller, ids.clone()).await?;
        let health = auth.state.services.statistics.health_of(&auth.caller, ids).await?;
        let mut health = health.into_iter().peekable();
        // One that is deleted between the reads is left out.
        let data = found.rows.iter().filter_map(|endpoint| {
            let health = health.next_if(|health| health.endpoint_id == endpoint.id)?;
            let standing = standings.remove(&endpoint.id).unwrap_or_default();
            Some(EndpointResource::of(endpoint, &standing, &health))
        });
        let data = data.collect();
        let found = super::map_next(found, EndpointPlace::of);
        Ok(Answer(List { links: paging.links(&found), meta: paging.meta(&found), data }))
    }

    /// Create a webhook
    ///
    /// The response has the `signing_secret`, which is shown only once. A URL whose host is a literal
    /// address is checked against the network policy at once; a name is checked before every attempt. With a `preset`
    /// the attributes come from the recipe of the gallery, unless they are given; only `events` is necessary then.
    #[oai(path = "/webhooks", method = "post", operation_id = "create_webhook")]
    async fn create(
        &self,
        auth: WriteWebhooks,
        body: Json<EndpointBody>,
    ) -> Result<Created<EndpointResource>, Problem> {
        let rules = auth.state.services.endpoints.input_rules();
        let input = read_input(&body, Presets::Expand, rules, &["url", "events"])?;
        let (endpoint, secret) = auth.state.services.endpoints.create(&auth.caller, input).await?;
        let data = resource(&auth.state, &auth.caller, &endpoint).await?.with_secret(secret.as_str());
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
        Ok(one(resource(&auth.state, &auth.caller, &endpoint).await?))
    }

    /// Replace a webhook
    ///
    /// All settings: what is not given gets its default, or comes from the recipe of a `preset`. The status stays
    /// unless it is given.
    #[oai(path = "/webhooks/:id", method = "put", operation_id = "replace_webhook")]
    async fn replace(
        &self,
        auth: WriteWebhooks,
        id: Path<String>,
        body: Json<EndpointBody>,
    ) -> Result<Answer<One<EndpointResource>>, Problem> {
        let id = endpoint_id(&id)?;
        let rules = auth.state.services.endpoints.input_rules();
        let input = read_input(&body, Presets::ExpandOrKeep, rules, &["url", "events"])?;
        let changed = auth.state.services.endpoints.replace(&auth.caller, id, input).await?;
        Ok(one(resource(&auth.state, &auth.caller, &changed.endpoint).await?.with_missed(changed.missed)))
    }

    /// Change a webhook
    ///
    /// The fields that are given; `preset` cannot be changed. `{"status":"paused"}` lets deliveries wait, `disabled`
    /// cancels them, `active` enables it again and forgets its failures; after `disabled` the response says in
    /// `missed` how many events were not sent meanwhile.
    #[oai(path = "/webhooks/:id", method = "patch", operation_id = "change_webhook")]
    async fn change(
        &self,
        auth: WriteWebhooks,
        id: Path<String>,
        body: Json<EndpointBody>,
    ) -> Result<Answer<One<EndpointResource>>, Problem> {
        let id = endpoint_id(&id)?;
        let rules = auth.state.services.endpoints.input_rules();
        let input = read_input(&body, Presets::Keep, rules, &[])?;
        let changed = auth.state.services.endpoints.change(&auth.caller, id, input).await?;
        Ok(one(resource(&auth.state, &auth.caller, &changed.endpoint).await?.with_missed(changed.missed)))
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
    /// Sends an event at once, whatever the webhook's status, and waits for the answer: a synthetic one, one with your
    /// `payload`, a stored one (`event_id`), or a `sample` of the gallery. It is logged with the trigger `test` and
    /// counts neither for nor against the webhook. With `payload`, `event_id` or `sample` a key needs the scope
    /// `webhooks:write` instead, with `event_id` also `events:read`.
    #[oai(path = "/webhooks/:id/test", method = "post", operation_id = "test_webhook")]
    async fn test(
        &self,
        auth: TestWebhooks,
        id: Path<String>,
        body: Json<TestBody>,
    ) -> Result<Answer<One<TestResource>>, Problem> {
        let mut fields = Fields::of_body(&body.bytes, &["event_type", "payload", "event_id", "sample"])?;
        let input = read_test(&auth.caller, &mut fields)?;
        let id = endpoint_id(&id)?;
        fields.finish()?;
        let (attempt, outcome) = auth.state.services.tests.send(&auth.caller, id, input).await?;
        Ok(one(TestResource::of(attempt, &outcome)))
    }

    /// Rotate the signing secret
    ///
    /// The response has the new `signing_secret`, which is shown only once. During `overlap`,
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
        let overlap = read_overlap(&mut fields);
        let end_oldest = fields.nullable::<bool>("end_oldest", "true or false").flatten().unwrap_or_default();
        fields.finish()?;
        let overlap = overlap.ok_or_else(Problem::internal)?;
        let endpoints = &auth.state.services.endpoints;
        let (endpoint, secret) = endpoints.rotate(&auth.caller, id, &overlap, end_oldest).await?;
        Ok(one(resource(&auth.state, &auth.caller, &endpoint).await?.with_secret(secret.as_str())))
    }

    /// Send pending deliveries now
    ///
    /// Everything that is pending for the webhook is due at once, whatever the retry schedule says. While it is
    /// on hold, the first delivery is sent as a probe: a success ends the hold, after a failure the next probe
    /// follows in 30 s. A webhook that is paused or disabled is a 409. The response is 202 also when nothing
    /// waits.
    #[oai(path = "/webhooks/:id/send-now", method = "post", operation_id = "send_webhook_now")]
    async fn send_now(
        &self,
        auth: WriteWebhooks,
        id: Path<String>,
    ) -> Result<Accepted<One<SendNowResource>>, Problem> {
        let queued = auth.state.services.endpoints.send_now(&auth.caller, endpoint_id(&id)?).await?;
        Ok(Accepted::Accepted(one(SendNowResource::of(queued))))
    }
}

/// A place in the list of webhooks, as it stands in a cursor.
#[derive(Clone, Serialize, Deserialize)]
struct EndpointPlace {
    id: uuid::Uuid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<PlaceValue>,
}

impl EndpointPlace {
    fn of(key: EndpointKey) -> EndpointPlace {
        EndpointPlace { id: key.id.as_uuid(), value: PlaceValue::of(key.value) }
    }

    fn key(self) -> EndpointKey {
        EndpointKey { id: EndpointId::from_uuid(self.id), value: PlaceValue::read(self.value) }
    }
}

/// A webhook as it stands now.
async fn resource(state: &State, caller: &Caller, endpoint: &Endpoint) -> Result<EndpointResource, Problem> {
    let standing = state.services.endpoints.standing(caller, endpoint.id).await?;
    let health = state.services.statistics.health_of(caller, vec![endpoint.id]).await?;
    let health = health.first().ok_or(ServiceError::NotFound(Kind::Endpoint))?;
    Ok(EndpointResource::of(endpoint, &standing, health))
}

/// An endpoint's id from a path; a malformed one is simply not found.
pub(super) fn endpoint_id(text: &str) -> Result<EndpointId, Problem> {
    id_of(text).ok_or_else(|| ServiceError::NotFound(Kind::Endpoint).into())
}

/// Which event a test sends. A synthetic one tells nothing and chooses nothing, so it takes less.
fn read_test(caller: &Caller, fields: &mut Fields<'_>) -> Result<TestInput, Problem> {
    let is_given = |name: &str| fields.raw(name).is_some_and(|raw| name == "payload" || raw.get() != "null");
    let is_synthetic = !["payload", "event_id", "sample"].into_iter().any(is_given);
    let scope = if is_synthetic { Scope::WebhooksRead } else { Scope::WebhooksWrite };
    if !caller.by.scopes.allows(scope) {
        return Err(ServiceError::Forbidden(scope).into());
    }
    if let Some(event) = trials::named_event(caller, fields, &["event_type", "payload"])? {
        return Ok(TestInput::Trial(event));
    }
    let event_type = trials::read_type(fields);
    let Some(payload) = fields.raw("payload") else { return Ok(TestInput::Synthetic(event_type)) };
    let default = || EventType::parse(TEST_TYPE).map_err(|_| Problem::internal());
    Ok(TestInput::Trial(TrialInput::Given {
        event_type: event_type.map_or_else(default, Ok)?,
        payload: Bytes::copy_from_slice(payload.get().as_bytes()),
        resource_id: None,
        source: None,
    }))
}

/// The fields of a webhook in a body.
pub(super) fn known_fields() -> Vec<&'static str> {
    [EndpointSettings::FIELDS, &["status"], READ_ONLY].concat()
}

fn read_input(
    body: &Json<EndpointBody>,
    presets: Presets,
    rules: &InputRules,
    required: &[&str],
) -> Result<Checked, Problem> {
    let mut fields = Fields::of_body(&body.bytes, &known_fields())?;
    let is_expanded = presets.expands(fields.raw("preset").map(RawValue::get));
    // The recipe gives the URL.
    for name in required.iter().filter(|name| !(is_expanded && **name == "url")) {
        fields.require(name);
    }
    let mut errors = Complaints::default();
    let field = |name: &str| fields.raw(name).map(RawValue::get);
    let checked = endpoint_input::read(field, presets, rules, &mut errors);
    fields.errors.append(&mut errors);
    fields.finish()?;
    Ok(checked)
}
