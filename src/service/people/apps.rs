//! Apps: making, listing, finding.

use serde_json::json;

use crate::domain::{ActivityKind, App, AppId, Timestamp};
use crate::service::{By, check_name};
use crate::store::{AppStore, StoreError};

/// Why an app was not made or found.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error("{0}")]
    BadName(String),
    #[error("there is an app {0:?} already; choose another name")]
    NameTaken(String),
    #[error("there is no app {0:?}; `postrider app list` shows all")]
    NotFound(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes an app.
pub async fn create<S>(store: &S, name: &str, by: &By, now: Timestamp) -> Result<App, AppError>
where
    S: AppStore + ?Sized,
{
    check(name)?;
    let app = App { id: AppId::new(now), name: name.to_owned(), created_at: now };
    let details = json!({ "app_id": app.id.to_string(), "name": name });
    let activity =
        by.activity(ActivityKind::AppCreated, Some(app.id), format!("App {name} was created"), details, now);
    if store.app_insert(app.clone(), activity).await? {
        Ok(app)
    } else {
        Err(AppError::NameTaken(name.to_owned()))
    }
}

/// Checks the name of an app.
pub(crate) fn check(name: &str) -> Result<(), AppError> {
    check_name(name).map_err(AppError::BadName)?;
    if name.parse::<AppId>().is_ok() {
        return Err(AppError::BadName(format!("{name} looks like an id; choose a name that does not")));
    }
    Ok(())
}

/// All apps by name.
pub async fn list<S: AppStore + ?Sized>(store: &S) -> Result<Vec<App>, AppError> {
    Ok(store.app_list().await?)
}

/// The app with this id or this name.
pub async fn find<S: AppStore + ?Sized>(store: &S, name_or_id: &str) -> Result<App, AppError> {
    let found = match name_or_id.parse::<AppId>() {
        Ok(id) => store.app_get(id).await?,
        Err(_) => store.app_find(name_or_id).await?,
    };
    found.ok_or_else(|| AppError::NotFound(name_or_id.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::fake::FakeStore;

    const NOW: i64 = 1_700_000_000_000;

    #[tokio::test]
    async fn an_app_is_found_by_name_and_by_id() {
        let (store, now) = (FakeStore::default(), Timestamp::from_millis(NOW));
        let app = create(&store, "shop", &By::command_line(), now).await.unwrap();
        assert_eq!(find(&store, "shop").await.unwrap(), app);
        assert_eq!(find(&store, &app.id.to_string()).await.unwrap(), app);
        assert!(matches!(find(&store, "other").await, Err(AppError::NotFound(_))));
        assert_eq!(store.activity()[0].summary, "App shop was created");
    }

    #[tokio::test]
    async fn names_are_unique_and_plain() {
        let (store, now) = (FakeStore::default(), Timestamp::from_millis(NOW));
        let by = By::command_line();
        create(&store, "shop", &by, now).await.unwrap();
        assert!(matches!(create(&store, "shop", &by, now).await, Err(AppError::NameTaken(_))));
        let id = AppId::new(now).to_string();
        for name in ["", " shop", "a\nb", &"x".repeat(101), &id] {
            assert!(matches!(create(&store, name, &by, now).await, Err(AppError::BadName(_))), "{name:?}");
        }
    }
}
