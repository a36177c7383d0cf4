//! The OpenAPI document of `/v1`: what poem makes of the operations, completed.
//!
//! Three things are the same for many operations and are written once, here: the two forms of
//! credentials, the query parameters of lists, and the error answers.

use serde_json::{Map, Value, json};

use crate::http::document::openapi;

use super::{examples, operations, params, schemas, sources, statistics};

/// Where the operations are, below the server's URL.
const PREFIX: &str = "/v1";

const DESCRIPTION: &str = "\
Postrider delivers webhooks: post an event, and it is signed, sent to every webhook that wants it, retried, \
and logged.\n\n\
**Start here.** `Authorize` with a key (`postrider key create`), create a webhook, send it a test, post an event, \
and look at the deliveries.\n\n\
**Conventions.** Request bodies are plain JSON objects of the attributes, without an envelope. Times are UTC, RFC 3339, with `Z`. Lengths of \
time are a whole number and `ms`, `s`, `m`, `h` or `d`. Every answer carries `X-Request-Id`. With a key of scope \
`admin`, the header `X-App-Id` names another app than the key's own.";

/// The groups of operations, in the order they are shown.
const TAGS: &[&str] =
    &["Webhooks", "Events", "Sources", "Gallery", "Deliveries", "Jobs", "Statistics", "Operations"];

/// Completes the document. `base_path` is the path under which the server is reached from outside.
pub fn complete(poem_document: &str, base_path: &str) -> Value {
    let mut document = openapi::frame(poem_document, DESCRIPTION, base_path, PREFIX, complete_operation);
    openapi::add_components(&mut document);
    if let Some(all) = document["components"]["schemas"].as_object_mut() {
        schemas::complete(all);
    }
    if let Some(tags) = document["tags"].as_array_mut() {
        let place = |tag: &Value| TAGS.iter().position(|t| tag["name"] == *t).unwrap_or(TAGS.len());
        tags.sort_by_key(place);
    }
    document
}

/// What an id in a path is.
fn describe_id(path: &str, parameter: &mut Value) {
    let (description, schema, example) = if path.contains("/deliveries/{id}") {
        let schema = json!({ "type": "integer", "format": "int64", "minimum": 1 });
        ("The row's number in the delivery log.", schema, json!(1042))
    } else if path.contains("/webhooks/{id}") {
        let schema = json!({ "type": "string", "format": "uuid" });
        ("The webhook's id.", schema, json!(examples::WEBHOOK))
    } else if path.contains("/events/{id}") {
        let schema = json!({ "type": "string", "pattern": "^evt_[0-9a-f]{32}$" });
        ("The event's id.", schema, json!(examples::EVENT))
    } else if path.contains("/sources/{id}") {
        let schema = json!({ "type": "string", "format": "uuid" });
        ("The source's id.", schema, json!(examples::SOURCE))
    } else if path.contains("/jobs/{id}") {
        let schema = json!({ "type": "string", "format": "uuid" });
        ("The job's id.", schema, json!(examples::JOB))
    } else {
        return;
    };
    parameter["description"] = json!(description);
    parameter["schema"] = schema;
    parameter["example"] = example;
}

fn complete_operation(path: &str, method: &str, operation: &mut Value) {
    openapi::require_scope(operation);
    let lists = match operation["operationId"].as_str() {
        Some("list_webhooks") => params::endpoint_list(),
        Some("list_deliveries") => params::attempt_list(true),
        Some("list_all_deliveries") => params::attempt_list(false),
        Some("export_deliveries") => params::attempt_export(true),
        Some("export_all_deliveries") => params::attempt_export(false),
        Some("stream_deliveries") => params::attempt_stream(),
        Some("list_events") => params::event_list(),
        Some("list_source_requests") => sources::request_params(),
        Some("list_jobs" | "list_sources") => crate::http::request::paging::PARAMS.to_vec(),
        Some("get_stats" | "get_all_stats") => statistics::stats_params(),
        Some("list_event_types") => statistics::event_type_params(),
        Some("list_activity") => operations::activity_params(),
        _ => vec![],
    };
    let mut parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
    parameters.extend(lists.iter().map(crate::http::request::query::Param::describe));
    for parameter in parameters.iter_mut().filter(|parameter| parameter["name"] == "format") {
        parameter["required"] = json!(true);
    }
    parameters.extend(header_parameters(operation));
    if !parameters.is_empty() {
        operation["parameters"] = Value::Array(parameters);
    }
    for parameter in operation["parameters"].as_array_mut().into_iter().flatten() {
        if parameter["name"] == "id" && parameter["in"] == "path" {
            describe_id(path, parameter);
        }
        if parameter["name"] == "n" && parameter["in"] == "path" {
            parameter["description"] = json!("The row's number in the inbound log.");
            parameter["schema"] = json!({ "type": "integer", "format": "int64", "minimum": 1 });
            parameter["example"] = json!(7);
        }
        if parameter["name"] == "name" && parameter["in"] == "path" {
            let example = if path.contains("/gallery/sources") { "github" } else { "discord" };
            parameter["description"] = json!("The name of the recipe.");
            parameter["example"] = json!(example);
        }
    }
    let errors = errors_of(path, method, operation, !lists.is_empty());
    openapi::add_errors(operation, &errors, "Errors");
    let id = operation["operationId"].as_str().unwrap_or_default();
    let (sent, received) = examples::of(id).unwrap_or_default();
    if id == "change_webhook" {
        let content = &mut operation["requestBody"]["content"]["application/json"];
        content["schema"] = json!({ "$ref": "#/components/schemas/WebhookEndpointChange" });
    }
    openapi::complete_bodies(operation, sent, received);
    for response in operation["responses"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        let content = response.get_mut("content").and_then(Value::as_object_mut);
        for (content_type, body) in content.into_iter().flatten() {
            if let Some(text) = examples::text(content_type) {
                body["example"] = json!(text);
            }
        }
    }
}

fn header_parameters(operation: &Value) -> Vec<Value> {
    let header = |name: &str, description: &str, schema: Value, example: Value| {
        json!({
            "name": name, "in": "header", "required": false,
            "description": description, "schema": schema, "example": example,
        })
    };
    let mut headers = vec![header(
        "X-App-Id",
        "With scope `admin`: the app that is meant, by its id.",
        json!({ "type": "string", "format": "uuid" }),
        json!("0198c2f4-0000-7000-8000-000000000001"),
    )];
    let key = match operation["operationId"].as_str() {
        Some("post_event") => Some("The same as `idempotency_key` in the body."),
        Some("post_events") => Some("Stands for the whole batch."),
        _ => None,
    };
    if let Some(description) = key {
        let schema = json!({ "type": "string", "minLength": 1, "maxLength": 255 });
        headers.push(header("Idempotency-Key", description, schema, json!("license-L-1-assigned")));
    }
    if operation["operationId"] == "stream_deliveries" {
        let about = "The id of the last event that was seen; what ended behind it comes first.";
        headers.push(header("Last-Event-ID", about, json!({ "type": "integer" }), json!(1042)));
    }
    headers
}

/// The errors that an operation can answer with.
fn errors_of(
    path: &str,
    method: &str,
    operation: &Value,
    is_list: bool,
) -> Vec<(&'static str, &'static str)> {
    let takes_body = operation.get("requestBody").is_some();
    let writes = method != "get";
    let id = operation["operationId"].as_str().unwrap_or_default();
    let mut errors = vec![
        ("400", "The request cannot be read, or its credentials contradict each other (`bad_request`)."),
        ("401", "Invalid or missing authentication credentials (`unauthorized`)."),
        ("403", "The key lacks the scope (`forbidden`)."),
        ("404", "There is none, it belongs to another app, or `X-App-Id` names no app (`not_found`)."),
        ("429", "Too many requests; `Retry-After` says when to try again (`rate_limit_exceeded`)."),
        ("500", "Something went wrong on the server (`internal`)."),
        ("503", "The server cannot keep up or is stopping; try again in a second (`overloaded`)."),
    ];
    if takes_body {
        errors.push(("413", "The body or the payload is too large (`payload_too_large`)."));
        errors.push(("415", "The body is not JSON (`unsupported_media_type`)."));
    }
    if takes_body || is_list {
        errors
            .push(("422", "Fields or parameters cannot be taken; one entry for each (`validation_failed`)."));
    }
    if matches!(
        id,
        "post_event"
            | "post_events"
            | "retry_delivery"
            | "recover_webhook"
            | "replay_event"
            | "sweep_retention"
            | "create_source"
            | "create_webhook"
            | "rotate_webhook_secret"
            | "send_webhook_now"
            | "replay_source_request"
    ) {
        errors.push(("409", "It does not fit what there is (`conflict`)."));
    }
    if writes {
        errors.push(("507", "The disk is full; reads go on (`storage_full`)."));
    }
    debug_assert!(path.starts_with('/'));
    errors
}
