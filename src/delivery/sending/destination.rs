//! Where a request goes, and why one could not be built.

use std::sync::Arc;

use hyper::Uri;
use hyper::header::HeaderValue;
use url::Url;

use crate::domain::shaping::RenderFailure;
use crate::host::vault::CannotOpen;

/// Why a request could not be built from the stored endpoint.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// A secret cannot be decrypted.
    #[error(transparent)]
    Vault(#[from] CannotOpen),
    /// A stored header cannot be sent. Its value is not shown, it may be secret.
    #[error("the header {name} of the endpoint has a name or value that HTTP cannot carry")]
    Header { name: String },
    /// The stored request cannot be read by this version or with this configuration.
    #[error("the endpoint's request: {0}")]
    Request(String),
    /// A template cannot be rendered with this event.
    #[error(transparent)]
    Template(RenderFailure),
    /// The stored text is not a URL.
    #[error("the endpoint's URL {0}")]
    Url(String),
}

/// Where a request goes: the URL, and the forms of it that the HTTP client and the log need.
pub struct Destination {
    pub url: Url,
    /// `None` if HTTP cannot express the URL.
    pub(crate) http: Option<HttpTarget>,
    /// `host` or `host:port`.
    pub authority: String,
}

/// Scheme, host and port, as in the header `Origin`.
pub(crate) type Origin = Arc<str>;

/// A URL as HTTP expresses it.
#[derive(Clone)]
pub(crate) struct HttpTarget {
    /// The connections it may use.
    pub(crate) origin: Origin,
    /// All of it, for HTTP/2.
    pub(crate) uri: Uri,
    /// Path and query, for HTTP/1.
    pub(crate) path: Uri,
    /// The header `Host`.
    pub(crate) host: HeaderValue,
}

impl From<Url> for Destination {
    fn from(url: Url) -> Destination {
        let authority = authority(&url);
        Destination { http: HttpTarget::of(&url, &authority), authority, url }
    }
}

impl HttpTarget {
    fn of(url: &Url, authority: &str) -> Option<HttpTarget> {
        let uri: Uri = url.as_str().parse().ok()?;
        let path = uri.path_and_query().cloned().map(Uri::from).unwrap_or_default();
        let host = HeaderValue::from_str(authority).ok()?;
        Some(HttpTarget { origin: url.origin().ascii_serialization().into(), uri, path, host })
    }
}

/// `host`, or `host:port` where the port is not the scheme's own: the value of `Host`.
pub fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}
