//! What the rendered settings of a source come to: an event type, a resource, a dedupe key; and how often a
//! request has been through a Postrider.

use sha2::{Digest as _, Sha256};

use crate::domain::event::RESOURCE_ID_MAX_CHARS;
use crate::domain::event_type::{SYSTEM_PREFIX, TYPE_MAX};
use crate::domain::{EventType, Headers};

/// Requests that have been forwarded so often are a loop.
pub const HOPS_MAX: u32 = 5;
/// The header that counts them.
pub const HOPS_HEADER: &str = "x-postrider-hops";

/// A rendered text as an event type: any other character becomes `_`, empty segments are left out, and the rest is
/// cut. Where nothing is left, or it would be one of Postrider's own types: the unmapped type, and why.
pub fn event_type(rendered: &str, source_name: &str) -> (EventType, Option<&'static str>) {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let clean: String = rendered.chars().map(|c| if allowed(c) { c } else { '_' }).collect();
    let segments: Vec<&str> = clean.split('.').filter(|segment| !segment.is_empty()).collect();
    let mut text = segments.join(".");
    text.truncate(TYPE_MAX);
    let text = text.trim_end_matches('.');
    let unmapped = |reason| (unmapped(source_name), Some(reason));
    if text.starts_with(SYSTEM_PREFIX) {
        return unmapped("event type: reserved");
    }
    match EventType::parse(text) {
        Ok(event_type) => (event_type, None),
        Err(_) => unmapped("event type: empty"),
    }
}

fn unmapped(source_name: &str) -> EventType {
    EventType::parse(&format!("{source_name}.unmapped")).expect("the name of a source is a segment of a type")
}

/// A rendered text as a resource; `None` when it is empty.
pub fn resource_id(rendered: &str) -> Option<String> {
    let text: String =
        rendered.trim().chars().filter(|c| !c.is_control()).take(RESOURCE_ID_MAX_CHARS).collect();
    (!text.is_empty()).then_some(text)
}

/// What is remembered of a rendered dedupe key; `None` when it is empty.
pub fn dedupe_digest(rendered: &str) -> Option<[u8; 32]> {
    (!rendered.is_empty()).then(|| Sha256::digest(rendered.as_bytes()).into())
}

/// How often a request was forwarded, by its headers, of which the largest counts: a proxy may add one. Unreadable is
/// 0, and a number that is too large is more than enough.
pub fn hops(headers: &Headers) -> u32 {
    let values = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(HOPS_HEADER));
    let numbers = values.flat_map(|(_, value)| value.split(',')).map(|text| {
        let text = text.trim();
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if is_number { text.parse().unwrap_or(u32::MAX) } else { 0 }
    });
    numbers.max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rendered_types_become_well_formed() {
        for (rendered, expected) in [
            ("github.release.published", "github.release.published"),
            ("sonarr.Über maß", "sonarr._ber_ma_"),
            ("..a...b..", "a.b"),
            ("a/b c\n", "a_b_c_"),
            ("webhook_endpoint", "webhook_endpoint"),
            ("webhook_endpointx.a", "webhook_endpointx.a"),
        ] {
            assert_eq!(event_type(rendered, "x").0.as_str(), expected, "{rendered}");
            assert_eq!(event_type(rendered, "x").1, None);
        }
        let long = format!("{}.b", "a".repeat(TYPE_MAX - 1));
        assert_eq!(event_type(&long, "x").0.as_str(), "a".repeat(TYPE_MAX - 1));
    }

    #[test]
    fn what_is_no_type_is_unmapped_and_says_why() {
        for (rendered, reason) in [
            ("", "event type: empty"),
            ("...", "event type: empty"),
            ("webhook_endpoint.disabled", "event type: reserved"),
            (".webhook_endpoint..x", "event type: reserved"),
        ] {
            let (found, why) = event_type(rendered, "my-source");
            assert_eq!((found.as_str(), why), ("my-source.unmapped", Some(reason)), "{rendered}");
        }
    }

    #[test]
    fn resources_are_one_line_and_short() {
        assert_eq!(resource_id(" a\nb\u{7} "), Some("ab".to_owned()));
        assert_eq!((resource_id(""), resource_id(" \n")), (None, None));
        assert_eq!(resource_id(&"é".repeat(300)).unwrap().chars().count(), RESOURCE_ID_MAX_CHARS);
    }

    #[test]
    fn an_empty_key_is_none() {
        assert_eq!(dedupe_digest(""), None);
        assert_ne!(dedupe_digest("a"), dedupe_digest("b"));
    }

    #[test]
    fn hops_are_read_leniently() {
        let none: &[&str] = &[];
        for (values, expected) in [
            (none, 0),
            (&[""], 0),
            (&["x"], 0),
            (&["-1"], 0),
            (&["1.5"], 0),
            (&[" 4 "], 4),
            (&["5"], HOPS_MAX),
            (&["99999999999999999999"], u32::MAX),
            (&["1", "7", "2"], 7),
            (&["1, 7", "x"], 7),
        ] {
            let headers = values.iter().map(|value| (HOPS_HEADER, *value)).collect();
            assert_eq!(hops(&headers), expected, "{values:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_becomes_a_type(rendered in "(?s)([a-z._]|webhook_endpoint\\.|.){0,160}") {
            let (found, _) = event_type(&rendered, "s");
            prop_assert!(!found.is_system() && EventType::parse(found.as_str()).is_ok());
        }
    }
}
