//! `/admin`: the dashboard's page, and what it needs that `/v1` does not have.
//!
//! `/admin/api` answers with flat JSON objects; its errors have the envelope of `/v1`. Who may call an
//! operation is said as everywhere else, by its first argument ([`crate::http::request::auth`]).

use poem::{Route, get};
use poem_openapi::{OpenApiService, Tags};

use crate::http::document::docs::Document;

mod account;
mod alerts;
mod apps;
mod context;
mod examples;
mod keys;
mod log_level;
mod modules;
mod nodes;
pub mod openapi;
mod operation;
mod overview;
mod pages;
mod session;
mod shapes;
mod users;

/// The groups of operations.
#[derive(Tags)]
enum Tag {
    /// Setting up, signing in and out.
    Session,
    /// Users of the dashboard.
    People,
    /// What keeps the customers of one server apart.
    Apps,
    /// API keys.
    Keys,
    /// Pending deliveries, the health of webhooks, and a first webhook to try.
    Overview,
    /// Retention, what the server is, and what it logs.
    Operation,
    /// Who is told of troubles, and by which way.
    Alerts,
}

/// All operations, a topic each.
type Apis = (
    session::SessionApi,
    account::AccountApi,
    overview::OverviewApi,
    context::ContextApi,
    users::UsersApi,
    apps::AppsApi,
    keys::KeysApi,
    operation::OperationApi,
    alerts::AlertsApi,
    log_level::LogLevelApi,
);

/// The operations as a service, with the document that poem makes of them.
pub fn service() -> OpenApiService<Apis, ()> {
    let apis = (
        session::SessionApi,
        account::AccountApi,
        overview::OverviewApi,
        context::ContextApi,
        users::UsersApi,
        apps::AppsApi,
        keys::KeysApi,
        operation::OperationApi,
        alerts::AlertsApi,
        log_level::LogLevelApi,
    );
    OpenApiService::new(apis, "Postrider dashboard", env!("CARGO_PKG_VERSION"))
}

/// Everything below `/admin`, with the document of the operations.
pub fn routes(document: Document) -> Route {
    Route::new()
        .nest("/api", service())
        .at("/openapi.json", get(document))
        .at("/assets/:hash/*path", get(pages::file))
        .at("/", get(pages::page))
        .at("/*path", get(pages::page))
}
