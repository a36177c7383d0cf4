//! `/docs`: Swagger UI from files inside the program, and the document it shows.
//!
//! poem's own page is one inline script, which a Content-Security-Policy without `unsafe-inline`
//! forbids; so the published files are embedded and started by a script of ours.

use std::sync::OnceLock;

use poem::http::{HeaderValue, StatusCode, header};
use poem::web::Path;
use poem::{Endpoint, Request, Response, handler};

use crate::http::document::assets;
use crate::http::document::assets::{File, REVALIDATE};
use crate::http::problem::Problem;

/// Styles that Swagger UI sets on elements need `unsafe-inline` for styles; scripts do not.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

/// An OpenAPI document, made when it is first asked for: making one takes some megabytes for a moment, and
/// most servers are never asked.
pub struct Document {
    make: Box<dyn Fn() -> serde_json::Value + Send + Sync>,
    file: OnceLock<File>,
}

impl Document {
    /// Takes what makes the document.
    pub fn new(make: impl Fn() -> serde_json::Value + Send + Sync + 'static) -> Document {
        Document { make: Box::new(make), file: OnceLock::new() }
    }
}

impl Endpoint for Document {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let make = || File::new("application/json", (self.make)().to_string());
        Ok(serve(&request, self.file.get_or_init(make)))
    }
}

/// The page.
#[handler]
pub(crate) fn page(request: &Request) -> Result<Response, Problem> {
    embedded(request, "index.html")
}

/// `/docs/` is `/docs`: the page's links are relative to the latter.
#[handler]
pub(crate) fn with_slash() -> Response {
    Response::builder().status(StatusCode::PERMANENT_REDIRECT).header(header::LOCATION, "../docs").finish()
}

/// A file of the page.
#[handler]
pub(crate) fn file(request: &Request, Path(name): Path<String>) -> Result<Response, Problem> {
    embedded(request, &name)
}

fn embedded(request: &Request, name: &str) -> Result<Response, Problem> {
    let files = assets::files();
    let found = ["docs", "vendor/swagger-ui"].iter().find_map(|dir| files.get(&format!("{dir}/{name}")));
    let found = found.ok_or_else(|| Problem::not_found("There is no such file."))?;
    Ok(serve(request, found))
}

fn serve(request: &Request, content: &File) -> Response {
    let mut response = content.answer(request, REVALIDATE);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}
