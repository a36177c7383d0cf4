//! The end of an attempt: one transaction that writes everything it leads to.
//!
//! What it leads to is decided by [`transition::apply`] alone; here its answer is written: the row and
//! its details, the row that follows, the endpoint's counter, the roll-ups, and, when the endpoint is
//! switched off, its status, the activity log and the event that tells the app's other endpoints.

use std::borrow::Cow;

use rusqlite::{Connection, params};

use crate::domain::access::activity::{Activity, ActivityKind, Actor};
use crate::domain::attempts::attempt::{AttemptStatus, Budget, Outcome};
use crate::domain::attempts::retry::Schedule;
use crate::domain::attempts::transition;
use crate::domain::attempts::transition::{Counter, Disable, EndpointNow, Input};
use crate::domain::event::{ENDPOINT_DISABLED, endpoint_disabled_payload};
use crate::domain::{AttemptId, EndpointId, EndpointStatus, EventType, Origin, Timestamp};
use crate::store::sqlite::engine::command::Tx;
use crate::store::sqlite::engine::rows::EndpointRow;
use crate::store::sqlite::people::activity;
use crate::store::sqlite::queue::attempts;
use crate::store::sqlite::queue::attempts::Stored;
use crate::store::sqlite::queue::events;
use crate::store::sqlite::queue::events::Incoming;
use crate::store::sqlite::queue::{
    bulk_job_counts, endpoint_text, endpoints, fan_outs, header_text, header_values,
};
use crate::store::{FinishRules, Finished, Line, Queued};

/// The endpoint, as far as the end of an attempt concerns it.
struct EndpointState {
    id: EndpointId,
    /// `None` when it was deleted.
    status: Option<EndpointStatus>,
    failures: u32,
    /// As it is stored; `None`: the configured one.
    schedule: Option<String>,
}

pub(crate) const ENDPOINT_STATE: &str = "SELECT uid, status, deleted_at IS NOT NULL, consecutive_failures, retry_schedule FROM endpoints WHERE id = ?1";

fn state(conn: &Connection, row: EndpointRow) -> rusqlite::Result<EndpointState> {
    conn.prepare_cached(ENDPOINT_STATE)?.query_row([row], |row| {
        let deleted: bool = row.get(2)?;
        let status: EndpointStatus = row.get(1)?;
        Ok(EndpointState {
            id: row.get(0)?,
            status: (!deleted).then_some(status),
            failures: row.get(3)?,
            schedule: row.get(4)?,
        })
    })
}

/// Writes the end of an attempt, unless its endpoint's shard has changed hands since it was sent.
pub(crate) fn finish(
    tx: &mut Tx<'_>,
    id: AttemptId,
    outcome: &Outcome,
    rules: &FinishRules,
    is_current: impl Fn(EndpointId) -> bool,
) -> rusqlite::Result<Finished> {
    let Some(row) = attempts::get(tx, id)? else { return Ok(Finished::Stale) };
    let state = state(tx, row.endpoint)?;
    if !is_current(state.id) {
        return Ok(Finished::StaleEpoch);
    }
    let schedule: Cow<'_, Schedule> = match &state.schedule {
        Some(text) => Cow::Owned(endpoint_text::read_schedule(text)?),
        None => Cow::Borrowed(&*rules.default_schedule),
    };
    let endpoint =
        EndpointNow { status: state.status, consecutive_failures: state.failures, schedule: &schedule };
    let input = Input::Finish { outcome, endpoint, rules: rules.rules };
    let Ok(answer) = transition::apply(row.current, input) else { return Ok(Finished::Stale) };

    if let Some(due_at) = answer.again_at {
        return postpone(tx, &row, state.id, outcome, due_at);
    }
    let next_retry_at = answer.next.map(|next| next.due_at);
    write_row(tx, &row, answer.status.as_str(), outcome, next_retry_at)?;
    write_details(tx, id, outcome)?;
    attempts::clear_next_retry(tx, &row)?;
    count(tx, &row, answer.status, answer.next.is_some(), outcome)?;

    let mut queued = Vec::new();
    if let Some(next) = &answer.next {
        let attempt_id = attempts::insert(tx, &row.next(next, outcome.finished_at))?;
        let line = line(&row, next.budget);
        queued.push(Queued { attempt_id, endpoint_id: state.id, due_at: next.due_at, line });
    }
    bulk_job_counts::attempt_changed(tx, row.job, row.current.status, answer.status)?;
    let failures = match answer.counter {
        Counter::Keep => state.failures,
        Counter::Clear => 0,
        Counter::Increment => state.failures.saturating_add(1),
    };
    // Most attempts are delivered to endpoints that work; those need no write here.
    if failures != state.failures {
        tx.prepare_cached("UPDATE endpoints SET consecutive_failures = ?2 WHERE id = ?1")?
            .execute(params![row.endpoint, failures])?;
    }
    if let Some(disable) = answer.disable {
        queued.extend(switch_off(tx, &row, disable, failures, outcome.finished_at)?);
    }
    Ok(Finished::Done { status: answer.status, queued, disabled: answer.disable.is_some() })
}

/// The line in which an attempt of this row's delivery is scheduled.
fn line(row: &Stored, budget: Budget) -> Line {
    match budget {
        Budget::Single => Line::Single,
        _ if row.job.is_some() => Line::Bulk,
        _ => Line::Fresh,
    }
}

/// Leaves the row pending after a failure of this machine, shows the failure, and counts nothing.
fn postpone(
    tx: &mut Tx<'_>,
    row: &Stored,
    endpoint_id: EndpointId,
    outcome: &Outcome,
    due_at: Timestamp,
) -> rusqlite::Result<Finished> {
    tx.prepare_cached(
        "UPDATE attempts SET due_at = ?2, error_kind = ?3, error_message = ?4, \
         local_since = coalesce(local_since, ?5) WHERE id = ?1",
    )?
    .execute(params![
        row.id,
        due_at,
        outcome.failure.as_ref().map(|failure| failure.kind),
        outcome.failure.as_ref().map(|failure| &failure.message),
        outcome.finished_at
    ])?;
    attempts::move_next_retry(tx, row, due_at)?;
    let line = line(row, row.current.budget);
    let again = Queued { attempt_id: row.id, endpoint_id, due_at, line };
    Ok(Finished::Done { status: AttemptStatus::Pending, queued: vec![again], disabled: false })
}

/// Tells statistics of it. A delivery that goes on stands as pending, as it did.
fn count(
    tx: &mut Tx<'_>,
    row: &Stored,
    status: AttemptStatus,
    goes_on: bool,
    outcome: &Outcome,
) -> rusqlite::Result<()> {
    tx.counts.unqueued(row.counted());
    tx.counts.moved(row.counted(), if goes_on { AttemptStatus::Pending } else { status });
    // Only of a delivery that failed is it asked when it was made.
    let exhausted = status == AttemptStatus::Exhausted;
    let begun_at = if exhausted { attempts::begun_at(tx, row)? } else { row.created_at };
    tx.counts.ended(row.counted(), status, begun_at, outcome);
    Ok(())
}

fn write_row(
    tx: &mut Tx<'_>,
    row: &Stored,
    status: &'static str,
    outcome: &Outcome,
    next_retry_at: Option<Timestamp>,
) -> rusqlite::Result<()> {
    let result_seq = tx.next_result_seq(row.app)?;
    tx.prepare_cached(
        "UPDATE attempts SET status = ?2, attempted_at = ?3, finished_at = ?4, response_status = ?5, \
         response_time_ms = ?6, error_kind = ?7, error_message = ?8, next_retry_at = ?9, \
         result_seq = ?10 WHERE id = ?1",
    )?
    .execute(params![
        row.id,
        status,
        outcome.attempted_at,
        outcome.finished_at,
        outcome.response.as_ref().map(|response| response.status),
        outcome.response_time_ms,
        outcome.failure.as_ref().map(|failure| failure.kind),
        outcome.failure.as_ref().map(|failure| &failure.message),
        next_retry_at,
        result_seq
    ])
    .map(|_| ())
}

/// Keeps what was sent and what came back; the request is kept without an answer, too.
pub(crate) fn write_details(conn: &Connection, id: AttemptId, outcome: &Outcome) -> rusqlite::Result<()> {
    let (request, response) = (outcome.request.as_ref(), outcome.response.as_ref());
    if request.is_none() && response.is_none() {
        return Ok(());
    }
    let request_headers = match request {
        None => None,
        Some(request) => {
            let short = header_values::put(conn, id, &request.headers)?;
            Some(header_text::write(short.as_ref().unwrap_or(&request.headers)))
        }
    };
    conn.prepare_cached(
        "INSERT INTO attempt_details (attempt, request_url, request_headers, request_body, \
         response_headers, response_truncated, response_body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        id,
        request.map(|request| &request.url),
        request_headers,
        request.and_then(|request| request.body.as_deref()),
        response.map(|response| header_text::write(&response.headers)),
        response.map(|response| response.body_truncated),
        response.map(|response| response.body.as_slice())
    ])
    .map(|_| ())
}

/// Switches an endpoint off. What is pending for it is cancelled later, in steps.
fn switch_off(
    tx: &mut Tx<'_>,
    row: &Stored,
    disable: Disable,
    failures: u32,
    at: Timestamp,
) -> rusqlite::Result<Vec<Queued>> {
    let reason = disable.reason();
    tx.prepare_cached(
        "UPDATE endpoints SET status = 'disabled', status_reason = ?2, updated_at = ?3, disabled_at = ?3 \
         WHERE id = ?1",
    )?
    .execute(params![row.endpoint, reason, at])?;
    tx.cache.endpoints_changed();
    let endpoint = endpoints::by_row(tx, row.endpoint)?;
    let entry = Activity {
        kind: ActivityKind::EndpointDisabled,
        app_id: Some(endpoint.app_id),
        actor: Actor::System.to_string(),
        address: None,
        summary: format!("Webhook {} was switched off. {reason}", endpoint.settings.name),
        details: serde_json::json!({
            "endpoint_id": endpoint.id.to_string(),
            "attempt_id": row.id.0,
            "reason": reason,
            "consecutive_failures": failures,
        }),
        created_at: at,
    };
    activity::append(tx, &entry)?;
    let event_type = EventType::parse(ENDPOINT_DISABLED).expect("the system's own types are well-formed");
    let payload = endpoint_disabled_payload(&endpoint, &reason, failures, at);
    let incoming = Incoming {
        app: row.app,
        event_type: &event_type,
        payload: &payload,
        resource_id: None,
        origin: Origin::System,
        now: at,
    };
    let mut room = fan_outs::AT_ONCE;
    Ok(events::accept(tx, &incoming, Some(row.endpoint), &mut room)?.accepted.queued)
}
