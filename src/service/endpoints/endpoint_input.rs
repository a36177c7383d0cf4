//! What a client wants an endpoint to be: read from JSON and checked, field by field.
//!
//! [`read`] takes the JSON text of each field, wherever a surface has it from, notes everything that is wrong
//! at once, and gives a [`Checked`] that the endpoint service takes. Secret header values stay in clear in it
//! and are sealed by the service, which knows the endpoint's id.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde_json::Value;

use crate::domain::alert;
use crate::domain::attempts::retry::Schedule;
use crate::domain::delivery_filter;
use crate::domain::endpoint::{
    self, DESCRIPTION_MAX_CHARS, EndpointPatch, EndpointStatus, HEADERS_MAX, MASK, NAME_MAX_CHARS,
    RATE_LIMIT_MAX, TIMEOUT_MAX_MS, URL_MAX,
};
use crate::domain::gallery::choice::{self, Choice};
use crate::domain::gallery::{Preset, Side};
use crate::domain::network::NetworkPolicy;
use crate::domain::pattern::PATTERNS_MAX;
use crate::domain::shaping::{self, REQUEST_MAX};
use crate::domain::values::change::Change;
use crate::domain::values::invalid::{Complaints, escape_pointer, quoted};
use crate::domain::values::rate::Rate;
use crate::domain::{EventPattern, FieldError, Invalid, Span};

/// A header as a client writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderInput {
    Plain(String),
    /// The mask stands for the value there is.
    Secret(String),
}

/// What was read, well-formed.
#[derive(Debug, Clone, Default)]
pub struct Checked {
    /// Everything but headers and secrets.
    pub patch: EndpointPatch,
    /// The headers, with secret values in clear.
    pub headers: Option<Vec<(String, HeaderInput)>>,
    /// The JSON text of `secrets`, with the values in clear.
    pub secrets: Option<String>,
    pub preset: PresetInput,
}

/// What `preset` may be in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presets {
    /// A recipe with its inputs, which is expanded.
    Expand,
    /// The same; without inputs it is the recipe that the endpoint has, written back.
    ExpandOrKeep,
    /// What the endpoint has, written back: a partial change cannot tell what is to stay.
    Keep,
}

impl Presets {
    /// Whether a recipe gives the attributes that are missing; `text` is the JSON text of `preset`.
    pub fn expands(self, text: Option<&str>) -> bool {
        let value: Option<Value> = text.and_then(|text| serde_json::from_str(text).ok());
        value.is_some_and(|value| match self {
            Presets::Expand => !value.is_null(),
            Presets::ExpandOrKeep => !value.is_null() && !choice::is_mark(&value),
            Presets::Keep => false,
        })
    }
}

/// Why a partial change does not take a recipe.
pub const PRESET_STAYS: &str = "cannot be changed; replace the webhook with PUT to use another preset";

/// What a client says of the recipe.
#[derive(Debug, Clone, Default)]
pub enum PresetInput {
    #[default]
    None,
    /// `null`: no recipe.
    Null,
    /// The name of the recipe that the endpoint has.
    Kept(String),
    Chosen(ChosenPreset),
}

/// A recipe, and the attributes that it has set: those that were not given.
#[derive(Debug, Clone)]
pub struct ChosenPreset {
    pub preset: &'static Preset,
    set: Vec<String>,
}

impl PresetInput {
    /// An error at its place in the body: what a recipe has set was not written there, but its inputs were.
    pub fn placed(&self, mut error: FieldError) -> FieldError {
        if let PresetInput::Chosen(ChosenPreset { preset, set }) = self {
            let first = error.pointer.split('/').nth(1).unwrap_or_default();
            if set.iter().any(|name| name == first) {
                error.pointer = preset.pointer_of(&error.pointer).unwrap_or(error.pointer);
            }
        }
        error
    }
}

/// What the rules need to know of the configuration.
#[derive(Debug, Clone)]
pub struct InputRules {
    pub policy: NetworkPolicy,
    /// The configured names of the plain HMAC headers.
    pub signing_headers: Vec<String>,
    /// The most endpoints of an app.
    pub endpoints_per_app: u32,
}

/// Reads all fields and adds what is wrong to `errors`. `field` gives the JSON text of a field that is there.
pub fn read<'a>(
    given: impl Fn(&str) -> Option<&'a str>,
    presets: Presets,
    rules: &InputRules,
    errors: &mut Complaints,
) -> Checked {
    let (preset, attributes) = read_preset(&given, presets).unwrap_or_else(|Invalid(wrong)| {
        errors.extend(wrong);
        Default::default()
    });
    let field = |name: &str| given(name).or_else(|| attributes.get(name).map(String::as_str));
    let mut found = Complaints::default();
    let checked = read_fields(field, rules, &mut found);
    errors.extend(found.into_vec().into_iter().map(|error| preset.placed(error)));
    Checked { preset, ..checked }
}

/// The recipe, and the JSON texts of the attributes that it sets.
fn read_preset<'a>(
    given: &impl Fn(&str) -> Option<&'a str>,
    presets: Presets,
) -> Result<(PresetInput, HashMap<String, String>), Invalid> {
    let Some(text) = given("preset") else { return Ok(Default::default()) };
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    if value.is_null() {
        return Ok((PresetInput::Null, HashMap::new()));
    }
    if !presets.expands(Some(text)) {
        // Nothing but what was read is sure to be meant as no change.
        let is_read = choice::is_mark(&value) && value.get("version").is_some();
        if presets == Presets::Keep && !is_read {
            return Err(Invalid::one("/preset", PRESET_STAYS));
        }
        let name = value["name"].as_str().unwrap_or_default();
        return Ok((PresetInput::Kept(name.to_owned()), HashMap::new()));
    }
    let Choice { preset, attributes } = choice::read(Side::Destination, &value)?;
    let set = attributes.keys().filter(|name| given(name).is_none()).cloned().collect();
    let texts = attributes.iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
    Ok((PresetInput::Chosen(ChosenPreset { preset, set }), texts))
}

fn read_fields<'a>(
    field: impl Fn(&str) -> Option<&'a str>,
    rules: &InputRules,
    errors: &mut Complaints,
) -> Checked {
    let mut input = Input { field: &field, errors };
    let patch = EndpointPatch {
        replace: false,
        url: input.value("url", "a string", |url: String| check_url(url, &rules.policy)),
        name: input.nullable("name", "a string", |name| check_text(name, NAME_MAX_CHARS)).or_default(),
        description: input.nullable("description", "a string", |t| check_text(t, DESCRIPTION_MAX_CHARS)),
        events: input.events(),
        filter: input.nullable("filter", "a string", |text: String| delivery_filter::check(&text)),
        headers: None,
        request: input.request(),
        secrets: None,
        encrypted: input.value("encrypted", "true or false", Ok),
        retry_schedule: input.schedule(),
        timeout: input.nullable("timeout", "a length of time, such as \"10s\"", check_timeout),
        rate_limit: input.nullable("rate_limit", "a whole number or a string", check_rate),
        contact: input.nullable("contact", "an e-mail address or a URL", |text: String| {
            check_contact(text, &rules.policy)
        }),
        preset: Change::Keep,
        status: input.value("status", "a string", check_status),
    };
    let headers = input.headers(rules);
    Checked { patch, headers, secrets: field("secrets").map(str::to_owned), preset: PresetInput::None }
}

/// Reads a JSON object, for callers that have no request.
pub fn read_object(object: &Value, rules: &InputRules) -> Result<Checked, Invalid> {
    let fields: Vec<(&String, String)> =
        object.as_object().into_iter().flatten().map(|(name, value)| (name, value.to_string())).collect();
    let text = |name: &str| fields.iter().find(|(known, _)| *known == name).map(|(_, text)| text.as_str());
    let mut errors = Complaints::default();
    let checked = read(text, Presets::Expand, rules, &mut errors);
    if errors.is_empty() { Ok(checked) } else { Err(Invalid(errors.into_vec())) }
}

/// The fields of one endpoint, and what is wrong with them.
struct Input<'f, 'e, F> {
    field: &'f F,
    errors: &'e mut Complaints,
}

impl<'a, F: Fn(&str) -> Option<&'a str>> Input<'_, '_, F> {
    fn fail(&mut self, pointer: impl Into<String>, message: impl Into<String>) {
        self.errors.push(FieldError::new(pointer, message));
    }

    /// A field as a `T`; `expected` is the end of "must be …".
    fn json<T: DeserializeOwned>(&mut self, name: &str, expected: &str) -> Option<T> {
        let text = (self.field)(name)?;
        let value = serde_json::from_str(text).ok();
        if value.is_none() {
            self.fail(format!("/{name}"), format!("must be {expected}"));
        }
        value
    }

    /// A field that always has a value.
    fn value<T: DeserializeOwned, U>(
        &mut self,
        name: &str,
        expected: &str,
        check: impl FnOnce(T) -> Result<U, String>,
    ) -> Option<U> {
        let value = self.json(name, expected)?;
        check(value).map_err(|message| self.fail(format!("/{name}"), message)).ok()
    }

    /// A field that may be `null`.
    fn nullable<T: DeserializeOwned, U>(
        &mut self,
        name: &str,
        expected: &str,
        check: impl FnOnce(T) -> Result<U, String>,
    ) -> Change<U> {
        let change = Change::from(self.json::<Option<T>>(name, &format!("{expected}, or null")));
        change.and_then(|value| check(value).map_err(|message| self.fail(format!("/{name}"), message)).ok())
    }

    fn events(&mut self) -> Option<Vec<EventPattern>> {
        let events: Vec<String> = self.json("events", "a list of strings, such as [\"license.*\"]")?;
        if events.is_empty() || events.len() > PATTERNS_MAX {
            let expected =
                format!("must have 1 to {PATTERNS_MAX} patterns, such as [\"license.*\"] or [\"*\"]");
            self.fail("/events", expected);
            return None;
        }
        let (mut patterns, mut seen) = (Vec::with_capacity(events.len()), HashSet::new());
        for (i, text) in events.iter().enumerate() {
            match EventPattern::parse(text) {
                Ok(pattern) => {
                    if seen.insert(pattern.clone()) {
                        patterns.push(pattern);
                    }
                }
                Err(message) => self.fail(format!("/events/{i}"), message),
            }
        }
        Some(patterns)
    }

    fn schedule(&mut self) -> Change<Schedule> {
        let expected = "a list of lengths of time, such as [\"2m\",\"8m\"], or null";
        let waits = Change::from(self.json::<Option<Vec<String>>>("retry_schedule", expected));
        waits.and_then(|waits| {
            if let Err(message) = Schedule::check_length(waits.len()) {
                self.fail("/retry_schedule", message);
                return None;
            }
            let mut spans = Vec::with_capacity(waits.len());
            for (i, text) in waits.iter().enumerate() {
                match Span::parse(text) {
                    Some(span) => spans.push(span),
                    None => self.fail(format!("/retry_schedule/{i}"), not_a_span(text)),
                }
            }
            Schedule::new(spans).map_err(|message| self.fail("/retry_schedule", message)).ok()
        })
    }

    /// The JSON text as it is; what is in it is checked together with the URL and the secrets.
    fn request(&mut self) -> Change<String> {
        match (self.field)("request") {
            None => Change::Keep,
            Some("null") => Change::Clear,
            Some(text) if text.len() > REQUEST_MAX => {
                self.fail("/request", format!("is longer than {} KiB", REQUEST_MAX / 1024));
                Change::Keep
            }
            Some(text) => Change::Set(text.to_owned()),
        }
    }

    fn headers(&mut self, rules: &InputRules) -> Option<Vec<(String, HeaderInput)>> {
        let given: Option<Pairs<Value>> = self.json("headers", "an object, or null")?;
        let given = given.map(|pairs| pairs.0).unwrap_or_default();
        if given.len() > HEADERS_MAX {
            let message = format!("has {} entries; at most {HEADERS_MAX} are possible", given.len());
            self.fail("/headers", message);
            return None;
        }
        let (mut headers, mut seen) = (Vec::with_capacity(given.len()), HashSet::new());
        let mut bytes = 0;
        for (name, value) in given {
            let pointer = format!("/headers/{}", escape_pointer(&name));
            if let Err(message) = endpoint::check_header_name(&name, &rules.signing_headers) {
                self.fail(pointer.clone(), message);
            } else if !seen.insert(name.to_ascii_lowercase()) {
                let message =
                    format!("the header {name} is there twice; names are compared without regard to case");
                self.fail(pointer.clone(), message);
            }
            match check_header_value(value) {
                Ok(value) => {
                    let (HeaderInput::Plain(text) | HeaderInput::Secret(text)) = &value;
                    bytes += text.len();
                    headers.push((name, value));
                }
                Err(message) => self.fail(pointer, message),
            }
        }
        if let Err(message) = endpoint::check_header_values(bytes) {
            self.fail("/headers", message);
        }
        Some(headers)
    }
}

/// The entries of a JSON object in their order, repeated ones included.
struct Pairs<T>(Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Pairs<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Pairs<T>, D::Error> {
        struct Entries<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Pairs<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Pairs<T>, M::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Pairs(entries))
            }
        }
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

/// A header in a body: a plain string, or an object.
#[derive(Deserialize)]
#[serde(untagged)]
enum HeaderShape {
    Plain(String),
    Object(HeaderObject),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderObject {
    value: String,
    #[serde(default)]
    secret: bool,
}

fn check_header_value(value: Value) -> Result<HeaderInput, String> {
    let header = match serde_json::from_value(value) {
        Ok(HeaderShape::Plain(text)) => HeaderInput::Plain(text),
        Ok(HeaderShape::Object(HeaderObject { value, secret: true })) => HeaderInput::Secret(value),
        Ok(HeaderShape::Object(HeaderObject { value, secret: false })) => HeaderInput::Plain(value),
        Err(_) => {
            return Err("must be a string, or an object like {\"value\":\"…\",\"secret\":true}".to_owned());
        }
    };
    if header == HeaderInput::Plain(MASK.to_owned()) {
        let keep = format!("{{\"value\":\"{MASK}\",\"secret\":true}}");
        return Err(format!("is the mask of a secret value: write {keep} to keep the value, or a new one"));
    }
    let (HeaderInput::Plain(text) | HeaderInput::Secret(text)) = &header;
    endpoint::check_header_value(text)?;
    Ok(header)
}

fn check_url(text: String, policy: &NetworkPolicy) -> Result<String, String> {
    if text.chars().count() > URL_MAX {
        return Err(format!("is longer than {URL_MAX} characters"));
    }
    // A template is checked together with the request; where it may lead is fixed.
    let is_template = text.contains("{{") || text.contains("{%");
    let url = endpoint::parse_url(if is_template { shaping::origin_of(&text) } else { &text })?;
    policy.check_url_literal(&url).map_err(|blocked| blocked.to_string())?;
    Ok(text)
}

/// A URL has a scheme, and no e-mail address has `://` in it.
fn check_contact(text: String, policy: &NetworkPolicy) -> Result<String, String> {
    if text.contains("://") {
        return check_url(text, policy);
    }
    alert::check_address(&text).map_err(|message| format!("{message}, and no http or https URL"))?;
    Ok(text)
}

fn check_text(text: String, max: usize) -> Result<String, String> {
    if text.chars().count() > max {
        return Err(format!("is longer than {max} characters"));
    }
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
        return Err("contains a control character".to_owned());
    }
    Ok(text)
}

fn check_timeout(text: String) -> Result<Span, String> {
    let span = Span::parse(&text).ok_or_else(|| not_a_span(&text))?;
    if span.is_zero() || span.as_millis() > TIMEOUT_MAX_MS {
        return Err("must be more than nothing and at most 30s".to_owned());
    }
    Ok(span)
}

fn check_rate(value: Value) -> Result<Rate, String> {
    let rate = match &value {
        Value::String(text) => Rate::parse(text),
        number => {
            number.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0).map(Rate::per_second)
        }
    };
    rate.filter(|rate| !rate.is_over(RATE_LIMIT_MAX)).ok_or_else(|| {
        format!(
            "must be a whole number from 1 to {RATE_LIMIT_MAX} (requests a second), a number and /s, /m or /h, such \
             as \"30/m\" or \"1000/h\", of at most as many, or null"
        )
    })
}

fn check_status(text: String) -> Result<EndpointStatus, String> {
    EndpointStatus::parse(&text)
        .ok_or_else(|| format!("{} is not a status; use active, paused or disabled", quoted(&text)))
}

/// What is wrong with a text that should be a length of time.
pub fn not_a_span(text: &str) -> String {
    format!(
        "{} is not a length of time; write a whole number and ms, s, m, h or d, such as 30s or 2m",
        quoted(text)
    )
}

/// Whether a header's value is the mask, which keeps what there is.
pub fn keeps_value(value: &HeaderInput) -> bool {
    matches!(value, HeaderInput::Secret(text) if text == MASK)
}
