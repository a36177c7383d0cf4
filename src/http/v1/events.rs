//! `/v1/events`: post and read.

use bytes::Bytes;
use poem::{IntoResponse as _, Request, Response};
use poem_openapi::param::Path;
use poem_openapi::payload::Json as Answer;
use poem_openapi::{ApiExtractor as _, ExtractParamOptions, OpenApi};
use serde_json::value::RawValue;

use crate::domain::event::BATCH_MAX;
use crate::domain::{EventId, FieldError};
use crate::http::problem::Problem;
use crate::http::request::auth::{ReadEvents, WriteEvents};
use crate::http::request::body::{Fields, Json};
use crate::http::request::limits;
use crate::http::request::paging::Paging;
use crate::http::request::query::Query;
use crate::service::events::EventInput;
use crate::service::{Kind, ServiceError};

use super::raw::RawJson;
use super::shapes::{BatchBody, BatchResult, EventBody, EventResource, List, One, list};
use super::written::{TakenIn, Written};
use super::{Tag, filters, id_of, params};

const FIELDS: &[&str] = &["event_type", "payload", "resource_id", "idempotency_key"];

/// [`EventsApi::post`] for [`crate::http::shortcut`].
pub(in crate::http) async fn post_event(request: Request) -> poem::Result<Response> {
    let (request, mut body) = request.split();
    let auth = WriteEvents::from_request(&request, &mut body, ExtractParamOptions::default()).await?;
    let json = Json::from_request(&request, &mut body, ExtractParamOptions::default()).await?;
    Ok(EventsApi.post(auth, &request, json).await?.into_response())
}

/// The operations.
pub struct EventsApi;

#[OpenApi(tag = "Tag::Events")]
impl EventsApi {
    /// Post an event
    ///
    /// 202 means: it is on disk, and it will be delivered to every webhook that wants its type. The
    /// payload is sent byte for byte as it came. With an idempotency key, in the body or in the header
    /// `Idempotency-Key`, repeating the request within 24 hours gives the first answer again; the same key
    /// with another event is a 409.
    #[oai(path = "/events", method = "post", operation_id = "post_event")]
    async fn post(
        &self,
        auth: WriteEvents,
        request: &Request,
        body: Json<EventBody>,
    ) -> Result<TakenIn<One<EventResource>>, Problem> {
        let mut fields = Fields::of_body(&body.bytes, FIELDS)?;
        let mut input = read_event(&mut fields, &body.bytes);
        if let Some(header) = idempotency_header(request)? {
            match &input.idempotency_key {
                Some(field) if *field != header => {
                    fields.fail(
                        "idempotency_key",
                        "differs from the header Idempotency-Key; send one of the two",
                    );
                }
                _ => input.idempotency_key = Some(header),
            }
        }
        let events = &auth.state.services.events;
        let event = events.check(input, "", &mut fields.errors)?;
        fields.finish()?;
        let event = event.ok_or_else(Problem::internal)?;
        limits::count_events(request, &auth.state, &auth.caller.by.actor, 1)?;
        let event = events.post(&auth.caller, event).await?;
        Ok(TakenIn::TakenIn(Written(One { data: EventResource::of(&event) })))
    }

    /// Post a batch of events
    ///
    /// 1 to 1,000 events, taken whole or refused whole, in one transaction. The body may have up to 16 MiB.
    /// Each event may have its own idempotency key; the header `Idempotency-Key` stands for the whole batch:
    /// repeating the request within 24 hours gives the first response again, and the same key with another
    /// batch is a 409.
    #[oai(path = "/events/batch", method = "post", operation_id = "post_events")]
    async fn post_batch(
        &self,
        auth: WriteEvents,
        request: &Request,
        body: Json<BatchBody>,
    ) -> Result<TakenIn<BatchResult>, Problem> {
        let mut fields = Fields::of_body(&body.bytes, &["events"])?;
        fields.require("events");
        let service = &auth.state.services.events;
        let key = idempotency_header(request)?;
        if let Some(key) = &key {
            service.check_batch_key(key, &mut fields.errors);
        }
        let given = fields.raw("events").map_or("[]", RawValue::get);
        let events: Vec<&RawValue> = serde_json::from_str(given).unwrap_or_else(|_| {
            fields.fail("events", "must be a list of events");
            Vec::new()
        });
        let mut checked = Vec::with_capacity(events.len().min(BATCH_MAX));
        // A list that is too long is refused as a whole; there is no point in reading it.
        if events.len() <= BATCH_MAX {
            for (i, raw) in events.iter().enumerate() {
                if fields.errors.is_full() {
                    break;
                }
                let prefix = format!("/events/{i}");
                match Fields::of_value(raw, prefix.clone(), FIELDS) {
                    Ok(mut event) => {
                        let input = read_event(&mut event, &body.bytes);
                        fields.errors.append(&mut event.errors);
                        checked.extend(service.check(input, &prefix, &mut fields.errors)?);
                    }
                    Err(error) => fields.errors.push(error),
                }
            }
        } else {
            fields.fail("events", format!("has {} events; at most {BATCH_MAX} are possible", events.len()));
        }
        fields.finish()?;
        limits::count_events(request, &auth.state, &auth.caller.by.actor, checked.len())?;
        let events = service.post_batch(&auth.caller, checked, key).await?;
        let data = events.iter().map(EventResource::of).collect();
        Ok(TakenIn::TakenIn(Written(BatchResult { data })))
    }

    /// List events
    ///
    /// Newest first, without payloads.
    #[oai(path = "/events", method = "get", operation_id = "list_events")]
    async fn list(
        &self,
        auth: ReadEvents,
        request: &Request,
    ) -> Result<Answer<List<EventResource>>, Problem> {
        let mut query = Query::of(request, &params::event_list());
        let filter = filters::of_events(&mut query);
        let scope = format!("events {}", auth.caller.app_id);
        let read =
            Paging::read::<i64>(&mut query, &auth.state.cursors, auth.state.path("/v1/events"), &scope);
        let (paging, page) = filters::settle(query, read, filter.contains.is_some())?;
        if filter.contains.is_some() {
            let found = auth.state.services.events.search(&auth.caller, filter, page).await?;
            let (links, meta) = paging.searched(&found);
            return Ok(Answer(List {
                links,
                meta,
                data: found.rows.iter().map(EventResource::of).collect(),
            }));
        }
        let found = auth.state.services.events.list(&auth.caller, filter, page).await?;
        Ok(list(&paging, &found, EventResource::of))
    }

    /// Get an event
    ///
    /// With its `payload`, exactly as it was posted, and all its `attempts`.
    #[oai(path = "/events/:id", method = "get", operation_id = "get_event")]
    async fn get(&self, auth: ReadEvents, id: Path<String>) -> Result<RawJson<One<EventResource>>, Problem> {
        let not_found = || Problem::from(ServiceError::NotFound(Kind::Event));
        let id: EventId = id_of(&id).ok_or_else(not_found)?;
        let detail = auth.state.services.events.get(&auth.caller, id).await?;
        Ok(RawJson::with_payload(EventResource::detail(&detail), detail.payload.as_deref()))
    }
}

/// Reads the fields of an event. The payload is a slice of the body: its bytes are never copied into
/// another form.
fn read_event(fields: &mut Fields<'_>, body: &Bytes) -> EventInput {
    fields.require("event_type");
    fields.require("payload");
    EventInput {
        event_type: fields.get("event_type", "a string"),
        payload: fields.raw("payload").map_or_else(Bytes::new, |raw| body.slice_ref(raw.get().as_bytes())),
        resource_id: fields.nullable("resource_id", "a string").flatten(),
        idempotency_key: fields.nullable("idempotency_key", "a string").flatten(),
    }
}

fn idempotency_header(request: &Request) -> Result<Option<String>, Problem> {
    let mut all = request.headers().get_all("idempotency-key").iter();
    let Some(value) = all.next() else { return Ok(None) };
    if all.next().is_some() {
        return Err(Problem::bad_request(
            "The header Idempotency-Key is there more than once. Send it once.",
        ));
    }
    let text = value.to_str().map_err(|_| {
        let error =
            FieldError::new("/idempotency_key", "in the header Idempotency-Key must be visible ASCII");
        Problem::invalid_fields(vec![error])
    })?;
    Ok(Some(text.to_owned()))
}
