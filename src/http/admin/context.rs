//! `/admin/api/event-context`: what the page of an event shows besides the event.

use poem::Request;
use poem_openapi::payload::Json as Answer;
use poem_openapi::{Object, OpenApi};

use crate::domain::inbound::source::EventSource;
use crate::domain::shaping::summary::Summary;
use crate::domain::{EndpointId, EventId};
use crate::http::problem::Problem;
use crate::http::request::auth::ReadEvents;
use crate::http::request::query::{EVENT_ID, Param, Query, Shape};
use crate::service::sources::context::{EventContext, Shaping};

use super::Tag;

/// The surroundings of an event.
#[derive(Object)]
struct EventContextObject {
    /// The source that it came by; null if it was posted.
    source: Option<EventSourceObject>,
    /// What it means to a person; null when the payload is gone.
    summary: Option<EventSummaryObject>,
    /// Webhooks whose patterns match it and whose filters decline it now; empty if none declined it when it was
    /// accepted. Of 200 webhooks at most.
    declined: Vec<DeclinedObject>,
    /// The settings of the named webhook; null without one, or when it is deleted.
    webhook: Option<ShapingObject>,
}

/// How a webhook chooses events and shapes requests.
#[derive(Object)]
struct ShapingObject {
    /// The name of the recipe that it was made with.
    preset: Option<String>,
    filter: Option<String>,
    /// Whether it sends a request of its own instead of the payload.
    shaped: bool,
}

/// A source, as its events name it.
#[derive(Object)]
struct EventSourceObject {
    /// UUID of the source.
    id: String,
    name: String,
    deleted: bool,
}

/// A summary.
#[derive(Object)]
struct EventSummaryObject {
    title: String,
    message: String,
    link: Option<String>,
    /// `info`, `success`, `warning` or `error`.
    level: String,
}

/// A webhook that declines an event.
#[derive(Object)]
struct DeclinedObject {
    /// UUID of the webhook.
    id: String,
    name: String,
}

impl EventContextObject {
    fn of(context: EventContext) -> EventContextObject {
        let source = |EventSource { id, name, is_deleted, .. }: EventSource| EventSourceObject {
            id: id.to_string(),
            name,
            deleted: is_deleted,
        };
        let summary = |Summary { title, message, link, level }: Summary| EventSummaryObject {
            title,
            message,
            link,
            level: level.as_str().to_owned(),
        };
        let shaping = |Shaping { preset, filter, is_shaped }: Shaping| ShapingObject {
            preset,
            filter,
            shaped: is_shaped,
        };
        let declined = context.declined.into_iter();
        EventContextObject {
            source: context.source.map(source),
            summary: context.summary.map(summary),
            webhook: context.shaping.map(shaping),
            declined: declined.map(|(id, name)| DeclinedObject { id: id.to_string(), name }).collect(),
        }
    }
}

/// The parameters, for the document too.
pub(super) const PARAMS: [Param; 2] = [EVENT, WEBHOOK];

const WEBHOOK: Param = Param {
    name: "webhook",
    shape: Shape::Uuid,
    description: "The UUID of a webhook whose settings are of interest.",
    example: "0198c2f4-6a1e-7c33-9d0a-5b7e3f1c2a48",
};
const EVENT: Param = Param {
    name: "event",
    shape: Shape::Like { pattern: EVENT_ID, max: 36 },
    description: "The id of an event (`evt_…`).",
    example: "evt_0198c2f46a1e7c339d0a5b7e3f1c2a48",
};

/// The operations.
pub struct ContextApi;

#[OpenApi(tag = "Tag::Overview")]
impl ContextApi {
    /// Get the context of an event
    ///
    /// Its source, its summary, and who declines it; of a webhook, how it shapes requests. What is unknown is null or
    /// empty.
    #[oai(path = "/event-context", method = "get", operation_id = "get_event_context")]
    async fn get(&self, auth: ReadEvents, request: &Request) -> Result<Answer<EventContextObject>, Problem> {
        let mut query = Query::of(request, &PARAMS);
        let event: Option<EventId> = query.get(EVENT.name, "the id of an event", |text| text.parse().ok());
        let webhook: Option<EndpointId> = query.get(WEBHOOK.name, "a UUID", |text| text.parse().ok());
        query.finish()?;
        let context = auth.state.services.contexts.of(&auth.caller, event, webhook).await?;
        Ok(Answer(EventContextObject::of(context)))
    }
}
