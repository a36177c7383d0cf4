//! What would become of a request to a source: every step with its result. Nothing is stored.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::domain::delivery_filter::DeliveryFilter;
use crate::domain::endpoint::EndpointSettings;
use crate::domain::gallery;
use crate::domain::inbound::mapper::Mapped;
use crate::domain::inbound::payload;
use crate::domain::inbound::request::InboundRequest;
use crate::domain::inbound::source::{Guard, Source, SourceSettings, TokenHash};
use crate::domain::pattern::any_matches;
use crate::domain::shaping::summary::Summary;
use crate::domain::shaping::{ParsedSubject, Subject};
use crate::domain::values::preset_mark::PresetMark;
use crate::domain::{Endpoint, EndpointId, EndpointStatus, Invalid, Sealed, SourceId, Timestamp};
use crate::host::clock::Clock;
use crate::host::vault::Vault;
use crate::service::sources::manage::{checked, expanded, refuse_preset, with_changes};
use crate::service::sources::readied::{ReadySource, open_guard};
use crate::service::sources::receive::{InboundAnswer, Receiver, answer_of};
use crate::service::sources::requests::InboundLog;
use crate::service::{Caller, Kind, Result, ServiceError};
use crate::store::{EndpointFilter, PageRequest, Start, Store};

/// Endpoints that a preview looks at.
const ENDPOINTS_MAX: u32 = 200;

/// Which source a preview is of.
#[derive(Debug, Clone)]
pub enum PreviewSource {
    /// JSON attributes, perhaps with a recipe.
    Given(Map<String, Value>),
    Stored(SourceId),
    /// A stored one with these changes. Masks keep its secrets.
    Changed(SourceId, Map<String, Value>),
}

impl PreviewSource {
    fn stored(&self) -> Option<SourceId> {
        match self {
            PreviewSource::Given(_) => None,
            PreviewSource::Stored(id) | PreviewSource::Changed(id, _) => Some(*id),
        }
    }
}

/// Which request a preview is with.
#[derive(Debug, Clone)]
pub enum PreviewRequest {
    Given(Box<InboundRequest>),
    /// One of the inbound log of the stored source.
    Stored(i64),
    /// One of the gallery: `github/release`.
    Sample(String),
}

/// The result of a verifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierVerdict {
    pub kind: &'static str,
    /// Why it does not hold.
    pub reason: Option<String>,
}

/// What would become of a request.
#[derive(Debug, Clone)]
pub struct SourcePreview {
    pub verify: Vec<VerifierVerdict>,
    pub mapped: Option<MappedPreview>,
    /// Why there is no event, or a template failed.
    pub error: Option<String>,
    pub warnings: Vec<String>,
    pub response: InboundAnswer,
}

/// The event that a request would become.
#[derive(Debug, Clone)]
pub struct MappedPreview {
    pub event_type: String,
    pub dedupe: Option<String>,
    pub resource_id: Option<String>,
    pub is_accepted: bool,
    pub payload: Bytes,
    pub summary: Summary,
    pub endpoints: Wanted,
}

/// Id, name, and whether an endpoint would get the event.
pub type Wanted = Vec<(EndpointId, String, bool)>;

/// The use cases of previews.
pub struct Previews {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    vault: Arc<Vault>,
    receiver: Arc<Receiver>,
    log: Arc<InboundLog>,
}

impl Previews {
    /// Joins the parts.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        vault: Arc<Vault>,
        receiver: Arc<Receiver>,
        log: Arc<InboundLog>,
    ) -> Previews {
        Previews { store, clock, vault, receiver, log }
    }

    /// What would become of a request.
    pub async fn preview(
        &self,
        caller: &Caller,
        source: PreviewSource,
        request: PreviewRequest,
    ) -> Result<SourcePreview> {
        let ready = self.ready(caller, &source).await?;
        let request = self.request(caller, &source, &ready, request).await?;
        let now = self.clock.now();
        let verify = ready.guard.verify.iter().map(|verifier| VerifierVerdict {
            kind: verifier.kind(),
            reason: verifier.verify(&request, now).err(),
        });
        let mut preview = SourcePreview {
            verify: verify.collect(),
            mapped: None,
            error: None,
            warnings: warnings(&ready),
            response: answer_of(&ready, None),
        };
        let body = match payload::read(&request, self.receiver.reading(&ready)) {
            Ok(body) => body,
            Err(unreadable) => {
                preview.error = Some(unreadable.reason().to_owned());
                return Ok(preview);
            }
        };
        let endpoints = self.endpoints(caller).await?;
        let mapped = ready.mapper.map(&request, &body, &now.to_string());
        let (endpoints, summary) = wanted_by(endpoints, &ready, &mapped, &body.payload, now)?;
        let event_type = mapped.event_type.to_string();
        preview.error = mapped.failure.or_else(|| mapped.unmapped.map(str::to_owned));
        preview.mapped = Some(MappedPreview {
            dedupe: mapped.dedupe,
            resource_id: mapped.resource_id,
            is_accepted: mapped.is_accepted,
            endpoints,
            event_type,
            summary,
            payload: body.payload.clone(),
        });
        Ok(preview)
    }

    async fn ready(&self, caller: &Caller, source: &PreviewSource) -> Result<ReadySource> {
        let stored = match source.stored() {
            None => None,
            Some(id) => {
                let found = self.store.source_get(caller.app_id, id).await?;
                Some(found.ok_or(ServiceError::NotFound(Kind::Source))?)
            }
        };
        let drafted = match (source, stored) {
            (PreviewSource::Changed(_, given), Some(stored)) => changed(&self.vault, &stored, given)
                .map(|(settings, guard)| Source { guard: self.seal(stored.id, &guard), settings, ..stored }),
            (_, Some(stored)) => Ok(stored),
            (PreviewSource::Given(fields) | PreviewSource::Changed(_, fields), None) => {
                self.new_source(caller, fields.clone())
            }
            (PreviewSource::Stored(_), None) => Err(ServiceError::NotFound(Kind::Source)),
        };
        ReadySource::of(&self.vault, drafted.map_err(within_source)?)
    }

    /// A source as it would be created.
    fn new_source(&self, caller: &Caller, fields: Map<String, Value>) -> Result<Source> {
        let (fields, preset) = expanded(fields)?;
        let (settings, guard) = checked(&fields, &Guard::default())?;
        let (now, id) = (self.clock.now(), SourceId::new(self.clock.now()));
        Ok(Source {
            id,
            app_id: caller.app_id,
            settings,
            token_hash: TokenHash([0; 32]),
            token: Sealed(vec![]),
            old_token: None,
            guard: self.seal(id, &guard),
            preset: preset.map(|p| PresetMark {
                name: p.name.clone(),
                version: p.version,
                digest: String::new(),
            }),
            created_at: now,
            updated_at: now,
        })
    }

    fn seal(&self, id: SourceId, guard: &Guard) -> Sealed {
        self.vault.seal_source(id, "guard", &guard.in_clear().to_string())
    }

    async fn request(
        &self,
        caller: &Caller,
        source: &PreviewSource,
        ready: &ReadySource,
        request: PreviewRequest,
    ) -> Result<InboundRequest> {
        let url = self.receiver.url(ready).unwrap_or_default();
        let found = match (request, source.stored()) {
            (PreviewRequest::Given(request), _) => *request,
            (PreviewRequest::Sample(name), _) => {
                let sample = gallery::sample(&name).ok_or_else(|| {
                    Invalid::one("/request/sample", "is not a sample; see GET /v1/gallery/sources")
                })?;
                sample.request.clone()
            }
            (PreviewRequest::Stored(id), Some(source)) => {
                let detail = self.log.get(caller, source, id).await?;
                let (request, body) = self.log.stored(ready, &detail)?;
                InboundRequest { body: body.payload, ..request }
            }
            (PreviewRequest::Stored(_), None) => {
                let message = "belongs to a stored source; give source_id beside it";
                return Err(Invalid::one("/request/request_id", message).into());
            }
        };
        Ok(InboundRequest { url, ..found })
    }

    /// The endpoints of the app.
    async fn endpoints(&self, caller: &Caller) -> Result<Vec<Endpoint>> {
        let page = PageRequest { start: Start::Page(1), per_page: ENDPOINTS_MAX };
        Ok(self.store.endpoint_list(caller.app_id, EndpointFilter::default(), page).await?.rows)
    }
}

/// What a change makes of a stored source.
fn changed(vault: &Vault, stored: &Source, given: &Map<String, Value>) -> Result<(SourceSettings, Guard)> {
    refuse_preset(given)?;
    let current = open_guard(vault, stored)?;
    checked(&with_changes(stored, &current, given), &current)
}

/// An error of a draft, at its place in the body.
fn within_source(error: ServiceError) -> ServiceError {
    let ServiceError::Invalid(Invalid(errors)) = error else { return error };
    let moved = errors.into_iter().map(|mut error| {
        error.pointer.insert_str(0, "/source");
        error
    });
    ServiceError::Invalid(Invalid(moved.collect()))
}

/// Which of these endpoints would get the event, by their patterns and filters, and what it means to a person.
fn wanted_by(
    endpoints: Vec<Endpoint>,
    ready: &ReadySource,
    mapped: &Mapped,
    payload: &[u8],
    now: Timestamp,
) -> Result<(Wanted, Summary)> {
    let settings = &ready.source.settings;
    let templates = settings.mapping.summary.clone().unwrap_or_default().parsed()?;
    let subject = ParsedSubject::new(Subject {
        id: None,
        event_type: &mapped.event_type,
        resource_id: mapped.resource_id.as_deref(),
        source: Some(&settings.name),
        summary: Some(&templates),
        created_at: now,
        payload,
    });
    let wanted = |endpoint: Endpoint| {
        let matches = endpoint.status != EndpointStatus::Disabled
            && any_matches(&endpoint.settings.events, &mapped.event_type);
        let EndpointSettings { name, filter, .. } = endpoint.settings;
        let passes = |text: String| DeliveryFilter::new(text).judge(&subject, &name).is_wanted;
        let is_wanted = matches && filter.is_none_or(passes);
        (endpoint.id, name, is_wanted)
    };
    Ok((endpoints.into_iter().map(wanted).collect(), subject.summary()))
}

/// What is allowed and may surprise.
fn warnings(ready: &ReadySource) -> Vec<String> {
    let mut warnings = Vec::new();
    if ready.guard.verify.is_empty() {
        let text = "Nothing but the URL protects this source: anybody who knows it can send events.";
        warnings.push(text.to_owned());
    }
    let is_signed = ready.guard.verify.iter().any(|verifier| verifier.kind() == "hmac");
    let mapping = &ready.source.settings.mapping;
    let from_headers = [&mapping.event_type, &mapping.dedupe]
        .into_iter()
        .any(|template| template.as_ref().is_some_and(|text| text.contains("headers")));
    if is_signed && from_headers {
        let text =
            "The event type or the dedupe key comes from a header, which the signature does not cover.";
        warnings.push(text.to_owned());
    }
    warnings
}
