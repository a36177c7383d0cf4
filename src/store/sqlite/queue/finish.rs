//! The end of an attempt: one transaction that writes everything it leads to.
//!
//! What it leads to is decided by [`transition::apply`] alone; here its answer is written: the row and
//! its details, the row that follows, the endpoint's counter, the roll-ups, and, when the endpoint is
//! switched off, its status, the activity log and the event that tells the app's other endpoints.

use std::sync::Arc;

use rusqlite::{Connection, params};

use crate::domain::attempts::attempt::{AttemptStatus, Outcome, Route};
use crate::domain::attempts::transition;
use crate::domain::attempts::transition::{Input, Transition};
use crate::domain::{AttemptId, EndpointId, EndpointStatus, Timestamp};
use crate::store::shared::endpoint_state::EndpointState;
use crate::store::shared::{attempt_ends, endpoint_text, header_text};
use crate::store::sqlite::engine::command::Tx;
use crate::store::sqlite::engine::rows::EndpointRow;
use crate::store::sqlite::queue::attempts;
use crate::store::sqlite::queue::attempts::Stored;
use crate::store::sqlite::queue::trouble::trouble_columns;
use crate::store::sqlite::queue::{announce, bulk_job_counts, header_values, trouble};
use crate::store::{FinishRules, Finished, Queued, SentAs};

pub(crate) const ENDPOINT_STATE: &str = concat!(
    "SELECT uid, status, deleted_at IS NOT NULL, retry_schedule, ",
    trouble_columns!(),
    " FROM endpoints WHERE id = ?1"
);

/// The endpoint of a row. Read once for many results, because the writer remembers it until it changes.
fn state(tx: &mut Tx<'_>, endpoint: EndpointRow) -> rusqlite::Result<Arc<EndpointState>> {
    if let Some(state) = tx.cache.state(endpoint) {
        return Ok(state);
    }
    let state = tx.prepare_cached(ENDPOINT_STATE)?.query_row([endpoint], |row| {
        let (is_deleted, status): (bool, EndpointStatus) = (row.get(2)?, row.get(1)?);
        let schedule: Option<String> = row.get(3)?;
        Ok(EndpointState {
            id: row.get(0)?,
            status: (!is_deleted).then_some(status),
            trouble: trouble::read(row, 4)?,
            schedule: schedule.map(|text| endpoint_text::read_schedule(&text)).transpose()?,
        })
    })?;
    Ok(tx.cache.keep_state(endpoint, state))
}

/// Writes the end of an attempt, unless its endpoint's shard has changed hands since it was sent.
pub(crate) fn finish(
    tx: &mut Tx<'_>,
    id: AttemptId,
    outcome: &Outcome,
    rules: &FinishRules,
    sent: SentAs,
    is_current: impl Fn(EndpointId) -> bool,
) -> rusqlite::Result<Finished> {
    let Some(row) = attempts::get(tx, id)? else { return Ok(Finished::Stale) };
    let state = state(tx, row.endpoint)?;
    if !is_current(state.id) {
        return Ok(Finished::StaleEpoch);
    }
    let endpoint = state.now(&rules.default_schedule);
    let input = Input::Finish { outcome, endpoint, rules: rules.rules, is_probe: sent.is_probe };
    let Ok(answer) = transition::apply(row.current, input) else { return Ok(Finished::Stale) };

    if let Some(due_at) = answer.again_at {
        return postpone(tx, &row, state.id, outcome, due_at);
    }
    end(tx, &row, &answer, outcome)?;
    if attempt_ends::ends_hold(state.trouble, &answer) {
        // Before there is a row that follows: that one is due as the schedule says.
        trouble::release(tx, row.endpoint, outcome.finished_at)?;
    }
    let mut queued = Vec::new();
    if let Some(next) = &answer.next {
        let attempt_id = attempts::insert(tx, &row.next(next, outcome.finished_at))?;
        let line = attempt_ends::line(&row, next.budget);
        queued.push(Queued { attempt_id, endpoint_id: state.id, due_at: next.due_at, line });
    }
    let hold_changed = change_trouble(tx, &row, &state, &answer, outcome, &mut queued)?;
    let disabled = answer.disable.is_some();
    Ok(Finished::Done { status: answer.status, queued, disabled, hold_changed })
}

/// Writes what the attempt does to its endpoint. Says whether the endpoint's hold has changed.
fn change_trouble(
    tx: &mut Tx<'_>,
    row: &Stored,
    state: &EndpointState,
    answer: &Transition,
    outcome: &Outcome,
    queued: &mut Vec<Queued>,
) -> rusqlite::Result<bool> {
    // Most attempts are delivered to endpoints that work; those need no write here.
    let Some(after) = answer.trouble else { return Ok(false) };
    let (before, now) = (state.trouble, outcome.finished_at);
    trouble::write(tx, row.endpoint, &after)?;
    trouble::write_failure(tx, row.endpoint, outcome)?;
    let hold_changed = before.hold.hold != after.hold.hold;
    if before.hold.hold.is_none() && after.hold.hold.is_some() {
        tx.counts.hold_begun();
    }
    if let Some(news) = answer.news {
        queued.extend(announce::tell(tx, row, news, before.failed_since.unwrap_or(now), now)?);
    }
    if let Some(disable) = answer.disable {
        queued.extend(announce::disable(tx, row, disable, now)?);
    }
    Ok(hold_changed)
}

/// Writes the row's end, which nothing changes any more.
fn end(tx: &mut Tx<'_>, row: &Stored, answer: &Transition, outcome: &Outcome) -> rusqlite::Result<()> {
    write_row(tx, row, answer.status.as_str(), outcome, answer.next.map(|next| next.due_at))?;
    write_details(tx, row.id, outcome)?;
    attempts::clear_next_retry(tx, row)?;
    count(tx, row, answer.status, answer.next.is_some(), outcome)?;
    bulk_job_counts::attempt_changed(tx, row.job, row.current.status, answer.status)
}

/// Exhausts those of these attempts that have been held since `since` or longer. Nothing was sent for these
/// rows, so they show the failure before them, and count nowhere as attempts.
pub(crate) fn give_up(
    tx: &mut Tx<'_>,
    attempts: &[AttemptId],
    since: Timestamp,
    now: Timestamp,
) -> rusqlite::Result<u32> {
    let mut given_up = 0;
    for id in attempts {
        // It may be held no longer, or its endpoint may be paused.
        if !trouble::is_overdue(tx, *id, since)? {
            continue;
        }
        let Some(row) = attempts::get(tx, *id)? else { continue };
        let Ok(answer) = transition::apply(row.current, Input::GiveUp) else { continue };
        let (failure, hold_since) = trouble::failure_of(tx, &row)?;
        let outcome = attempt_ends::held_too_long(&row, failure, hold_since, now);
        end(tx, &row, &answer, &outcome)?;
        given_up += 1;
    }
    Ok(given_up)
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
    let line = attempt_ends::line(row, row.current.budget);
    let again = Queued { attempt_id: row.id, endpoint_id, due_at, line };
    let queued = vec![again];
    Ok(Finished::Done { status: AttemptStatus::Pending, queued, disabled: false, hold_changed: false })
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
    let Route { remote_address, timings } = outcome.route.unwrap_or_default();
    let address = remote_address.map(|address| address.to_string());
    conn.prepare_cached(
        "INSERT INTO attempt_details (attempt, request_url, request_headers, request_body, \
         response_headers, response_truncated, response_body, remote_address, dns_ms, connect_ms, tls_ms, \
         first_byte_ms, request_method) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?
    .execute(params![
        id,
        request.map(|request| &request.url),
        request_headers,
        request.and_then(|request| request.body.as_deref()),
        response.map(|response| header_text::write(&response.headers)),
        response.map(|response| response.body_truncated),
        response.map(|response| response.body.as_slice()),
        address,
        timings.dns_ms,
        timings.connect_ms,
        timings.tls_ms,
        timings.first_byte_ms,
        request.and_then(|request| request.method.as_deref())
    ])
    .map(|_| ())
}
