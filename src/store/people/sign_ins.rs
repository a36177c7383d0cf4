//! What is known of failed sign-ins, where nodes share the storage. A crash of the database may lose all of it: no disk
//! is waited for because a stranger guesses.

use async_trait::async_trait;

use crate::domain::Timestamp;
use crate::store::Result;

/// What is kept under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignInLevel {
    /// What is missing from a bucket.
    pub missing: u64,
    /// When that was so.
    pub at: Timestamp,
    /// When it is of no interest any more.
    pub until: Timestamp,
}

/// Changes what is kept: each is as it was found, and is kept as it is left.
pub type SignInDecision = Box<dyn FnOnce(&mut [Option<SignInLevel>]) + Send>;

/// Failed sign-ins of all nodes.
#[async_trait]
pub trait SignInStore: Send + Sync {
    /// Lets something be decided by what is kept under these names, while nobody else decides anything.
    async fn sign_in_decide(&self, names: Vec<String>, now: Timestamp, decide: SignInDecision) -> Result<()>;
}
