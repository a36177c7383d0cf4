//! The client's address and scheme behind reverse proxies.
//!
//! `X-Forwarded-For`, `Forwarded` and `X-Forwarded-Proto` can be sent by anyone, so they are believed
//! only when they come from a proxy of `http.trusted_proxies`, or over a Unix socket, which only programs
//! on this machine can open that were let. Every proxy adds who it heard from at the end; so the list is
//! read from its end, for as long as it names trusted proxies, and the next is the client. What stands
//! before that is whatever the client has said.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use poem::http::HeaderMap;

/// The proxies that are believed.
#[derive(Debug, Clone, Default)]
pub struct Proxies(Vec<IpNet>);

/// The client of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// `None` over a Unix socket that names no client.
    pub address: Option<IpAddr>,
    pub is_https: bool,
    /// The request has forwarding headers from a peer that is not trusted to send them: most likely a proxy
    /// that nobody has named, so that `address` is the proxy's and not the client's.
    pub is_forwarded_by_stranger: bool,
}

/// Headers that say who a request comes from.
const FORWARDING: [&str; 4] = ["x-forwarded-for", "x-forwarded-proto", "x-real-ip", "forwarded"];

impl Proxies {
    /// Those in these networks.
    pub fn new(trusted: Vec<IpNet>) -> Proxies {
        Proxies(trusted)
    }

    /// The client of a request that `peer` (`None`: a Unix socket) has sent, over TLS or not.
    pub fn client(&self, peer: Option<IpAddr>, is_https: bool, headers: &HeaderMap) -> Client {
        let mut direct =
            Client { address: peer.map(|ip| ip.to_canonical()), is_https, is_forwarded_by_stranger: false };
        if !peer.is_none_or(|peer| self.trusts(peer)) {
            direct.is_forwarded_by_stranger = FORWARDING.iter().any(|name| headers.contains_key(*name));
            return direct;
        }
        // Most proxies write these and pass `Forwarded` on as it came; so it counts only without them.
        let (mut hops, mut schemes) = (list(headers, "x-forwarded-for"), list(headers, "x-forwarded-proto"));
        if hops.is_empty() && schemes.is_empty() {
            (hops, schemes) = (forwarded(headers, "for"), forwarded(headers, "proto"));
        }
        let mut client = direct.address;
        for hop in hops.iter().rev() {
            // One that hides who it heard from, or says nonsense, is as far as we can see.
            let Some(hop) = address(hop) else { break };
            client = Some(hop);
            if !self.trusts(hop) {
                break;
            }
        }
        let said = schemes.pop().filter(|scheme| !scheme.is_empty());
        let is_https = said.map_or(is_https, |scheme| scheme.eq_ignore_ascii_case("https"));
        Client { address: client, is_https, is_forwarded_by_stranger: false }
    }

    /// Whether a peer is one of these proxies.
    pub(super) fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|net| net.contains(&address))
    }
}

/// The members of a header that is a list, over all its lines.
fn list(headers: &HeaderMap, name: &str) -> Vec<String> {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    let members = lines.flat_map(|line| line.split(',')).map(|member| member.trim().to_owned());
    members.filter(|member| !member.is_empty()).collect()
}

/// One parameter of each member of `Forwarded` (RFC 7239); a member without it is an empty one.
fn forwarded(headers: &HeaderMap, name: &str) -> Vec<String> {
    let value = |member: &String| {
        let pairs = member.split(';').filter_map(|pair| pair.split_once('='));
        let found = pairs.filter(|(key, _)| key.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value);
        found.map(|value| value.trim().trim_matches('"').to_owned()).next().unwrap_or_default()
    };
    list(headers, "forwarded").iter().map(value).collect()
}

/// An address as proxies write it: plain, with a port, in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let plain = || text.parse::<IpAddr>().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    plain().or_else(with_port).or_else(in_brackets).map(|ip: IpAddr| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use poem::http::HeaderName;

    fn client(peer: Option<&str>, headers: &[(&str, &str)]) -> (Option<String>, bool) {
        let proxies = Proxies::new(["10.0.0.0/8", "::1/128"].map(|net| net.parse().unwrap()).to_vec());
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        let client = proxies.client(peer.map(|p| p.parse().unwrap()), false, &map);
        (client.address.map(|a| a.to_string()), client.is_https)
    }

    #[track_caller]
    fn is(found: (Option<String>, bool), address: Option<&str>, is_https: bool) {
        assert_eq!(found, (address.map(str::to_owned), is_https));
    }

    #[test]
    fn a_stranger_s_headers_are_not_believed() {
        let headers =
            [("x-forwarded-for", "1.1.1.1"), ("x-forwarded-proto", "https"), ("forwarded", "for=2.2.2.2")];
        is(client(Some("9.9.9.9"), &headers), Some("9.9.9.9"), false);
        is(client(Some("::ffff:9.9.9.9"), &[]), Some("9.9.9.9"), false);
    }

    #[test]
    fn the_client_is_the_last_that_no_trusted_proxy_vouches_for() {
        let xff = |value| [("x-forwarded-for", value), ("x-forwarded-proto", "https")];
        is(client(Some("10.0.0.1"), &xff("8.8.8.8")), Some("8.8.8.8"), true);
        is(client(Some("10.0.0.1"), &xff("1.2.3.4, 8.8.8.8, 10.0.0.2")), Some("8.8.8.8"), true);
        is(client(Some("::ffff:10.0.0.1"), &xff("8.8.8.8:4711")), Some("8.8.8.8"), true);
        is(client(Some("::1"), &xff("[2001:db8::1]:80")), Some("2001:db8::1"), true);
        is(client(Some("10.0.0.1"), &xff("8.8.8.8, unknown, 10.0.0.2")), Some("10.0.0.2"), true);
        is(client(Some("10.0.0.1"), &xff("10.0.0.3, 10.0.0.2")), Some("10.0.0.3"), true);
        is(client(Some("10.0.0.1"), &[]), Some("10.0.0.1"), false);
        let twice = [("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "8.8.8.8")];
        is(client(Some("10.0.0.1"), &twice), Some("8.8.8.8"), false);
        let scheme = [("x-forwarded-proto", "https"), ("x-forwarded-proto", "http")];
        is(client(Some("10.0.0.1"), &scheme), Some("10.0.0.1"), false);
    }

    #[test]
    fn forwarded_is_read_where_the_other_is_missing() {
        let one = [("forwarded", "for=1.1.1.1;proto=http, For=\"[2001:db8::7]:99\";Proto=https;by=10.0.0.1")];
        is(client(Some("10.0.0.1"), &one), Some("2001:db8::7"), true);
        is(client(Some("10.0.0.1"), &[("forwarded", "for=_hidden")]), Some("10.0.0.1"), false);
        let both = [("forwarded", "for=6.6.6.6;proto=https"), ("x-forwarded-for", "8.8.8.8")];
        is(client(Some("10.0.0.1"), &both), Some("8.8.8.8"), false);
    }

    #[test]
    fn a_unix_socket_is_trusted_and_has_no_address_of_its_own() {
        is(client(None, &[]), None, false);
        is(client(None, &[("x-forwarded-for", "8.8.8.8")]), Some("8.8.8.8"), false);
    }
}
