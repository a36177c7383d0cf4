//! Who is calling and what they may do.
//!
//! * [`auth`]: API keys and session cookies. [`sessions`]: sign-in and sign-out; [`throttle`]: guessing
//!   passwords, on several nodes by [`shared_throttle`].
//! * [`accounts`], [`apps`], [`keys`], [`users`]: managing them.
//! * [`limits`]: token buckets for each client.

pub mod accounts;
pub mod apps;
pub mod auth;
pub mod buckets;
pub mod keys;
pub mod limits;
pub mod sessions;
pub(super) mod shared_throttle;
pub(super) mod throttle;
pub mod users;
