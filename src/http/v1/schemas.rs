//! The schemas of the OpenAPI document, completed: what Rust's types do not say.
//!
//! Whether a field is always there, may be null, has a format or one of a few values. The tables name
//! schemas one by one, so that a new one is left as poem writes it until someone decides.

use serde_json::{Map, Value, json};

use crate::domain::attempts::retry::SCHEDULE_MAX;
use crate::domain::event::BATCH_MAX;
use crate::domain::event_type::TYPE_MAX;
use crate::domain::{AttemptStatus, EndpointStatus, ErrorKind, Trigger};
use crate::http::document::openapi::{
    Detail, EVENT_TYPE, HEADER_VALUE, LINES, PLAIN, SPAN, add_details, all_there, event_patterns, no_unsigned,
};

mod more;

/// The timeout of a webhook: up to 30 s.
const TIMEOUT: &str = "^([1-9][0-9]{0,3}ms|[12][0-9]{4}ms|30000ms|[1-9]s|[12][0-9]s|30s)$";
/// The rate limit of a webhook as text: up to 10,000 requests a second.
const RATE: &str =
    "^(([1-9][0-9]{0,3}|10000)/s|([1-9][0-9]{0,4}|[1-5][0-9]{5}|600000)/m|([1-9][0-9]{0,5}|1000000)/h)$";
/// The wait before a retry: up to 30 days.
const WAIT: &str =
    "^(0|[0-9]{1,9}ms|[0-9]{1,6}s|[0-9]{1,4}m|[0-6]?[0-9]{1,2}h|7[01][0-9]h|720h|[0-2]?[0-9]d|30d)$";
/// The overlap of two secrets: up to 7 days.
const OVERLAP: &str = "^(0|[0-9]{1,8}ms|[0-9]{1,5}s|[0-9]{1,4}m|[0-9]{1,2}h|1[0-5][0-9]h|16[0-8]h|[0-7]d)$";

/// Answers whose fields are all there, null or not, but for those that are named.
const ANSWERS: &[(&str, &[&str])] = &[
    ("WebhookEndpointAttributes", &["signing_secret", "missed"]),
    (
        "WebhookDeliveryAttributes",
        &[
            "endpoint_url",
            "endpoint_name",
            "last_response_status",
            "last_error_kind",
            "last_error_message",
            "last_attempted_at",
            "remote_address",
            "timings",
            "request",
            "response",
            "attempts",
        ],
    ),
    ("AttemptLink", &[]),
    ("EventAttributes", &["payload", "attempts"]),
    ("WebhookTestResultAttributes", &["error"]),
    ("Links", &[]),
    ("BulkJob", &[]),
    ("WebhookStats", &["id"]),
    ("WebhookStatsTimes", &[]),
    ("WebhookHealthAttributes", &[]),
    ("WebhookHealthLastDay", &[]),
    ("WebhookHealthTimes", &[]),
    ("WebhookHealthError", &[]),
    ("WebhookHealthTrend", &[]),
    ("EventTypeAttributes", &[]),
    ("ActivityAttributes", &[]),
    ("WebhookVerificationAttributes", &[]),
    ("WebhookVerificationResultAttributes", &[]),
    ("WebhookSignatureCheck", &[]),
    ("WebhookPreviewAttributes", &[]),
    ("WebhookPreviewWanted", &[]),
    ("WebhookPreviewComparison", &[]),
    ("WebhookPreviewSummary", &[]),
    ("WebhookPreviewRequest", &[]),
    ("WebhookPreviewCost", &[]),
    ("SourceAttributes", &["warnings"]),
    ("SourceCounts", &[]),
    ("InboundRequestAttributes", &["headers", "query", "body", "body_truncated"]),
    ("SourcePreviewAttributes", &[]),
    ("VerifierVerdict", &[]),
    ("SourcePreviewWebhook", &[]),
    ("PresetAttributes", &["source", "webhook"]),
    ("PresetInput", &[]),
    ("PresetLimit", &[]),
];

/// Bodies, with the fields that may be null. Other fields than theirs are refused.
const BODIES: &[(&str, &[&str])] = &[
    (
        "WebhookEndpointInput",
        &[
            "name",
            "description",
            "filter",
            "headers",
            "request",
            "secrets",
            "retry_schedule",
            "timeout",
            "contact",
            "preset",
        ],
    ),
    ("EventInput", &["resource_id", "idempotency_key"]),
    ("EventBatch", &[]),
    ("WebhookTest", &["event_type", "event_id", "sample"]),
    ("WebhookPreviewInput", &[]),
    ("RotateSecret", &["overlap"]),
    ("BulkRetry", &["dry_run"]),
    (
        "BulkRetryFilter",
        &[
            "view",
            "status",
            "event_type",
            "endpoint_id",
            "response_status",
            "error_kind",
            "trigger",
            "event_id",
            "resource_id",
            "delivery_id",
            "error",
            "since",
            "until",
            "q",
            "sort",
        ],
    ),
    ("Recover", &["until", "dry_run"]),
    ("Replay", &["webhook_id"]),
    ("WebhookVerify", &["received_at"]),
    (
        "SourceInput",
        &[
            "enabled",
            "verify",
            "methods",
            "event_type",
            "resource_id",
            "dedupe",
            "accept",
            "json_field",
            "response",
            "summary",
            "preset",
        ],
    ),
    ("RotateSourceUrl", &["overlap"]),
    ("SourcePreviewInput", &[]),
];

fn maybe_object() -> Value {
    json!({ "type": "object", "nullable": true, "additionalProperties": {} })
}

fn maybe_texts() -> Value {
    json!({ "type": "object", "nullable": true, "additionalProperties": { "type": "string" } })
}

/// More about single fields.
fn details() -> Vec<Detail> {
    [endpoint_details(), event_details(), attempt_details(), exchange_details()].concat()
}

/// Headers of a webhook, plain and secret.
fn header_inputs() -> Value {
    json!({
        "type": "object",
        "additionalProperties": {
            "oneOf": [
                { "type": "string", "maxLength": 8192, "pattern": HEADER_VALUE },
                {
                    "type": "object",
                    "required": ["value"],
                    "additionalProperties": false,
                    "properties": {
                        "value": { "type": "string", "maxLength": 8192, "pattern": HEADER_VALUE },
                        "secret": { "type": "boolean" },
                    },
                },
            ],
        },
    })
}

fn endpoint_details() -> Vec<Detail> {
    let uuid = json!({ "type": "string", "format": "uuid" });
    let headers = header_inputs();
    let rate = json!({
        "oneOf": [
            { "type": "string", "nullable": true, "pattern": RATE },
            { "type": "integer", "minimum": 1, "maximum": 10000 },
        ],
    });
    let span = json!({ "pattern": SPAN });
    let spans = json!({ "items": { "type": "string", "pattern": SPAN } });
    let waits = json!({ "items": { "type": "string", "pattern": WAIT }, "maxItems": SCHEDULE_MAX });
    let event_type = json!({ "minLength": 1, "maxLength": TYPE_MAX, "pattern": EVENT_TYPE });
    vec![
        ("WebhookEndpoint", "id", uuid),
        ("WebhookEndpointAttributes", "status", json!({ "enum": EndpointStatus::WORDS })),
        ("WebhookEndpointAttributes", "headers", headers.clone()),
        ("WebhookEndpointAttributes", "timeout", span),
        ("WebhookEndpointAttributes", "retry_schedule", spans),
        ("WebhookEndpointAttributes", "request", maybe_object()),
        ("WebhookEndpointAttributes", "secrets", maybe_texts()),
        ("WebhookEndpointInput", "request", maybe_object()),
        ("WebhookEndpointInput", "secrets", maybe_texts()),
        ("WebhookEndpointInput", "status", json!({ "enum": EndpointStatus::WORDS })),
        ("WebhookEndpointInput", "url", json!({ "format": "uri", "minLength": 8 })),
        ("WebhookEndpointInput", "events", event_patterns()),
        ("WebhookEndpointInput", "headers", headers),
        ("WebhookEndpointInput", "headers", json!({ "maxProperties": 20 })),
        ("WebhookEndpointInput", "name", json!({ "pattern": LINES })),
        ("WebhookEndpointInput", "description", json!({ "pattern": LINES })),
        ("WebhookEndpointInput", "timeout", json!({ "pattern": TIMEOUT })),
        ("WebhookEndpointInput", "retry_schedule", waits),
        ("WebhookEndpointAttributes", "preset", maybe_object()),
        ("WebhookEndpointInput", "preset", maybe_object()),
        ("WebhookEndpointAttributes", "rate_limit", rate.clone()),
        ("WebhookEndpointInput", "rate_limit", rate),
        ("RotateSecret", "overlap", json!({ "pattern": OVERLAP })),
        ("WebhookTest", "event_type", event_type),
    ]
}

fn event_details() -> Vec<Detail> {
    let short = json!({ "minLength": 1, "maxLength": 255, "pattern": PLAIN });
    let event_type = json!({ "minLength": 1, "maxLength": TYPE_MAX, "pattern": EVENT_TYPE });
    vec![
        ("EventInput", "event_type", event_type),
        ("EventBatch", "events", json!({ "minItems": 1, "maxItems": BATCH_MAX })),
        ("EventInput", "resource_id", short.clone()),
        ("EventInput", "idempotency_key", short),
        ("Event", "id", json!({ "pattern": "^evt_[0-9a-f]{32}$" })),
    ]
}

fn attempt_details() -> Vec<Detail> {
    let uuid = json!({ "type": "string", "format": "uuid" });
    let kinds: Vec<Value> = ErrorKind::WORDS.iter().map(|k| json!(k)).chain([Value::Null]).collect();
    vec![
        ("WebhookDeliveryAttributes", "endpoint_id", uuid.clone()),
        ("WebhookDeliveryAttributes", "status", json!({ "enum": AttemptStatus::WORDS })),
        ("WebhookDeliveryAttributes", "trigger", json!({ "enum": Trigger::WORDS })),
        ("WebhookDeliveryAttributes", "error_kind", json!({ "enum": kinds })),
        ("WebhookDeliveryAttributes", "last_response_status", json!({ "nullable": true })),
        ("WebhookDeliveryAttributes", "last_error_kind", json!({ "enum": kinds, "nullable": true })),
        ("WebhookDeliveryAttributes", "last_error_message", json!({ "nullable": true })),
        ("WebhookDeliveryAttributes", "last_attempted_at", json!({ "nullable": true })),
        ("WebhookDeliveryAttributes", "remote_address", json!({ "nullable": true })),
        ("AttemptLink", "endpoint_id", uuid),
        ("AttemptLink", "status", json!({ "enum": AttemptStatus::WORDS })),
        ("AttemptLink", "trigger", json!({ "enum": Trigger::WORDS })),
        ("AttemptLink", "error_kind", json!({ "enum": kinds })),
    ]
}

/// Requests and responses of attempts.
fn exchange_details() -> Vec<Detail> {
    let text = json!({ "type": "object", "additionalProperties": { "type": "string" } });
    vec![
        (
            "WebhookDeliveryAttributes",
            "timings",
            json!({
                "type": "object",
                "nullable": true,
                "required": ["dns_ms", "connect_ms", "tls_ms", "first_byte_ms"],
                "properties": {
                    "dns_ms": { "type": "integer", "nullable": true },
                    "connect_ms": { "type": "integer", "nullable": true },
                    "tls_ms": { "type": "integer", "nullable": true },
                    "first_byte_ms": { "type": "integer", "nullable": true },
                },
            }),
        ),
        (
            "WebhookDeliveryAttributes",
            "request",
            json!({
                "type": "object",
                "nullable": true,
                "required": ["method", "url", "headers", "body"],
                "properties": {
                    "method": { "type": "string" },
                    "url": { "type": "string" },
                    "headers": text,
                    "body": { "type": "string", "nullable": true },
                },
            }),
        ),
        (
            "WebhookDeliveryAttributes",
            "response",
            json!({
                "type": "object",
                "nullable": true,
                "required": ["status", "headers", "body", "body_truncated"],
                "properties": {
                    "status": { "type": "integer" },
                    "headers": text,
                    "body": { "type": "string" },
                    "body_truncated": { "type": "boolean" },
                },
            }),
        ),
    ]
}

/// Completes all schemas.
pub(super) fn complete(schemas: &mut Map<String, Value>) {
    for schema in schemas.values_mut() {
        for (name, property) in schema["properties"].as_object_mut().into_iter().flatten() {
            complete_property(name, property);
        }
    }
    for (schema, sometimes) in ANSWERS {
        let Some(schema) = schemas.get_mut(*schema) else { continue };
        all_there(schema, sometimes);
    }
    for (schema, nullable) in BODIES {
        let Some(schema) = schemas.get_mut(*schema) else { continue };
        schema["additionalProperties"] = json!(false);
        for name in *nullable {
            schema["properties"][*name]["nullable"] = json!(true);
        }
    }
    add_details(schemas, details().into_iter().chain(more::details()));
    split_endpoint_input(schemas);
}

/// What follows from a name or from Rust's types, in every schema.
fn complete_property(name: &str, property: &mut Value) {
    if property["type"] == "string" && name.ends_with("_at") {
        property["format"] = json!("date-time");
    }
    if name == "type" && property["type"] == "string" {
        let kind = property["description"].as_str().unwrap_or_default().trim_matches('`').to_owned();
        if !kind.is_empty() && !kind.contains([' ', '`']) {
            property["enum"] = json!([kind]);
        }
    }
    no_unsigned(property);
}

/// A webhook is made and replaced with its URL and events, and changed with any field. What reads show
/// besides may be sent back, and is left alone.
fn split_endpoint_input(schemas: &mut Map<String, Value>) {
    let Some(mut input) = schemas.get("WebhookEndpointInput").cloned() else { return };
    for (name, kind) in [
        ("status_reason", "string"),
        ("consecutive_failures", "integer"),
        ("hold", "object"),
        ("missed", "object"),
        ("filter_error", "string"),
        ("health", "object"),
        ("success_rate", "number"),
        ("last_failure_at", "string"),
        ("waiting", "integer"),
        ("created_at", "string"),
        ("updated_at", "string"),
    ] {
        let description = "Taken and left alone, so that what was read can be written back.";
        input["properties"][name] =
            json!({ "type": kind, "nullable": true, "readOnly": true, "description": description });
    }
    let mut change = input.clone();
    change["properties"]["preset"]["description"] = json!("Stays; taken as it was read.");
    input["description"] =
        json!("A webhook as it is made or replaced. `url` is required, too, unless a `preset` gives it.");
    input["required"] = json!(["events"]);
    change["description"] = json!("What changes about a webhook; what is not given stays.");
    change["title"] = json!("WebhookEndpointChange");
    schemas.insert("WebhookEndpointInput".to_owned(), input);
    schemas.insert("WebhookEndpointChange".to_owned(), change);
}
