//! Events for very many endpoints: their first attempts are written in steps that other commands come
//! between.
//!
//! An event is accepted when it is on disk together with the list of the endpoints that it goes to: from then
//! on no crash loses one of its deliveries. One task takes the apps with open fan-outs in turn, a step each,
//! so an app that posts to thousands of endpoints delays the others by one step. The client that posted waits
//! for the last step, which also keeps a client from opening fan-outs faster than they are written.
//!
//! A node takes the steps of the events that it has accepted. Those of a node that is gone are found and adopted by
//! another one ([`super::others`]).
//!
//! The attempts are the same as if they had been written at once: of the endpoints that were subscribed when
//! the event was accepted, with its time.

use std::collections::HashMap;

use futures_util::FutureExt as _;
use tokio::sync::mpsc::WeakSender;
use tokio_postgres::Row;

use crate::domain::{AttemptId, EndpointStatus, Timestamp};
use crate::store::postgres::engine::command;
use crate::store::postgres::engine::command::Tx;
use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::error::DbResult;
use crate::store::postgres::engine::rows::{AppRow, Columns as _, EndpointRow, EventRow, TypeRow, num};
use crate::store::postgres::engine::store::{PostgresStore, answered};
use crate::store::postgres::engine::writer::Message;
use crate::store::postgres::queue::attempts;
use crate::store::shared::attempt_rows::NewDelivery;
pub(crate) use crate::store::shared::fan_out_steps::AT_ONCE;
use crate::store::shared::fan_out_steps::{self, FanOutStep, STEP, read_list, write_list};
use crate::store::{Line, Queued, Result, StoreError};

/// Keeps the list of the endpoints, ascending, that an event goes to.
pub(crate) async fn open(
    tx: &mut Tx,
    app: AppRow,
    event: EventRow,
    mut endpoints: Vec<EndpointRow>,
) -> DbResult<()> {
    endpoints.sort_unstable();
    let sql = "INSERT INTO fan_outs (event, app, endpoints, node) VALUES ($1, $2, $3, $4)";
    tx.run(sql, &[&event, &app, &write_list(&endpoints), &tx.cache.node()]).await?;
    tx.cache.fan_out_opened();
    Ok(())
}

const ANY: &str = "SELECT EXISTS (SELECT 1 FROM fan_outs WHERE node = $1) AS any_open";

pub(crate) const NEXT_APP: &str =
    "SELECT app FROM fan_outs WHERE node = $2 AND app > $1 ORDER BY app LIMIT 1";
/// Locked, so that no other node does the same step.
pub(crate) const FIRST: &str = "SELECT f.event, f.endpoints, f.next, v.type, v.created_at, \
     v.payload IS NOT NULL AS has_payload \
     FROM fan_outs f JOIN events v ON v.id = f.event WHERE f.node = $2 AND f.app = $1 ORDER BY f.event LIMIT 1 \
     FOR UPDATE OF f";

/// A fan-out that is not finished.
struct OpenFanOut {
    event: EventRow,
    endpoints: Vec<EndpointRow>,
    next: usize,
    kind: TypeRow,
    created_at: Timestamp,
    has_payload: bool,
}

async fn first(conn: &Conn, node: i64, app: AppRow) -> DbResult<Option<OpenFanOut>> {
    let read = |row: Row| {
        Ok(OpenFanOut {
            event: row.col("event")?,
            endpoints: read_list(row.col("endpoints")?)?,
            next: row.num("next")?,
            kind: row.col("type")?,
            created_at: row.col("created_at")?,
            has_payload: row.col("has_payload")?,
        })
    };
    conn.row_opt(FIRST, &[&app, &node]).await?.map(read).transpose()
}

/// The next app after this one that has an open fan-out of this node.
async fn next_app(conn: &Conn, node: i64, after: AppRow) -> DbResult<Option<AppRow>> {
    conn.row_opt(NEXT_APP, &[&after, &node]).await?.map(|row| row.col("app")).transpose()
}

/// Writes the next attempts of the next app in turn after `last`.
async fn step(tx: &mut Tx, last: AppRow) -> DbResult<FanOutStep> {
    let (ticket, node) = (tx.cache.fan_outs().last_ticket(), tx.cache.node());
    // An event of the same group may have opened one.
    tx.settle().await?;
    let app = match next_app(tx, node, last).await? {
        Some(app) => Some(app),
        None => next_app(tx, node, AppRow(0)).await?,
    };
    let Some(app) = app else {
        return Ok(FanOutStep { app: AppRow(0), queued: vec![], finished: vec![], more: false, ticket });
    };
    let subscriptions = tx.subscriptions(app).await?;
    let active: HashMap<_, _> = subscriptions
        .all()
        .iter()
        .filter(|subscription| subscription.status == EndpointStatus::Active)
        .map(|subscription| (subscription.row, subscription.id))
        .collect();
    let (mut queued, mut finished, mut room) = (Vec::new(), Vec::new(), STEP);
    while room > 0 {
        let Some(open) = first(tx, node, app).await? else { break };
        // Retention has taken the payload of an event whose fan-out stood still for that long.
        let end = if open.has_payload { open.endpoints.len() } else { open.next };
        let until = end.min(open.next + room);
        for endpoint in &open.endpoints[open.next..until] {
            let attempt_id = insert(tx, app, &open, *endpoint).await?;
            if let Some(endpoint_id) = active.get(endpoint) {
                let (endpoint_id, due_at) = (*endpoint_id, open.created_at);
                let hint = Queued { attempt_id, endpoint_id, due_at, line: Line::Fresh };
                queued.push((open.event, hint));
            }
        }
        // At least one, so that empty lists end the loop, too.
        room = room.saturating_sub((until - open.next).max(1));
        if until == end {
            tx.run("DELETE FROM fan_outs WHERE event = $1", &[&open.event]).await?;
            finished.push(open.event);
        } else {
            tx.run("UPDATE fan_outs SET next = $2 WHERE event = $1", &[&open.event, &num(until)]).await?;
        }
    }
    let more = tx.row(ANY, &[&node]).await?.col("any_open")?;
    Ok(FanOutStep { app, queued, finished, more, ticket })
}

async fn insert(tx: &mut Tx, app: AppRow, open: &OpenFanOut, endpoint: EndpointRow) -> DbResult<AttemptId> {
    let new = NewDelivery { app, endpoint, event: open.event, kind: open.kind };
    attempts::insert(tx, &new.of_event(open.created_at), None).await
}

/// Starts the task that takes steps.
pub(crate) fn start(store: &PostgresStore) {
    // The task must not keep the writer alive.
    let (inbox, stop) = (store.contended(), store.stopped.clone());
    let ask = move |last| ask(inbox.clone(), last);
    store.threads().spawn(fan_out_steps::run(store.fan_outs.start(), stop, ask));
}

/// Those of other nodes, and how far they are.
const OF_OTHERS: &str = "SELECT event, next FROM fan_outs WHERE node <> $1 ORDER BY event LIMIT 100";

/// How far the fan-outs of other nodes are.
pub(crate) async fn of_others(conn: &Conn, node: i64) -> DbResult<HashMap<EventRow, i64>> {
    let found = conn.rows(OF_OTHERS, &[&node]).await?;
    found.iter().map(|row| Ok((row.col("event")?, row.num("next")?))).collect()
}

/// Makes those fan-outs this node's that are as far as they were.
pub(crate) async fn adopt(tx: &mut Tx, left: Vec<(EventRow, i64)>) -> DbResult<()> {
    let sql = "UPDATE fan_outs SET node = $1 WHERE event = $2 AND next = $3";
    let node = tx.cache.node();
    for (event, next) in left {
        if tx.run(sql, &[&node, &event, &next]).await? == 1 {
            tx.cache.fan_out_opened();
        }
    }
    Ok(())
}

async fn ask(inbox: WeakSender<Message>, last: AppRow) -> Result<FanOutStep> {
    let step = command::repeatable("writing an event's attempts", move |tx| step(tx, last).boxed());
    let (command, answer) = step;
    let inbox = inbox.upgrade().ok_or(StoreError::Closed)?;
    inbox.send(Message::Run(command)).await.map_err(|_| StoreError::Closed)?;
    drop(inbox);
    answered(answer).await
}
