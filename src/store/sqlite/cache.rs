//! What the writer remembers between commands, so that taking in an event need not read it again:
//! which row an app has, and what its endpoints want.
//!
//! It is cleared whenever it could be wrong: on every write to an endpoint, on every error, and when
//! another connection has committed anything. It is never the truth.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _};

use super::endpoint_text::read_patterns;
use super::error::fault;
use crate::domain::{AppId, EndpointId, EndpointStatus, EventPattern};

/// An endpoint, as far as events concern it.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) row: i64,
    pub(super) id: EndpointId,
    pub(super) status: EndpointStatus,
    pub(super) events: Vec<EventPattern>,
}

/// The writer's memory.
#[derive(Debug, Default)]
pub(super) struct Cache {
    apps: HashMap<AppId, i64>,
    wishes: HashMap<i64, Arc<Vec<Wish>>>,
}

impl Cache {
    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.apps.clear();
        self.wishes.clear();
    }

    /// Forgets endpoints.
    pub(super) fn endpoints_changed(&mut self) {
        self.wishes.clear();
    }

    /// The row of an app.
    pub(super) fn app(&mut self, conn: &Connection, app: AppId) -> rusqlite::Result<i64> {
        if let Some(row) = self.apps.get(&app) {
            return Ok(*row);
        }
        let row = app_row(conn, app)?.ok_or_else(|| fault(format!("there is no app {app}")))?;
        self.apps.insert(app, row);
        Ok(row)
    }

    /// The endpoints of an app that events make deliveries for: not deleted, not disabled.
    pub(super) fn wishes(&mut self, conn: &Connection, app: i64) -> rusqlite::Result<Arc<Vec<Wish>>> {
        if let Some(wishes) = self.wishes.get(&app) {
            return Ok(wishes.clone());
        }
        let mut statement = conn.prepare_cached(
            "SELECT id, uid, status, events FROM endpoints
             WHERE app = ?1 AND deleted_at IS NULL AND status <> 'disabled' ORDER BY uid",
        )?;
        let wishes = statement.query_map([app], |row| {
            let events: String = row.get(3)?;
            Ok(Wish {
                row: row.get(0)?,
                id: row.get(1)?,
                status: row.get(2)?,
                events: read_patterns(&events)?,
            })
        })?;
        let wishes = Arc::new(wishes.collect::<rusqlite::Result<Vec<_>>>()?);
        self.wishes.insert(app, wishes.clone());
        Ok(wishes)
    }
}

/// The row of an app, if there is such an app.
pub(super) fn app_row(conn: &Connection, app: AppId) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached("SELECT id FROM apps WHERE uid = ?1")?.query_row([app], |row| row.get(0)).optional()
}
