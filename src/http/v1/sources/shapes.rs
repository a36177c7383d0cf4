//! Sources and their requests, as `/v1` shows and takes them.

use poem_openapi::Object;
use poem_openapi::types::Any;
use serde_json::{Map, Value, json};

use crate::http::request::body::BodyShape;
use crate::service::sources::manage::SourceView;
use crate::service::sources::preview::SourcePreview;
use crate::service::sources::requests::{BodyContent, InboundDetail, InboundRow};

/// What is said of an address verifier that sees a proxy.
const UNTRUSTED_PROXY: &str = "This request came through a proxy that http.trusted_proxies does not name. The verifier of \
    the kind address sees the address of that proxy, not those of senders.";

/// A URL that takes requests of another program, and what they become.
#[derive(Object)]
#[oai(rename = "Source")]
pub(super) struct SourceResource {
    /// `source`
    #[oai(rename = "type")]
    kind: String,
    /// UUID of the source.
    id: String,
    attributes: SourceAttributes,
}

/// Attributes of a source.
#[derive(Object)]
#[oai(rename = "SourceAttributes")]
struct SourceAttributes {
    /// 1 to 40 of `[a-z0-9_-]`, unique in the app. It is `event.source` in templates.
    name: String,
    /// While false, the URL is answered like an unknown one.
    enabled: bool,
    /// The URL for the sender; whole with the scopes `webhooks:secrets` and `events:write`.
    url: String,
    /// Up to four verifiers; all must hold. Secrets are masked.
    verify: Any<Value>,
    /// The methods that are taken, of `POST`, `PUT` and `GET`.
    methods: Vec<String>,
    /// A template.
    event_type: String,
    /// A template.
    resource_id: Option<String>,
    /// A template; the same value within 24 hours is a duplicate.
    dedupe: Option<String>,
    /// An expression; false = answered with success and dropped.
    accept: Option<String>,
    /// The field or part that holds the JSON in forms and multipart.
    json_field: String,
    /// The kind of challenge that is answered; its token is masked.
    challenge: Any<Value>,
    /// What the sender is answered.
    response: Any<Value>,
    /// Templates: what an event means to a person.
    summary: Any<Value>,
    /// Such as `600/m`; 0 = no limit.
    rate_limit: Any<Value>,
    /// The recipe that it was made with: `name`, `version`, and whether it was `changed` since.
    preset: Any<Value>,
    /// RFC 3339, UTC.
    created_at: String,
    /// RFC 3339, UTC.
    updated_at: String,
    /// RFC 3339, UTC.
    last_request_at: Option<String>,
    /// Requests of the last 24 hours by outcome.
    counts_24h: SourceCounts,
    /// What may surprise about it; only in the response that saves it.
    #[oai(skip_serializing_if_is_none)]
    warnings: Option<Vec<String>>,
}

/// Requests by outcome.
#[derive(Object)]
#[oai(rename = "SourceCounts")]
struct SourceCounts {
    accepted: i64,
    duplicate: i64,
    ignored: i64,
    rejected: i64,
}

impl SourceResource {
    /// A source as the caller may see it.
    pub(super) fn of(view: &SourceView) -> SourceResource {
        let attributes = &view.attributes;
        let text = |name: &str| attributes.get(name).and_then(Value::as_str).map(str::to_owned);
        let any = |name: &str| Any(attributes.get(name).cloned().unwrap_or_default());
        let counts = &view.uses.counts;
        let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let preset = view.source.preset.as_ref().map(
            |preset| json!({ "name": preset.name, "version": preset.version, "changed": view.is_changed }),
        );
        SourceResource {
            kind: "source".to_owned(),
            id: view.source.id.to_string(),
            attributes: SourceAttributes {
                name: view.source.settings.name.clone(),
                enabled: view.source.settings.is_enabled,
                url: view.url.clone(),
                verify: any("verify"),
                methods: view.source.settings.mapping.methods.clone(),
                event_type: text("event_type").unwrap_or_default(),
                resource_id: text("resource_id"),
                dedupe: text("dedupe"),
                accept: text("accept"),
                json_field: text("json_field").unwrap_or_default(),
                challenge: any("challenge"),
                response: any("response"),
                summary: any("summary"),
                rate_limit: any("rate_limit"),
                preset: Any(preset.unwrap_or_default()),
                created_at: view.source.created_at.to_string(),
                updated_at: view.source.updated_at.to_string(),
                last_request_at: view.uses.last_request_at.map(|at| at.to_string()),
                counts_24h: SourceCounts {
                    accepted: count(counts.accepted),
                    duplicate: count(counts.duplicate),
                    ignored: count(counts.ignored),
                    rejected: count(counts.rejected),
                },
                warnings: None,
            },
        }
    }

    /// The same after it was saved. Behind a proxy that is not trusted, all senders have the address of the proxy.
    #[must_use]
    pub(super) fn saved(view: &SourceView, is_forwarded_by_stranger: bool) -> SourceResource {
        let mut resource = SourceResource::of(view);
        let verify = view.attributes.get("verify").and_then(Value::as_array);
        let has_address = verify.is_some_and(|all| all.iter().any(|one| one["kind"] == "address"));
        if has_address && is_forwarded_by_stranger {
            resource.attributes.warnings = Some(vec![UNTRUSTED_PROXY.to_owned()]);
        }
        resource
    }
}

/// A source as it is made or changed. `name` is required when it is made or replaced without a preset.
#[derive(Object)]
#[oai(rename = "SourceInput")]
#[allow(dead_code, reason = "a documented shape; bodies are read field by field")]
pub(super) struct SourceBody {
    /// 1 to 40 of `[a-z0-9_-]`, unique in the app, not `webhook_endpoint`; the preset's name unless given.
    #[oai(validator(min_length = 1, max_length = 40))]
    name: Option<String>,
    /// True unless given; while false, the URL is answered like an unknown one.
    enabled: Option<bool>,
    /// Up to four verifiers, each an object with `kind`: `token` (`in`, `name`, `secret`, `prefix`), `basic`
    /// (`username`, `secret`), `hmac` (`header`, `secret`, `algorithm`, `encoding`, `prefix`, `content`, `key`,
    /// `timestamp`, `tolerance`), `standard`, `stripe`, `slack` (`secret`), `address` (`networks`; behind a proxy that
    /// `http.trusted_proxies` does not name, this is the address of the proxy). A secret may be a list of two while it
    /// is rotated; `********` keeps it.
    #[oai(validator(max_items = 4))]
    verify: Option<Vec<Any<Value>>>,
    /// `POST` and `PUT` unless given; `GET` may be added, and then the query is the payload.
    methods: Option<Vec<String>>,
    /// A template; the name and `.event` unless given.
    event_type: Option<String>,
    /// A template; empty = none.
    resource_id: Option<String>,
    /// A template; empty = none. The same value within 24 hours is a duplicate.
    dedupe: Option<String>,
    /// An expression; false = answered with success and dropped.
    accept: Option<String>,
    /// `payload` unless given.
    json_field: Option<String>,
    /// `slack`, `dropbox`, `microsoft`, `twitch`, or an object with `kind` `meta` and `verify_token`.
    challenge: Option<Any<Value>>,
    /// `status` 200 to 204, `content_type`, `body` to 4 KiB; a null body is `{"id":"evt_…"}`.
    response: Option<Any<Value>>,
    /// `title`, `message`, `link`, `level`: templates over payload and event.
    summary: Option<Any<Value>>,
    /// A number and `/s`, `/m` or `/h`; `600/m` unless given, 0 = no limit.
    rate_limit: Option<Any<Value>>,
    /// A recipe of the gallery: `name` and `inputs`. Not in a change.
    preset: Option<Any<Value>>,
}

impl BodyShape for SourceBody {}

/// How long the old URL goes on working.
#[derive(Object)]
#[oai(rename = "RotateSourceUrl")]
#[allow(dead_code, reason = "a documented shape; bodies are read field by field")]
pub(super) struct RotateUrlBody {
    /// `0s` to `7d`; `24h` unless given.
    overlap: Option<String>,
}

impl BodyShape for RotateUrlBody {
    const REQUIRED: bool = false;
}

/// What to preview.
#[derive(Object)]
#[oai(rename = "SourcePreviewInput")]
#[allow(dead_code, reason = "a documented shape; bodies are read field by field")]
pub(super) struct PreviewBody {
    /// The attributes of a source. With `source_id` they are changes of that source, so that masks keep its secrets.
    source: Option<Any<Value>>,
    /// UUID of a source.
    source_id: Option<String>,
    /// `method`, `headers`, `query`, `body` or `body_base64`; or `request_id`: a request of the inbound log; or
    /// `sample`: one of the gallery, such as `github/release`.
    request: Any<Value>,
}

impl BodyShape for PreviewBody {}

/// A request to a source: a row of the inbound log.
#[derive(Object)]
#[oai(rename = "InboundRequest")]
pub(super) struct InboundRequestResource {
    /// `inbound_request`
    #[oai(rename = "type")]
    kind: String,
    /// The row's number.
    id: i64,
    attributes: InboundRequestAttributes,
}

/// Attributes of a request to a source.
#[derive(Object)]
#[oai(rename = "InboundRequestAttributes")]
struct InboundRequestAttributes {
    /// UUID of the source.
    source_id: String,
    /// RFC 3339, UTC.
    received_at: String,
    /// `accepted`, `duplicate`, `ignored`, `challenge`, `rejected` or `invalid`.
    outcome: String,
    /// Why it was not accepted, or what is odd about it.
    reason: Option<String>,
    client_ip: Option<String>,
    method: String,
    /// What followed the token in the path.
    path: Option<String>,
    /// The status that the sender got.
    status: u16,
    /// The event that it became; of a duplicate, the first one.
    event_id: Option<String>,
    event_type: Option<String>,
    /// Bytes of the body.
    size: i64,
    /// Lower-case names; secret values are masked. In the detail only.
    #[oai(skip_serializing_if_is_none)]
    headers: Option<Any<Value>>,
    /// Secret values are masked. In the detail only.
    #[oai(skip_serializing_if_is_none)]
    query: Option<Any<Value>>,
    /// The body; null where it is the event's payload. In the detail only.
    #[oai(skip_serializing_if_is_none)]
    body: Option<Any<Value>>,
    /// Whether only the beginning of the body is kept. In the detail only.
    #[oai(skip_serializing_if_is_none)]
    body_truncated: Option<bool>,
}

impl InboundRequestResource {
    /// A row.
    pub(super) fn of(row: &InboundRow) -> InboundRequestResource {
        InboundRequestResource {
            kind: "inbound_request".to_owned(),
            id: row.id,
            attributes: InboundRequestAttributes {
                source_id: row.source_id.to_string(),
                received_at: row.received_at.to_string(),
                outcome: row.outcome.to_string(),
                reason: row.reason.clone(),
                client_ip: row.client_ip.clone(),
                method: row.method.clone(),
                path: row.path.clone(),
                status: row.status,
                event_id: row.event.as_ref().map(|(id, _)| id.to_string()),
                event_type: row.event.as_ref().map(|(_, event_type)| event_type.to_string()),
                size: i64::try_from(row.size).unwrap_or(i64::MAX),
                headers: None,
                query: None,
                body: None,
                body_truncated: None,
            },
        }
    }

    /// A row with everything that is kept.
    pub(super) fn detail(detail: &InboundDetail) -> InboundRequestResource {
        let mut resource = InboundRequestResource::of(&detail.row);
        let attributes = &mut resource.attributes;
        let mut headers: Map<String, Value> = Map::new();
        for (name, value) in detail.headers.iter() {
            let joined = match headers.get(name).and_then(Value::as_str) {
                Some(before) => format!("{before}, {value}"),
                None => value.to_owned(),
            };
            headers.insert(name.to_owned(), Value::from(joined));
        }
        attributes.headers = Some(Any(Value::Object(headers)));
        let query = detail.query.as_deref().and_then(|text| serde_json::from_str(text).ok());
        attributes.query = Some(Any(query.unwrap_or_else(|| json!({}))));
        let body = detail.body.as_ref();
        attributes.body =
            Some(Any(body.map_or(Value::Null, |body| String::from_utf8_lossy(&body.bytes).into())));
        attributes.body_truncated = Some(body.is_some_and(|body| body.content == BodyContent::Cut));
        resource
    }
}

/// What would become of a request.
#[derive(Object)]
#[oai(rename = "SourcePreview")]
pub(super) struct PreviewResource {
    /// `source_preview`
    #[oai(rename = "type")]
    kind: String,
    attributes: PreviewAttributes,
}

/// What would become of a request, step by step.
#[derive(Object)]
#[oai(rename = "SourcePreviewAttributes")]
struct PreviewAttributes {
    /// The verdict of each verifier.
    verify: Vec<VerifierObject>,
    /// Whether all verifiers hold.
    verified: bool,
    /// Null when the body cannot be read.
    event_type: Option<String>,
    dedupe: Option<String>,
    resource_id: Option<String>,
    /// Whether `accept` takes it; null when the body cannot be read.
    accepted: Option<bool>,
    payload: Any<Value>,
    /// `title`, `message`, `link`, `level`.
    summary: Any<Value>,
    /// `status`, `content_type`, `body`.
    response: Any<Value>,
    /// The webhooks of the app, and whether each would get the event.
    webhooks: Vec<PreviewWebhook>,
    /// Why there is no event, or which template failed.
    error: Option<String>,
    /// What is allowed and may surprise.
    warnings: Vec<String>,
}

/// The verdict of a verifier.
#[derive(Object)]
#[oai(rename = "VerifierVerdict")]
struct VerifierObject {
    kind: String,
    ok: bool,
    /// Why it does not hold.
    reason: Option<String>,
}

/// A webhook of the app.
#[derive(Object)]
#[oai(rename = "SourcePreviewWebhook")]
struct PreviewWebhook {
    /// UUID of the webhook.
    id: String,
    name: String,
    /// Whether it would get the event.
    wanted: bool,
}

impl PreviewResource {
    pub(super) fn of(preview: &SourcePreview) -> PreviewResource {
        let mapped = preview.mapped.as_ref();
        let verify: Vec<VerifierObject> = preview
            .verify
            .iter()
            .map(|verdict| VerifierObject {
                kind: verdict.kind.to_owned(),
                ok: verdict.reason.is_none(),
                reason: verdict.reason.clone(),
            })
            .collect();
        let summary = mapped.map(|mapped| {
            let summary = &mapped.summary;
            json!({
                "title": summary.title,
                "message": summary.message,
                "link": summary.link,
                "level": summary.level.as_str(),
            })
        });
        let webhooks = mapped.map(|mapped| mapped.endpoints.as_slice()).unwrap_or_default().iter();
        let payload = mapped.and_then(|mapped| serde_json::from_slice(&mapped.payload).ok());
        let response = &preview.response;
        PreviewResource {
            kind: "source_preview".to_owned(),
            attributes: PreviewAttributes {
                verified: verify.iter().all(|verdict| verdict.ok),
                verify,
                event_type: mapped.map(|mapped| mapped.event_type.clone()),
                dedupe: mapped.and_then(|mapped| mapped.dedupe.clone()),
                resource_id: mapped.and_then(|mapped| mapped.resource_id.clone()),
                accepted: mapped.map(|mapped| mapped.is_accepted),
                payload: Any(payload.unwrap_or_default()),
                summary: Any(summary.unwrap_or_default()),
                response: Any(json!({
                    "status": response.status,
                    "content_type": response.content_type,
                    "body": String::from_utf8_lossy(&response.body),
                })),
                webhooks: webhooks
                    .map(|(id, name, wanted)| PreviewWebhook {
                        id: id.to_string(),
                        name: name.clone(),
                        wanted: *wanted,
                    })
                    .collect(),
                error: preview.error.clone(),
                warnings: preview.warnings.clone(),
            },
        }
    }
}
