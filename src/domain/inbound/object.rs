//! A JSON object of a client, read field by field: what is wrong is noted with its place, and a name that is not
//! known is an error, because it is a slip of the pen more often than anything else.

use serde_json::{Map, Value};

use crate::domain::FieldError;
use crate::domain::values::invalid::{Complaints, escape_pointer, quoted};
use crate::domain::values::nearest;

/// The fields of an object at `pointer`.
pub(crate) struct Object<'a, 'e> {
    fields: &'a Map<String, Value>,
    pointer: String,
    pub(crate) errors: &'e mut Complaints,
}

impl<'a, 'e> Object<'a, 'e> {
    /// Notes every field whose name is not among `known`.
    pub(crate) fn new(
        fields: &'a Map<String, Value>,
        pointer: &str,
        known: &[&str],
        errors: &'e mut Complaints,
    ) -> Object<'a, 'e> {
        let object = Object { fields, pointer: pointer.to_owned(), errors };
        for name in fields.keys().filter(|name| !known.contains(&name.as_str())) {
            let place = format!("{pointer}/{}", escape_pointer(name));
            object.errors.push(FieldError::new(place, nearest::unknown("field", name, known)));
        }
        object
    }

    /// Notes a problem with a field.
    pub(crate) fn fail(&mut self, name: &str, message: impl Into<String>) {
        self.errors.push(FieldError::new(format!("{}/{name}", self.pointer), message));
    }

    /// A field that is there and is not null.
    pub(crate) fn get(&self, name: &str) -> Option<&'a Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    /// Text, if it is there.
    pub(crate) fn text(&mut self, name: &str, max_bytes: usize) -> Option<&'a str> {
        match self.get(name)? {
            Value::String(text) if text.len() <= max_bytes => Some(text),
            Value::String(_) => {
                self.fail(name, format!("is longer than {max_bytes} bytes"));
                None
            }
            _ => {
                self.fail(name, "must be a string");
                None
            }
        }
    }

    /// Text that must be there and not be empty.
    pub(crate) fn required(&mut self, name: &str, max_bytes: usize) -> Option<&'a str> {
        if self.get(name).is_none() {
            self.fail(name, "is required");
            return None;
        }
        let text = self.text(name, max_bytes)?;
        if text.is_empty() {
            self.fail(name, "must not be empty");
            return None;
        }
        Some(text)
    }

    /// One of some words; the first is the default.
    pub(crate) fn word<T: Copy>(&mut self, name: &str, words: &[&str], all: &[T]) -> Option<T> {
        let Some(text) = self.text(name, 100) else { return all.first().copied() };
        let found = words.iter().position(|word| *word == text).and_then(|at| all.get(at).copied());
        if found.is_none() {
            self.fail(name, format!("{} is none of {}", quoted(text), words.join(", ")));
        }
        found
    }
}
