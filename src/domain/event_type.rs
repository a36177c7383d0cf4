//! The name of what happened: `license.assigned`.

use std::fmt;

/// The longest event type, in bytes.
pub const TYPE_MAX: usize = 128;
/// Types with this prefix are Postrider's own and cannot be posted.
pub const SYSTEM_PREFIX: &str = "webhook_endpoint.";

/// A well-formed event type: dotted segments of `[A-Za-z0-9_-]`, none of them empty.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventType(String);

impl EventType {
    /// Checks the form. The error is a sentence for the caller.
    pub fn parse(text: &str) -> Result<EventType, String> {
        if text.is_empty() || text.len() > TYPE_MAX {
            return Err(format!("must have 1 to {TYPE_MAX} characters, such as license.assigned"));
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-')) {
            return Err(
                "may contain only letters, digits, '_', '-' and '.', such as license.assigned".to_owned()
            );
        }
        if text.split('.').any(str::is_empty) {
            return Err(
                "has an empty segment: write names separated by single dots, such as license.assigned"
                    .to_owned(),
            );
        }
        Ok(EventType(text.to_owned()))
    }

    /// The type as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is one of Postrider's own.
    pub fn is_system(&self) -> bool {
        self.0.starts_with(SYSTEM_PREFIX)
    }

    /// The first segment.
    pub fn category(&self) -> &str {
        self.0.split('.').next().unwrap_or(&self.0)
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dotted_names_are_types() {
        for text in ["a", "license.assigned", "A-b_c.0", &"x".repeat(128)] {
            assert_eq!(EventType::parse(text).unwrap().as_str(), text);
        }
        assert_eq!(EventType::parse("license.assigned").unwrap().category(), "license");
    }

    #[test]
    fn other_text_is_not() {
        for text in ["", ".", "a.", ".a", "a..b", "a b", "a/b", "a.*", "*", "é", &"x".repeat(129)] {
            assert!(EventType::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_taken_has_full_segments(text in "[a-z._-]{0,20}") {
            if let Ok(t) = EventType::parse(&text) {
                prop_assert!(t.as_str().split('.').all(|s| !s.is_empty()));
            } else {
                prop_assert!(text.split('.').any(str::is_empty));
            }
        }
    }
}
