//! Who may do what, and what they did: [`apps`], [`keys`], [`users`] with their sessions, failed [`sign_ins`], the
//! [`activity`] log, and the targets of [`alerts`].

pub(super) mod activity;
pub(super) mod alerts;
pub(super) mod apps;
pub(super) mod keys;
pub(super) mod sign_ins;
pub(super) mod users;
