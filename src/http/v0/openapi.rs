//! The OpenAPI document of `/api/v0`: what poem makes of the operations, with this surface's parameters,
//! credentials and errors.

use serde_json::{Map, Value, json};

use crate::http::document::openapi::{LINES, add_details, all_there, event_patterns, no_unsigned};
use crate::http::document::{generators, openapi};
use crate::http::request::query::Param;
use crate::http::v1::openapi::security_schemes;

use super::{fault, webhooks};

const DESCRIPTION: &str = "\
The surface of Devdraft's API over the same webhooks as `/v1`: flat objects with delivery statistics and health. \
Credentials are a bearer token, or `x-client-key` with `x-client-secret`; scopes are taken in Devdraft's spelling, \
too. Unknown fields and parameters are ignored.";

/// Answers whose fields are all there, null or not, but for those that are named.
const ANSWERS: &[(&str, &[&str])] =
    &[("Webhook", &["recent_events"]), ("DeliveryStats", &[]), ("RecentEvent", &[])];

/// The errors that an operation can answer with.
const ERRORS: &[(&str, &str)] = &[
    ("400", "The request cannot be read."),
    ("401", "Invalid or missing authentication credentials."),
    ("403", "The key lacks the scope."),
    ("404", "There is no such webhook."),
    ("422", "Fields or parameters cannot be taken; `details` has a sentence for each."),
    ("429", "Too many requests; `Retry-After` says when to come back."),
    ("500", "Something went wrong on the server."),
    ("503", "The server cannot keep up or is stopping."),
];
/// Those of operations that take a body or write.
const WRITE_ERRORS: &[(&str, &str)] = &[
    ("413", "The body is too large."),
    ("415", "The body is not JSON."),
    ("507", "The disk is full; reads go on."),
];

/// Completes the document. `base_path` is the path under which the server is reached from outside.
pub fn complete(poem_document: &str, base_path: &str) -> Value {
    let complete = |_: &str, method: &str, operation: &mut Value| complete_operation(method, operation);
    let mut document = openapi::frame(poem_document, DESCRIPTION, base_path, fault::PREFIX, complete);
    document["tags"] =
        json!([{ "name": "Webhooks", "description": "Receivers, with their statistics and health." }]);
    document["components"]["securitySchemes"] = security_schemes();
    document["components"]["schemas"]["Error"] = error_schema();
    document["components"]["schemas"]["CreateWebhook"]["required"] = json!(["url"]);
    if let Some(all) = document["components"]["schemas"].as_object_mut() {
        complete_schemas(all);
    }
    generators::simplify(&mut document);
    document
}

fn complete_operation(method: &str, operation: &mut Value) {
    operation["tags"] = json!(["Webhooks"]);
    // The scheme's name is the scope: see `http::auth`.
    let scope = operation["security"][0].as_object().and_then(|s| s.keys().next().cloned());
    if let Some(scope) = &scope {
        let text = operation["description"].as_str().unwrap_or_default();
        operation["description"] = json!(format!("{text}\n\nScope: `{scope}`.").trim_start());
        operation["x-scope"] = json!(scope);
        operation["security"] = json!([{ "bearer": [] }, { "client_key": [], "client_secret": [] }]);
    }
    let own: &[Param] = match operation["operationId"].as_str() {
        Some("v0_list_webhooks") => &webhooks::LIST,
        Some("v0_get_webhook") => &webhooks::ONE,
        _ => &[],
    };
    let mut parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
    for parameter in &mut parameters {
        parameter["description"] = json!("The webhook's id: `wh_` and 32 hexadecimal digits.");
        parameter["example"] = json!("wh_550e8400e29b41d4a716446655440000");
    }
    parameters.extend(own.iter().map(Param::describe));
    if !parameters.is_empty() {
        operation["parameters"] = Value::Array(parameters);
    }
    let writes = if method == "get" { &[][..] } else { WRITE_ERRORS };
    for (status, description) in ERRORS.iter().chain(writes) {
        operation["responses"][status] = json!({
            "description": description,
            "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } },
        });
    }
}

/// What Rust's types do not say: which answers may be null, and what fields have to look like.
fn complete_schemas(schemas: &mut Map<String, Value>) {
    for schema in schemas.values_mut() {
        for property in schema["properties"].as_object_mut().into_iter().flat_map(Map::values_mut) {
            no_unsigned(property);
        }
    }
    for (name, sometimes) in ANSWERS {
        let Some(schema) = schemas.get_mut(*name) else { continue };
        all_there(schema, sometimes);
    }
    let of_both = |schema| {
        [
            (schema, "name", json!({ "pattern": LINES })),
            (schema, "url", json!({ "format": "uri", "minLength": 8 })),
            (schema, "events", event_patterns()),
        ]
    };
    add_details(schemas, ["CreateWebhook", "UpdateWebhook"].into_iter().flat_map(of_both));
}

fn error_schema() -> Value {
    json!({
        "type": "object",
        "required": ["statusCode", "message", "error", "details"],
        "properties": {
            "statusCode": { "type": "integer", "example": 404 },
            "message": { "type": "string", "example": "Webhook not found" },
            "error": { "type": "string", "example": "Not Found" },
            "details": { "type": "string", "example": "No webhook found with ID: wh_550e8400e29b41d4a716446655440000" },
        },
    })
}
