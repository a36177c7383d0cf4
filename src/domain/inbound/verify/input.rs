//! Verifiers as JSON: what a client writes, what storage seals, and what is read back.
//!
//! A secret is never read back. The mask in its place keeps the secret of the verifier at the same position, if that
//! has the same kind.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Map, Value, json};

use crate::domain::endpoint::MASK;
use crate::domain::inbound::object::Object;
use crate::domain::inbound::verify::{
    Algorithm, Check, Content, Encoding, HmacCheck, KeyForm, SECRETS_MAX, SecretText, TokenPlace,
    VERIFIERS_MAX, Verifier, hmac, is_header_name,
};
use crate::domain::values::invalid::{Complaints, quoted};
use crate::domain::{FieldError, SigningSecret, Span};

/// The kinds, as the APIs name them.
pub const KINDS: [&str; 7] = ["token", "basic", "hmac", "standard", "stripe", "slack", "address"];
/// The longest secret, in bytes.
pub const SECRET_MAX: usize = 4 * 1_024;
/// The longest of the other texts, in bytes.
const TEXT_MAX: usize = 255;
const NETWORKS_MAX: usize = 100;
const TOLERANCE_DEFAULT: &str = "5m";
/// The longest tolerance: a day.
const TOLERANCE_MAX_MS: u64 = 86_400_000;

/// Reads a list of verifiers. What is wrong is noted; then the list may lack something. `current` are the verifiers
/// whose secrets a mask keeps.
pub fn read(value: &Value, current: &[Verifier], errors: &mut Complaints) -> Vec<Verifier> {
    let Value::Array(list) = value else {
        errors.push(FieldError::new(
            "/verify",
            "must be a list of verifiers, such as [{\"kind\":\"standard\",…}]",
        ));
        return vec![];
    };
    if list.len() > VERIFIERS_MAX {
        let message = format!("has {} verifiers; at most {VERIFIERS_MAX} are possible", list.len());
        errors.push(FieldError::new("/verify", message));
        return vec![];
    }
    let one = |(i, value): (usize, &Value)| verifier(value, &format!("/verify/{i}"), current.get(i), errors);
    list.iter().enumerate().filter_map(one).collect()
}

fn verifier(
    value: &Value,
    pointer: &str,
    current: Option<&Verifier>,
    errors: &mut Complaints,
) -> Option<Verifier> {
    let Value::Object(fields) = value else {
        errors.push(FieldError::new(pointer, "must be an object with a \"kind\""));
        return None;
    };
    let kind = fields.get("kind").and_then(Value::as_str).unwrap_or_default();
    let known: &[&str] = match kind {
        "token" => &["kind", "in", "name", "secret", "prefix"],
        "basic" => &["kind", "username", "secret"],
        "hmac" => &[
            "kind",
            "header",
            "secret",
            "algorithm",
            "encoding",
            "prefix",
            "content",
            "key",
            "timestamp",
            "tolerance",
        ],
        "standard" | "stripe" | "slack" => &["kind", "secret"],
        "address" => &["kind", "networks"],
        _ => {
            let message = format!("{} is none of {}", quoted(kind), KINDS.join(", "));
            errors.push(FieldError::new(format!("{pointer}/kind"), message));
            return None;
        }
    };
    let mut object = Object::new(fields, pointer, known, errors);
    let check = match kind {
        "token" => token(&mut object),
        "basic" => username(&mut object).map(|username| Check::Basic { username }),
        "hmac" => hmac_check(&mut object).map(Check::Hmac),
        "standard" => Some(Check::Standard),
        "stripe" => Some(Check::Stripe),
        "slack" => Some(Check::Slack),
        _ => networks(&mut object).map(|networks| Check::Address { networks }),
    };
    if kind == "address" {
        return check.map(|check| Verifier { check, secrets: vec![], is_list: false });
    }
    let current = current.filter(|verifier| verifier.kind() == kind);
    let (secrets, is_list) = secrets(&mut object, check.as_ref(), current)?;
    Some(Verifier { check: check?, secrets, is_list })
}

/// One secret, or a list of up to two.
fn secrets(
    object: &mut Object<'_, '_>,
    check: Option<&Check>,
    current: Option<&Verifier>,
) -> Option<(Vec<SecretText>, bool)> {
    let given = match object.get("secret") {
        None => {
            object.fail("secret", "is required");
            return None;
        }
        Some(Value::Array(list)) if (1..=SECRETS_MAX).contains(&list.len()) => list.as_slice(),
        Some(Value::Array(_)) => {
            object.fail("secret", format!("must be a string, or a list of 1 to {SECRETS_MAX} strings"));
            return None;
        }
        Some(one) => std::slice::from_ref(one),
    };
    let is_list = matches!(object.get("secret"), Some(Value::Array(_)));
    let mut secrets = Vec::with_capacity(given.len());
    for (i, value) in given.iter().enumerate() {
        let place = if is_list { format!("secret/{i}") } else { "secret".to_owned() };
        match secret(value, i, check, current) {
            Ok(secret) => secrets.push(secret),
            Err(message) => object.fail(&place, message),
        }
    }
    (secrets.len() == given.len()).then_some((secrets, is_list))
}

fn secret(
    value: &Value,
    index: usize,
    check: Option<&Check>,
    current: Option<&Verifier>,
) -> Result<SecretText, String> {
    let Value::String(given) = value else { return Err("must be a string".to_owned()) };
    let kept = if given == MASK {
        let kept = current.and_then(|verifier| verifier.secrets.get(index));
        let missing = "is masked, but there is no secret to keep: there was no verifier of this kind at this \
                       position; write the secret itself";
        Some(kept.ok_or(missing)?)
    } else {
        None
    };
    // A kept secret is checked, too: it must fit what is said of it now.
    let text = kept.map_or(given.as_str(), SecretText::as_str);
    if text.is_empty() {
        return Err("must not be empty: a verifier without a secret would accept everything".to_owned());
    }
    if text.len() > SECRET_MAX {
        return Err(format!("is longer than {SECRET_MAX} bytes"));
    }
    match check {
        Some(Check::Standard) if SigningSecret::parse(text).is_none_or(|secret| secret.key().is_empty()) => {
            Err("must be whsec_ and base64, as the sender shows it".to_owned())
        }
        Some(Check::Hmac(hmac)) if hmac::key(hmac.key, text).is_none_or(|key| key.is_empty()) => {
            Err(format!("is not {}, which key says it is", hmac.key))
        }
        _ => Ok(SecretText::new(text)),
    }
}

fn token(object: &mut Object<'_, '_>) -> Option<Check> {
    if object.get("in").is_none() {
        object.fail("in", "is required: header, query or basic_password");
        return None;
    }
    let place = object.word("in", TokenPlace::WORDS, TokenPlace::ALL);
    let prefix = object.text("prefix", TEXT_MAX).filter(|prefix| !prefix.is_empty()).map(str::to_owned);
    let name = match place? {
        TokenPlace::Header => Some(header_name(object, "name")?),
        TokenPlace::Query => Some(object.required("name", TEXT_MAX)?.to_owned()),
        // Any user name goes with it.
        TokenPlace::BasicPassword => object.text("name", TEXT_MAX).map(str::to_owned),
    };
    Some(Check::Token { place: place?, name, prefix })
}

fn username(object: &mut Object<'_, '_>) -> Option<String> {
    let name = object.required("username", TEXT_MAX)?;
    if name.contains(':') || name.chars().any(char::is_control) {
        object.fail("username", "contains a colon or a control character, which HTTP Basic cannot send");
        return None;
    }
    Some(name.to_owned())
}

fn hmac_check(object: &mut Object<'_, '_>) -> Option<HmacCheck> {
    let header = header_name(object, "header");
    let algorithm = object.word("algorithm", Algorithm::WORDS, Algorithm::ALL);
    let encoding = object.word("encoding", Encoding::WORDS, Encoding::ALL);
    let key = object.word("key", KeyForm::WORDS, KeyForm::ALL);
    let prefix = object.text("prefix", TEXT_MAX).filter(|prefix| !prefix.is_empty()).map(str::to_owned);
    let text = object.text("content", TEXT_MAX).unwrap_or("{body}");
    let content = Content::parse(text).map_err(|message| object.fail("content", message)).ok();
    let timestamp = match object.get("timestamp") {
        None => Some(None),
        Some(_) => header_name(object, "timestamp").map(Some),
    };
    let tolerance = tolerance(object);
    let (content, timestamp) = (content?, timestamp?);
    match (&timestamp, content.has_timestamp()) {
        (None, true) => {
            object
                .fail("timestamp", "is required, because content has {timestamp}: the header with the time");
            return None;
        }
        (Some(_), false) => {
            let message =
                "must contain {timestamp}, because timestamp names its header: else anybody could change it";
            object.fail("content", message);
            return None;
        }
        _ => {}
    }
    Some(HmacCheck {
        header: header?,
        algorithm: algorithm?,
        encoding: encoding?,
        prefix,
        content,
        key: key?,
        timestamp,
        tolerance: tolerance?,
    })
}

fn tolerance(object: &mut Object<'_, '_>) -> Option<Span> {
    let text = object.text("tolerance", TEXT_MAX).unwrap_or(TOLERANCE_DEFAULT);
    let span = Span::parse(text).filter(|span| (1..=TOLERANCE_MAX_MS).contains(&span.as_millis()));
    if span.is_none() {
        object.fail("tolerance", "must be a length of time up to 24h, such as \"5m\"");
    }
    span
}

fn networks(object: &mut Object<'_, '_>) -> Option<Vec<IpNet>> {
    let list = match object.get("networks") {
        Some(Value::Array(list)) if (1..=NETWORKS_MAX).contains(&list.len()) => list,
        _ => {
            let message =
                format!("must be a list of 1 to {NETWORKS_MAX} networks, such as [\"192.0.2.0/24\"]");
            object.fail("networks", message);
            return None;
        }
    };
    let mut networks = Vec::with_capacity(list.len());
    for (i, value) in list.iter().enumerate() {
        match value.as_str().and_then(network) {
            Some(network) => networks.push(network),
            None => {
                object.fail(&format!("networks/{i}"), "is no network in CIDR notation, such as 192.0.2.0/24")
            }
        }
    }
    (networks.len() == list.len()).then_some(networks)
}

/// A network, or a single address.
fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse().ok().map(|address: IpAddr| IpNet::from(address)))
}

fn header_name(object: &mut Object<'_, '_>, field: &str) -> Option<String> {
    let name = object.required(field, TEXT_MAX)?;
    if !is_header_name(name) {
        object.fail(field, format!("{} is not the name of a header", quoted(name)));
        return None;
    }
    Some(name.to_owned())
}

/// Verifiers with the mask in place of each secret.
pub fn masked(verifiers: &[Verifier]) -> Value {
    write(verifiers, |_| MASK)
}

/// Verifiers with their secrets in clear, for sealing.
pub fn in_clear(verifiers: &[Verifier]) -> Value {
    write(verifiers, SecretText::as_str)
}

fn write<'a>(verifiers: &'a [Verifier], shown: impl Fn(&'a SecretText) -> &'a str) -> Value {
    let one = |verifier: &'a Verifier| {
        let mut fields = fields(&verifier.check);
        let mut secrets: Vec<Value> =
            verifier.secrets.iter().map(|secret| Value::from(shown(secret))).collect();
        let secret = match secrets.len() {
            0 => None,
            1 if !verifier.is_list => secrets.pop(),
            _ => Some(Value::Array(secrets)),
        };
        if let Some(secret) = secret {
            fields.insert("secret".to_owned(), secret);
        }
        fields.insert("kind".to_owned(), Value::from(verifier.kind()));
        Value::Object(fields)
    };
    Value::Array(verifiers.iter().map(one).collect())
}

/// All fields but `kind` and `secret`; those that were not given and have no default are left out.
fn fields(check: &Check) -> Map<String, Value> {
    let fields = match check {
        Check::Token { place, name, prefix } => {
            json!({ "in": place.as_str(), "name": name, "prefix": prefix })
        }
        Check::Basic { username } => json!({ "username": username }),
        Check::Hmac(hmac) => json!({
            "header": hmac.header,
            "algorithm": hmac.algorithm.as_str(),
            "encoding": hmac.encoding.as_str(),
            "prefix": hmac.prefix,
            "content": hmac.content.text,
            "key": hmac.key.as_str(),
            "timestamp": hmac.timestamp,
            "tolerance": hmac.timestamp.as_ref().map(|_| hmac.tolerance.to_string()),
        }),
        Check::Standard | Check::Stripe | Check::Slack => json!({}),
        Check::Address { networks } => {
            json!({ "networks": networks.iter().map(ToString::to_string).collect::<Vec<_>>() })
        }
    };
    match fields {
        Value::Object(fields) => fields.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        _ => Map::new(),
    }
}
