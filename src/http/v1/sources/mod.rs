//! `/v1/sources`: URLs that take requests of other programs, their inbound log, and previews.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use poem::Request;
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use poem_openapi::payload::Json as Answer;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::domain::inbound::input;
use crate::domain::inbound::request::InboundRequest;
use crate::domain::inbound::source::InboundOutcome;
use crate::domain::{Invalid, SourceId};
use crate::http::problem::Problem;
use crate::http::request::auth::{ReadWebhooks, WriteWebhooks};
use crate::http::request::body::{Fields, Json};
use crate::http::request::paging;
use crate::http::request::paging::Paging;
use crate::http::request::query::{Param, Query, Shape};
use crate::http::transport::connection::UntrustedForwarding;
use crate::service::sources::manage::SourceView;
use crate::service::sources::preview::{PreviewRequest, PreviewSource};
use crate::service::sources::requests::InboundFilter;
use crate::service::{Kind, ServiceError};

use super::params::{SINCE, UNTIL};
use super::shapes::{Created, EventResource, List, NoContent, One, list, one};
use super::written::{TakenIn, Written};
use super::{Tag, check_events_read, id_of, map_key, map_next, read_overlap};

mod shapes;

use shapes::{
    InboundRequestResource, PreviewBody, PreviewResource, RotateUrlBody, SourceBody, SourceResource,
};

/// The most headers of a request that a client describes, as of one that comes in.
const HEADERS_MAX: usize = 100;
/// The most parameters of its query.
const PARAMETERS_MAX: usize = 1_000;

const OUTCOME: Param = Param {
    name: "outcome",
    shape: Shape::OneOf(InboundOutcome::WORDS),
    description: "Requests with this outcome.",
    example: "rejected",
};

/// Parameters of the list of requests.
pub(super) fn request_params() -> Vec<Param> {
    paging::PARAMS.into_iter().chain([OUTCOME, SINCE, UNTIL]).collect()
}

/// The operations.
pub struct SourcesApi;

#[OpenApi(tag = "Tag::Sources")]
impl SourcesApi {
    /// List sources
    ///
    /// All sources of the app, newest first. Secrets are masked. The URL is whole with the scopes `webhooks:secrets`
    /// and `events:write`; else it ends after the first letters of its token.
    #[oai(path = "/sources", method = "get", operation_id = "list_sources")]
    async fn list(
        &self,
        auth: ReadWebhooks,
        request: &Request,
    ) -> Result<Answer<List<SourceResource>>, Problem> {
        let mut query = Query::of(request, &paging::PARAMS);
        let scope = format!("sources {}", auth.caller.app_id);
        let path = auth.state.path("/v1/sources");
        let read = Paging::read::<uuid::Uuid>(&mut query, &auth.state.cursors, path, &scope);
        let (paging, page) = paging::settle(query, read)?;
        let page = map_key(page, SourceId::from_uuid);
        let found = auth.state.services.sources.list(&auth.caller, page).await?;
        let found = map_next(found, SourceId::as_uuid);
        Ok(list(&paging, &found, SourceResource::of))
    }

    /// Create a source
    ///
    /// The response has the URL for the sender. With a `preset` the attributes come from the recipe of the gallery,
    /// unless they are given; nothing else is necessary then. A key also needs the scope `events:write`.
    #[oai(path = "/sources", method = "post", operation_id = "create_source")]
    async fn create(
        &self,
        auth: WriteWebhooks,
        request: &Request,
        body: Json<SourceBody>,
    ) -> Result<Created<SourceResource>, Problem> {
        let fields = read_fields(&body)?;
        let view = auth.state.services.sources.create(&auth.caller, fields).await?;
        Ok(Created::Created(Answer(One { data: saved(&view, request) })))
    }

    /// Preview a source
    ///
    /// What would become of a request: the verdict of each verifier, the event, its summary, the response, and which
    /// webhooks would get it. Stores nothing. With both `source` and `source_id`, of the source after these changes.
    /// With `request_id` a key also needs the scope `events:read`.
    #[oai(path = "/sources/preview", method = "post", operation_id = "preview_source")]
    async fn preview(
        &self,
        auth: WriteWebhooks,
        body: Json<PreviewBody>,
    ) -> Result<Answer<One<PreviewResource>>, Problem> {
        let (source, request) = read_preview(&body)?;
        if matches!(request, PreviewRequest::Stored(_)) {
            check_events_read(&auth.caller)?;
        }
        let preview = auth.state.services.previews.preview(&auth.caller, source, request).await?;
        Ok(one(PreviewResource::of(&preview)))
    }

    /// Get a source
    ///
    /// Its attributes with masked secrets, and how many requests it had in the last 24 hours.
    #[oai(path = "/sources/:id", method = "get", operation_id = "get_source")]
    async fn get(
        &self,
        auth: ReadWebhooks,
        id: Path<String>,
    ) -> Result<Answer<One<SourceResource>>, Problem> {
        let view = auth.state.services.sources.get(&auth.caller, source_id(&id)?).await?;
        Ok(one(SourceResource::of(&view)))
    }

    /// Replace a source
    ///
    /// All attributes: what is not given gets its default. The URL stays. The mask `********` keeps the secret of the
    /// verifier at the same position, if it has the same kind.
    #[oai(path = "/sources/:id", method = "put", operation_id = "replace_source")]
    async fn replace(
        &self,
        auth: WriteWebhooks,
        request: &Request,
        id: Path<String>,
        body: Json<SourceBody>,
    ) -> Result<Answer<One<SourceResource>>, Problem> {
        let (id, fields) = (source_id(&id)?, read_fields(&body)?);
        let view = auth.state.services.sources.replace(&auth.caller, id, fields).await?;
        Ok(one(saved(&view, request)))
    }

    /// Change a source
    ///
    /// The attributes that are given. `preset` cannot be changed.
    #[oai(path = "/sources/:id", method = "patch", operation_id = "change_source")]
    async fn change(
        &self,
        auth: WriteWebhooks,
        request: &Request,
        id: Path<String>,
        body: Json<SourceBody>,
    ) -> Result<Answer<One<SourceResource>>, Problem> {
        let (id, fields) = (source_id(&id)?, read_fields(&body)?);
        let view = auth.state.services.sources.change(&auth.caller, id, fields).await?;
        Ok(one(saved(&view, request)))
    }

    /// Delete a source
    ///
    /// Its URL is unknown from then on. Its events and their deliveries stay.
    #[oai(path = "/sources/:id", method = "delete", operation_id = "delete_source")]
    async fn delete(&self, auth: WriteWebhooks, id: Path<String>) -> Result<NoContent, Problem> {
        auth.state.services.sources.delete(&auth.caller, source_id(&id)?).await?;
        Ok(NoContent::Done)
    }

    /// Rotate the URL
    ///
    /// The response has the new URL. During `overlap` the old one works beside it; one that is older ends at once. A
    /// key also needs the scope `events:write`.
    #[oai(path = "/sources/:id/rotate-url", method = "post", operation_id = "rotate_source_url")]
    async fn rotate(
        &self,
        auth: WriteWebhooks,
        id: Path<String>,
        body: Json<RotateUrlBody>,
    ) -> Result<Answer<One<SourceResource>>, Problem> {
        let id = source_id(&id)?;
        let mut fields = Fields::of_body(&body.bytes, &["overlap"])?;
        let overlap = read_overlap(&mut fields);
        fields.finish()?;
        let overlap = overlap.ok_or_else(Problem::internal)?;
        let view = auth.state.services.sources.rotate(&auth.caller, id, &overlap).await?;
        Ok(one(SourceResource::of(&view)))
    }

    /// List the requests to a source
    ///
    /// The inbound log, newest first: who sent what, and why it was not accepted. Of rejected and invalid requests the
    /// newest 100 are kept.
    #[oai(path = "/sources/:id/requests", method = "get", operation_id = "list_source_requests")]
    async fn requests(
        &self,
        auth: ReadWebhooks,
        id: Path<String>,
        request: &Request,
    ) -> Result<Answer<List<InboundRequestResource>>, Problem> {
        let source = source_id(&id)?;
        let mut query = Query::of(request, &request_params());
        let filter = InboundFilter {
            outcome: query.get("outcome", "one of the outcomes", InboundOutcome::parse),
            since: query.time("since"),
            until: query.time("until"),
        };
        let scope = format!("requests {source}");
        let path = auth.state.path(&format!("/v1/sources/{source}/requests"));
        let read = Paging::read::<i64>(&mut query, &auth.state.cursors, path, &scope);
        let (paging, page) = paging::settle(query, read)?;
        let found = auth.state.services.inbound_log.list(&auth.caller, source, filter, page).await?;
        Ok(list(&paging, &found, InboundRequestResource::of))
    }

    /// Get a request to a source
    ///
    /// With its headers, query and body as far as they are kept. Secret values are masked. A key also needs the scope
    /// `events:read`.
    #[oai(path = "/sources/:id/requests/:n", method = "get", operation_id = "get_source_request")]
    async fn request(
        &self,
        auth: ReadWebhooks,
        id: Path<String>,
        n: Path<String>,
    ) -> Result<Answer<One<InboundRequestResource>>, Problem> {
        let (source, n) = (source_id(&id)?, request_number(&n)?);
        check_events_read(&auth.caller)?;
        let detail = auth.state.services.inbound_log.get(&auth.caller, source, n).await?;
        Ok(one(InboundRequestResource::detail(&detail)))
    }

    /// Replay a request to a source
    ///
    /// Takes the request in again with the settings of now, as an event of its own. You vouch for it: verifiers,
    /// challenges and dedupe are not asked; `accept` is.
    #[oai(path = "/sources/:id/requests/:n/replay", method = "post", operation_id = "replay_source_request")]
    async fn replay(
        &self,
        auth: WriteWebhooks,
        id: Path<String>,
        n: Path<String>,
    ) -> Result<TakenIn<One<EventResource>>, Problem> {
        let (source, n) = (source_id(&id)?, request_number(&n)?);
        let event = auth.state.services.inbound_log.replay(&auth.caller, source, n).await?;
        Ok(TakenIn::TakenIn(Written(One { data: EventResource::of(&event) })))
    }
}

fn saved(view: &SourceView, request: &Request) -> SourceResource {
    SourceResource::saved(view, request.data::<UntrustedForwarding>().is_some())
}

/// A source's id from a path; a malformed one is simply not found.
fn source_id(text: &str) -> Result<SourceId, Problem> {
    id_of(text).ok_or_else(|| ServiceError::NotFound(Kind::Source).into())
}

fn request_number(text: &str) -> Result<i64, Problem> {
    id_of(text).ok_or_else(|| ServiceError::NotFound(Kind::InboundRequest).into())
}

/// The attributes of a body, none of them unknown or there twice.
fn read_fields(body: &Json<SourceBody>) -> Result<Map<String, Value>, Problem> {
    Fields::of_body(&body.bytes, &known())?.finish()?;
    object(body.bytes.as_ref(), "")
}

fn known() -> Vec<&'static str> {
    input::FIELDS.iter().chain(&input::READ_ONLY).chain(&["preset"]).copied().collect()
}

fn object(text: &[u8], pointer: &str) -> Result<Map<String, Value>, Problem> {
    serde_json::from_slice(text)
        .map_err(|_| ServiceError::from(Invalid::one(pointer, "must be an object")).into())
}

/// Which source and which request a preview is of.
fn read_preview(body: &Json<PreviewBody>) -> Result<(PreviewSource, PreviewRequest), Problem> {
    let mut fields = Fields::of_body(&body.bytes, &["source", "source_id", "request"])?;
    let id = fields.get::<String>("source_id", "a string");
    let id = id.map(|id| source_id(&id)).transpose()?;
    let source = match (fields.raw("source"), id) {
        (Some(given), id) => {
            Fields::of_value(given, "/source".to_owned(), &known())
                .map_err(|error| Problem::invalid_fields(vec![error]))?
                .finish()?;
            let given = object(given.get().as_bytes(), "/source")?;
            Some(match id {
                Some(id) => PreviewSource::Changed(id, given),
                None => PreviewSource::Given(given),
            })
        }
        (None, Some(id)) => Some(PreviewSource::Stored(id)),
        (None, None) => {
            fields.fail("source", "is required; give source, source_id, or both");
            None
        }
    };
    let request = match fields.raw("request") {
        Some(raw) => read_preview_request(raw)?,
        None => {
            fields.require("request");
            None
        }
    };
    fields.finish()?;
    source.zip(request).ok_or_else(Problem::internal)
}

fn read_preview_request(raw: &RawValue) -> Result<Option<PreviewRequest>, Problem> {
    let known = ["method", "headers", "query", "body", "body_base64", "request_id", "sample"];
    let mut fields = Fields::of_value(raw, "/request".to_owned(), &known)
        .map_err(|error| Problem::invalid_fields(vec![error]))?;
    let request_id = fields.get::<i64>("request_id", "a whole number");
    let sample = fields.get::<String>("sample", "a string such as \"github/release\"");
    let request = match (request_id, sample) {
        (Some(id), None) => Some(PreviewRequest::Stored(id)),
        (None, Some(sample)) => Some(PreviewRequest::Sample(sample)),
        (Some(_), Some(_)) => {
            fields.fail("sample", "and request_id cannot be given together");
            None
        }
        (None, None) => Some(PreviewRequest::Given(Box::new(read_given(&mut fields)))),
    };
    fields.finish()?;
    Ok(request)
}

/// A request as a client describes it.
fn read_given(fields: &mut Fields<'_>) -> InboundRequest {
    let text = "an object of strings";
    let mut pairs = |name: &str, most: usize| {
        let pairs = fields.get::<BTreeMap<String, String>>(name, text).unwrap_or_default();
        if pairs.len() > most {
            fields.fail(name, format!("has {} entries; at most {most} are possible", pairs.len()));
            return BTreeMap::new();
        }
        pairs
    };
    let (headers, query) = (pairs("headers", HEADERS_MAX), pairs("query", PARAMETERS_MAX));
    let plain = fields.get::<String>("body", "a string");
    let coded = fields.get::<String>("body_base64", "a string");
    let body = match (plain, coded) {
        (Some(_), Some(_)) => {
            fields.fail("body_base64", "and body cannot be given together");
            vec![]
        }
        (Some(text), None) => text.into_bytes(),
        (None, Some(text)) => STANDARD.decode(text).unwrap_or_else(|_| {
            fields.fail("body_base64", "is not base64");
            vec![]
        }),
        (None, None) => vec![],
    };
    InboundRequest {
        method: fields.get::<String>("method", "a string").unwrap_or_else(|| "POST".to_owned()),
        headers: headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect(),
        query: query.into_iter().collect(),
        body: body.into(),
        ..InboundRequest::default()
    }
}
