//! The regular query that finds what hints missed: which endpoints have pending attempts, which single shots
//! are due, and what is to be cancelled or has been held for too long. It only reads and ends those;
//! [`crate::delivery::scheduling::scheduler`] decides.

use crate::domain::{ShardSet, Timestamp};
use crate::store::{EndpointQueue, Queued, Store, StoreError};

/// Pending attempts cancelled in one step.
const CANCEL_STEP: u32 = 1_000;

/// The result of a poll.
pub(crate) struct Poll {
    /// Endpoints with pending attempts, of the shards that are held.
    pub(crate) endpoints: Vec<EndpointQueue>,
    /// Single shots that are due.
    pub(crate) singles: Vec<Queued>,
    /// How many attempts this poll cancelled, or exhausted because they were held for too long.
    pub(crate) cancelled: u32,
    /// Whether another poll is needed at once: there is more to cancel, or there are more single shots.
    pub(crate) more: bool,
}

/// Polls the table, for endpoints of these shards and at most `singles_limit` single shots; 0 if there is no
/// room for any.
pub(crate) async fn poll(
    store: &dyn Store,
    now: Timestamp,
    held: ShardSet,
    singles_limit: usize,
    hold_at_most_ms: i64,
) -> Result<Poll, StoreError> {
    // Cancelling needs space on the disk; reading does not. So a failure here must not stop the rest.
    let cancelled = store.queue_cancel(CANCEL_STEP).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "pending attempts of disabled endpoints could not be cancelled");
        0
    });
    let given_up = match hold_at_most_ms {
        0 => 0,
        at_most => {
            store.queue_give_up(now.plus_ms(-at_most), now, CANCEL_STEP).await.unwrap_or_else(|error| {
                tracing::warn!(%error, "deliveries that were held for too long could not be exhausted");
                0
            })
        }
    };
    let endpoints = store.queue_endpoints(held).await?;
    let singles = match u32::try_from(singles_limit).unwrap_or(u32::MAX) {
        0 => Vec::new(),
        limit => store.queue_singles(now, limit, held).await?,
    };
    let more_singles = singles_limit > 0 && singles.len() >= singles_limit;
    let more = cancelled >= CANCEL_STEP || given_up >= CANCEL_STEP || more_singles;
    Ok(Poll { endpoints, cancelled: cancelled + given_up, more, singles })
}
