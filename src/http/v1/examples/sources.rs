//! Examples of sources and of the gallery.

use serde_json::{Value, json};

use super::{EVENT, TIME, WEBHOOK, event, list, one};

/// A source's id.
pub(crate) const SOURCE: &str = "0198c2f4-6a1e-7c33-9d0a-5b7e3f1c2a77";

/// What an operation is sent and what it answers.
pub(super) fn of(operation: &str) -> Option<(Value, Value)> {
    let nothing = Value::Null;
    Some(match operation {
        "list_sources" => (nothing, list("/v1/sources", source())),
        "create_source" | "replace_source" => (source_input(), one(source())),
        "get_source" => (nothing, one(source())),
        "change_source" => (json!({ "enabled": true, "rate_limit": "60/m" }), one(source())),
        "delete_source" => (nothing.clone(), nothing),
        "rotate_source_url" => (json!({ "overlap": "24h" }), one(source())),
        "preview_source" => (
            json!({ "source": { "preset": { "name": "plex" } }, "request": { "sample": "plex/play" } }),
            one(preview()),
        ),
        "list_source_requests" => {
            (nothing, list(&format!("/v1/sources/{SOURCE}/requests"), inbound_request(false)))
        }
        "get_source_request" => (nothing, one(inbound_request(true))),
        "replay_source_request" => (nothing, one(event())),
        "list_source_presets" => (nothing, json!({ "data": [source_preset()] })),
        "get_source_preset" => (nothing, one(source_preset())),
        "list_destination_presets" => (nothing, json!({ "data": [destination_preset()] })),
        "get_destination_preset" => (nothing, one(destination_preset())),
        _ => return None,
    })
}

fn source_input() -> Value {
    json!({ "preset": { "name": "github", "inputs": { "secret": "a long random text" } }, "name": "my-github" })
}

fn source() -> Value {
    json!({
        "type": "source",
        "id": SOURCE,
        "attributes": {
            "name": "my-github",
            "enabled": true,
            "url": "https://hooks.example.com/in/k5zq3rm2ytb7wnd4xgc6vhfj2a",
            "verify": [{
                "kind": "hmac", "header": "X-Hub-Signature-256", "secret": "********", "algorithm": "sha256",
                "encoding": "hex", "prefix": "sha256=", "content": "{body}", "key": "text",
            }],
            "methods": ["POST", "PUT"],
            "event_type": "github.{{ headers['x-github-event'] }}",
            "resource_id": "{{ payload.repository.full_name }}",
            "dedupe": "{{ headers['x-github-delivery'] }}",
            "accept": "headers['x-github-event'] != 'ping'",
            "json_field": "payload",
            "challenge": null,
            "response": { "status": 200, "content_type": "application/json", "body": null },
            "summary": { "title": "{{ event.type }}", "message": null, "link": null, "level": null },
            "rate_limit": "600/m",
            "preset": { "name": "github", "version": 1, "changed": false },
            "created_at": TIME,
            "updated_at": TIME,
            "last_request_at": TIME,
            "counts_24h": { "accepted": 41, "duplicate": 1, "ignored": 2, "rejected": 0 },
        },
    })
}

fn preview() -> Value {
    json!({
        "type": "source_preview",
        "attributes": {
            "verify": [],
            "verified": true,
            "event_type": "plex.media.play",
            "dedupe": null,
            "resource_id": null,
            "accepted": true,
            "payload": { "event": "media.play", "Account": { "title": "ada" } },
            "summary": { "title": "ada: play", "message": "Show Pilot (TV)", "link": null, "level": "info" },
            "response": { "status": 200, "content_type": "application/json", "body": "{\"id\":null}" },
            "webhooks": [{ "id": WEBHOOK, "name": "Billing", "wanted": false }],
            "error": null,
            "warnings": [
                "Nothing but the URL protects this source: anybody who knows it can send events.",
            ],
        },
    })
}

fn inbound_request(is_detail: bool) -> Value {
    let mut attributes = json!({
        "source_id": SOURCE,
        "received_at": TIME,
        "outcome": "accepted",
        "reason": null,
        "client_ip": "203.0.113.7",
        "method": "POST",
        "path": null,
        "status": 200,
        "event_id": EVENT,
        "event_type": "license.assigned",
        "size": 812,
    });
    if is_detail {
        attributes["headers"] =
            json!({ "content-type": "application/json", "x-hub-signature-256": "********" });
        attributes["query"] = json!({});
        attributes["body"] = Value::Null;
        attributes["body_truncated"] = json!(false);
    }
    json!({ "type": "inbound_request", "id": 7, "attributes": attributes })
}

fn source_preset() -> Value {
    let mut preset = preset("plex", "Plex");
    preset["attributes"]["source"] = json!({ "event_type": "plex.{{ payload.event }}" });
    preset["attributes"]["samples"] = json!(["play"]);
    preset
}

fn destination_preset() -> Value {
    let mut preset = preset("json", "JSON (n8n, Node-RED, Huginn, your own script)");
    preset["attributes"]["webhook"] = json!({ "url": "{{ inputs.url }}" });
    preset["attributes"]["inputs"] = json!([{
        "name": "url", "label": "URL", "secret": false, "required": true,
        "example": "https://n8n.example.com/webhook/postrider", "help": "The URL that takes the JSON.",
    }]);
    preset
}

fn preset(name: &str, title: &str) -> Value {
    json!({
        "type": "preset",
        "id": name,
        "attributes": {
            "name": name,
            "version": 1,
            "title": title,
            "inputs": [],
            "one_of": [],
            "samples": [],
            "limits": [{ "text": "Needs Plex Pass.", "pointer": null, "max": null, "unit": null }],
            "steps": ["Open Plex: Settings → Webhooks → Add Webhook."],
        },
    })
}
