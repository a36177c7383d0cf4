//! `application/x-www-form-urlencoded`: names and values, percent-encoded.
//!
//! `url::form_urlencoded` replaces what is not UTF-8; a payload must not change without anybody noticing, so
//! the bytes are given here, and the caller decides.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use serde_json::Value;

/// The most fields of a form or a query: each takes much more memory than its bytes on the wire.
pub(super) const FIELDS_MAX: usize = 1_000;

/// Whether a form or a query has more fields than may be. Looks at separators only.
pub(super) fn has_too_many(text: &[u8]) -> bool {
    text.iter().filter(|byte| **byte == b'&').nth(FIELDS_MAX - 1).is_some()
}

/// The pairs of a form or a query, decoded, in their order. Empty pieces between `&` are left out.
pub(super) fn pairs(text: &[u8]) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    text.split(|byte| *byte == b'&').filter(|piece| !piece.is_empty()).map(|piece| {
        let equals = piece.iter().position(|byte| *byte == b'=').unwrap_or(piece.len());
        let value = piece.get(equals + 1..).unwrap_or_default();
        (decode(&piece[..equals]), decode(value))
    })
}

/// `+` is a space, `%41` is `A`; a `%` without two hexadecimal digits stays as it is.
pub(super) fn decode(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        rest = after;
        decoded.push(match (first, after) {
            (b'+', _) => b' ',
            (b'%', [high, low, more @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    rest = more;
                    high << 4 | low
                }
                _ => b'%',
            },
            (other, _) => *other,
        });
    }
    decoded
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Fields as a JSON object: a name that is there several times has a list of its values. Names keep the order
/// in which they appear first.
#[derive(Debug, Default)]
pub(super) struct FieldsObject {
    fields: Vec<(String, Vec<Value>)>,
    places: HashMap<String, usize>,
}

impl FieldsObject {
    /// Adds a value.
    pub(super) fn push(&mut self, name: String, value: Value) {
        match self.places.entry(name) {
            Entry::Occupied(place) => self.fields[*place.get()].1.push(value),
            Entry::Vacant(place) => {
                self.fields.push((place.key().clone(), vec![value]));
                place.insert(self.fields.len() - 1);
            }
        }
    }

    /// The object as JSON text, in the order of the fields.
    pub(super) fn finish(self) -> String {
        let fields = self.fields.into_iter().map(|(name, mut values)| match values.pop() {
            Some(value) if values.is_empty() => (name, value),
            last => (name, Value::Array(values.into_iter().chain(last).collect())),
        });
        let entries = fields.map(|(name, value)| format!("{}:{value}", Value::from(name)));
        format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(form: &str) -> Vec<(String, String)> {
        let utf8 = |bytes| String::from_utf8(bytes).unwrap();
        pairs(form.as_bytes()).map(|(name, value)| (utf8(name), utf8(value))).collect()
    }

    #[test]
    fn forms_are_decoded() {
        for (form, expected) in [
            ("", vec![]),
            ("a=1&b=2", vec![("a", "1"), ("b", "2")]),
            ("a=b=c", vec![("a", "b=c")]),
            ("a&=x&&", vec![("a", ""), ("", "x")]),
            ("a%3D+b=%E2%82%AC%2b+", vec![("a= b", "€+ ")]),
            ("a=%&b=%4&c=%zz&d=%%41", vec![("a", "%"), ("b", "%4"), ("c", "%zz"), ("d", "%A")]),
        ] {
            let expected: Vec<_> = expected.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            assert_eq!(text(form), expected, "{form}");
        }
    }

    #[test]
    fn fields_are_counted_before_they_are_read() {
        for (fields, too_many) in [(1, false), (FIELDS_MAX, false), (FIELDS_MAX + 1, true)] {
            assert_eq!(has_too_many(vec!["a"; fields].join("&").as_bytes()), too_many, "{fields}");
        }
    }

    #[test]
    fn repeated_names_become_lists() {
        let mut object = FieldsObject::default();
        for (name, value) in [("z", "1"), ("twice", "a"), ("twice", "b"), ("quote\"", "\n")] {
            object.push(name.to_owned(), Value::from(value));
        }
        assert_eq!(object.finish(), r#"{"z":"1","twice":["a","b"],"quote\"":"\n"}"#);
    }

    proptest! {
        #[test]
        fn what_the_standard_library_of_urls_writes_is_read(
            fields in prop::collection::vec((".{0,8}", "(?s).{0,20}"), 0..8)
        ) {
            let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&fields).finish();
            prop_assert_eq!(text(&form), fields);
        }

        #[test]
        fn any_bytes_are_read_as_the_standard_reads_them(form in prop::collection::vec(any::<u8>(), 0..80)) {
            let ours: Vec<_> = pairs(&form).map(|(name, value)| {
                let lossy = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
                (lossy(name), lossy(value))
            }).collect();
            let theirs: Vec<(String, String)> = url::form_urlencoded::parse(&form).into_owned().collect();
            prop_assert_eq!(ours, theirs);
        }

        #[test]
        fn an_object_has_each_value_of_each_name(
            fields in prop::collection::vec(("[ab\"\\\\]{0,2}", "(?s).{0,9}"), 0..9)
        ) {
            let mut object = FieldsObject::default();
            for (name, value) in &fields {
                object.push(name.clone(), Value::from(value.as_str()));
            }
            let read: serde_json::Map<String, Value> = serde_json::from_str(&object.finish()).unwrap();
            for (name, value) in &fields {
                let found = match &read[name] {
                    Value::Array(values) => values.contains(&Value::from(value.as_str())),
                    one => one == value.as_str(),
                };
                prop_assert!(found, "{name:?} {value:?} {read:?}");
            }
        }
    }
}
