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
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, params};
use tokio::runtime::Handle;
use tokio::sync::mpsc::WeakSender;
use tokio_util::sync::CancellationToken;

use crate::domain::attempts::attempt::{Budget, Trigger};
use crate::domain::{EndpointStatus, Timestamp};
use crate::store::sqlite::engine::command;
use crate::store::sqlite::engine::command::Tx;
use crate::store::sqlite::engine::error::fault;
use crate::store::sqlite::engine::fan_outs::{Running, Ticket};
use crate::store::sqlite::engine::rows::{AppRow, EndpointRow, EventRow, TypeRow};
use crate::store::sqlite::engine::store::{SqliteStore, answered};
use crate::store::sqlite::engine::writer::Message;
use crate::store::sqlite::queue::attempts;
use crate::store::sqlite::queue::attempts::NewAttempt;
use crate::store::{Line, Queued, Result, StoreError};

/// The most attempts that one command writes together with their events.
pub(crate) const AT_ONCE: usize = 1_000;
/// The most attempts of a step: about 50 ms of the writer.
const STEP: usize = 1_000;
/// How long a step that failed waits for its next try.
const PAUSE: Duration = Duration::from_secs(1);

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

/// What a step has done.
#[derive(Debug)]
struct FanOutStep {
    app: AppRow,
    queued: Vec<(EventRow, Queued)>,
    finished: Vec<EventRow>,
    /// Whether any fan-out is still open.
    more: bool,
    /// The last caller that was announced before this step.
    ticket: Ticket,
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
        for endpoint in &open.endpoints[open.next..until] {
            let attempt_id = insert(tx, app, &open, *endpoint)?;
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

fn insert(
    tx: &mut Tx<'_>,
    app: AppRow,
    open: &OpenFanOut,
    endpoint: EndpointRow,
) -> rusqlite::Result<crate::domain::AttemptId> {
    attempts::insert(
        tx,
        &NewAttempt {
            first: None,
            before: None,
            app,
            endpoint,
            event: open.event,
            kind: open.kind,
            trigger: Trigger::Event,
            attempt: 1,
            budget: Budget::Schedule { used: 0 },
            created_at: open.created_at,
            due_at: open.created_at,
            job: None,
            held_since: None,
        },
    )
}

// ---------------------------------------------------------------------------------------------
// The task

/// Starts the task that takes steps, where there is a runtime for it.
pub(crate) fn start(store: &SqliteStore) {
    let Ok(runtime) = Handle::try_current() else { return };
    // The task must not keep the writer alive.
    let (inbox, stop) = (store.inbox.downgrade(), store.stopped.clone());
    runtime.spawn(run(inbox, store.fan_outs.start(), stop));
}

async fn run(inbox: WeakSender<Message>, fan_outs: Running, stop: CancellationToken) {
    let mut last = AppRow(0);
    loop {
        tokio::select! {
            () = fan_outs.woken() => {}
            () = stop.cancelled() => return,
        }
        loop {
            match ask(&inbox, last).await {
                Ok(step) => {
                    last = step.app;
                    fan_outs.stepped(step.queued, &step.finished);
                    if !step.more {
                        fan_outs.release(step.ticket);
                        break;
                    }
                }
                Err(StoreError::Closed) => return,
                Err(error) => {
                    // Their events are on disk; nobody has to wait until the disk has room again.
                    fan_outs.release(fan_outs.last_ticket());
                    tracing::warn!(%error, "the attempts of an event could not be written; trying again");
                    tokio::select! {
                        () = tokio::time::sleep(PAUSE) => {}
                        () = stop.cancelled() => return,
                    }
                }
            }
        }
    }
}

async fn ask(inbox: &WeakSender<Message>, last: AppRow) -> Result<FanOutStep> {
    let (command, answer) = command::repeatable("writing an event's attempts", move |tx| step(tx, last));
    let inbox = inbox.upgrade().ok_or(StoreError::Closed)?;
    inbox.send(Message::Run(command)).await.map_err(|_| StoreError::Closed)?;
    drop(inbox);
    answered(answer).await
}

// ---------------------------------------------------------------------------------------------
// The list

fn write_list(endpoints: &[EndpointRow]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(endpoints.len() * 2);
    let mut before = 0;
    for EndpointRow(row) in endpoints {
        let mut rest = row.abs_diff(before);
        while rest >= 0x80 {
            bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        bytes.push(rest as u8);
        before = *row;
    }
    bytes
}

fn read_list(bytes: &[u8]) -> rusqlite::Result<Vec<EndpointRow>> {
    let damaged = || fault("the endpoints of a fan-out are damaged");
    let mut endpoints = Vec::new();
    let (mut row, mut difference, mut shift) = (0_i64, 0_u64, 0_u32);
    for byte in bytes {
        let part = u64::from(byte & 0x7f).checked_shl(shift).filter(|_| shift < 63).ok_or_else(damaged)?;
        difference |= part;
        if byte & 0x80 != 0 {
            shift += 7;
            continue;
        }
        row = row.checked_add_unsigned(difference).ok_or_else(damaged)?;
        endpoints.push(EndpointRow(row));
        (difference, shift) = (0, 0);
    }
    if shift == 0 { Ok(endpoints) } else { Err(damaged()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_list_of_endpoints_reads_back(mut rows in prop::collection::vec(1_i64..i64::MAX / 2, 0..50)) {
            rows.sort_unstable();
            rows.dedup();
            let rows: Vec<_> = rows.into_iter().map(EndpointRow).collect();
            prop_assert_eq!(read_list(&write_list(&rows)).unwrap(), rows);
        }
    }

    #[test]
    fn a_damaged_list_is_an_error() {
        assert!(read_list(&[0x80]).is_err());
        assert!(read_list(&[0xff; 12]).is_err());
    }
}
