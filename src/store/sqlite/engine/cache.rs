//! What the writer remembers between commands, so that accepting an event need not read it again: the rows of
//! apps and event types, and which endpoints subscribe to what.
//!
//! Never authoritative. It is cleared whenever it could be wrong: on every write to an endpoint, on every
//! error, and when another connection has committed anything.
//!
//! It also collects what a commit means for [`Fresh`]: accepted events, finished attempts, changed endpoints.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::domain::{AppId, AttemptId, EventType};
use crate::store::Accepted;
use crate::store::shared::fan_outs::FanOuts;
use crate::store::shared::fresh::{Fresh, FreshAttempt};
use crate::store::shared::subscription::{Subscription, Subscriptions};
use crate::store::sqlite::engine::error::fault;
use crate::store::sqlite::engine::rows::{AppRow, TypeRow, read_patterns};

/// The writer's memory.
#[derive(Debug)]
pub(crate) struct Cache {
    /// Who waits for events that are written in steps.
    fan_outs: Arc<FanOuts>,
    /// Whether the transaction opened a fan-out.
    has_fan_out: bool,
    /// What follows from endpoints for others; see [`Cache::after_commit`].
    fresh: Arc<Fresh>,
    /// Whether something was forgotten since then.
    is_stale: bool,
    /// First attempts of the open transaction.
    accepted: Vec<FreshAttempt>,
    apps: HashMap<AppId, AppRow>,
    subscriptions: HashMap<AppRow, Arc<Subscriptions>>,
    types: HashMap<AppRow, HashMap<EventType, TypeRow>>,
}

/// Types of one app that are remembered. Who makes up a new type for every event pays for it.
const TYPES: usize = 1_000;

impl Cache {
    /// Knows nothing yet.
    pub(crate) fn new(fresh: Arc<Fresh>, fan_outs: Arc<FanOuts>) -> Cache {
        let (accepted, apps, subscriptions, types) = Default::default();
        Cache { fan_outs, has_fan_out: false, fresh, is_stale: false, accepted, apps, subscriptions, types }
    }

    /// To be called when a group is committed, before anyone hears of it: tells of what was forgotten, or of
    /// what was taken in. Not sooner, or what is read before the commit would seem to be of the time after.
    pub(crate) fn after_commit(&mut self) {
        if std::mem::take(&mut self.has_fan_out) {
            self.fan_outs.wake();
        }
        if std::mem::take(&mut self.is_stale) {
            self.accepted.clear();
            self.fresh.renew();
        } else if !self.accepted.is_empty() {
            self.fresh.keep(self.accepted.drain(..));
        }
    }

    /// Notes the first attempts of an event, which need not be read back when they are on disk.
    pub(crate) fn accepted(&mut self, accepted: &Accepted, payload: &Bytes) {
        self.accepted.extend(FreshAttempt::of(accepted, payload));
    }

    /// The transaction has opened a fan-out.
    pub(crate) fn fan_out_opened(&mut self) {
        self.has_fan_out = true;
    }

    /// Open fan-outs.
    pub(crate) fn fan_outs(&self) -> &FanOuts {
        &self.fan_outs
    }

    /// An attempt gets its result.
    pub(crate) fn ended(&self, id: AttemptId) {
        self.fresh.forget(id);
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.is_stale = true;
        self.accepted.clear();
        self.apps.clear();
        self.types.clear();
        self.subscriptions.clear();
    }

    /// Forgets endpoints.
    pub(crate) fn endpoints_changed(&mut self) {
        self.is_stale = true;
        self.subscriptions.clear();
    }

    /// The row of an app.
    pub(crate) fn app(&mut self, conn: &Connection, app: AppId) -> rusqlite::Result<AppRow> {
        if let Some(row) = self.apps.get(&app) {
            return Ok(*row);
        }
        let row = app_row(conn, app)?.ok_or_else(|| fault(format!("there is no app {app}")))?;
        self.apps.insert(app, row);
        Ok(row)
    }

    /// The row of an event type, which is made when there is none.
    pub(crate) fn event_type(
        &mut self,
        conn: &Connection,
        app: AppRow,
        event_type: &EventType,
    ) -> rusqlite::Result<TypeRow> {
        let known = self.types.entry(app).or_default();
        if let Some(row) = known.get(event_type) {
            return Ok(*row);
        }
        let row = type_row(conn, app, event_type)?;
        if known.len() >= TYPES {
            known.clear();
        }
        known.insert(event_type.clone(), row);
        Ok(row)
    }

    /// Which endpoints of an app want events.
    pub(crate) fn subscriptions(
        &mut self,
        conn: &Connection,
        app: AppRow,
    ) -> rusqlite::Result<Arc<Subscriptions>> {
        if let Some(subscriptions) = self.subscriptions.get(&app) {
            return Ok(subscriptions.clone());
        }
        let mut statement = conn.prepare_cached(
            "SELECT id, uid, status, events, name, filter FROM endpoints
             WHERE app = ?1 AND deleted_at IS NULL AND status <> 'disabled' ORDER BY uid",
        )?;
        let subscriptions = statement.query_map([app], |row| {
            let (events, filter): (String, Option<String>) = (row.get(3)?, row.get(5)?);
            let name: String = row.get(4)?;
            Ok(Subscription {
                row: row.get(0)?,
                id: row.get(1)?,
                status: row.get(2)?,
                events: read_patterns(&events)?,
                filter: filter.map(|filter| (name, filter)),
            })
        })?;
        let subscriptions = Arc::new(Subscriptions::of(subscriptions.collect::<rusqlite::Result<_>>()?));
        self.subscriptions.insert(app, subscriptions.clone());
        Ok(subscriptions)
    }
}

/// The row of an event type, which is made when there is none.
fn type_row(conn: &Connection, app: AppRow, event_type: &EventType) -> rusqlite::Result<TypeRow> {
    let find = "SELECT id FROM event_types WHERE app = ?1 AND name = ?2";
    let found =
        conn.prepare_cached(find)?.query_row(params![app, event_type], |row| row.get(0)).optional()?;
    if let Some(row) = found {
        return Ok(row);
    }
    conn.prepare_cached("INSERT INTO event_types (app, name, count) VALUES (?1, ?2, 0)")?
        .execute(params![app, event_type])?;
    Ok(TypeRow(conn.last_insert_rowid()))
}

/// The row of an app, if there is such an app.
pub(crate) fn app_row(conn: &Connection, app: AppId) -> rusqlite::Result<Option<AppRow>> {
    conn.prepare_cached("SELECT id FROM apps WHERE uid = ?1")?.query_row([app], |row| row.get(0)).optional()
}
