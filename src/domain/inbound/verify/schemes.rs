//! The signatures of Standard Webhooks, Stripe and Slack. All of them cover the time, which may be 5 minutes off.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::{Choice, ConstantTimeEq as _};

use crate::domain::inbound::request::InboundRequest;
use crate::domain::inbound::verify::hmac::{does_not_match, mac};
use crate::domain::inbound::verify::{
    Algorithm, SLACK_HEADERS, STRIPE_HEADER, SVIX_HEADERS, SecretText, any_secret, is_recent,
};
use crate::domain::signing::signature;
use crate::domain::signing::verification::{SIGNATURES_MAX, STANDARD_HEADERS, TOLERANCE_SECS};
use crate::domain::{SigningSecret, Timestamp};

const TOLERANCE_MS: i64 = TOLERANCE_SECS * 1_000;

/// Standard Webhooks: `v1,` and base64, any of several, over `id.timestamp.body`.
pub(super) fn standard(
    secrets: &[SecretText],
    request: &InboundRequest,
    now: Timestamp,
) -> Result<(), String> {
    let names = [STANDARD_HEADERS, SVIX_HEADERS].into_iter().find(|names| request.header(names[2]).is_some());
    let [id, timestamp, signatures] = names.ok_or("webhook-signature is missing")?;
    let value = |name: &str| request.header(name).ok_or_else(|| format!("{name} is missing"));
    let (id, time) = (value(id)?, value(timestamp)?);
    let given: Vec<Vec<u8>> = value(signatures)?
        .split_ascii_whitespace()
        .take(SIGNATURES_MAX)
        .filter_map(|signature| STANDARD.decode(signature.strip_prefix("v1,")?).ok())
        .collect();
    if given.is_empty() {
        return Err(format!("{signatures} has no signature of the form v1,base64"));
    }
    let holds = any_secret(secrets, |secret| match SigningSecret::parse(secret) {
        Some(secret) => any_equal(&given, &signature::standard_mac(&secret, id, time, &request.body)),
        None => Choice::from(0),
    });
    if !holds {
        return Err(does_not_match(&request.body));
    }
    is_recent(timestamp, time, TOLERANCE_MS, now)
}

/// `Stripe-Signature: t=…,v1=…`, any `v1`, over `t.body`.
pub(super) fn stripe(secrets: &[SecretText], request: &InboundRequest, now: Timestamp) -> Result<(), String> {
    let header = request.header(STRIPE_HEADER).ok_or_else(|| format!("{STRIPE_HEADER} is missing"))?;
    let fields = || header.split(',').filter_map(|field| field.trim().split_once('='));
    let time = fields().find(|(name, _)| *name == "t").map(|(_, value)| value);
    let time = time.ok_or_else(|| format!("{STRIPE_HEADER} has no t="))?;
    let given: Vec<Vec<u8>> = fields()
        .filter(|(name, _)| *name == "v1")
        .take(SIGNATURES_MAX)
        .filter_map(|(_, value)| hex::decode(value).ok())
        .collect();
    if given.is_empty() {
        return Err(format!("{STRIPE_HEADER} has no v1="));
    }
    let parts = [time.as_bytes(), b".", &request.body];
    let holds =
        any_secret(secrets, |secret| any_equal(&given, &mac(Algorithm::Sha256, secret.as_bytes(), &parts)));
    if !holds {
        return Err(does_not_match(&request.body));
    }
    is_recent("t", time, TOLERANCE_MS, now)
}

/// `X-Slack-Signature: v0=…` over `v0:timestamp:body`.
pub(super) fn slack(secrets: &[SecretText], request: &InboundRequest, now: Timestamp) -> Result<(), String> {
    let [timestamp, signature] = SLACK_HEADERS;
    let value = |name: &str| request.header(name).ok_or_else(|| format!("{name} is missing"));
    let (time, given) = (value(timestamp)?, value(signature)?);
    let given = given.strip_prefix("v0=").and_then(|text| hex::decode(text).ok());
    let given = given.ok_or_else(|| format!("{signature} is not v0= and hexadecimal"))?;
    let parts = [b"v0:", time.as_bytes(), b":", &request.body];
    let holds = any_secret(secrets, |secret| {
        any_equal(std::slice::from_ref(&given), &mac(Algorithm::Sha256, secret.as_bytes(), &parts))
    });
    if !holds {
        return Err(does_not_match(&request.body));
    }
    is_recent(timestamp, time, TOLERANCE_MS, now)
}

/// Whether one of the signatures is the expected one; each of them is compared.
fn any_equal(given: &[Vec<u8>], expected: &[u8]) -> Choice {
    given.iter().fold(Choice::from(0), |any, signature| any | signature.as_slice().ct_eq(expected))
}
