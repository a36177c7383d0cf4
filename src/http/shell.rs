//! What surrounds every request: its id, the base path, and one form of errors.
//!
//! poem words unknown routes, wrong methods, unreadable bodies and panics itself; here they all get the
//! form of their surface ([`super::surface`]). Log lines have the path without its query, which may contain
//! secrets.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use poem::http::HeaderValue;
use poem::{Endpoint, IntoResponse, Request, Response};
use tracing::Instrument as _;
use uuid::Uuid;

use super::base_path;
use super::problem::Problem;
use super::surface::Surface;
use crate::http::document::allow::Allowed;
use crate::http::request::limits::Slot;
use crate::http::transport::connection::Refused;
use crate::http::transport::framing::Refusal;
use crate::trace;

/// The name of the header that carries the request's id.
const REQUEST_ID: &str = "x-request-id";

/// All routes, surrounded.
pub struct Shell<E> {
    inner: E,
    base_paths: [Arc<str>; 2],
    allowed: Allowed,
}

impl<E: Endpoint> Shell<E> {
    /// Each of `base_paths` is empty, or a path without a slash at its end, under which everything is there too:
    /// that of the server, and that of the URLs of sources. `allowed` is what a 405 says.
    pub fn new(inner: E, base_paths: [Arc<str>; 2], allowed: Allowed) -> Shell<E> {
        Shell { inner, base_paths, allowed }
    }
}

impl<E: Endpoint> Endpoint for Shell<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let [base_path, inbound_base_path] = &self.base_paths;
        base_path::strip(&mut request, base_path);
        if inbound_base_path != base_path {
            base_path::strip_inbound(&mut request, inbound_base_path);
        }
        let id = request_id(&request);
        // A span of the highest level, so that the id is in every line that is logged at all.
        let span = tracing::error_span!("request", request_id = %id);
        Ok(self.answer(request, &id).instrument(span).await)
    }
}

impl<E: Endpoint> Shell<E> {
    async fn answer(&self, mut request: Request, id: &str) -> Response {
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        let surface = Surface::of(&path);
        let limits = Slot::default();
        request.extensions_mut().insert(limits.clone());
        request.extensions_mut().insert(surface);
        let started = tokio::time::Instant::now();

        let call = async {
            match request.data::<Refused>() {
                Some(refused) => Err(refusal(*refused).into()),
                None => self.inner.call(request).await.map(IntoResponse::into_response),
            }
        };
        let mut response = match AssertUnwindSafe(call).catch_unwind().await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => surface.error(&Problem::from_poem(error, self.allowed.methods(&path)), id),
            Err(_) => {
                tracing::error!(%method, path = surface.loggable(&path), "a request panicked");
                surface.error(&Problem::internal(), id)
            }
        };
        if let Ok(value) = HeaderValue::from_str(id) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        limits.write(response.headers_mut());
        surface.protect(&path, response.headers_mut());
        let (status, duration_ms) = (response.status().as_u16(), started.elapsed().as_millis() as u64);
        tracing::debug!(%method, path = surface.loggable(&path), status, duration_ms, "answered");
        trace::request_answered(method.as_str(), surface.loggable(&path), status);
        response
    }
}

/// The error for a request that was refused before it got here.
fn refusal(refused: Refused) -> Problem {
    match refused {
        Refused::Head(Refusal::BareLineFeed) => {
            Problem::bad_request("A line of the request's head ends in a bare line feed. End lines in CR LF.")
        }
        Refused::Head(Refusal::TransferCoding) => Problem::not_implemented(
            "Unsupported transfer coding. Send a Content-Length, or Transfer-Encoding: chunked.",
        ),
        Refused::Head(Refusal::Malformed) => {
            Problem::bad_request("The request's head is malformed (RFC 9112).")
        }
        Refused::Head(Refusal::TooLarge) => Problem::head_too_large(
            "The request's head is larger than 64 KiB, or has more than 100 header lines.",
        ),
        Refused::Head(Refusal::Overloaded) => Problem::overloaded("Too many requests are arriving."),
        Refused::Host => Problem::bad_request("The request must have exactly one valid Host header."),
    }
}

/// The id that the client gave, if it is a plain one, or a new one.
fn request_id(request: &Request) -> String {
    let plain = |id: &&str| (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
    let given = request.headers().get(REQUEST_ID).and_then(|v| v.to_str().ok()).filter(plain);
    given.map_or_else(|| Uuid::new_v4().simple().to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Mutex;

    use poem::http::{Method, StatusCode};
    use poem::{Route, get, handler};
    use serde_json::Value;

    use super::*;

    #[handler]
    fn panicking() -> &'static str {
        tracing::warn!("about to");
        panic!("a bug")
    }

    #[handler]
    fn fine(request: &Request) -> String {
        request.uri().to_string()
    }

    fn shell(base_path: &str) -> Shell<Route> {
        let routes = Route::new().at("/panic", get(panicking)).at("/fine", get(fine));
        Shell::new(routes, [base_path.into(), "".into()], Allowed::default())
    }

    /// A span that two threads use for the first time while one of them installs a subscriber may stay switched off.
    static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

    async fn call(shell: &Shell<Route>, path: &str) -> (Response, String) {
        let _alone = ONE_AT_A_TIME.lock().await;
        call_alone(shell, path).await
    }

    async fn call_alone(shell: &Shell<Route>, path: &str) -> (Response, String) {
        let request = Request::builder().uri(path.parse().unwrap()).header(REQUEST_ID, "id-1").finish();
        let mut response = shell.call(request).await.unwrap();
        let body = response.take_body().into_string().await.unwrap();
        (response, body)
    }

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_panic_is_an_error_like_others_and_its_log_lines_carry_the_id() {
        let _alone = ONE_AT_A_TIME.lock().await;
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .with_max_level(tracing::Level::WARN)
            .with_writer(move || writer.clone())
            .finish();
        let _guard = tracing::subscriber::set_default(subscriber);
        let (response, body) = call_alone(&shell(""), "/panic").await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.headers()[REQUEST_ID], "id-1");
        assert_eq!(
            (&body["errors"][0]["code"], &body["meta"]["request_id"]),
            (&"internal".into(), &"id-1".into())
        );
        assert!(!body.to_string().contains("a bug"));
        let lines = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(lines.lines().count(), 2, "{lines}");
        assert!(lines.lines().all(|line| line.contains("\"request_id\":\"id-1\"")), "{lines}");
    }

    #[tokio::test]
    async fn everything_is_also_under_the_base_path() {
        let shell = shell("/hooks");
        for (path, seen) in [("/fine?a=%2F", "/fine?a=%2F"), ("/hooks/fine?a=%2F", "/fine?a=%2F")] {
            assert_eq!(call(&shell, path).await.1, seen);
        }
        for path in ["/hooksfine", "/hook/fine", "/hooks/hooks/fine", "/hooks", "/hooks?x"] {
            assert_eq!(call(&shell, path).await.0.status(), StatusCode::NOT_FOUND, "{path}");
        }
    }

    #[tokio::test]
    async fn a_method_that_is_not_there_is_told_with_those_that_are() {
        let request = Request::builder().method(Method::PUT).uri("/fine".parse().unwrap()).finish();
        let response = shell("").call(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(response.headers()["allow"], "GET, HEAD");
    }
}
