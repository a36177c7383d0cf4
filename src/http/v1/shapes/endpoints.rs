//! Endpoints, as `/v1` shows and takes them.

use poem_openapi::Object;
use poem_openapi::types::Any;
use serde_json::{Value, json};

use super::time;
use crate::domain::endpoint::{Endpoint, EndpointSettings, HeaderValue, MASK};
use crate::domain::health::{EndpointHealth, HealthSummary};
use crate::domain::values::rate::Rate;
use crate::domain::{AttemptId, Outcome};
use crate::http::request::body::BodyShape;
use crate::service::endpoints::manage::{Missed, Standing};

/// A receiver URL with the event types it wants.
#[derive(Object)]
#[oai(rename = "WebhookEndpoint")]
pub struct EndpointResource {
    /// `webhook_endpoint`
    #[oai(rename = "type")]
    pub kind: String,
    /// UUID of the webhook.
    pub id: String,
    pub attributes: EndpointAttributes,
}

/// The health of a webhook: the first state that applies.
#[derive(Object)]
#[oai(rename = "WebhookState")]
pub struct HealthAttribute {
    /// `disabled`, `paused`, `on_hold` (only probes are sent), `failing` (the newest 3 attempts failed, or 3 of the
    /// newest 10 deliveries, or nothing of the last 24 hours succeeded), `degraded` (less than 99 % succeeded in the
    /// last 24 hours, or responses took more than 3 s on average), `idle` (no event in 24 hours) or `healthy`.
    pub state: String,
    /// When the state began. RFC 3339, UTC.
    pub since: String,
    /// One sentence with the cause and the time.
    pub message: String,
}

impl HealthAttribute {
    /// The attribute.
    pub fn of(health: &EndpointHealth) -> HealthAttribute {
        HealthAttribute {
            state: health.state.as_str().to_owned(),
            since: time(health.since),
            message: health.message.clone(),
        }
    }
}

/// Attributes of a webhook.
#[derive(Object)]
#[oai(rename = "WebhookEndpointAttributes")]
pub struct EndpointAttributes {
    /// Where events are sent: `http` or `https`, up to 2,048 characters.
    pub url: String,
    /// A name for people, up to 100 characters; the URL's host unless given.
    pub name: String,
    /// Up to 500 characters.
    pub description: Option<String>,
    /// `active`, `paused` (deliveries wait) or `disabled` (new events make no delivery).
    pub status: String,
    /// Why Postrider disabled it; null when a person set the status.
    pub status_reason: Option<String>,
    /// Patterns of the event types it wants: a type, a type followed by `.*`, or `*`.
    pub events: Vec<String>,
    /// An expression over the event; null = every event that the patterns match. See `docs/integrations-language.md`.
    pub filter: Option<String>,
    /// When the filter could last not decide, and why; the event was delivered then.
    pub filter_error: Option<String>,
    /// Headers of every request: name → string, or name → `{"value","secret":true}`, which reads back
    /// masked.
    pub headers: Any<Value>,
    /// The request that is made of an event, with templates; null = a POST of the payload. `url` may have templates in
    /// its path and query then. See `docs/integrations.md`.
    pub request: Any<Value>,
    /// What templates call `secrets.NAME`: name → mask; null = none.
    pub secrets: Any<Value>,
    /// Whether bodies are sent as JWE.
    pub encrypted: bool,
    /// Waits between attempts, such as `["2m","8m","20m"]`; null = the configured ones.
    pub retry_schedule: Option<Vec<String>>,
    /// Time for the whole request, up to `30s`; null = the configured one.
    pub timeout: Option<String>,
    /// Requests a second, or a text such as `30/m` or `1000/h`; null = no limit.
    pub rate_limit: Any<Value>,
    /// An e-mail address or an `http` or `https` URL that gets the alerts about this webhook, too.
    pub contact: Option<String>,
    /// The recipe that it was made with: `name`, `version`, and whether what the recipe has set was `changed` since.
    pub preset: Any<Value>,
    /// Failed attempts since the last success.
    pub consecutive_failures: u32,
    /// While it is on hold: why, and until when. Its deliveries stay pending meanwhile, and only probes are sent.
    pub hold: Option<HoldAttributes>,
    /// What it missed while it was disabled; only in the response that enables it.
    #[oai(skip_serializing_if_is_none)]
    pub missed: Option<MissedAttributes>,
    pub health: HealthAttribute,
    /// Percentage of the deliveries that finished in the last 24 hours which were delivered; null if none
    /// finished.
    pub success_rate: Option<f64>,
    /// When an attempt last failed; tests and local failures do not count. RFC 3339, UTC.
    pub last_failure_at: Option<String>,
    /// Pending deliveries.
    pub waiting: u64,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// RFC 3339, UTC.
    pub updated_at: String,
    /// `whsec_…`: the key that signs. Shown when the webhook is made and when the secret is rotated,
    /// never again.
    #[oai(skip_serializing_if_is_none)]
    pub signing_secret: Option<String>,
}

/// The hold of a webhook.
#[derive(Object)]
#[oai(rename = "WebhookEndpointHold")]
pub struct HoldAttributes {
    /// `circuit`: it failed several times in a row. `rate_limited`: it asked for a pause.
    pub reason: String,
    /// RFC 3339, UTC.
    pub since: String,
    /// When the next probe is sent, if something waits then. RFC 3339, UTC.
    pub next_probe_at: String,
    /// Deliveries that are pending for it.
    pub waiting: u64,
    /// A sentence with the cause and the times.
    pub message: String,
}

/// Events that a webhook was not sent because it was disabled.
#[derive(Object)]
#[oai(rename = "WebhookEndpointMissed")]
pub struct MissedAttributes {
    /// When it was disabled. RFC 3339, UTC.
    pub since: String,
    /// How many events `recover` would send from then on.
    pub count: u64,
}

/// What is sent now.
#[derive(Object)]
#[oai(rename = "SendNow")]
pub struct SendNowResource {
    /// `send_now`
    #[oai(rename = "type")]
    pub kind: String,
    pub attributes: SendNowAttributes,
}

/// Attributes of what is sent now.
#[derive(Object)]
#[oai(rename = "SendNowAttributes")]
pub struct SendNowAttributes {
    /// Deliveries that waited and are due now.
    pub queued: u64,
}

impl SendNowResource {
    /// So many are due now.
    pub fn of(queued: u64) -> SendNowResource {
        SendNowResource { kind: "send_now".to_owned(), attributes: SendNowAttributes { queued } }
    }
}

impl HoldAttributes {
    fn of(standing: &Standing) -> Option<HoldAttributes> {
        let hold = standing.hold.as_ref()?;
        Some(HoldAttributes {
            reason: hold.reason.to_string(),
            since: time(hold.since),
            next_probe_at: time(hold.next_probe_at),
            waiting: standing.waiting,
            message: standing.message.clone(),
        })
    }
}

impl EndpointResource {
    /// The same with the signing secret, for the one time it is shown.
    #[must_use]
    pub fn with_secret(mut self, secret: &str) -> EndpointResource {
        self.attributes.signing_secret = Some(secret.to_owned());
        self
    }

    /// The same with what the webhook missed while it was disabled.
    #[must_use]
    pub fn with_missed(mut self, missed: Option<Missed>) -> EndpointResource {
        self.attributes.missed =
            missed.map(|Missed { since, count }| MissedAttributes { since: time(since), count });
        self
    }

    /// The endpoint as it stands, without its secret.
    pub fn of(endpoint: &Endpoint, standing: &Standing, health: &HealthSummary) -> EndpointResource {
        let s = &endpoint.settings;
        let headers: serde_json::Map<String, Value> = s
            .headers
            .iter()
            .map(|header| {
                let value = match &header.value {
                    HeaderValue::Plain(text) => json!(text),
                    HeaderValue::Secret(_) => json!({ "value": MASK, "secret": true }),
                };
                (header.name.clone(), value)
            })
            .collect();
        EndpointResource {
            kind: "webhook_endpoint".to_owned(),
            id: endpoint.id.to_string(),
            attributes: EndpointAttributes {
                url: s.url.clone(),
                name: s.name.clone(),
                description: s.description.clone(),
                status: endpoint.status.to_string(),
                status_reason: endpoint.status_reason.clone(),
                events: s.events.iter().map(ToString::to_string).collect(),
                filter: s.filter.clone(),
                filter_error: endpoint.filter_error.clone(),
                headers: Any(Value::Object(headers)),
                request: Any(s
                    .request
                    .as_deref()
                    .and_then(|text| serde_json::from_str(text).ok())
                    .unwrap_or_default()),
                secrets: Any(if s.secrets.is_empty() {
                    Value::Null
                } else {
                    s.secrets.iter().map(|secret| (secret.name.clone(), json!(MASK))).collect()
                }),
                encrypted: s.encrypted,
                retry_schedule: s
                    .retry_schedule
                    .as_ref()
                    .map(|schedule| schedule.waits().iter().map(ToString::to_string).collect()),
                timeout: s.timeout.as_ref().map(ToString::to_string),
                rate_limit: Any(s.rate_limit.map(Rate::to_json).unwrap_or_default()),
                contact: s.contact.clone(),
                preset: Any(preset_json(s)),
                consecutive_failures: endpoint.consecutive_failures,
                hold: HoldAttributes::of(standing),
                missed: None,
                health: HealthAttribute::of(&health.health),
                success_rate: health.success_rate.map(|rate| (rate * 100.0).round() / 100.0),
                last_failure_at: health.last_failure_at.map(time),
                waiting: health.waiting,
                created_at: time(endpoint.created_at),
                updated_at: time(endpoint.updated_at),
                signing_secret: None,
            },
        }
    }
}

/// The recipe of an endpoint, as reads show it.
fn preset_json(settings: &EndpointSettings) -> Value {
    settings.preset.as_ref().map_or(Value::Null, |preset| {
        json!({
            "name": preset.name,
            "version": preset.version,
            "changed": settings.is_preset_changed(),
        })
    })
}

/// A webhook as it is made or changed. `url` (without a preset) and `events` are required when it is made or
/// replaced.
#[derive(Object)]
#[oai(rename = "WebhookEndpointInput")]
#[allow(dead_code, reason = "a documented shape; bodies are read field by field")]
pub struct EndpointBody {
    /// Where events are sent: `http` or `https`, up to 2,048 characters, without credentials or fragment. With
    /// `request` it may have templates in its path and query.
    #[oai(validator(max_length = 2048))]
    url: Option<String>,
    /// Up to 100 characters; the URL's host unless given.
    #[oai(validator(max_length = 100))]
    name: Option<String>,
    /// Up to 500 characters.
    #[oai(validator(max_length = 500))]
    description: Option<String>,
    /// 1 to 100 patterns: a type (`license.assigned`), a type followed by `.*` (`license.*`), or `*`.
    #[oai(validator(min_items = 1, max_items = 100))]
    events: Option<Vec<String>>,
    /// An expression over the event, up to 2 KiB, such as `payload.status == 'firing'`; only events for which it is
    /// true are delivered. null = every event that the patterns match.
    #[oai(validator(max_length = 2048))]
    filter: Option<String>,
    /// Up to 20: name → string, or name → `{"value","secret":true}`. Writing the mask `********` keeps a
    /// secret value. A value has up to 8 KiB, all values together up to 16 KiB.
    headers: Option<Any<Value>>,
    /// The request that is made of an event; null = a POST of the payload. An object of `method`, `content` (`json`,
    /// `form`, `text`, `payload`, `none`), `content_type`, `query`, `body`, `headers`, `sign`, `expect`, `final` and
    /// `retry_after`. A body of the kind `json` is any JSON with templates in its strings. Not with `encrypted`.
    request: Option<Any<Value>>,
    /// Up to 10: name (`[a-z0-9_]`, up to 32) → value of up to 4 KiB, which templates call `secrets.NAME`. Writing the
    /// mask `********` keeps a value. They must be given again when scheme, host or port of `url` change.
    secrets: Option<Any<Value>>,
    /// Whether bodies are sent as JWE (`dir`, `A256GCM`).
    encrypted: Option<bool>,
    /// Waits between attempts; `[]` = no retries, null = the configured ones.
    retry_schedule: Option<Vec<String>>,
    /// Up to `30s`; null = the configured one.
    timeout: Option<String>,
    /// Requests a second, 1 to 10,000, or a number with `/s`, `/m` or `/h`, such as `30/m` or `1000/h`; requests are
    /// spaced evenly. null = no limit.
    rate_limit: Option<Any<Value>>,
    /// An e-mail address (up to 320 characters) or an `http` or `https` URL (up to 2,048) that gets the alerts about
    /// this webhook, too; null = none.
    #[oai(validator(max_length = 2048))]
    contact: Option<String>,
    /// A recipe of the gallery: `{"name","inputs"}`. `url`, `request`, `secrets` and `rate_limit` come from it unless
    /// they are given. Without `inputs`, as reads show it, the recipe of the webhook stays. PATCH does not take it.
    preset: Option<Any<Value>>,
    /// `active` (also clears the failure counter), `paused` or `disabled`.
    status: Option<String>,
}

impl BodyShape for EndpointBody {}

/// Which event to test with.
#[derive(Object)]
#[oai(rename = "WebhookTest")]
#[allow(dead_code, reason = "a documented shape; bodies are read field by field")]
pub struct TestBody {
    /// `webhook.test` unless given; not with `event_id` or `sample`.
    event_type: Option<String>,
    /// Any JSON; a synthetic payload unless given.
    payload: Option<Any<Value>>,
    /// An event of the app, which is sent under a new id.
    event_id: Option<String>,
    /// A sample of the gallery, such as `github/release`.
    sample: Option<String>,
}

impl BodyShape for TestBody {
    const REQUIRED: bool = false;
}

/// How long the old secret goes on signing.
#[derive(Object)]
#[oai(rename = "RotateSecret")]
#[allow(dead_code, reason = "a documented shape; bodies are read field by field")]
pub struct RotateBody {
    /// `0s` to `7d`; `24h` unless given.
    overlap: Option<String>,
    /// Whether the oldest secret stops signing if five sign already; `false` unless given.
    end_oldest: Option<bool>,
}

impl BodyShape for RotateBody {
    const REQUIRED: bool = false;
}

/// What became of a test delivery.
#[derive(Object)]
#[oai(rename = "WebhookTestResult")]
pub struct TestResource {
    /// `webhook_test_result`
    #[oai(rename = "type")]
    pub kind: String,
    /// The number of the test's row in the delivery log.
    pub id: i64,
    pub attributes: TestAttributes,
}

/// Attributes of a test's result.
#[derive(Object)]
#[oai(rename = "WebhookTestResultAttributes")]
pub struct TestAttributes {
    /// Whether the receiver answered with 2xx.
    pub delivered: bool,
    /// The receiver's status; null when no response arrived.
    pub http_status: Option<u16>,
    /// Time of the request in ms; null when nothing was sent.
    pub response_time_ms: Option<u32>,
    /// Why it was not delivered.
    #[oai(skip_serializing_if_is_none)]
    pub error: Option<String>,
}

impl TestResource {
    /// From the outcome.
    pub fn of(attempt: AttemptId, outcome: &Outcome) -> TestResource {
        TestResource {
            kind: "webhook_test_result".to_owned(),
            id: attempt.0,
            attributes: TestAttributes {
                delivered: outcome.failure.is_none(),
                http_status: outcome.response.as_ref().map(|r| r.status),
                response_time_ms: outcome.response_time_ms,
                error: outcome.failure.as_ref().map(|f| f.message.clone()),
            },
        }
    }
}
