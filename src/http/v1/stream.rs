//! `GET /v1/webhooks/deliveries/stream`: finished attempts as server-sent events.

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use poem::http::header;
use poem::{Body, IntoResponse, Request, Response};
use poem_openapi::registry::{
    MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
};
use poem_openapi::types::ToJSON as _;
use poem_openapi::{ApiResponse, OpenApi};

use crate::domain::AttemptId;
use crate::http::problem::Problem;
use crate::http::request::auth::ReadWebhooks;
use crate::http::request::query::Query;
use crate::service::log::live::Item;

use super::shapes::AttemptResource;
use super::{Tag, filters, id_of, params};

/// The header with which a client that was here before goes on.
const LAST_EVENT_ID: &str = "last-event-id";
/// What every stream begins with: how long a browser waits before it comes back, in ms.
const BEGINNING: &str = "retry: 2000\n\n";

/// The operations.
pub struct StreamApi;

#[OpenApi(tag = "Tag::Deliveries")]
impl StreamApi {
    /// Follow deliveries live
    ///
    /// Server-sent events: `event: attempt` for every attempt that ends (delivered, failed, exhausted or
    /// cancelled; tests and retries too), with `id:` the row's id and `data:` the row as the list over
    /// all webhooks has it, in one line. Rows come in the order in which they end, which is not that of
    /// their ids. With `Last-Event-ID`, everything that ended behind that row comes first, so nothing is
    /// missed between two connections; when that row is not there any more, `event: gap` says so.
    ///
    /// A comment comes every 15 seconds. A client that takes nothing for 10 seconds is let go, and so is
    /// one whose key has ended, within 15 seconds. Up to 25 clients of an app may follow at once, 100 in
    /// all; more are a 503.
    #[oai(path = "/webhooks/deliveries/stream", method = "get", operation_id = "stream_deliveries")]
    async fn stream(&self, auth: ReadWebhooks, request: &Request) -> Result<EventStream, Problem> {
        let mut query = Query::of(request, &params::attempt_stream());
        let filter = filters::of_log(&mut query);
        query.finish()?;
        let behind = last_event_id(request)?;
        let live = &auth.state.services.live;
        let items = live.follow(&auth.caller, filter, behind, auth.still_allowed(request)).await?;
        Ok(EventStream(items))
    }
}

fn last_event_id(request: &Request) -> Result<Option<AttemptId>, Problem> {
    let Some(value) = request.headers().get(LAST_EVENT_ID) else { return Ok(None) };
    // A browser that has seen no id may send an empty one.
    if value.is_empty() {
        return Ok(None);
    }
    let id = value.to_str().ok().and_then(id_of);
    let wrong =
        || Problem::bad_request("Last-Event-ID must be the id of an event of this stream, a whole number.");
    id.map(Some).ok_or_else(wrong)
}

/// A stream of events as an answer.
pub(super) struct EventStream(BoxStream<'static, Item>);

fn event(item: &Item) -> String {
    match item {
        Item::Row(row) => {
            let data = AttemptResource::of(row, true).to_json_string();
            format!("event: attempt\nid: {}\ndata: {data}\n\n", row.id)
        }
        Item::Alive => ": alive\n\n".to_owned(),
        Item::Gap => {
            "event: gap\ndata: {\"detail\":\"The row of Last-Event-ID is not there any more; read the list for what ended since.\"}\n\n".to_owned()
        }
    }
}

impl IntoResponse for EventStream {
    fn into_response(self) -> Response {
        let beginning = stream::once(async { Bytes::from_static(BEGINNING.as_bytes()) });
        let events = self.0.map(|item| Bytes::from(event(&item)));
        let body = beginning.chain(events).map(Ok::<_, std::io::Error>);
        Response::builder()
            .content_type("text/event-stream")
            .header(header::CACHE_CONTROL, "no-store")
            .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
            // Proxies of the nginx kind would otherwise collect events before passing them on.
            .header("x-accel-buffering", "no")
            .body(Body::from_bytes_stream(body))
    }
}

impl ApiResponse for EventStream {
    fn meta() -> MetaResponses {
        let schema = MetaSchemaRef::Inline(Box::new(MetaSchema::new("string")));
        let response = MetaResponse {
            description: "Events, for as long as the client stays: `event: attempt`, `id: 123`, `data: {\"type\":\"webhook_delivery\",\"id\":123,\"attributes\":{…}}`, an empty line.",
            status: Some(200),
            status_range: None,
            content: vec![MetaMediaType { content_type: "text/event-stream", schema }],
            headers: vec![],
        };
        MetaResponses { responses: vec![response] }
    }

    fn register(_: &mut Registry) {}
}
