//! The surfaces: which part of the HTTP interface a path belongs to, and what differs between them.
//!
//! The shell treats every request alike. What depends on the surface is decided here: the form of an error,
//! the session cookie, security headers, and how much of a path may be logged. A new surface is a new
//! variant, and the compiler then names each decision that it needs. Nothing here knows an operation.

use poem::Response;
use poem::http::header::{self, HeaderMap, HeaderValue};

use super::inbound::render as inbound;
use super::problem::Problem;
use super::v0::fault;

/// The name of the cookie of dashboard sessions.
pub const SESSION_COOKIE: &str = "postrider_session";

/// What a page of the dashboard may load and do: its own files and nothing else, no inline code, in no frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'self'; \
                      frame-ancestors 'none'";

/// Where set-up links are; what follows is a secret.
const SETUP: &str = "/admin/setup/";

/// Where the URLs of sources are; what follows is a secret.
pub const INBOUND: &str = "/in";

/// What is sent back to a sender may be its own text, so a browser runs nothing of it.
const INBOUND_POLICY: &str = "default-src 'none'; sandbox";

/// A part of the HTTP interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surface {
    /// The main API.
    V1,
    /// Devdraft's API.
    V0,
    /// The dashboard and its own API.
    Admin,
    /// The URLs of sources.
    Inbound,
    /// Everything else: health, metrics, documents, unknown paths.
    Plain,
}

impl Surface {
    /// The surface of a path, which has no base path any more.
    pub fn of(path: &str) -> Surface {
        let is_below =
            |prefix| path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        match path.as_bytes().get(1) {
            Some(b'v') if is_below("/v1") => Surface::V1,
            Some(b'a') if is_below(fault::PREFIX) => Surface::V0,
            Some(b'a') if is_below("/admin") => Surface::Admin,
            Some(b'i') if is_below(INBOUND) => Surface::Inbound,
            _ => Surface::Plain,
        }
    }

    /// A problem in the surface's own form.
    pub fn error(self, problem: &Problem, request_id: &str) -> Response {
        match self {
            Surface::V0 => fault::render(problem),
            Surface::Inbound => inbound::render(problem),
            Surface::V1 | Surface::Admin | Surface::Plain => problem.render(request_id),
        }
    }

    /// The cookie that identifies a person here.
    pub fn session_cookie(self) -> Option<&'static str> {
        match self {
            Surface::V1 | Surface::V0 | Surface::Admin => Some(SESSION_COOKIE),
            Surface::Inbound | Surface::Plain => None,
        }
    }

    /// A path of this surface as it may be logged: the tokens of set-up links and of sources are left out.
    pub fn loggable(self, path: &str) -> &str {
        match self {
            Surface::Admin if path.starts_with(SETUP) => SETUP,
            Surface::Inbound => "/in/:token",
            Surface::V1 | Surface::V0 | Surface::Admin | Surface::Plain => path,
        }
    }

    /// Adds the security headers of the surface to a response.
    pub fn protect(self, path: &str, headers: &mut HeaderMap) {
        let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
        match self {
            Surface::Admin => {}
            Surface::Inbound => {
                set(header::CONTENT_SECURITY_POLICY, INBOUND_POLICY);
                set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
                set(header::CACHE_CONTROL, "no-store");
                return;
            }
            Surface::V1 | Surface::V0 | Surface::Plain => return,
        }
        set(header::CONTENT_SECURITY_POLICY, POLICY);
        set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
        set(header::REFERRER_POLICY, "same-origin");
        set(header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
        if path.starts_with("/admin/api") {
            set(header::CACHE_CONTROL, "no-store");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_belongs_to_the_surface_whose_prefix_it_has_as_whole_segments() {
        for (path, surface) in [
            ("/v1", Surface::V1),
            ("/v1/webhooks", Surface::V1),
            ("/api/v0", Surface::V0),
            ("/api/v0/webhooks", Surface::V0),
            ("/admin", Surface::Admin),
            ("/admin/", Surface::Admin),
            ("/admin/api/session", Surface::Admin),
            ("/in", Surface::Inbound),
            ("/in/abc", Surface::Inbound),
            ("/in/abc/rest", Surface::Inbound),
            ("/index", Surface::Plain),
            ("/v10", Surface::Plain),
            ("/api/v01", Surface::Plain),
            ("/v1x/api/v0", Surface::Plain),
            ("/administrator", Surface::Plain),
            ("/healthz", Surface::Plain),
            ("/", Surface::Plain),
            ("", Surface::Plain),
        ] {
            assert_eq!(Surface::of(path), surface, "{path}");
        }
    }

    #[test]
    fn the_token_of_a_setup_link_is_not_logged() {
        for (path, logged) in [
            ("/admin/setup/0123", "/admin/setup/"),
            ("/admin/webhooks", "/admin/webhooks"),
            ("/v1/x", "/v1/x"),
            ("/in/abc/rest", "/in/:token"),
        ] {
            assert_eq!(Surface::of(path).loggable(path), logged);
        }
    }
}
