//! Named values, read in the same way from a query string and from a JSON object.
//!
//! Filters of the log are given both ways: as parameters of lists and as `filter` of a bulk retry. A reader
//! over [`Values`] exists once, so that both mean the same.

use serde_json::Value;

use crate::domain::Timestamp;

use crate::http::request::body::Fields;
use crate::http::request::query::Query;

/// The end of "must be …" for times.
const TIME: &str = "an RFC 3339 time, such as 2026-05-01T05:14:38Z";

/// The most values of one name.
const LIST_MAX: usize = 100;

/// Where named values come from. Every problem is noted with the name.
pub trait Values {
    /// A text value, read by `parse`; `expected` is the end of "must be …". Null counts as absent.
    fn value<T>(&mut self, name: &str, expected: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T>;

    /// Like [`Values::value`], where JSON may have a number, too.
    fn number_or_text<T>(
        &mut self,
        name: &str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T>;

    /// All values of a name, each once: a repeated parameter, or in JSON one text or a list of texts.
    fn values<T: PartialEq>(
        &mut self,
        name: &str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Vec<T>;

    /// A time.
    fn timestamp(&mut self, name: &str) -> Option<Timestamp>;
}

impl Values for Query {
    fn value<T>(&mut self, name: &str, expected: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        self.get(name, expected, parse)
    }

    fn number_or_text<T>(
        &mut self,
        name: &str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        self.get(name, expected, parse)
    }

    fn values<T: PartialEq>(
        &mut self,
        name: &str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Vec<T> {
        let all = self.all(name);
        if all.len() > LIST_MAX {
            let message = format!("is there {} times; at most {LIST_MAX} are possible", all.len());
            self.fail(name, message);
            return Vec::new();
        }
        let all: Vec<Option<T>> = all.into_iter().map(parse).collect();
        let given = all.len();
        let read: Vec<T> = all.into_iter().flatten().collect();
        for _ in read.len()..given {
            self.fail(name, format!("must be {expected}"));
        }
        if read.len() == given { distinct(read) } else { Vec::new() }
    }

    fn timestamp(&mut self, name: &str) -> Option<Timestamp> {
        self.time(name)
    }
}

impl Values for Fields<'_> {
    fn value<T>(&mut self, name: &str, expected: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let text = self.nullable::<String>(name, expected).flatten()?;
        parsed(self, name, expected, parse(&text))
    }

    fn number_or_text<T>(
        &mut self,
        name: &str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = match self.nullable::<Value>(name, expected).flatten()? {
            Value::String(text) => text,
            other => other.to_string(),
        };
        parsed(self, name, expected, parse(&text))
    }

    fn values<T: PartialEq>(
        &mut self,
        name: &str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Vec<T> {
        let expected = format!("{expected}, or a list of them");
        let given = match self.nullable::<Value>(name, &expected).flatten() {
            None => return Vec::new(),
            Some(Value::Array(all)) => all,
            Some(one) => vec![one],
        };
        if given.len() > LIST_MAX {
            self.fail(name, format!("has {} values; at most {LIST_MAX} are possible", given.len()));
            return Vec::new();
        }
        let all = given.iter().map(|value| value.as_str().and_then(&parse)).collect();
        distinct(parsed(self, name, &expected, all).unwrap_or_default())
    }

    fn timestamp(&mut self, name: &str) -> Option<Timestamp> {
        self.value(name, TIME, Timestamp::parse)
    }
}

/// The values without repetitions. There are few words to choose from.
fn distinct<T: PartialEq>(values: Vec<T>) -> Vec<T> {
    let mut distinct = Vec::new();
    for value in values {
        if !distinct.contains(&value) {
            distinct.push(value);
        }
    }
    distinct
}

/// Notes a value that could not be read.
fn parsed<T>(fields: &mut Fields<'_>, name: &str, expected: &str, value: Option<T>) -> Option<T> {
    if value.is_none() {
        fields.fail(name, format!("must be {expected}"));
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use poem::Request;
    use proptest::prelude::*;
    use serde_json::json;

    const NAMES: &[&str] = &["word", "count", "words", "at"];

    type Read = (Option<char>, Option<u16>, Vec<char>, Option<Timestamp>);

    /// What is read, and the names that problems were noted for.
    fn read(values: &mut impl Values) -> Read {
        let letter = |text: &str| text.chars().next().filter(|c| c.is_ascii_lowercase() && text.len() == 1);
        (
            values.value("word", "a letter", letter),
            values.number_or_text("count", "a number", |text| text.parse().ok()),
            values.values("words", "a letter", letter),
            values.timestamp("at"),
        )
    }

    fn by_query(given: &[(&str, String)]) -> (Read, bool) {
        let mut text = url::form_urlencoded::Serializer::new(String::new());
        text.extend_pairs(given);
        let uri = format!("/?{}", text.finish()).parse().unwrap();
        let mut query = Query::lenient(&Request::builder().uri(uri).finish());
        let read = read(&mut query);
        (read, query.finish().is_ok())
    }

    fn by_json(object: &Value) -> (Read, bool) {
        let bytes = Bytes::from(object.to_string());
        let mut fields = Fields::of_body(&bytes, NAMES).unwrap();
        let read = read(&mut fields);
        (read, fields.finish().is_ok())
    }

    proptest! {
        #[test]
        fn a_query_and_an_object_with_the_same_values_are_read_alike(
            word in proptest::option::of("[a-c0]{0,2}"),
            count in proptest::option::of("[0-9x]{1,5}"),
            words in proptest::collection::vec("[a-c0]{1,2}", 0..3),
            at in proptest::option::of("2026-0[1-9]-0[0-9]T00:00:00Z"),
        ) {
            let mut given: Vec<(&str, String)> = words.iter().map(|word| ("words", word.clone())).collect();
            given.extend(word.clone().map(|word| ("word", word)));
            given.extend(count.clone().map(|count| ("count", count)));
            given.extend(at.clone().map(|at| ("at", at)));
            let object = json!({ "word": word, "count": count, "words": words, "at": at });
            prop_assert_eq!(by_query(&given), by_json(&object));
        }
    }

    #[test]
    fn json_may_have_a_number_where_it_is_expected_and_one_text_for_a_list() {
        let (read, is_fine) = by_json(&json!({ "count": 500, "words": "a" }));
        assert_eq!((read, is_fine), ((None, Some(500), vec!['a'], None), true));
        for wrong in
            [json!({ "word": 5 }), json!({ "words": [5] }), json!({ "words": {} }), json!({ "at": 0 })]
        {
            assert!(!by_json(&wrong).1, "{wrong}");
        }
    }

    #[test]
    fn a_value_that_is_repeated_counts_once() {
        let given = vec![("words", "a".to_owned()); LIST_MAX];
        assert_eq!(by_query(&given).0.2, ['a']);
        assert_eq!(by_json(&json!({ "words": ["b", "a", "b"] })).0.2, ['b', 'a']);
    }

    #[test]
    fn a_list_of_values_has_a_limit() {
        let words = |n: usize| by_json(&json!({ "words": vec!["a"; n] }));
        assert_eq!(words(LIST_MAX), ((None, None, vec!['a'], None), true));
        let repeated = by_query(&vec![("words", "a".to_owned()); LIST_MAX + 1]);
        for (read, is_fine) in [words(LIST_MAX + 1), repeated] {
            assert!(read.2.is_empty() && !is_fine);
        }
    }
}
