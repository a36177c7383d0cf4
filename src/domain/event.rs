//! An event: something that happened. It has a type and a payload and never changes.

use bytes::Bytes;

use super::{Endpoint, EventId, EventType, Timestamp};
use crate::domain::attempts::attempt::AttemptSummary;
use crate::domain::values::words::words;

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

words! {
    /// Where an event came from.
    pub enum Origin {
        /// Posted by a client.
        Client = "client",
        /// Emitted by Postrider itself (`webhook_endpoint.…`).
        System = "system",
        /// Made for a test delivery; never counted and never listed among events.
        Test = "test",
    }
}

/// An event to take in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    pub event_type: EventType,
    /// JSON text, byte for byte as it came.
    pub payload: Bytes,
    pub resource_id: Option<String>,
    pub idempotency_key: Option<String>,
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
