//! What is remembered of an endpoint's failures, in its row, and what a hold does to the rows of its queue.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::domain::attempts::attempt::Outcome;
use crate::domain::attempts::hold::{FailureRow, Hold, HoldReason, HoldState};
use crate::domain::attempts::trouble::Trouble;
use crate::domain::condition::{Condition, LastFailure};
use crate::domain::{AttemptId, ErrorKind, Timestamp};
use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::counts::totals_of_each;
use crate::store::postgres::engine::error::DbResult;
use crate::store::postgres::engine::rows::{Columns as _, EndpointRow, JobRow, clean, num, opt_num};
use crate::store::postgres::queue::attempts::{Stored, StoredAttempt, pending_columns, stored_attempt};

/// The columns that [`read`] reads, of `endpoints e`, as a literal.
macro_rules! trouble_columns {
    () => {
        "e.hold_reason, e.hold_since, e.hold_probe_at, e.hold_step, e.row_failures, e.row_first_at, e.row_last_at, \
         e.limited, e.consecutive_failures, e.failed_since, e.is_announced"
    };
}
pub(crate) use trouble_columns;

/// Reads an endpoint's failures.
pub(crate) fn read(row: &Row) -> DbResult<Trouble> {
    let reason: Option<HoldReason> = row.col("hold_reason")?;
    let hold = match reason {
        None => None,
        Some(reason) => Some(Hold {
            reason,
            since: row.col("hold_since")?,
            next_probe_at: row.col("hold_probe_at")?,
            step: row.num("hold_step")?,
        }),
    };
    let failures = match row.num("row_failures")? {
        0 => None,
        count => {
            Some(FailureRow { count, first_at: row.col("row_first_at")?, last_at: row.col("row_last_at")? })
        }
    };
    Ok(Trouble {
        hold: HoldState { hold, row: failures, limited: row.num("limited")? },
        failures: row.num("consecutive_failures")?,
        failed_since: row.col("failed_since")?,
        is_announced: row.col("is_announced")?,
    })
}

const WRITE: &str = "UPDATE endpoints SET hold_reason = $2, hold_since = $3, hold_probe_at = $4, hold_step = $5, \
     row_failures = $6, row_first_at = $7, row_last_at = $8, limited = $9, consecutive_failures = $10, \
     failed_since = $11, is_announced = $12 WHERE id = $1";

/// Writes an endpoint's failures.
pub(crate) async fn write(conn: &Conn, endpoint: EndpointRow, trouble: &Trouble) -> DbResult<()> {
    let HoldState { hold, row, limited } = trouble.hold;
    let values: [&(dyn ToSql + Sync); 12] = [
        &endpoint,
        &hold.map(|hold| hold.reason),
        &hold.map(|hold| hold.since),
        &hold.map(|hold| hold.next_probe_at),
        &hold.map_or(0, |hold| num(hold.step)),
        &row.map_or(0, |row| num(row.count)),
        &row.map(|row| row.first_at),
        &row.map(|row| row.last_at),
        &num(limited),
        &num(trouble.failures),
        &trouble.failed_since,
        &trouble.is_announced,
    ];
    conn.run(WRITE, &values).await.map(|_| ())
}

/// Notes what the last failure of an endpoint was.
pub(crate) async fn write_failure(conn: &Conn, endpoint: EndpointRow, outcome: &Outcome) -> DbResult<()> {
    let Some(failure) = &outcome.failure else { return Ok(()) };
    let sql =
        "UPDATE endpoints SET failure_kind = $2, failure_status = $3, failure_message = $4 WHERE id = $1";
    let status = opt_num(outcome.response.as_ref().map(|response| response.status));
    conn.run(sql, &[&endpoint, &failure.kind, &status, &clean(&failure.message)]).await.map(|_| ())
}

/// Reads a failure from columns that begin with `failure_`.
fn last_failure(row: &Row) -> DbResult<Option<LastFailure>> {
    let kind: Option<ErrorKind> = row.col("failure_kind")?;
    let message: Option<String> = row.col("failure_message")?;
    let response_status = row.opt_num("failure_status")?;
    Ok(kind.map(|kind| LastFailure { kind, response_status, message: message.unwrap_or_default() }))
}

macro_rules! conditions {
    ($where:literal) => {
        concat!(
            "SELECT e.uid, ",
            trouble_columns!(),
            ", e.failure_kind, e.failure_status, e.failure_message, coalesce(t.pending, 0) AS pending \
             FROM endpoints e ",
            totals_of_each!("e.id"),
            " WHERE ",
            $where
        )
    };
}
pub(crate) const CONDITION: &str = conditions!("e.id = $1");
/// How endpoints of an app stand.
pub(crate) const CONDITIONS_OF_APP: &str = conditions!("e.app = $1 AND e.uid = ANY($2)");

/// Reads how an endpoint stands from the columns of these statements.
pub(crate) fn read_condition(row: &Row) -> DbResult<Condition> {
    Ok(Condition { trouble: read(row)?, last_failure: last_failure(row)?, waiting: row.num("pending")? })
}

/// How an endpoint stands.
pub(crate) async fn condition(conn: &Conn, endpoint: EndpointRow) -> DbResult<Condition> {
    read_condition(&conn.row(CONDITION, &[&endpoint]).await?)
}

/// The same, when it is to be changed: nobody else changes it until the transaction ends.
pub(crate) async fn condition_locked(conn: &Conn, endpoint: EndpointRow) -> DbResult<Condition> {
    conn.rows("SELECT 1 FROM endpoints WHERE id = $1 FOR NO KEY UPDATE", &[&endpoint]).await?;
    condition(conn, endpoint).await
}

/// Forgets an endpoint's failures, because a person has changed what led to them: what was held is due at once.
pub(crate) async fn forget(conn: &Conn, endpoint: EndpointRow, now: Timestamp) -> DbResult<()> {
    write(conn, endpoint, &Trouble::default()).await?;
    release(conn, endpoint, now).await
}

pub(crate) const RELEASE: &str =
    "UPDATE queue SET due_at = $2 WHERE endpoint = $1 AND held_since IS NOT NULL AND due_at > $2";

/// A hold has ended: what failed during it is due at once. There are at most as many of these rows as there
/// were probes and requests in flight.
pub(crate) async fn release(conn: &Conn, endpoint: EndpointRow, now: Timestamp) -> DbResult<()> {
    conn.run(RELEASE, &[&endpoint, &now]).await.map(|_| ())
}

pub(crate) const MAKE_LATER_DUE: &str = "UPDATE queue SET due_at = $2 WHERE id IN (SELECT q.id FROM queue q \
     WHERE q.endpoint = $1 AND q.schedule_used IS NOT NULL AND q.due_at > $2 LIMIT $3)";

/// Makes up to `limit` rows of an endpoint due now that are due later, and says how many.
pub(crate) async fn make_later_due(
    conn: &Conn,
    endpoint: EndpointRow,
    now: Timestamp,
    limit: u32,
) -> DbResult<u64> {
    conn.run(MAKE_LATER_DUE, &[&endpoint, &now, &i64::from(limit)]).await
}

/// Makes a pending row due now, whatever its endpoint's status; says nothing of one that is not pending.
pub(crate) async fn make_urgent(conn: &Conn, id: AttemptId, now: Timestamp) -> DbResult<()> {
    conn.run("UPDATE queue SET due_at = $2, urgent = true WHERE id = $1", &[&id, &now]).await.map(|_| ())
}

const SEND_NOW: &str = "UPDATE queue q SET due_at = $2, job = coalesce(q.job, $3), \
     urgent = q.urgent OR e.status <> 'active' FROM endpoints e WHERE e.id = q.endpoint AND q.id = ANY($1)";
const HOLDS: &str =
    "SELECT id FROM endpoints WHERE id = ANY($1) AND hold_probe_at > $2 ORDER BY id FOR NO KEY UPDATE";

/// Makes pending rows due now as part of a bulk job, unless they are part of one already. If an endpoint is on
/// hold, a probe follows at once; if it is paused, its rows are sent all the same.
pub(crate) async fn send_now(conn: &Conn, rows: &[Stored], job: JobRow, now: Timestamp) -> DbResult<()> {
    let ids: Vec<AttemptId> = rows.iter().map(|row| row.id).collect();
    conn.run(SEND_NOW, &[&ids, &now, &job]).await?;
    let mut endpoints: Vec<EndpointRow> = rows.iter().map(|row| row.endpoint).collect();
    endpoints.sort_unstable();
    endpoints.dedup();
    for row in conn.rows(HOLDS, &[&endpoints, &now]).await? {
        let endpoint = row.col("id")?;
        let trouble = condition(conn, endpoint).await?.trouble;
        write(conn, endpoint, &Trouble { hold: trouble.hold.probe_now(now), ..trouble }).await?;
    }
    Ok(())
}

/// Rows of active endpoints on hold that have waited since `$1` or longer: held since then, or due since then and
/// never sent, while the endpoint has been on hold for as long. A pause has no limit, so those of paused endpoints
/// wait on.
pub(crate) const OVERDUE: &str = "SELECT q.id FROM endpoints p JOIN queue q ON q.endpoint = p.id \
         AND q.held_since IS NOT NULL AND q.held_since <= $1 \
     WHERE p.hold_reason IS NOT NULL AND p.status = 'active' AND p.deleted_at IS NULL AND p.shard = ANY($3) \
     UNION ALL \
     SELECT q.id FROM endpoints p JOIN queue q ON q.endpoint = p.id \
         AND q.schedule_used IS NOT NULL AND q.due_at <= $1 \
     WHERE p.hold_reason IS NOT NULL AND p.status = 'active' AND p.deleted_at IS NULL AND p.shard = ANY($3) \
         AND p.hold_since <= $1 AND q.held_since IS NULL LIMIT $2";

/// Rows of endpoints of these shards that have been held since then or longer.
pub(crate) async fn overdue(
    conn: &Conn,
    since: Timestamp,
    limit: u32,
    shards: &[i16],
) -> DbResult<Vec<AttemptId>> {
    let found = conn.rows(OVERDUE, &[&since, &i64::from(limit), &shards]).await?;
    found.iter().map(|row| row.col("id")).collect()
}

/// Those of some rows that are among the rows of [`OVERDUE`].
const STILL_OVERDUE: &str = concat!(
    "SELECT ",
    pending_columns!(),
    " FROM queue q JOIN endpoints p ON p.id = q.endpoint WHERE q.id = ANY($2) AND p.status = 'active' \
     AND p.deleted_at IS NULL AND p.hold_reason IS NOT NULL \
     AND CASE WHEN q.held_since IS NOT NULL THEN q.held_since <= $1 \
         ELSE q.schedule_used IS NOT NULL AND q.due_at <= $1 AND p.hold_since <= $1 END ORDER BY q.id"
);

/// Those of these rows that are pending and have been held since then or longer.
pub(crate) async fn still_overdue(
    conn: &Conn,
    ids: &[AttemptId],
    since: Timestamp,
) -> DbResult<Vec<StoredAttempt>> {
    conn.rows(STILL_OVERDUE, &[&since, &ids]).await?.iter().map(stored_attempt).collect()
}

const FAILURE_BEFORE: &str = "SELECT l.error_kind AS failure_kind, l.response_status AS failure_status, \
     l.error_message AS failure_message FROM log l WHERE l.id = coalesce((SELECT n.id FROM log n \
     WHERE n.first_id = $1 AND n.id < $2 ORDER BY n.id DESC LIMIT 1), $1) AND l.id < $2";
const FAILURE_OF_ENDPOINT: &str =
    "SELECT failure_kind, failure_status, failure_message, hold_since FROM endpoints WHERE id = $1";

/// The failure that a row which was never sent is exhausted with: the one before it in its delivery, or the
/// endpoint's.
pub(crate) async fn failure_of(
    conn: &Conn,
    row: &Stored,
) -> DbResult<(Option<LastFailure>, Option<Timestamp>)> {
    let found = conn.row_opt(FAILURE_BEFORE, &[&row.delivery(), &row.id]).await?;
    let before = found.as_ref().map(last_failure).transpose()?.flatten();
    let endpoint = conn.row(FAILURE_OF_ENDPOINT, &[&row.endpoint]).await?;
    let (of_endpoint, since) = (last_failure(&endpoint)?, endpoint.col("hold_since")?);
    Ok((before.or(of_endpoint), since))
}
