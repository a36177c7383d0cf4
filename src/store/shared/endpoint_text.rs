//! The lists in an endpoint's row, as text: patterns and waits separated by spaces, headers and retired
//! secrets as JSON. Sealed values are base64 in it; nothing here can open them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::domain::attempts::retry::Schedule;
use crate::domain::endpoint::{EndpointHeader, EndpointSecret, HeaderValue, RetiredSecret};
use crate::domain::values::preset_mark::PresetMark;
use crate::domain::values::rate::Rate;
use crate::domain::{EventPattern, Sealed, Span, Timestamp};
use crate::store::shared::fault::Fault;

fn fault(what: impl Into<String>) -> Fault {
    Fault(what.into())
}

/// The reverse of [`read_patterns`].
pub(crate) fn write_patterns(patterns: &[EventPattern]) -> String {
    patterns.iter().map(EventPattern::to_string).collect::<Vec<_>>().join(" ")
}

/// The reverse of [`read_span`].
pub(crate) fn write_span(span: &Span) -> String {
    span.to_string()
}

/// Reads patterns separated by spaces.
pub(crate) fn read_patterns(text: &str) -> Result<Vec<EventPattern>, Fault> {
    text.split_ascii_whitespace()
        .map(|pattern| EventPattern::parse(pattern).map_err(|e| fault(format!("a kept pattern {e}"))))
        .collect()
}

/// Reads a span of time such as `30s`.
pub(crate) fn read_span(text: &str) -> Result<Span, Fault> {
    Span::parse(text).ok_or_else(|| fault(format!("{text:?} in the database is no span of time")))
}

/// Reads waits separated by spaces.
pub(crate) fn read_schedule(text: &str) -> Result<Schedule, Fault> {
    let waits = text.split_ascii_whitespace().map(read_span).collect::<Result<_, Fault>>()?;
    Schedule::new(waits).map_err(|e| fault(format!("a stored schedule {e}")))
}

/// The reverse of [`read_schedule`].
pub(crate) fn write_schedule(schedule: &Schedule) -> String {
    schedule.waits().iter().map(Span::to_string).collect::<Vec<_>>().join(" ")
}

/// Reads a rate from the columns `rate_limit` (requests a second) and `rate_text` (any other).
pub(crate) fn read_rate(number: Option<u32>, text: Option<String>) -> Result<Option<Rate>, Fault> {
    match text {
        None => Ok(number.map(Rate::per_second)),
        Some(text) => match Rate::parse(&text) {
            Some(rate) => Ok(Some(rate)),
            None => Err(fault("a stored rate is damaged")),
        },
    }
}

/// What stands in the two columns of a rate.
pub(crate) fn write_rate(rate: Option<Rate>) -> (Option<u32>, Option<String>) {
    let number = rate.and_then(Rate::number);
    (number, rate.filter(|_| number.is_none()).map(|rate| rate.to_string()))
}

#[derive(Serialize, Deserialize)]
struct StoredHeader {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed: Option<String>,
}

/// An endpoint's own headers.
pub(crate) fn write_headers(headers: &[EndpointHeader]) -> String {
    let stored = headers.iter().map(|header| {
        let name = header.name.clone();
        match &header.value {
            HeaderValue::Plain(value) => StoredHeader { name, value: Some(value.clone()), sealed: None },
            HeaderValue::Secret(sealed) => {
                StoredHeader { name, value: None, sealed: Some(STANDARD.encode(&sealed.0)) }
            }
        }
    });
    json(&stored.collect::<Vec<_>>())
}

/// The reverse of [`write_headers`].
pub(crate) fn read_headers(text: &str) -> Result<Vec<EndpointHeader>, Fault> {
    let stored: Vec<StoredHeader> = parse(text)?;
    let read = |header: StoredHeader| {
        let value = match (header.value, header.sealed) {
            (Some(value), _) => HeaderValue::Plain(value),
            (None, Some(sealed)) => HeaderValue::Secret(unseal_text(&sealed)?),
            (None, None) => return Err(fault("a stored header has no value")),
        };
        Ok(EndpointHeader { name: header.name, value })
    };
    stored.into_iter().map(read).collect()
}

/// Reads the values for templates; `None` is NULL: there are none.
pub(crate) fn read_secrets(text: Option<&str>) -> Result<Vec<EndpointSecret>, Fault> {
    let Some(text) = text else { return Ok(Vec::new()) };
    let stored: Vec<(String, String)> = parse(text)?;
    let read = |(name, sealed): (String, String)| Ok(EndpointSecret { name, sealed: unseal_text(&sealed)? });
    stored.into_iter().map(read).collect()
}

/// The reverse of [`read_secrets`].
pub(crate) fn write_secrets(secrets: &[EndpointSecret]) -> Option<String> {
    if secrets.is_empty() {
        return None;
    }
    let stored = secrets.iter().map(|secret| (&secret.name, STANDARD.encode(&secret.sealed.0)));
    Some(json(&stored.collect::<Vec<_>>()))
}

/// Reads the recipe that an endpoint was made with.
pub(crate) fn read_mark(text: Option<&str>) -> Result<Option<PresetMark>, Fault> {
    text.map(parse).transpose()
}

/// The reverse of [`read_mark`].
pub(crate) fn write_mark(mark: Option<&PresetMark>) -> Option<String> {
    mark.map(json)
}

#[derive(Serialize, Deserialize)]
struct StoredSecret {
    sealed: String,
    valid_until: i64,
}

/// Secrets that still sign.
pub(crate) fn write_retired(secrets: &[RetiredSecret]) -> String {
    let stored = secrets.iter().map(|retired| StoredSecret {
        sealed: STANDARD.encode(&retired.secret.0),
        valid_until: retired.valid_until.as_millis(),
    });
    json(&stored.collect::<Vec<_>>())
}

/// The reverse of [`write_retired`].
pub(crate) fn read_retired(text: &str) -> Result<Vec<RetiredSecret>, Fault> {
    let stored: Vec<StoredSecret> = parse(text)?;
    let read = |k: StoredSecret| {
        let valid_until = Timestamp::from_millis(k.valid_until);
        Ok(RetiredSecret { secret: unseal_text(&k.sealed)?, valid_until })
    };
    stored.into_iter().map(read).collect()
}

fn unseal_text(text: &str) -> Result<Sealed, Fault> {
    STANDARD.decode(text).map(Sealed).map_err(|_| fault("a stored sealed value is damaged"))
}

fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("plain structs of strings and numbers are always JSON")
}

fn parse<T: for<'a> Deserialize<'a>>(text: &str) -> Result<T, Fault> {
    serde_json::from_str(text).map_err(|_| fault("an endpoint's stored lists are damaged"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_retries_are_not_the_default_schedule() {
        let none = Schedule::new(vec![]).unwrap();
        assert_eq!(write_schedule(&none), "");
        assert_eq!(read_schedule("").unwrap(), none);
        assert_eq!(write_schedule(&read_schedule("90s 0 2m").unwrap()), "90s 0 2m");
    }

    #[test]
    fn what_does_not_read_is_an_error() {
        assert!(read_patterns("a..b").is_err());
        assert!(read_span("soon").is_err());
        assert!(read_schedule("soon").is_err());
        assert!(read_headers(r#"[{"name":"a"}]"#).is_err());
        assert!(read_retired(r#"[{"sealed":"%","valid_until":1}]"#).is_err());
    }
}
