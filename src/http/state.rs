//! What every operation has at hand: the services, and the few facts about the server that only HTTP needs.
//!
//! It has a file of its own so that operations, extractors and the router can all name it without naming
//! each other.

use std::ops::Deref;
use std::sync::Arc;

use async_trait::async_trait;

use crate::service::Services;

use super::metrics::Metrics;
use super::request::budget::Budget;
use super::request::paging::CursorKey;

/// Says whether the server can do its work, for `/readyz`.
#[async_trait]
pub trait Readiness: Send + Sync {
    /// `Err` has a sentence: what is not ready.
    async fn ready(&self) -> Result<(), String>;
}

/// The contents of [`State`].
pub struct Parts {
    pub services: Services,
    pub readiness: Arc<dyn Readiness>,
    /// The path of `public_url`, without a slash at its end: empty, or `/hooks`.
    pub base_path: Arc<str>,
    /// The path of `inbound.public_url`, likewise.
    pub inbound_base_path: Arc<str>,
    pub metrics: Metrics,
    /// The memory for bodies.
    pub bodies: Arc<Budget>,
    /// What cursors are signed with.
    pub cursors: CursorKey,
    /// Whether clients come over TLS, as far as `public_url` says.
    pub is_https: bool,
}

impl Parts {
    /// A path on this server as it is seen from outside.
    pub fn path(&self, path: &str) -> String {
        format!("{}{path}", self.base_path)
    }
}

/// [`Parts`], shared: each request has its own handle, and one handle is one reference count.
#[derive(Clone)]
pub struct State(Arc<Parts>);

impl State {
    pub fn new(parts: Parts) -> State {
        State(Arc::new(parts))
    }
}

impl Deref for State {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
