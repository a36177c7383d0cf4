//! Taking in what another server has given out: apps, endpoints and keys, all of it or nothing.

use async_trait::async_trait;

use crate::domain::inbound::source::Source;
use crate::domain::{Activity, App, AppId, Endpoint, EndpointId, Key};
use crate::store::Result;

/// What is written at once.
#[derive(Debug, Clone)]
pub struct Import {
    pub new_apps: Vec<App>,
    pub new_endpoints: Vec<Endpoint>,
    /// Endpoints that are there, as they are to be.
    pub changed_endpoints: Vec<Endpoint>,
    pub new_keys: Vec<Key>,
    pub new_sources: Vec<Source>,
    /// Sources that are there, as they are to be.
    pub changed_sources: Vec<Source>,
    pub activity: Activity,
}

/// Imports.
#[async_trait]
pub trait MovingStore: Send + Sync {
    /// The app that an endpoint belongs to, and whether it was deleted.
    async fn endpoint_place(&self, id: EndpointId) -> Result<Option<(AppId, bool)>>;
    /// Writes all of an import, in one transaction.
    async fn import(&self, import: Import) -> Result<()>;
}
