//! `/admin`: the dashboard's page, and what it needs that `/v1` does not have.
//!
//! `/admin/api` answers with flat JSON objects; its errors have the envelope of `/v1`. Who may call an
//! operation is said as everywhere else, by its first argument ([`crate::http::auth`]).

use poem::{Route, get};
use poem_openapi::{OpenApiService, Tags};

mod pages;
mod session;

pub use pages::{covers, loggable, protect};

/// The groups of operations.
#[derive(Tags)]
enum Tag {
    /// Setting up, signing in and out.
    Session,
}

/// All operations, a topic each.
type Apis = session::SessionApi;

/// The operations as a service, with the document that poem makes of them.
pub fn service() -> OpenApiService<Apis, ()> {
    OpenApiService::new(session::SessionApi, "Postrider dashboard", env!("CARGO_PKG_VERSION"))
}

/// Everything below `/admin`.
pub fn routes() -> Route {
    Route::new()
        .nest("/api", service())
        .at("/assets/:hash/*path", get(pages::file))
        .at("/", get(pages::page))
        .at("/*path", get(pages::page))
}
