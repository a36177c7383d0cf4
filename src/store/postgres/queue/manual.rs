//! Attempts that a person asked for: manual retries, and test deliveries that have already been sent.

use crate::domain::access::activity::Activity;
use crate::domain::attempts::attempt::{AttemptStatus, Budget, Trigger};
use crate::domain::event::Event;
use crate::domain::{AppId, AttemptId, EndpointId, Origin, Timestamp};
use crate::store::postgres::engine::command::Tx;
use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::ended::{LogDetails, LogRow};
use crate::store::postgres::engine::error::{DbResult, fault};
use crate::store::postgres::engine::ids;
use crate::store::postgres::engine::rows::{Columns as _, EndpointRow};
use crate::store::postgres::people::activity;
use crate::store::postgres::queue::attempts;
use crate::store::postgres::queue::attempts::Stored;
use crate::store::postgres::queue::endpoints::row_of;
use crate::store::postgres::queue::events;
use crate::store::postgres::queue::events::Incoming;
use crate::store::postgres::queue::finish::with_outcome;
use crate::store::postgres::queue::{shown, trouble};
use crate::store::{Line, Queued, Retried, TestDelivery};

/// Sends a delivery again; see [`crate::store::LogStore::attempt_retry`].
pub(crate) async fn retry(
    tx: &mut Tx,
    app: AppId,
    id: AttemptId,
    in_flight: &[AttemptId],
    now: Timestamp,
    entry: &Activity,
) -> DbResult<Retried> {
    let Some(named) = attempts::of_app(tx, app, id).await? else { return Ok(Retried::NotFound) };
    let Some(row) = attempts::newest(tx, named.delivery()).await? else { return Ok(Retried::NotFound) };
    let (endpoint_id, is_deleted) = endpoint(tx, row.endpoint).await?;
    if is_deleted {
        return Ok(Retried::EndpointDeleted);
    }
    if in_flight.contains(&row.id) {
        return Ok(Retried::InFlight);
    }
    let event = tx.row("SELECT payload IS NULL AS is_gone FROM events WHERE id = $1", &[&row.event]).await?;
    if event.col("is_gone")? {
        return Ok(Retried::EventGone);
    }
    // A test stays one: sending it again must not count for or against the endpoint either.
    let test = row.current.trigger == Trigger::Test;
    let trigger = if test { Trigger::Test } else { Trigger::Manual };
    let attempt_id = send(tx, &row, trigger, now).await?;
    activity::append(tx, entry).await?;
    tx.settle().await?;
    let attempt = shown::list_row(tx, attempt_id).await?;
    let queued = Queued { attempt_id, endpoint_id, due_at: now, line: Line::Single };
    Ok(Retried::Queued(Box::new(attempt), queued))
}

/// The id of an endpoint, and whether it was deleted.
async fn endpoint(conn: &Conn, row: EndpointRow) -> DbResult<(EndpointId, bool)> {
    let sql = "SELECT uid, deleted_at IS NOT NULL AS is_deleted FROM endpoints WHERE id = $1";
    let found = conn.row(sql, &[&row]).await?;
    Ok((found.col("uid")?, found.col("is_deleted")?))
}

/// The endpoint of an attempt.
pub(crate) async fn endpoint_of(conn: &Conn, app: AppId, id: AttemptId) -> DbResult<Option<EndpointId>> {
    match attempts::of_app(conn, app, id).await? {
        None => Ok(None),
        Some(row) => Ok(Some(endpoint(conn, row.endpoint).await?.0)),
    }
}

/// Makes an attempt of the delivery due now, and gives it.
async fn send(tx: &mut Tx, row: &Stored, trigger: Trigger, now: Timestamp) -> DbResult<AttemptId> {
    match row.current.status {
        AttemptStatus::Exhausted => {
            let made = attempts::supersede(tx, &[*row], trigger, Budget::Single, None, now).await?;
            made.into_iter().next().ok_or_else(|| fault("a superseded attempt has no successor"))
        }
        AttemptStatus::Delivered | AttemptStatus::Cancelled => {
            let new = row.again().first_attempt(trigger, Budget::Single, now);
            attempts::insert(tx, &new, None).await
        }
        AttemptStatus::Pending => {
            trouble::make_urgent(tx, row.id, now).await?;
            Ok(row.id)
        }
        AttemptStatus::Failed => {
            Err(fault(format!("the newest attempt of delivery {} is failed", row.delivery())))
        }
    }
}

/// Logs a test delivery; see [`crate::store::LogStore::test_record`].
pub(crate) async fn record_test(tx: &mut Tx, app: AppId, test: &TestDelivery) -> DbResult<AttemptId> {
    let app = tx.app(app).await?;
    let endpoint = row_of(tx, app, test.endpoint_id).await?;
    let endpoint = endpoint.ok_or_else(|| fault("there is no such endpoint"))?;
    let incoming = Incoming {
        app,
        event_type: &test.event_type,
        payload: &test.payload,
        resource_id: None,
        origin: Origin::Test,
        source: None,
        hops: None,
        verdicts: None,
        now: test.created_at,
    };
    let kind = events::type_row(tx, &incoming).await?;
    let event = Event {
        id: test.event_id,
        event_type: test.event_type.clone(),
        resource_id: None,
        deliveries: 1,
        filtered: 0,
        created_at: test.created_at,
    };
    let event = events::insert_as(tx, &incoming, kind, event).await?;
    // The event's id is of the caller, and may be ahead of a clock that was set back.
    let created_at = test.created_at.max(ids::time_of(event.0));
    let status = match test.outcome.failure {
        None => AttemptStatus::Delivered,
        Some(_) => AttemptStatus::Exhausted,
    };
    let id = tx.attempt_id(created_at).await?;
    let row = LogRow {
        id,
        first_id: None,
        app,
        endpoint,
        event,
        kind,
        created_at,
        begun_at: created_at,
        due_at: created_at,
        attempted_at: None,
        finished_at: None,
        response_time_ms: None,
        job: None,
        held_since: None,
        last_outcome: None,
        attempt: 1,
        schedule_used: None,
        response_status: None,
        status,
        trigger: Trigger::Test,
        error_kind: None,
        error_message: None,
        details: LogDetails::default(),
    };
    tx.ended(with_outcome(row, &test.outcome));
    Ok(id)
}
