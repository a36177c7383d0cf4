//! Events for very many endpoints: their first attempts are written in steps that other commands come
//! between.
//!
//! An event is accepted when it is on disk together with the list of the endpoints that it goes to: from then
//! on no crash loses one of its deliveries. One task takes the apps with open fan-outs in turn, a step each,
//! so an app that posts to thousands of endpoints delays the others by one step. The client that posted waits
//! for the last step, which also keeps a client from opening fan-outs faster than they are written.
//!
//! The attempts are the same as if they had been written at once: of the endpoints that were subscribed when
//! the event was accepted, with its time.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, params};
use tokio::runtime::Handle;
use tokio::sync::mpsc::WeakSender;

use crate::domain::{EndpointStatus, Timestamp};
pub(crate) use crate::store::shared::fan_out_steps::AT_ONCE;
use crate::store::shared::fan_out_steps::{self, FanOutStep, STEP, read_list, write_list};
use crate::store::sqlite::engine::command;
use crate::store::sqlite::engine::command::Tx;
use crate::store::sqlite::engine::rows::{AppRow, EndpointRow, EventRow, TypeRow};
use crate::store::sqlite::engine::store::{SqliteStore, answered};
use crate::store::sqlite::engine::writer::Message;
use crate::store::sqlite::queue::attempts;
use crate::store::sqlite::queue::attempts::NewDeliveries;
use crate::store::{Line, Queued, Result, StoreError};

/// Keeps the list of the endpoints, ascending, that an event goes to.
pub(crate) fn open(
    tx: &mut Tx<'_>,
    app: AppRow,
    event: EventRow,
    endpoints: impl Iterator<Item = EndpointRow>,
) -> rusqlite::Result<()> {
    let mut endpoints: Vec<_> = endpoints.collect();
    endpoints.sort_unstable();
    tx.prepare_cached("INSERT INTO fan_outs (event, app, endpoints) VALUES (?1, ?2, ?3)")?
        .execute(params![event, app, write_list(&endpoints)])?;
    tx.cache.fan_out_opened();
    Ok(())
}

/// Whether any fan-out is open.
pub(crate) fn any(conn: &Connection) -> rusqlite::Result<bool> {
    conn.query_row("SELECT EXISTS (SELECT 1 FROM fan_outs)", [], |row| row.get(0))
}

pub(crate) const NEXT_APP: &str = "SELECT app FROM fan_outs WHERE app > ?1 ORDER BY app LIMIT 1";
pub(crate) const FIRST: &str = "SELECT f.event AS event, f.endpoints AS endpoints, f.next AS next, v.type AS type, \
     v.created_at AS created_at, v.payload IS NOT NULL AS has_payload \
     FROM fan_outs f CROSS JOIN events v ON v.id = f.event WHERE f.app = ?1 ORDER BY f.event LIMIT 1";

/// A fan-out that is not finished.
struct OpenFanOut {
    event: EventRow,
    endpoints: Vec<EndpointRow>,
    next: usize,
    kind: TypeRow,
    created_at: Timestamp,
    has_payload: bool,
}

fn first(conn: &Connection, app: AppRow) -> rusqlite::Result<Option<OpenFanOut>> {
    conn.prepare_cached(FIRST)?
        .query_row([app], |row| {
            let (endpoints, next): (Vec<u8>, u32) = (row.get("endpoints")?, row.get("next")?);
            Ok(OpenFanOut {
                event: row.get("event")?,
                endpoints: read_list(&endpoints)?,
                next: next as usize,
                kind: row.get("type")?,
                created_at: row.get("created_at")?,
                has_payload: row.get("has_payload")?,
            })
        })
        .optional()
}

/// The next app after this one that has an open fan-out.
fn next_app(conn: &Connection, after: AppRow) -> rusqlite::Result<Option<AppRow>> {
    conn.prepare_cached(NEXT_APP)?.query_row([after], |row| row.get(0)).optional()
}

/// Writes the next attempts of the next app in turn after `last`.
fn step(tx: &mut Tx<'_>, last: AppRow) -> rusqlite::Result<FanOutStep> {
    let ticket = tx.cache.fan_outs().last_ticket();
    let app = match next_app(tx, last)? {
        Some(app) => Some(app),
        None => next_app(tx, AppRow(0))?,
    };
    let Some(app) = app else {
        return Ok(FanOutStep { app: AppRow(0), queued: vec![], finished: vec![], more: false, ticket });
    };
    let subscriptions = tx.subscriptions(app)?;
    let active: HashMap<_, _> = subscriptions
        .all()
        .iter()
        .filter(|subscription| subscription.status == EndpointStatus::Active)
        .map(|subscription| (subscription.row, subscription.id))
        .collect();
    let (mut queued, mut finished, mut room) = (Vec::new(), Vec::new(), STEP);
    while room > 0 {
        let Some(open) = first(tx, app)? else { break };
        // Retention has taken the payload of an event whose fan-out stood still for that long.
        let end = if open.has_payload { open.endpoints.len() } else { open.next };
        let until = end.min(open.next + room);
        let (event, kind, accepted_at) = (open.event, open.kind, open.created_at);
        let endpoints = &open.endpoints[open.next..until];
        let new = NewDeliveries { app, event, kind, endpoints, accepted_at };
        for (endpoint, attempt_id) in endpoints.iter().zip(attempts::insert_first(tx, &new)?) {
            if let Some(endpoint_id) = active.get(endpoint) {
                let (endpoint_id, due_at) = (*endpoint_id, open.created_at);
                let hint = Queued { attempt_id, endpoint_id, due_at, line: Line::Fresh };
                queued.push((open.event, hint));
            }
        }
        // At least one, so that empty lists end the loop, too.
        room = room.saturating_sub((until - open.next).max(1));
        if until == end {
            tx.prepare_cached("DELETE FROM fan_outs WHERE event = ?1")?.execute([open.event])?;
            finished.push(open.event);
        } else {
            tx.prepare_cached("UPDATE fan_outs SET next = ?2 WHERE event = ?1")?
                .execute(params![open.event, until as i64])?;
        }
    }
    Ok(FanOutStep { app, queued, finished, more: any(tx)?, ticket })
}

// ---------------------------------------------------------------------------------------------
// The task

/// Starts the task that takes steps, where there is a runtime for it.
pub(crate) fn start(store: &SqliteStore) {
    let Ok(runtime) = Handle::try_current() else { return };
    // The task must not keep the writer alive.
    let (inbox, stop) = (store.inbox.downgrade(), store.stopped.clone());
    let ask = move |last| ask(inbox.clone(), last);
    runtime.spawn(fan_out_steps::run(store.fan_outs.start(), stop, ask));
}

async fn ask(inbox: WeakSender<Message>, last: AppRow) -> Result<FanOutStep> {
    let (command, answer) = command::repeatable("writing an event's attempts", move |tx| step(tx, last));
    let inbox = inbox.upgrade().ok_or(StoreError::Closed)?;
    inbox.send(Message::Run(command)).await.map_err(|_| StoreError::Closed)?;
    drop(inbox);
    answered(answer).await
}
