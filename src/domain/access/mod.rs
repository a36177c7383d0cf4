//! Who may do what: [`app`], [`key`], [`user`], [`session`], [`scope`]; and what they did: [`activity`].

pub mod activity;
pub mod app;
pub mod key;
pub mod scope;
pub mod session;
pub mod user;
