//! All that is sealed, at once: for changing the key.

use async_trait::async_trait;

use super::Result;
use crate::domain::{Activity, Endpoint};

/// Seals what is sealed in an endpoint once more. `Err` has a sentence: why it cannot.
pub type Reseal = Box<dyn Fn(&mut Endpoint) -> std::result::Result<(), String> + Send>;

/// Sealed values of all apps.
#[async_trait]
pub trait SecretsStore: Send + Sync {
    /// Changes every endpoint that is not deleted, all of them or none, and says how many they were. The
    /// inner `Err` is that of `reseal`; nothing is changed then. No server may be running: what it has read
    /// would be written back.
    async fn secrets_reseal(
        &self,
        reseal: Reseal,
        activity: Activity,
    ) -> Result<std::result::Result<u64, String>>;
}
