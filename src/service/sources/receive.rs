//! A request to the URL of a source, step by step. The order of the checks is that of the contract: token, HEAD,
//! unsigned challenges, method, hops, size, rate limit, verifiers, signed challenges, parsing, `accept`, dedupe.
//!
//! The sender is told as little as possible; what was wrong is in the inbound log, for the owner of the source.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::cluster::Signals;
use crate::domain::inbound::challenge;
use crate::domain::inbound::mapper::Mapped;
use crate::domain::inbound::mapping::{self, HOPS_MAX};
use crate::domain::inbound::payload::{self, ReadBody, Reading, Unreadable};
use crate::domain::inbound::request::InboundRequest;
use crate::domain::inbound::source::{InboundOutcome, TokenHash};
use crate::domain::{EventId, Timestamp};
use crate::host::clock::Clock;
use crate::host::meter::Counter;
use crate::host::vault::Vault;
use crate::service::people::buckets::{Buckets, Rate};
use crate::service::sources::manage::url_of;
use crate::service::sources::masking::{Masking, shown_method};
use crate::service::sources::readied::{ReadySource, ReadySources};
use crate::service::{Result, ServiceError};
use crate::store::{BodyContent, InboundBody, InboundEntry, InboundEvent, InboundTaken, Store};

/// Bytes of a refused body that are kept: strangers send these.
const REFUSED_BODY: usize = 4 * 1_024;
/// Bytes of a body that are kept beside the payload which it became.
const SHOWN_BODY: usize = 64 * 1_024;

/// What the sender is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundAnswer {
    pub status: u16,
    pub content_type: Option<String>,
    pub body: Bytes,
    /// Whole seconds.
    pub retry_after: Option<u64>,
    /// The methods that the source takes, where the one of the request is not among them.
    pub allow: Option<String>,
}

impl InboundAnswer {
    /// `{"error":"…"}`
    pub fn error(status: u16, text: &str) -> InboundAnswer {
        let body = serde_json::json!({ "error": text }).to_string().into();
        let content_type = Some("application/json".to_owned());
        InboundAnswer { status, content_type, body, retry_after: None, allow: None }
    }

    fn empty(status: u16) -> InboundAnswer {
        InboundAnswer { status, content_type: None, body: Bytes::new(), retry_after: None, allow: None }
    }

    fn text(text: String) -> InboundAnswer {
        let content_type = Some("text/plain; charset=utf-8".to_owned());
        InboundAnswer { status: 200, content_type, body: text.into(), retry_after: None, allow: None }
    }
}

/// What comes of the head of a request.
pub enum Begun {
    /// All is said.
    Answer(InboundAnswer),
    /// The body is to be read.
    Body(Box<Arriving>),
}

/// A request whose body is read.
pub struct Arriving {
    pub ready: Arc<ReadySource>,
    /// Without a body.
    pub request: InboundRequest,
    token: String,
    hops: u32,
    received_at: Timestamp,
}

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    TooLarge,
    TooSlow,
}

/// Requests by what became of them.
#[derive(Debug, Clone, Default)]
pub struct InboundMeters {
    pub accepted: Counter,
    pub duplicate: Counter,
    pub ignored: Counter,
    pub challenge: Counter,
    pub rejected: Counter,
    pub invalid: Counter,
    /// Over a rate limit.
    pub rate_limited: Counter,
    /// Storage did not keep up, or is full.
    pub unavailable: Counter,
    /// The token is no source's.
    pub unknown: Counter,
}

impl InboundMeters {
    fn of(&self, outcome: InboundOutcome) -> &Counter {
        match outcome {
            InboundOutcome::Accepted => &self.accepted,
            InboundOutcome::Duplicate => &self.duplicate,
            InboundOutcome::Ignored => &self.ignored,
            InboundOutcome::Challenge => &self.challenge,
            InboundOutcome::Rejected => &self.rejected,
            InboundOutcome::Invalid => &self.invalid,
        }
    }

    /// The label and the count of each.
    pub fn all(&self) -> [(&'static str, u64); 9] {
        [
            ("accepted", self.accepted.get()),
            ("duplicate", self.duplicate.get()),
            ("ignored", self.ignored.get()),
            ("challenge", self.challenge.get()),
            ("rejected", self.rejected.get()),
            ("invalid", self.invalid.get()),
            ("rate_limited", self.rate_limited.get()),
            ("unavailable", self.unavailable.get()),
            ("unknown", self.unknown.get()),
        ]
    }
}

/// Takes in requests to sources.
pub struct Receiver {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    vault: Arc<Vault>,
    signals: Arc<dyn Signals>,
    config: ReceiverConfig,
    kept: ReadySources,
    all: Option<Mutex<Buckets<()>>>,
    meters: InboundMeters,
}

/// What of the configuration the receiver needs.
#[derive(Debug, Clone)]
pub struct ReceiverConfig {
    /// The public URL of the server for senders, without a slash at its end.
    pub base_url: String,
    /// The largest payload, in bytes.
    pub event_size: usize,
    /// The largest body, in bytes.
    pub body_size: usize,
    /// Of all sources together; 0 = no limit.
    pub requests_per_minute: u32,
}

impl Receiver {
    /// Joins the parts.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        vault: Arc<Vault>,
        signals: Arc<dyn Signals>,
        config: ReceiverConfig,
        meters: InboundMeters,
    ) -> Receiver {
        let limit = config.requests_per_minute;
        let all = (limit > 0).then(|| Mutex::new(Buckets::new(Rate { limit, period_ms: 60_000 }, 1)));
        Receiver { store, clock, vault, signals, config, kept: ReadySources::default(), all, meters }
    }

    /// The largest body, in bytes.
    pub fn body_size(&self) -> usize {
        self.config.body_size
    }

    /// Looks at the head of a request; `None`: no source has this token.
    pub async fn begin(&self, token: &str, mut request: InboundRequest) -> Result<Option<Begun>> {
        let received_at = self.clock.now();
        // Every token is hashed and looked up, so that an answer tells nothing by its time.
        let Some(source) = self.store.source_of_token(TokenHash::of(token), received_at).await? else {
            self.meters.unknown.inc();
            return Ok(None);
        };
        let ready = self.kept.ready(&self.vault, source)?;
        request.url = self.url(&ready)?;
        let token = token.to_owned();
        let hops = mapping::hops(&request.headers);
        let arriving = Box::new(Arriving { ready, request, token, hops, received_at });
        self.check(arriving).await.map(Some)
    }

    async fn check(&self, arriving: Box<Arriving>) -> Result<Begun> {
        let Arriving { ready, request, hops, .. } = &*arriving;
        if request.method == "HEAD" {
            return Ok(Begun::Answer(InboundAnswer::empty(200)));
        }
        let asked = ready.guard.challenge.as_ref().and_then(|challenge| challenge.unsigned(request));
        if let Some(asked) = asked {
            return self.challenge(&arriving, asked).await.map(Begun::Answer);
        }
        let methods = &ready.source.settings.mapping.methods;
        if !methods.contains(&request.method) {
            let reason = format!("method: {} is none of {}", shown_method(request), methods.join(", "));
            let answer = self.refuse(&arriving, 405, "method not allowed", reason).await?;
            return Ok(Begun::Answer(InboundAnswer { allow: Some(methods.join(", ")), ..answer }));
        }
        if *hops >= HOPS_MAX {
            let reason = format!("hops: the request was forwarded {hops} times, so it goes in a circle");
            return self.refuse(&arriving, 508, "loop detected", reason).await.map(Begun::Answer);
        }
        Ok(Begun::Body(arriving))
    }

    /// The request was known before its body was too long or too slow.
    pub async fn unread(&self, arriving: &Arriving, why: Unread) -> Result<InboundAnswer> {
        let (status, text, reason) = match why {
            Unread::TooLarge => {
                let limit = self.config.body_size;
                (413, "body too large", format!("body: is larger than {limit} bytes (inbound.body_size)"))
            }
            Unread::TooSlow => (408, "body too slow", "body: was not complete within 30 seconds".to_owned()),
        };
        self.refuse(arriving, status, text, reason).await
    }

    /// The request with its body.
    pub async fn finish(&self, mut arriving: Box<Arriving>, body: Bytes) -> Result<InboundAnswer> {
        arriving.request.body = body;
        match self.take(&arriving).await {
            Err(error @ (ServiceError::Unavailable(_) | ServiceError::StorageFull)) => {
                self.meters.unavailable.inc();
                Err(error)
            }
            other => other,
        }
    }

    async fn take(&self, arriving: &Arriving) -> Result<InboundAnswer> {
        let Arriving { ready, request, received_at, .. } = arriving;
        if let Some(seconds) = self.count(ready, *received_at) {
            self.meters.rate_limited.inc();
            let answer = InboundAnswer::error(429, "rate limit exceeded");
            return Ok(InboundAnswer { retry_after: Some(seconds), ..answer });
        }
        for verifier in &ready.guard.verify {
            if let Err(reason) = verifier.verify(request, *received_at) {
                return self.reject(arriving, reason).await;
            }
        }
        if let Some(asked) = ready.guard.challenge.as_ref().and_then(|challenge| challenge.signed(request)) {
            return self.challenge(arriving, asked).await;
        }
        let body = match payload::read(request, self.reading(ready)) {
            Ok(body) => body,
            Err(unreadable) => {
                let (status, text) = refusal(&unreadable);
                return self.refuse(arriving, status, text, unreadable.reason().to_owned()).await;
            }
        };
        let mapped = ready.mapper.map(request, &body, &received_at.to_string());
        if !mapped.is_accepted {
            let entry = self.entry(arriving, InboundOutcome::Ignored, None, kept_body(request, &body));
            self.note(arriving, InboundOutcome::Ignored, entry).await?;
            return Ok(answer_of(ready, None));
        }
        self.accept(arriving, body, mapped).await
    }

    async fn accept(&self, arriving: &Arriving, body: ReadBody, mapped: Mapped) -> Result<InboundAnswer> {
        let Arriving { ready, request, hops, received_at, .. } = arriving;
        let reason = mapped.unmapped.map(str::to_owned).or(mapped.failure);
        let beside = beside_payload(request, &body);
        let entry = self.entry(arriving, InboundOutcome::Accepted, reason, beside);
        let dedupe = mapped.dedupe.as_deref().and_then(mapping::dedupe_digest);
        let event = ready.event(mapped.event_type, body.payload, mapped.resource_id, hops + 1);
        let event = InboundEvent { dedupe, ..event };
        match self.store.inbound_take(ready.source.id, entry, event, *received_at).await? {
            InboundTaken::Event { event, queued } => {
                self.meters.accepted.inc();
                self.signals.queued(&queued);
                Ok(answer_of(ready, Some(event.id)))
            }
            InboundTaken::Duplicate { event } => {
                self.meters.duplicate.inc();
                Ok(answer_of(ready, event))
            }
            InboundTaken::NoSource => Ok(InboundAnswer::error(404, "not found")),
        }
    }

    /// How the bodies of a source are read.
    pub(crate) fn reading<'a>(&self, ready: &'a ReadySource) -> Reading<'a> {
        Reading {
            json_field: &ready.source.settings.mapping.json_field,
            size_limit: self.config.event_size,
            hidden_parameters: &ready.hidden_parameters,
        }
    }

    /// The URL of a source.
    pub(crate) fn url(&self, ready: &ReadySource) -> Result<String> {
        let token = self.vault.open_source(ready.source.id, "token", &ready.source.token);
        let token = token.map_err(|e| ServiceError::Internal(Box::new(e)))?;
        Ok(url_of(&self.config.base_url, &token))
    }

    fn count(&self, ready: &ReadySource, now: Timestamp) -> Option<u64> {
        if let Some(all) = &self.all {
            let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(seconds) = all.take((), 1, now).wait_secs {
                return Some(seconds);
            }
        }
        ready.count(now)
    }

    async fn challenge(&self, arriving: &Arriving, asked: challenge::Answer) -> Result<InboundAnswer> {
        match asked {
            challenge::Answer::Text(text) => {
                let body = Some(cut(&arriving.request.body, REFUSED_BODY));
                let entry = self.entry(arriving, InboundOutcome::Challenge, None, body);
                self.note(arriving, InboundOutcome::Challenge, entry).await?;
                Ok(InboundAnswer::text(text))
            }
            challenge::Answer::Unfit(reason) => {
                self.refuse(arriving, 422, "unfit challenge", reason.to_owned()).await
            }
            challenge::Answer::Refused(reason) => self.reject(arriving, reason.to_owned()).await,
        }
    }

    async fn reject(&self, arriving: &Arriving, reason: String) -> Result<InboundAnswer> {
        let answer = InboundAnswer::error(401, "not verified");
        self.refused(arriving, InboundOutcome::Rejected, answer, reason).await
    }

    async fn refuse(
        &self,
        arriving: &Arriving,
        status: u16,
        text: &str,
        reason: String,
    ) -> Result<InboundAnswer> {
        self.refused(arriving, InboundOutcome::Invalid, InboundAnswer::error(status, text), reason).await
    }

    async fn refused(
        &self,
        arriving: &Arriving,
        outcome: InboundOutcome,
        answer: InboundAnswer,
        reason: String,
    ) -> Result<InboundAnswer> {
        let body = Some(cut(&arriving.request.body, REFUSED_BODY));
        let entry = self.entry(arriving, outcome, Some(reason), body);
        self.note(arriving, outcome, InboundEntry { status: answer.status, ..entry }).await?;
        Ok(answer)
    }

    async fn note(&self, arriving: &Arriving, outcome: InboundOutcome, entry: InboundEntry) -> Result<()> {
        self.store.inbound_note(arriving.ready.source.id, entry, arriving.received_at).await?;
        self.meters.of(outcome).inc();
        Ok(())
    }

    /// A row of the inbound log. The status is that of success.
    fn entry(
        &self,
        arriving: &Arriving,
        outcome: InboundOutcome,
        reason: Option<String>,
        body: Option<InboundBody>,
    ) -> InboundEntry {
        let Arriving { ready, request, token, .. } = arriving;
        let status = match outcome {
            InboundOutcome::Challenge => 200,
            _ => ready.source.settings.mapping.response.status,
        };
        let masking = Masking::new(ready, request, token);
        InboundEntry {
            outcome,
            reason,
            status,
            client_ip: request.client.map(|client| client.to_string()),
            method: shown_method(request),
            path: masking.path(),
            size: request.body.len() as u64,
            headers: masking.headers(),
            query: masking.query(),
            body,
        }
    }
}

/// What a body that is not read is answered with.
fn refusal(unreadable: &Unreadable) -> (u16, &'static str) {
    match unreadable {
        Unreadable::NotJson(_) => (422, "not JSON"),
        Unreadable::NotMultipart(_) => (422, "not multipart"),
        Unreadable::Unsupported(_) => (415, "unsupported body"),
        Unreadable::TooLarge(_) => (413, "body too large"),
    }
}

/// The response of the source; `{"id":…}` where it has no body of its own.
pub(crate) fn answer_of(ready: &ReadySource, event: Option<EventId>) -> InboundAnswer {
    let response = &ready.source.settings.mapping.response;
    if response.status == 204 {
        return InboundAnswer::empty(204);
    }
    let id = || serde_json::json!({ "id": event.map(|id| id.to_string()) }).to_string();
    InboundAnswer {
        status: response.status,
        content_type: Some(response.content_type.clone()),
        body: response.body.clone().unwrap_or_else(id).into(),
        retry_after: None,
        allow: None,
    }
}

/// The body of a request that becomes no event: what it is made of again when it is replayed.
fn kept_body(request: &InboundRequest, body: &ReadBody) -> Option<InboundBody> {
    if body.has_files || request.body.len() > SHOWN_BODY {
        return Some(InboundBody { bytes: body.payload.clone(), content: BodyContent::Payload });
    }
    Some(InboundBody { bytes: request.body.clone(), content: BodyContent::Whole })
}

/// A body that is kept beside the payload, because it differs.
fn beside_payload(request: &InboundRequest, body: &ReadBody) -> Option<InboundBody> {
    let differs = request.body != body.payload && !request.body.is_empty();
    let is_kept = differs && !body.has_files && request.body.len() <= SHOWN_BODY;
    is_kept.then(|| InboundBody { bytes: request.body.clone(), content: BodyContent::Whole })
}

/// The beginning of a body.
fn cut(body: &Bytes, most: usize) -> InboundBody {
    if body.len() <= most {
        return InboundBody { bytes: body.clone(), content: BodyContent::Whole };
    }
    // A copy, so that the rest is given back.
    InboundBody { bytes: Bytes::copy_from_slice(&body[..most]), content: BodyContent::Cut }
}
