//! API keys. They are never deleted: a revoked key stays, so that the activity log can name it.

use async_trait::async_trait;

use crate::domain::access::activity::Activity;
use crate::domain::{AppId, Key, Timestamp};
use crate::store::Result;

/// API keys.
#[async_trait]
pub trait KeyStore: Send + Sync {
    /// Keeps a new key.
    async fn key_insert(&self, key: Key, activity: Activity) -> Result<()>;
    /// The key with this id (without prefix), whatever its state.
    async fn key_get(&self, id: &str) -> Result<Option<Key>>;
    /// All keys, newest first; of one app or of all.
    async fn key_list(&self, app: Option<AppId>) -> Result<Vec<Key>>;
    /// Ends a key; `false` when there is none or it has been revoked before.
    async fn key_revoke(&self, id: &str, now: Timestamp, activity: Activity) -> Result<bool>;
    /// Notes that a key was used.
    async fn key_touch(&self, id: &str, now: Timestamp) -> Result<()>;
}
