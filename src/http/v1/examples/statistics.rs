//! Examples of figures: a receiver that was down for a night. The numbers add up.

use serde_json::{Value, json};

use super::{TIME, WEBHOOK, list, one};

/// What an operation is sent and what it answers.
pub(super) fn of(operation: &str) -> Option<(Value, Value)> {
    let answer = match operation {
        "get_all_stats" => one(stats()),
        "get_stats" => {
            let mut stats = stats();
            stats["id"] = json!(WEBHOOK);
            one(stats)
        }
        "get_health" => one(health()),
        "list_event_types" => list("/v1/event-types", event_type()),
        _ => return None,
    };
    Some((Value::Null, answer))
}

fn stats() -> Value {
    json!({
        "type": "webhook_stats",
        "attributes": {
            "totals": {
                "deliveries": 122,
                "delivered": 120,
                "exhausted": 1,
                "pending": 1,
                "failed_attempts": 5,
                "response_time_ms": { "average": 151.4, "p50": 143, "p95": 272, "p99": 368 },
            },
            "step": "1h",
            "since": "2026-05-01T04:00:00.000Z",
            "until": "2026-05-01T06:00:00.000Z",
            "series": [
                {
                    "start": "2026-05-01T04:00:00.000Z",
                    "deliveries": 1,
                    "delivered": 0,
                    "exhausted": 1,
                    "failed_attempts": 4,
                    "statuses": [{ "status": "5xx", "count": 3 }, { "status": "none", "count": 1 }],
                    "response_time_ms": { "average": null, "p50": null, "p95": null, "p99": null },
                },
                {
                    "start": "2026-05-01T05:00:00.000Z",
                    "deliveries": 121,
                    "delivered": 120,
                    "exhausted": 0,
                    "failed_attempts": 1,
                    "statuses": [{ "status": "2xx", "count": 120 }, { "status": "4xx", "count": 1 }],
                    "response_time_ms": { "average": 151.4, "p50": 143, "p95": 272, "p99": 368 },
                },
            ],
        },
    })
}

fn health() -> Value {
    json!({
        "type": "webhook_health",
        "id": WEBHOOK,
        "attributes": {
            "totals": { "deliveries": 1042, "delivered": 1002, "exhausted": 38, "pending": 1, "cancelled": 1 },
            "success_rate": 96.35,
            "last_24h": { "events": 160, "failures": 38, "failure_rate": 23.75 },
            "response_time_ms": {
                "min": 61, "median": 143, "average": 151.4, "p95": 272, "p99": 368, "max": 2210,
            },
            "labels": { "success_rate": "good", "response_time": "fast", "activity": "active" },
            "errors": [{
                "error_kind": "http_status",
                "response_status": 503,
                "count": 152,
                "last_message": "HTTP 503 Service Unavailable",
                "last_at": "2026-05-01T04:52:10.004Z",
                "since": null,
            }],
            "trend": { "success_rate": -23.9, "average_response_time": 12.3 },
            "recommendations": [
                "152 attempts failed with an HTTP 5xx error (503), the last at 2026-05-01T04:52:10.004Z: check the health and the capacity of the receiver's server, and its log.",
            ],
        },
    })
}

fn event_type() -> Value {
    let attributes = json!({
        "event_type": "license.assigned", "category": "license", "count": 731, "last_seen_at": TIME,
    });
    json!({ "type": "event_type", "id": "license.assigned", "attributes": attributes })
}
