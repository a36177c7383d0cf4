//! The HTTP client for requests that are not deliveries (importers, the trace exporter), and the settings
//! that it shares with [`connections`](crate::delivery::sending::connections).
//!
//! It follows no redirects, does not retry, ignores proxies of the environment (they would connect past the
//! guard), does not decompress, and sends no cookies and no referer. No other code builds such a client.
//!
//! TLS is rustls with ring; [`authorities`] decides which certificate authorities are trusted.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use rustls::ClientConfig;

use crate::domain::Span;

use crate::delivery::sending::authorities;
use crate::delivery::sending::guard::Guard;

/// How long an idle connection stays open for the next attempt. Shorter than what common servers
/// allow (60 s and more), so that seldom one is closed just as it is used again.
pub(crate) const POOL_IDLE: Duration = Duration::from_secs(20);
/// How many idle connections are kept for each host.
pub(crate) const POOL_IDLE_PER_HOST: usize = 256;
/// How often a busy HTTP/2 connection is asked whether it still lives; without that, a dead one would
/// fail every request to its host until the system gives it up.
pub(crate) const HTTP2_PING_EVERY: Duration = Duration::from_secs(10);
pub(crate) const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Builds the client; all its connections go through `guard`. `connect_timeout` covers the look-up of
/// the name, TCP and TLS. There is no overall timeout in it: the sender sets one for each attempt.
pub fn build(guard: Guard, connect_timeout: &Span) -> Result<Client, reqwest::Error> {
    Client::builder()
        .dns_resolver(guard)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .connect_timeout(connect_timeout.as_duration())
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(POOL_IDLE_PER_HOST)
        .http2_keep_alive_interval(HTTP2_PING_EVERY)
        .http2_keep_alive_timeout(HTTP2_PING_TIMEOUT)
        .tcp_nodelay(true)
        .tls_backend_preconfigured(tls_config())
        .build()
}

/// How receivers are spoken to over TLS.
pub fn tls_config() -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("ring has suites for every version that rustls knows")
        .dangerous()
        .with_custom_certificate_verifier(authorities::verifier(&provider))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}
