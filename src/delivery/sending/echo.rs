//! The built-in receiver: a webhook to [`ECHO_URL`] is answered here, in the process, without a packet.
//!
//! It does what a receiver should: it checks the Standard Webhooks signature with the secret that it knows,
//! and the time. So whoever has no receiver yet sees a verified delivery. The host is below `.invalid`,
//! which nobody can own and no resolver answers (RFC 6761).
//!
//! It does not use [`crate::domain::signing::signature`]: what is checked by its maker is not checked.
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

/// How old a request may be, in seconds: what Standard Webhooks' libraries allow.
const TOLERANCE_SECS: i64 = 300;

/// Whether requests to this URL are answered here.
pub fn answers(url: &Url) -> bool {
    url.scheme() == "http" && url.host_str() == Some(ECHO_HOST) && url.port_or_known_default() == Some(80)
}

/// The answer to a request, of whose body `limit` bytes are kept.
pub(crate) fn answer<'a>(
    secrets: impl Iterator<Item = &'a SigningSecret> + Clone,
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
    limit: usize,
) -> Response {
    let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let (status, text) = if is_genuine(secrets, &header, body, now) {
        let answer =
            json!({ "verified": true, "event_type": header("x-webhook-event"), "bytes": body.len() });
        (StatusCode::OK, answer.to_string())
    } else {
        (StatusCode::UNAUTHORIZED, json!({ "verified": false }).to_string())
    };
    let body_truncated = text.len() > limit;
    let mut body = text.into_bytes();
    body.truncate(limit);
    let headers = [("content-type", "application/json")].into_iter().collect();
    Response { status: status.as_u16(), headers, body, body_truncated }
}

/// Whether one of the signatures is by one of the secrets, and lately.
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

    fn asked(secret: &SigningSecret, headers: &HeaderMap, body: &[u8]) -> (u16, String) {
        let now = Timestamp::from_millis(NOW * 1_000);
        let answer = answer(std::iter::once(secret), headers, body, now, 1_000);
        (answer.status, String::from_utf8(answer.body).unwrap())
    }

    #[test]
    fn only_the_one_url_is_answered() {
        let is = |text: &str| answers(&Url::parse(text).unwrap());
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
    fn what_is_signed_is_verified_and_nothing_else() {
        let secret = SigningSecret::from_key(&[7; 32]);
        let headers = signed(&secret, b"{}", NOW);
        let said = r#"{"bytes":2,"event_type":"a.b","verified":true}"#;
        assert_eq!(asked(&secret, &headers, b"{}"), (200, said.to_owned()));
        let refused = (401, r#"{"verified":false}"#.to_owned());
        assert_eq!(asked(&secret, &headers, b"[]"), refused);
        assert_eq!(asked(&SigningSecret::from_key(&[8; 32]), &headers, b"{}"), refused);
        assert_eq!(asked(&secret, &signed(&secret, b"{}", NOW - 301), b"{}"), refused);
        assert_eq!(asked(&secret, &HeaderMap::new(), b"{}"), refused);
    }

    #[test]
    fn the_answer_is_kept_as_far_as_answers_are() {
        let secret = SigningSecret::from_key(&[7; 32]);
        let now = Timestamp::from_millis(NOW * 1_000);
        let kept = answer([&secret].into_iter(), &HeaderMap::new(), b"", now, 5);
        assert_eq!((kept.body.as_slice(), kept.body_truncated), (&b"{\"ver"[..], true));
    }
}
