//! The built-in receiver: responds to requests to [`ECHO_URL`] inside the process, without a network packet.
//!
//! It verifies the Standard Webhooks signature and the timestamp, as a receiver should. So a user without a
//! receiver sees a verified delivery. The host is below `.invalid`, which nobody can own and no resolver
//! resolves (RFC 6761).
//!
//! It does not use [`crate::domain::signing::signature`], so that a mistake there is noticed here.
//!
//! [`ECHO_URL`]: crate::domain::endpoint::ECHO_URL

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use hyper::StatusCode;
use hyper::header::HeaderMap;
use serde_json::json;
use sha2::Sha256;
use url::Url;

use crate::domain::attempts::attempt::Response;
use crate::domain::endpoint::ECHO_HOST;
use crate::domain::{SigningSecret, Timestamp};

/// The tolerance for the timestamp, in seconds, as in the Standard Webhooks libraries.
const TOLERANCE_SECS: i64 = 300;

/// Whether this is a URL of the built-in receiver.
pub(crate) fn is_echo_url(url: &Url) -> bool {
    url.scheme() == "http" && url.host_str() == Some(ECHO_HOST) && url.port_or_known_default() == Some(80)
}

/// The response to a request. At most `limit` bytes of its body are kept.
pub(crate) fn respond<'a>(
    secrets: impl Iterator<Item = &'a SigningSecret> + Clone,
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
    limit: usize,
) -> Response {
    let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let (status, text) = if is_genuine(secrets, &header, body, now) {
        let verified =
            json!({ "verified": true, "event_type": header("x-webhook-event"), "bytes": body.len() });
        (StatusCode::OK, verified.to_string())
    } else {
        (StatusCode::UNAUTHORIZED, json!({ "verified": false }).to_string())
    };
    let body_truncated = text.len() > limit;
    let mut body = text.into_bytes();
    body.truncate(limit);
    let headers = [("content-type", "application/json")].into_iter().collect();
    Response { status: status.as_u16(), headers, body, body_truncated }
}

/// Whether one of the signatures matches one of the secrets, and the timestamp is current.
fn is_genuine<'a, 'b>(
    secrets: impl Iterator<Item = &'a SigningSecret> + Clone,
    header: &impl Fn(&str) -> &'b str,
    body: &[u8],
    now: Timestamp,
) -> bool {
    let (id, time) = (header("webhook-id"), header("webhook-timestamp"));
    let is_late = |at: i64| (now.as_secs() - at).abs() > TOLERANCE_SECS;
    if id.is_empty() || time.parse().map_or(true, is_late) {
        return false;
    }
    let given = header("webhook-signature").split(' ').filter_map(|s| s.strip_prefix("v1,"));
    given.filter_map(|text| STANDARD.decode(text).ok()).any(|given| {
        secrets.clone().any(|secret| {
            let mut mac = Hmac::<Sha256>::new_from_slice(secret.key()).expect("any length is a key");
            mac.update(format!("{id}.{time}.").as_bytes());
            mac.update(body);
            mac.verify_slice(&given).is_ok()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::endpoint::ECHO_URL;
    use crate::domain::signing::signature;
    use hyper::header::HeaderValue;

    const NOW: i64 = 1_700_000_000;

    fn signed(secret: &SigningSecret, body: &[u8], at: i64) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut set = |name: &'static str, value: String| {
            headers.insert(name, HeaderValue::from_str(&value).unwrap());
        };
        set("webhook-id", "evt_1".to_owned());
        set("webhook-timestamp", at.to_string());
        set("webhook-signature", signature::standard([secret], "evt_1", at, body));
        set("x-webhook-event", "a.b".to_owned());
        headers
    }

    fn post(secret: &SigningSecret, headers: &HeaderMap, body: &[u8]) -> (u16, String) {
        let now = Timestamp::from_millis(NOW * 1_000);
        let response = respond(std::iter::once(secret), headers, body, now, 1_000);
        (response.status, String::from_utf8(response.body).unwrap())
    }

    #[test]
    fn only_the_echo_url_is_recognized() {
        let is = |text: &str| is_echo_url(&Url::parse(text).unwrap());
        assert!(is(ECHO_URL) && is("http://ECHO.postrider.invalid:80/any?thing"));
        for other in [
            "https://echo.postrider.invalid/",
            "http://echo.postrider.invalid:8080/",
            "http://echo.postrider.invalid./",
            "http://x.echo.postrider.invalid/",
            "http://echo.postrider.invalid.example.com/",
        ] {
            assert!(!is(other), "{other}");
        }
    }

    #[test]
    fn only_a_current_and_correct_signature_is_verified() {
        let secret = SigningSecret::from_key(&[7; 32]);
        let headers = signed(&secret, b"{}", NOW);
        let said = r#"{"bytes":2,"event_type":"a.b","verified":true}"#;
        assert_eq!(post(&secret, &headers, b"{}"), (200, said.to_owned()));
        let refused = (401, r#"{"verified":false}"#.to_owned());
        assert_eq!(post(&secret, &headers, b"[]"), refused);
        assert_eq!(post(&SigningSecret::from_key(&[8; 32]), &headers, b"{}"), refused);
        assert_eq!(post(&secret, &signed(&secret, b"{}", NOW - 301), b"{}"), refused);
        assert_eq!(post(&secret, &HeaderMap::new(), b"{}"), refused);
    }

    #[test]
    fn the_response_body_is_truncated_at_the_limit() {
        let secret = SigningSecret::from_key(&[7; 32]);
        let now = Timestamp::from_millis(NOW * 1_000);
        let kept = respond([&secret].into_iter(), &HeaderMap::new(), b"", now, 5);
        assert_eq!((kept.body.as_slice(), kept.body_truncated), (&b"{\"ver"[..], true));
    }
}
