//! `/v1/webhooks/…/stats`, `/v1/webhooks/{id}/health` and `/v1/event-types`: figures.
//!
//! Rates are rounded to two decimals and averages to one here, at the edge; labels were judged before.

use poem::Request;
use poem_openapi::param::Path;
use poem_openapi::payload::Json as Answer;
use poem_openapi::{Object, OpenApi};

use crate::domain::{EndpointId, Invalid, Span};
use crate::http::problem::Problem;
use crate::http::request::auth::ReadWebhooks;
use crate::http::request::paging;
use crate::http::request::paging::Paging;
use crate::http::request::query::{Param, Query, Shape};
use crate::service::ServiceError;
use crate::service::log::statistics::{
    ErrorCount, EventTypeCount, Health, PointTimes, Stats, StepStats, Window,
};

use super::Tag;
use super::endpoints::endpoint_id;
use super::shapes::{List, One, StatusCountObject, list, one};

/// Parameters of statistics.
pub(super) fn stats_params() -> Vec<Param> {
    vec![
        Param {
            name: "since",
            shape: Shape::Time,
            description: "The beginning; 24 hours before `until` unless given. It is moved back to a whole step.",
            example: "2026-05-01T00:00:00Z",
        },
        Param {
            name: "until",
            shape: Shape::Time,
            description: "The end; now unless given. It is moved on to a whole step.",
            example: "2026-05-02T00:00:00Z",
        },
        Param {
            name: "step",
            shape: Shape::Like { pattern: "^[0-9]+(ms|s|m|h|d)$", max: 16 },
            description: "Length of a step, whole minutes from `1m` to `1d`; chosen by the window unless given. \
                          A series has at most 1,500 steps. Steps that are no whole hours reach 7 days back.",
            example: "1h",
        },
    ]
}

/// Parameters of the list of event types.
pub(super) fn event_type_params() -> Vec<Param> {
    paging::PARAMS.to_vec()
}

// --- statistics ---------------------------------------------------------------------------------

/// Statistics of a stretch of time.
#[derive(Object)]
#[oai(rename = "WebhookStats")]
pub(super) struct StatsResource {
    /// `webhook_stats`
    #[oai(rename = "type")]
    kind: String,
    /// UUID of the webhook; not there for all webhooks together.
    #[oai(skip_serializing_if_is_none)]
    id: Option<String>,
    attributes: StatsAttributes,
}

/// Attributes of statistics. Tests count nowhere.
#[derive(Object)]
#[oai(rename = "WebhookStatsAttributes")]
struct StatsAttributes {
    totals: StatsTotals,
    /// Length of a step.
    step: String,
    /// Where the series begins: `since`, moved back to a whole step.
    since: String,
    /// Where it ends: `until`, moved on to a whole step.
    until: String,
    /// All steps, empty ones included.
    series: Vec<StepObject>,
}

/// Totals of the whole series.
#[derive(Object)]
#[oai(rename = "WebhookStatsTotals")]
struct StatsTotals {
    /// Deliveries that were made in this time.
    deliveries: u64,
    /// Deliveries whose last attempt was sent in this time and delivered.
    delivered: u64,
    /// Deliveries whose last attempt was sent in this time and failed.
    exhausted: u64,
    /// Deliveries that wait now, whatever the time that is asked for.
    pending: u64,
    /// Attempts sent in this time that failed, the last ones of deliveries included.
    failed_attempts: u64,
    response_time_ms: StatsTimesObject,
}

/// One step, by the time at which attempts were sent.
#[derive(Object)]
#[oai(rename = "WebhookStatsStep")]
struct StepObject {
    /// RFC 3339, UTC; a multiple of the step.
    start: String,
    /// Deliveries that were made in this step.
    deliveries: u64,
    delivered: u64,
    exhausted: u64,
    failed_attempts: u64,
    /// Attempts sent in this step by the status of their response; not there in steps that are no whole hours.
    #[oai(skip_serializing_if_is_none)]
    statuses: Option<Vec<StatusCountObject>>,
    response_time_ms: StatsTimesObject,
}

/// Response times in ms, of the whole series or of a step; null without any. Percentiles are within 6.25 %.
#[derive(Object)]
#[oai(rename = "WebhookStatsTimes")]
struct StatsTimesObject {
    average: Option<f64>,
    p50: Option<u64>,
    p95: Option<u64>,
    p99: Option<u64>,
}

impl StatsResource {
    fn of(id: Option<EndpointId>, stats: &Stats) -> StatsResource {
        StatsResource {
            kind: "webhook_stats".to_owned(),
            id: id.map(|id| id.to_string()),
            attributes: StatsAttributes {
                totals: StatsTotals {
                    deliveries: stats.deliveries,
                    delivered: stats.delivered,
                    exhausted: stats.exhausted,
                    pending: stats.pending,
                    failed_attempts: stats.failed_attempts,
                    response_time_ms: StatsTimesObject::of(&stats.times),
                },
                step: stats.step.to_string(),
                since: stats.since.to_string(),
                until: stats.until.to_string(),
                series: stats.series.iter().map(StepObject::of).collect(),
            },
        }
    }
}

impl StepObject {
    fn of(step: &StepStats) -> StepObject {
        StepObject {
            start: step.start.to_string(),
            deliveries: step.deliveries,
            delivered: step.delivered,
            exhausted: step.exhausted,
            failed_attempts: step.failed_attempts,
            statuses: step
                .statuses
                .as_ref()
                .map(|statuses| statuses.iter().map(StatusCountObject::of).collect()),
            response_time_ms: StatsTimesObject::of(&step.times),
        }
    }
}

impl StatsTimesObject {
    fn of(times: &PointTimes) -> StatsTimesObject {
        StatsTimesObject {
            average: times.average.map(tenths),
            p50: times.p50,
            p95: times.p95,
            p99: times.p99,
        }
    }
}

// --- health -------------------------------------------------------------------------------------

/// How a webhook is doing.
#[derive(Object)]
#[oai(rename = "WebhookHealth")]
pub(super) struct HealthResource {
    /// `webhook_health`
    #[oai(rename = "type")]
    kind: String,
    /// UUID of the webhook.
    id: String,
    attributes: HealthAttributes,
}

/// Attributes of a webhook's health. Tests count nowhere.
#[derive(Object)]
#[oai(rename = "WebhookHealthAttributes")]
struct HealthAttributes {
    totals: HealthTotals,
    /// Delivered, of what was delivered or exhausted, in percent; null when nothing has ended.
    success_rate: Option<f64>,
    last_24h: LastDay,
    response_time_ms: HealthTimes,
    labels: Labels,
    /// Failed attempts by what went wrong, the most frequent first.
    errors: Vec<ErrorObject>,
    trend: Trend,
    /// What to do, a sentence each.
    recommendations: Vec<String>,
}

/// Deliveries over all time.
#[derive(Object)]
#[oai(rename = "WebhookHealthTotals")]
struct HealthTotals {
    /// All of them, pending and cancelled ones too.
    deliveries: u64,
    delivered: u64,
    exhausted: u64,
    pending: u64,
    cancelled: u64,
}

/// The last 24 hours, to the minute.
#[derive(Object)]
#[oai(rename = "WebhookHealthLastDay")]
struct LastDay {
    /// Deliveries that were made.
    events: u64,
    /// Of these, the ones that are exhausted.
    failures: u64,
    /// Failures of events in percent; null without events.
    failure_rate: Option<f64>,
}

/// Response times of deliveries (of their newest attempt) over all time, in ms; null when there are
/// none. Percentiles are within 6.25 %.
#[derive(Object)]
#[oai(rename = "WebhookHealthTimes")]
struct HealthTimes {
    min: Option<u64>,
    median: Option<u64>,
    average: Option<f64>,
    p95: Option<u64>,
    p99: Option<u64>,
    max: Option<u64>,
}

/// Labels, judged by exact figures.
#[derive(Object)]
#[oai(rename = "WebhookHealthLabels")]
struct Labels {
    /// `excellent` (from 99 %), `good` (from 95 %), `warning` (from 90 %), `critical` or `unknown`.
    success_rate: String,
    /// `fast` (below 1 s), `acceptable` (to 3 s), `slow` (to 5 s), `critical` or `unknown`.
    response_time: String,
    /// `failing` (attempts fail now, as the state `failing` of the webhook says), `active` (an event in the last
    /// 24 hours) or `idle`.
    activity: String,
}

/// Failed attempts that failed in the same way.
#[derive(Object)]
#[oai(rename = "WebhookHealthError")]
struct ErrorObject {
    /// `dns`, `connect`, `tls`, `timeout`, `http_status`, `blocked_address`, `protocol`,
    /// `template` or `response`.
    error_kind: String,
    /// Null: no response arrived.
    response_status: Option<u16>,
    count: u64,
    last_message: String,
    /// RFC 3339, UTC.
    last_at: String,
    /// Since when it has been so without a success in between, as far back as the log reaches; null when
    /// something has been delivered since.
    since: Option<String>,
}

/// The last 24 hours against the 24 hours before; null when one of them has nothing to compare.
#[derive(Object)]
#[oai(rename = "WebhookHealthTrend")]
struct Trend {
    /// In percentage points.
    success_rate: Option<f64>,
    /// In ms.
    average_response_time: Option<f64>,
}

impl ErrorObject {
    fn of(error: &ErrorCount) -> ErrorObject {
        ErrorObject {
            error_kind: error.kind.to_string(),
            response_status: error.response_status,
            count: error.count,
            last_message: error.last_message.clone(),
            last_at: error.last_at.to_string(),
            since: error.since.map(|at| at.to_string()),
        }
    }
}

impl HealthResource {
    fn of(id: EndpointId, health: &Health) -> HealthResource {
        let (summary, times) = (&health.summary, &health.times);
        HealthResource {
            kind: "webhook_health".to_owned(),
            id: id.to_string(),
            attributes: HealthAttributes {
                totals: HealthTotals {
                    deliveries: summary.totals.deliveries,
                    delivered: summary.totals.delivered,
                    exhausted: summary.totals.exhausted,
                    pending: summary.totals.pending,
                    cancelled: summary.totals.cancelled,
                },
                success_rate: summary.success_rate.map(hundredths),
                last_24h: LastDay {
                    events: summary.last_24h_events,
                    failures: summary.last_24h_failures,
                    failure_rate: health.failure_rate.map(hundredths),
                },
                response_time_ms: HealthTimes {
                    min: times.min,
                    median: times.median,
                    average: times.average.map(tenths),
                    p95: times.p95,
                    p99: times.p99,
                    max: times.max,
                },
                labels: Labels {
                    success_rate: summary.success.as_str().to_owned(),
                    response_time: summary.response_time.as_str().to_owned(),
                    activity: summary.activity.as_str().to_owned(),
                },
                errors: health.errors.iter().map(ErrorObject::of).collect(),
                trend: Trend {
                    success_rate: health.success_rate_change.map(hundredths),
                    average_response_time: health.average_response_change.map(tenths),
                },
                recommendations: health.recommendations.clone(),
            },
        }
    }
}

fn hundredths(x: f64) -> f64 {
    (x * 100.0).round() / 100.0
}

fn tenths(x: f64) -> f64 {
    (x * 10.0).round() / 10.0
}

// --- event types --------------------------------------------------------------------------------

/// A type of events that clients have posted.
#[derive(Object)]
#[oai(rename = "EventType")]
pub(super) struct EventTypeResource {
    /// `event_type`
    #[oai(rename = "type")]
    kind: String,
    /// The type itself.
    id: String,
    attributes: EventTypeAttributes,
}

/// Attributes of an event type.
#[derive(Object)]
struct EventTypeAttributes {
    event_type: String,
    /// The type's first segment.
    category: String,
    /// Events of this type that clients posted, removed ones included.
    count: u64,
    /// When the last of them was posted. RFC 3339, UTC.
    last_seen_at: Option<String>,
}

impl EventTypeResource {
    fn of(row: &EventTypeCount) -> EventTypeResource {
        let name = row.event_type.as_str();
        EventTypeResource {
            kind: "event_type".to_owned(),
            id: name.to_owned(),
            attributes: EventTypeAttributes {
                event_type: name.to_owned(),
                category: name.split('.').next().unwrap_or(name).to_owned(),
                count: row.count,
                last_seen_at: row.last_seen_at.map(|at| at.to_string()),
            },
        }
    }
}

// --- operations ---------------------------------------------------------------------------------

/// The operations.
pub struct StatisticsApi;

#[OpenApi(tag = "Tag::Statistics")]
impl StatisticsApi {
    /// Statistics of all webhooks
    ///
    /// Totals and a time series, by the time at which attempts were sent. Deleted webhooks are in it, and
    /// what retention has removed from the log still is.
    #[oai(path = "/webhooks/stats", method = "get", operation_id = "get_all_stats")]
    async fn all(
        &self,
        auth: ReadWebhooks,
        request: &Request,
    ) -> Result<Answer<One<StatsResource>>, Problem> {
        stats(&auth, None, request).await
    }

    /// Statistics of a webhook
    ///
    /// Totals and a time series, by the time at which attempts were sent. What retention has removed from
    /// the log still is in it.
    #[oai(path = "/webhooks/:id/stats", method = "get", operation_id = "get_stats")]
    async fn of_one(
        &self,
        auth: ReadWebhooks,
        id: Path<String>,
        request: &Request,
    ) -> Result<Answer<One<StatsResource>>, Problem> {
        stats(&auth, Some(endpoint_id(&id)?), request).await
    }

    /// Health of a webhook
    ///
    /// Rates, response times, the most common errors, and what to do about them.
    #[oai(path = "/webhooks/:id/health", method = "get", operation_id = "get_health")]
    async fn health(
        &self,
        auth: ReadWebhooks,
        id: Path<String>,
    ) -> Result<Answer<One<HealthResource>>, Problem> {
        let id = endpoint_id(&id)?;
        let health = auth.state.services.statistics.health(&auth.caller, id).await?;
        Ok(one(HealthResource::of(id, &health)))
    }

    /// List event types
    ///
    /// The types of the events that clients have posted, by name.
    #[oai(path = "/event-types", method = "get", operation_id = "list_event_types")]
    async fn event_types(
        &self,
        auth: ReadWebhooks,
        request: &Request,
    ) -> Result<Answer<List<EventTypeResource>>, Problem> {
        let mut query = Query::of(request, &event_type_params());
        let scope = format!("event types {}", auth.caller.app_id);
        let read = Paging::read::<String>(
            &mut query,
            &auth.state.cursors,
            auth.state.path("/v1/event-types"),
            &scope,
        );
        let (paging, page) = paging::settle(query, read)?;
        let found = auth.state.services.statistics.event_types(&auth.caller, page).await?;
        Ok(list(&paging, &found, EventTypeResource::of))
    }
}

async fn stats(
    auth: &ReadWebhooks,
    id: Option<EndpointId>,
    request: &Request,
) -> Result<Answer<One<StatsResource>>, Problem> {
    let mut query = Query::of(request, &stats_params());
    let window = Window {
        since: query.time("since"),
        until: query.time("until"),
        step: query.get("step", "a length of time from 1m to 1d, such as 15m or 1h", Span::parse),
    };
    query.finish()?;
    let found = auth.state.services.statistics.stats(&auth.caller, id, window).await;
    let stats = found.map_err(|error| match error {
        // Here the fields are parameters.
        ServiceError::Invalid(Invalid(errors)) => {
            Problem::invalid_parameters(errors.into_iter().map(|e| (e.pointer, e.message)).collect())
        }
        error => error.into(),
    })?;
    Ok(one(StatsResource::of(id, &stats)))
}
