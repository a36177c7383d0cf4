//! A store in memory, as far as the tests of these services need one.

use std::sync::Mutex;

use async_trait::async_trait;

use crate::domain::{Activity, App, AppId, Key, Timestamp};
use crate::store::{AppRenamed, AppStore, KeyStore, Result};

/// Apps and keys in memory.
#[derive(Default)]
pub(crate) struct FakeStore(Mutex<Rows>);

#[derive(Default)]
struct Rows {
    apps: Vec<App>,
    keys: Vec<Key>,
    activity: Vec<Activity>,
}

impl FakeStore {
    pub(crate) fn with_default_app(now: Timestamp) -> FakeStore {
        let store = FakeStore::default();
        let name = crate::domain::access::app::DEFAULT_APP.to_owned();
        store.0.lock().unwrap().apps.push(App { id: AppId::new(now), name, created_at: now });
        store
    }

    pub(crate) fn activity(&self) -> Vec<Activity> {
        self.0.lock().unwrap().activity.clone()
    }
}

#[async_trait]
impl AppStore for FakeStore {
    async fn app_insert(&self, app: App, activity: Activity) -> Result<bool> {
        let mut rows = self.0.lock().unwrap();
        if rows.apps.iter().any(|a| a.name == app.name) {
            return Ok(false);
        }
        rows.apps.push(app);
        rows.activity.push(activity);
        Ok(true)
    }

    async fn app_rename(&self, id: AppId, name: String, activity: Activity) -> Result<AppRenamed> {
        let mut rows = self.0.lock().unwrap();
        if rows.apps.iter().any(|a| a.name == name && a.id != id) {
            return Ok(AppRenamed::NameTaken);
        }
        let Some(app) = rows.apps.iter_mut().find(|a| a.id == id) else { return Ok(AppRenamed::NotFound) };
        app.name = name;
        rows.activity.push(activity);
        Ok(AppRenamed::Done)
    }

    async fn app_list(&self) -> Result<Vec<App>> {
        Ok(self.0.lock().unwrap().apps.clone())
    }

    async fn app_get(&self, id: AppId) -> Result<Option<App>> {
        Ok(self.0.lock().unwrap().apps.iter().find(|a| a.id == id).cloned())
    }

    async fn app_find(&self, name: &str) -> Result<Option<App>> {
        Ok(self.0.lock().unwrap().apps.iter().find(|a| a.name == name).cloned())
    }
}

#[async_trait]
impl KeyStore for FakeStore {
    async fn key_insert(&self, key: Key, activity: Activity) -> Result<()> {
        let mut rows = self.0.lock().unwrap();
        rows.keys.push(key);
        rows.activity.push(activity);
        Ok(())
    }

    async fn key_get(&self, id: &str) -> Result<Option<Key>> {
        Ok(self.0.lock().unwrap().keys.iter().find(|k| k.id == id).cloned())
    }

    async fn key_list(&self, app: Option<AppId>) -> Result<Vec<Key>> {
        let rows = self.0.lock().unwrap();
        Ok(rows.keys.iter().rev().filter(|k| app.is_none_or(|app| k.app_id == app)).cloned().collect())
    }

    async fn key_revoke(&self, id: &str, now: Timestamp, activity: Activity) -> Result<bool> {
        let mut rows = self.0.lock().unwrap();
        let Some(key) = rows.keys.iter_mut().find(|k| k.id == id && k.revoked_at.is_none()) else {
            return Ok(false);
        };
        key.revoked_at = Some(now);
        rows.activity.push(activity);
        Ok(true)
    }

    async fn key_touch(&self, _id: &str, _now: Timestamp) -> Result<()> {
        Ok(())
    }
}
