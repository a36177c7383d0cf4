//! Sends a test to an endpoint.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;

use crate::domain::event;
use crate::domain::{AttemptId, Budget, EndpointId, EventId, EventType, Outcome, Timestamp, Trigger};
use crate::host::clock::Clock;
use crate::store::LoadedAttempt;

use crate::service::endpoints::manage::Endpoints;
use crate::service::endpoints::trial::{TrialEvent, TrialInput, Trials};
use crate::service::{Caller, Dispatch, Result, ServiceError};

/// When a test that was refused because too many are in flight may be requested again, in seconds.
const TEST_AGAIN_SECS: u64 = 1;

/// Which event a test is about.
#[derive(Debug, Clone)]
pub enum TestInput {
    /// A synthetic one of this type; `None`: the default type.
    Synthetic(Option<EventType>),
    /// Any other; a stored one is sent under a new id.
    Trial(TrialInput),
}

/// The use cases of tests.
pub struct Tests {
    clock: Arc<dyn Clock>,
    dispatch: Arc<dyn Dispatch>,
    endpoints: Arc<Endpoints>,
    trials: Trials,
}

impl Tests {
    /// Joins the parts.
    pub fn new(
        clock: Arc<dyn Clock>,
        dispatch: Arc<dyn Dispatch>,
        endpoints: Arc<Endpoints>,
        trials: Trials,
    ) -> Tests {
        Tests { clock, dispatch, endpoints, trials }
    }

    /// Sends an event at once, whatever the endpoint's status, and logs it as a test. Gives the row of the log, and
    /// what became of it. It is logged even if the caller is gone before that.
    ///
    /// # Errors
    /// [`ServiceError::RateLimited`] while two tests to this endpoint, or twenty in total, are in flight.
    pub async fn send(
        &self,
        caller: &Caller,
        id: EndpointId,
        input: TestInput,
    ) -> Result<(AttemptId, Outcome)> {
        let endpoint = self.endpoints.get(caller, id).await?;
        let now = self.clock.now();
        let event = match input {
            TestInput::Synthetic(event_type) => synthetic(id, event_type, now),
            // A receiver may know the id of a stored event, and take the test for a repetition.
            TestInput::Trial(input) => {
                TrialEvent { id: EventId::at(now), ..self.trials.event(caller, input, "").await? }
            }
        };
        let job = LoadedAttempt {
            id: AttemptId(0),
            attempt: 1,
            trigger: Trigger::Test,
            budget: Budget::Single,
            delivery_id: AttemptId(0),
            event_id: event.id,
            event_type: event.event_type,
            created_at: event.created_at,
            resource_id: event.resource_id,
            payload: event.payload,
            endpoint: Arc::new(endpoint),
            from: event.source.map(Arc::new),
        };
        let sent = self.dispatch.send_test(job, now).await?;
        let (id, mut outcome) =
            sent.ok_or(ServiceError::RateLimited { retry_after_secs: TEST_AGAIN_SECS })?;
        if let Some(failure) = &mut outcome.failure {
            caller.hide_address(&mut failure.message);
        }
        Ok((id, outcome))
    }
}

/// An event that nobody posted.
fn synthetic(endpoint: EndpointId, event_type: Option<EventType>, now: Timestamp) -> TrialEvent {
    let event_type = event_type
        .unwrap_or_else(|| EventType::parse(event::TEST_TYPE).expect("the default type is well-formed"));
    let payload = json!({
        "type": event_type.as_str(),
        "timestamp": now.to_string(),
        "data": { "test": true, "endpoint_id": endpoint.to_string() },
    });
    TrialEvent {
        id: EventId::at(now),
        event_type,
        resource_id: None,
        created_at: now,
        payload: Bytes::from(payload.to_string()),
        source: None,
    }
}
