//! The URL that clients use, with an optional base path.

use std::fmt;

use url::Url;

/// An `http` or `https` URL without credentials, query and fragment, and without trailing slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    text: String,
    path_at: usize,
}

impl PublicUrl {
    /// Reads a URL; a trailing slash is dropped. The path is kept to letters, digits and `-._~/`, so
    /// that it reads the same percent-encoded or not, in routes, links and cookies alike.
    pub fn parse(text: &str) -> Option<PublicUrl> {
        let url = Url::parse(text).ok()?;
        let plain = matches!(url.scheme(), "http" | "https")
            && text[url.scheme().len()..].starts_with("://")
            && url.host_str().is_some_and(|host| !host.is_empty())
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        let path = url.path().trim_end_matches('/');
        let usual = |b: u8| b.is_ascii_alphanumeric() || b"-._~/".contains(&b);
        if !plain || path.contains("//") || !path.bytes().all(usual) {
            return None;
        }
        let origin = url.origin().ascii_serialization();
        Some(PublicUrl { path_at: origin.len(), text: origin + path })
    }

    /// The whole URL, without trailing slash.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The base path, beginning with a slash, or empty.
    pub fn path(&self) -> &str {
        &self.text[self.path_at..]
    }

    /// Whether clients come over TLS.
    pub fn is_https(&self) -> bool {
        self.text.starts_with("https:")
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_kept_without_its_trailing_slash() {
        for (given, kept, path) in [
            ("https://example.com", "https://example.com", ""),
            ("https://example.com/", "https://example.com", ""),
            ("HTTP://Example.com:8080/hooks/", "http://example.com:8080/hooks", "/hooks"),
            ("https://[::1]:8443/a/b", "https://[::1]:8443/a/b", "/a/b"),
        ] {
            let url = PublicUrl::parse(given).unwrap();
            assert_eq!((url.as_str(), url.path()), (kept, path));
        }
    }

    #[test]
    fn urls_that_cannot_be_a_base_are_refused() {
        for text in [
            "",
            "example.com",
            "/hooks",
            "ftp://example.com",
            "https:example.com",
            "https://user@example.com",
            "https://user:pass@example.com",
            "https://example.com/?a=b",
            "https://example.com/#top",
            "https://example.com/a//b",
            "https://example.com/a%2Fb",
            "https://example.com/ü",
        ] {
            assert_eq!(PublicUrl::parse(text), None, "{text}");
        }
    }
}
