//! `/docs`: Swagger UI from files inside the program, and the document it shows.
//!
//! poem's own page is one inline script, which a Content-Security-Policy without `unsafe-inline`
//! forbids; so the published files are embedded and started by a script of ours.

use bytes::Bytes;
use poem::http::{StatusCode, header};
use poem::web::Path;
use poem::{Endpoint, Request, Response, handler};
use rust_embed::{EmbeddedFile, RustEmbed};
use sha2::{Digest, Sha256};

use super::problem::Problem;

#[derive(RustEmbed)]
#[folder = "assets/vendor/swagger-ui"]
struct SwaggerUi;

#[derive(RustEmbed)]
#[folder = "assets/docs"]
struct Page;

/// Styles that Swagger UI sets on elements need `unsafe-inline` for styles; scripts do not.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

/// An OpenAPI document, written once.
pub struct Document {
    text: Bytes,
    etag: String,
}

impl Document {
    /// Takes the document.
    pub fn new(document: &serde_json::Value) -> Document {
        let text = Bytes::from(document.to_string());
        let digest: [u8; 32] = Sha256::digest(&text).into();
        Document { etag: etag(digest), text }
    }
}

impl Endpoint for Document {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        Ok(serve(&request, "application/json", &self.etag, self.text.clone()))
    }
}

/// The page.
#[handler]
pub(crate) fn page(request: &Request) -> Result<Response, Problem> {
    embedded(request, "index.html", Page::get("index.html"))
}

/// `/docs/` is `/docs`: the page's links are relative to the latter.
#[handler]
pub(crate) fn with_slash() -> Response {
    Response::builder().status(StatusCode::PERMANENT_REDIRECT).header(header::LOCATION, "../docs").finish()
}

/// A file of the page.
#[handler]
pub(crate) fn file(request: &Request, Path(name): Path<String>) -> Result<Response, Problem> {
    let found = Page::get(&name).or_else(|| SwaggerUi::get(&name));
    embedded(request, &name, found)
}

fn embedded(request: &Request, name: &str, found: Option<EmbeddedFile>) -> Result<Response, Problem> {
    let found = found.ok_or_else(|| Problem::not_found("There is no such file."))?;
    let data = match found.data {
        std::borrow::Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        std::borrow::Cow::Owned(bytes) => Bytes::from(bytes),
    };
    Ok(serve(request, content_type(name), &etag(found.metadata.sha256_hash()), data))
}

fn serve(request: &Request, content_type: &'static str, etag: &str, data: Bytes) -> Response {
    let known = request.headers().get(header::IF_NONE_MATCH).is_some_and(|v| v.as_bytes() == etag.as_bytes());
    let response = Response::builder()
        .header(header::ETAG, etag)
        .header(header::CACHE_CONTROL, "no-cache")
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(header::CONTENT_SECURITY_POLICY, POLICY);
    if known {
        response.status(StatusCode::NOT_MODIFIED).finish()
    } else {
        response.content_type(content_type).body(data)
    }
}

fn etag(digest: [u8; 32]) -> String {
    format!("\"{}\"", hex::encode(&digest[..16]))
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("png") => "image/png",
        _ => "application/octet-stream",
    }
}
