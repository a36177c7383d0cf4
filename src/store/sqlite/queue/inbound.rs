//! Requests to sources: rows of the inbound log, and the events that requests become, in one transaction.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, params};
use tokio::sync::oneshot;

use crate::domain::event::{IDEMPOTENCY_MS, Origin};
use crate::domain::inbound::source::InboundOutcome;
use crate::domain::{EventId, SourceId, Timestamp};
use crate::store::shared::counts::{HOUR_MS, slot_of};
use crate::store::shared::header_text;
use crate::store::shared::source_text::content_word;
use crate::store::shared::verdicts::Verdicts;
use crate::store::sqlite::engine::command::Tx;
use crate::store::sqlite::engine::rows::{AppRow, EventRow, SourceRow};
use crate::store::sqlite::queue::events::{Acceptance, Incoming, accept};
use crate::store::sqlite::queue::fan_outs;
use crate::store::{BodyContent, InboundBody, InboundEntry, InboundEvent, InboundTaken, Queued};

/// Rows of refused requests that are kept of a source.
const REFUSED_MAX: i64 = 100;

/// The source and its app, if it is not deleted.
fn source_row(conn: &Connection, id: SourceId) -> rusqlite::Result<Option<(SourceRow, AppRow)>> {
    conn.prepare_cached("SELECT id, app FROM sources WHERE uid = ?1 AND deleted_at IS NULL")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

/// Writes a request that becomes no event.
pub(crate) fn note(
    conn: &Connection,
    id: SourceId,
    entry: &InboundEntry,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let Some((source, _)) = source_row(conn, id)? else { return Ok(()) };
    log(conn, source, entry, entry.outcome, None, now)
}

/// Writes a row of the inbound log and counts it.
fn log(
    conn: &Connection,
    source: SourceRow,
    entry: &InboundEntry,
    outcome: InboundOutcome,
    event: Option<EventRow>,
    now: Timestamp,
) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO inbound (source, outcome, received_at, event, status, client_ip, method, path, reason, \
         size) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        source,
        outcome,
        now,
        event,
        entry.status,
        entry.client_ip,
        entry.method,
        entry.path,
        entry.reason,
        i64::try_from(entry.size).unwrap_or(i64::MAX)
    ])?;
    let row = conn.last_insert_rowid();
    let body = entry.body.as_ref().map(|InboundBody { bytes, .. }| bytes.as_ref());
    conn.prepare_cached(
        "INSERT INTO inbound_details (inbound, headers, query, body, content) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![
        row,
        header_text::write(&entry.headers),
        entry.query,
        body,
        entry.body.as_ref().and_then(|body| content_word(body.content))
    ])?;
    conn.prepare_cached("UPDATE sources SET last_request_at = ?2 WHERE id = ?1")?
        .execute(params![source, now])?;
    count(conn, source, outcome, now)?;
    if matches!(outcome, InboundOutcome::Rejected | InboundOutcome::Invalid) {
        conn.prepare_cached(
            "DELETE FROM inbound WHERE id IN (SELECT id FROM inbound INDEXED BY inbound_refused \
             WHERE source = ?1 AND (outcome = 'rejected' OR outcome = 'invalid') \
             ORDER BY id DESC LIMIT -1 OFFSET ?2)",
        )?
        .execute(params![source, REFUSED_MAX])?;
    }
    Ok(())
}

fn count(
    conn: &Connection,
    source: SourceRow,
    outcome: InboundOutcome,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let sql = match outcome {
        InboundOutcome::Accepted => {
            "INSERT INTO inbound_hours (source, hour, accepted) VALUES (?1, ?2, 1) \
             ON CONFLICT DO UPDATE SET accepted = accepted + 1"
        }
        InboundOutcome::Duplicate => {
            "INSERT INTO inbound_hours (source, hour, duplicate) VALUES (?1, ?2, 1) \
             ON CONFLICT DO UPDATE SET duplicate = duplicate + 1"
        }
        InboundOutcome::Ignored => {
            "INSERT INTO inbound_hours (source, hour, ignored) VALUES (?1, ?2, 1) \
             ON CONFLICT DO UPDATE SET ignored = ignored + 1"
        }
        InboundOutcome::Rejected => {
            "INSERT INTO inbound_hours (source, hour, rejected) VALUES (?1, ?2, 1) \
             ON CONFLICT DO UPDATE SET rejected = rejected + 1"
        }
        InboundOutcome::Challenge | InboundOutcome::Invalid => return Ok(()),
    };
    conn.prepare_cached(sql)?.execute(params![source, slot_of(now, HOUR_MS)]).map(|_| ())
}

/// The attempts of the event that are written in steps.
type Open = Option<oneshot::Receiver<Vec<Queued>>>;

/// Takes in a request as an event, or finds that it was taken in before.
pub(crate) fn take(
    tx: &mut Tx<'_>,
    id: SourceId,
    entry: &InboundEntry,
    event: &InboundEvent,
    verdicts: &Verdicts,
    now: Timestamp,
) -> rusqlite::Result<(InboundTaken, Open)> {
    let Some((source, app)) = source_row(tx, id)? else { return Ok((InboundTaken::NoSource, None)) };
    if let Some(digest) = &event.dedupe
        && let Some(seen) = seen(tx, source, digest, now)?
    {
        log(tx, source, &duplicate_of(tx, seen, entry, event)?, InboundOutcome::Duplicate, Some(seen), now)?;
        return Ok((InboundTaken::Duplicate { event: event_id(tx, seen)? }, None));
    }
    let (row, taken, open) = insert(tx, source, app, event, verdicts, now)?;
    if let Some(digest) = &event.dedupe {
        // Only one that has expired can be there still.
        tx.prepare_cached(
            "INSERT OR REPLACE INTO inbound_seen (source, digest, event, created_at) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![source, digest, row, now])?;
    }
    log(tx, source, entry, InboundOutcome::Accepted, Some(row), now)?;
    Ok((taken, open))
}

/// Takes in an event, without a row of the inbound log and a dedupe key.
pub(crate) fn replay(
    tx: &mut Tx<'_>,
    id: SourceId,
    event: &InboundEvent,
    verdicts: &Verdicts,
    now: Timestamp,
) -> rusqlite::Result<(InboundTaken, Open)> {
    let Some((source, app)) = source_row(tx, id)? else { return Ok((InboundTaken::NoSource, None)) };
    let (_, taken, open) = insert(tx, source, app, event, verdicts, now)?;
    Ok((taken, open))
}

fn insert(
    tx: &mut Tx<'_>,
    source: SourceRow,
    app: AppRow,
    event: &InboundEvent,
    verdicts: &Verdicts,
    now: Timestamp,
) -> rusqlite::Result<(EventRow, InboundTaken, Open)> {
    let incoming = Incoming {
        app,
        event_type: &event.event_type,
        payload: &event.payload,
        resource_id: event.resource_id.as_deref(),
        origin: Origin::Client,
        source: Some(source),
        verdicts: Some((verdicts, 0)),
        now,
    };
    let mut room = fan_outs::AT_ONCE;
    let Acceptance { row, accepted, is_open } = accept(tx, &incoming, None, &mut room)?;
    tx.prepare_cached(
        "INSERT INTO event_extras (event, source, hops, filtered) VALUES (?1, ?2, ?3, 0) \
         ON CONFLICT DO UPDATE SET source = excluded.source, hops = excluded.hops",
    )?
    .execute(params![row, source, event.hops])?;
    let open = is_open.then(|| tx.cache.fan_outs().wait_for(row));
    Ok((row, InboundTaken::Event { event: accepted.event, queued: accepted.queued }, open))
}

/// The event that a dedupe key stands for, while it is remembered.
fn seen(
    conn: &Connection,
    source: SourceRow,
    digest: &[u8; 32],
    now: Timestamp,
) -> rusqlite::Result<Option<EventRow>> {
    conn.prepare_cached(
        "SELECT event FROM inbound_seen WHERE source = ?1 AND digest = ?2 AND created_at > ?3",
    )?
    .query_row(params![source, digest, now.plus_ms(-IDEMPOTENCY_MS)], |row| row.get(0))
    .optional()
}

fn event_id(conn: &Connection, row: EventRow) -> rusqlite::Result<Option<EventId>> {
    conn.prepare_cached("SELECT uid FROM events WHERE id = ?1")?.query_row([row], |row| row.get(0)).optional()
}

/// The row of a duplicate: its body is kept where it differs from that of the event.
fn duplicate_of(
    conn: &Connection,
    seen: EventRow,
    entry: &InboundEntry,
    event: &InboundEvent,
) -> rusqlite::Result<InboundEntry> {
    let kept: Option<Option<Vec<u8>>> = conn
        .prepare_cached("SELECT payload FROM events WHERE id = ?1")?
        .query_row([seen], |row| row.get(0))
        .optional()?;
    let is_same = kept.flatten().is_some_and(|payload| payload == event.payload);
    let body = match &entry.body {
        None if !is_same => {
            Some(InboundBody { bytes: Bytes::clone(&event.payload), content: BodyContent::Payload })
        }
        body => body.clone(),
    };
    Ok(InboundEntry { body, ..entry.clone() })
}
