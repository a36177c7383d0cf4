//! The beginning of a response body, as lists show it.

/// How many characters of a response body lists show.
const EXCERPT_CHARS: usize = 500;
/// So many bytes hold that many characters in any case.
pub(crate) const EXCERPT_BYTES: usize = EXCERPT_CHARS * 4;

/// The first characters of a body of which only a beginning may be at hand (`cut`). What is not UTF-8
/// becomes U+FFFD, but a character that was merely cut in two at the end is left out.
pub(crate) fn excerpt(bytes: &[u8], cut: bool) -> String {
    let whole = match std::str::from_utf8(bytes) {
        Err(e) if cut && e.error_len().is_none() => &bytes[..e.valid_up_to()],
        _ => bytes,
    };
    String::from_utf8_lossy(whole).chars().take(EXCERPT_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_excerpt_has_500_characters_and_cuts_none_in_two() {
        let long = "ü€𝄞".repeat(400);
        let bytes = &long.as_bytes()[..EXCERPT_BYTES];
        assert_eq!(excerpt(bytes, true), long.chars().take(500).collect::<String>());
        assert_eq!(excerpt(&"€".as_bytes()[..2], true), "");
        assert_eq!(excerpt(&"€".as_bytes()[..2], false), "\u{fffd}");
        assert_eq!(excerpt(b"a\xffb", true), "a\u{fffd}b");
    }

    proptest! {
        #[test]
        fn a_longer_read_changes_no_excerpt(body in proptest::collection::vec(any::<u8>(), 0..2_500)) {
            let seen = &body[..body.len().min(EXCERPT_BYTES)];
            let all: String = String::from_utf8_lossy(&body).chars().take(500).collect();
            prop_assert_eq!(excerpt(seen, seen.len() < body.len()), all);
        }
    }
}
