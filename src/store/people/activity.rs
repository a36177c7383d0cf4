//! The activity log: what the system and users did.

use async_trait::async_trait;

use crate::domain::Timestamp;
use crate::domain::access::activity::{Activity, ActivityKind};
use crate::store::{Page, PageRequest, Result};

/// Which entries of the activity log are meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ActivityFilter {
    pub kind: Option<ActivityKind>,
    /// At or after.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
}

/// An entry with its number, which is never used twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivityEntry {
    pub id: i64,
    pub activity: Activity,
}

/// The record of what the system and people did. Nothing of it is ever changed.
#[async_trait]
pub trait ActivityStore: Send + Sync {
    /// Adds an entry that belongs to no other change.
    async fn activity_append(&self, activity: Activity) -> Result<()>;
    /// The newest entries, newest first.
    async fn activity_recent(&self, limit: u32) -> Result<Vec<Activity>>;
    /// Entries of all apps and of the server as a whole, newest first. The key is their number.
    async fn activity_list(
        &self,
        filter: ActivityFilter,
        page: PageRequest<i64>,
    ) -> Result<Page<ActivityEntry, i64>>;
}
