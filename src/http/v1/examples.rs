//! Examples of the OpenAPI document: one body to send and one answer for each operation, which fit
//! together as one story. A test holds them to their schemas.

use serde_json::{Value, json};

mod jobs;
mod operations;
mod sources;
mod statistics;
mod verification;

pub(super) use jobs::JOB;
pub(super) use operations::text;
pub(super) use sources::SOURCE;

/// A webhook's id.
pub(super) const WEBHOOK: &str = "0198c2f4-6a1e-7c33-9d0a-5b7e3f1c2a48";
/// An event's id.
pub(super) const EVENT: &str = "evt_0198c2f46b2f7d1199aa3c4e5f607182";
const TIME: &str = "2026-05-01T05:14:38.120Z";

/// What an operation is sent and what it answers; null where there is no body.
pub(super) fn of(operation: &str) -> Option<(Value, Value)> {
    let nothing = Value::Null;
    Some(match operation {
        "list_webhooks" => (nothing, list("/v1/webhooks", webhook())),
        "create_webhook" => (webhook_input(), one(with_secret())),
        "get_webhook" => (nothing, one(webhook())),
        "replace_webhook" => (webhook_input(), one(webhook())),
        "change_webhook" => (json!({ "status": "active", "timeout": "5s" }), one(webhook())),
        "delete_webhook" => (nothing.clone(), nothing),
        "send_webhook_now" => (nothing, one(json!({ "type": "send_now", "attributes": { "queued": 24 } }))),
        "preview_webhook" => (preview_input(), one(preview())),
        "test_webhook" => (json!({ "event_type": "license.assigned" }), one(test())),
        "rotate_webhook_secret" => (json!({ "overlap": "24h" }), one(with_secret())),
        "list_deliveries" => (nothing, list(&format!("/v1/webhooks/{WEBHOOK}/deliveries"), delivery(false))),
        "list_all_deliveries" => (nothing, list("/v1/webhooks/deliveries", delivery(true))),
        "get_delivery" => (nothing, one(delivery_detail())),
        "retry_delivery" => (nothing, one(retried())),
        "post_event" => (event_input(), one(event())),
        "post_events" => (json!({ "events": [event_input()] }), json!({ "data": [event()] })),
        "list_events" => (nothing, list("/v1/events", event())),
        "get_event" => (nothing, one(event_detail())),
        _ => {
            return jobs::of(operation)
                .or_else(|| statistics::of(operation))
                .or_else(|| operations::of(operation))
                .or_else(|| verification::of(operation))
                .or_else(|| sources::of(operation));
        }
    })
}

/// One resource.
pub(super) fn one(data: Value) -> Value {
    json!({ "data": data })
}

/// A list with one resource.
pub(super) fn list(path: &str, row: Value) -> Value {
    json!({
        "data": [row],
        "links": { "self": path, "first": path, "prev": null, "next": null },
        "meta": {
            "page": 1,
            "per_page": 50,
            "total": 1,
            "datetime": { "format": "RFC3339", "timezone": "UTC", "suffix": "Z" },
        },
    })
}

fn webhook_input() -> Value {
    json!({
        "url": "https://billing.example.com/hooks",
        "name": "Billing",
        "events": ["license.*", "user.created"],
        "headers": { "Authorization": { "value": "Bearer 4f1c0e9a7b", "secret": true } },
        "retry_schedule": ["2m", "8m", "20m"],
        "timeout": "10s",
    })
}

fn webhook() -> Value {
    json!({
        "type": "webhook_endpoint",
        "id": WEBHOOK,
        "attributes": {
            "url": "https://billing.example.com/hooks",
            "name": "Billing",
            "description": null,
            "status": "active",
            "status_reason": null,
            "events": ["license.*", "user.created"],
            "filter": null,
            "filter_error": null,
            "headers": { "Authorization": { "value": "********", "secret": true } },
            "request": null,
            "secrets": null,
            "encrypted": false,
            "retry_schedule": ["2m", "8m", "20m"],
            "timeout": "10s",
            "rate_limit": null,
            "contact": "billing-team@example.com",
            "preset": null,
            "consecutive_failures": 0,
            "hold": null,
            "health": health(),
            "success_rate": 100.0,
            "last_failure_at": null,
            "waiting": 0,
            "created_at": TIME,
            "updated_at": TIME,
        },
    })
}

fn health() -> Value {
    json!({ "state": "healthy", "since": TIME, "message": "The last delivery succeeded on 1 May 05:14 UTC." })
}

fn with_secret() -> Value {
    let mut webhook = webhook();
    webhook["attributes"]["signing_secret"] = json!("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwq3v1bT0xW5c=");
    webhook
}

fn preview_input() -> Value {
    let url = "https://discord.com/api/webhooks/1234/abcd";
    json!({
        "webhook": {
            "preset": { "name": "discord", "inputs": { "webhook_url": url } },
            "filter": "payload.action == 'published'",
        },
        "event": { "sample": "github/release" },
    })
}

fn preview() -> Value {
    let link = "https://github.com/Codertocat/Hello-World/releases/tag/0.0.1";
    json!({
        "type": "webhook_preview",
        "attributes": {
            "wanted": { "pattern": true, "filter": true },
            "filter_trace": [{
                "expression": "payload.action == 'published'",
                "left": "\"published\"",
                "right": "\"published\"",
                "result": true,
            }],
            "summary": {
                "title": "Codertocat/Hello-World: release published", "message": "0.0.1", "link": link, "level": "info",
            },
            "request": {
                "method": "POST",
                "url": "https://discord.com/api/webhooks/********?wait=true",
                "headers": { "content-type": "application/json" },
                "body": "{\"content\":\"\"}",
            },
            "error": null,
            "warnings": [],
            "cost": { "steps": 42, "bytes": 1180 },
        },
    })
}

fn test() -> Value {
    let attributes = json!({ "delivered": true, "http_status": 200, "response_time_ms": 87 });
    json!({ "type": "webhook_test_result", "id": 1041, "attributes": attributes })
}

fn delivery(with_endpoint: bool) -> Value {
    let mut attributes = json!({
        "delivery_id": 1042,
        "endpoint_id": WEBHOOK,
        "event_id": EVENT,
        "event_type": "license.assigned",
        "validation_id": null,
        "response_status": 200,
        "response_body": "{\"received\":true}",
        "response_time_ms": 143,
        "attempt": 1,
        "status": "delivered",
        "trigger": "event",
        "next_retry_at": null,
        "error_kind": null,
        "error_message": null,
        "created_at": TIME,
        "due_at": null,
        "attempted_at": TIME,
    });
    if with_endpoint {
        attributes["endpoint_url"] = json!("https://billing.example.com/hooks");
        attributes["endpoint_name"] = json!("Billing");
    }
    json!({ "type": "webhook_delivery", "id": 1042, "attributes": attributes })
}

fn link() -> Value {
    json!({
        "id": 1042,
        "endpoint_id": WEBHOOK,
        "endpoint_name": "Billing",
        "endpoint_url": "https://billing.example.com/hooks",
        "attempt": 1,
        "status": "delivered",
        "trigger": "event",
        "attempted_at": TIME,
        "due_at": null,
        "response_status": 200,
        "error_kind": null,
    })
}

fn delivery_detail() -> Value {
    let mut delivery = delivery(true);
    let attributes = &mut delivery["attributes"];
    attributes["remote_address"] = json!("203.0.113.9:443");
    attributes["timings"] = json!({ "dns_ms": 4, "connect_ms": 21, "tls_ms": 43, "first_byte_ms": 72 });
    attributes["request"] = json!({
        "method": "POST",
        "url": "https://billing.example.com/hooks",
        "headers": {
            "authorization": "********",
            "content-type": "application/json",
            "webhook-id": EVENT,
            "webhook-signature": "v1,uUHjfn2cYT0RrNqWYm0r6q2dQz0Nw2pGQ7tG1oTfE1A=",
            "webhook-timestamp": "1777612478",
            "x-webhook-event": "license.assigned",
        },
        "body": "{\"license\":\"L-1\",\"seats\":5}",
    });
    attributes["response"] = json!({
        "status": 200,
        "headers": { "content-type": "application/json" },
        "body": "{\"received\":true}",
        "body_truncated": false,
    });
    attributes["attempts"] = json!([link()]);
    delivery
}

fn retried() -> Value {
    let mut retried = delivery(true);
    retried["id"] = json!(1043);
    let fields = json!({
        "attempt": 2, "status": "pending", "trigger": "manual", "due_at": TIME,
        "attempted_at": null, "response_status": null, "response_body": null, "response_time_ms": null,
    });
    for (name, value) in fields.as_object().into_iter().flatten() {
        retried["attributes"][name] = value.clone();
    }
    retried
}

fn event_input() -> Value {
    json!({
        "event_type": "license.assigned",
        "payload": { "license": "L-1", "seats": 5 },
        "resource_id": "L-1",
        "idempotency_key": "license-L-1-assigned",
    })
}

fn event() -> Value {
    let attributes = json!({
        "event_type": "license.assigned", "resource_id": "L-1", "deliveries": 1, "filtered": 0, "created_at": TIME,
    });
    json!({ "type": "event", "id": EVENT, "attributes": attributes })
}

fn event_detail() -> Value {
    let mut event = event();
    event["attributes"]["payload"] = json!({ "license": "L-1", "seats": 5 });
    event["attributes"]["attempts"] = json!([link()]);
    event
}
