//! `POST /v1/events` without the router: by far the most frequent request.
//!
//! On its way through the routes a request passes ten endpoints of poem, each with a future on the heap and copies of
//! the request (docs/benchmarks.md). What the operation does, and its extractors, are the same on both ways.

use poem::http::Method;
use poem::{Endpoint, Request, Response};

use super::state::State;
use super::v1;

/// Routes, with a shorter way to one of them.
pub(super) struct Shortcut<E> {
    routes: E,
    state: State,
}

impl<E> Shortcut<E> {
    pub(super) fn new(routes: E, state: State) -> Shortcut<E> {
        Shortcut { routes, state }
    }
}

impl<E: Endpoint<Output = Response>> Endpoint for Shortcut<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        if request.method() == Method::POST && request.uri().path() == "/v1/events" {
            request.extensions_mut().insert(self.state.clone());
            return v1::post_event(request).await;
        }
        self.routes.call(request).await
    }
}
