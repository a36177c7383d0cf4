//! What a client wants a source to be: read from JSON and checked, attribute by attribute, all problems at once.

use serde_json::{Map, Value};

use crate::domain::FieldError;
use crate::domain::endpoint::MASK;
use crate::domain::expr::{Expression, Names, Template};
use crate::domain::inbound::challenge::Challenge;
use crate::domain::inbound::object::Object;
use crate::domain::inbound::source::{
    Guard, JSON_FIELD_DEFAULT, Mapping, NAME_MAX, SourceSettings, StaticResponse, SummaryText, default_type,
};
use crate::domain::inbound::verify::input::SECRET_MAX;
use crate::domain::inbound::verify::{SecretText, input};
use crate::domain::values::invalid::{Complaints, quoted};
use crate::domain::values::rate::{RATE_MAX, Rate};

/// The attributes that a client sets.
pub const FIELDS: [&str; 13] = [
    "name",
    "enabled",
    "verify",
    "methods",
    "event_type",
    "resource_id",
    "dedupe",
    "accept",
    "json_field",
    "challenge",
    "response",
    "summary",
    "rate_limit",
];
/// Known because reads show them; taken and left alone, so that what was read can be written back.
pub const READ_ONLY: [&str; 5] = ["url", "created_at", "updated_at", "last_request_at", "counts_24h"];

/// The longest template, in bytes.
const TEMPLATE_MAX: usize = 16 * 1_024;
/// The longest sum of all templates of a source, in bytes.
const TEMPLATES_MAX: usize = 64 * 1_024;
/// The longest body of a response, in bytes.
const RESPONSE_MAX: usize = 4 * 1_024;
const CONTENT_TYPE_MAX: usize = 127;
/// The longest name of a field, in bytes.
const JSON_FIELD_MAX: usize = 100;
const METHODS: [&str; 3] = ["POST", "PUT", "GET"];
/// Names that would make types of Postrider's own.
const RESERVED_NAME: &str = "webhook_endpoint";

/// Reads all attributes; one that is missing or null gets its default. `current` has the secrets that a mask keeps.
/// What is wrong is added to `errors`; then the result is not to be used.
pub fn read(
    fields: &Map<String, Value>,
    current: &Guard,
    errors: &mut Complaints,
) -> (SourceSettings, Guard) {
    let known: Vec<&str> = FIELDS.iter().chain(&READ_ONLY).chain(&["preset"]).copied().collect();
    let verify = match fields.get("verify") {
        None | Some(Value::Null) => vec![],
        Some(value) => input::read(value, &current.verify, errors),
    };
    let mut object = Object::new(fields, "", &known, errors);
    let name = name(&mut object).unwrap_or_default();
    let is_enabled = match object.get("enabled") {
        None => true,
        Some(Value::Bool(is_enabled)) => *is_enabled,
        Some(_) => {
            object.fail("enabled", "must be true or false");
            true
        }
    };
    let mut templates = Templates::default();
    let event_type = templates.template(&mut object, "event_type", Names::SOURCE);
    let mapping = Mapping {
        methods: methods(&mut object),
        // What is shown for a source without a template, and written back.
        event_type: event_type.filter(|text| *text != default_type(&name)),
        resource_id: templates.template(&mut object, "resource_id", Names::SOURCE),
        dedupe: templates.template(&mut object, "dedupe", Names::SOURCE),
        accept: templates.expression(&mut object, "accept"),
        json_field: json_field(&mut object),
        response: response(&mut object),
        summary: summary(&mut object, &mut templates),
        rate_limit: rate_limit(&mut object),
    };
    let challenge = challenge(&mut object, current);
    if templates.bytes > TEMPLATES_MAX {
        let message =
            format!("has templates of {} bytes; at most {TEMPLATES_MAX} are possible", templates.bytes);
        errors.push(FieldError::new("", message));
    }
    (SourceSettings { name, is_enabled, mapping }, Guard { verify, challenge })
}

fn name(object: &mut Object<'_, '_>) -> Option<String> {
    let name = object.required("name", 10 * NAME_MAX)?;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
    if name.len() > NAME_MAX || !name.bytes().all(plain) {
        object.fail("name", format!("must have 1 to {NAME_MAX} of a-z, 0-9, _ and -, such as my-github"));
        return None;
    }
    if name == RESERVED_NAME {
        object.fail("name", "is kept for Postrider's own events; choose another name");
        return None;
    }
    Some(name.to_owned())
}

fn methods(object: &mut Object<'_, '_>) -> Vec<String> {
    let given = match object.get("methods") {
        None => return Mapping::default().methods,
        Some(Value::Array(list)) if (1..=METHODS.len()).contains(&list.len()) => list,
        Some(_) => {
            let (most, names) = (METHODS.len(), METHODS.join(", "));
            object.fail("methods", format!("must be a list of 1 to {most} of {names}"));
            return vec![];
        }
    };
    let mut methods: Vec<String> = Vec::new();
    for (i, value) in given.iter().enumerate() {
        match METHODS.iter().find(|method| value == *method) {
            Some(method) if methods.iter().any(|known| known == method) => {}
            Some(method) => methods.push((*method).to_owned()),
            None => object.fail(&format!("methods/{i}"), format!("is none of {}", METHODS.join(", "))),
        }
    }
    methods
}

fn json_field(object: &mut Object<'_, '_>) -> String {
    let text = object.text("json_field", JSON_FIELD_MAX).unwrap_or(JSON_FIELD_DEFAULT).to_owned();
    if text.is_empty() {
        object.fail("json_field", "must not be empty");
    }
    text
}

fn response(object: &mut Object<'_, '_>) -> StaticResponse {
    let default = StaticResponse::default();
    let Some(value) = object.get("response") else { return default };
    let Value::Object(fields) = value else {
        object.fail("response", "must be an object, such as {\"status\":200}, or null");
        return default;
    };
    let mut inner = Object::new(fields, "/response", &["status", "content_type", "body"], object.errors);
    let status = match inner.get("status") {
        None => default.status,
        Some(value) => {
            let status =
                value.as_u64().and_then(|n| u16::try_from(n).ok()).filter(|n| (200..=204).contains(n));
            if status.is_none() {
                inner.fail("status", "must be a whole number from 200 to 204");
            }
            status.unwrap_or(default.status)
        }
    };
    let content_type =
        inner.text("content_type", CONTENT_TYPE_MAX).unwrap_or(&default.content_type).to_owned();
    let visible = |byte: u8| (0x20..0x7f).contains(&byte);
    if content_type.trim().is_empty() || !content_type.contains('/') || !content_type.bytes().all(visible) {
        inner.fail("content_type", "is no content type; write one such as text/plain");
    }
    let body = inner.text("body", RESPONSE_MAX).map(str::to_owned);
    if status == 204 && body.as_ref().is_some_and(|body| !body.is_empty()) {
        inner.fail("body", "must be null with the status 204, which has no body");
    }
    StaticResponse { status, content_type, body }
}

fn summary(object: &mut Object<'_, '_>, templates: &mut Templates) -> Option<SummaryText> {
    let Value::Object(fields) = object.get("summary")? else {
        object.fail("summary", "must be an object with title, message, link and level, or null");
        return None;
    };
    let mut inner = Object::new(fields, "/summary", &["title", "message", "link", "level"], object.errors);
    let mut read = |name: &str| templates.template(&mut inner, name, Names::SUMMARY);
    Some(SummaryText {
        title: read("title"),
        message: read("message"),
        link: read("link"),
        level: read("level"),
    })
}

fn rate_limit(object: &mut Object<'_, '_>) -> Rate {
    let default = Mapping::default().rate_limit;
    let rate = match object.get("rate_limit") {
        None => return default,
        Some(Value::String(text)) if text == "0" => Some(Rate::UNLIMITED),
        Some(Value::String(text)) => Rate::parse(text),
        Some(Value::Number(number)) if number.as_u64() == Some(0) => Some(Rate::UNLIMITED),
        Some(_) => None,
    };
    rate.unwrap_or_else(|| {
        let message =
            format!("must be a number up to {RATE_MAX} and /s, /m or /h, such as \"600/m\", or 0: no limit");
        object.fail("rate_limit", message);
        default
    })
}

fn challenge(object: &mut Object<'_, '_>, current: &Guard) -> Option<Challenge> {
    let fields = match object.get("challenge")? {
        Value::String(word) => {
            let found = Challenge::parse(word);
            if found.is_none() {
                let words = Challenge::WORDS.join(", ");
                let message = format!("{} is none of {words}, or an object of kind meta", quoted(word));
                object.fail("challenge", message);
            }
            return found;
        }
        Value::Object(fields) => fields,
        _ => {
            object.fail("challenge", "must be a string, an object of kind meta, or null");
            return None;
        }
    };
    let mut inner = Object::new(fields, "/challenge", &["kind", "verify_token"], object.errors);
    match inner.text("kind", 100) {
        Some("meta") => {}
        Some(word) if Challenge::parse(word).is_some() && fields.len() == 1 => return Challenge::parse(word),
        _ => {
            inner.fail("kind", "must be meta; the other kinds are plain strings");
            return None;
        }
    }
    let token = inner.required("verify_token", SECRET_MAX)?;
    if token != MASK {
        return Some(Challenge::Meta { verify_token: SecretText::new(token) });
    }
    match &current.challenge {
        Some(kept @ Challenge::Meta { .. }) => Some(kept.clone()),
        _ => {
            inner.fail("verify_token", "is masked, but there is no token to keep; write the token itself");
            None
        }
    }
}

/// Checks templates, and adds up their length.
#[derive(Default)]
struct Templates {
    bytes: usize,
}

impl Templates {
    fn template(&mut self, object: &mut Object<'_, '_>, field: &str, names: Names<'_>) -> Option<String> {
        let text = object.text(field, TEMPLATE_MAX).filter(|text| !text.is_empty())?;
        self.bytes += text.len();
        match Template::parse(text, &names) {
            Ok(_) => Some(text.to_owned()),
            Err(error) => {
                object.fail(field, error.to_string());
                None
            }
        }
    }

    fn expression(&mut self, object: &mut Object<'_, '_>, field: &str) -> Option<String> {
        let text = object.text(field, TEMPLATE_MAX).filter(|text| !text.is_empty())?;
        self.bytes += text.len();
        match Expression::parse(text, &Names::SOURCE) {
            Ok(_) => Some(text.to_owned()),
            Err(error) => {
                object.fail(field, error.to_string());
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::inbound::source::attributes;
    use serde_json::json;

    fn read_all(value: Value, current: &Guard) -> Result<(SourceSettings, Guard), Vec<FieldError>> {
        let mut errors = Complaints::default();
        let read = read(value.as_object().unwrap(), current, &mut errors);
        if errors.is_empty() { Ok(read) } else { Err(errors.into_vec()) }
    }

    #[test]
    fn a_name_is_enough_and_the_rest_has_defaults() {
        let (settings, guard) = read_all(json!({"name":"my-app"}), &Guard::default()).unwrap();
        assert_eq!((settings.is_enabled, &settings.mapping), (true, &Mapping::default()));
        let expected = json!({
            "name":"my-app","enabled":true,"verify":[],"methods":["POST","PUT"],"event_type":"my-app.event",
            "resource_id":null,"dedupe":null,"accept":null,"json_field":"payload","challenge":null,
            "response":{"status":200,"content_type":"application/json","body":null},"summary":null,
            "rate_limit":"600/m",
        });
        assert_eq!(Value::Object(attributes(&settings, &guard)), expected);
    }

    #[test]
    fn what_is_read_back_can_be_written_back() {
        let given = json!({
            "name":"a","enabled":false,"verify":[{"kind":"basic","username":"u","secret":"p"}],
            "methods":["GET","POST"],"event_type":"a.{{ payload.type }}","resource_id":"{{ payload.id }}",
            "dedupe":"{{ headers['x-id'] }}","accept":"payload.a == 1","json_field":"data",
            "challenge":{"kind":"meta","verify_token":"t"},
            "response":{"status":202,"content_type":"text/plain","body":"ok"},
            "summary":{"title":"{{ payload.title }}","level":"error"},"rate_limit":0,
        });
        let (settings, guard) = read_all(given, &Guard::default()).unwrap();
        let shown = attributes(&settings, &guard);
        assert_eq!(shown["challenge"], json!({"kind":"meta","verify_token":MASK}));
        assert_eq!(shown["rate_limit"], 0);
        assert_eq!(shown["summary"]["link"], Value::Null);
        assert_eq!(read_all(Value::Object(shown), &guard).unwrap(), (settings, guard));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (field, value, pointer) in [
            ("name", json!(""), "/name"),
            ("name", json!("A"), "/name"),
            ("name", json!("a".repeat(41)), "/name"),
            ("name", json!("webhook_endpoint"), "/name"),
            ("enabled", json!("yes"), "/enabled"),
            ("verify", json!({}), "/verify"),
            ("methods", json!([]), "/methods"),
            ("methods", json!(["POST", "PATCH"]), "/methods/1"),
            ("methods", json!(vec!["POST"; 4]), "/methods"),
            ("event_type", json!("{{ payload.a"), "/event_type"),
            ("event_type", json!("{{ summary.title }}"), "/event_type"),
            ("event_type", json!(5), "/event_type"),
            ("dedupe", json!("{{ secrets.a }}"), "/dedupe"),
            ("accept", json!("payload.a =="), "/accept"),
            ("json_field", json!(""), "/json_field"),
            ("challenge", json!("zoom"), "/challenge"),
            ("challenge", json!({"kind":"meta"}), "/challenge/verify_token"),
            ("challenge", json!({"kind":"meta","verify_token":MASK}), "/challenge/verify_token"),
            ("challenge", json!({"kind":"zoom"}), "/challenge/kind"),
            ("response", json!({"status":301}), "/response/status"),
            ("response", json!({"status":204,"body":"x"}), "/response/body"),
            ("response", json!({"content_type":"a\nb/c"}), "/response/content_type"),
            ("response", json!({"body":"x".repeat(4_097)}), "/response/body"),
            ("response", json!({"headers":{}}), "/response/headers"),
            ("summary", json!({"title":"{{ headers['x'] }}"}), "/summary/title"),
            ("summary", json!({"text":"x"}), "/summary/text"),
            ("rate_limit", json!("600"), "/rate_limit"),
            ("rate_limit", json!(10), "/rate_limit"),
            ("retries", json!(1), "/retries"),
            ("dedupe", json!("x".repeat(TEMPLATE_MAX + 1)), "/dedupe"),
        ] {
            let mut given = json!({"name":"a"});
            given[field] = value.clone();
            let errors = read_all(given, &Guard::default()).unwrap_err();
            assert_eq!(
                errors.first().map(|e| e.pointer.as_str()),
                Some(pointer),
                "{field} {value} {errors:?}"
            );
        }
        assert_eq!(read_all(json!({}), &Guard::default()).unwrap_err()[0].pointer, "/name");
        let long = "x".repeat(TEMPLATE_MAX);
        let sum = json!({"name":"a","event_type":long,"dedupe":long,"resource_id":long,"accept":format!("'{}'", &long[2..]),
                         "summary":{"title":"x"}});
        assert_eq!(read_all(sum, &Guard::default()).unwrap_err()[0].pointer, "");
    }
}
