//! Who may do what, and what they did: [`apps`], [`keys`], [`users`] with their sessions, the [`activity`]
//! log, and the targets of [`alerts`].

pub(super) mod activity;
pub(super) mod alerts;
pub(super) mod apps;
pub(super) mod keys;
pub(super) mod users;
