//! More about single fields of recovery, figures and operations.

use serde_json::{Value, json};

use super::super::params;
use crate::domain::health::{ActivityLabel, HealthState, ResponseLabel, SuccessLabel};
use crate::domain::inbound::source::InboundOutcome;
use crate::domain::shaping::summary::Level;
use crate::domain::signing::verification::{Reason, Scheme};
use crate::domain::{ActivityKind, AttemptStatus, ErrorKind, JobKind, JobStatus, Trigger};
use crate::http::document::openapi::{Detail, SPAN};

/// Schema, property, and what is said of it.
pub(super) fn details() -> Vec<Detail> {
    let mut all = recovery();
    all.extend(figures());
    all.extend(verification());
    all.extend(sources());
    all
}

/// A body's field that may be null has null among its words, if it has words.
fn words_or_null(words: &[&str]) -> Value {
    let all: Vec<Value> = words.iter().map(|word| json!(word)).chain([Value::Null]).collect();
    json!({ "enum": all })
}

fn recovery() -> Vec<Detail> {
    let uuid = json!({ "format": "uuid" });
    let time = json!({ "format": "date-time" });
    let statuses = json!({ "type": "string", "enum": AttemptStatus::WORDS });
    let one_or_many = json!({ "oneOf": [statuses, { "type": "array", "items": statuses }] });
    let status_or_class = json!({
        "oneOf": [
            { "type": "string", "pattern": params::STATUS_FILTER },
            { "type": "integer", "minimum": 100, "maximum": 999 },
        ],
    });
    let types = json!({ "pattern": params::TYPE_FILTER, "maxLength": 130 });
    vec![
        ("BulkJob", "id", uuid.clone()),
        ("BulkJobAttributes", "kind", json!({ "enum": JobKind::WORDS })),
        ("BulkJobAttributes", "status", json!({ "enum": JobStatus::WORDS })),
        ("BulkRetryFilter", "status", one_or_many),
        ("BulkRetryFilter", "event_type", types),
        ("BulkRetryFilter", "endpoint_id", uuid.clone()),
        ("BulkRetryFilter", "response_status", status_or_class),
        ("BulkRetryFilter", "error_kind", words_or_null(ErrorKind::WORDS)),
        ("BulkRetryFilter", "trigger", words_or_null(Trigger::WORDS)),
        ("BulkRetryFilter", "since", time.clone()),
        ("BulkRetryFilter", "until", time.clone()),
        ("BulkRetryFilter", "q", json!({ "maxLength": 200 })),
        ("BulkRetryFilter", "sort", words_or_null(params::SORTS)),
        ("Recover", "since", time.clone()),
        ("Recover", "until", time),
        ("Replay", "webhook_id", uuid),
    ]
}

fn figures() -> Vec<Detail> {
    let uuid = json!({ "format": "uuid" });
    let time = json!({ "format": "date-time" });
    // An attempt that a stop of the server has interrupted is no fault of the receiver's.
    let kinds: Vec<&str> = ErrorKind::WORDS.iter().copied().filter(|kind| *kind != "interrupted").collect();
    let success = json!({ "enum": SuccessLabel::WORDS });
    let response_time = json!({ "enum": ResponseLabel::WORDS });
    vec![
        ("WebhookStats", "id", uuid.clone()),
        ("WebhookStatsAttributes", "step", json!({ "pattern": SPAN })),
        ("WebhookStatsAttributes", "since", time.clone()),
        ("WebhookStatsAttributes", "until", time.clone()),
        ("WebhookStatsStep", "start", time),
        ("WebhookHealth", "id", uuid.clone()),
        ("WebhookHealthLabels", "success_rate", success),
        ("WebhookHealthLabels", "response_time", response_time),
        ("WebhookHealthLabels", "activity", json!({ "enum": ActivityLabel::WORDS })),
        ("WebhookState", "state", json!({ "enum": HealthState::WORDS })),
        ("WebhookState", "since", json!({ "format": "date-time" })),
        ("WebhookHealthError", "error_kind", json!({ "enum": kinds })),
        ("ActivityAttributes", "kind", json!({ "enum": ActivityKind::WORDS })),
        ("ActivityAttributes", "details", json!({ "type": "object", "additionalProperties": {} })),
        ("ActivityAttributes", "app_id", uuid),
    ]
}

fn sources() -> Vec<Detail> {
    let uuid = json!({ "format": "uuid" });
    let object = json!({ "type": "object", "additionalProperties": {} });
    let maybe = json!({ "type": "object", "nullable": true, "additionalProperties": {} });
    let list = json!({ "type": "array", "items": { "type": "object", "additionalProperties": {} } });
    let rate = json!({ "oneOf": [{ "type": "string" }, { "type": "integer", "minimum": 0, "maximum": 0 }] });
    let challenge = json!({
        "oneOf": [
            { "type": "string", "nullable": true },
            { "type": "object", "additionalProperties": {} },
        ],
    });
    let methods = json!({ "items": { "type": "string", "enum": ["POST", "PUT", "GET"] }, "minItems": 1 });
    vec![
        ("Source", "id", uuid.clone()),
        ("SourceAttributes", "verify", list),
        ("SourceAttributes", "challenge", challenge.clone()),
        ("SourceAttributes", "response", object.clone()),
        ("SourceAttributes", "summary", maybe.clone()),
        ("SourceAttributes", "rate_limit", rate.clone()),
        ("SourceAttributes", "preset", maybe.clone()),
        ("SourceInput", "name", json!({ "pattern": "^[a-z0-9_-]+$" })),
        ("SourceInput", "methods", methods),
        ("SourceInput", "challenge", challenge),
        ("SourceInput", "response", maybe.clone()),
        ("SourceInput", "summary", maybe.clone()),
        ("SourceInput", "rate_limit", rate),
        ("SourceInput", "preset", maybe.clone()),
        ("WebhookPreviewInput", "webhook", object.clone()),
        ("WebhookPreviewInput", "webhook_id", uuid.clone()),
        ("WebhookPreviewInput", "event", object.clone()),
        ("WebhookPreviewRequest", "headers", object.clone()),
        ("WebhookPreviewSummary", "level", json!({ "enum": Level::WORDS })),
        ("SourcePreviewInput", "source", object.clone()),
        ("SourcePreviewInput", "source_id", uuid.clone()),
        ("SourcePreviewInput", "request", previewed_request()),
        ("InboundRequestAttributes", "source_id", uuid.clone()),
        ("InboundRequestAttributes", "outcome", json!({ "enum": InboundOutcome::WORDS })),
        ("InboundRequestAttributes", "headers", object.clone()),
        ("InboundRequestAttributes", "query", object.clone()),
        ("InboundRequestAttributes", "body", json!({ "type": "string", "nullable": true })),
        ("SourcePreviewAttributes", "summary", maybe),
        ("SourcePreviewAttributes", "response", object.clone()),
        ("SourcePreviewWebhook", "id", uuid),
        ("PresetAttributes", "source", object.clone()),
        ("PresetAttributes", "webhook", object),
    ]
}

/// A request to preview: one that is described, one of the inbound log, or one of the gallery.
fn previewed_request() -> Value {
    let text = json!({ "type": "string" });
    let texts = json!({ "type": "object", "additionalProperties": text });
    let properties = json!({
        "method": text,
        "headers": texts,
        "query": texts,
        "body": text,
        "body_base64": text,
        "request_id": { "type": "integer" },
        "sample": text,
    });
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn verification() -> Vec<Detail> {
    let uuid = json!({ "format": "uuid" });
    let words = |scheme: Scheme| json!(scheme.as_str());
    let schemes = json!({ "enum": [words(Scheme::Standard), words(Scheme::Plain)] });
    let reasons = words_or_null(&Reason::ALL.iter().map(|reason| reason.as_str()).collect::<Vec<_>>());
    let value = json!({
        "oneOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }],
    });
    vec![
        ("WebhookVerification", "id", uuid.clone()),
        ("WebhookVerificationAttributes", "scheme", schemes.clone()),
        ("WebhookSignatureScheme", "name", schemes.clone()),
        ("WebhookVerificationResult", "id", uuid),
        ("WebhookVerificationResultAttributes", "scheme", schemes.clone()),
        ("WebhookVerificationResultAttributes", "reason", reasons.clone()),
        ("WebhookSignatureCheck", "scheme", schemes),
        ("WebhookSignatureCheck", "reason", reasons),
        ("WebhookVerify", "headers", json!({ "type": "object", "additionalProperties": value })),
        ("WebhookVerify", "received_at", json!({ "format": "date-time" })),
    ]
}
