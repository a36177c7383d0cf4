//! What the app is told when an endpoint fails, works again, or is disabled: an event to its other endpoints,
//! and for a disabling the activity log.

use rusqlite::params;

use crate::domain::access::activity::{Activity, ActivityKind, Actor};
use crate::domain::attempts::transition::Disable;
use crate::domain::attempts::trouble::News;
use crate::domain::condition::Condition;
use crate::domain::event::{ENDPOINT_DISABLED, ENDPOINT_FAILING, ENDPOINT_RECOVERED, EndpointNews};
use crate::domain::{Endpoint, EventType, Origin, Timestamp};
use crate::store::Queued;
use crate::store::sqlite::engine::command::Tx;
use crate::store::sqlite::people::activity;
use crate::store::sqlite::queue::attempts::Stored;
use crate::store::sqlite::queue::events;
use crate::store::sqlite::queue::events::Incoming;
use crate::store::sqlite::queue::{endpoints, fan_outs, trouble};

/// Tells of an outage or of its end.
pub(crate) fn tell(
    tx: &mut Tx<'_>,
    row: &Stored,
    news: News,
    began_at: Timestamp,
    now: Timestamp,
) -> rusqlite::Result<Vec<Queued>> {
    let endpoint = endpoints::by_row(tx, row.endpoint)?;
    let condition = trouble::condition(tx, row.endpoint)?;
    let (failures, failure) = (condition.trouble.failures, condition.last_failure.as_ref());
    let (event_type, state, since, message) = match news {
        News::Recovered => {
            let message = format!("Works again after {}.", lasted(began_at, now));
            (ENDPOINT_RECOVERED, "healthy", now, message)
        }
        News::Failing => {
            let since = condition.trouble.failed_since.unwrap_or(now);
            match condition.held_at(now) {
                Some(held) => (ENDPOINT_FAILING, "on_hold", held.hold.since, held.sentence(now)),
                None => (ENDPOINT_FAILING, "failing", since, failing(&condition, since)),
            }
        }
    };
    let news = EndpointNews {
        event_type,
        state,
        since,
        consecutive_failures: failures,
        failure: failure.filter(|_| event_type == ENDPOINT_FAILING),
        message: &message,
        at: now,
    };
    post(tx, row, &endpoint, &news)
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

/// Disables an endpoint. What is pending for it is cancelled later, in steps.
pub(crate) fn disable(
    tx: &mut Tx<'_>,
    row: &Stored,
    disable: Disable,
    at: Timestamp,
) -> rusqlite::Result<Vec<Queued>> {
    let reason = disable.reason();
    tx.prepare_cached(
        "UPDATE endpoints SET status = 'disabled', status_reason = ?2, status_since = ?3, updated_at = ?3, \
         disabled_at = ?3 WHERE id = ?1",
    )?
    .execute(params![row.endpoint, reason, at])?;
    tx.cache.endpoints_changed();
    let endpoint = endpoints::by_row(tx, row.endpoint)?;
    let condition = trouble::condition(tx, row.endpoint)?;
    let failures = condition.trouble.failures;
    let entry = Activity {
        kind: ActivityKind::EndpointDisabled,
        app_id: Some(endpoint.app_id),
        actor: Actor::System.to_string(),
        address: None,
        summary: format!("Webhook {} was disabled. {reason}", endpoint.settings.name),
        details: serde_json::json!({
            "endpoint_id": endpoint.id.to_string(),
            "attempt_id": row.id.0,
            "reason": reason,
            "consecutive_failures": failures,
        }),
        created_at: at,
    };
    activity::append(tx, &entry)?;
    let news = EndpointNews {
        event_type: ENDPOINT_DISABLED,
        state: "disabled",
        since: at,
        consecutive_failures: failures,
        failure: condition.last_failure.as_ref(),
        message: &reason,
        at,
    };
    post(tx, row, &endpoint, &news)
}

/// Posts a system event to the app's other endpoints.
fn post(
    tx: &mut Tx<'_>,
    row: &Stored,
    endpoint: &Endpoint,
    news: &EndpointNews<'_>,
) -> rusqlite::Result<Vec<Queued>> {
    let event_type = EventType::parse(news.event_type).expect("the system's own types are well-formed");
    let payload = news.payload(endpoint);
    let incoming = Incoming {
        app: row.app,
        event_type: &event_type,
        payload: &payload,
        resource_id: None,
        origin: Origin::System,
        source: None,
        verdicts: None,
        now: news.at,
    };
    let mut room = fan_outs::AT_ONCE;
    Ok(events::accept(tx, &incoming, Some(row.endpoint), &mut room)?.accepted.queued)
}
