//! An event: something that happened. It has a type and a payload and never changes.

use bytes::Bytes;

use super::{Endpoint, EventId, EventType, Timestamp};
use crate::domain::attempts::attempt::AttemptSummary;
use crate::domain::condition::LastFailure;
use crate::domain::values::words::words;

/// The system event that tells of an endpoint that was disabled.
pub const ENDPOINT_DISABLED: &str = "webhook_endpoint.disabled";
/// The system event that tells of an endpoint whose attempts fail; once for each outage.
pub const ENDPOINT_FAILING: &str = "webhook_endpoint.failing";
/// The system event that tells that an endpoint of which [`ENDPOINT_FAILING`] told works again.
pub const ENDPOINT_RECOVERED: &str = "webhook_endpoint.recovered";
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

/// What a system event says of an endpoint.
#[derive(Debug, Clone, Copy)]
pub struct EndpointNews<'a> {
    /// The type of the event.
    pub event_type: &'static str,
    /// The endpoint's state from now on, as [`crate::domain::health`] names it.
    pub state: &'static str,
    pub since: Timestamp,
    pub consecutive_failures: u32,
    /// The failure that led to it; none when it works again.
    pub failure: Option<&'a LastFailure>,
    /// A sentence.
    pub message: &'a str,
    pub at: Timestamp,
}

impl EndpointNews<'_> {
    /// The event's payload. The URL goes without its query, which may hold a token.
    pub fn payload(&self, endpoint: &Endpoint) -> Vec<u8> {
        let url = endpoint.settings.url.split('?').next().unwrap_or_default();
        let id = endpoint.id.to_string();
        let mut data = serde_json::json!({
            "webhook_id": id,
            "name": endpoint.settings.name,
            "url": url,
            "state": self.state,
            "since": self.since.to_string(),
            "consecutive_failures": self.consecutive_failures,
            "error_kind": self.failure.map(|failure| failure.kind.as_str()),
            "response_status": self.failure.and_then(|failure| failure.response_status),
            "message": self.message,
        });
        if self.event_type == ENDPOINT_DISABLED {
            // As this event was before the others came.
            data["endpoint_id"] = id.into();
            data["reason"] = self.message.into();
        }
        let payload = serde_json::json!({
            "type": self.event_type,
            "timestamp": self.at.to_string(),
            "data": data,
        });
        payload.to_string().into_bytes()
    }
}

/// Whether a system event tells of this endpoint, which then is not sent it: what was switched off is
/// not told that it was.
pub fn is_about(payload: &[u8], endpoint: super::EndpointId) -> bool {
    let payload: serde_json::Value = serde_json::from_slice(payload).unwrap_or_default();
    let (data, id) = (&payload["data"], endpoint.to_string());
    [&data["webhook_id"], &data["endpoint_id"]].iter().any(|named| named.as_str() == Some(&*id))
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
    /// How many endpoints whose patterns match it declined it by their filters.
    pub filtered: u32,
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
