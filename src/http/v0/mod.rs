//! `/api/v0`: the surface of Devdraft's API (section 6 of the contract), over the same services as `/v1`.
//!
//! Its names live here and nowhere else: flat objects ([`shapes`]), `wh_` ids ([`ids`]), errors of its
//! own form ([`fault`]). Unlike `/v1`, it ignores fields and parameters that it does not know.

use poem::{IntoEndpoint, Route, get};
use poem_openapi::OpenApiService;

use crate::http::document::docs::Document;

pub mod fault;
mod ids;
pub mod openapi;
pub mod shapes;
mod webhooks;

/// The operations as a service, with the document that poem makes of them.
pub fn service() -> OpenApiService<webhooks::WebhooksApi, ()> {
    OpenApiService::new(webhooks::WebhooksApi, "Postrider, /api/v0", env!("CARGO_PKG_VERSION"))
}

/// The surface with its document, below [`fault::PREFIX`].
pub fn routes(document: Document) -> impl IntoEndpoint {
    Route::new().at(format!("{}/openapi.json", fault::PREFIX), get(document)).nest(fault::PREFIX, service())
}
