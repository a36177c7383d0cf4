//! Moving in and out: apps, webhooks, sources and keys as one document ([`document`]), made by [`export`] and taken
//! in by [`import`].
//!
//! It is for moving to another server, for keeping a configuration under version control, and for what
//! comes from other products (which is made into such a document first). It is no backup: events and the
//! log are not in it. Taking in is all or nothing, and taking in twice changes nothing.

pub mod document;
pub mod export;
mod export_sources;
pub mod import;
mod import_sources;

pub use document::Document;
