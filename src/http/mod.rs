//! The HTTP surfaces: thin, over the services.
//!
//! A request passes, from the outside in: the accept loop ([`transport::server`]), the shell ([`shell`]:
//! request id, base path, panics, one envelope for every error), the route (but for the most frequent request:
//! [`shortcut`]), the operation, which reads its input with [`request`]. Surfaces use services only, never storage.

use poem::{Endpoint, EndpointExt, Response, Route, get};

use document::{allow, docs, generators, root};
use state::State;

pub mod admin;
pub mod base_path;
pub mod document;
pub mod health;
pub mod inbound;
pub mod metrics;
pub mod problem;
pub mod request;
pub mod shell;
mod shortcut;
pub mod state;
pub mod surface;
pub mod transport;
pub mod v0;
pub mod v1;

/// Whether the URLs of sources are served with everything else, or at an address of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InboundPlace {
    Here,
    Elsewhere,
}

/// The URLs of sources and `/healthz`, and nothing else.
pub fn inbound_app(state: State) -> impl Endpoint<Output = Response> + 'static {
    let base_path = state.inbound_base_path.clone();
    let routes = inbound_routes(Route::new()).at("/healthz", get(health::healthz)).data(state);
    shell::Shell::new(routes, [base_path.clone(), base_path], allow::Allowed::of(Vec::new))
}

fn inbound_routes(routes: Route) -> Route {
    let door = std::sync::Arc::new(inbound::Door::default());
    routes.at("/in/:token", door.clone()).at("/in/:token/*rest", door)
}

/// All surfaces as one endpoint, which never fails.
pub fn app(state: State, place: InboundPlace) -> impl Endpoint<Output = Response> + 'static {
    let document = |of: fn(&str) -> serde_json::Value| {
        let base_path = state.base_path.clone();
        docs::Document::new(move || of(&base_path))
    };
    let (v1_document, v0_document) = (document(openapi_v1), document(openapi_v0));
    let admin_document = document(openapi_admin);
    let all = [openapi_v1, openapi_v0, openapi_admin];
    let base = state.base_path.clone();
    let allowed = allow::Allowed::of(move || all.iter().map(|document| document(&base)).collect());
    let base_paths = [state.base_path.clone(), state.inbound_base_path.clone()];
    let routes = match place {
        InboundPlace::Here => inbound_routes(Route::new()),
        InboundPlace::Elsewhere => Route::new(),
    };
    let routes = routes
        .nest("/v1", v1::service())
        .nest_no_strip("/api/v0", v0::routes(v0_document))
        .nest("/admin", admin::routes(admin_document))
        .at("/", get(root::root))
        .at("/favicon.ico", get(root::favicon))
        .at("/openapi.json", get(v1_document))
        .at("/docs", get(docs::page))
        .at("/docs/", get(docs::with_slash))
        .at("/docs/:file", get(docs::file))
        .at("/healthz", get(health::healthz))
        .at("/readyz", get(health::readyz))
        .at("/metrics", get(metrics::metrics).data(state.metrics.clone()))
        .data(state.clone());
    let routes = shortcut::Shortcut::new(routes, state);
    shell::Shell::new(routes, base_paths, allowed)
}

/// The OpenAPI document of `/v1`, as `/openapi.json` serves it. `base_path` is that of [`State`].
pub fn openapi_v1(base_path: &str) -> serde_json::Value {
    generators::adapt(v1::openapi::complete(&v1::service().spec(), base_path))
}

/// The OpenAPI document of `/admin/api`, as `/admin/openapi.json` serves it.
pub fn openapi_admin(base_path: &str) -> serde_json::Value {
    generators::adapt(admin::openapi::complete(&admin::service().spec(), base_path))
}

/// The OpenAPI document of `/api/v0`, as `/api/v0/openapi.json` serves it.
pub fn openapi_v0(base_path: &str) -> serde_json::Value {
    generators::adapt(v0::openapi::complete(&v0::service().spec(), base_path))
}
