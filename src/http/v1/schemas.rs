//! The schemas of the OpenAPI document, completed: what Rust's types do not say.
//!
//! Whether a field is always there, may be null, has a format or one of a few values. The tables name
//! schemas one by one, so that a new one is left as poem writes it until someone decides.

use serde_json::{Map, Value, json};

use super::params;
use crate::domain::event::{BATCH_MAX, TYPE_MAX};
use crate::domain::pattern::PATTERNS_MAX;

mod more;

const ENDPOINT_STATUSES: &[&str] = &["active", "paused", "disabled"];
/// A length of time, as `Span` reads it.
const SPAN: &str = "^(0|[0-9]+(ms|s|m|h|d))$";
/// An event type, as `EventType` reads it.
const EVENT_TYPE: &str = r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$";
/// What a webhook wants, as `EventPattern` reads it.
const EVENT_PATTERN: &str = r"^(\*|[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*(\.\*)?)$";
/// Text without control characters.
const PLAIN: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";

/// Answers whose fields are all there, null or not, but for those that are named.
const ANSWERS: &[(&str, &[&str])] = &[
    ("WebhookEndpointAttributes", &["signing_secret"]),
    ("WebhookDeliveryAttributes", &["endpoint_url", "endpoint_name", "request", "response", "attempts"]),
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
];

/// Bodies, with the fields that may be null. Other fields than theirs are refused.
const BODIES: &[(&str, &[&str])] = &[
    ("WebhookEndpointInput", &["name", "description", "headers", "retry_schedule", "timeout", "rate_limit"]),
    ("EventInput", &["resource_id", "idempotency_key"]),
    ("EventBatch", &[]),
    ("WebhookTest", &["event_type"]),
    ("RotateSecret", &["overlap"]),
    ("BulkRetry", &["dry_run"]),
    (
        "BulkRetryFilter",
        &[
            "status",
            "event_type",
            "endpoint_id",
            "response_status",
            "error_kind",
            "trigger",
            "since",
            "until",
            "q",
            "sort",
        ],
    ),
    ("Recover", &["until", "dry_run"]),
    ("Replay", &["webhook_id"]),
    ("WebhookVerify", &["received_at"]),
];

/// More about single fields.
fn details() -> Vec<(&'static str, &'static str, Value)> {
    let uuid = json!({ "type": "string", "format": "uuid" });
    let headers = json!({
        "type": "object",
        "additionalProperties": {
            "oneOf": [
                { "type": "string", "maxLength": 8192 },
                {
                    "type": "object",
                    "required": ["value"],
                    "additionalProperties": false,
                    "properties": {
                        "value": { "type": "string", "maxLength": 8192 },
                        "secret": { "type": "boolean" },
                    },
                },
            ],
        },
    });
    let text = json!({ "type": "object", "additionalProperties": { "type": "string" } });
    let span = json!({ "pattern": SPAN });
    let spans = json!({ "items": { "type": "string", "pattern": SPAN } });
    let kinds: Vec<Value> = params::ERROR_KINDS.iter().map(|k| json!(k)).chain([Value::Null]).collect();
    let short = json!({ "minLength": 1, "maxLength": 255, "pattern": PLAIN });
    let event_type = json!({ "minLength": 1, "maxLength": TYPE_MAX, "pattern": EVENT_TYPE });
    let wanted = json!({ "type": "string", "maxLength": TYPE_MAX + 2, "pattern": EVENT_PATTERN, "example": "license.*" });
    let patterns = json!({ "items": wanted, "minItems": 1, "maxItems": PATTERNS_MAX });
    vec![
        ("WebhookEndpoint", "id", uuid.clone()),
        ("WebhookEndpointAttributes", "status", json!({ "enum": ENDPOINT_STATUSES })),
        ("WebhookEndpointAttributes", "headers", headers.clone()),
        ("WebhookEndpointAttributes", "timeout", span.clone()),
        ("WebhookEndpointAttributes", "retry_schedule", spans.clone()),
        ("WebhookEndpointInput", "status", json!({ "enum": ENDPOINT_STATUSES })),
        ("WebhookEndpointInput", "url", json!({ "format": "uri", "minLength": 8 })),
        ("WebhookEndpointInput", "events", patterns),
        ("WebhookEndpointInput", "headers", headers),
        ("WebhookEndpointInput", "headers", json!({ "maxProperties": 20 })),
        ("WebhookEndpointInput", "timeout", span.clone()),
        ("WebhookEndpointInput", "retry_schedule", spans),
        ("WebhookEndpointInput", "rate_limit", json!({ "minimum": 1, "maximum": 10000 })),
        ("RotateSecret", "overlap", span),
        ("WebhookTest", "event_type", event_type.clone()),
        ("EventInput", "event_type", event_type),
        ("EventBatch", "events", json!({ "minItems": 1, "maxItems": BATCH_MAX })),
        ("EventInput", "resource_id", short.clone()),
        ("EventInput", "idempotency_key", short),
        ("Event", "id", json!({ "pattern": "^evt_[0-9a-f]{32}$" })),
        ("WebhookDeliveryAttributes", "endpoint_id", uuid.clone()),
        ("WebhookDeliveryAttributes", "status", json!({ "enum": params::STATUSES })),
        ("WebhookDeliveryAttributes", "trigger", json!({ "enum": params::TRIGGERS })),
        ("WebhookDeliveryAttributes", "error_kind", json!({ "enum": kinds })),
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
        ("AttemptLink", "endpoint_id", uuid),
        ("AttemptLink", "status", json!({ "enum": params::STATUSES })),
        ("AttemptLink", "trigger", json!({ "enum": params::TRIGGERS })),
        ("AttemptLink", "error_kind", json!({ "enum": kinds })),
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
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        let mut all = Vec::new();
        for (name, property) in schema["properties"].as_object_mut().into_iter().flatten() {
            if sometimes.contains(&name.as_str()) {
                continue;
            }
            if !required.iter().any(|r| r == name) {
                property["nullable"] = json!(true);
            }
            all.push(json!(name));
        }
        schema["required"] = Value::Array(all);
    }
    for (schema, nullable) in BODIES {
        let Some(schema) = schemas.get_mut(*schema) else { continue };
        schema["additionalProperties"] = json!(false);
        for name in *nullable {
            schema["properties"][*name]["nullable"] = json!(true);
        }
    }
    for (schema, property, more) in details().into_iter().chain(more::details()) {
        let Some(property) = schemas.get_mut(schema).map(|s| &mut s["properties"][property]) else {
            continue;
        };
        for (name, value) in more.as_object().into_iter().flatten() {
            property[name] = value.clone();
        }
    }
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
    // OpenAPI knows no unsigned formats.
    if property["format"].as_str().is_some_and(|f| f.starts_with("uint")) {
        property["minimum"] = json!(0);
        property["format"] = json!("int64");
    }
}

/// A webhook is made and replaced with its URL and events, and changed with any field. What reads show
/// besides may be sent back, and is left alone.
fn split_endpoint_input(schemas: &mut Map<String, Value>) {
    let Some(mut input) = schemas.get("WebhookEndpointInput").cloned() else { return };
    for (name, kind) in [
        ("status_reason", "string"),
        ("consecutive_failures", "integer"),
        ("created_at", "string"),
        ("updated_at", "string"),
    ] {
        let description = "Taken and left alone, so that what was read can be written back.";
        input["properties"][name] =
            json!({ "type": kind, "nullable": true, "readOnly": true, "description": description });
    }
    let mut change = input.clone();
    input["description"] = json!("A webhook as it is made or replaced.");
    input["required"] = json!(["url", "events"]);
    change["description"] = json!("What changes about a webhook; what is not given stays.");
    change["title"] = json!("WebhookEndpointChange");
    schemas.insert("WebhookEndpointInput".to_owned(), input);
    schemas.insert("WebhookEndpointChange".to_owned(), change);
}
