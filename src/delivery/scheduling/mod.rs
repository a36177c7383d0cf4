//! Which attempt is sent next, and when.
//!
//! * [`dispatcher`] is the handle for the rest of the program; it talks to the [`scheduler`] in [`messages`].
//! * [`scheduler`] has a bounded [`lane`] for each endpoint and serves the lanes in [`turns`], within
//!   [`slots`] and each endpoint's [`rate_limiter`]. [`claims`] knows which attempts are in memory, [`poll`]
//!   finds what hints missed, [`timers`] says which lane to update when.
//! * [`bulk_jobs`] queues retries, recoveries and replays in the background.
//!
//! Nothing here makes a request.

pub mod bulk_jobs;
pub(super) mod claims;
pub mod dispatcher;
pub(super) mod lane;
pub(super) mod messages;
pub(super) mod poll;
pub(super) mod rate_limiter;
pub(super) mod scheduler;
pub(super) mod slots;
pub(super) mod timers;
pub(super) mod turns;
