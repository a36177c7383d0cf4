//! An event: something that happened. It has a type and a payload and never changes.

use std::fmt;

use bytes::Bytes;

use super::{Endpoint, EventId, Timestamp};
use crate::domain::attempts::attempt::AttemptSummary;

/// The longest event type, in bytes.
pub const TYPE_MAX: usize = 128;
/// Types that begin so are Postrider's own and cannot be posted.
pub const SYSTEM_PREFIX: &str = "webhook_endpoint.";
/// The system event that tells of an endpoint that was switched off.
pub const ENDPOINT_DISABLED: &str = "webhook_endpoint.disabled";
/// What a test delivery carries unless it is asked for another type.
pub const TEST_TYPE: &str = "webhook.test";
/// The longest `resource_id`, in characters.
pub const RESOURCE_ID_MAX_CHARS: usize = 255;
/// The longest idempotency key, in characters.
pub const IDEMPOTENCY_KEY_MAX_CHARS: usize = 255;
/// How long an idempotency key is remembered: 24 hours, in milliseconds.
pub const IDEMPOTENCY_MS: i64 = 24 * 3_600_000;
/// The most events in one batch.
pub const BATCH_MAX: usize = 1_000;

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

/// The payload of [`ENDPOINT_DISABLED`]. The URL goes without its query, which may hold a token.
pub fn endpoint_disabled_payload(endpoint: &Endpoint, reason: &str, failures: u32, at: Timestamp) -> Vec<u8> {
    let url = endpoint.settings.url.split('?').next().unwrap_or_default();
    let payload = serde_json::json!({
        "type": ENDPOINT_DISABLED,
        "timestamp": at.to_string(),
        "data": {
            "endpoint_id": endpoint.id.to_string(),
            "name": endpoint.settings.name,
            "url": url,
            "reason": reason,
            "consecutive_failures": failures,
        },
    });
    payload.to_string().into_bytes()
}

/// Whether a system event tells of this endpoint, which then is not sent it: what was switched off is
/// not told that it was.
pub fn is_about(payload: &[u8], endpoint: super::EndpointId) -> bool {
    let payload: serde_json::Value = serde_json::from_slice(payload).unwrap_or_default();
    payload["data"]["endpoint_id"].as_str() == Some(&*endpoint.to_string())
}

/// Where an event came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Posted by a client.
    Client,
    /// Emitted by Postrider itself (`webhook_endpoint.…`).
    System,
    /// Made for a test delivery; never counted and never listed among events.
    Test,
}

impl Origin {
    /// All of them.
    pub const ALL: [Origin; 3] = [Origin::Client, Origin::System, Origin::Test];

    /// The name in storage.
    pub fn as_str(self) -> &'static str {
        match self {
            Origin::Client => "client",
            Origin::System => "system",
            Origin::Test => "test",
        }
    }

    /// Reads a name.
    pub fn parse(text: &str) -> Option<Origin> {
        Origin::ALL.into_iter().find(|o| o.as_str() == text)
    }
}

/// An event, as lists show it: all but the payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub id: EventId,
    pub event_type: EventType,
    pub resource_id: Option<String>,
    /// How many endpoints it went to when it was accepted.
    pub deliveries: u32,
    pub created_at: Timestamp,
}

/// An event with its payload and where it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventDetail {
    pub event: Event,
    /// `None` when retention has taken it.
    pub payload: Option<Bytes>,
    /// Over all endpoints, oldest first.
    pub attempts: Vec<AttemptSummary>,
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
