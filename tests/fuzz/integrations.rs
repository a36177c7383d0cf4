//! What is fuzzed of integrations: the language, verifiers, and the bodies that a source reads. As in `targets.rs`:
//! functions that take any bytes and panic when a rule is broken.

use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use postrider::domain::Timestamp;
use postrider::domain::expr::{Budget, Expression, Json, Names, Run, Scope, Template};
use postrider::domain::inbound::payload::{self, Reading, Unreadable};
use postrider::domain::inbound::request::InboundRequest;
use postrider::domain::inbound::verify::{Check, input};
use postrider::domain::shaping::{Body, Context, Shape};
use postrider::domain::values::invalid::Complaints;
use serde_json::{Value, json};

use super::text;

const STEPS: u32 = 20_000;
const BYTES: u32 = 1024 * 1024;
const OUTPUT: usize = 256 * 1024;
const PAYLOAD: &str = r#"{"a":[1,2.50,"x \"y\"\n",null,{"b":true}],"b":{"c":"Größe 😀"},"n":1e400}"#;

/// A template and, behind NUL, a payload: it ends within its budget; an error has its place; a body is JSON.
pub(crate) fn language(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let (template, payload) = text.split_once('\0').unwrap_or((text, PAYLOAD));
    let json = match Json::parse(payload) {
        Ok(json) => {
            // What is read here is read everywhere, but for numbers out of the range of others.
            let again = json.to_text();
            assert_eq!(Json::parse(&again).map(|json| json.to_text()), Ok(again));
            json
        }
        Err(_) => Json::Null,
    };
    let names = Names::of(&["payload", "payload_text", "event", "summary"]);
    let lines = template.lines().count() as u32 + 1;
    let has_place =
        |line: u32, column: u32| assert!((1..=lines).contains(&line) && column >= 1, "{line}:{column}");
    let mut scope = Scope::new();
    scope.lend("payload", &json);
    scope.set("payload_text", Json::text(payload));
    match Template::parse(template, &names) {
        Err(error) => has_place(error.line, error.column),
        Ok(parsed) => {
            let mut budget = Budget::render();
            let result = parsed.render(&scope, &mut budget);
            let cost = budget.cost();
            assert!(cost.steps <= STEPS && cost.bytes <= BYTES, "{cost:?}");
            if let Ok(out) = &result {
                assert!(out.len() <= OUTPUT, "{}", out.len());
            }
            // The same again: what is rendered depends on nothing else.
            assert_eq!(parsed.render(&scope, &mut Budget::render()), result);
        }
    }
    match Expression::parse(template, &names) {
        Err(error) => has_place(error.line, error.column),
        Ok(parsed) => {
            let mut budget = Budget::filter();
            // Running out is no error of the program.
            parsed.is_true(&scope, &mut budget).ok();
            assert!(budget.cost().steps <= 2_000 && budget.cost().bytes <= 64 * 1024, "{:?}", budget.cost());
        }
    }
    shaped(template, &scope);
}

/// A JSON body with the template in it is JSON, whatever the payload holds.
fn shaped(template: &str, scope: &Scope<'_>) {
    let request = json!({ "body": { "text": template, "list": [template, 1] }, "sign": false }).to_string();
    let json = Json::parse(&request).expect("it was written by serde_json");
    let context =
        Context { url: "https://example.com/", secrets: &[], signing_headers: &[], encrypted: false };
    let Ok(shape) = Shape::read(&json, context) else { return };
    let mut budget = Budget::render();
    let Ok(rendered) = shape.render(scope, &mut Run::new(&mut budget)) else { return };
    let Body::Made(body) = rendered.body else { panic!("there is a body") };
    assert!(body.len() <= OUTPUT && Json::parse(&body).is_ok(), "{body}");
}

/// Verifiers as JSON, headers, an empty line, a body: none has an empty secret, and a signature is over the body.
pub(crate) fn verifiers(data: &[u8]) {
    let Some((verifiers, rest)) = data.split_first_line() else { return };
    let (Some(verifiers), Some((heads, body))) = (text(verifiers), rest.split_head()) else { return };
    let (Ok(verifiers), Some(heads)) = (serde_json::from_str::<Value>(verifiers), text(heads)) else {
        return;
    };
    let mut errors = Complaints::default();
    let verifiers = input::read(&verifiers, &[], &mut errors);
    if !errors.is_empty() {
        return;
    }
    let now = Timestamp::from_millis(1_700_000_000_000);
    let pairs = heads.lines().filter_map(|line| line.split_once(": "));
    let request = InboundRequest {
        method: "POST".to_owned(),
        query: InboundRequest::read_query("key=s3cret&x=%FF"),
        headers: pairs.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect(),
        body: Bytes::copy_from_slice(body),
        client: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7))),
        url: "https://example.com/in/token".to_owned(),
        ..InboundRequest::default()
    };
    let changed = InboundRequest { body: Bytes::from([body, b"x"].concat()), ..request.clone() };
    for verifier in &verifiers {
        assert!(
            verifier.secrets.iter().all(|secret| !secret.as_str().is_empty()),
            "an empty secret is refused"
        );
        let holds = verifier.verify(&request, now);
        assert_eq!(verifier.verify(&request, now), holds);
        if let Err(reason) = &holds {
            assert!(reason.starts_with(&format!("{}: ", verifier.kind())), "{reason}");
        }
        let signs = matches!(verifier.check, Check::Standard | Check::Stripe | Check::Slack);
        assert!(!(signs && holds.is_ok() && verifier.verify(&changed, now).is_ok()), "it covers the body");
    }
}

/// A content type, a line break and a body: a payload is JSON within the limit, or there is a reason.
pub(crate) fn bodies(data: &[u8]) {
    const LIMIT: usize = 64 * 1024;
    let Some((content_type, body)) = data.split_first_line() else { return };
    let Some(content_type) = text(content_type) else { return };
    let request = InboundRequest {
        method: "POST".to_owned(),
        headers: [("content-type".to_owned(), content_type.to_owned())].into_iter().collect(),
        body: Bytes::copy_from_slice(body),
        ..InboundRequest::default()
    };
    let hidden = ["key".to_owned()];
    let reading = Reading { json_field: "payload", size_limit: LIMIT, hidden_parameters: &hidden };
    match payload::read(&request, reading) {
        Ok(read) => {
            let text = std::str::from_utf8(&read.payload).expect("a payload is text");
            assert!(text.len() <= LIMIT && Json::parse(text).is_ok(), "{text:?}");
            assert!(read.form.is_none_or(|form| Json::parse(&form).is_ok()));
        }
        Err(
            Unreadable::NotJson(reason)
            | Unreadable::NotMultipart(reason)
            | Unreadable::Unsupported(reason)
            | Unreadable::TooLarge(reason),
        ) => assert!(reason.starts_with("body: "), "{reason}"),
    }
}

/// Pieces of an input.
trait Pieces {
    /// What is before and behind the first line break.
    fn split_first_line(&self) -> Option<(&[u8], &[u8])>;
    /// What is before and behind the first empty line.
    fn split_head(&self) -> Option<(&[u8], &[u8])>;
}

impl Pieces for [u8] {
    fn split_first_line(&self) -> Option<(&[u8], &[u8])> {
        let at = self.iter().position(|byte| *byte == b'\n')?;
        Some((&self[..at], &self[at + 1..]))
    }

    fn split_head(&self) -> Option<(&[u8], &[u8])> {
        let at = self.windows(2).position(|pair| pair == b"\n\n")?;
        Some((&self[..at], &self[at + 2..]))
    }
}
