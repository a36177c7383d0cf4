//! Examples of the server as a whole, and of answers that are not JSON.

use serde_json::{Value, json};

use super::{TIME, WEBHOOK, delivery, list, one};

/// What an operation is sent and what it answers.
pub(super) fn of(operation: &str) -> Option<(Value, Value)> {
    let answer = match operation {
        "list_activity" => list("/v1/activity", activity()),
        "sweep_retention" => {
            one(json!({ "type": "retention_sweep", "attributes": { "attempts": 1840, "events": 455 } }))
        }
        _ => return None,
    };
    Some((Value::Null, answer))
}

fn activity() -> Value {
    json!({
        "type": "activity",
        "id": "57",
        "attributes": {
            "kind": "endpoint.created",
            "actor": "key:4h7k2m9q",
            "address": "203.0.113.7",
            "summary": "Webhook \"Billing\": created.",
            "details": { "endpoint_id": WEBHOOK },
            "app_id": "0198c2f4-0000-7000-8000-000000000001",
            "created_at": TIME,
        },
    })
}

/// What answers of another content type than JSON look like; `None` of what is not text.
pub(crate) fn text(content_type: &str) -> Option<String> {
    let essence = content_type.split(';').next().unwrap_or_default();
    Some(match essence {
        "text/csv" => format!(
            "id,created_at,endpoint_id,endpoint_name,endpoint_url,event_id,event_type,validation_id,\
             delivery_id,attempt,attempted_at,status,trigger,response_status,response_time_ms,error_kind,\
             error_message,next_retry_at,response_body\r\n\
             1042,{TIME},{WEBHOOK},Billing,https://billing.example.com/hooks,{},license.assigned,,1042,1,\
             {TIME},delivered,event,200,143,,,,\"{{\"\"received\"\":true}}\"\r\n",
            super::EVENT
        ),
        "application/x-ndjson" => format!("{}\n", delivery(true)),
        "text/event-stream" => format!("event: attempt\nid: 1042\ndata: {}\n\n", delivery(true)),
        _ => return None,
    })
}
