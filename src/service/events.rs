//! Events: take in, read.

use std::sync::Arc;

use bytes::Bytes;

use crate::cluster::Signals;
use crate::domain::EventType;
use crate::domain::event::{BATCH_MAX, Event, IDEMPOTENCY_KEY_MAX_CHARS, RESOURCE_ID_MAX_CHARS};
use crate::domain::values::invalid::Complaints;
use crate::domain::{EventId, FieldError, Invalid};
use crate::host::clock::Clock;
use crate::store::{EventDetail, EventFilter, NewEvent, Page, PageRequest, Store, Taken};

use super::{Caller, Result, ServiceError};

/// An event as a client gives it.
#[derive(Debug, Clone)]
pub struct EventInput {
    pub event_type: String,
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

    /// Takes in one event. When this returns, it is on disk and will be delivered.
    pub async fn post(&self, caller: &Caller, input: EventInput) -> Result<Event> {
        let mut errors = Complaints::default();
        let event = self.check(input, "", &mut errors)?;
        let event = match event {
            Some(event) if errors.is_empty() => event,
            _ => return Err(Invalid(errors.into_vec()).into()),
        };
        let mut accepted = self.take(caller, vec![event], |_| "/idempotency_key".to_owned()).await?;
        accepted.pop().ok_or(ServiceError::NotFound("event"))
    }

    /// Takes in a batch, whole or not at all.
    pub async fn post_batch(&self, caller: &Caller, inputs: Vec<EventInput>) -> Result<Vec<Event>> {
        if inputs.is_empty() || inputs.len() > BATCH_MAX {
            return Err(Invalid::one("/events", format!("must have 1 to {BATCH_MAX} events")).into());
        }
        let mut errors = Complaints::default();
        let mut events = Vec::with_capacity(inputs.len());
        for (i, input) in inputs.into_iter().enumerate() {
            events.extend(self.check(input, &format!("/events/{i}"), &mut errors)?);
        }
        if !errors.is_empty() {
            return Err(Invalid(errors.into_vec()).into());
        }
        self.take(caller, events, |i| format!("/events/{i}/idempotency_key")).await
    }

    async fn take(
        &self,
        caller: &Caller,
        events: Vec<NewEvent>,
        pointer: impl Fn(usize) -> String,
    ) -> Result<Vec<Event>> {
        match self.store.event_insert(caller.app_id, events, self.clock.now()).await? {
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
        }
    }

    /// Checks an event; `prefix` is where it stands in the body.
    fn check(&self, input: EventInput, prefix: &str, errors: &mut Complaints) -> Result<Option<NewEvent>> {
        if input.payload.len() > self.size_limit {
            return Err(ServiceError::TooLarge(format!(
                "The payload{} has {} bytes; at most {} are possible (limits.event_size).",
                if prefix.is_empty() { String::new() } else { format!(" at {prefix}/payload") },
                input.payload.len(),
                self.size_limit
            )));
        }
        errors.extend(problems(&input, prefix));
        // A type that cannot be read is among the problems.
        Ok(EventType::parse(&input.event_type).ok().map(|event_type| NewEvent {
            event_type,
            payload: input.payload,
            resource_id: input.resource_id,
            idempotency_key: input.idempotency_key,
        }))
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

    /// One event with its payload and attempts.
    pub async fn get(&self, caller: &Caller, id: EventId) -> Result<EventDetail> {
        self.store.event_get(caller.app_id, id).await?.ok_or(ServiceError::NotFound("event"))
    }
}

/// What is wrong with an event's fields, its size apart; `prefix` is where it stands in the body.
pub fn problems(input: &EventInput, prefix: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut fail = |field: &str, message| errors.push(FieldError::new(format!("{prefix}/{field}"), message));
    match EventType::parse(&input.event_type) {
        Ok(t) if t.is_system() => {
            fail(
                "event_type",
                "begins with webhook_endpoint., which is kept for Postrider's own events".into(),
            );
        }
        Ok(_) => {}
        Err(message) => fail("event_type", message),
    }
    let mut check_text = |field: &str, text: &Option<String>, max: usize| {
        let bad = |t: &String| t.is_empty() || t.chars().count() > max || t.chars().any(char::is_control);
        if text.as_ref().is_some_and(bad) {
            fail(field, format!("must have 1 to {max} characters, none of them control characters"));
        }
    };
    check_text("resource_id", &input.resource_id, RESOURCE_ID_MAX_CHARS);
    check_text("idempotency_key", &input.idempotency_key, IDEMPOTENCY_KEY_MAX_CHARS);
    errors
}
