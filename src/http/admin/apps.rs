//! `/admin/api/apps`: what keeps the customers of one server apart.

use poem_openapi::param::Path;
use poem_openapi::payload::Json as Answer;
use poem_openapi::{Object, OpenApi};

use crate::domain::App;
use crate::http::problem::Problem;
use crate::http::request::auth::Admin;
use crate::http::request::body::{BodyShape, Json};
use crate::service::{Kind, ServiceError};

use super::Tag;
use super::shapes::{Made, Whole, texts};

/// An owner of webhooks, events and keys.
#[derive(Object)]
#[oai(rename = "App")]
struct AppObject {
    /// UUID of the app, as `X-App-Id` takes it.
    id: String,
    name: String,
    /// RFC 3339, UTC.
    created_at: String,
}

impl AppObject {
    fn of(app: &App) -> AppObject {
        AppObject { id: app.id.to_string(), name: app.name.clone(), created_at: app.created_at.to_string() }
    }
}

/// An app to make, or what changes about one.
#[derive(Object)]
#[allow(dead_code, reason = "it documents the body, which is read field by field")]
struct AppBody {
    /// 1 to 100 characters, unique.
    name: String,
}

impl BodyShape for AppBody {}

/// The operations.
pub struct AppsApi;

#[OpenApi(tag = "Tag::Apps")]
impl AppsApi {
    /// List apps
    ///
    /// All apps by name.
    #[oai(path = "/apps", method = "get", operation_id = "list_apps")]
    async fn list(&self, auth: Admin) -> Result<Answer<Whole<AppObject>>, Problem> {
        let apps = auth.state.services.accounts.apps().await?;
        Ok(Answer(Whole { data: apps.iter().map(AppObject::of).collect() }))
    }

    /// Create an app
    ///
    /// It has nothing yet. A name that is taken: 409.
    #[oai(path = "/apps", method = "post", operation_id = "create_app")]
    async fn create(&self, auth: Admin, body: Json<AppBody>) -> Result<Made<AppObject>, Problem> {
        let [name] = texts(&body.bytes, ["name"])?;
        let app = auth.state.services.accounts.create_app(&auth.caller.by, &name).await?;
        Ok(Made::Made(Answer(AppObject::of(&app))))
    }

    /// Rename an app
    ///
    /// Its id stays. The app `default` keeps its name: 409, as for a name that is taken.
    #[oai(path = "/apps/:id", method = "patch", operation_id = "rename_app")]
    async fn rename(
        &self,
        auth: Admin,
        id: Path<String>,
        body: Json<AppBody>,
    ) -> Result<Answer<AppObject>, Problem> {
        let id = id.parse().map_err(|_| ServiceError::NotFound(Kind::App))?;
        let [name] = texts(&body.bytes, ["name"])?;
        let app = auth.state.services.accounts.rename_app(&auth.caller.by, id, &name).await?;
        Ok(Answer(AppObject::of(&app)))
    }
}
