//! Attempts as lists and details show them.

use std::collections::HashMap;

use tokio_postgres::Row;

use crate::domain::attempts::attempt::{Attempt, AttemptStatus, AttemptSummary, ErrorKind, LastOutcome};
use crate::domain::{AttemptId, EventId, Timestamp};
use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::error::{DbResult, fault};
use crate::store::postgres::engine::ids;
use crate::store::postgres::engine::rows::{Columns as _, EventRow};
use crate::store::shared::attempt_rows::pending_only;
use crate::store::shared::class;
use crate::store::shared::excerpt::{EXCERPT_BYTES, excerpt};

/// The columns of [`summary`], of an attempt `t` and its endpoint `e`.
macro_rules! of_pending {
    ($where:literal) => {
        concat!(
            "SELECT t.id, e.uid, t.attempt, 'pending' AS status, t.trigger, NULL::bigint AS attempted_at, t.due_at, \
             NULL::bigint AS response_status, t.error_kind, e.name, e.url \
             FROM queue t JOIN endpoints e ON e.id = t.endpoint WHERE ",
            $where
        )
    };
}
macro_rules! of_ended {
    ($where:literal) => {
        concat!(
            "SELECT t.id, e.uid, t.attempt, t.status, t.trigger, t.attempted_at, t.due_at, \
             t.response_status, t.error_kind, e.name, e.url \
             FROM log t JOIN endpoints e ON e.id = t.endpoint WHERE ",
            $where
        )
    };
}

fn summary(row: &Row) -> DbResult<AttemptSummary> {
    let status = row.col("status")?;
    Ok(AttemptSummary {
        id: row.col("id")?,
        endpoint_id: row.col("uid")?,
        attempt: row.num("attempt")?,
        status,
        trigger: row.col("trigger")?,
        attempted_at: row.col("attempted_at")?,
        due_at: pending_only(status, row.col("due_at")?),
        response_status: row.opt_num("response_status")?,
        error_kind: row.col("error_kind")?,
        endpoint_name: row.col("name")?,
        endpoint_url: row.col("url")?,
    })
}

pub(crate) const OF_DELIVERY: &str = concat!(
    of_pending!("t.id = $1"),
    " UNION ALL ",
    of_pending!("t.first_id = $1"),
    " UNION ALL ",
    of_ended!("t.id = $1"),
    " UNION ALL ",
    of_ended!("t.first_id = $1 AND t.id >= $2")
);

/// The attempts of a delivery, first to last.
pub(crate) async fn of_delivery(conn: &Conn, delivery: AttemptId) -> DbResult<Vec<AttemptSummary>> {
    let from = ids::first_of_second(ids::second_of(delivery.0));
    let found = conn.rows(OF_DELIVERY, &[&delivery, &from]).await?;
    let mut all = found.iter().map(summary).collect::<DbResult<Vec<_>>>()?;
    all.sort_by_key(|attempt| attempt.id);
    Ok(all)
}

/// Attempts are made after their event, and those of before this database have ids of another kind.
pub(crate) const OF_EVENT: &str = concat!(
    of_pending!("t.event = $1"),
    " UNION ALL ",
    of_ended!("t.event = $1 AND (t.id >= $2 OR t.id < $3)")
);

/// The attempts of an event, over all endpoints, oldest first.
pub(crate) async fn of_event(conn: &Conn, event: EventRow) -> DbResult<Vec<AttemptSummary>> {
    let from = ids::first_of_second(ids::second_of(event.0));
    let found = conn.rows(OF_EVENT, &[&event, &from, &ids::TIMELY_FROM]).await?;
    let mut all = found.iter().map(summary).collect::<DbResult<Vec<_>>>()?;
    all.sort_by_key(|attempt| attempt.id);
    Ok(all)
}

/// Ended attempts as lists show them, by their ids. When the attempt that follows is due is in the queue.
pub(crate) const ENDED: &str = "SELECT t.id, t.first_id, p.uid AS endpoint_uid, p.url, p.name AS endpoint_name, \
     t.event, y.name AS type_name, t.attempt, t.status, t.trigger, t.response_status, \
     substr(t.response_body, 1, $2::int) AS response_body, octet_length(t.response_body)::bigint AS kept, \
     t.response_truncated, t.response_time_ms, t.error_kind, t.error_message, \
     (SELECT q.due_at FROM queue q WHERE q.first_id = coalesce(t.first_id, t.id) AND q.attempt = t.attempt + 1) \
     AS next_retry_at, t.created_at, t.due_at, t.attempted_at, NULL::bigint AS last_outcome \
     FROM log t JOIN endpoints p ON p.id = t.endpoint JOIN event_types y ON y.id = t.type WHERE t.id = ANY($1)";

/// Pending attempts as lists show them, by their ids.
pub(crate) const PENDING: &str = "SELECT t.id, t.first_id, p.uid AS endpoint_uid, p.url, p.name AS endpoint_name, \
     t.event, y.name AS type_name, t.attempt, 'pending' AS status, t.trigger, \
     NULL::bigint AS response_status, NULL::bytea AS response_body, NULL::bigint AS kept, \
     NULL::boolean AS response_truncated, NULL::bigint AS response_time_ms, t.error_kind, t.error_message, \
     NULL::bigint AS next_retry_at, t.created_at, t.due_at, NULL::bigint AS attempted_at, t.last_outcome \
     FROM queue t JOIN endpoints p ON p.id = t.endpoint JOIN event_types y ON y.id = t.type WHERE t.id = ANY($1)";

/// What lists show of the events of attempts. They are read by themselves, so that only their partitions are.
pub(crate) const EVENTS: &str = "SELECT v.id, v.uid, v.resource_id FROM events v WHERE v.id = ANY($1)";

/// The last ended attempts of deliveries. The first one has the smallest id.
pub(crate) const LAST_ENDED: &str = "SELECT DISTINCT ON (b.delivery) b.delivery, b.error_message, b.attempted_at FROM ( \
     SELECT l.delivery, l.attempt, l.error_message, l.attempted_at FROM log l WHERE l.id = ANY($1) \
     UNION ALL SELECT l.delivery, l.attempt, l.error_message, l.attempted_at FROM log l \
         WHERE l.first_id = ANY($1) AND l.id >= $2 AND l.id <= $3) b ORDER BY b.delivery, b.attempt DESC";

/// The message and the time of the attempt before a pending one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Before {
    pub(crate) error_message: Option<String>,
    attempted_at: Option<Timestamp>,
}

/// The attempts before pending ones, each of which is given with its delivery; by delivery.
pub(crate) async fn before(
    conn: &Conn,
    pending: &[(AttemptId, AttemptId)],
) -> DbResult<HashMap<AttemptId, Before>> {
    let deliveries: Vec<AttemptId> = pending.iter().map(|(delivery, _)| *delivery).collect();
    let last = pending.iter().map(|(_, id)| id).max();
    let (Some(first), Some(last)) = (deliveries.iter().min(), last) else { return Ok(HashMap::new()) };
    let mut found = HashMap::new();
    for row in conn.rows(LAST_ENDED, &[&deliveries, first, last]).await? {
        let (error_message, attempted_at) = (row.col("error_message")?, row.col("attempted_at")?);
        found.insert(row.col("delivery")?, Before { error_message, attempted_at });
    }
    Ok(found)
}

/// Reads attempts as lists show them, in the order of the ids; those that are gone are left out.
pub(crate) async fn list_rows(conn: &Conn, ids: &[AttemptId]) -> DbResult<Vec<Attempt>> {
    let most = i32::try_from(EXCERPT_BYTES).unwrap_or(i32::MAX);
    let mut rows = conn.rows(ENDED, &[&ids, &most]).await?;
    let mut waiting = Vec::new();
    if rows.len() < ids.len() {
        for row in conn.rows(PENDING, &[&ids]).await? {
            if row.col::<Option<i64>>("last_outcome")?.is_some()
                && let Some(first) = row.col("first_id")?
            {
                waiting.push((first, row.col("id")?));
            }
            rows.push(row);
        }
    }
    let before = before(conn, &waiting).await?;
    let rows_of_events = rows.iter().map(|row| row.col("event")).collect::<DbResult<Vec<EventRow>>>()?;
    let mut events: HashMap<EventRow, (EventId, Option<String>)> = HashMap::new();
    for row in conn.rows(EVENTS, &[&rows_of_events]).await? {
        events.insert(row.col("id")?, (row.col("uid")?, row.col("resource_id")?));
    }
    let mut found: HashMap<AttemptId, Attempt> = HashMap::with_capacity(ids.len());
    for (row, event) in rows.iter().zip(&rows_of_events) {
        if let Some(event) = events.get(event) {
            let attempt = attempt(row, event, &before)?;
            found.insert(attempt.id, attempt);
        }
    }
    Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
}

/// Reads an attempt as lists show it.
pub(crate) async fn list_row(conn: &Conn, id: AttemptId) -> DbResult<Attempt> {
    let mut found = list_rows(conn, &[id]).await?;
    found.pop().ok_or_else(|| fault(format!("there is no attempt {id}")))
}

fn attempt(
    row: &Row,
    (event_id, resource_id): &(EventId, Option<String>),
    before: &HashMap<AttemptId, Before>,
) -> DbResult<Attempt> {
    let (id, status): (AttemptId, AttemptStatus) = (row.col("id")?, row.col("status")?);
    let delivery_id = row.col::<Option<AttemptId>>("first_id")?.unwrap_or(id);
    let body: Option<&[u8]> = row.col("response_body")?;
    let kept: Option<i64> = row.col("kept")?;
    let truncated: Option<bool> = row.col("response_truncated")?;
    Ok(Attempt {
        id,
        delivery_id,
        endpoint_id: row.col("endpoint_uid")?,
        endpoint_url: row.col("url")?,
        endpoint_name: row.col("endpoint_name")?,
        event_id: *event_id,
        event_type: row.col("type_name")?,
        resource_id: resource_id.clone(),
        attempt: row.num("attempt")?,
        status,
        trigger: row.col("trigger")?,
        response_status: row.opt_num("response_status")?,
        response_body: body.map(|body| {
            let cut = truncated == Some(true) || kept.is_some_and(|kept| kept > body.len() as i64);
            excerpt(body, cut)
        }),
        response_time_ms: row.opt_num("response_time_ms")?,
        error_kind: row.col("error_kind")?,
        error_message: row.col("error_message")?,
        next_retry_at: row.col("next_retry_at")?,
        created_at: row.col("created_at")?,
        due_at: pending_only(status, row.col("due_at")?),
        attempted_at: row.col("attempted_at")?,
        last: last_of(row, status, before.get(&delivery_id))?,
    })
}

/// What a pending attempt and the one before it say of the last outcome.
fn last_of(row: &Row, status: AttemptStatus, before: Option<&Before>) -> DbResult<Option<LastOutcome>> {
    if status != AttemptStatus::Pending {
        return Ok(None);
    }
    let error_kind: Option<ErrorKind> = row.col("error_kind")?;
    let is_local = error_kind == Some(ErrorKind::Local);
    let mut last = match row.col::<Option<i64>>("last_outcome")? {
        Some(outcome) => LastOutcome {
            response_status: class::last_status_of(outcome),
            error_kind: class::last_error_of(outcome),
            error_message: before.and_then(|before| before.error_message.clone()),
            attempted_at: before.and_then(|before| before.attempted_at),
        },
        None if is_local => LastOutcome::default(),
        None => return Ok(None),
    };
    if is_local {
        let error_message = row.col("error_message")?;
        last = LastOutcome { response_status: None, error_kind, error_message, ..last };
    }
    Ok(Some(last))
}
