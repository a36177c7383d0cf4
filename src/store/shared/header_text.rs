//! The headers of a request or a response as one text, in little room: they are the largest part of a small
//! delivery's row.
//!
//! A line is a header: a letter that stands for a name of the list below, and the value; or `:name:value`.
//! A value never holds a line break, because HTTP does not allow it; should one all the same, or a name hold
//! a colon, the headers are kept as JSON pairs, `[["name","value"]]`. So were all of them before, and are
//! still read. Names are as they came, in whatever case: only those that are just as in the list get its
//! letter.

use crate::domain::Headers;
use crate::store::shared::fault::Fault;

/// The letters from `A` on. What is kept says which place a name has: append only, never change or remove.
const NAMES: [&str; 24] = [
    "content-type",
    "user-agent",
    "webhook-timestamp",
    "webhook-id",
    "webhook-signature",
    "x-webhook-signature",
    "x-webhook-event",
    "x-webhook-attempt",
    "accept",
    "host",
    "content-length",
    "date",
    "server",
    "connection",
    "cache-control",
    "x-powered-by",
    "vary",
    "etag",
    "strict-transport-security",
    "transfer-encoding",
    "keep-alive",
    "x-request-id",
    "location",
    "retry-after",
];
const FIRST: u8 = b'A';

/// As it is kept.
pub(crate) fn write(headers: &Headers) -> String {
    let fits = |(name, value): (&str, &str)| !name.contains([':', '\n']) && !value.contains('\n');
    if !headers.iter().all(fits) {
        let pairs: Vec<_> = headers.iter().collect();
        return serde_json::to_string(&pairs).expect("pairs of strings are always JSON");
    }
    let mut text = String::with_capacity(headers.bytes() + 3 * headers.len());
    for (name, value) in headers.iter() {
        match NAMES.iter().zip(FIRST..).find(|(known, _)| **known == name) {
            Some((_, letter)) => text.push(char::from(letter)),
            None => text.extend([":", name, ":"]),
        }
        text.push_str(value);
        text.push('\n');
    }
    text
}

/// The reverse of [`write()`].
pub(crate) fn read(text: &str) -> Result<Headers, Fault> {
    let damaged = || Fault("kept headers are damaged".to_owned());
    if text.starts_with('[') {
        let pairs: Vec<(String, String)> = serde_json::from_str(text).map_err(|_| damaged())?;
        return Ok(pairs.into_iter().collect());
    }
    text.split_terminator('\n').map(|line| header(line).ok_or_else(damaged)).collect()
}

fn header(line: &str) -> Option<(&str, &str)> {
    let (name, value) = match line.strip_prefix(':') {
        Some(rest) => rest.split_once(':')?,
        None => {
            let letter = *line.as_bytes().first()?;
            let name = NAMES.get(usize::from(letter.checked_sub(FIRST)?))?;
            (*name, line.get(1..)?)
        }
    };
    Some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs(pairs: &[(&str, &str)]) -> Headers {
        pairs.iter().copied().collect()
    }

    #[test]
    fn names_that_are_known_take_a_letter() {
        let headers = pairs(&[("content-type", "text/plain; a=b:c"), ("x-own", ": 1"), ("accept", "")]);
        assert_eq!(write(&headers), "Atext/plain; a=b:c\n:x-own:: 1\nI\n");
        assert_eq!(read(&write(&headers)).unwrap(), headers);
    }

    #[test]
    fn what_was_kept_before_is_read() {
        assert_eq!(read(r#"[["host","a"],["x","b"]]"#).unwrap(), pairs(&[("host", "a"), ("x", "b")]));
        assert!(read("[]").unwrap().is_empty());
        assert!(read("").unwrap().is_empty());
    }

    #[test]
    fn what_is_damaged_is_an_error() {
        for text in ["[", "zx\n", "é\n", ":x\n", "\n"] {
            assert!(read(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn each_name_has_a_letter_of_its_own() {
        assert!(NAMES.iter().zip(FIRST..).all(|(name, letter)| {
            letter.is_ascii_uppercase()
                && read(&write(&pairs(&[(name, "v")]))).unwrap().get(name) == Some("v")
        }));
    }

    proptest! {
        #[test]
        fn any_headers_come_back_as_they_were(
            headers in prop::collection::vec(("(?s).{0,12}|content-type|Host|host", "(?s).{0,20}"), 0..6)
        ) {
            let headers = headers.into_iter().collect();
            prop_assert_eq!(read(&write(&headers)).unwrap(), headers);
        }
    }
}
