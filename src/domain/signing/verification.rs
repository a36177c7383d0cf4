//! Why verification of a request succeeds or fails: compares what a receiver got with the secrets of an
//! endpoint and with the logged requests.
//!
//! The order of the checks matters. A valid signature is never called forged because it is late. And the body
//! is checked before the secret is blamed, because frameworks that parse and re-serialize the body are the
//! most frequent cause. No result contains a secret or the expected signature.

use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::domain::signing::signature;
use crate::domain::{EndpointId, Headers, SigningSecret, Timestamp};

/// How far a timestamp may be from the time of arrival, in seconds, as in the Standard Webhooks libraries.
pub const TOLERANCE_SECS: i64 = 300;
/// The most signatures in one `webhook-signature`; a rotation needs no more than five.
pub const SIGNATURES_MAX: usize = 16;
/// The headers of Standard Webhooks.
pub const STANDARD_HEADERS: [&str; 3] = ["webhook-id", "webhook-timestamp", "webhook-signature"];

/// The two signature schemes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Standard Webhooks: over id, timestamp and body.
    Standard,
    /// HMAC over the body alone.
    Plain,
}

impl Scheme {
    /// The name in the APIs.
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Standard => "standard_webhooks",
            Scheme::Plain => "hmac_sha256",
        }
    }
}

/// Why verification fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    HeaderMissing,
    HeaderMalformed,
    TimestampOutsideTolerance,
    /// The same JSON in other bytes.
    BodyReserialized,
    BodyChanged,
    /// The payload instead of the signed JWE.
    BodyDecrypted,
    /// `webhook-timestamp` was changed.
    HeaderChanged,
    OldSecret,
    /// The request was sent to another endpoint of the app.
    OtherWebhook,
    WrongSecret,
}

impl Reason {
    /// All of them.
    pub const ALL: &[Reason] = &[
        Reason::HeaderMissing,
        Reason::HeaderMalformed,
        Reason::TimestampOutsideTolerance,
        Reason::BodyReserialized,
        Reason::BodyChanged,
        Reason::BodyDecrypted,
        Reason::HeaderChanged,
        Reason::OldSecret,
        Reason::OtherWebhook,
        Reason::WrongSecret,
    ];

    /// The name in the APIs.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::HeaderMissing => "header_missing",
            Reason::HeaderMalformed => "header_malformed",
            Reason::TimestampOutsideTolerance => "timestamp_outside_tolerance",
            Reason::BodyReserialized => "body_reserialised",
            Reason::BodyChanged => "body_changed",
            Reason::BodyDecrypted => "body_decrypted",
            Reason::HeaderChanged => "header_changed",
            Reason::OldSecret => "old_secret",
            Reason::OtherWebhook => "other_webhook",
            Reason::WrongSecret => "wrong_secret",
        }
    }
}

/// What a receiver got.
#[derive(Debug, Clone, Default)]
pub struct ReceivedRequest {
    /// Lower-case names.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub at: Option<Timestamp>,
}

impl ReceivedRequest {
    /// The trimmed value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim())
    }
}

/// A request from the delivery log.
#[derive(Debug, Clone)]
pub struct LoggedRequest {
    pub endpoint_id: EndpointId,
    pub headers: Headers,
    pub body: Option<Vec<u8>>,
}

/// What a request is compared with.
pub struct Evidence<'a> {
    pub endpoint_id: EndpointId,
    pub encrypted: bool,
    /// The names of the plain HMAC headers.
    pub plain_headers: &'a [String],
    /// The secrets that sign now, newest first; never empty.
    pub secrets: &'a [SigningSecret],
    /// Retired secrets that no longer sign.
    pub ended: &'a [SigningSecret],
    /// The payload of the event that `webhook-id` names.
    pub payload: Option<&'a [u8]>,
    /// The logged requests with that `webhook-id`, to any endpoint of the app.
    pub sent: &'a [LoggedRequest],
    /// When the request arrived.
    pub at: Timestamp,
    /// Set when nobody waits for the result any more; then it is meaningless and comes soon.
    pub stop: &'a AtomicBool,
}

/// The result for one signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureCheck {
    pub scheme: Scheme,
    /// The header with the signature, as configured.
    pub header: String,
    /// `None` if the signature is valid.
    pub reason: Option<Reason>,
    /// A sentence: the result, and what to do about it.
    pub detail: String,
}

/// The result for a request. Its first invalid signature decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// One for each signature, or one that says that there is none; never empty.
    pub checks: Vec<SignatureCheck>,
}

impl Diagnosis {
    /// Whether all signatures are valid.
    pub fn is_valid(&self) -> bool {
        self.checks.iter().all(|check| check.reason.is_none())
    }

    /// The check that decides.
    pub fn decisive(&self) -> &SignatureCheck {
        let failed = self.checks.iter().find(|check| check.reason.is_some());
        failed.or(self.checks.first()).expect("there is always a check")
    }
}

/// Verifies a request.
pub fn diagnose(seen: &ReceivedRequest, known: &Evidence<'_>) -> Diagnosis {
    let mut checks = Vec::new();
    if STANDARD_HEADERS.iter().any(|name| seen.header(name).is_some()) {
        // A plain signature is enough; the id alone needs no Standard Webhooks signature.
        let plain = known.plain_headers.iter().any(|name| seen.header(name).is_some());
        if seen.header(STANDARD_HEADERS[2]).is_some() || !plain {
            checks.push(check(Scheme::Standard, STANDARD_HEADERS[2], standard(seen, known)));
        }
    }
    for name in known.plain_headers {
        if let Some(value) = seen.header(name) {
            checks.push(check(Scheme::Plain, name, plain(value, name, seen, known)));
        }
    }
    if checks.is_empty() {
        let names: Vec<&str> =
            STANDARD_HEADERS.into_iter().chain(known.plain_headers.iter().map(String::as_str)).collect();
        let detail = format!(
            "The request has none of the headers {}: the receiver, or a proxy before it, dropped them, or the \
             request was not sent by this server.",
            names.join(", ")
        );
        checks.push(check(Scheme::Standard, STANDARD_HEADERS[2], Err((Reason::HeaderMissing, detail))));
    }
    Diagnosis { checks }
}

/// Success or a reason, each with a sentence.
type CheckResult = Result<String, (Reason, String)>;

fn check(scheme: Scheme, header: &str, judged: CheckResult) -> SignatureCheck {
    let (reason, detail) = match judged {
        Ok(detail) => (None, detail),
        Err((reason, detail)) => (Some(reason), detail),
    };
    SignatureCheck { scheme, header: header.to_owned(), reason, detail }
}

fn standard(seen: &ReceivedRequest, known: &Evidence<'_>) -> CheckResult {
    let [id, timestamp, given] = STANDARD_HEADERS;
    let required = |name: &str| {
        let missing = || {
            (Reason::HeaderMissing, format!("The header {name} is missing; it is part of what is signed."))
        };
        seen.header(name).ok_or_else(missing)
    };
    let (id, timestamp, given) = (required(id)?, required(timestamp)?, required(given)?);
    let malformed = |detail: &str| (Reason::HeaderMalformed, detail.to_owned());
    let digits =
        !timestamp.is_empty() && timestamp.len() <= 15 && timestamp.bytes().all(|b| b.is_ascii_digit());
    let seconds: i64 = timestamp
        .parse()
        .ok()
        .filter(|_| digits)
        .ok_or_else(|| malformed("webhook-timestamp is not a whole number of seconds since 1970."))?;
    if given.split([' ', ','].as_slice()).filter(|part| *part != "v1").nth(SIGNATURES_MAX).is_some() {
        return Err((
            Reason::HeaderMalformed,
            format!(
                "webhook-signature has more than {SIGNATURES_MAX} signatures; send the header as it arrived."
            ),
        ));
    }
    let signatures: Vec<Vec<u8>> = given
        .split([' ', ','].as_slice())
        .filter_map(|part| STANDARD.decode(part).ok().filter(|bytes| bytes.len() == 32))
        .collect();
    if signatures.is_empty() || !given.split(' ').any(|one| one.starts_with("v1,")) {
        return Err(malformed(
            "webhook-signature has no signature of the form v1,<base64 of 32 bytes>; several are separated \
             by spaces.",
        ));
    }
    let made_by = |secret: &SigningSecret, body: &[u8]| {
        let mac = signature::standard_mac(secret, id, timestamp, body);
        signatures.iter().any(|one| signature::is_equal(one, &mac))
    };
    let which = find_cause(Scheme::Standard, STANDARD_HEADERS[2], given, seen, known, &made_by)?;
    let off = known.at.as_secs() - seconds;
    if off.abs() > TOLERANCE_SECS {
        let side = if off > 0 { "before" } else { "after" };
        return Err((
            Reason::TimestampOutsideTolerance,
            format!(
                "The signature is valid, but webhook-timestamp is {} s {side} {}, and the tolerance is {TOLERANCE_SECS} s. \
                 If the request was checked when it arrived, the receiver's clock is wrong; \
                 received_at says when that was.",
                off.abs(),
                known.at
            ),
        ));
    }
    Ok(which)
}

fn plain(value: &str, name: &str, seen: &ReceivedRequest, known: &Evidence<'_>) -> CheckResult {
    let decoded = value.strip_prefix("sha256=").and_then(|digits| hex::decode(digits).ok());
    let Some(given) = decoded.filter(|bytes| bytes.len() == 32) else {
        let detail = format!("{name} does not have the form sha256=<64 hexadecimal digits>.");
        return Err((Reason::HeaderMalformed, detail));
    };
    // Only the newest secret creates these.
    let newest = known.secrets.iter().take(1).cloned().collect::<Vec<_>>();
    let ended: Vec<SigningSecret> = known.secrets.iter().skip(1).chain(known.ended).cloned().collect();
    let known = Evidence { secrets: &newest, ended: &ended, sent: known.sent, ..*known };
    let made_by = |secret: &SigningSecret, body: &[u8]| signature::is_plain(&given, secret, body);
    find_cause(Scheme::Plain, name, value, seen, &known, &made_by)
}

/// Finds the secret that created a signature, then the body that it was created for.
fn find_cause(
    scheme: Scheme,
    header: &str,
    value: &str,
    seen: &ReceivedRequest,
    known: &Evidence<'_>,
    made_by: &dyn Fn(&SigningSecret, &[u8]) -> bool,
) -> CheckResult {
    let made_by =
        |secret: &SigningSecret, body: &[u8]| !known.stop.load(Ordering::Relaxed) && made_by(secret, body);
    if let Some(place) = known.secrets.iter().position(|secret| made_by(secret, &seen.body)) {
        return Ok(match (place, known.secrets.len()) {
            (0, 1) => "The signature is valid. A receiver that rejects it uses another secret, or compares with \
                       another body or header."
                .to_owned(),
            (0, _) => "The signature is valid; it was created with the new secret.".to_owned(),
            _ => "The signature is valid; it was created with the old secret, which still signs alongside the new one."
                .to_owned(),
        });
    }
    if known.ended.iter().any(|secret| made_by(secret, &seen.body)) {
        return Err(old_secret());
    }
    let signed = |body: &[u8]| known.secrets.iter().chain(known.ended).any(|secret| made_by(secret, body));
    let own = other_bodies(seen, known).into_iter().find(|body| signed(body));
    if let Some(body) = own {
        return Err(of_body(seen, body, known));
    }
    Err(find_in_log(scheme, header, value, seen, known))
}

fn old_secret() -> (Reason, String) {
    (
        Reason::OldSecret,
        "The signature was created with a retired secret. The request was sent before the rotation, or the \
             sender of this copy still uses the old secret."
            .to_owned(),
    )
}

/// No known secret created the signature; the log may still have the request.
fn find_in_log(
    scheme: Scheme,
    header: &str,
    value: &str,
    seen: &ReceivedRequest,
    known: &Evidence<'_>,
) -> (Reason, String) {
    let of_log = |sent: &&LoggedRequest| {
        sent.headers
            .iter()
            .any(|(name, sent)| name.eq_ignore_ascii_case(header) && shares(scheme, sent, value))
    };
    let Some(sent) = known.sent.iter().find(of_log) else {
        let detail = "No secret of this webhook creates this signature for this body: it was signed with \
                      another secret, or the body was changed.";
        return (Reason::WrongSecret, detail.to_owned());
    };
    if sent.endpoint_id != known.endpoint_id {
        let detail = format!(
            "This request was sent to the webhook {}, not to this one: use the secret of that webhook.",
            sent.endpoint_id
        );
        return (Reason::OtherWebhook, detail);
    }
    let timestamp = sent.headers.get(STANDARD_HEADERS[1]);
    if scheme == Scheme::Standard && timestamp != seen.header(STANDARD_HEADERS[1]) {
        let detail = "webhook-timestamp is not the one that was sent with this signature: a proxy or the receiver \
                      changed it.";
        return (Reason::HeaderChanged, detail.to_owned());
    }
    match &sent.body {
        Some(body) if *body != seen.body => of_body(seen, body, known),
        _ => old_secret(),
    }
}

/// The bodies that the endpoint may have got instead, each once.
fn other_bodies<'a>(seen: &ReceivedRequest, known: &Evidence<'a>) -> Vec<&'a [u8]> {
    let logged = known.sent.iter().filter(|sent| sent.endpoint_id == known.endpoint_id);
    let payload = known.payload.filter(|_| !known.encrypted);
    let mut bodies: Vec<&[u8]> = Vec::new();
    for body in payload.into_iter().chain(logged.filter_map(|sent| sent.body.as_deref())) {
        if body != seen.body && !bodies.contains(&body) {
            bodies.push(body);
        }
    }
    bodies
}

/// Whether two signature headers share a signature.
fn shares(scheme: Scheme, sent: &str, seen: &str) -> bool {
    match scheme {
        Scheme::Standard => sent.split(' ').any(|one| seen.split(' ').any(|other| one == other)),
        Scheme::Plain => sent.eq_ignore_ascii_case(seen),
    }
}

/// Why the signature is valid for `sent`, but not for the received body.
fn of_body(seen: &ReceivedRequest, sent: &[u8], known: &Evidence<'_>) -> (Reason, String) {
    let lengths = format!("{} bytes were sent, {} arrived", sent.len(), seen.body.len());
    let is_payload = |payload: &[u8]| payload == seen.body || is_same_json(payload, &seen.body);
    if known.encrypted && known.payload.is_some_and(is_payload) {
        return (
            Reason::BodyDecrypted,
            "The body is the decrypted payload; the signature is over the JWE as it arrived. Verify first, \
             then decrypt."
                .to_owned(),
        );
    }
    if is_same_json(sent, &seen.body) {
        return (
            Reason::BodyReserialized,
            format!(
                "The body is the same JSON in other bytes ({lengths}): it was parsed and re-serialized. Verify the \
                 raw bytes before parsing the body."
            ),
        );
    }
    (Reason::BodyChanged, format!("The body was changed ({lengths})."))
}

/// Whether two texts are the same JSON, apart from white space, the order of names, and the notation of
/// numbers.
fn is_same_json(one: &[u8], other: &[u8]) -> bool {
    match (serde_json::from_slice(one), serde_json::from_slice(other)) {
        (Ok(one), Ok(other)) => is_same(&one, &other),
        _ => false,
    }
}

fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        // JavaScript turns every number into a double.
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| is_same(a, b)))
        }
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests;
