//! Where a request goes, and why one could not be built.

use hyper::Uri;
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
    /// `None` if the HTTP client cannot parse it.
    pub uri: Option<Uri>,
    /// `host` or `host:port`.
    pub authority: String,
}

impl From<Url> for Destination {
    fn from(url: Url) -> Destination {
        Destination { uri: url.as_str().parse().ok(), authority: authority(&url), url }
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
