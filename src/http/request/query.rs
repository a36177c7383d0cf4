//! Query strings, read parameter by parameter, every problem named.
//!
//! As with bodies, all problems are reported at once, as 422 with `source.parameter`. The parameters of
//! an operation are a table ([`Param`]), which both the reader and the OpenAPI document use, so that what
//! is documented and what is taken cannot differ.

use std::collections::HashSet;

use poem::Request;
use serde_json::{Value, json};

use crate::domain::Timestamp;
use crate::domain::values::invalid::COMPLAINTS_MAX;
use crate::domain::values::nearest;

use crate::http::problem::Problem;

/// The form of an event's id.
pub(crate) const EVENT_ID: &str = "^evt_[0-9a-fA-F]{32}$";

/// What a parameter's value looks like.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// A whole number within limits.
    Integer { min: i64, max: i64 },
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Several of these words, the parameter repeated.
    AnyOf(&'static [&'static str]),
    /// An RFC 3339 time.
    Time,
    /// A UUID.
    Uuid,
    /// Text up to a length in characters.
    Text { max: usize },
    /// The same, and not empty.
    Filled { max: usize },
    /// Text of a form, which the reader checks in words of its own.
    Like { pattern: &'static str, max: usize },
}

/// A parameter: for the reader and for the document.
#[derive(Debug, Clone, Copy)]
pub struct Param {
    pub name: &'static str,
    pub shape: Shape,
    pub description: &'static str,
    pub example: &'static str,
}

impl Param {
    /// The parameter as OpenAPI describes it.
    pub fn describe(&self) -> Value {
        let schema = match self.shape {
            Shape::Integer { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
            Shape::OneOf(words) => json!({ "type": "string", "enum": words }),
            Shape::AnyOf(words) => json!({ "type": "array", "items": { "type": "string", "enum": words } }),
            Shape::Time => json!({ "type": "string", "format": "date-time" }),
            Shape::Uuid => json!({ "type": "string", "format": "uuid" }),
            Shape::Text { max } => json!({ "type": "string", "maxLength": max }),
            Shape::Filled { max } => json!({ "type": "string", "minLength": 1, "maxLength": max }),
            Shape::Like { pattern, max } => {
                json!({ "type": "string", "pattern": pattern, "maxLength": max })
            }
        };
        let example = match self.shape {
            Shape::Integer { .. } => json!(self.example.parse::<i64>().unwrap_or_default()),
            Shape::AnyOf(_) => json!([self.example]),
            _ => json!(self.example),
        };
        let mut described = json!({
            "name": self.name,
            "in": "query",
            "required": false,
            "description": self.description,
            "schema": schema,
        });
        if !self.example.is_empty() {
            described["example"] = example;
        }
        described
    }
}

/// The parameters of one request.
pub struct Query {
    given: Vec<(String, String)>,
    errors: Vec<(String, String)>,
}

impl Query {
    /// Takes a query string apart; names that are not in `known` are errors.
    pub fn of(request: &Request, known: &[Param]) -> Query {
        let mut query = Query::lenient(request);
        let names: Vec<&str> = known.iter().map(|p| p.name).collect();
        let mut seen = HashSet::new();
        for (name, _) in &query.given {
            if query.errors.len() >= COMPLAINTS_MAX {
                break;
            }
            let is_new = seen.insert(name.as_str());
            let param = known.iter().find(|p| p.name == name);
            let repeatable = param.is_some_and(|p| matches!(p.shape, Shape::AnyOf(_)));
            if param.is_none() {
                query.errors.push((name.clone(), nearest::unknown("parameter", name, &names)));
            } else if !repeatable && !is_new {
                query.errors.push((name.clone(), "is there twice".to_owned()));
            }
        }
        query
    }

    /// Takes a query string apart, and ignores parameters that nobody asks for.
    pub fn lenient(request: &Request) -> Query {
        let text = request.uri().query().unwrap_or_default();
        let given = url::form_urlencoded::parse(text.as_bytes()).into_owned().collect();
        Query { given, errors: vec![] }
    }

    /// A parameter's value.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.given.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// All values of a parameter that may be repeated.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.given.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect()
    }

    /// A parameter's value, read by `parse`; `expected` is the end of "must be …".
    pub fn get<T>(&mut self, name: &str, expected: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let text = self.text(name)?;
        let value = parse(text);
        if value.is_none() {
            self.fail(name, format!("must be {expected}"));
        }
        value
    }

    /// A whole number within limits.
    pub fn integer(&mut self, name: &str, min: i64, max: i64) -> Option<i64> {
        self.get(name, &format!("a whole number from {min} to {max}"), |text| {
            let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            text.parse().ok().filter(|n| plain && (min..=max).contains(n))
        })
    }

    /// A time.
    pub fn time(&mut self, name: &str) -> Option<Timestamp> {
        self.get(
            name,
            "an RFC 3339 time, such as 2026-05-01T05:14:38Z (a + in an offset is written %2B)",
            Timestamp::parse,
        )
    }

    /// Notes a problem with a parameter.
    pub fn fail(&mut self, name: &str, message: impl Into<String>) {
        if self.errors.len() < COMPLAINTS_MAX {
            self.errors.push((name.to_owned(), message.into()));
        }
    }

    /// Ends the reading: an error if anything was noted.
    pub fn finish(self) -> Result<(), Problem> {
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::invalid_parameters(self.errors)) }
    }

    /// The query string again without these parameters, to build links with.
    pub fn without(&self, names: &[&str]) -> url::form_urlencoded::Serializer<'static, String> {
        let mut out = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in &self.given {
            if !names.contains(&name.as_str()) {
                out.append_pair(name, value);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(text: &str) -> usize {
        let request = Request::builder().uri(format!("/?{text}").parse().unwrap()).finish();
        let known = Param { name: "q", shape: Shape::Text { max: 9 }, description: "", example: "" };
        let query = Query::of(&request, &[known]);
        query.finish().map_or_else(|problem| problem.entries.len(), |()| 0)
    }

    #[test]
    fn only_so_many_parameters_are_complained_of() {
        assert_eq!(complaints("q=1"), 0);
        assert_eq!(complaints("q=1&q=2"), 1);
        assert_eq!(complaints(&"a&".repeat(10_000)), COMPLAINTS_MAX);
        assert_eq!(complaints(&"q&".repeat(10_000)), COMPLAINTS_MAX);
    }
}
