//! Apps: the tenants of a server. There are few, and none is ever deleted.

use async_trait::async_trait;

use crate::domain::access::activity::Activity;
use crate::domain::{App, AppId};
use crate::store::Result;

/// What became of a new name for an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppRenamed {
    Done,
    /// There is no such app.
    NotFound,
    /// Another app has this name.
    NameTaken,
}

/// Apps.
#[async_trait]
pub trait AppStore: Send + Sync {
    /// Makes an app; `false` when the name is taken.
    async fn app_insert(&self, app: App, activity: Activity) -> Result<bool>;
    /// All apps by name.
    async fn app_list(&self) -> Result<Vec<App>>;
    /// Gives an app another name.
    async fn app_rename(&self, id: AppId, name: String, activity: Activity) -> Result<AppRenamed>;
    /// The app with this id.
    async fn app_get(&self, id: AppId) -> Result<Option<App>>;
    /// The app with this name.
    async fn app_find(&self, name: &str) -> Result<Option<App>>;
}
