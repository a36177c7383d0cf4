//! What a server is: its version, where it keeps things, and how it was configured. No secret.

use std::sync::Arc;

use super::Result;
use crate::domain::Timestamp;
use crate::store::{StorageFacts, Store};

/// What does not change while the server runs.
#[derive(Debug, Clone)]
pub struct Facts {
    pub version: &'static str,
    pub started_at: Timestamp,
    pub data_dir: String,
    /// What clients know it by, without a slash at its end.
    pub public_url: String,
    /// `network.allow`
    pub network_allow: Vec<String>,
    pub timeout: String,
    pub connect_timeout: String,
    pub retry_schedule: Vec<String>,
    pub jitter: f64,
    pub concurrency: u64,
    pub endpoint_concurrency: u64,
    pub disable_after_failures: u32,
    /// Bytes.
    pub response_body_limit: u64,
    pub signing_headers: Vec<String>,
    pub requests_per_minute: u32,
    pub events_per_second: u32,
    /// Bytes.
    pub event_size: u64,
}

/// Tells what the server is.
pub struct About {
    store: Arc<dyn Store>,
    facts: Facts,
}

impl About {
    /// Joins the parts.
    pub fn new(store: Arc<dyn Store>, facts: Facts) -> About {
        About { store, facts }
    }

    /// What does not change.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// How large its storage is now.
    pub async fn storage(&self) -> Result<StorageFacts> {
        Ok(self.store.storage_facts().await?)
    }
}
