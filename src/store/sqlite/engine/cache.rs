//! What the writer remembers between commands ([`WriterMemory`], the endpoints whose attempts end, and the zones of the
//! log that are being filled), and how it is read.
//!
//! It is cleared whenever it could be wrong: on every write to an endpoint, on every error, and when another connection
//! has committed anything.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::domain::{AppId, EventType};
use crate::store::shared::endpoint_state::EndpointState;
use crate::store::shared::fan_outs::FanOuts;
use crate::store::shared::fresh::Fresh;
use crate::store::shared::subscription::{Subscription, Subscriptions};
use crate::store::shared::writer_memory::WriterMemory;
use crate::store::sqlite::engine::error::fault;
use crate::store::sqlite::engine::rows::{AppRow, EndpointRow, TypeRow, read_patterns};
use crate::store::sqlite::engine::zones::FillingZones;

/// Endpoints whose state is remembered.
const STATES: usize = 1_000;

/// The writer's memory.
#[derive(Debug)]
pub(crate) struct Cache {
    memory: WriterMemory,
    /// The endpoints of attempts that ended.
    states: HashMap<EndpointRow, Arc<EndpointState>>,
    /// The zones of the log that are being filled.
    pub(crate) zones: FillingZones,
}

impl Deref for Cache {
    type Target = WriterMemory;

    fn deref(&self) -> &WriterMemory {
        &self.memory
    }
}

impl DerefMut for Cache {
    fn deref_mut(&mut self) -> &mut WriterMemory {
        &mut self.memory
    }
}

impl Cache {
    /// Knows nothing yet.
    pub(crate) fn new(fresh: Arc<Fresh>, fan_outs: Arc<FanOuts>) -> Cache {
        let memory = WriterMemory::new(fresh, fan_outs);
        Cache { memory, states: HashMap::new(), zones: FillingZones::default() }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.memory.clear();
        self.states.clear();
        self.zones.clear();
    }

    /// Forgets endpoints.
    pub(crate) fn endpoints_changed(&mut self) {
        self.memory.endpoints_changed();
        self.states.clear();
    }

    /// Forgets the failures of an endpoint, and its hold.
    pub(crate) fn trouble_changed(&mut self, endpoint: EndpointRow) {
        self.states.remove(&endpoint);
    }

    /// What the end of an attempt needs to know of an endpoint, if it is remembered.
    pub(crate) fn state(&self, endpoint: EndpointRow) -> Option<Arc<EndpointState>> {
        self.states.get(&endpoint).cloned()
    }

    /// Remembers what was read of an endpoint.
    pub(crate) fn keep_state(&mut self, endpoint: EndpointRow, state: EndpointState) -> Arc<EndpointState> {
        if self.states.len() >= STATES {
            self.states.clear();
        }
        let state = Arc::new(state);
        self.states.insert(endpoint, state.clone());
        state
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
        if let Some(row) = self.type_row(app, event_type) {
            return Ok(row);
        }
        let row = type_row(conn, app, event_type)?;
        self.keep_type(app, event_type, row);
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
