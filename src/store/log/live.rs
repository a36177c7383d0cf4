//! Following the log: attempts in the order in which they end.
//!
//! That is not the order of their ids, because a slow request ends behind later ones; so an id alone
//! does not say what somebody has already seen. Storage numbers the ends of each app's attempts, in the
//! transactions that end them.

use async_trait::async_trait;

use crate::domain::attempts::attempt::Attempt;
use crate::domain::{AppId, AttemptId};
use crate::store::{AttemptFilter, Result};

/// A place in the order in which the attempts of an app end; larger is later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FinishPlace(pub i64);

/// Attempts that have ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishedPage {
    /// In the order in which they ended; each as it is now.
    pub rows: Vec<Attempt>,
    /// Up to where everything has been looked at.
    pub place: FinishPlace,
    /// Whether more had ended behind `place` by then.
    pub more: bool,
}

/// The order of ends.
#[async_trait]
pub trait LiveStore: Send + Sync {
    /// The place of the attempt that ended last; whatever ends from now on comes behind it.
    async fn finished_last(&self, app: AppId) -> Result<FinishPlace>;
    /// The place of an attempt; `None` when this app has none with this id, or it has not ended.
    async fn finished_place(&self, app: AppId, id: AttemptId) -> Result<Option<FinishPlace>>;
    /// Attempts that ended behind a place (cancelled ones too) and match, up to `limit`.
    async fn finished_after(
        &self,
        app: AppId,
        filter: AttemptFilter,
        after: FinishPlace,
        limit: u32,
    ) -> Result<FinishedPage>;
}
