//! The headers of a request, and how the log shows them.
//!
//! Our headers (section 7 of the contract) come first, then the endpoint's own, which
//! [`recipients`](crate::delivery::sending::recipients) has filtered: a header of ours always wins.

use std::borrow::Cow;

use hyper::header::{
    ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT,
};

use crate::domain::endpoint::{MASK, check_header_name};
use crate::domain::inbound::mapping::HOPS_HEADER;
use crate::domain::shaping::Twins;
use crate::domain::signing::signature;
use crate::domain::{Headers, Timestamp};
use crate::store::LoadedAttempt;

use crate::delivery::sending::destination::PrepareError;
use crate::delivery::sending::jwe;
use crate::delivery::sending::recipients::Recipient;

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const X_WEBHOOK_EVENT: HeaderName = HeaderName::from_static("x-webhook-event");
const X_WEBHOOK_ATTEMPT: HeaderName = HeaderName::from_static("x-webhook-attempt");
/// How often an event of a source was forwarded, so that a loop ends.
const X_POSTRIDER_HOPS: HeaderName = HeaderName::from_static(HOPS_HEADER);
const AGENT: HeaderValue = HeaderValue::from_static(concat!("Postrider/", env!("CARGO_PKG_VERSION")));
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const JOSE: HeaderValue = HeaderValue::from_static(jwe::CONTENT_TYPE);
const ANYTHING: HeaderValue = HeaderValue::from_static("*/*");

/// The configured names of the plain HMAC headers, checked once.
#[derive(Debug, Clone)]
pub struct SigningHeaders {
    text: Vec<String>,
    names: Vec<HeaderName>,
}

impl SigningHeaders {
    /// Reads `signing.headers`. The error is a sentence that names the bad one.
    pub fn new(configured: &[String]) -> Result<SigningHeaders, String> {
        let names = configured.iter().map(|name| {
            check_header_name(name, &[])?;
            HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{name:?} is not a header name"))
        });
        Ok(SigningHeaders { names: names.collect::<Result<_, _>>()?, text: configured.to_vec() })
    }

    /// The names as they are configured.
    pub fn names(&self) -> &[String] {
        &self.text
    }

    /// All headers of a request. The client adds `host` and `content-length`. `body` is what is sent,
    /// encrypted or not.
    pub fn for_request(
        &self,
        loaded: &LoadedAttempt,
        recipient: &Recipient,
        at: Timestamp,
        body: &[u8],
    ) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(10 + self.names.len() + recipient.headers.len());
        headers.insert(CONTENT_TYPE, if loaded.endpoint.settings.encrypted { JOSE } else { JSON });
        headers.insert(USER_AGENT, AGENT);
        self.sign(&mut headers, loaded, recipient, at, body);
        complete(&mut headers, loaded, recipient);
        headers
    }

    /// All headers of a shaped request, and as they are shown.
    pub fn for_shaped(
        &self,
        loaded: &LoadedAttempt,
        recipient: &Recipient,
        at: Timestamp,
        twins: &Twins,
        signs: bool,
    ) -> Result<(HeaderMap, HeaderMap), PrepareError> {
        let sent = &twins.sent;
        let mut headers = HeaderMap::with_capacity(10 + recipient.headers.len() + sent.headers.len());
        if let Some(media_type) = &sent.content_type {
            headers.insert(CONTENT_TYPE, value_of("content-type", media_type)?);
        }
        headers.insert(USER_AGENT, AGENT);
        if signs {
            self.sign(&mut headers, loaded, recipient, at, sent.body.bytes(&loaded.payload));
        }
        complete(&mut headers, loaded, recipient);
        let mut shown = headers.clone();
        for (headers, of) in [(&mut headers, &twins.sent), (&mut shown, &twins.shown)] {
            for (name, value) in &of.headers {
                let value = value_of(name, value)?;
                let name = HeaderName::from_bytes(name.as_bytes())
                    .map_err(|_| PrepareError::Header { name: name.clone() })?;
                headers.insert(name, value);
            }
        }
        for (name, value) in &mut headers {
            // What holds a secret stays out of HPACK's tables.
            let is_secret = shown.get(name).is_none_or(|shown| *shown != *value);
            value.set_sensitive(is_secret || value.is_sensitive());
        }
        Ok((headers, shown))
    }

    /// The headers that tell of the event and sign the body.
    fn sign(
        &self,
        headers: &mut HeaderMap,
        loaded: &LoadedAttempt,
        recipient: &Recipient,
        at: Timestamp,
        body: &[u8],
    ) {
        let id = loaded.event_id.to_string();
        headers.insert(WEBHOOK_TIMESTAMP, HeaderValue::from(at.as_secs()));
        let secrets = recipient.secrets(at);
        let signature = signature::standard(secrets.clone(), &id, at.as_secs(), body);
        headers.insert(WEBHOOK_ID, visible(id));
        headers.insert(WEBHOOK_SIGNATURE, visible(signature));
        if let (Some(newest), false) = (secrets.into_iter().next(), self.names.is_empty()) {
            let signature = visible(signature::plain(newest, body));
            for name in &self.names {
                headers.insert(name, signature.clone());
            }
        }
        headers.insert(X_WEBHOOK_EVENT, visible(loaded.event_type.as_str().to_owned()));
        headers.insert(X_WEBHOOK_ATTEMPT, HeaderValue::from(loaded.attempt));
    }
}

/// Adds the endpoint's own headers, and what every request has.
fn complete(headers: &mut HeaderMap, loaded: &LoadedAttempt, recipient: &Recipient) {
    for (name, value) in &recipient.headers {
        headers.append(name, value.clone());
    }
    if let Some(from) = &loaded.from {
        headers.insert(X_POSTRIDER_HOPS, HeaderValue::from(from.hops));
    }
    headers.entry(ACCEPT).or_insert(ANYTHING);
}

fn value_of(name: &str, value: &str) -> Result<HeaderValue, PrepareError> {
    HeaderValue::from_str(value).map_err(|_| PrepareError::Header { name: name.to_owned() })
}

/// The headers of a request that is not a delivery, such as an alert: its own ones and `User-Agent`.
pub(crate) fn of_notice(own: &[(&'static str, String)]) -> Result<HeaderMap, PrepareError> {
    let mut headers = HeaderMap::with_capacity(own.len() + 2);
    headers.insert(USER_AGENT, AGENT);
    headers.insert(ACCEPT, ANYTHING);
    for (name, value) in own {
        let mut sent =
            HeaderValue::try_from(value).map_err(|_| PrepareError::Header { name: (*name).to_owned() })?;
        sent.set_sensitive(matches!(*name, "authorization" | "x-gotify-key"));
        headers.insert(HeaderName::from_static(name), sent);
    }
    Ok(headers)
}

/// A header value of our own text: a signature, an id or an event type.
fn visible(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("base64, hexadecimal, ids and event types are visible ASCII")
}

/// The headers as the log shows them, in the order they are sent: those above, and the two that the
/// client adds. Without a length no body is sent.
pub fn recorded(headers: &HeaderMap, authority: &str, body_length: Option<usize>) -> Headers {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    // 40 bytes: the names `host` and `content-length`, and a number.
    let mut all = Headers::with_capacity(headers.len() + 2, bytes + authority.len() + 40);
    for (name, value) in headers {
        all.push(name.as_str(), &if value.is_sensitive() { MASK.into() } else { text(value) });
    }
    all.push(HOST.as_str(), authority);
    if let Some(length) = body_length {
        all.push(CONTENT_LENGTH.as_str(), &length.to_string());
    }
    all
}

/// A header value as text. Bytes that are not UTF-8 become U+FFFD.
pub fn text(value: &HeaderValue) -> Cow<'_, str> {
    String::from_utf8_lossy(value.as_bytes())
}
