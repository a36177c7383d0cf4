//! The regular question to the table: which endpoints have something pending, what is to be sent at once,
//! and what is to be cancelled. Nothing is decided here; [`crate::delivery::scheduling::scheduler`] does that.

use crate::domain::Timestamp;
use crate::store::{EndpointQueue, Queued, Store, StoreError};

/// Pending attempts cancelled in one step.
const CANCEL_STEP: u32 = 1_000;

/// What the table has said.
pub(crate) struct Poll {
    /// Those that have something pending.
    pub(crate) endpoints: Vec<EndpointQueue>,
    /// Single shots that are due.
    pub(crate) singles: Vec<Queued>,
    /// How many were cancelled just now.
    pub(crate) cancelled: u32,
    /// Whether there is more to cancel, or there are more single shots.
    pub(crate) more: bool,
}

/// Asks, with at most so many single shots; 0 if there is no room for any.
pub(crate) async fn poll(
    store: &dyn Store,
    now: Timestamp,
    singles_limit: usize,
) -> Result<Poll, StoreError> {
    // Cancelling needs room on the disk; reading does not.
    let cancelled = store.queue_cancel(CANCEL_STEP).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "what is pending at disabled endpoints could not be cancelled");
        0
    });
    let endpoints = store.queue_endpoints().await?;
    let singles = match u32::try_from(singles_limit).unwrap_or(u32::MAX) {
        0 => Vec::new(),
        limit => store.queue_singles(now, limit).await?,
    };
    let more_singles = singles_limit > 0 && singles.len() >= singles_limit;
    Ok(Poll { endpoints, cancelled, more: cancelled >= CANCEL_STEP || more_singles, singles })
}
