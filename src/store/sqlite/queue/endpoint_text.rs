//! The lists in an endpoint's row, as text: patterns and waits separated by spaces, headers and retired
//! secrets as JSON. Sealed values are base64 in it; nothing here can open them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::domain::attempts::retry::Schedule;
use crate::domain::endpoint::{EndpointHeader, HeaderValue, RetiredSecret};
use crate::domain::{EventPattern, Sealed, Span, Timestamp};
use crate::store::sqlite::engine::error::fault;
use crate::store::sqlite::engine::rows::read_span;

pub(crate) fn write_patterns(patterns: &[EventPattern]) -> String {
    patterns.iter().map(EventPattern::to_string).collect::<Vec<_>>().join(" ")
}

/// Reads waits separated by spaces.
pub(crate) fn read_schedule(text: &str) -> rusqlite::Result<Schedule> {
    let waits = text.split_ascii_whitespace().map(read_span).collect::<rusqlite::Result<_>>()?;
    Schedule::new(waits).map_err(|e| fault(format!("a stored schedule {e}")))
}

pub(crate) fn write_schedule(schedule: &Schedule) -> String {
    schedule.waits().iter().map(Span::to_string).collect::<Vec<_>>().join(" ")
}

#[derive(Serialize, Deserialize)]
struct StoredHeader {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed: Option<String>,
}

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

pub(crate) fn read_headers(text: &str) -> rusqlite::Result<Vec<EndpointHeader>> {
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

#[derive(Serialize, Deserialize)]
struct StoredSecret {
    sealed: String,
    valid_until: i64,
}

pub(crate) fn write_retired(secrets: &[RetiredSecret]) -> String {
    let stored = secrets.iter().map(|retired| StoredSecret {
        sealed: STANDARD.encode(&retired.secret.0),
        valid_until: retired.valid_until.as_millis(),
    });
    json(&stored.collect::<Vec<_>>())
}

pub(crate) fn read_retired(text: &str) -> rusqlite::Result<Vec<RetiredSecret>> {
    let stored: Vec<StoredSecret> = parse(text)?;
    let read = |k: StoredSecret| {
        let valid_until = Timestamp::from_millis(k.valid_until);
        Ok(RetiredSecret { secret: unseal_text(&k.sealed)?, valid_until })
    };
    stored.into_iter().map(read).collect()
}

fn unseal_text(text: &str) -> rusqlite::Result<Sealed> {
    STANDARD.decode(text).map(Sealed).map_err(|_| fault("a stored sealed value is damaged"))
}

fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("plain structs of strings and numbers are always JSON")
}

fn parse<T: for<'a> Deserialize<'a>>(text: &str) -> rusqlite::Result<T> {
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
        assert!(read_schedule("soon").is_err());
        assert!(read_headers(r#"[{"name":"a"}]"#).is_err());
        assert!(read_retired(r#"[{"sealed":"%","valid_until":1}]"#).is_err());
    }
}
