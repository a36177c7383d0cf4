//! What the app is told when an endpoint fails, works again, or is disabled: the sentences of it.

use crate::domain::access::activity::{Activity, ActivityKind, Actor};
use crate::domain::attempts::transition::Disable;
use crate::domain::attempts::trouble::News;
use crate::domain::condition::Condition;
use crate::domain::event::{ENDPOINT_DISABLED, ENDPOINT_FAILING, ENDPOINT_RECOVERED, EndpointNews};
use crate::domain::{AttemptId, Endpoint, Timestamp};

/// What is told.
#[derive(Debug)]
pub(crate) struct Report {
    event_type: &'static str,
    state: &'static str,
    since: Timestamp,
    /// A sentence.
    pub(crate) message: String,
}

impl Report {
    /// Of an outage or of its end.
    pub(crate) fn of_outage(
        news: News,
        condition: &Condition,
        began_at: Timestamp,
        now: Timestamp,
    ) -> Report {
        let (event_type, state, since, message) = match news {
            News::Recovered => {
                let message = format!("Works again after {}.", lasted(began_at, now));
                (ENDPOINT_RECOVERED, "healthy", now, message)
            }
            News::Failing => {
                let since = condition.trouble.failed_since.unwrap_or(now);
                match condition.held_at(now) {
                    Some(held) => (ENDPOINT_FAILING, "on_hold", held.hold.since, held.sentence(now)),
                    None => (ENDPOINT_FAILING, "failing", since, failing(condition, since)),
                }
            }
        };
        Report { event_type, state, since, message }
    }

    /// Of an endpoint that is disabled.
    pub(crate) fn of_disabling(disable: Disable, at: Timestamp) -> Report {
        Report { event_type: ENDPOINT_DISABLED, state: "disabled", since: at, message: disable.reason() }
    }

    /// The event that tells of it.
    pub(crate) fn news<'a>(&'a self, condition: &'a Condition, at: Timestamp) -> EndpointNews<'a> {
        let failure = condition.last_failure.as_ref();
        EndpointNews {
            event_type: self.event_type,
            state: self.state,
            since: self.since,
            consecutive_failures: condition.trouble.failures,
            failure: failure.filter(|_| self.event_type != ENDPOINT_RECOVERED),
            message: &self.message,
            at,
        }
    }

    /// The entry of the activity log for an endpoint that was disabled by the end of an attempt.
    pub(crate) fn disabled(
        &self,
        endpoint: &Endpoint,
        condition: &Condition,
        attempt: AttemptId,
        at: Timestamp,
    ) -> Activity {
        Activity {
            kind: ActivityKind::EndpointDisabled,
            app_id: Some(endpoint.app_id),
            actor: Actor::System.to_string(),
            address: None,
            summary: format!("Webhook {} was disabled. {}", endpoint.settings.name, self.message),
            details: serde_json::json!({
                "endpoint_id": endpoint.id.to_string(),
                "attempt_id": attempt.0,
                "reason": self.message,
                "consecutive_failures": condition.trouble.failures,
            }),
            created_at: at,
        }
    }
}

fn failing(condition: &Condition, since: Timestamp) -> String {
    let failure = condition.last_failure.as_ref();
    let cause = failure.map(|failure| format!(", the last one with {}", failure.cause().words()));
    format!(
        "{} attempts in a row have failed since {}{}.",
        condition.trouble.failures,
        since.to_short_text(),
        cause.unwrap_or_default()
    )
}

/// How long something lasted, in the largest fitting unit.
fn lasted(from: Timestamp, to: Timestamp) -> String {
    let minutes = to.as_millis().saturating_sub(from.as_millis()).max(0) / 60_000;
    match minutes {
        0 => "less than a minute".to_owned(),
        1..=119 => format!("{minutes} min"),
        120..=2_879 => format!("{} h", minutes / 60),
        _ => format!("{} days", minutes / 1_440),
    }
}
