//! The regular query that finds what hints missed: which endpoints have pending attempts, which single shots
//! are due, what is to be cancelled, and what has been held for too long. It only reads, and cancels;
//! [`crate::delivery::scheduling::scheduler`] decides.

use crate::domain::{AttemptId, ShardSet, Timestamp};
use crate::store::{EndpointQueue, Queued, Store, StoreError};

/// Pending attempts that are cancelled, or exhausted, in one step.
pub(crate) const STEP: u32 = 1_000;

/// The result of a poll.
pub(crate) struct Poll {
    /// Endpoints with pending attempts, of the shards that are held.
    pub(crate) endpoints: Vec<EndpointQueue>,
    /// Single shots that are due.
    pub(crate) singles: Vec<Queued>,
    /// Attempts that have been held for too long.
    pub(crate) overdue: Vec<AttemptId>,
    /// How many attempts this poll cancelled.
    pub(crate) cancelled: u32,
    /// Whether another poll is needed at once: there is more to cancel, or there are more single shots.
    pub(crate) more: bool,
}

/// Polls the table, for endpoints of these shards and at most `singles_limit` single shots; 0 if there is no
/// room for any. What has been held since `held_since` or longer has been held for too long.
pub(crate) async fn poll(
    store: &dyn Store,
    now: Timestamp,
    held: ShardSet,
    singles_limit: usize,
    held_since: Option<Timestamp>,
) -> Result<Poll, StoreError> {
    // Cancelling needs space on the disk; reading does not. So a failure here must not stop the rest.
    let cancelled = store.queue_cancel(STEP).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "pending attempts of disabled endpoints could not be cancelled");
        0
    });
    let overdue = match held_since {
        None => Vec::new(),
        Some(since) => store.queue_overdue(since, STEP, held).await?,
    };
    let endpoints = store.queue_endpoints(held).await?;
    let singles = match u32::try_from(singles_limit).unwrap_or(u32::MAX) {
        0 => Vec::new(),
        limit => store.queue_singles(now, limit, held).await?,
    };
    let more_singles = singles_limit > 0 && singles.len() >= singles_limit;
    let more = cancelled >= STEP || more_singles;
    Ok(Poll { endpoints, singles, overdue, cancelled, more })
}
