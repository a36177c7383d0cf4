//! What a client wants an endpoint to be, checked field by field.
//!
//! A surface fills an [`EndpointInput`] with plain values; [`EndpointInput::check`] reports everything
//! that is wrong with them at once, or gives a [`Checked`] that the endpoint service takes. Secret
//! header values stay in clear here and are sealed by the service, which knows the endpoint's id.

use crate::domain::attempts::retry::Schedule;
use crate::domain::endpoint::{
    self, DESCRIPTION_MAX_CHARS, EndpointStatus, HEADERS_MAX, MASK, NAME_MAX_CHARS, RATE_LIMIT_MAX,
    TIMEOUT_MAX_MS,
};
use crate::domain::network::NetworkPolicy;
use crate::domain::pattern::PATTERNS_MAX;
use crate::domain::values::invalid::{Complaints, escape_pointer, quoted};
use crate::domain::{EventPattern, FieldError, Span};

/// A header as a client writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderInput {
    Plain(String),
    /// The mask stands for the value there is.
    Secret(String),
}

/// The fields that a client gave; `None` for those it did not, `Some(None)` for `null`.
#[derive(Debug, Clone, Default)]
pub struct EndpointInput {
    pub url: Option<String>,
    pub name: Option<Option<String>>,
    pub description: Option<Option<String>>,
    pub events: Option<Vec<String>>,
    pub headers: Option<Vec<(String, HeaderInput)>>,
    pub encrypted: Option<bool>,
    pub retry_schedule: Option<Option<Vec<String>>>,
    pub timeout: Option<Option<String>>,
    pub rate_limit: Option<Option<i64>>,
    pub status: Option<String>,
}

/// The same, well-formed.
#[derive(Debug, Clone, Default)]
pub struct Checked {
    pub url: Option<String>,
    pub name: Option<Option<String>>,
    pub description: Option<Option<String>>,
    pub events: Option<Vec<EventPattern>>,
    pub headers: Option<Vec<(String, HeaderInput)>>,
    pub encrypted: Option<bool>,
    pub retry_schedule: Option<Option<Schedule>>,
    pub timeout: Option<Option<Span>>,
    pub rate_limit: Option<Option<u32>>,
    pub status: Option<EndpointStatus>,
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

impl EndpointInput {
    /// Checks all fields, and adds what is wrong to `errors`.
    pub fn check(self, rules: &InputRules, errors: &mut Complaints) -> Checked {
        let mut fail = |pointer: String, message: String| errors.push(FieldError { pointer, message });
        Checked {
            url: self.url.filter(|url| match check_url(url, &rules.policy) {
                Ok(()) => true,
                Err(message) => {
                    fail("/url".into(), message);
                    false
                }
            }),
            name: self.name.inspect(|name| check_length("/name", name, NAME_MAX_CHARS, &mut fail)),
            description: self
                .description
                .inspect(|text| check_length("/description", text, DESCRIPTION_MAX_CHARS, &mut fail)),
            events: self.events.map(|events| check_events(events, &mut fail)),
            headers: self.headers.inspect(|headers| check_headers(headers, rules, &mut fail)),
            encrypted: self.encrypted,
            retry_schedule: self.retry_schedule.map(|s| s.and_then(|waits| check_schedule(waits, &mut fail))),
            timeout: self.timeout.map(|t| t.and_then(|text| check_timeout(&text, &mut fail))),
            rate_limit: self.rate_limit.map(|r| r.and_then(|n| check_rate(n, &mut fail))),
            status: self.status.and_then(|text| check_status(&text, &mut fail)),
        }
    }
}

type Fail<'a> = &'a mut dyn FnMut(String, String);

fn check_url(text: &str, policy: &NetworkPolicy) -> Result<(), String> {
    let url = endpoint::parse_url(text)?;
    policy.check_url_literal(&url).map_err(|blocked| blocked.to_string())
}

fn check_length(pointer: &str, text: &Option<String>, max: usize, fail: Fail<'_>) {
    let Some(text) = text else { return };
    if text.chars().count() > max {
        fail(pointer.into(), format!("is longer than {max} characters"));
    } else if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
        fail(pointer.into(), "contains a control character".into());
    }
}

fn check_events(events: Vec<String>, fail: Fail<'_>) -> Vec<EventPattern> {
    if events.is_empty() || events.len() > PATTERNS_MAX {
        fail(
            "/events".into(),
            format!("must have 1 to {PATTERNS_MAX} patterns, such as [\"license.*\"] or [\"*\"]"),
        );
        return Vec::new();
    }
    let mut patterns = Vec::with_capacity(events.len());
    for (i, text) in events.iter().enumerate() {
        match EventPattern::parse(text) {
            Ok(pattern) if !patterns.contains(&pattern) => patterns.push(pattern),
            Ok(_) => {}
            Err(message) => fail(format!("/events/{i}"), message),
        }
    }
    patterns
}

fn check_headers(headers: &[(String, HeaderInput)], rules: &InputRules, fail: Fail<'_>) {
    if headers.len() > HEADERS_MAX {
        fail("/headers".into(), format!("has {} entries; at most {HEADERS_MAX} are possible", headers.len()));
        return;
    }
    for (i, (name, value)) in headers.iter().enumerate() {
        let pointer = format!("/headers/{}", escape_pointer(name));
        if let Err(message) = endpoint::check_header_name(name, &rules.signing_headers) {
            fail(pointer.clone(), message);
        } else if headers[..i].iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
            fail(
                pointer.clone(),
                format!("the header {name} is there twice; names are compared without regard to case"),
            );
        }
        let (HeaderInput::Plain(value) | HeaderInput::Secret(value)) = value;
        if let Err(message) = endpoint::check_header_value(value) {
            fail(pointer, message);
        }
    }
    let values =
        headers.iter().map(|(_, HeaderInput::Plain(value) | HeaderInput::Secret(value))| value.len());
    if let Err(message) = endpoint::check_header_values(values.sum()) {
        fail("/headers".into(), message);
    }
}

fn check_schedule(waits: Vec<String>, fail: Fail<'_>) -> Option<Schedule> {
    if let Err(message) = Schedule::check_length(waits.len()) {
        fail("/retry_schedule".into(), message);
        return None;
    }
    let mut spans = Vec::with_capacity(waits.len());
    for (i, text) in waits.iter().enumerate() {
        match Span::parse(text) {
            Some(span) => spans.push(span),
            None => fail(format!("/retry_schedule/{i}"), not_a_span(text)),
        }
    }
    Schedule::new(spans).map_err(|message| fail("/retry_schedule".into(), message)).ok()
}

fn check_timeout(text: &str, fail: Fail<'_>) -> Option<Span> {
    let Some(span) = Span::parse(text) else {
        fail("/timeout".into(), not_a_span(text));
        return None;
    };
    if span.is_zero() || span.as_millis() > TIMEOUT_MAX_MS {
        fail("/timeout".into(), "must be more than nothing and at most 30s".into());
        return None;
    }
    Some(span)
}

fn check_rate(n: i64, fail: Fail<'_>) -> Option<u32> {
    let rate = u32::try_from(n).ok().filter(|n| (1..=RATE_LIMIT_MAX).contains(n));
    if rate.is_none() {
        fail(
            "/rate_limit".into(),
            format!("must be a whole number from 1 to {RATE_LIMIT_MAX} (requests a second), or null"),
        );
    }
    rate
}

fn check_status(text: &str, fail: Fail<'_>) -> Option<EndpointStatus> {
    let status = EndpointStatus::parse(text);
    if status.is_none() {
        fail("/status".into(), format!("{} is not a status; use active, paused or disabled", quoted(text)));
    }
    status
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
