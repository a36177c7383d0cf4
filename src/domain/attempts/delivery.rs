//! A delivery as a whole: one event on its way to one endpoint, whatever the number of its attempts.

use crate::domain::attempts::attempt::AttemptStatus;
use crate::domain::values::words::words;
use crate::domain::{EventId, EventType, Timestamp};

words! {
    /// How a delivery stands, in the three words that people use.
    pub enum DeliveryState {
        Delivered = "delivered",
        /// Exhausted, or cancelled before it was sent.
        Failed = "failed",
        /// Not sent yet, or waiting for a retry.
        Pending = "pending",
    }
}

impl DeliveryState {
    /// From the status of the newest attempt.
    pub fn of(newest: AttemptStatus) -> DeliveryState {
        match newest {
            AttemptStatus::Delivered => DeliveryState::Delivered,
            AttemptStatus::Exhausted | AttemptStatus::Cancelled | AttemptStatus::Failed => {
                DeliveryState::Failed
            }
            AttemptStatus::Pending => DeliveryState::Pending,
        }
    }
}

/// A delivery among an endpoint's latest. What came back is told of the newest attempt that has ended,
/// also while the next one is pending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecentDelivery {
    pub event_id: EventId,
    pub event_type: EventType,
    pub event_created_at: Timestamp,
    pub state: DeliveryState,
    pub response_status: Option<u16>,
    pub response_time_ms: Option<u32>,
    pub error_message: Option<String>,
    pub attempted_at: Option<Timestamp>,
    /// Attempts that have ended, after the first.
    pub retries: u32,
}
