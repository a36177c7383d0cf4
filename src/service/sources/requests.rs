//! The inbound log of a source, and taking in a request of it once more: a person vouches for it.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::cluster::Signals;
use crate::domain::endpoint::MASK;
use crate::domain::event::Event;
use crate::domain::inbound::mapper::Mapped;
use crate::domain::inbound::mapping;
use crate::domain::inbound::payload::{self, ReadBody, Reading, Unreadable};
use crate::domain::inbound::request::InboundRequest;
use crate::domain::inbound::source::InboundOutcome;
use crate::domain::{ActivityKind, Invalid, SourceId};
use crate::host::clock::Clock;
use crate::host::vault::Vault;
use crate::service::sources::readied::ReadySource;
use crate::service::{Caller, Kind, Result, ServiceError};
use crate::store::{InboundTaken, Page, PageRequest, Store};

pub use crate::store::{BodyContent, InboundDetail, InboundFilter, InboundRow};

/// The use cases of the inbound log.
pub struct InboundLog {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    vault: Arc<Vault>,
    signals: Arc<dyn Signals>,
    /// The largest payload, in bytes.
    event_size: usize,
}

impl InboundLog {
    /// Joins the parts.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        vault: Arc<Vault>,
        signals: Arc<dyn Signals>,
        event_size: usize,
    ) -> InboundLog {
        InboundLog { store, clock, vault, signals, event_size }
    }

    /// A page of the requests to a source, newest first.
    pub async fn list(
        &self,
        caller: &Caller,
        source: SourceId,
        filter: InboundFilter,
        page: PageRequest<i64>,
    ) -> Result<Page<InboundRow, i64>> {
        if self.store.source_get(caller.app_id, source).await?.is_none() {
            return Err(ServiceError::NotFound(Kind::Source));
        }
        Ok(self.store.inbound_list(caller.app_id, source, filter, page).await?)
    }

    /// One request with headers and body.
    pub async fn get(&self, caller: &Caller, source: SourceId, id: i64) -> Result<InboundDetail> {
        let found = self.store.inbound_get(caller.app_id, source, id).await?;
        found.ok_or(ServiceError::NotFound(Kind::InboundRequest))
    }

    /// Takes in a request once more, with the settings of now. Verifiers, challenges and dedupe are not asked.
    pub async fn replay(&self, caller: &Caller, source: SourceId, id: i64) -> Result<Event> {
        let found = self.store.source_get(caller.app_id, source).await?;
        let found = found.ok_or(ServiceError::NotFound(Kind::Source))?;
        let detail = self.get(caller, source, id).await?;
        let ready = ReadySource::of(&self.vault, found)?;
        let (request, body) = self.stored(&ready, &detail)?;
        let Mapped { event_type, resource_id, is_accepted, .. } =
            ready.mapper.map(&request, &body, &detail.row.received_at.to_string());
        if !is_accepted {
            let message = "The source does not accept this request: accept is false for it.";
            return Err(ServiceError::Conflict(message.to_owned()));
        }
        let hops = mapping::hops(&request.headers).min(mapping::HOPS_MAX) + 1;
        let event = ready.event(event_type, body.payload, resource_id, hops);
        let name = &ready.source.settings.name;
        let details = json!({ "source_id": source.to_string(), "request": id });
        let summary = format!("Source {name:?}: request {id} was replayed.");
        let now = self.clock.now();
        let activity = caller.activity(ActivityKind::SourceRequestReplayed, summary, details, now);
        match self.store.inbound_replay(source, event, activity, now).await? {
            InboundTaken::Event { event, queued } => {
                self.signals.queued(&queued);
                Ok(event)
            }
            InboundTaken::Duplicate { .. } | InboundTaken::NoSource => {
                Err(ServiceError::NotFound(Kind::Source))
            }
        }
    }

    /// A request of the inbound log, as templates see it. Masked headers and parameters are missing.
    pub(crate) fn stored(
        &self,
        ready: &ReadySource,
        detail: &InboundDetail,
    ) -> Result<(InboundRequest, ReadBody)> {
        let request = stored_request(detail);
        let gone = || ServiceError::Conflict("Its payload is not kept any more.".to_owned());
        let payload = match &detail.body {
            Some(body) if body.content == BodyContent::Cut => {
                let message = "Only the beginning of its body is kept, so it cannot be replayed.";
                return Err(ServiceError::Conflict(message.to_owned()));
            }
            Some(body) if body.content == BodyContent::Payload => body.bytes.clone(),
            Some(_) if detail.row.outcome != InboundOutcome::Accepted => {
                return self.read_again(ready, request);
            }
            _ => detail.payload.clone().ok_or_else(gone)?,
        };
        // A form beside its payload can be named in templates, too.
        let form = match &detail.body {
            Some(body) => {
                let again = InboundRequest { body: body.bytes.clone(), ..request.clone() };
                payload::read(&again, self.reading(ready)).ok().and_then(|read| read.form)
            }
            None => None,
        };
        Ok((request, ReadBody { payload, form, has_files: false }))
    }

    fn read_again(&self, ready: &ReadySource, request: InboundRequest) -> Result<(InboundRequest, ReadBody)> {
        match payload::read(&request, self.reading(ready)) {
            Ok(body) if body.has_files => {
                let message = "Its files are not kept, so it cannot be replayed.";
                Err(ServiceError::Conflict(message.to_owned()))
            }
            Ok(body) => Ok((request, body)),
            Err(Unreadable::NotJson(reason)) => {
                Err(Invalid::one("", format!("is not JSON ({})", without_subject(&reason))).into())
            }
            Err(unreadable) => Err(Invalid::one("", without_subject(unreadable.reason())).into()),
        }
    }

    fn reading<'a>(&self, ready: &'a ReadySource) -> Reading<'a> {
        Reading {
            json_field: &ready.source.settings.mapping.json_field,
            size_limit: self.event_size,
            hidden_parameters: &ready.hidden_parameters,
        }
    }
}

/// A reason of the inbound log as the end of a sentence about the body.
fn without_subject(reason: &str) -> &str {
    reason.strip_prefix("body: ").unwrap_or(reason)
}

/// A request as it was, without what is masked.
fn stored_request(detail: &InboundDetail) -> InboundRequest {
    let row = &detail.row;
    let headers = detail.headers.iter().filter(|(_, value)| !value.contains(MASK));
    let body = match &detail.body {
        Some(body) => body.bytes.clone(),
        None => detail.payload.clone().unwrap_or_else(|| Bytes::from_static(b"{}")),
    };
    InboundRequest {
        method: row.method.clone(),
        rest: row.path.clone().unwrap_or_default(),
        query: stored_query(detail.query.as_deref()),
        headers: headers.collect(),
        body,
        client: row.client_ip.as_deref().and_then(|text| text.parse().ok()),
        url: String::new(),
    }
}

fn stored_query(text: Option<&str>) -> Vec<(String, String)> {
    let fields: serde_json::Map<String, Value> =
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let mut query = Vec::new();
    for (name, value) in fields {
        let values = match value {
            Value::Array(values) => values,
            one => vec![one],
        };
        let texts = values.iter().filter_map(Value::as_str).filter(|text| !text.contains(MASK));
        query.extend(texts.map(|text| (name.clone(), text.to_owned())));
    }
    query
}
