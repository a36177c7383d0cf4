//! The lists in an endpoint's row, as text: patterns and waits separated by spaces, headers and retired
//! secrets as JSON. Sealed values are base64 in it; nothing here can open them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rusqlite::types::{FromSql as _, Null, ToSql as _, ToSqlOutput, ValueRef};
use serde::{Deserialize, Serialize};

use crate::domain::attempts::retry::Schedule;
use crate::domain::endpoint::{EndpointHeader, EndpointSecret, HeaderValue, RetiredSecret};
use crate::domain::values::preset_mark::PresetMark;
use crate::domain::values::rate::Rate;
use crate::domain::{EndpointStatus, EventPattern, Sealed, Span, Timestamp};
use crate::store::sqlite::engine::error::fault;
use crate::store::sqlite::engine::rows::{read_patterns, read_span};

fn write_patterns(patterns: &[EventPattern]) -> String {
    patterns.iter().map(EventPattern::to_string).collect::<Vec<_>>().join(" ")
}

fn write_span(span: &Span) -> String {
    span.to_string()
}

/// Reads waits separated by spaces.
pub(crate) fn read_schedule(text: &str) -> rusqlite::Result<Schedule> {
    let waits = text.split_ascii_whitespace().map(read_span).collect::<rusqlite::Result<_>>()?;
    Schedule::new(waits).map_err(|e| fault(format!("a stored schedule {e}")))
}

fn write_schedule(schedule: &Schedule) -> String {
    schedule.waits().iter().map(Span::to_string).collect::<Vec<_>>().join(" ")
}

/// Reads a rate from the columns `rate_limit` (requests a second) and `rate_text` (any other).
pub(crate) fn read_rate(number: Option<u32>, text: Option<String>) -> rusqlite::Result<Option<Rate>> {
    match text {
        None => Ok(number.map(Rate::per_second)),
        Some(text) => match Rate::parse(&text) {
            Some(rate) => Ok(Some(rate)),
            None => Err(fault("a stored rate is damaged")),
        },
    }
}

/// What stands in the two columns of a rate.
pub(crate) fn write_rate(rate: Option<Rate>) -> [ToSqlOutput<'static>; 2] {
    let number = rate.and_then(Rate::number);
    let text = rate.filter(|_| number.is_none()).map(|rate| rate.to_string());
    [number.map_or(Null.into(), ToSqlOutput::from), text.map_or(Null.into(), ToSqlOutput::from)]
}

/// A value that stands in one column of an endpoint's row.
pub(crate) trait Column: Sized {
    /// Reads it, strictly.
    fn read(value: ValueRef<'_>) -> rusqlite::Result<Self>;
    /// What stands in the column.
    fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>>;
}

macro_rules! plain_columns {
    ($($type:ty),*) => {$(
        impl Column for $type {
            fn read(value: ValueRef<'_>) -> rusqlite::Result<$type> {
                Ok(<$type>::column_result(value)?)
            }
            fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                self.to_sql()
            }
        }
    )*};
}
plain_columns!(bool, u32, String, Option<String>, EndpointStatus, Sealed, Timestamp);

macro_rules! text_columns {
    ($($type:ty: $read:ident, $write:ident;)*) => {$(
        impl Column for $type {
            fn read(value: ValueRef<'_>) -> rusqlite::Result<$type> {
                $read(value.as_str()?)
            }
            fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok($write(self).into())
            }
        }
    )*};
}
text_columns! {
    Vec<EventPattern>: read_patterns, write_patterns;
    Vec<EndpointHeader>: read_headers, write_headers;
    Vec<RetiredSecret>: read_retired, write_retired;
    Schedule: read_schedule, write_schedule;
    Span: read_span, write_span;
}

macro_rules! optional_columns {
    ($($type:ty),*) => {$(
        impl Column for Option<$type> {
            fn read(value: ValueRef<'_>) -> rusqlite::Result<Option<$type>> {
                match value {
                    ValueRef::Null => Ok(None),
                    value => <$type>::read(value).map(Some),
                }
            }
            fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                self.as_ref().map_or(Ok(Null.into()), Column::write)
            }
        }
    )*};
}
optional_columns!(Schedule, Span);

#[derive(Serialize, Deserialize)]
struct StoredHeader {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed: Option<String>,
}

fn write_headers(headers: &[EndpointHeader]) -> String {
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

fn read_headers(text: &str) -> rusqlite::Result<Vec<EndpointHeader>> {
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

/// NULL: none.
impl Column for Vec<EndpointSecret> {
    fn read(value: ValueRef<'_>) -> rusqlite::Result<Vec<EndpointSecret>> {
        let Some(text) = value.as_str_or_null()? else { return Ok(Vec::new()) };
        let stored: Vec<(String, String)> = parse(text)?;
        let read =
            |(name, sealed): (String, String)| Ok(EndpointSecret { name, sealed: unseal_text(&sealed)? });
        stored.into_iter().map(read).collect()
    }

    fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        if self.is_empty() {
            return Ok(Null.into());
        }
        let stored = self.iter().map(|secret| (&secret.name, STANDARD.encode(&secret.sealed.0)));
        Ok(json(&stored.collect::<Vec<_>>()).into())
    }
}

/// JSON.
impl Column for Option<PresetMark> {
    fn read(value: ValueRef<'_>) -> rusqlite::Result<Option<PresetMark>> {
        value.as_str_or_null()?.map(parse).transpose()
    }

    fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.as_ref().map_or(Null.into(), |mark| json(mark).into()))
    }
}

#[derive(Serialize, Deserialize)]
struct StoredSecret {
    sealed: String,
    valid_until: i64,
}

fn write_retired(secrets: &[RetiredSecret]) -> String {
    let stored = secrets.iter().map(|retired| StoredSecret {
        sealed: STANDARD.encode(&retired.secret.0),
        valid_until: retired.valid_until.as_millis(),
    });
    json(&stored.collect::<Vec<_>>())
}

fn read_retired(text: &str) -> rusqlite::Result<Vec<RetiredSecret>> {
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
