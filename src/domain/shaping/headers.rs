//! Header values from templates: no line break gets into a head, whatever an event holds.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Bytes of text in one encoded word: RFC 2047 allows words of 75 characters.
const WORD_BYTES: usize = 45;

/// A value that can be sent: controls become spaces, and what is not ASCII becomes RFC 2047.
pub fn encode_value(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let clean = clean.trim();
    if clean.is_ascii() {
        return clean.to_owned();
    }
    let mut words = Vec::new();
    let mut rest = clean;
    while !rest.is_empty() {
        let (word, behind) = rest.split_at(rest.floor_char_boundary(WORD_BYTES));
        words.push(format!("=?UTF-8?B?{}?=", STANDARD.encode(word)));
        rest = behind;
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_are_made_sendable() {
        assert_eq!(encode_value("a\r\nX-Evil: 1\u{7f}"), "a  X-Evil: 1");
        assert_eq!(encode_value("Größe"), "=?UTF-8?B?R3LDtsOfZQ==?=");
        assert_eq!(encode_value(" plain "), "plain");
    }

    proptest! {
        #[test]
        fn any_text_becomes_printable_ascii(text in "\\PC{0,80}|[\\x00-\\x20é😀]{0,80}") {
            let value = encode_value(&text);
            prop_assert!(value.bytes().all(|b| (0x20..0x7f).contains(&b)));
            prop_assert!(value.split(' ').all(|word| !word.starts_with("=?UTF-8?B?") || word.len() <= 75));
        }
    }
}
