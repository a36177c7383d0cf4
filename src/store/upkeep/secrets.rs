//! All that is sealed, at once: for changing the key.

use async_trait::async_trait;

use crate::domain::alert::AlertTarget;
use crate::domain::inbound::source::Source;
use crate::domain::{Activity, Endpoint, Sealed};
use crate::host::vault::KeyEvidence;
use crate::store::Result;

/// Seals what is sealed in a value once more. `Err` has a sentence: why it cannot.
pub type SealAgain<T> = Box<dyn Fn(&mut T) -> std::result::Result<(), String> + Send>;

/// For everything that has something sealed in it.
pub struct Reseal {
    pub endpoint: SealAgain<Endpoint>,
    pub alert_target: SealAgain<AlertTarget>,
    pub source: SealAgain<Source>,
    /// The check value of the new key.
    pub key_check: Sealed,
}

/// What was sealed once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resealed {
    pub endpoints: usize,
    pub alert_targets: usize,
    pub sources: usize,
}

/// Sealed values of all apps.
#[async_trait]
pub trait SecretsStore: Send + Sync {
    /// Changes every endpoint and source that is not deleted and every target of alerts, all of them or none. The
    /// inner `Err` is that of `reseal`; nothing is changed then. No server may be running: what it has read
    /// would be written back.
    async fn secrets_reseal(
        &self,
        reseal: Reseal,
        activity: Activity,
    ) -> Result<std::result::Result<Resealed, String>>;
    /// What shows with which key the database was written: the check value, or else all that is sealed.
    async fn secrets_key_evidence(&self) -> Result<KeyEvidence>;
    /// Stores the check value. Without effect when there is one.
    async fn secrets_put_key_check(&self, check: Sealed) -> Result<()>;
}
