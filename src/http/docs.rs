//! `/docs`: Swagger UI from files inside the program, and the document it shows.
//!
//! poem's own page is one inline script, which a Content-Security-Policy without `unsafe-inline`
//! forbids; so the published files are embedded and started by a script of ours.

use poem::http::{HeaderValue, StatusCode, header};
use poem::web::Path;
use poem::{Endpoint, Request, Response, handler};

use super::assets::{self, File, REVALIDATE};
use super::problem::Problem;

/// Styles that Swagger UI sets on elements need `unsafe-inline` for styles; scripts do not.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

/// An OpenAPI document, written once.
pub struct Document(File);

impl Document {
    /// Takes the document.
    pub fn new(document: &serde_json::Value) -> Document {
        Document(File::new("application/json", document.to_string()))
    }
}

impl Endpoint for Document {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        Ok(serve(&request, &self.0))
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
