//! The end of an attempt: one transaction that writes everything it leads to.
//!
//! What it leads to is decided by [`transition::apply`] alone; here its answer is written: the row and
//! its details, the row that follows, the endpoint's counter, the roll-ups, and, when the endpoint is
//! switched off, its status, the activity log and the event that tells the app's other endpoints.
//!
//! Most attempts are delivered to endpoints that work: one statement reads all such rows of a group and locks their
//! shards, and what they lead to is written with the whole group.

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, try_join};
use tokio_postgres::Row;

use crate::domain::attempts::attempt::{AttemptStatus, Outcome, Route};
use crate::domain::attempts::transition;
use crate::domain::attempts::transition::{Input, Transition};
use crate::domain::{AttemptId, EndpointId, EndpointStatus, Epoch, NodeId, Timestamp};
use crate::store::postgres::engine::ahead::AheadRows;
use crate::store::postgres::engine::command::Tx;
use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::ended::{LogDetails, LogRow};
use crate::store::postgres::engine::error::{DbError, DbResult};
use crate::store::postgres::engine::rows::{Columns as _, EndpointRow, clean, num};
use crate::store::postgres::queue::attempts::{
    Before, Stored, StoredAttempt, ended_columns, pending_columns, stored_attempt,
};
use crate::store::postgres::queue::trouble::trouble_columns;
use crate::store::postgres::queue::{announce, attempts, trouble};
use crate::store::shared::class::{Class, ClassParts};
use crate::store::shared::endpoint_state::EndpointState;
use crate::store::shared::{attempt_ends, endpoint_text, header_text};
use crate::store::{FinishRules, Finished, Queued, SentAs};

/// The columns that [`state`] reads, of `endpoints e`.
macro_rules! state_columns {
    () => {
        concat!(
            "e.uid, e.status AS endpoint_status, e.deleted_at IS NOT NULL AS is_deleted, e.retry_schedule, ",
            trouble_columns!()
        )
    };
}

/// Pending attempts, their endpoints, and the epochs of their shards, which nobody can take until the transaction ends.
pub(crate) const FIND_PENDING: &str = concat!(
    "SELECT s.epoch, s.holder, ",
    pending_columns!(),
    ", ",
    state_columns!(),
    " FROM queue q JOIN endpoints e ON e.id = q.endpoint JOIN shards s ON s.shard = e.shard \
     WHERE q.id = ANY($1) FOR SHARE OF s"
);
/// The same of one that has ended.
pub(crate) const FIND_ENDED: &str = concat!(
    "SELECT s.epoch, s.holder, ",
    ended_columns!(),
    ", ",
    state_columns!(),
    " FROM log l JOIN endpoints e ON e.id = l.endpoint JOIN shards s ON s.shard = e.shard \
     WHERE l.id = $1 FOR SHARE OF s"
);
const STATE_LOCKED: &str =
    concat!("SELECT ", state_columns!(), " FROM endpoints e WHERE e.id = $1 FOR NO KEY UPDATE OF e");

fn state(row: &Row) -> DbResult<EndpointState> {
    let (is_deleted, status): (bool, EndpointStatus) = (row.col("is_deleted")?, row.col("endpoint_status")?);
    let schedule: Option<String> = row.col("retry_schedule")?;
    Ok(EndpointState {
        id: row.col("uid")?,
        status: (!is_deleted).then_some(status),
        trouble: trouble::read(row)?,
        schedule: schedule.map(|text| endpoint_text::read_schedule(&text)).transpose()?,
    })
}

/// The same, when it is to be changed: nobody else changes it until the transaction ends.
async fn state_locked(conn: &Conn, endpoint: EndpointRow) -> DbResult<EndpointState> {
    state(&conn.row(STATE_LOCKED, &[&endpoint]).await?)
}

/// What the rules say of an outcome; `None`: nothing, the attempt has ended before.
fn judge(
    row: &Stored,
    state: &EndpointState,
    outcome: &Outcome,
    rules: &FinishRules,
    sent: SentAs,
) -> DbResult<Option<Transition>> {
    let endpoint = state.now(&rules.default_schedule);
    let input = Input::Finish { outcome, endpoint, rules: rules.rules, is_probe: sent.is_probe };
    Ok(transition::apply(row.current, input).ok())
}

/// Reads pending attempts for the commands that end them.
pub(crate) fn read_ahead(conn: &Conn, ids: Vec<AttemptId>) -> BoxFuture<'_, DbResult<AheadRows>> {
    async move {
        let found = conn.rows(FIND_PENDING, &[&ids]).await?;
        found.into_iter().map(|row| Ok((row.col("id")?, row))).collect()
    }
    .boxed()
}

/// The attempt, wherever it is.
async fn find(tx: &mut Tx, id: AttemptId) -> DbResult<Option<Row>> {
    let ahead = tx.ahead.take(id);
    if tx.has_left(id) {
        // An earlier command of the group has ended or cancelled it.
        tx.settle().await?;
    } else if ahead.is_some() {
        return Ok(ahead);
    } else if let Some(row) = tx.row_opt(FIND_PENDING, &[&vec![id]]).await? {
        return Ok(Some(row));
    }
    tx.row_opt(FIND_ENDED, &[&id]).await
}

const WAS_HANDED_OVER: &str = "DELETE FROM handed_over WHERE attempt = $1 AND node = $2 AND epoch = $3";

/// Whether a result that was sent in this epoch counts: this node holds the shard in it, nobody has taken the shard
/// since, or it was handed over while the request was in flight. A failover may bring an epoch back, so the holder
/// counts, too.
async fn is_current(tx: &Tx, id: AttemptId, found: &Row, sent: Epoch) -> DbResult<bool> {
    let (epoch, holder): (i64, Option<NodeId>) = (found.col("epoch")?, found.col("holder")?);
    let own = tx.own.get();
    if epoch == num(sent.number()) && (holder.is_none() || own.is_none() || holder == own) {
        return Ok(true);
    }
    let Some(own) = own else { return Ok(false) };
    Ok(tx.run(WAS_HANDED_OVER, &[&id, &own, &num(sent.number())]).await? == 1)
}

/// Writes the end of an attempt, unless its endpoint's shard has changed hands since it was sent.
pub(crate) async fn finish(
    tx: &mut Tx,
    id: AttemptId,
    outcome: &Outcome,
    rules: &FinishRules,
    sent: SentAs,
) -> DbResult<Finished> {
    tx.cache.ended(id);
    let Some(found) = find(tx, id).await? else { return Ok(Finished::Stale) };
    if !is_current(tx, id, &found, sent.epoch).await? {
        return Ok(Finished::StaleEpoch);
    }
    let (kept, mut state) = (stored_attempt(&found)?, state(&found)?);
    let row = kept.row;
    let mut answer = judge(&row, &state, outcome, rules, sent)?;
    let is_changed = tx.ahead.is_changed(row.endpoint);
    if is_changed || answer.is_some_and(|answer| answer.trouble.is_some()) {
        // A command before this one has changed the endpoint, or a person may have.
        state = state_locked(tx, row.endpoint).await?;
        answer = judge(&row, &state, outcome, rules, sent)?;
    }
    let Some(answer) = answer else { return Ok(Finished::Stale) };

    if let Some(due_at) = answer.again_at {
        return postpone(tx, &kept, state.id, outcome, due_at).await;
    }
    let last_outcome = end(tx, &kept, &answer, outcome).await?;
    if attempt_ends::ends_hold(state.trouble, &answer) {
        // With those that the group has added, and before there is a row that follows: that one is due as the
        // schedule says.
        tx.settle().await?;
        trouble::release(tx, row.endpoint, outcome.finished_at).await?;
    }
    let mut queued = Vec::new();
    if let Some(next) = &answer.next {
        let before = Before { begun_at: kept.begun_at, last_outcome };
        let next_row = row.next(next, outcome.finished_at);
        let attempt_id = attempts::insert(tx, &next_row, Some(before)).await?;
        let line = attempt_ends::line(&row, next.budget);
        queued.push(Queued { attempt_id, endpoint_id: state.id, due_at: next.due_at, line });
    }
    let hold_changed = change_trouble(tx, &row, &state, &answer, outcome, &mut queued).await?;
    let disabled = answer.disable.is_some();
    Ok(Finished::Done { status: answer.status, queued, disabled, hold_changed })
}

/// Writes what the attempt does to its endpoint. Says whether the endpoint's hold has changed.
async fn change_trouble(
    tx: &mut Tx,
    row: &Stored,
    state: &EndpointState,
    answer: &Transition,
    outcome: &Outcome,
    queued: &mut Vec<Queued>,
) -> DbResult<bool> {
    // Most attempts are delivered to endpoints that work; those need no write here.
    let Some(after) = answer.trouble else { return Ok(false) };
    let (before, now) = (state.trouble, outcome.finished_at);
    tx.ahead.endpoint_changed(row.endpoint);
    let written = trouble::write(tx, row.endpoint, &after);
    try_join(written, trouble::write_failure(tx, row.endpoint, outcome)).await?;
    let hold_changed = before.hold.hold != after.hold.hold;
    if before.hold.hold.is_none() && after.hold.hold.is_some() {
        tx.counts.hold_begun();
    }
    if let Some(news) = answer.news {
        let began_at = before.failed_since.unwrap_or(now);
        queued.extend(announce::tell(tx, row, news, began_at, now).await?);
    }
    if let Some(disable) = answer.disable {
        queued.extend(announce::disable(tx, row, disable, now).await?);
    }
    Ok(hold_changed)
}

/// Writes the row's end, which nothing changes any more. Gives how it ended, for the row that follows.
async fn end(tx: &mut Tx, kept: &StoredAttempt, answer: &Transition, outcome: &Outcome) -> DbResult<i64> {
    let (row, status) = (kept.row, answer.status);
    if row.current.status == AttemptStatus::Pending {
        tx.leave(row.id);
    } else {
        // It was cancelled while it was in flight. It gets a new place among the results.
        let sql = "DELETE FROM log WHERE id = $1 AND status = 'cancelled'";
        if tx.run(sql, &[&row.id]).await? != 1 {
            return Err(DbError::Collided("ended an attempt"));
        }
    }
    let ended = with_outcome(kept.ended(status), outcome);
    let last_outcome = ended.class().as_last_outcome();
    tx.ended(ended);
    tx.counts.unqueued(row.counted());
    // A delivery that goes on stands as pending, as it did.
    let goes_on = answer.next.is_some();
    tx.counts.moved(row.counted(), if goes_on { AttemptStatus::Pending } else { status });
    tx.counts.ended(row.counted(), status, kept.begun_at, outcome);
    tx.attempt_changed(row.job, row.current.status, status);
    Ok(last_outcome)
}

/// A row of the log with its outcome.
pub(crate) fn with_outcome(row: LogRow, outcome: &Outcome) -> LogRow {
    let failure = outcome.failure.as_ref();
    LogRow {
        attempted_at: outcome.attempted_at,
        finished_at: Some(outcome.finished_at),
        response_time_ms: outcome.response_time_ms,
        response_status: outcome.response.as_ref().map(|response| response.status),
        error_kind: failure.map(|failure| failure.kind),
        error_message: failure.map(|failure| clean(&failure.message).into_owned()),
        details: details(outcome),
        ..row
    }
}

/// What was sent and what came back; the request is kept without an answer, too.
fn details(outcome: &Outcome) -> LogDetails {
    let (request, response) = (outcome.request.as_ref(), outcome.response.as_ref());
    if request.is_none() && response.is_none() {
        return LogDetails::default();
    }
    let text = |text: &str| clean(text).into_owned();
    let Route { remote_address, timings } = outcome.route.unwrap_or_default();
    let body = request.and_then(|request| request.body.as_deref());
    LogDetails {
        dns_ms: timings.dns_ms,
        connect_ms: timings.connect_ms,
        tls_ms: timings.tls_ms,
        first_byte_ms: timings.first_byte_ms,
        remote_address: remote_address.map(|address| address.to_string()),
        request_method: request.and_then(|request| request.method.as_deref()).map(text),
        request_url: request.map(|request| text(&request.url)),
        request_headers: request.map(|request| text(&header_text::write(&request.headers))),
        request_body: body.map(Bytes::copy_from_slice),
        response_headers: response.map(|response| text(&header_text::write(&response.headers))),
        response_truncated: response.map(|response| response.body_truncated),
        response_body: response.map(|response| response.body.clone()),
    }
}

/// Exhausts those of these attempts that have been held since `since` or longer. Nothing was sent for these
/// rows, so they show the failure before them, and count nowhere as attempts.
pub(crate) async fn give_up(
    tx: &mut Tx,
    attempts: &[AttemptId],
    since: Timestamp,
    now: Timestamp,
) -> DbResult<u32> {
    let mut given_up = 0;
    // Others may be held no longer, or their endpoint may be paused.
    for kept in trouble::still_overdue(tx, attempts, since).await? {
        let row = kept.row;
        let Ok(answer) = transition::apply(row.current, Input::GiveUp) else { continue };
        if tx.has_left(row.id) {
            continue;
        }
        let (failure, hold_since) = trouble::failure_of(tx, &row).await?;
        let outcome = attempt_ends::held_too_long(&row, failure, hold_since, now);
        end(tx, &kept, &answer, &outcome).await?;
        given_up += 1;
    }
    Ok(given_up)
}

const POSTPONE: &str = "UPDATE queue SET due_at = $2, error_kind = $3, error_message = $4, class = $5, \
     local_since = coalesce(local_since, $6) WHERE id = $1";

/// Leaves the row pending after a failure of this machine, shows the failure, and counts nothing.
async fn postpone(
    tx: &mut Tx,
    kept: &StoredAttempt,
    endpoint_id: EndpointId,
    outcome: &Outcome,
    due_at: Timestamp,
) -> DbResult<Finished> {
    let (row, failure) = (&kept.row, outcome.failure.as_ref());
    let error_kind = failure.map(|failure| failure.kind);
    let message = failure.map(|failure| clean(&failure.message));
    let class = Class::of(ClassParts {
        kind: row.kind,
        status: AttemptStatus::Pending,
        trigger: row.current.trigger,
        error_kind,
        created_at: row.created_at,
        attempted_at: None,
        response_time_ms: None,
        response_status: None,
        last_outcome: kept.last_outcome,
    });
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
        [&row.id, &due_at, &error_kind, &message, &class.0, &outcome.finished_at];
    tx.run(POSTPONE, &values).await?;
    let line = attempt_ends::line(row, row.current.budget);
    let queued = vec![Queued { attempt_id: row.id, endpoint_id, due_at, line }];
    Ok(Finished::Done { status: AttemptStatus::Pending, queued, disabled: false, hold_changed: false })
}
