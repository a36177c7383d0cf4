//! `/v1/webhooks/{id}/verification` and `…/verify`: what a receiver needs to check signatures, and why
//! one does not hold.

use std::collections::HashSet;

use poem_openapi::param::Path;
use poem_openapi::payload::Json as Answer;
use poem_openapi::types::Any;
use poem_openapi::{Object, OpenApi};
use serde::Deserialize;
use serde_json::Value;

use crate::domain::signing::verification::{
    Diagnosis, ReceivedRequest, STANDARD_HEADERS, Scheme, TOLERANCE_SECS,
};
use crate::domain::values::invalid::escape_pointer;
use crate::domain::{Endpoint, FieldError, Timestamp};
use crate::http::problem::Problem;
use crate::http::request::auth::ReadWebhooks;
use crate::http::request::body::{BodyShape, Fields, Json, Limit, Object as RawObject};

use super::Tag;
use super::endpoints::endpoint_id;
use super::shapes::{One, one};

mod snippets;

/// How a webhook's requests are verified.
#[derive(Object)]
#[oai(rename = "WebhookVerification")]
pub(super) struct VerificationResource {
    /// `webhook_verification`
    #[oai(rename = "type")]
    kind: String,
    /// UUID of the webhook.
    id: String,
    attributes: VerificationAttributes,
}

/// What is signed, with what, and code for the receiver.
#[derive(Object)]
#[oai(rename = "WebhookVerificationAttributes")]
struct VerificationAttributes {
    /// The scheme to prefer: `standard_webhooks`.
    scheme: String,
    /// Every header that a signature is or needs.
    headers: Vec<String>,
    /// How far `webhook-timestamp` may be from the time of arrival, in seconds.
    tolerance_seconds: i64,
    /// The environment variable that the code reads the signing secret from.
    secret_variable: String,
    /// Every scheme that requests are signed with.
    schemes: Vec<SchemeObject>,
    /// How the body is encrypted; null when it is not.
    encryption: Option<EncryptionObject>,
    /// What is easily overlooked.
    notes: Vec<String>,
    /// Code for receivers, ready to paste.
    snippets: Vec<SnippetObject>,
}

/// A way of signing.
#[derive(Object)]
#[oai(rename = "WebhookSignatureScheme")]
struct SchemeObject {
    /// `standard_webhooks` or `hmac_sha256`.
    name: String,
    /// The headers that it needs.
    headers: Vec<String>,
    /// What HMAC-SHA256 is taken of.
    content: String,
    /// What the key is.
    key: String,
    /// What the value of the header looks like.
    format: String,
}

/// The encryption of bodies.
#[derive(Object)]
#[oai(rename = "WebhookEncryption")]
struct EncryptionObject {
    content_type: String,
    format: String,
    alg: String,
    enc: String,
    /// What the key is.
    key: String,
}

/// Code in one language.
#[derive(Object)]
#[oai(rename = "WebhookSnippet")]
struct SnippetObject {
    /// `bash`, `python`, `node`, `php`, `go`, `rust` or `csharp`.
    language: String,
    /// What it does.
    title: String,
    code: String,
}

impl VerificationResource {
    fn of(endpoint: &Endpoint, plain_headers: &[String]) -> VerificationResource {
        let encrypted = endpoint.settings.encrypted;
        let standard = STANDARD_HEADERS.map(str::to_owned);
        let mut schemes = vec![SchemeObject {
            name: Scheme::Standard.as_str().to_owned(),
            headers: standard.to_vec(),
            content: "{webhook-id}.{webhook-timestamp}.{body}".to_owned(),
            key: "the base64 part of the secret, after whsec_, decoded".to_owned(),
            format: "v1,<base64>; several, separated by spaces, while a rotation overlaps".to_owned(),
        }];
        if !plain_headers.is_empty() {
            schemes.push(SchemeObject {
                name: Scheme::Plain.as_str().to_owned(),
                headers: plain_headers.to_vec(),
                content: "{body}".to_owned(),
                key: "the whole secret, whsec_ included".to_owned(),
                format: "sha256=<hexadecimal digits>, of the newest secret only".to_owned(),
            });
        }
        let snippets = snippets::of(plain_headers, encrypted).into_iter();
        VerificationResource {
            kind: "webhook_verification".to_owned(),
            id: endpoint.id.to_string(),
            attributes: VerificationAttributes {
                scheme: Scheme::Standard.as_str().to_owned(),
                headers: standard.into_iter().chain(plain_headers.iter().cloned()).collect(),
                tolerance_seconds: TOLERANCE_SECS,
                secret_variable: "WEBHOOK_SECRET".to_owned(),
                schemes,
                encryption: encrypted.then(encryption),
                notes: notes(plain_headers, encrypted),
                snippets: snippets
                    .map(|s| SnippetObject { language: s.language.to_owned(), title: s.title, code: s.code })
                    .collect(),
            },
        }
    }
}

fn encryption() -> EncryptionObject {
    EncryptionObject {
        content_type: "application/jose".to_owned(),
        format: "JWE in compact form (RFC 7516)".to_owned(),
        alg: "dir".to_owned(),
        enc: "A256GCM".to_owned(),
        key: "HKDF-SHA256 of the secret's decoded base64 part, no salt, 32 bytes, info postrider/jwe/v1"
            .to_owned(),
    }
}

fn notes(plain_headers: &[String], encrypted: bool) -> Vec<String> {
    let mut notes = vec![
        "Verify the bytes of the body as they arrive, before anything parses them.".to_owned(),
        "webhook-id is the same on every attempt: remember it to recognise repetitions.".to_owned(),
    ];
    if plain_headers.len() > 1 {
        let names = plain_headers.join(", ");
        notes.push(format!("{names} carry the same value; one of them is enough."));
    }
    if encrypted {
        notes.push("Signatures are over the JWE as it arrives: verify first, then decrypt.".to_owned());
        notes.push("The openssl command cannot decrypt A256GCM; use one of the languages.".to_owned());
    }
    notes
}

/// What a receiver saw.
#[derive(Object)]
#[oai(rename = "WebhookVerify")]
#[allow(dead_code, reason = "a documented shape; bodies are read field by field")]
pub(super) struct VerifyBody {
    /// The request's headers by name, in any case; each a string, or a list of strings. At most 100. Headers
    /// that have nothing to do with signatures are ignored.
    headers: Any<Value>,
    /// The body as the receiver read it.
    body: String,
    /// When it arrived; now unless given. RFC 3339.
    received_at: Option<String>,
}

impl BodyShape for VerifyBody {
    const LIMIT: Limit = Limit::Event;
}

/// Whether a signature holds.
#[derive(Object)]
#[oai(rename = "WebhookVerificationResult")]
pub(super) struct ResultResource {
    /// `webhook_verification_result`
    #[oai(rename = "type")]
    kind: String,
    /// UUID of the webhook.
    id: String,
    attributes: ResultAttributes,
}

/// The judgement. With several signatures, the first that does not hold decides.
#[derive(Object)]
#[oai(rename = "WebhookVerificationResultAttributes")]
struct ResultAttributes {
    /// Whether every signature that is there holds.
    valid: bool,
    /// The scheme of the signature that decides: `standard_webhooks` or `hmac_sha256`.
    scheme: String,
    /// Why it does not hold; null when it does.
    reason: Option<String>,
    /// The same in a sentence, and what to do about it.
    detail: String,
    /// How far `webhook-timestamp` may be from the time of arrival, in seconds.
    tolerance_seconds: i64,
    /// Every signature that is there.
    checks: Vec<CheckObject>,
}

/// The judgement of one signature.
#[derive(Object)]
#[oai(rename = "WebhookSignatureCheck")]
struct CheckObject {
    /// `standard_webhooks` or `hmac_sha256`.
    scheme: String,
    /// The header that the signature is in.
    header: String,
    valid: bool,
    /// Why it does not hold; null when it does.
    reason: Option<String>,
    detail: String,
}

impl ResultResource {
    fn of(id: String, diagnosis: &Diagnosis) -> ResultResource {
        let reason = |reason: Option<crate::domain::signing::verification::Reason>| {
            reason.map(|r| r.as_str().to_owned())
        };
        let decisive = diagnosis.decisive();
        ResultResource {
            kind: "webhook_verification_result".to_owned(),
            id,
            attributes: ResultAttributes {
                valid: diagnosis.is_valid(),
                scheme: decisive.scheme.as_str().to_owned(),
                reason: reason(decisive.reason),
                detail: decisive.detail.clone(),
                tolerance_seconds: TOLERANCE_SECS,
                checks: diagnosis
                    .checks
                    .iter()
                    .map(|check| CheckObject {
                        scheme: check.scheme.as_str().to_owned(),
                        header: check.header.clone(),
                        valid: check.reason.is_none(),
                        reason: reason(check.reason),
                        detail: check.detail.clone(),
                    })
                    .collect(),
            },
        }
    }
}

/// The operations.
pub struct VerificationApi;

#[OpenApi(tag = "Tag::Webhooks")]
impl VerificationApi {
    /// Code that verifies signatures
    ///
    /// How this webhook's requests are signed, and code for its receiver in several languages. No secret is
    /// in it: the code reads the secret from an environment variable.
    #[oai(path = "/webhooks/:id/verification", method = "get", operation_id = "get_verification")]
    async fn verification(
        &self,
        auth: ReadWebhooks,
        id: Path<String>,
    ) -> Result<Answer<One<VerificationResource>>, Problem> {
        let id = endpoint_id(&id)?;
        let (endpoint, plain_headers) = auth.state.services.verification.scheme(&auth.caller, id).await?;
        Ok(one(VerificationResource::of(&endpoint, plain_headers)))
    }

    /// Explain a signature
    ///
    /// Takes the headers and the body that a receiver got, and says whether the signatures are valid; if not,
    /// why: another or an old secret, a timestamp outside the tolerance, a body that was parsed and
    /// re-serialized, a header that is missing or malformed. When the log still has the request, the bodies
    /// are compared. 200 whatever the result; nothing is sent or stored. The body has the limit of an
    /// event's, and at most 16 signatures are read.
    #[oai(path = "/webhooks/:id/verify", method = "post", operation_id = "verify_signature")]
    async fn verify(
        &self,
        auth: ReadWebhooks,
        id: Path<String>,
        body: Json<VerifyBody>,
    ) -> Result<Answer<One<ResultResource>>, Problem> {
        let id = endpoint_id(&id)?;
        let seen = read_seen(&body)?;
        let diagnosis = auth.state.services.verification.verify(&auth.caller, id, seen).await?;
        Ok(one(ResultResource::of(id.to_string(), &diagnosis)))
    }
}

/// The most headers of a request to verify.
const HEADERS_MAX: usize = 100;

/// The value of a header: once, or as often as it was there.
#[derive(Deserialize)]
#[serde(untagged)]
enum HeaderShape {
    One(String),
    Many(Vec<String>),
}

fn read_seen(body: &Json<VerifyBody>) -> Result<ReceivedRequest, Problem> {
    let mut fields = Fields::of_body(&body.bytes, &["headers", "body", "received_at"])?;
    fields.require("headers");
    fields.require("body");
    let given = fields.get::<RawObject<'_>>("headers", "an object of names and values");
    let given = given.map(|object| object.0).unwrap_or_default();
    if given.len() > HEADERS_MAX {
        let message = format!("has {} headers; send at most {HEADERS_MAX}", given.len());
        fields.fail("headers", message);
        fields.finish()?;
        return Err(Problem::internal());
    }
    let (mut headers, mut names) = (Vec::new(), HashSet::new());
    for (name, raw) in given {
        let name = name.to_ascii_lowercase();
        let pointer = || format!("/headers/{}", escape_pointer(&name));
        let mut fail = |message: &str| fields.errors.push(FieldError::new(pointer(), message));
        match serde_json::from_str(raw.get()) {
            Ok(_) if !names.insert(name.clone()) => fail("is there twice"),
            Ok(HeaderShape::One(value)) => headers.push((name, value)),
            Ok(HeaderShape::Many(values)) => headers.push((name, values.join(" "))),
            Err(_) => fail("must be a string, or a list of strings"),
        }
    }
    let text: Option<String> = fields.get("body", "a string: the body's text as it was received");
    let time: Option<String> = fields.nullable("received_at", "an RFC 3339 time").flatten();
    let at = time.as_deref().and_then(Timestamp::parse);
    if time.is_some() && at.is_none() {
        fields.fail("received_at", "must be an RFC 3339 time, such as 2026-05-01T05:14:38Z");
    }
    fields.finish()?;
    Ok(ReceivedRequest { headers, body: text.unwrap_or_default().into_bytes(), at })
}
