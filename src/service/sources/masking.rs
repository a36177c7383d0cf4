//! What the inbound log shows of a request: without the token of the source, and without what verifiers read.
//!
//! Strangers send these requests. So each text is read once, whatever it contains: what was masked is not searched
//! again, the number of values that are searched for is limited, and a masked text is hardly longer than it was.

use std::collections::BTreeSet;

use crate::domain::Headers;
use crate::domain::endpoint::MASK;
use crate::domain::inbound::payload;
use crate::domain::inbound::request::InboundRequest;
use crate::service::sources::readied::ReadySource;

/// Headers that are never shown.
const SECRET_HEADERS: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];
/// The most values that are searched for in other headers. A request has one or two; one with more gets no header
/// shown.
const HIDDEN_MAX: usize = 16;
/// How much longer a text may become by masking, in bytes. Longer ones are masked as a whole.
const GROWTH_MAX: usize = 1_024;

/// The longest method and path that are shown, in characters.
const METHOD_MAX: usize = 32;
const PATH_MAX: usize = 2_048;

/// The method, or the beginning of it.
pub(super) fn shown_method(request: &InboundRequest) -> String {
    cut(request.method.clone(), METHOD_MAX)
}

/// A text, or the beginning of it.
fn cut(mut text: String, max: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(max) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// What is hidden in one request.
pub(super) struct Masking<'a> {
    ready: &'a ReadySource,
    request: &'a InboundRequest,
    token: &'a str,
    /// In the forms in which they may be in a header; `None`: too many.
    hidden: Option<Hidden>,
}

impl<'a> Masking<'a> {
    pub(super) fn new(ready: &'a ReadySource, request: &'a InboundRequest, token: &'a str) -> Masking<'a> {
        let hidden = Hidden::of(read_by_verifiers(ready, request), token);
        Masking { ready, request, token, hidden }
    }

    /// What follows the token in the path; `None` when there is nothing.
    pub(super) fn path(&self) -> Option<String> {
        (!self.request.rest.is_empty()).then(|| cut(self.without_token(&self.request.rest), PATH_MAX))
    }

    /// The headers.
    pub(super) fn headers(&self) -> Headers {
        let mut shown = Headers::default();
        for (name, value) in self.request.headers.iter() {
            let name = name.to_ascii_lowercase();
            let is_secret =
                SECRET_HEADERS.contains(&name.as_str()) || self.ready.hidden_headers.contains(&name);
            match self.hidden.as_ref().filter(|_| !is_secret) {
                Some(hidden) => shown.push(&name, &hidden.mask(value)),
                None => shown.push(&name, MASK),
            }
        }
        shown
    }

    /// The query as JSON text; `None` when there is none.
    pub(super) fn query(&self) -> Option<String> {
        let shown = self.request.query.iter().map(|(name, value)| {
            let is_hidden = self.ready.hidden_parameters.contains(name);
            (name.clone(), if is_hidden { MASK.to_owned() } else { self.without_token(value) })
        });
        let shown: Vec<(String, String)> = shown.collect();
        (!shown.is_empty()).then(|| payload::query_text(&shown))
    }

    /// Proxies put the URL into other places.
    fn without_token(&self, text: &str) -> String {
        text.replace(self.token, MASK)
    }
}

/// What verifiers read, as it came: it may be in other headers, too, because proxies repeat the URL.
fn read_by_verifiers<'a>(
    ready: &'a ReadySource,
    request: &'a InboundRequest,
) -> impl Iterator<Item = &'a str> {
    let parameters = request.query.iter().filter(|(name, _)| ready.hidden_parameters.contains(name));
    let headers = request.headers.iter();
    let headers = headers.filter(|(name, _)| ready.hidden_headers.contains(&name.to_ascii_lowercase()));
    parameters.map(|(_, value)| value.as_str()).chain(headers.map(|(_, value)| value))
}

/// Texts that are hidden, the longest first.
struct Hidden(Vec<String>);

impl Hidden {
    /// `None`: there are too many.
    fn of<'a>(values: impl Iterator<Item = &'a str>, token: &str) -> Option<Hidden> {
        let mut different = BTreeSet::new();
        for value in values.filter(|value| !value.is_empty()) {
            different.insert(value);
            if different.len() > HIDDEN_MAX {
                return None;
            }
        }
        let encoded = |value: &&str| url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
        let mut forms: BTreeSet<String> = different.iter().map(encoded).collect();
        forms.extend(different.into_iter().chain([token]).map(str::to_owned));
        let mut forms: Vec<String> = forms.into_iter().filter(|form| !form.is_empty()).collect();
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        Some(Hidden(forms))
    }

    /// The text with what is hidden masked.
    fn mask(&self, text: &str) -> String {
        let (mut shown, mut rest) = (String::with_capacity(text.len()), text);
        while let Some(first) = rest.chars().next() {
            if let Some(hidden) = self.0.iter().find(|hidden| rest.starts_with(hidden.as_str())) {
                shown.push_str(MASK);
                rest = &rest[hidden.len()..];
            } else {
                shown.push(first);
                rest = &rest[first.len_utf8()..];
            }
            if shown.len() > text.len() + GROWTH_MAX {
                return MASK.to_owned();
            }
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn masked(values: &[&str], text: &str) -> String {
        Hidden::of(values.iter().copied(), "T0KEN").unwrap().mask(text)
    }

    #[test]
    fn what_is_hidden_is_masked_in_every_form() {
        assert_eq!(masked(&["a/b c"], "x=a/b c&y=a%2Fb+c&z=T0KEN"), format!("x={MASK}&y={MASK}&z={MASK}"));
        assert_eq!(masked(&["ab", "abc"], "abcd"), format!("{MASK}d"), "the longest first");
        assert_eq!(masked(&["", "é"], "aéb"), format!("a{MASK}b"));
    }

    #[test]
    fn a_mask_is_not_searched_again_and_a_text_hardly_grows() {
        assert_eq!(masked(&["*"], "*"), MASK);
        assert_eq!(masked(&["*", "**", "***"], "a*"), format!("a{MASK}"));
        assert_eq!(masked(&["a"], &"ab".repeat(10_000)), MASK);
    }

    #[test]
    fn more_values_than_any_sender_has_hide_all() {
        let values: Vec<String> = (0..20).map(|n| n.to_string()).collect();
        let of = |n: usize| Hidden::of(values[..n].iter().map(String::as_str), "t");
        assert!(of(HIDDEN_MAX).is_some() && of(HIDDEN_MAX + 1).is_none());
        assert!(Hidden::of(std::iter::repeat_n("same", 1_000), "t").is_some());
    }

    proptest! {
        #[test]
        fn nothing_hidden_is_left(values in prop::collection::vec("[a-c]{1,3}", 0..4), text in "[a-d ]{0,40}") {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            let shown = masked(&values, &text);
            prop_assert!(values.iter().all(|value| !shown.contains(value)), "{values:?} {text:?} {shown:?}");
        }
    }
}
