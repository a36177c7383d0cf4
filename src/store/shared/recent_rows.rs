//! What the newest rows of a delivery say of it.

use crate::domain::attempts::attempt::AttemptStatus;
use crate::domain::attempts::delivery::{DeliveryState, RecentDelivery};
use crate::domain::{EventId, EventType, Timestamp};

/// A row, as far as it is shown.
pub(crate) struct RowState {
    pub(crate) status: AttemptStatus,
    pub(crate) attempt: u32,
    pub(crate) response_status: Option<u16>,
    pub(crate) response_time_ms: Option<u32>,
    pub(crate) error_message: Option<String>,
    pub(crate) attempted_at: Option<Timestamp>,
}

/// The delivery of an event, by its two newest rows, newest first. `None`: it has no row.
pub(crate) fn delivery(
    event_id: EventId,
    event_type: EventType,
    event_created_at: Timestamp,
    rows: &[RowState],
) -> Option<RecentDelivery> {
    let now = rows.first()?;
    // A cancelled row was never sent, so the one before it tells more.
    let waits = matches!(now.status, AttemptStatus::Pending | AttemptStatus::Cancelled);
    let ended = if waits { rows.get(1) } else { Some(now) };
    Some(RecentDelivery {
        event_id,
        event_type,
        event_created_at,
        state: DeliveryState::of(now.status),
        response_status: ended.and_then(|e| e.response_status),
        response_time_ms: ended.and_then(|e| e.response_time_ms),
        error_message: ended.and_then(|e| e.error_message.clone()),
        attempted_at: ended.and_then(|e| e.attempted_at),
        retries: ended.map_or(0, |e| e.attempt.saturating_sub(1)),
    })
}
