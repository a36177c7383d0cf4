//! The OpenAPI document of `/admin/api`: what poem makes of the operations, with credentials, errors and
//! examples.
//!
//! `x-access` says who may call an operation: `nobody` in particular (no credential is asked for),
//! `session` (a person, no key), `role:…` (a person with at least this role, or a key with scope `admin`),
//! or a scope, which keys and people have alike.

use serde_json::{Map, Value, json};

use crate::domain::AlertKind;
use crate::domain::access::app::NAME_MAX_CHARS;
use crate::domain::access::user::PASSWORD_MIN_CHARS;
use crate::domain::alert::{self, Form, SmtpTls};
use crate::http::document::openapi;
use crate::http::document::openapi::{
    Detail, EMAIL, LONG_SPAN, NAME, NOT_BLANK, VISIBLE, add_details, all_there, no_unsigned, nullable,
    scope_names,
};

use crate::http::request::query::Param;

use super::{examples, overview};

/// Where the operations are, below the server's URL.
const PREFIX: &str = "/admin/api";

const DESCRIPTION: &str = "\
What the dashboard needs besides `/v1`: signing in, people, apps, keys, retention, and an overview. A session's \
cookie opens `/v1` as well. Answers are flat JSON objects; lists are whole, in `data`; errors are those of `/v1`.\n\n\
**Sessions.** `POST /admin/api/session` sets the cookie `postrider_session`. Whatever changes something needs the \
header `X-CSRF-Token` with it, which `GET /admin/api/session` tells. Where a key is taken too, it needs neither.";

/// Answers whose fields are all there, null or not, but for those that are named.
const ANSWERS: &[(&str, &[&str])] = &[
    ("SessionEntry", &[]),
    ("User", &["password"]),
    ("Key", &[]),
    ("NewKeyObject", &[]),
    ("QueueObject", &[]),
    ("AttentionObject", &[]),
    ("WebhookHealthObject", &[]),
    ("EventContextObject", &[]),
    ("EventSummaryObject", &[]),
    ("ShapingObject", &[]),
    ("RetentionObject", &[]),
    ("SizesObject", &[]),
    ("AlertTarget", &[]),
    ("AlertTry", &[]),
];

/// Bodies, with the fields that may be null. Other fields than theirs are refused.
const BODIES: &[(&str, &[&str])] = &[
    ("SetUpBody", &[]),
    ("SetUpCheckBody", &[]),
    ("SignInBody", &[]),
    ("PasswordBody", &[]),
    ("UserBody", &["password"]),
    ("UserChangeBody", &[]),
    ("AppBody", &[]),
    ("KeyBody", &["expires"]),
    ("RetentionBody", &["logs", "events"]),
    ("AlertTargetBody", &["token"]),
    ("AlertTargetChangeBody", &["token"]),
    ("AlertTestBody", &[]),
    ("LogLevelBody", &["level"]),
];

/// What single fields of bodies have to look like.
fn details() -> Vec<Detail> {
    let email = json!({ "pattern": EMAIL });
    let password = json!({ "minLength": PASSWORD_MIN_CHARS });
    let name = json!({ "minLength": 1, "maxLength": NAME_MAX_CHARS, "pattern": NAME });
    let span = json!({ "pattern": LONG_SPAN });
    let scopes = json!({ "items": { "type": "string", "enum": scope_names() }, "minItems": 1 });
    let mut all = vec![
        ("SetUpBody", "email", email.clone()),
        ("SetUpBody", "password", password.clone()),
        ("PasswordBody", "new_password", password.clone()),
        ("UserBody", "email", email),
        ("UserBody", "password", password.clone()),
        ("UserChangeBody", "password", password),
        ("AppBody", "name", name.clone()),
        ("KeyBody", "name", name),
        ("KeyBody", "scopes", scopes),
        ("KeyBody", "expires", span.clone()),
        ("RetentionBody", "logs", span.clone()),
        ("RetentionBody", "events", span),
    ];
    all.extend(["AlertTargetBody", "AlertTargetChangeBody"].into_iter().flat_map(alert_target));
    all.push(("AlertTestBody", "kind", json!({ "enum": AlertKind::WORDS })));
    all
}

/// What a body about an alert target says, whether it makes or changes one.
fn alert_target(body: &'static str) -> Vec<Detail> {
    let kinds = json!({ "items": { "type": "string", "enum": AlertKind::WORDS }, "minItems": 1 });
    vec![
        (body, "name", json!({ "minLength": 1, "maxLength": alert::NAME_MAX_CHARS, "pattern": NOT_BLANK })),
        (body, "form", json!({ "enum": Form::WORDS })),
        (body, "url", json!({ "format": "uri", "minLength": 8 })),
        (body, "token", json!({ "minLength": 1, "maxLength": alert::TOKEN_MAX, "pattern": VISIBLE })),
        (body, "kinds", kinds),
        (body, "queue_age", json!({ "pattern": QUEUE_AGE })),
        (body, "silent_after", json!({ "pattern": QUEUE_AGE })),
        (body, "host", json!({ "minLength": 1, "maxLength": 255 })),
        (body, "port", json!({ "minimum": 1, "maximum": 65_535 })),
        (body, "tls", json!({ "enum": SmtpTls::WORDS })),
        (body, "user", json!({ "minLength": 1, "maxLength": alert::USER_MAX_CHARS })),
        (body, "password", json!({ "minLength": 1, "maxLength": alert::TOKEN_MAX })),
        (body, "from", json!({ "format": "email", "maxLength": alert::ADDRESS_MAX_CHARS })),
        (
            body,
            "to",
            json!({
                "items": { "type": "string", "format": "email", "maxLength": alert::ADDRESS_MAX_CHARS },
                "minItems": 1,
                "maxItems": alert::RECIPIENTS_MAX,
            }),
        ),
        (body, "disk_free_mib", json!({ "minimum": 1, "maximum": alert::DISK_FREE_MIB_MAX })),
    ]
}

/// A minute or more, as `queue_age` wants it.
const QUEUE_AGE: &str = "^([6-9][0-9]{4}ms|[1-9][0-9]{5,11}ms|[6-9][0-9]s|[1-9][0-9]{2,8}s|[1-9][0-9]{0,6}m|\
                         [1-9][0-9]{0,4}h|[1-9][0-9]{0,3}d)$";

/// Operations in the app that `X-App-Id` names.
const IN_APP: &[&str] = &[
    "get_overview",
    "list_webhook_health",
    "list_event_outcomes",
    "get_event_context",
    "make_echo_webhook",
    "list_keys",
    "create_key",
    "revoke_key",
];
/// Operations that may not fit what there is.
const CONFLICTS: &[&str] = &[
    "create_user",
    "change_user",
    "delete_user",
    "create_app",
    "rename_app",
    "change_retention",
    "create_alert_target",
];

/// Completes the document. `base_path` is the path under which the server is reached from outside.
pub fn complete(poem_document: &str, base_path: &str) -> Value {
    let mut document = openapi::frame(poem_document, DESCRIPTION, base_path, PREFIX, complete_operation);
    openapi::add_components(&mut document);
    add_session_schemes(&mut document["components"]["securitySchemes"]);
    if let Some(all) = document["components"]["schemas"].as_object_mut() {
        complete_schemas(all);
    }
    document
}

/// The credentials of people, besides those of keys.
fn add_session_schemes(schemes: &mut Value) {
    schemes["session"] = json!({
        "type": "apiKey",
        "in": "cookie",
        "name": "postrider_session",
        "description": "Set by signing in; a browser sends it by itself.",
    });
    schemes["csrf"] = json!({
        "type": "apiKey",
        "in": "header",
        "name": "X-CSRF-Token",
        "description": "With a session, where something changes: what `GET /admin/api/session` tells.",
    });
}

fn complete_operation(path: &str, method: &str, operation: &mut Value) {
    let access = openapi::access(operation).unwrap_or_default();
    let is_read = method == "get";
    let person = if is_read { json!({ "session": [] }) } else { json!({ "session": [], "csrf": [] }) };
    let (words, security) = match access.as_str() {
        "nobody" => ("Needs no credential.".to_owned(), json!([])),
        "session" => ("For every signed-in user; no key.".to_owned(), json!([person])),
        other => {
            let words = match other.strip_prefix("role:") {
                Some("viewer") => "For every signed-in user, or a key with scope `admin`.".to_owned(),
                Some(role) => format!("Role: `{role}` or greater, or a key with scope `admin`."),
                None => format!("Scope: `{other}`."),
            };
            (words, json!([person, { "bearer": [] }, { "client_key": [], "client_secret": [] }]))
        }
    };
    let text = operation["description"].as_str().unwrap_or_default();
    operation["description"] = json!(format!("{text}\n\n{words}").trim_start());
    operation["x-access"] = json!(access);
    operation["security"] = security;
    complete_parameters(path, operation);
    let errors = errors_of(path, method, &access, operation);
    openapi::add_errors(operation, &errors, "Errors");
    let (sent, received) = examples::of(operation["operationId"].as_str().unwrap_or_default());
    openapi::complete_bodies(operation, sent, received);
}

fn complete_parameters(path: &str, operation: &mut Value) {
    let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
    let mut parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
    for parameter in parameters.iter_mut().filter(|parameter| parameter["in"] == "path") {
        let (description, example) = match path {
            "/users/{id}" => ("The user's id.", examples::USER),
            "/apps/{id}" => ("The app's id.", examples::APP),
            "/alerts/{id}" | "/alerts/{id}/test" => ("The alert target's id.", examples::ALERT_TARGET),
            "/sessions/{id}" => ("The session's id.", examples::SESSION),
            _ => ("The key's id, with or without prefix.", examples::KEY),
        };
        parameter["description"] = json!(description);
        parameter["example"] = json!(example);
    }
    parameters.extend(overview::params_of(&id).iter().map(Param::describe));
    if IN_APP.contains(&id.as_str()) {
        parameters.push(json!({
            "name": "X-App-Id", "in": "header", "required": false,
            "description": "For an owner, or a key with scope `admin`: the app that is meant, by its id.",
            "schema": { "type": "string", "format": "uuid" }, "example": examples::APP,
        }));
    }
    if !parameters.is_empty() {
        operation["parameters"] = Value::Array(parameters);
    }
}

/// The errors that an operation can answer with.
fn errors_of(path: &str, method: &str, access: &str, operation: &Value) -> Vec<(&'static str, &'static str)> {
    let id = operation["operationId"].as_str().unwrap_or_default();
    let mut errors = vec![
        ("400", "The request cannot be read (`bad_request`)."),
        ("429", "Too many requests; `Retry-After` says when to try again (`rate_limit_exceeded`)."),
        ("500", "Something went wrong on the server (`internal`)."),
        ("503", "The server cannot keep up or is stopping; try again in a second (`overloaded`)."),
    ];
    if access != "nobody" || id == "sign_in" {
        errors.push(("401", "Invalid or missing authentication credentials (`unauthorized`)."));
    }
    if access != "nobody" || method != "get" {
        errors.push((
            "403",
            "The role or the scope does not allow it, `X-CSRF-Token` is missing or wrong, or another site asks \
             (`forbidden`).",
        ));
    }
    if path.contains("{id}") || IN_APP.contains(&id) {
        errors.push(("404", "There is none, or `X-App-Id` names no app (`not_found`)."));
    }
    if operation.get("requestBody").is_some() {
        errors.push(("413", "The body is too large (`payload_too_large`)."));
        errors.push(("415", "The body is not JSON (`unsupported_media_type`)."));
        errors.push(("422", "Fields cannot be taken; one entry for each (`validation_failed`)."));
    }
    let mut parameters = operation["parameters"].as_array().into_iter().flatten();
    if parameters.any(|parameter| parameter["in"] == "query") {
        errors.push(("422", "Parameters cannot be taken; one entry for each (`validation_failed`)."));
    }
    if CONFLICTS.contains(&id) {
        errors.push(("409", "It does not fit what there is (`conflict`)."));
    }
    if method != "get" {
        errors.push(("507", "The disk is full; reads go on (`storage_full`)."));
    }
    errors
}

fn complete_schemas(schemas: &mut Map<String, Value>) {
    for schema in schemas.values_mut() {
        for (name, property) in schema["properties"].as_object_mut().into_iter().flatten() {
            if property["type"] == "string" && (name.ends_with("_at") || name == "at" || name == "start") {
                property["format"] = json!("date-time");
            }
            no_unsigned(property);
            if name == "role" {
                property["enum"] = json!(["viewer", "admin", "owner"]);
            }
        }
    }
    for (name, sometimes) in ANSWERS {
        let Some(schema) = schemas.get_mut(*name) else { continue };
        all_there(schema, sometimes);
    }
    for (name, may_be_null) in BODIES {
        let Some(schema) = schemas.get_mut(*name) else { continue };
        schema["additionalProperties"] = json!(false);
        for field in *may_be_null {
            nullable(&mut schema["properties"][*field]);
        }
    }
    // It may be null, but not left out, for which poem has no words.
    schemas["LogLevelBody"]["required"] = json!(["level"]);
    add_details(schemas, details());
}
