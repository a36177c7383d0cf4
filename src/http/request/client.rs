//! The client's address, as the accept loop has put it into the request.

use std::net::IpAddr;

use poem::Request;

/// The address that a request comes from: the peer's, or the one that a trusted proxy vouches for
/// ([`crate::http::transport::proxies`]). `None` over a Unix socket that names no client.
pub fn address(request: &Request) -> Option<IpAddr> {
    // An IPv4 client of an IPv6 socket is the same client.
    request.remote_addr().as_socket_addr().map(|address| address.ip().to_canonical())
}
