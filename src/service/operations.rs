//! What is about the server as a whole: the activity log, and sweeping by hand.
//!
//! Callers have the scope `admin` and so see every app; entries are not cut down to the
//! app that a caller is in, because those of the whole server belong to none.

use std::sync::Arc;

use async_trait::async_trait;

use crate::domain::sweep::{SweepState, Swept};
use crate::store::{Page, PageRequest, Store};

pub use crate::store::{ActivityEntry, ActivityFilter};

use super::{By, Result};

/// What this service needs of retention. `crate::app` joins the two.
#[async_trait]
pub trait Sweep: Send + Sync {
    /// Removes now what is older than its policy. A conflict when the clock is not to be trusted.
    async fn sweep(&self, by: &By) -> Result<Swept>;
    /// What is known of sweeps since the start.
    async fn state(&self) -> SweepState;
}

/// The use cases of the server as a whole.
pub struct Operations {
    store: Arc<dyn Store>,
    sweep: Arc<dyn Sweep>,
}

impl Operations {
    /// Joins the parts.
    pub fn new(store: Arc<dyn Store>, sweep: Arc<dyn Sweep>) -> Operations {
        Operations { store, sweep }
    }

    /// A page of the activity log, newest first.
    pub async fn activity(
        &self,
        filter: ActivityFilter,
        page: PageRequest<i64>,
    ) -> Result<Page<ActivityEntry, i64>> {
        Ok(self.store.activity_list(filter, page).await?)
    }

    /// Removes now what is older than its policy.
    pub async fn sweep(&self, by: &By) -> Result<Swept> {
        self.sweep.sweep(by).await
    }
}
