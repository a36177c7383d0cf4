//! What `/api/v0` says and takes, as documented types: flat objects, in the names and the nesting of
//! Devdraft's API. Absent values are null.

use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Object};

use crate::domain::attempts::delivery::RecentDelivery;
use crate::domain::{App, Endpoint, EndpointStatus, SigningSecret, Timestamp};
use crate::http::request::body::BodyShape;
use crate::service::log::statistics::Summary;

use super::ids;

/// How many characters of a masked secret are shown.
const SHOWN: usize = 4;

/// 201
#[derive(ApiResponse)]
pub enum Created {
    /// Made.
    #[oai(status = 201)]
    Created(Json<WebhookObject>),
}

/// 204
#[derive(ApiResponse)]
pub enum Deleted {
    /// Done.
    #[oai(status = 204)]
    Done,
}

/// A webhook with its statistics.
#[derive(Object)]
#[oai(rename = "Webhook")]
pub struct WebhookObject {
    /// `wh_` and 32 hexadecimal digits.
    pub id: String,
    /// A name for people.
    pub name: String,
    /// Where events are sent.
    pub url: String,
    /// Whether events are delivered now; false while paused or disabled.
    #[oai(rename = "isActive")]
    pub is_active: bool,
    /// Whether payloads are sent as JWE.
    pub encrypted: bool,
    /// Whole when it is created and with the scope `webhooks:secrets`; otherwise masked to its last four
    /// characters.
    pub signing_secret: String,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// RFC 3339, UTC.
    pub updated_at: String,
    pub delivery_stats: DeliveryStats,
    pub app: AppObject,
    pub health: Health,
    /// With `include_events=true`: the latest deliveries, newest first.
    #[oai(skip_serializing_if_is_none)]
    pub recent_events: Option<Vec<RecentEvent>>,
}

/// Statistics over deliveries (not attempts); tests are left out.
#[derive(Object)]
pub struct DeliveryStats {
    /// All, pending ones too.
    pub total_events: u64,
    pub successful_deliveries: u64,
    /// Exhausted deliveries (no retries left).
    pub failed_deliveries: u64,
    /// When one was last attempted. RFC 3339, UTC.
    pub last_delivery: Option<String>,
    /// Delivered of all that ended, in percent, to one decimal.
    pub success_rate: Option<f64>,
    /// In whole ms.
    pub average_response_time: Option<u64>,
    pub last_24h_events: u64,
    pub last_24h_failures: u64,
}

/// The app that owns a webhook.
#[derive(Object)]
#[oai(rename = "App")]
pub struct AppObject {
    /// `app_` and 32 hexadecimal digits.
    pub id: String,
    pub name: String,
}

/// How the webhook does, in words.
#[derive(Object)]
pub struct Health {
    /// `excellent` from 99 %, `good` from 95 %, `warning` from 90 %, `critical` below, or `unknown`.
    pub success_rate: String,
    /// `fast` below 1 s, `acceptable` up to 3 s, `slow` up to 5 s, `critical` above, or `unknown`.
    pub response_time: String,
    /// `failing` (attempts fail now, as the state `failing` says), `active` (an event in the last 24 h) or `idle`.
    pub activity: String,
    /// `disabled`, `paused`, `on_hold`, `failing`, `degraded`, `idle` or `healthy`: the first that applies.
    pub state: String,
    /// When the state began. RFC 3339, UTC.
    pub since: String,
    /// One sentence with the cause and the time.
    pub message: String,
}

/// A delivery, as its newest attempt has it.
#[derive(Object)]
pub struct RecentEvent {
    /// `evt_…`, which is also the `webhook-id` header.
    pub id: String,
    pub event_type: String,
    /// `delivered`, `failed` or `pending`.
    pub delivery_status: String,
    /// The receiver's status at the last attempt that ended.
    pub response_code: Option<u16>,
    /// In ms.
    pub response_time: Option<u32>,
    pub error_message: Option<String>,
    /// When the event was accepted. RFC 3339, UTC.
    pub created_at: String,
    /// When it was last attempted. RFC 3339, UTC.
    pub delivered_at: Option<String>,
    /// Attempts after the first.
    pub retry_count: u32,
}

/// A webhook as it is created.
#[derive(Object)]
#[oai(rename = "CreateWebhook")]
#[allow(dead_code, reason = "a documented shape; bodies are read field by field")]
pub struct CreateBody {
    /// Up to 100 characters; the URL's host unless given.
    #[oai(validator(max_length = 100))]
    name: Option<String>,
    /// `http` or `https`, up to 2,048 characters.
    #[oai(validator(max_length = 2048))]
    url: String,
    /// True unless given.
    #[oai(rename = "isActive")]
    is_active: Option<bool>,
    /// False unless given.
    encrypted: Option<bool>,
    /// Patterns of event types; `["*"]` unless given.
    #[oai(validator(min_items = 1, max_items = 100))]
    events: Option<Vec<String>>,
}

impl BodyShape for CreateBody {}

/// What changes about a webhook.
#[derive(Object)]
#[oai(rename = "UpdateWebhook")]
#[allow(dead_code, reason = "a documented shape; bodies are read field by field")]
pub struct UpdateBody {
    #[oai(validator(max_length = 100))]
    name: Option<String>,
    #[oai(validator(max_length = 2048))]
    url: Option<String>,
    /// `false` pauses: deliveries wait.
    #[oai(rename = "isActive")]
    is_active: Option<bool>,
    encrypted: Option<bool>,
    #[oai(validator(min_items = 1, max_items = 100))]
    events: Option<Vec<String>>,
}

impl BodyShape for UpdateBody {}

impl WebhookObject {
    /// Puts a webhook together. `whole_secret` is false for callers that may not see it.
    pub fn of(
        endpoint: &Endpoint,
        app: &App,
        secret: &SigningSecret,
        whole_secret: bool,
        summary: &Summary,
    ) -> WebhookObject {
        let secret = if whole_secret { secret.as_str().to_owned() } else { masked(secret.as_str()) };
        WebhookObject {
            id: ids::webhook(endpoint.id),
            name: endpoint.settings.name.clone(),
            url: endpoint.settings.url.clone(),
            is_active: endpoint.status == EndpointStatus::Active,
            encrypted: endpoint.settings.encrypted,
            signing_secret: secret,
            created_at: endpoint.created_at.to_string(),
            updated_at: endpoint.updated_at.to_string(),
            delivery_stats: DeliveryStats::of(summary),
            app: AppObject { id: ids::app(app.id), name: app.name.clone() },
            health: Health::of(summary),
            recent_events: None,
        }
    }
}

fn masked(secret: &str) -> String {
    let last = secret.len().saturating_sub(SHOWN);
    format!("whsec_…{}", secret.get(last..).unwrap_or_default())
}

impl DeliveryStats {
    fn of(s: &Summary) -> DeliveryStats {
        DeliveryStats {
            total_events: s.totals.deliveries,
            successful_deliveries: s.totals.delivered,
            failed_deliveries: s.totals.exhausted,
            last_delivery: s.totals.last_attempted_at.map(|t| t.to_string()),
            success_rate: s.success_rate.map(|rate| (rate * 10.0).round() / 10.0),
            average_response_time: s.average_response_ms.map(|ms| ms.round() as u64),
            last_24h_events: s.last_24h_events,
            last_24h_failures: s.last_24h_failures,
        }
    }
}

impl Health {
    fn of(s: &Summary) -> Health {
        Health {
            success_rate: s.success.as_str().to_owned(),
            response_time: s.response_time.as_str().to_owned(),
            activity: s.activity.as_str().to_owned(),
            state: s.standing.health.state.as_str().to_owned(),
            since: s.standing.health.since.to_string(),
            message: s.standing.health.message.clone(),
        }
    }
}

impl RecentEvent {
    /// A delivery.
    pub fn of(d: &RecentDelivery) -> RecentEvent {
        let time = |t: Timestamp| t.to_string();
        RecentEvent {
            id: d.event_id.to_string(),
            event_type: d.event_type.to_string(),
            delivery_status: d.state.as_str().to_owned(),
            response_code: d.response_status,
            response_time: d.response_time_ms,
            error_message: d.error_message.clone(),
            created_at: time(d.event_created_at),
            delivered_at: d.attempted_at.map(time),
            retry_count: d.retries,
        }
    }
}
