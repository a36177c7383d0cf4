//! A request to the URL of a source.

use std::net::IpAddr;

use bytes::Bytes;

use crate::domain::Headers;
use crate::domain::inbound::form;

/// What a name with its value takes besides their bytes: two strings, and what their allocations round up to.
const PAIR: usize = 2 * size_of::<String>() + 32;

/// What a request consists of, as far as a rule looks at it.
#[derive(Debug, Clone, Default)]
pub struct InboundRequest {
    /// In capitals.
    pub method: String,
    /// What follows the token in the path, without a slash at its beginning; empty when there is nothing.
    pub rest: String,
    /// Decoded, in their order.
    pub query: Vec<(String, String)>,
    /// Lower-case names, in their order.
    pub headers: Headers,
    pub body: Bytes,
    /// The client, as `http.trusted_proxies` defines it.
    pub client: Option<IpAddr>,
    /// The public URL of the source, as it is shown.
    pub url: String,
}

impl InboundRequest {
    /// Decodes a query; what is not UTF-8 becomes U+FFFD.
    pub fn read_query(text: &str) -> Vec<(String, String)> {
        form::pairs(text.as_bytes())
            .map(|(name, value)| {
                let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
                (text(name), text(value))
            })
            .collect()
    }

    /// About how much memory the head takes, in bytes.
    pub fn head_size(&self) -> usize {
        let query = self.query.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let of_pair = |(name, value): (&str, &str)| PAIR + name.len() + value.len();
        self.rest.len() + query.chain(self.headers.iter()).map(of_pair).sum::<usize>()
    }

    /// The value of a header, whatever the case of `name`, without white space around it.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter();
        all.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// The value of the first query parameter with this name.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_decoded_and_the_first_of_a_name_is_found() {
        let query = InboundRequest::read_query("a=1+2%21&a=2&&hub.mode=subscribe&x=%FF&flag");
        let request = InboundRequest { query, ..InboundRequest::default() };
        assert_eq!(request.parameter("a"), Some("1 2!"));
        assert_eq!(request.parameter("hub.mode"), Some("subscribe"));
        assert_eq!((request.parameter("x"), request.parameter("flag")), (Some("\u{fffd}"), Some("")));
        assert_eq!((request.parameter("A"), request.query.len()), (None, 5));
        assert!(request.head_size() > 5 * PAIR);
    }

    #[test]
    fn a_header_is_found_in_any_case() {
        let headers = [("x-gitea-event", " push ")].into_iter().collect();
        let request = InboundRequest { headers, ..InboundRequest::default() };
        assert_eq!((request.header("X-Gitea-Event"), request.header("x-gitea")), (Some("push"), None));
    }
}
