//! Events: take in, read.

use std::sync::Arc;

use bytes::Bytes;

use crate::cluster::Signals;
use crate::domain::EventType;
use crate::domain::event::{
    BATCH_MAX, Event, EventDetail, IDEMPOTENCY_KEY_MAX_CHARS, NewEvent, RESOURCE_ID_MAX_CHARS,
};
use crate::domain::filter::EventFilter;
use crate::domain::values::invalid::Complaints;
use crate::domain::values::list::{Page, PageRequest, SearchPage};
use crate::domain::{EventId, FieldError, Invalid};
use crate::host::clock::Clock;
use crate::store::{Store, Taken};

use super::{Caller, Kind, Result, ServiceError};

/// An event as a client gives it.
#[derive(Debug, Clone)]
pub struct EventInput {
    /// `None` when it was missing or unreadable, which the reader has noted.
    pub event_type: Option<String>,
    /// The JSON text of the payload, byte for byte.
    pub payload: Bytes,
    pub resource_id: Option<String>,
    pub idempotency_key: Option<String>,
}

/// The use cases of events.
pub struct Events {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    signals: Arc<dyn Signals>,
    /// The largest payload, in bytes.
    size_limit: usize,
}

impl Events {
    /// `size_limit` is the configured `limits.event_size`, in bytes.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        signals: Arc<dyn Signals>,
        size_limit: usize,
    ) -> Events {
        Events { store, clock, signals, size_limit }
    }

    /// The largest payload, in bytes.
    pub fn size_limit(&self) -> usize {
        self.size_limit
    }

    /// Takes in one event that [`Events::check`] gave. When this returns, it is on disk and will be delivered.
    pub async fn post(&self, caller: &Caller, event: NewEvent) -> Result<Event> {
        let mut accepted = self.take(caller, vec![event], None, |_| "/idempotency_key".to_owned()).await?;
        accepted.pop().ok_or(ServiceError::NotFound(Kind::Event))
    }

    /// Takes in a batch, whole or not at all. `key` is an idempotency key for the whole of it.
    pub async fn post_batch(
        &self,
        caller: &Caller,
        events: Vec<NewEvent>,
        key: Option<String>,
    ) -> Result<Vec<Event>> {
        if events.is_empty() || events.len() > BATCH_MAX {
            return Err(Invalid::one("/events", format!("must have 1 to {BATCH_MAX} events")).into());
        }
        self.take(caller, events, key, |i| format!("/events/{i}/idempotency_key")).await
    }

    /// Checks the idempotency key of a batch.
    pub fn check_batch_key(&self, key: &str, errors: &mut Complaints) {
        if !is_short_text(key, IDEMPOTENCY_KEY_MAX_CHARS) {
            errors.push(FieldError::new("/idempotency_key", not_a_short_text(IDEMPOTENCY_KEY_MAX_CHARS)));
        }
    }

    async fn take(
        &self,
        caller: &Caller,
        events: Vec<NewEvent>,
        batch_key: Option<String>,
        pointer: impl Fn(usize) -> String,
    ) -> Result<Vec<Event>> {
        let (app, now) = (caller.app_id, self.clock.now());
        let taken = match batch_key {
            Some(key) => self.store.event_batch_insert(app, key, events, now).await?,
            None => self.store.event_insert(app, events, now).await?,
        };
        match taken {
            Taken::All(accepted) => Ok(accepted
                .into_iter()
                .map(|a| {
                    self.signals.queued(&a.queued);
                    a.event
                })
                .collect()),
            Taken::KeyConflict { index } => Err(ServiceError::Conflict(format!(
                "{}: this idempotency key was used within the last 24 hours for an event with another type, \
                 resource or payload.",
                pointer(index)
            ))),
            Taken::BatchConflict => Err(ServiceError::Conflict(
                "/idempotency_key: this idempotency key was used within the last 24 hours for another batch or \
                 event."
                    .to_owned(),
            )),
        }
    }

    /// Checks an event; `prefix` is where it stands in the body. What is wrong with its fields is added to
    /// `errors`, and then there may be no event.
    pub fn check(
        &self,
        input: EventInput,
        prefix: &str,
        errors: &mut Complaints,
    ) -> Result<Option<NewEvent>> {
        let EventInput { event_type, payload, resource_id, idempotency_key } = input;
        if payload.len() > self.size_limit {
            return Err(ServiceError::TooLarge(format!(
                "The payload{} has {} bytes; at most {} are possible (limits.event_size).",
                if prefix.is_empty() { String::new() } else { format!(" at {prefix}/payload") },
                payload.len(),
                self.size_limit
            )));
        }
        let mut fail =
            |field: &str, message| errors.push(FieldError::new(format!("{prefix}/{field}"), message));
        let event_type =
            event_type.and_then(|text| check_type(&text).map_err(|message| fail("event_type", message)).ok());
        for (field, text, max) in [
            ("resource_id", &resource_id, RESOURCE_ID_MAX_CHARS),
            ("idempotency_key", &idempotency_key, IDEMPOTENCY_KEY_MAX_CHARS),
        ] {
            if text.as_ref().is_some_and(|text| !is_short_text(text, max)) {
                fail(field, not_a_short_text(max));
            }
        }
        Ok(event_type.map(|event_type| NewEvent { event_type, payload, resource_id, idempotency_key }))
    }

    /// A page of events, newest first.
    pub async fn list(
        &self,
        caller: &Caller,
        filter: EventFilter,
        page: PageRequest<i64>,
    ) -> Result<Page<Event, i64>> {
        Ok(self.store.event_list(caller.app_id, filter, page).await?)
    }

    /// A page of the events whose payload contains the text of a filter, newest first.
    pub async fn search(
        &self,
        caller: &Caller,
        filter: EventFilter,
        page: PageRequest<i64>,
    ) -> Result<SearchPage<Event, i64>> {
        Ok(self.store.event_search(caller.app_id, filter, page).await?)
    }

    /// One event with its payload and attempts.
    pub async fn get(&self, caller: &Caller, id: EventId) -> Result<EventDetail> {
        self.store.event_get(caller.app_id, id).await?.ok_or(ServiceError::NotFound(Kind::Event))
    }
}

fn check_type(text: &str) -> std::result::Result<EventType, String> {
    let event_type = EventType::parse(text)?;
    if event_type.is_system() {
        return Err("begins with webhook_endpoint., which is kept for Postrider's own events".to_owned());
    }
    Ok(event_type)
}

fn not_a_short_text(max: usize) -> String {
    format!("must have 1 to {max} characters, none of them control characters")
}

fn is_short_text(text: &str, max: usize) -> bool {
    !text.is_empty() && text.chars().count() <= max && !text.chars().any(char::is_control)
}
