//! The base path: everything is served at the root and below the path of `public_url` alike.
//!
//! Removed from each request before it is routed, so no route knows it. A request remembers that it came by
//! it, because cookies and redirects must stay where the browser is.

use poem::Request;
use poem::http::Uri;

use super::surface::Surface;

/// A mark on requests that came by the base path.
#[derive(Clone)]
struct ByBasePath;

/// Removes the base path from a request that has it. `base_path` is empty, or a path without a slash at its
/// end.
pub(super) fn strip(request: &mut Request, base_path: &str) {
    if base_path.is_empty() {
        return;
    }
    let Some(rest) = request.uri().path_and_query().and_then(|all| all.as_str().strip_prefix(base_path))
    else {
        return;
    };
    let rest = match rest.chars().next() {
        Some('/') => rest.to_owned(),
        Some('?') | None => format!("/{rest}"),
        Some(_) => return,
    };
    if let Ok(uri) = rest.parse::<Uri>() {
        *request.uri_mut() = uri;
        request.extensions_mut().insert(ByBasePath);
    }
}

/// The same for the base path of the URLs of sources: nothing else is there.
pub(super) fn strip_inbound(request: &mut Request, base_path: &str) {
    let below = request.uri().path().strip_prefix(base_path);
    if below.is_some_and(|rest| Surface::of(rest) == Surface::Inbound) {
        strip(request, base_path);
    }
}

/// The path below which the client of this request sees the server: the base path, or empty at the root.
pub fn seen_by<'a>(request: &Request, base_path: &'a str) -> &'a str {
    if request.extensions().get::<ByBasePath>().is_some() { base_path } else { "" }
}
