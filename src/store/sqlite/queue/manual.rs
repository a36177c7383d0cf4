//! Attempts that a person asked for: manual retries, and test deliveries that have already been sent.

use rusqlite::{Connection, params};

use crate::domain::access::activity::Activity;
use crate::domain::attempts::attempt::{AttemptStatus, Budget, Trigger};
use crate::domain::event::Event;
use crate::domain::{AppId, AttemptId, EndpointId, Origin, Timestamp};
use crate::store::sqlite::engine::command::Tx;
use crate::store::sqlite::engine::error::fault;
use crate::store::sqlite::engine::rows::EndpointRow;
use crate::store::sqlite::engine::zones;
use crate::store::sqlite::people::activity;
use crate::store::sqlite::queue::attempts;
use crate::store::sqlite::queue::attempts::Stored;
use crate::store::sqlite::queue::endpoints::row_of;
use crate::store::sqlite::queue::events;
use crate::store::sqlite::queue::events::Incoming;
use crate::store::sqlite::queue::finish::write_details;
use crate::store::sqlite::queue::trouble;
use crate::store::{Line, Queued, Retried, TestDelivery};

/// Sends a delivery again; see [`crate::store::LogStore::attempt_retry`].
pub(crate) fn retry(
    tx: &mut Tx<'_>,
    app: AppId,
    id: AttemptId,
    in_flight: &[AttemptId],
    now: Timestamp,
    entry: &Activity,
) -> rusqlite::Result<Retried> {
    let Some(named) = attempts::of_app(tx, app, id)? else { return Ok(Retried::NotFound) };
    let Some(row) = attempts::newest(tx, named.delivery())? else { return Ok(Retried::NotFound) };
    let (endpoint_id, is_deleted) = endpoint(tx, row.endpoint)?;
    if is_deleted {
        return Ok(Retried::EndpointDeleted);
    }
    if in_flight.contains(&row.id) {
        return Ok(Retried::InFlight);
    }
    let gone: bool = tx
        .prepare_cached("SELECT payload IS NULL FROM events WHERE id = ?1")?
        .query_row([row.event], |row| row.get(0))?;
    if gone {
        return Ok(Retried::EventGone);
    }
    // A test stays one: sending it again must not count for or against the endpoint either.
    let test = row.current.trigger == Trigger::Test;
    let trigger = if test { Trigger::Test } else { Trigger::Manual };
    let attempt_id = send(tx, &row, trigger, now)?;
    activity::append(tx, entry)?;
    let attempt = attempts::list_row(tx, attempt_id)?;
    let queued = Queued { attempt_id, endpoint_id, due_at: now, line: Line::Single };
    Ok(Retried::Queued(Box::new(attempt), queued))
}

/// The id of an endpoint, and whether it was deleted.
fn endpoint(conn: &Connection, row: EndpointRow) -> rusqlite::Result<(EndpointId, bool)> {
    conn.prepare_cached("SELECT uid, deleted_at IS NOT NULL FROM endpoints WHERE id = ?1")?
        .query_row([row], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// The endpoint of an attempt.
pub(crate) fn endpoint_of(
    conn: &Connection,
    app: AppId,
    id: AttemptId,
) -> rusqlite::Result<Option<EndpointId>> {
    let row = attempts::of_app(conn, app, id)?;
    row.map(|row| endpoint(conn, row.endpoint).map(|(id, _)| id)).transpose()
}

/// Makes an attempt of the delivery due now, and gives it.
fn send(tx: &mut Tx<'_>, row: &Stored, trigger: Trigger, now: Timestamp) -> rusqlite::Result<AttemptId> {
    match row.current.status {
        AttemptStatus::Exhausted => {
            attempts::supersede(tx, row, trigger, Budget::Single, None, now).map(|(id, _)| id)
        }
        AttemptStatus::Delivered | AttemptStatus::Cancelled => {
            attempts::insert(tx, &row.again().first_attempt(trigger, Budget::Single, now))
        }
        AttemptStatus::Pending => {
            trouble::make_due(tx, row.id, now)?;
            tx.prepare_cached("UPDATE attempts SET urgent = 1 WHERE id = ?1")?.execute([row.id])?;
            Ok(row.id)
        }
        AttemptStatus::Failed => {
            Err(fault(format!("the newest attempt of delivery {} is failed", row.delivery())))
        }
    }
}

/// Logs a test delivery; see [`crate::store::LogStore::test_record`].
pub(crate) fn record_test(tx: &mut Tx<'_>, app: AppId, test: &TestDelivery) -> rusqlite::Result<AttemptId> {
    let app = tx.app(app)?;
    let endpoint = row_of(tx, app, test.endpoint_id)?.ok_or_else(|| fault("there is no such endpoint"))?;
    let incoming = Incoming {
        app,
        event_type: &test.event_type,
        payload: &test.payload,
        resource_id: None,
        origin: Origin::Test,
        source: None,
        verdicts: None,
        now: test.created_at,
    };
    let kind = events::type_row(tx, &incoming)?;
    let event = Event {
        id: test.event_id,
        event_type: test.event_type.clone(),
        resource_id: None,
        deliveries: 1,
        filtered: 0,
        created_at: test.created_at,
    };
    let event = events::insert_as(tx, &incoming, kind, &event)?;
    let outcome = &test.outcome;
    let status = match outcome.failure {
        None => AttemptStatus::Delivered,
        Some(_) => AttemptStatus::Exhausted,
    };
    let result_seq = tx.next_result_seq(app)?;
    tx.prepare_cached(
        "INSERT INTO attempts (app, endpoint, event, type, status, trigger, attempt, schedule_used, \
         created_at, due_at, attempted_at, finished_at, response_status, response_time_ms, error_kind, \
         error_message, result_seq) \
         VALUES (?1, ?2, ?3, ?4, ?5, 'test', 1, NULL, ?6, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?
    .execute(params![
        app,
        endpoint,
        event,
        kind,
        status,
        test.created_at,
        outcome.attempted_at,
        outcome.finished_at,
        outcome.response.as_ref().map(|response| response.status),
        outcome.response_time_ms,
        outcome.failure.as_ref().map(|failure| failure.kind),
        outcome.failure.as_ref().map(|failure| &failure.message),
        result_seq
    ])?;
    let id = AttemptId(tx.last_insert_rowid());
    tx.entered(zones::ATTEMPTS, id.0, test.created_at)?;
    write_details(tx, id, outcome)?;
    Ok(id)
}
