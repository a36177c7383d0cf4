//! Requests to sources: rows of the inbound log, and the events that requests become, in one transaction.

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio_postgres::types::ToSql;

use crate::domain::event::{IDEMPOTENCY_MS, Origin};
use crate::domain::inbound::source::InboundOutcome;
use crate::domain::{EventId, SourceId, Timestamp};
use crate::store::postgres::engine::command::Tx;
use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::error::DbResult;
use crate::store::postgres::engine::rows::{AppRow, Columns as _, EventRow, SourceRow, clean, num};
use crate::store::postgres::queue::events::{Acceptance, Incoming, accept};
use crate::store::postgres::queue::fan_outs;
use crate::store::shared::counts::{HOUR_MS, slot_of};
use crate::store::shared::header_text;
use crate::store::shared::source_text::content_word;
use crate::store::shared::verdicts::Verdicts;
use crate::store::{InboundBody, InboundEntry, InboundEvent, InboundTaken, Queued};

/// Rows of refused requests that are kept of a source.
const REFUSED_MAX: i64 = 100;

/// The source and its app, if it is not deleted.
async fn source_row(conn: &Conn, id: SourceId) -> DbResult<Option<(SourceRow, AppRow)>> {
    let sql = "SELECT id, app FROM sources WHERE uid = $1 AND deleted_at IS NULL";
    conn.row_opt(sql, &[&id]).await?.map(|row| Ok((row.col("id")?, row.col("app")?))).transpose()
}

/// Writes a request that becomes no event.
pub(crate) async fn note(conn: &Conn, id: SourceId, entry: &InboundEntry, now: Timestamp) -> DbResult<()> {
    let Some((source, _)) = source_row(conn, id).await? else { return Ok(()) };
    log(conn, source, entry, entry.outcome, None, now).await
}

const LOG: &str = "INSERT INTO inbound (source, outcome, received_at, event, status, client_ip, method, path, reason, \
     size, headers, query, body, content) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
const DELETE_REFUSED: &str = "DELETE FROM inbound WHERE id IN (SELECT id FROM inbound \
     WHERE source = $1 AND (outcome = 'rejected' OR outcome = 'invalid') ORDER BY id DESC OFFSET $2)";

/// Writes a row of the inbound log and counts it.
async fn log(
    conn: &Conn,
    source: SourceRow,
    entry: &InboundEntry,
    outcome: InboundOutcome,
    event: Option<EventRow>,
    now: Timestamp,
) -> DbResult<()> {
    let body = entry.body.as_ref().map(|InboundBody { bytes, .. }| bytes.as_ref());
    let content = entry.body.as_ref().and_then(|body| content_word(body.content));
    let (path, reason) = (entry.path.as_deref().map(clean), entry.reason.as_deref().map(clean));
    let headers = header_text::write(&entry.headers);
    let (headers, query) = (clean(&headers), entry.query.as_deref().map(clean));
    let (status, size) = (i64::from(entry.status), num(entry.size));
    let values: [&(dyn ToSql + Sync); 14] = [
        &source,
        &outcome,
        &now,
        &event,
        &status,
        &entry.client_ip,
        &entry.method,
        &path,
        &reason,
        &size,
        &headers,
        &query,
        &body,
        &content,
    ];
    conn.run(LOG, &values).await?;
    conn.run("UPDATE sources SET last_request_at = $2 WHERE id = $1", &[&source, &now]).await?;
    count(conn, source, outcome, now).await?;
    if matches!(outcome, InboundOutcome::Rejected | InboundOutcome::Invalid) {
        conn.run(DELETE_REFUSED, &[&source, &REFUSED_MAX]).await?;
    }
    Ok(())
}

macro_rules! count_one {
    ($column:literal) => {
        concat!(
            "INSERT INTO inbound_hours AS h (source, hour, ",
            $column,
            ") VALUES ($1, $2, 1) ON CONFLICT (source, hour) DO UPDATE SET ",
            $column,
            " = h.",
            $column,
            " + 1"
        )
    };
}

async fn count(conn: &Conn, source: SourceRow, outcome: InboundOutcome, now: Timestamp) -> DbResult<()> {
    let sql = match outcome {
        InboundOutcome::Accepted => count_one!("accepted"),
        InboundOutcome::Duplicate => count_one!("duplicate"),
        InboundOutcome::Ignored => count_one!("ignored"),
        InboundOutcome::Rejected => count_one!("rejected"),
        InboundOutcome::Challenge | InboundOutcome::Invalid => return Ok(()),
    };
    conn.run(sql, &[&source, &slot_of(now, HOUR_MS)]).await.map(|_| ())
}

/// The attempts of the event that are written in steps.
type Open = Option<oneshot::Receiver<Vec<Queued>>>;

/// Takes in a request as an event, or finds that it was taken in before.
pub(crate) async fn take(
    tx: &mut Tx,
    id: SourceId,
    entry: &InboundEntry,
    event: &InboundEvent,
    verdicts: &Verdicts,
    now: Timestamp,
) -> DbResult<(InboundTaken, Open)> {
    let Some((source, app)) = source_row(tx, id).await? else { return Ok((InboundTaken::NoSource, None)) };
    if let Some(digest) = &event.dedupe
        && let Some(seen) = seen(tx, source, digest, now).await?
    {
        // Its event may be of the same group.
        tx.settle().await?;
        let (entry, is_kept) = duplicate_of(tx, seen.row, entry, event).await?;
        log(tx, source, &entry, InboundOutcome::Duplicate, Some(seen.row), now).await?;
        return Ok((InboundTaken::Duplicate { event: is_kept.then_some(seen.id) }, None));
    }
    let (row, taken, open) = insert(tx, source, app, event, verdicts, now).await?;
    if let (Some(digest), InboundTaken::Event { event, .. }) = (&event.dedupe, &taken) {
        // Only one that has expired can be there still.
        let sql = "INSERT INTO inbound_seen (source, digest, event, event_uid, created_at) VALUES ($1, $2, $3, $4, $5) \
                   ON CONFLICT (source, digest) DO UPDATE SET event = excluded.event, \
                   event_uid = excluded.event_uid, created_at = excluded.created_at";
        tx.run(sql, &[&source, &digest.as_slice(), &row, &event.id, &now]).await?;
    }
    log(tx, source, entry, InboundOutcome::Accepted, Some(row), now).await?;
    Ok((taken, open))
}

/// Takes in an event, without a row of the inbound log and a dedupe key.
pub(crate) async fn replay(
    tx: &mut Tx,
    id: SourceId,
    event: &InboundEvent,
    verdicts: &Verdicts,
    now: Timestamp,
) -> DbResult<(InboundTaken, Open)> {
    let Some((source, app)) = source_row(tx, id).await? else { return Ok((InboundTaken::NoSource, None)) };
    let (_, taken, open) = insert(tx, source, app, event, verdicts, now).await?;
    Ok((taken, open))
}

async fn insert(
    tx: &mut Tx,
    source: SourceRow,
    app: AppRow,
    event: &InboundEvent,
    verdicts: &Verdicts,
    now: Timestamp,
) -> DbResult<(EventRow, InboundTaken, Open)> {
    let incoming = Incoming {
        app,
        event_type: &event.event_type,
        payload: &event.payload,
        resource_id: event.resource_id.as_deref(),
        origin: Origin::Client,
        source: Some(source),
        hops: Some(event.hops),
        verdicts: Some((verdicts, 0)),
        now,
    };
    let mut room = fan_outs::AT_ONCE;
    let Acceptance { row, accepted, is_open } = accept(tx, &incoming, None, &mut room).await?;
    let open = is_open.then(|| tx.cache.fan_outs().wait_for(row));
    Ok((row, InboundTaken::Event { event: accepted.event, queued: accepted.queued }, open))
}

/// The event that a dedupe key stands for.
struct Seen {
    row: EventRow,
    id: EventId,
}

/// The event that a dedupe key stands for, while it is remembered. Who takes in the same key meanwhile on another
/// node waits for the end of this transaction.
async fn seen(conn: &Conn, source: SourceRow, digest: &[u8; 32], now: Timestamp) -> DbResult<Option<Seen>> {
    let lock = "SELECT pg_advisory_xact_lock($1, $2)";
    let [a, b, c, d, ..] = *digest;
    conn.rows(lock, &[&(source.0 as i32), &i32::from_be_bytes([a, b, c, d])]).await?;
    let sql =
        "SELECT event, event_uid FROM inbound_seen WHERE source = $1 AND digest = $2 AND created_at > $3";
    let since = now.plus_ms(-IDEMPOTENCY_MS);
    let found = conn.row_opt(sql, &[&source, &digest.as_slice(), &since]).await?;
    found.map(|row| Ok(Seen { row: row.col("event")?, id: row.col("event_uid")? })).transpose()
}

/// The row of a duplicate: its body is kept where it differs from that of the event. Says whether the event is
/// still there.
async fn duplicate_of(
    conn: &Conn,
    seen: EventRow,
    entry: &InboundEntry,
    event: &InboundEvent,
) -> DbResult<(InboundEntry, bool)> {
    let found = conn.row_opt("SELECT payload FROM events WHERE id = $1", &[&seen]).await?;
    let kept: Option<Option<&[u8]>> = found.as_ref().map(|row| row.col("payload")).transpose()?;
    let is_same = kept.flatten().is_some_and(|payload| payload == event.payload);
    let body = match &entry.body {
        None if !is_same => {
            let bytes = Bytes::clone(&event.payload);
            Some(InboundBody { bytes, content: crate::store::BodyContent::Payload })
        }
        body => body.clone(),
    };
    Ok((InboundEntry { body, ..entry.clone() }, kept.is_some()))
}
