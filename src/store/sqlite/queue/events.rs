//! Accepting events. Reading them is in the room `log`.
//!
//! Taking in is the hot path: one row for the event, one for each delivery, and a count for the type.
//! Which endpoints want it comes from the writer's cache. The event's id is made inside the
//! transaction, so that ids and rows ascend together.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use tokio::sync::oneshot;

use crate::domain::EventType;
use crate::domain::event::{Event, IDEMPOTENCY_MS, Origin};
use crate::domain::{AppId, EndpointStatus, EventId, Timestamp};
use crate::store::shared::asked::Asked;
use crate::store::shared::idempotency::{Digest, batch_digest, digest, place_key};
use crate::store::shared::verdicts::Verdicts;
use crate::store::sqlite::engine::command::Tx;
use crate::store::sqlite::engine::error::fault;
use crate::store::sqlite::engine::rows::{AppRow, EndpointRow, EventRow, SourceRow, TypeRow};
use crate::store::sqlite::engine::zones;
use crate::store::sqlite::queue::attempts;
use crate::store::sqlite::queue::attempts::NewDeliveries;
use crate::store::sqlite::queue::fan_outs;
use crate::store::sqlite::queue::filters;
use crate::store::{Accepted, Line, NewEvent, Queued, Taken};

/// An event on its way into the table.
pub(crate) struct Incoming<'a> {
    pub(crate) app: AppRow,
    pub(crate) event_type: &'a EventType,
    pub(crate) payload: &'a [u8],
    pub(crate) resource_id: Option<&'a str>,
    pub(crate) origin: Origin,
    /// The source it came from.
    pub(crate) source: Option<SourceRow>,
    /// What filters say of it, as far as they were asked before, and its place there.
    pub(crate) verdicts: Option<(&'a Verdicts, usize)>,
    pub(crate) now: Timestamp,
}

impl<'a> Incoming<'a> {
    /// What filters are asked about it.
    fn asked(&self) -> Asked<'a> {
        let Incoming { event_type, payload, resource_id, source, verdicts, now, .. } = *self;
        Asked { event_type, payload, resource_id, source, verdicts, now }
    }
}

/// An event that has been accepted.
pub(crate) struct Acceptance {
    pub(crate) row: EventRow,
    pub(crate) accepted: Accepted,
    /// Whether its attempts are still to be written, by [`fan_outs`].
    pub(crate) is_open: bool,
}

/// Accepts an event and creates its first attempts, for all subscribed endpoints except `except`. `room` is
/// how many attempts the command may still write; an event with more of them is written in steps.
pub(crate) fn accept(
    tx: &mut Tx<'_>,
    incoming: &Incoming<'_>,
    except: Option<EndpointRow>,
    room: &mut usize,
) -> rusqlite::Result<Acceptance> {
    let subscriptions = tx.subscriptions(incoming.app)?;
    let mut matching = subscriptions.to(incoming.event_type);
    matching.retain(|subscription| Some(subscription.row) != except);
    let declined = filters::declined(tx, &incoming.asked(), matching.iter().copied())?;
    let subscribed = || matching.iter().filter(|subscription| !declined.contains(&subscription.row));
    let kind = type_row(tx, incoming)?;
    let count = subscribed().count();
    let (row, mut event) = insert(tx, incoming, kind, u32::try_from(count).unwrap_or(u32::MAX))?;
    if !declined.is_empty() {
        event.filtered = u32::try_from(declined.len()).unwrap_or(u32::MAX);
        filters::note_declined(tx, row, event.filtered)?;
        tx.counts.declined(event.filtered);
    }
    if count > *room && tx.cache.fan_outs().is_running() {
        fan_outs::open(tx, incoming.app, row, subscribed().map(|subscription| subscription.row))?;
        return Ok(Acceptance { row, accepted: Accepted { event, queued: vec![] }, is_open: true });
    }
    *room = room.saturating_sub(count);
    let (app, accepted_at) = (incoming.app, incoming.now);
    let endpoints: Vec<EndpointRow> = subscribed().map(|subscription| subscription.row).collect();
    let new = NewDeliveries { app, event: row, kind, endpoints: &endpoints, accepted_at };
    let attempts = attempts::insert_first(tx, &new)?;
    let active =
        subscribed().zip(attempts).filter(|(subscription, _)| subscription.status == EndpointStatus::Active);
    let queued = active
        .map(|(subscription, attempt_id)| {
            let (endpoint_id, due_at) = (subscription.id, accepted_at);
            Queued { attempt_id, endpoint_id, due_at, line: Line::Fresh }
        })
        .collect();
    Ok(Acceptance { row, accepted: Accepted { event, queued }, is_open: false })
}

/// The row of the event's type, which is made when it is new; what clients post is counted.
pub(crate) fn type_row(tx: &mut Tx<'_>, incoming: &Incoming<'_>) -> rusqlite::Result<TypeRow> {
    let kind = tx.event_type(incoming.app, incoming.event_type)?;
    if incoming.origin == Origin::Client {
        tx.counts.posted(kind, incoming.now);
    }
    Ok(kind)
}

/// Writes the event's row.
pub(crate) fn insert(
    tx: &mut Tx<'_>,
    incoming: &Incoming<'_>,
    kind: TypeRow,
    deliveries: u32,
) -> rusqlite::Result<(EventRow, Event)> {
    let event = Event {
        id: EventId::new(incoming.now),
        event_type: incoming.event_type.clone(),
        resource_id: incoming.resource_id.map(str::to_owned),
        deliveries,
        filtered: 0,
        created_at: incoming.now,
    };
    Ok((insert_as(tx, incoming, kind, &event)?, event))
}

/// Writes the row of an event that has its id already; the row's number.
pub(crate) fn insert_as(
    tx: &mut Tx<'_>,
    incoming: &Incoming<'_>,
    kind: TypeRow,
    event: &Event,
) -> rusqlite::Result<EventRow> {
    tx.prepare_cached(
        "INSERT INTO events (uid, app, type, resource_id, origin, deliveries, created_at, payload) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        event.id,
        incoming.app,
        kind,
        event.resource_id,
        incoming.origin,
        event.deliveries,
        event.created_at,
        incoming.payload
    ])?;
    let row = tx.last_insert_rowid();
    tx.entered(zones::EVENTS, row, event.created_at)?;
    Ok(EventRow(row))
}

// ---------------------------------------------------------------------------------------------
// Idempotency

pub(crate) const KEY_LOOKUP: &str = "SELECT i.digest, i.event, v.uid, y.name, v.resource_id, v.deliveries, v.created_at, \
     (SELECT filtered FROM event_extras x WHERE x.event = v.id) \
     FROM idempotency i CROSS JOIN events v ON v.id = i.event CROSS JOIN event_types y ON y.id = v.type \
     WHERE i.app = ?1 AND i.key = ?2 AND i.created_at > ?3";

/// What a key stands for.
struct Known {
    digest: Digest,
    row: EventRow,
    event: Event,
}

/// What a key stands for, while it is remembered.
fn remembered(conn: &Connection, app: AppRow, key: &str, now: Timestamp) -> rusqlite::Result<Option<Known>> {
    conn.prepare_cached(KEY_LOOKUP)?
        .query_row(params![app, key, now.plus_ms(-IDEMPOTENCY_MS)], |row| {
            Ok(Known { digest: row.get(0)?, row: row.get(1)?, event: event(row, 2)? })
        })
        .optional()
}

fn remember(
    conn: &Connection,
    app: AppRow,
    key: &str,
    event: EventRow,
    digest: &Digest,
    now: Timestamp,
) -> rusqlite::Result<()> {
    // Only one that has expired can be there still.
    conn.prepare_cached(
        "INSERT OR REPLACE INTO idempotency (app, key, event, digest, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![app, key, event, digest.as_slice(), now])
    .map(|_| ())
}

/// The first event whose key stands for another one, be it stored or earlier in the batch. Looked for
/// before anything is written, because a batch is taken whole or not at all.
fn conflict(
    conn: &Connection,
    app: AppRow,
    events: &[NewEvent],
    now: Timestamp,
) -> rusqlite::Result<Option<usize>> {
    let mut earlier: HashMap<&str, Digest> = HashMap::new();
    for (index, event) in events.iter().enumerate() {
        let Some(key) = event.idempotency_key.as_deref() else { continue };
        let this = digest(event);
        let first = match earlier.get(key) {
            Some(first) => Some(*first),
            None => remembered(conn, app, key, now)?.map(|known| known.digest),
        };
        if first.is_some_and(|first| first != this) {
            return Ok(Some(index));
        }
        earlier.insert(key, this);
    }
    Ok(None)
}

/// The attempts of one event of a batch, which are written in steps: its index, and where its hints arrive.
pub(crate) type OpenFanOut = (usize, oneshot::Receiver<Vec<Queued>>);

/// Events that were taken in, in their order.
struct TakenIn {
    /// Where each of them stands.
    rows: Vec<EventRow>,
    accepted: Vec<Accepted>,
    open: Vec<OpenFanOut>,
}

/// Takes in events whose keys have no conflict.
fn take_each(
    tx: &mut Tx<'_>,
    app: AppRow,
    events: &[NewEvent],
    verdicts: &Verdicts,
    now: Timestamp,
) -> rusqlite::Result<TakenIn> {
    let (mut rows, mut all) = (Vec::with_capacity(events.len()), Vec::with_capacity(events.len()));
    let (mut open, mut room) = (Vec::new(), fan_outs::AT_ONCE);
    for new in events {
        let key = new.idempotency_key.as_deref();
        if let Some(key) = key
            && let Some(known) = remembered(tx, app, key, now)?
        {
            rows.push(known.row);
            all.push(Accepted { event: known.event, queued: vec![] });
            continue;
        }
        let incoming = Incoming {
            app,
            event_type: &new.event_type,
            payload: &new.payload,
            resource_id: new.resource_id.as_deref(),
            origin: Origin::Client,
            source: None,
            verdicts: Some((verdicts, all.len())),
            now,
        };
        let Acceptance { row, accepted, is_open } = accept(tx, &incoming, None, &mut room)?;
        if is_open {
            open.push((all.len(), tx.cache.fan_outs().wait_for(row)));
        }
        if let Some(key) = key {
            remember(tx, app, key, row, &digest(new), now)?;
        }
        rows.push(row);
        all.push(accepted);
    }
    Ok(TakenIn { rows, accepted: all, open })
}

/// Accepts events, whole or not at all.
pub(crate) fn take(
    tx: &mut Tx<'_>,
    app: AppId,
    events: &[NewEvent],
    verdicts: &Verdicts,
    now: Timestamp,
) -> rusqlite::Result<(Taken, Vec<OpenFanOut>)> {
    let app = tx.app(app)?;
    if let Some(index) = conflict(tx, app, events, now)? {
        return Ok((Taken::KeyConflict { index }, vec![]));
    }
    let TakenIn { accepted, open, .. } = take_each(tx, app, events, verdicts, now)?;
    Ok((Taken::All(accepted), open))
}

/// Accepts a batch under a key of its own, or finds that it was accepted before.
pub(crate) fn take_batch(
    tx: &mut Tx<'_>,
    app: AppId,
    key: &str,
    events: &[NewEvent],
    verdicts: &Verdicts,
    now: Timestamp,
) -> rusqlite::Result<(Taken, Vec<OpenFanOut>)> {
    let app = tx.app(app)?;
    let this = batch_digest(events);
    if let Some(known) = remembered(tx, app, key, now)? {
        if known.digest != this {
            return Ok((Taken::BatchConflict, vec![]));
        }
        let again = (0..events.len()).map(|index| {
            let known = remembered(tx, app, &place_key(key, index), now)?;
            let known = known.ok_or_else(|| fault("a batch is remembered and its events are not"))?;
            Ok(Accepted { event: known.event, queued: vec![] })
        });
        return Ok((Taken::All(again.collect::<rusqlite::Result<_>>()?), vec![]));
    }
    if let Some(index) = conflict(tx, app, events, now)? {
        return Ok((Taken::KeyConflict { index }, vec![]));
    }
    let TakenIn { rows, accepted, open } = take_each(tx, app, events, verdicts, now)?;
    for (index, (row, event)) in rows.iter().zip(events).enumerate() {
        if index == 0 {
            remember(tx, app, key, *row, &this, now)?;
        }
        remember(tx, app, &place_key(key, index), *row, &digest(event), now)?;
    }
    Ok((Taken::All(accepted), open))
}

/// Reads an event from six columns: uid, type, resource_id, deliveries, created_at, filtered.
pub(crate) fn event(row: &Row<'_>, from: usize) -> rusqlite::Result<Event> {
    Ok(Event {
        id: row.get(from)?,
        event_type: row.get(from + 1)?,
        resource_id: row.get(from + 2)?,
        deliveries: row.get(from + 3)?,
        created_at: row.get(from + 4)?,
        filtered: row.get::<_, Option<u32>>(from + 5)?.unwrap_or_default(),
    })
}
