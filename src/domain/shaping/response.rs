//! What a receiver answered, as `expect` and `retry_after` read it.

use crate::domain::attempts::retry_after::MAX_MS;
use crate::domain::expr::{Budget, Json, Overrun, Scope};

use super::Shape;

/// The unit of a wait in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Seconds,
    Milliseconds,
}

/// Where an answer says how long to wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitPointer {
    pub pointer: String,
    pub unit: Unit,
}

impl WaitPointer {
    /// The wait that an answer's body asks for, in milliseconds, at most a day.
    pub fn wait_ms(&self, body: &str) -> Option<i64> {
        let json = Json::parse(body).ok()?;
        let number = match json.pointer(&self.pointer)? {
            Json::Number(number) => number,
            Json::Text(text) if text.bytes().all(|b| b.is_ascii_digit() || b == b'.') => text,
            _ => return None,
        };
        let number: f64 = number.parse().ok()?;
        let milliseconds = match self.unit {
            Unit::Seconds => number * 1_000.0,
            Unit::Milliseconds => number,
        };
        (milliseconds > 0.0).then(|| (milliseconds.ceil() as i64).min(MAX_MS))
    }
}

/// An answer.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    pub status: u16,
    pub body: &'a str,
    /// Whether the body is not all of what was answered; `response.json` is missing then.
    pub cut: bool,
    /// Names in lower case.
    pub headers: &'a [(String, String)],
}

impl Shape {
    /// Whether a 2xx is the success that `expect` describes.
    pub fn is_expected<'a>(
        &'a self,
        answer: &Answer<'a>,
        scope: &'a Scope<'a>,
        budget: &mut Budget,
    ) -> Result<bool, Overrun> {
        let Some(expect) = &self.expect else { return Ok(true) };
        let headers = answer.headers.iter().map(|(name, value)| (name.as_str(), Json::text(value.as_str())));
        let mut fields = vec![
            ("status", Json::integer(i64::from(answer.status))),
            ("body", Json::text(answer.body)),
            ("headers", Json::object(headers)),
        ];
        if !answer.cut
            && let Ok(json) = Json::parse(answer.body)
        {
            fields.push(("json", json));
        }
        let mut inner = scope.inside();
        inner.set("response", Json::object(fields));
        expect.is_true(&inner, budget)
    }
}
