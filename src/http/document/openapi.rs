//! What the OpenAPI documents of all surfaces share. poem's document is read, gets its description and its
//! server, and each operation is handed to the surface, which adds what only it knows: parameters, errors,
//! examples.
//!
//! Credentials, headers and the error schema are the same for several surfaces and exist once, here.

use serde_json::{Map, Value, json};

use crate::domain::Scope;
use crate::domain::event_type::TYPE_MAX;
use crate::domain::pattern::PATTERNS_MAX;

/// A length of time, as `Span` reads it.
pub const SPAN: &str = "^(0|[0-9]+(ms|s|m|h|d))$";
/// A length of time up to years. `Span` takes a hundred of them; what is longer here is said shorter.
pub const LONG_SPAN: &str = "^(0|[0-9]{1,12}ms|[0-9]{1,9}s|[0-9]{1,7}m|[0-9]{1,5}h|[0-9]{1,4}d)$";
/// An event type, as `EventType` reads it.
pub const EVENT_TYPE: &str = r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$";
/// What a webhook wants, as `EventPattern` reads it.
pub const EVENT_PATTERN: &str = r"^(\*|[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*(\.\*)?)$";
/// Text without control characters.
pub const PLAIN: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";
/// Text without control characters but line breaks and tabs.
pub const LINES: &str = r"^[^\u0000-\u0008\u000b-\u001f\u007f-\u009f]*$";
/// What people name their apps and keys: no control characters, and no space at its ends.
pub const NAME: &str =
    r"^[^\s\u0000-\u001f\u007f-\u009f]([^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f])?$";
/// Text without control characters that shows something.
pub const NOT_BLANK: &str =
    r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$";
/// Visible ASCII characters, without spaces.
pub const VISIBLE: &str = "^[!-~]+$";
/// An e-mail address, as far as it is looked at.
pub const EMAIL: &str = r"^[^\s@\u0000-\u001f\u007f-\u009f]+@[^\s@\u0000-\u001f\u007f-\u009f]+$";
/// The value of a header, as `check_header_value` takes it.
pub const HEADER_VALUE: &str = r"^[\t -~]*$";

/// What a webhook wants, as a schema of the whole list.
pub fn event_patterns() -> Value {
    let one = json!({ "type": "string", "maxLength": TYPE_MAX + 2, "pattern": EVENT_PATTERN, "example": "license.*" });
    json!({ "items": one, "minItems": 1, "maxItems": PATTERNS_MAX })
}

/// The names that scopes are taken by: those of the table, and Devdraft's.
pub fn scope_names() -> Vec<&'static str> {
    let others = ["webhook:read", "webhook:create", "webhook:update", "webhook:delete"];
    Scope::WORDS.iter().copied().chain(others).collect()
}

/// OpenAPI knows no unsigned formats.
pub fn no_unsigned(property: &mut Value) {
    if property["format"].as_str().is_some_and(|f| f.starts_with("uint")) {
        property["minimum"] = json!(0);
        property["format"] = json!("int64");
    }
}

/// A property that may be null. Next to a reference nothing else counts, so it goes into an `allOf`.
pub fn nullable(property: &mut Value) {
    if let Some(reference) = property.get("$ref").cloned() {
        *property = json!({ "allOf": [{ "$ref": reference }] });
    }
    property["nullable"] = json!(true);
}

/// Says that all properties of an answer are there but for `sometimes`; those that Rust's types leave out
/// are null.
pub fn all_there(schema: &mut Value, sometimes: &[&str]) {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let mut all = Vec::new();
    for (name, property) in schema["properties"].as_object_mut().into_iter().flatten() {
        if sometimes.contains(&name.as_str()) {
            continue;
        }
        if !required.iter().any(|r| r == name) {
            nullable(property);
        }
        all.push(json!(name));
    }
    schema["required"] = Value::Array(all);
}

/// Puts what a table says of single properties into the schemas.
pub fn add_details(schemas: &mut Map<String, Value>, details: impl IntoIterator<Item = Detail>) {
    for (schema, property, more) in details {
        let Some(property) = schemas.get_mut(schema).map(|s| &mut s["properties"][property]) else {
            continue;
        };
        for (name, value) in more.as_object().into_iter().flatten() {
            property[name] = value.clone();
        }
    }
}

/// Schema, property, and what is said of it.
pub type Detail = (&'static str, &'static str, Value);

/// Reads poem's document and completes it. `base_path` is the path under which the server is reached from
/// outside, `prefix` the one of the surface below it; `complete` gets path, method and operation.
pub fn frame(
    poem_document: &str,
    description: &str,
    base_path: &str,
    prefix: &str,
    complete: impl Fn(&str, &str, &mut Value),
) -> Value {
    let mut document: Value = serde_json::from_str(poem_document).expect("poem writes valid JSON");
    document["info"]["description"] = json!(description);
    document["info"]["license"] = json!({ "name": "MIT", "url": "https://opensource.org/license/mit" });
    document["servers"] = json!([{ "url": if base_path.is_empty() { "/" } else { base_path } }]);
    let paths = document["paths"].as_object().cloned().unwrap_or_default();
    let mut completed = Map::new();
    for (path, mut methods) in paths {
        for (method, operation) in methods.as_object_mut().into_iter().flatten() {
            complete(&path, method, operation);
        }
        completed.insert(format!("{prefix}{path}"), methods);
    }
    document["paths"] = Value::Object(completed);
    document
}

/// Adds credentials, headers and the schema of errors.
pub fn add_components(document: &mut Value) {
    document["components"]["securitySchemes"] = security_schemes();
    document["components"]["schemas"]["Errors"] = errors_schema();
    document["components"]["headers"] = headers();
}

/// The headers of responses.
fn headers() -> Value {
    let whole = |description: &str| json!({ "description": description, "schema": { "type": "integer", "minimum": 0 } });
    json!({
        "X-Request-Id": {
            "description": "The id that the request was sent with, or one that was made. It is in the log.",
            "schema": { "type": "string" },
        },
        "X-RateLimit-Limit": whole("Requests (or posted events) that a full bucket holds."),
        "X-RateLimit-Remaining": whole("How many are left."),
        "X-RateLimit-Reset": whole("Seconds until the bucket is full."),
        "Retry-After": whole("Seconds until it is worth trying again."),
    })
}

/// Names the headers of a response.
fn name_headers(response: &mut Value, retry_after: bool) {
    let mut names = vec!["X-Request-Id", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"];
    names.extend(retry_after.then_some("Retry-After"));
    for name in names {
        response["headers"][name] = json!({ "$ref": format!("#/components/headers/{name}") });
    }
}

/// The two forms of credentials, for every surface.
pub fn security_schemes() -> Value {
    json!({
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "A key's token: `prk_<id>_<secret>`, as `postrider key create` prints it.",
        },
        "client_key": {
            "type": "apiKey",
            "in": "header",
            "name": "x-client-key",
            "description": "`prk_<id>`; together with x-client-secret.",
        },
        "client_secret": {
            "type": "apiKey",
            "in": "header",
            "name": "x-client-secret",
            "description": "The key's secret; together with x-client-key.",
        },
    })
}

/// Who may call an operation: until the document is completed, that is the name of its security scheme
/// ([`crate::http::request::auth`]).
pub fn access(operation: &Value) -> Option<String> {
    operation["security"][0].as_object().and_then(|schemes| schemes.keys().next().cloned())
}

/// Replaces the scope, which poem has as a security scheme, by the credentials that can have it.
pub fn require_scope(operation: &mut Value) {
    let Some(scope) = access(operation) else { return };
    let text = operation["description"].as_str().unwrap_or_default();
    operation["description"] = json!(format!("{text}\n\nScope: `{scope}`.").trim_start());
    operation["x-scope"] = json!(scope);
    operation["security"] = json!([{ "bearer": [] }, { "client_key": [], "client_secret": [] }]);
}

/// Adds error responses, each a status and its description, with the schema of this name.
pub fn add_errors<'a>(
    operation: &mut Value,
    errors: impl IntoIterator<Item = &'a (&'a str, &'a str)>,
    schema: &str,
) {
    let schema = format!("#/components/schemas/{schema}");
    for (status, description) in errors {
        operation["responses"][status] = json!({
            "description": description,
            "content": { "application/json": { "schema": { "$ref": schema } } },
        });
    }
}

/// Adds examples to the bodies, gives JSON its plain name, and names the headers of responses. `sent` and
/// `received` are null where there is no example.
pub fn complete_bodies(operation: &mut Value, sent: Value, received: Value) {
    if operation.get("requestBody").is_some() && !sent.is_null() {
        operation["requestBody"]["content"]["application/json"]["example"] = sent;
    }
    for (status, response) in operation["responses"].as_object_mut().into_iter().flatten() {
        if let Some(content) = response["content"].as_object_mut() {
            if let Some(json) = content.remove("application/json; charset=utf-8") {
                content.insert("application/json".to_owned(), json);
            }
            if status.starts_with('2') && !received.is_null() && content.contains_key("application/json") {
                content["application/json"]["example"] = received.clone();
            }
        } else if let Some(response) = response.as_object_mut() {
            response.remove("content");
        }
        name_headers(response, matches!(status.as_str(), "429" | "503"));
    }
}

/// The schema of errors, for every surface but v0.
fn errors_schema() -> Value {
    json!({
        "type": "object",
        "description": "What went wrong, one entry for each problem.",
        "required": ["errors", "meta"],
        "properties": {
            "errors": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["status", "code", "title", "detail"],
                    "properties": {
                        "status": { "type": "string", "example": "422" },
                        "code": { "type": "string", "example": "validation_failed" },
                        "title": { "type": "string", "example": "Validation failed" },
                        "detail": { "type": "string", "example": "events is required." },
                        "source": {
                            "type": "object",
                            "properties": {
                                "pointer": { "type": "string", "example": "/events" },
                                "parameter": { "type": "string", "example": "per_page" },
                            },
                        },
                    },
                },
            },
            "meta": {
                "type": "object",
                "required": ["request_id"],
                "properties": { "request_id": { "type": "string" } },
            },
        },
    })
}
