//! Events for trying an endpoint: one of the app, one that a client describes, or a sample of the gallery.

use std::sync::Arc;

use bytes::Bytes;

use crate::domain::inbound::sample;
use crate::domain::inbound::source::{EventSource, SummaryText};
use crate::domain::{EventId, EventType, Invalid, SourceId, Timestamp};
use crate::host::clock::Clock;
use crate::store::Store;

use crate::service::{Caller, Kind, Result, ServiceError};

/// Which event an endpoint is tried with.
#[derive(Debug, Clone)]
pub enum TrialInput {
    Stored(EventId),
    Given {
        event_type: EventType,
        payload: Bytes,
        resource_id: Option<String>,
        source: Option<SourceId>,
    },
    /// Of the gallery: `github/release`.
    Sample(String),
}

/// An event that an endpoint is tried with.
#[derive(Debug, Clone)]
pub struct TrialEvent {
    pub id: EventId,
    pub event_type: EventType,
    pub resource_id: Option<String>,
    pub created_at: Timestamp,
    pub payload: Bytes,
    pub source: Option<EventSource>,
}

/// Finds events for trials.
#[derive(Clone)]
pub struct Trials {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    /// The largest payload, in bytes.
    size_limit: usize,
}

impl Trials {
    /// `size_limit` is the configured `limits.event_size`, in bytes.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, size_limit: usize) -> Trials {
        Trials { store, clock, size_limit }
    }

    /// The event. `prefix` is where it stands in the body.
    pub(crate) async fn event(&self, caller: &Caller, input: TrialInput, prefix: &str) -> Result<TrialEvent> {
        let now = self.clock.now();
        match input {
            TrialInput::Stored(id) => self.stored(caller, id).await,
            TrialInput::Given { event_type, payload, resource_id, source } => {
                if payload.len() > self.size_limit {
                    return Err(ServiceError::TooLarge(format!(
                        "The payload at {prefix}/payload has {} bytes; at most {} are possible (limits.event_size).",
                        payload.len(),
                        self.size_limit
                    )));
                }
                let source = match source {
                    None => None,
                    Some(id) => {
                        let found = self.store.source_get(caller.app_id, id).await?;
                        let settings = found.ok_or(ServiceError::NotFound(Kind::Source))?.settings;
                        Some(first_hop(id, settings.name, settings.mapping.summary))
                    }
                };
                Ok(TrialEvent {
                    id: EventId::at(now),
                    event_type,
                    resource_id,
                    created_at: now,
                    payload,
                    source,
                })
            }
            TrialInput::Sample(name) => {
                let found = sample::event_of(&name, &now.to_string());
                let event = found.ok_or_else(|| {
                    let message =
                        "is not a sample; see samples in GET /v1/gallery/sources, such as github/release";
                    Invalid::one(format!("{prefix}/sample"), message)
                })?;
                Ok(TrialEvent {
                    id: EventId::at(now),
                    event_type: event.event_type,
                    resource_id: event.resource_id,
                    created_at: now,
                    payload: event.payload,
                    source: Some(first_hop(SourceId::new(now), event.source, event.summary)),
                })
            }
        }
    }

    async fn stored(&self, caller: &Caller, id: EventId) -> Result<TrialEvent> {
        let found = self.store.event_get(caller.app_id, id).await?;
        let found = found.ok_or(ServiceError::NotFound(Kind::Event))?;
        let gone = || ServiceError::Conflict("The payload of this event is not kept any more.".to_owned());
        Ok(TrialEvent {
            id,
            event_type: found.event.event_type,
            resource_id: found.event.resource_id,
            created_at: found.event.created_at,
            payload: found.payload.ok_or_else(gone)?,
            source: self.store.source_of_event(caller.app_id, id).await?,
        })
    }
}

/// The source of an event that was not forwarded before.
fn first_hop(id: SourceId, name: String, summary: Option<SummaryText>) -> EventSource {
    EventSource { id, name, is_deleted: false, summary, hops: 1 }
}
