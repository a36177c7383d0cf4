//! What `/v1` says and takes, as documented types.

use std::collections::BTreeMap;

use poem_openapi::payload::Json;
use poem_openapi::types::{Any, MaybeUndefined, ParseFromJSON, ToJSON, Type};
use poem_openapi::{ApiResponse, Object};
use serde::Serialize;
use serde_json::{Value, json};

use crate::domain::attempts::attempt::{
    Attempt, AttemptDetail, AttemptSummary, ErrorKind, Request, Response, Timings,
};
use crate::domain::attempts::status_class::StatusClass;
use crate::domain::event::{Event, EventDetail};
use crate::domain::values::list::Page;
use crate::domain::{Headers, Timestamp};
use crate::http::request::body::{BodyShape, Limit};
use crate::http::request::paging::{Links, ListMeta, Paging};

mod endpoints;

pub use endpoints::{
    EndpointAttributes, EndpointBody, EndpointResource, HealthAttribute, RotateBody, SendNowResource,
    TestAttributes, TestBody, TestResource,
};

fn time(t: Timestamp) -> String {
    t.to_string()
}

// --- envelopes ----------------------------------------------------------------------------------

/// One resource.
#[derive(Object, Serialize)]
pub struct One<T: ParseFromJSON + ToJSON + Type> {
    pub data: T,
}

/// A page of resources.
#[derive(Object)]
pub struct List<T: ParseFromJSON + ToJSON + Type> {
    pub data: Vec<T>,
    pub links: Links,
    pub meta: ListMeta,
}

/// 201
#[derive(ApiResponse)]
pub enum Created<T: ParseFromJSON + ToJSON + Type> {
    /// Made.
    #[oai(status = 201)]
    Created(Json<One<T>>),
}

/// 202
#[derive(ApiResponse)]
pub enum Accepted<T: ParseFromJSON + ToJSON + Type> {
    /// Accepted: it is on disk and will be done.
    #[oai(status = 202)]
    Accepted(Json<T>),
}

/// 204
#[derive(ApiResponse)]
pub enum NoContent {
    /// Done.
    #[oai(status = 204)]
    Done,
}

/// A 200 with one resource.
pub fn one<T: ParseFromJSON + ToJSON + Type>(data: T) -> Json<One<T>> {
    Json(One { data })
}

/// A 200 with a page of a list; `shown` makes the resource of a row.
pub fn list<T: ParseFromJSON + ToJSON + Type, R, K: Serialize + Clone>(
    paging: &Paging,
    page: &Page<R, K>,
    shown: impl FnMut(&R) -> T,
) -> Json<List<T>> {
    let data = page.rows.iter().map(shown).collect();
    Json(List { data, links: paging.links(page), meta: paging.meta(page) })
}

// --- the delivery log ---------------------------------------------------------------------------

/// One attempt: one row of the delivery log.
#[derive(Object)]
#[oai(rename = "WebhookDelivery")]
pub struct AttemptResource {
    /// `webhook_delivery`
    #[oai(rename = "type")]
    pub kind: String,
    /// The row's number.
    pub id: i64,
    pub attributes: AttemptAttributes,
}

/// Attributes of an attempt.
#[derive(Object)]
#[oai(rename = "WebhookDeliveryAttributes")]
pub struct AttemptAttributes {
    /// The id of the delivery's first attempt.
    pub delivery_id: i64,
    /// UUID of the webhook.
    pub endpoint_id: String,
    /// In lists over all webhooks, and in the detail.
    #[oai(skip_serializing_if_is_none)]
    pub endpoint_url: Option<String>,
    /// In lists over all webhooks, and in the detail.
    #[oai(skip_serializing_if_is_none)]
    pub endpoint_name: Option<String>,
    /// `evt_…`, which is also the `webhook-id` header.
    pub event_id: String,
    pub event_type: String,
    /// The event's `resource_id` for `validation.*`, else null.
    pub validation_id: Option<String>,
    /// The receiver's status; null when no response arrived.
    pub response_status: Option<u16>,
    /// The first 500 characters of the receiver's answer.
    pub response_body: Option<String>,
    /// Time of the request in ms.
    pub response_time_ms: Option<u32>,
    /// 1 = the first send.
    pub attempt: u32,
    /// `pending`, `delivered`, `failed` (a later attempt exists), `exhausted` or `cancelled`.
    pub status: String,
    /// `event`, `retry`, `manual`, `recover`, `replay` or `test`.
    pub trigger: String,
    /// When the retry of this attempt is due.
    pub next_retry_at: Option<String>,
    /// `dns`, `connect`, `tls`, `timeout`, `http_status`, `blocked_address`, `protocol`, `interrupted`,
    /// `local`, `template`, `response`.
    pub error_kind: Option<String>,
    /// The failure in words.
    pub error_message: Option<String>,
    /// When the attempt was scheduled. RFC 3339, UTC.
    pub created_at: String,
    /// When a pending one is to be sent.
    pub due_at: Option<String>,
    /// When the request was sent.
    pub attempted_at: Option<String>,
    /// Of the attempt before a pending one: the receiver's status. This field and the three that follow are in the
    /// lists with `view=deliveries`, null unless the delivery waits for a retry, and in the detail of an attempt that
    /// waits for a retry. While an attempt fails for a cause of this machine (`local`), they are about that.
    #[oai(skip_serializing_if = "MaybeUndefined::is_undefined")]
    pub last_response_status: MaybeUndefined<u16>,
    /// Of the attempt before a pending one: how it failed.
    #[oai(skip_serializing_if = "MaybeUndefined::is_undefined")]
    pub last_error_kind: MaybeUndefined<String>,
    /// Of the attempt before a pending one: the failure in words.
    #[oai(skip_serializing_if = "MaybeUndefined::is_undefined")]
    pub last_error_message: MaybeUndefined<String>,
    /// Of the attempt before a pending one: when the request was sent.
    #[oai(skip_serializing_if = "MaybeUndefined::is_undefined")]
    pub last_attempted_at: MaybeUndefined<String>,
    /// Where the request went, as `ip:port`: the address that was tried last. Null for a private address unless the
    /// caller has the scope `admin`. In the detail only.
    #[oai(skip_serializing_if = "MaybeUndefined::is_undefined")]
    pub remote_address: MaybeUndefined<String>,
    /// How long the parts of the request took, one after the other, in ms: `dns_ms`, `connect_ms`, `tls_ms`,
    /// `first_byte_ms` (from then to the head of the response). Null where it did not come to that; of a reused
    /// connection only `first_byte_ms` is set. In the detail only.
    #[oai(skip_serializing_if_is_none)]
    pub timings: Option<Any<Value>>,
    /// The request as it was sent. In the detail only. The body to an encrypted webhook is the JWE; its payload
    /// is that of the event, `GET /v1/events/{event_id}` (scope `events:read`).
    #[oai(skip_serializing_if_is_none)]
    pub request: Option<Any<Value>>,
    /// The response as far as it is kept. In the detail only.
    #[oai(skip_serializing_if_is_none)]
    pub response: Option<Any<Value>>,
    /// All attempts of the delivery. In the detail only.
    #[oai(skip_serializing_if_is_none)]
    pub attempts: Option<Vec<AttemptLink>>,
}

/// An attempt among the others of its delivery.
#[derive(Object, Serialize)]
pub struct AttemptLink {
    pub id: i64,
    /// UUID of the webhook.
    pub endpoint_id: String,
    /// The webhook's name; empty if it has none.
    pub endpoint_name: String,
    pub endpoint_url: String,
    pub attempt: u32,
    pub status: String,
    pub trigger: String,
    pub attempted_at: Option<String>,
    pub due_at: Option<String>,
    pub response_status: Option<u16>,
    pub error_kind: Option<String>,
}

impl AttemptLink {
    fn of(a: &AttemptSummary) -> AttemptLink {
        AttemptLink {
            id: a.id.0,
            endpoint_id: a.endpoint_id.to_string(),
            endpoint_name: a.endpoint_name.clone(),
            endpoint_url: a.endpoint_url.clone(),
            attempt: a.attempt,
            status: a.status.to_string(),
            trigger: a.trigger.to_string(),
            attempted_at: a.attempted_at.map(time),
            due_at: a.due_at.map(time),
            response_status: a.response_status,
            error_kind: a.error_kind.map(|k| k.to_string()),
        }
    }
}

impl AttemptResource {
    /// A row; `with_endpoint` adds the endpoint's URL and name.
    pub fn of(a: &Attempt, with_endpoint: bool) -> AttemptResource {
        AttemptResource {
            kind: "webhook_delivery".to_owned(),
            id: a.id.0,
            attributes: AttemptAttributes {
                delivery_id: a.delivery_id.0,
                endpoint_id: a.endpoint_id.to_string(),
                endpoint_url: with_endpoint.then(|| a.endpoint_url.clone()),
                endpoint_name: with_endpoint.then(|| a.endpoint_name.clone()),
                event_id: a.event_id.to_string(),
                event_type: a.event_type.to_string(),
                validation_id: a.validation_id().map(str::to_owned),
                response_status: a.response_status,
                response_body: a.response_body.clone(),
                response_time_ms: a.response_time_ms,
                attempt: a.attempt,
                status: a.status.to_string(),
                trigger: a.trigger.to_string(),
                next_retry_at: a.next_retry_at.map(time),
                error_kind: a.error_kind.map(|k| k.to_string()),
                error_message: a.error_message.clone(),
                created_at: time(a.created_at),
                due_at: a.due_at.map(time),
                attempted_at: a.attempted_at.map(time),
                last_response_status: MaybeUndefined::Undefined,
                last_error_kind: MaybeUndefined::Undefined,
                last_error_message: MaybeUndefined::Undefined,
                last_attempted_at: MaybeUndefined::Undefined,
                remote_address: MaybeUndefined::Undefined,
                timings: None,
                request: None,
                response: None,
                attempts: None,
            },
        }
        .with_local_failure(a)
    }

    /// Every list shows why this machine cannot send.
    fn with_local_failure(self, a: &Attempt) -> AttemptResource {
        let is_local = a.last.as_ref().is_some_and(|last| last.error_kind == Some(ErrorKind::Local));
        if is_local { self.with_last(a) } else { self }
    }

    /// Adds how the attempt before a pending one ended.
    pub fn with_last(mut self, a: &Attempt) -> AttemptResource {
        let last = a.last.as_ref();
        let attributes = &mut self.attributes;
        attributes.last_response_status =
            MaybeUndefined::from_opt_null(last.and_then(|last| last.response_status));
        attributes.last_error_kind =
            MaybeUndefined::from_opt_null(last.and_then(|last| last.error_kind).map(|kind| kind.to_string()));
        attributes.last_error_message =
            MaybeUndefined::from_opt_null(last.and_then(|last| last.error_message.clone()));
        attributes.last_attempted_at =
            MaybeUndefined::from_opt_null(last.and_then(|last| last.attempted_at).map(time));
        self
    }

    /// A row with everything that is kept.
    pub fn detail(detail: &AttemptDetail) -> AttemptResource {
        let mut resource = AttemptResource::of(&detail.attempt, true);
        if detail.attempt.last.is_some() {
            resource = resource.with_last(&detail.attempt);
        }
        let request = detail.request.as_ref().map(|r| request_json(r, detail.request_body.as_deref()));
        let response = detail.response.as_ref().map(response_json);
        let address = detail.route.and_then(|route| route.remote_address).map(|address| address.to_string());
        resource.attributes.remote_address = MaybeUndefined::from_opt_null(address);
        resource.attributes.timings =
            Some(Any(detail.route.map_or(Value::Null, |route| timings(route.timings))));
        resource.attributes.request = Some(Any(request.unwrap_or(Value::Null)));
        resource.attributes.response = Some(Any(response.unwrap_or(Value::Null)));
        resource.attributes.attempts = Some(detail.attempts.iter().map(AttemptLink::of).collect());
        resource
    }
}

fn timings(timings: Timings) -> Value {
    json!({
        "dns_ms": timings.dns_ms,
        "connect_ms": timings.connect_ms,
        "tls_ms": timings.tls_ms,
        "first_byte_ms": timings.first_byte_ms,
    })
}

fn request_json(request: &Request, body: Option<&[u8]>) -> Value {
    json!({
        "method": request.method.as_deref().unwrap_or("POST"),
        "url": request.url,
        "headers": headers_json(&request.headers),
        "body": body.map(String::from_utf8_lossy),
    })
}

fn response_json(response: &Response) -> Value {
    json!({
        "status": response.status,
        "headers": headers_json(&response.headers),
        "body": String::from_utf8_lossy(&response.body),
        "body_truncated": response.body_truncated,
    })
}

/// Headers as an object with lower-case names, repeated ones joined by `, `.
fn headers_json(headers: &Headers) -> BTreeMap<String, String> {
    let mut joined: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers.iter() {
        let entry = joined.entry(name.to_ascii_lowercase());
        entry
            .and_modify(|all| {
                all.push_str(", ");
                all.push_str(value);
            })
            .or_insert_with(|| value.to_owned());
    }
    joined
}

// --- events -------------------------------------------------------------------------------------

/// Something that happened.
#[derive(Object, Serialize)]
#[oai(rename = "Event")]
pub struct EventResource {
    /// `event`
    #[oai(rename = "type")]
    #[serde(rename = "type")]
    pub kind: String,
    /// `evt_…`
    pub id: String,
    pub attributes: EventAttributes,
}

/// Attributes of an event.
#[derive(Object, Serialize)]
pub struct EventAttributes {
    pub event_type: String,
    pub resource_id: Option<String>,
    /// How many webhooks it goes to.
    pub deliveries: u32,
    /// How many webhooks whose patterns match declined it by their filters.
    pub filtered: u32,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// The payload. In the detail only.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<Any<Value>>,
    /// All attempts over all webhooks. In the detail only.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<Vec<AttemptLink>>,
}

impl EventResource {
    /// An event as lists show it.
    pub fn of(event: &Event) -> EventResource {
        EventResource {
            kind: "event".to_owned(),
            id: event.id.to_string(),
            attributes: EventAttributes {
                event_type: event.event_type.to_string(),
                resource_id: event.resource_id.clone(),
                deliveries: event.deliveries,
                filtered: event.filtered,
                created_at: time(event.created_at),
                payload: None,
                attempts: None,
            },
        }
    }

    /// An event with payload and attempts.
    pub fn detail(detail: &EventDetail) -> EventResource {
        let mut resource = EventResource::of(&detail.event);
        let payload = detail.payload.as_ref().and_then(|bytes| serde_json::from_slice(bytes).ok());
        resource.attributes.payload = Some(Any(payload.unwrap_or(Value::Null)));
        resource.attributes.attempts = Some(detail.attempts.iter().map(AttemptLink::of).collect());
        resource
    }
}

/// An event to post.
#[derive(Object)]
#[oai(rename = "EventInput")]
#[allow(dead_code, reason = "a documented shape; bodies are read field by field")]
pub struct EventBody {
    /// 1 to 128 of `[A-Za-z0-9_.-]`, without an empty segment, not beginning with `webhook_endpoint.`
    #[oai(validator(min_length = 1, max_length = 128))]
    event_type: String,
    /// Any JSON value, up to `limits.event_size`; sent byte for byte as it came.
    payload: Any<Value>,
    /// What the event is about, up to 255 characters.
    resource_id: Option<String>,
    /// Up to 255 characters; repeating it within 24 hours gives the first answer again. May also be given
    /// as the header `Idempotency-Key`.
    idempotency_key: Option<String>,
}

impl BodyShape for EventBody {
    const LIMIT: Limit = Limit::Event;
}

/// A batch of events.
#[derive(Object)]
#[oai(rename = "EventBatch")]
#[allow(dead_code, reason = "a documented shape; bodies are read field by field")]
pub struct BatchBody {
    /// 1 to 1,000 events, taken whole or refused whole.
    #[oai(validator(min_items = 1, max_items = 1000))]
    events: Vec<EventBody>,
}

impl BodyShape for BatchBody {
    const LIMIT: Limit = Limit::Batch;
}

/// One result for each event of a batch, in order.
#[derive(Object, Serialize)]
pub struct BatchResult {
    pub data: Vec<EventResource>,
}

/// Attempts whose responses have a status of one class.
#[derive(Object)]
#[oai(rename = "WebhookStatsStatus")]
pub struct StatusCountObject {
    /// `2xx`, `3xx`, `4xx`, `5xx`, `none` (no response arrived) or `other` (another status, or an attempt from before
    /// statuses were counted).
    status: String,
    count: u64,
}

impl StatusCountObject {
    /// So many attempts of a class.
    pub fn of((class, count): &(StatusClass, u64)) -> StatusCountObject {
        StatusCountObject { status: class.to_string(), count: *count }
    }
}
