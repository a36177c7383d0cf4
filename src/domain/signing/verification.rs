//! Why a signature holds, or does not: what a receiver saw is judged against the secrets of an endpoint
//! and against what the log says was sent.
//!
//! The order of the questions matters. A request whose signature is right is never called forged because
//! it is late; and before a secret is blamed, the body is: frameworks that parse a body and write it
//! anew are the most frequent cause of all. Nothing here shows a secret or the signature that would have
//! been right.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::domain::signing::signature;
use crate::domain::{EndpointId, Headers, SigningSecret, Timestamp};

/// How far a timestamp may be from the time of arrival, in seconds: what libraries of Standard Webhooks
/// tolerate.
pub const TOLERANCE_SECS: i64 = 300;
/// The headers of Standard Webhooks.
pub const STANDARD_HEADERS: [&str; 3] = ["webhook-id", "webhook-timestamp", "webhook-signature"];

/// The two ways in which requests are signed.
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

/// Why a signature does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    HeaderMissing,
    HeaderMalformed,
    TimestampOutsideTolerance,
    /// The same JSON as was sent, in other bytes.
    BodyReserialised,
    BodyChanged,
    /// The payload instead of the JWE that was sent and signed.
    BodyDecrypted,
    /// `webhook-timestamp` is not the one that was sent.
    HeaderChanged,
    OldSecret,
    /// Another endpoint of the app sent it.
    OtherWebhook,
    WrongSecret,
}

impl Reason {
    /// All of them.
    pub const ALL: &[Reason] = &[
        Reason::HeaderMissing,
        Reason::HeaderMalformed,
        Reason::TimestampOutsideTolerance,
        Reason::BodyReserialised,
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
            Reason::BodyReserialised => "body_reserialised",
            Reason::BodyChanged => "body_changed",
            Reason::BodyDecrypted => "body_decrypted",
            Reason::HeaderChanged => "header_changed",
            Reason::OldSecret => "old_secret",
            Reason::OtherWebhook => "other_webhook",
            Reason::WrongSecret => "wrong_secret",
        }
    }
}

/// What a receiver saw.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Lower-case names.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub at: Option<Timestamp>,
}

impl Seen {
    /// A header's value without white space around it.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim())
    }
}

/// A request as the log has it.
#[derive(Debug, Clone)]
pub struct Sent {
    pub endpoint_id: EndpointId,
    pub headers: Headers,
    pub body: Option<Vec<u8>>,
}

/// What a request is judged by.
pub struct Known<'a> {
    pub endpoint_id: EndpointId,
    pub encrypted: bool,
    /// The names of the plain HMAC headers.
    pub plain_headers: &'a [String],
    /// The secrets that sign now, newest first; never empty.
    pub secrets: &'a [SigningSecret],
    /// Secrets that no longer sign.
    pub ended: &'a [SigningSecret],
    /// The payload of the event that `webhook-id` names.
    pub payload: Option<&'a [u8]>,
    /// The requests with that `webhook-id`, of every endpoint of the app.
    pub sent: &'a [Sent],
    /// When the request arrived.
    pub at: Timestamp,
}

/// The judgement of one signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub scheme: Scheme,
    /// The header that the signature is in, as it is configured.
    pub header: String,
    /// `None`: it holds.
    pub reason: Option<Reason>,
    /// A sentence: what is so, and what to do about it.
    pub detail: String,
}

/// The judgement of a request: its first signature that does not hold decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// One for each signature that is there, or one that says that there is none; never empty.
    pub checks: Vec<Check>,
}

impl Verdict {
    /// Whether every signature that is there holds.
    pub fn is_valid(&self) -> bool {
        self.checks.iter().all(|check| check.reason.is_none())
    }

    /// The check that decides.
    pub fn decisive(&self) -> &Check {
        let failed = self.checks.iter().find(|check| check.reason.is_some());
        failed.or(self.checks.first()).expect("there is always a check")
    }
}

/// Judges a request.
pub fn judge(seen: &Seen, known: &Known<'_>) -> Verdict {
    let mut checks = Vec::new();
    if STANDARD_HEADERS.iter().any(|name| seen.header(name).is_some()) {
        // A request that only shows an id is still one of ours if its plain signature is there.
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
            "None of the headers {} is there: the receiver, or a proxy before it, dropped them, or the \
             request is not from here.",
            names.join(", ")
        );
        checks.push(check(Scheme::Standard, STANDARD_HEADERS[2], Err((Reason::HeaderMissing, detail))));
    }
    Verdict { checks }
}

/// What holds, or why not, with a sentence.
type Judged = Result<String, (Reason, String)>;

fn check(scheme: Scheme, header: &str, judged: Judged) -> Check {
    let (reason, detail) = match judged {
        Ok(detail) => (None, detail),
        Err((reason, detail)) => (Some(reason), detail),
    };
    Check { scheme, header: header.to_owned(), reason, detail }
}

fn standard(seen: &Seen, known: &Known<'_>) -> Judged {
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
        signatures.iter().any(|one| signature::is_standard(one, secret, id, timestamp, body))
    };
    let which = diagnose(Scheme::Standard, STANDARD_HEADERS[2], given, seen, known, &made_by)?;
    let off = known.at.as_secs() - seconds;
    if off.abs() > TOLERANCE_SECS {
        let side = if off > 0 { "before" } else { "after" };
        return Err((
            Reason::TimestampOutsideTolerance,
            format!(
                "The signature is right, but webhook-timestamp is {} s {side} {}, and up to {TOLERANCE_SECS} s \
                 are tolerated. If the request was checked when it arrived, the receiver's clock is wrong; \
                 received_at says when that was.",
                off.abs(),
                known.at
            ),
        ));
    }
    Ok(which)
}

fn plain(value: &str, name: &str, seen: &Seen, known: &Known<'_>) -> Judged {
    let decoded = value.strip_prefix("sha256=").and_then(|digits| hex::decode(digits).ok());
    let Some(given) = decoded.filter(|bytes| bytes.len() == 32) else {
        let detail = format!("{name} does not have the form sha256=<64 hexadecimal digits>.");
        return Err((Reason::HeaderMalformed, detail));
    };
    // Only the newest secret makes these.
    let newest = known.secrets.iter().take(1).cloned().collect::<Vec<_>>();
    let ended: Vec<SigningSecret> = known.secrets.iter().skip(1).chain(known.ended).cloned().collect();
    let known = Known { secrets: &newest, ended: &ended, sent: known.sent, ..*known };
    let made_by = |secret: &SigningSecret, body: &[u8]| signature::is_plain(&given, secret, body);
    diagnose(Scheme::Plain, name, value, seen, &known, &made_by)
}

/// Looks for the secret that made a signature, then for the body that it is of.
fn diagnose(
    scheme: Scheme,
    header: &str,
    value: &str,
    seen: &Seen,
    known: &Known<'_>,
    made_by: &dyn Fn(&SigningSecret, &[u8]) -> bool,
) -> Judged {
    if let Some(place) = known.secrets.iter().position(|secret| made_by(secret, &seen.body)) {
        return Ok(match (place, known.secrets.len()) {
            (0, 1) => "The signature holds. A receiver that refuses it has another secret, or compares with \
                       another body or header."
                .to_owned(),
            (0, _) => "The signature holds; it is of the new secret.".to_owned(),
            _ => "The signature holds; it is of the old secret, which still signs beside the new one."
                .to_owned(),
        });
    }
    let old = || {
        (
            Reason::OldSecret,
            "The signature is of a secret that has been rotated out. The request was sent before that, or the \
             sender of this copy still has the old secret."
                .to_owned(),
        )
    };
    if known.ended.iter().any(|secret| made_by(secret, &seen.body)) {
        return Err(old());
    }
    let mut bodies =
        known.sent.iter().filter(|s| s.endpoint_id == known.endpoint_id).filter_map(|s| s.body.as_deref());
    let signed = |body: &[u8]| known.secrets.iter().chain(known.ended).any(|secret| made_by(secret, body));
    let own =
        known.payload.filter(|_| !known.encrypted).into_iter().chain(&mut bodies).find(|body| signed(body));
    if let Some(body) = own {
        return Err(of_body(seen, body, known));
    }
    // No secret that is left made it; perhaps the log knows it all the same.
    let of_log = |sent: &&Sent| {
        sent.headers
            .iter()
            .any(|(name, sent)| name.eq_ignore_ascii_case(header) && shares(scheme, sent, value))
    };
    let Some(sent) = known.sent.iter().find(of_log) else {
        let detail = "No secret of this webhook made this signature for this body: it was signed with another \
                      secret, or the body was changed.";
        return Err((Reason::WrongSecret, detail.to_owned()));
    };
    if sent.endpoint_id != known.endpoint_id {
        let detail = format!(
            "The webhook {} sent this request, not this one: use the secret of that webhook.",
            sent.endpoint_id
        );
        return Err((Reason::OtherWebhook, detail));
    }
    let timestamp = sent.headers.get(STANDARD_HEADERS[1]);
    if scheme == Scheme::Standard && timestamp != seen.header(STANDARD_HEADERS[1]) {
        let detail = "webhook-timestamp is not the one that was sent with this signature: something on the way \
                      changed it.";
        return Err((Reason::HeaderChanged, detail.to_owned()));
    }
    Err(match &sent.body {
        Some(body) if *body != seen.body => of_body(seen, body, known),
        _ => old(),
    })
}

/// Whether two values of a signature header have a signature in common.
fn shares(scheme: Scheme, sent: &str, seen: &str) -> bool {
    match scheme {
        Scheme::Standard => sent.split(' ').any(|one| seen.split(' ').any(|other| one == other)),
        Scheme::Plain => sent.eq_ignore_ascii_case(seen),
    }
}

/// The signature is of `sent`, and something else was seen.
fn of_body(seen: &Seen, sent: &[u8], known: &Known<'_>) -> (Reason, String) {
    let lengths = format!("{} bytes were sent, {} came here", sent.len(), seen.body.len());
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
            Reason::BodyReserialised,
            format!(
                "The body is the same JSON as was sent, in other bytes ({lengths}): something parsed it and \
                 wrote it anew. Verify the bytes as they arrive, before anything parses them."
            ),
        );
    }
    (Reason::BodyChanged, format!("The body is not the one that was sent ({lengths})."))
}

/// Whether two texts are the same JSON: without regard to white space, the order of names, and how
/// numbers are written.
fn is_same_json(one: &[u8], other: &[u8]) -> bool {
    match (serde_json::from_slice(one), serde_json::from_slice(other)) {
        (Ok(one), Ok(other)) => is_same(&one, &other),
        _ => false,
    }
}

fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        // A number that went through JavaScript is a double.
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
