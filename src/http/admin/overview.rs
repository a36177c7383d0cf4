//! `/admin/api/overview`, `webhook-health`, `event-outcomes` and `echo`: the first things that somebody looks at, and
//! tries.

use poem::Request;
use poem_openapi::payload::Json as Answer;
use poem_openapi::{ApiResponse, Object, OpenApi};

use crate::domain::health::HealthState;
use crate::domain::{EndpointId, EventId, Scope};
use crate::http::problem::Problem;
use crate::http::request::auth::{ReadEvents, ReadWebhooks, WriteWebhooks};
use crate::http::request::query::{Param, Query, Shape};
use crate::http::v1::shapes::HealthAttribute;
use crate::service::log::overview::{Attention, EventOutcome, HEALTH_MAX, Hour};
use crate::service::log::statistics::Summary;

use super::Tag;
use super::nodes::NodeObject;
use super::shapes::Whole;

/// An app at a glance.
#[derive(Object)]
struct OverviewObject {
    queue: QueueObject,
    webhooks: CountsObject,
    /// Webhooks by the state of their health.
    states: StatesObject,
    /// Webhooks that somebody should look at, the worst first, 50 at most.
    attention: Vec<AttentionObject>,
    /// The nodes of the server, by name; one that is gone is listed for an hour. An API key needs the scope `admin` to
    /// see them.
    nodes: Vec<NodeObject>,
    /// Whether live nodes have different configurations.
    configurations_differ: bool,
}

/// Pending deliveries.
#[derive(Object)]
struct QueueObject {
    /// Deliveries that wait, for their time or for a paused webhook.
    pending: u64,
    /// Attempts that are to be sent now, those in flight included; exact up to 10,000.
    due: u64,
    /// When the earliest of these was due: RFC 3339, UTC; null when none is.
    oldest_due_at: Option<String>,
    /// Requests that are being made.
    in_flight: u64,
}

/// Webhooks by status.
#[derive(Object)]
struct CountsObject {
    active: u64,
    paused: u64,
    disabled: u64,
}

/// Webhooks by the state of their health.
#[derive(Object, Default)]
struct StatesObject {
    disabled: u64,
    paused: u64,
    on_hold: u64,
    failing: u64,
    degraded: u64,
    idle: u64,
    healthy: u64,
}

impl StatesObject {
    fn of(states: &[(HealthState, u64)]) -> StatesObject {
        let mut object = StatesObject::default();
        for (state, count) in states {
            let place = match state {
                HealthState::Disabled => &mut object.disabled,
                HealthState::Paused => &mut object.paused,
                HealthState::OnHold => &mut object.on_hold,
                HealthState::Failing => &mut object.failing,
                HealthState::Degraded => &mut object.degraded,
                HealthState::Idle => &mut object.idle,
                HealthState::Healthy => &mut object.healthy,
            };
            *place = *count;
        }
        object
    }
}

/// How a webhook is doing, in words.
#[derive(Object)]
struct LabelsObject {
    /// `excellent`, `good`, `warning`, `critical` or `unknown`.
    success_rate: String,
    /// `fast`, `acceptable`, `slow`, `critical` or `unknown`.
    response_time: String,
    /// `failing`, `active` or `idle`.
    activity: String,
}

impl LabelsObject {
    fn of(summary: &Summary) -> LabelsObject {
        LabelsObject {
            success_rate: summary.success.as_str().to_owned(),
            response_time: summary.response_time.as_str().to_owned(),
            activity: summary.activity.as_str().to_owned(),
        }
    }
}

/// A webhook that somebody should look at.
#[derive(Object)]
struct AttentionObject {
    /// UUID of the webhook.
    id: String,
    name: String,
    url: String,
    /// `active`, `paused` or `disabled`.
    status: String,
    /// Why it was disabled; null when it was not.
    status_reason: Option<String>,
    health: HealthAttribute,
    /// Pending deliveries.
    waiting: u64,
    labels: LabelsObject,
    /// Why, in a sentence: the message of its health.
    reason: String,
}

impl AttentionObject {
    fn of(attention: Attention) -> AttentionObject {
        AttentionObject {
            id: attention.endpoint.id.to_string(),
            name: attention.endpoint.name,
            url: attention.endpoint.url,
            status: attention.endpoint.status.as_str().to_owned(),
            status_reason: attention.endpoint.status_reason,
            labels: LabelsObject::of(&attention.summary),
            reason: attention.standing.health.message.clone(),
            waiting: attention.standing.waiting,
            health: HealthAttribute::of(&attention.standing.health),
        }
    }
}

/// A webhook's badges and its last day.
#[derive(Object)]
struct WebhookHealthObject {
    /// UUID of the webhook.
    id: String,
    health: HealthAttribute,
    labels: LabelsObject,
    /// Percentage of finished deliveries that were delivered; null if none finished.
    success_rate: Option<f64>,
    last_24h: LastDayObject,
    /// 24 hours one by one, the present one last.
    series: Vec<HourObject>,
}

/// Events of the last 24 hours.
#[derive(Object)]
struct LastDayObject {
    events: u64,
    /// Of these, the exhausted ones (no retries left).
    failures: u64,
}

/// What was sent in an hour.
#[derive(Object)]
struct HourObject {
    /// RFC 3339, UTC.
    start: String,
    delivered: u64,
    exhausted: u64,
}

impl HourObject {
    fn of(hour: &Hour) -> HourObject {
        let Hour { start, delivered, exhausted } = *hour;
        HourObject { start: start.to_string(), delivered, exhausted }
    }
}

/// How the deliveries of an event stand, each by its newest attempt.
#[derive(Object)]
struct EventOutcomeObject {
    /// `evt_…`
    id: String,
    delivered: u64,
    /// Not sent yet.
    pending: u64,
    /// Pending after a failed attempt.
    retrying: u64,
    /// No retries left.
    exhausted: u64,
    cancelled: u64,
}

impl EventOutcomeObject {
    fn of(id: EventId, outcome: EventOutcome) -> EventOutcomeObject {
        let EventOutcome { delivered, pending, retrying, exhausted, cancelled } = outcome;
        EventOutcomeObject { id: id.to_string(), delivered, pending, retrying, exhausted, cancelled }
    }
}

/// The most ids of one request.
const IDS_MAX: usize = HEALTH_MAX as usize;

const WEBHOOK_IDS: Param = Param {
    name: "ids",
    shape: Shape::Like {
        pattern: "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(,[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})*$",
        max: IDS_MAX * 37,
    },
    description: "UUIDs of webhooks, 200 at most, with commas between them. The newest 200 unless given.",
    example: "0198c2f4-6a1e-7c33-9d0a-5b7e3f1c2a48",
};
const EVENT_IDS: Param = Param {
    name: "ids",
    shape: Shape::Like { pattern: "^evt_[0-9a-fA-F]{32}(,evt_[0-9a-fA-F]{32})*$", max: IDS_MAX * 37 },
    description: "Ids of events (`evt_…`), 200 at most, with commas between them.",
    example: "evt_0198c2f46a1e7c339d0a5b7e3f1c2a48",
};

/// The parameters of these operations, for the document.
pub(super) fn params_of(operation: &str) -> Vec<Param> {
    match operation {
        "list_webhook_health" => vec![WEBHOOK_IDS],
        "list_event_outcomes" => vec![EVENT_IDS],
        "get_event_context" => super::context::PARAMS.to_vec(),
        _ => vec![],
    }
}

/// Reads a list of ids; `None` when it is not there.
fn ids<T: std::str::FromStr>(request: &Request, known: Param) -> Result<Option<Vec<T>>, Problem> {
    let mut query = Query::of(request, &[known]);
    let read = |text: &str| {
        let ids: Option<Vec<T>> = text.split(',').map(|id| id.parse().ok()).collect();
        ids.filter(|ids| ids.len() <= IDS_MAX)
    };
    let found = query.get(known.name, "1 to 200 ids with commas between them", read);
    query.finish()?;
    Ok(found)
}

/// The webhook to the built-in receiver.
#[derive(Object)]
struct EchoObject {
    /// UUID of the webhook.
    id: String,
    /// Shown only once, when the webhook is created.
    #[oai(skip_serializing_if_is_none)]
    signing_secret: Option<String>,
}

#[derive(ApiResponse)]
enum EchoAnswer {
    /// It was there.
    #[oai(status = 200)]
    Found(Answer<EchoObject>),
    /// It was made.
    #[oai(status = 201)]
    Made(Answer<EchoObject>),
}

/// The operations.
pub struct OverviewApi;

#[OpenApi(tag = "Tag::Overview")]
impl OverviewApi {
    /// Get the overview
    ///
    /// Pending deliveries, how many webhooks there are, which of them need attention, and the nodes of the server.
    #[oai(path = "/overview", method = "get", operation_id = "get_overview")]
    async fn overview(&self, auth: ReadWebhooks) -> Result<Answer<OverviewObject>, Problem> {
        let found = auth.state.services.overviews.overview(&auth.caller).await?;
        let list = auth.state.services.nodes.list().await?;
        // A customer's key tells nothing of the operator's machines.
        let sees_nodes = auth.session().is_some() || auth.caller.by.scopes.allows(Scope::Admin);
        Ok(Answer(OverviewObject {
            queue: QueueObject {
                pending: found.pending,
                due: found.due,
                oldest_due_at: found.oldest_due_at.map(|t| t.to_string()),
                in_flight: found.in_flight,
            },
            webhooks: CountsObject { active: found.active, paused: found.paused, disabled: found.disabled },
            states: StatesObject::of(&found.states),
            attention: found.attention.into_iter().map(AttentionObject::of).collect(),
            configurations_differ: sees_nodes && list.configurations_differ,
            nodes: if sees_nodes { NodeObject::all(list.nodes) } else { Vec::new() },
        }))
    }

    /// List the health of webhooks
    ///
    /// Of webhooks of the app, those that are named or the newest 200, newest first: badges and a sparkline each, in
    /// one response. Unknown ones are left out.
    #[oai(path = "/webhook-health", method = "get", operation_id = "list_webhook_health")]
    async fn health(
        &self,
        auth: ReadWebhooks,
        request: &Request,
    ) -> Result<Answer<Whole<WebhookHealthObject>>, Problem> {
        let ids: Option<Vec<EndpointId>> = ids(request, WEBHOOK_IDS)?;
        let found = auth.state.services.overviews.health(&auth.caller, ids).await?;
        let data = found.iter().map(|(id, summary, hours)| WebhookHealthObject {
            id: id.to_string(),
            health: HealthAttribute::of(&summary.standing.health),
            labels: LabelsObject::of(summary),
            success_rate: summary.success_rate.map(|rate| (rate * 100.0).round() / 100.0),
            last_24h: LastDayObject { events: summary.last_24h_events, failures: summary.last_24h_failures },
            series: hours.iter().map(HourObject::of).collect(),
        });
        Ok(Answer(Whole { data: data.collect() }))
    }

    /// List the outcomes of events
    ///
    /// How the deliveries of the named events stand, up to 1,000 of each event. Unknown events are left out.
    #[oai(path = "/event-outcomes", method = "get", operation_id = "list_event_outcomes")]
    async fn outcomes(
        &self,
        auth: ReadEvents,
        request: &Request,
    ) -> Result<Answer<Whole<EventOutcomeObject>>, Problem> {
        let ids = ids(request, EVENT_IDS)?.unwrap_or_default();
        let found = auth.state.services.overviews.outcomes(&auth.caller, ids).await?;
        let data = found.into_iter().map(|(id, outcome)| EventOutcomeObject::of(id, outcome));
        Ok(Answer(Whole { data: data.collect() }))
    }

    /// Make the echo webhook
    ///
    /// A webhook to the receiver that is built in, once for each app: it checks the signature of what it
    /// gets and answers, without using the network. 200 when it is there already.
    #[oai(path = "/echo", method = "post", operation_id = "make_echo_webhook")]
    async fn echo(&self, auth: WriteWebhooks) -> Result<EchoAnswer, Problem> {
        let (id, secret) = auth.state.services.endpoints.echo(&auth.caller).await?;
        let id = id.to_string();
        Ok(match secret {
            Some(secret) => {
                let signing_secret = Some(secret.as_str().to_owned());
                EchoAnswer::Made(Answer(EchoObject { id, signing_secret }))
            }
            None => EchoAnswer::Found(Answer(EchoObject { id, signing_secret: None })),
        })
    }
}
