//! What an idempotency key stands for, in 32 bytes.

use sha2::{Digest as _, Sha256};

use crate::store::NewEvent;

/// Stands for an event or a batch.
pub(crate) type Digest = [u8; 32];

/// Stands for type, resource and payload. Each part goes with its length, so that no two events can
/// run into the same bytes.
pub(crate) fn digest(event: &NewEvent) -> Digest {
    let mut hash = Sha256::new();
    let resource = event.resource_id.as_deref();
    hash.update([u8::from(resource.is_some())]);
    for part in
        [event.event_type.as_str().as_bytes(), resource.unwrap_or_default().as_bytes(), &event.payload]
    {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// Stands for a batch as a whole: its events, in their order.
pub(crate) fn batch_digest(events: &[NewEvent]) -> Digest {
    let mut hash = Sha256::new();
    // The digest of one event is over bytes that begin with 0 or 1.
    hash.update(b"batch");
    for event in events {
        hash.update(digest(event));
    }
    hash.finalize().into()
}

/// The key that remembers which event was at this place of a batch. A client's key has no control characters,
/// so none can be like it.
pub(crate) fn place_key(key: &str, index: usize) -> String {
    format!("{key}\u{1}{index}")
}
