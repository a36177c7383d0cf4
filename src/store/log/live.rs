//! Following the log: attempts in the order of their results.
//!
//! That is not the order of their ids, because the result of a slow request comes after those of later ones;
//! so an id alone does not say what a follower has already seen. Storage numbers the results of each app's
//! attempts, in the transactions that write them.

use async_trait::async_trait;

use crate::domain::attempts::attempt::Attempt;
use crate::domain::{AppId, AttemptId};
use crate::store::{AttemptFilter, Result};

/// A position in the order in which the attempts of an app get their results; larger is later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ResultSeq(pub i64);

/// Attempts that have a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultPage {
    /// In the order of their results; each as it is now.
    pub rows: Vec<Attempt>,
    /// Everything up to this position has been read.
    pub result_seq: ResultSeq,
    /// Whether there was more after `result_seq` by then.
    pub more: bool,
}

/// The order of results.
#[async_trait]
pub trait LiveStore: Send + Sync {
    /// The position of the last result; every later result comes after it.
    async fn result_seq_last(&self, app: AppId) -> Result<ResultSeq>;
    /// The position of an attempt; `None` when this app has no attempt with this id, or it has no result yet.
    async fn result_seq_of(&self, app: AppId, id: AttemptId) -> Result<Option<ResultSeq>>;
    /// Attempts whose results come after a position (cancelled ones too) and match, up to `limit`.
    async fn results_after(
        &self,
        app: AppId,
        filter: AttemptFilter,
        after: ResultSeq,
        limit: u32,
    ) -> Result<ResultPage>;
}
