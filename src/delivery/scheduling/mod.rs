//! Which attempt is sent next, and when.
//!
//! * [`dispatcher`] is the handle that the rest of the program has; it talks to the [`scheduler`] in [`messages`].
//! * [`scheduler`]: a bounded [`lane`] for each endpoint, served in [`turns`], within [`slots`] and the endpoint's
//!   [`pace`]; [`claims`] knows which attempts are in memory, [`poll`] asks the table, [`wakes`] holds the timers.
//! * [`bulk_jobs`] queues retries, recoveries and replays in the background.
//!
//! Nothing here makes a request.

pub mod bulk_jobs;
pub(super) mod claims;
pub mod dispatcher;
pub(super) mod lane;
pub(super) mod messages;
pub(super) mod pace;
pub(super) mod poll;
pub(super) mod scheduler;
pub(super) mod slots;
pub(super) mod turns;
pub(super) mod wakes;
