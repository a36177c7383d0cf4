//! What the writer remembers between commands ([`WriterMemory`]), and how it is read.
//!
//! It is cleared whenever it could be wrong: on every write to an endpoint, on every error, and when the generation in
//! the database says that another node has changed something.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use crate::domain::{AppId, EventType};
use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::error::{DbResult, fault};
use crate::store::postgres::engine::rows::{AppRow, Columns as _, TypeRow, read_patterns};
use crate::store::shared::fan_outs::FanOuts;
use crate::store::shared::fresh::Fresh;
use crate::store::shared::subscription::{Subscription, Subscriptions};
use crate::store::shared::writer_memory::WriterMemory;

/// The writer's memory.
#[derive(Debug)]
pub(crate) struct Cache {
    node: i64,
    /// Whether the transaction changes what other nodes remember.
    is_changed: bool,
    /// The generation in the database that all of this is of.
    generation: i64,
    memory: WriterMemory,
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
    /// Knows nothing yet. `node` is this opening of the store.
    pub(crate) fn new(node: i64, fresh: Arc<Fresh>, fan_outs: Arc<FanOuts>) -> Cache {
        Cache { node, is_changed: false, generation: -1, memory: WriterMemory::new(fresh, fan_outs) }
    }

    /// The generation as a transaction has found it: of another one nothing is believed.
    pub(crate) fn of_generation(&mut self, generation: i64) {
        if generation != self.generation {
            self.clear();
            self.generation = generation;
        }
    }

    /// The generation that the transaction itself has begun. If there was another one in between, this one will not be
    /// believed.
    pub(crate) fn begun_generation(&mut self, generation: i64) {
        if generation == self.generation + 1 {
            self.generation = generation;
        }
    }

    /// Whether the transaction changes what other nodes remember; asked once, before its commit.
    pub(crate) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.is_changed)
    }

    /// This opening of the store, among all nodes'.
    pub(crate) fn node(&self) -> i64 {
        self.node
    }

    /// Forgets endpoints, here and, with the commit, on all nodes. To be said before they are changed.
    pub(crate) fn endpoints_changed(&mut self) {
        self.is_changed = true;
        self.memory.endpoints_changed();
    }

    /// The row of an app.
    pub(crate) async fn app(&mut self, conn: &Conn, app: AppId) -> DbResult<AppRow> {
        if let Some(row) = self.apps.get(&app) {
            return Ok(*row);
        }
        let row = app_row(conn, app).await?.ok_or_else(|| fault(format!("there is no app {app}")))?;
        self.apps.insert(app, row);
        Ok(row)
    }

    /// The row of an event type, which is made when there is none.
    pub(crate) async fn event_type(
        &mut self,
        conn: &Conn,
        app: AppRow,
        event_type: &EventType,
    ) -> DbResult<TypeRow> {
        if let Some(row) = self.type_row(app, event_type) {
            return Ok(row);
        }
        let row = type_row(conn, app, event_type).await?;
        self.keep_type(app, event_type, row);
        Ok(row)
    }

    /// Which endpoints of an app want events.
    pub(crate) async fn subscriptions(&mut self, conn: &Conn, app: AppRow) -> DbResult<Arc<Subscriptions>> {
        if let Some(subscriptions) = self.subscriptions.get(&app) {
            return Ok(subscriptions.clone());
        }
        let sql = "SELECT id, uid, status, events, name, filter FROM endpoints \
                   WHERE app = $1 AND deleted_at IS NULL AND status <> 'disabled' ORDER BY uid";
        let mut subscriptions = Vec::new();
        for row in conn.rows(sql, &[&app]).await? {
            let filter: Option<String> = row.col("filter")?;
            let name: String = row.col("name")?;
            subscriptions.push(Subscription {
                row: row.col("id")?,
                id: row.col("uid")?,
                status: row.col("status")?,
                events: read_patterns(row.col("events")?)?,
                filter: filter.map(|filter| (name, filter)),
            });
        }
        let subscriptions = Arc::new(Subscriptions::of(subscriptions));
        self.subscriptions.insert(app, subscriptions.clone());
        Ok(subscriptions)
    }
}

/// The row of an event type, which is made when there is none.
async fn type_row(conn: &Conn, app: AppRow, event_type: &EventType) -> DbResult<TypeRow> {
    let find = "SELECT id FROM event_types WHERE app = $1 AND name = $2";
    let make = "INSERT INTO event_types (app, name) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING id";
    for sql in [find, make] {
        if let Some(row) = conn.row_opt(sql, &[&app, event_type]).await? {
            return row.col("id");
        }
    }
    // Another node has made it in between.
    conn.row(find, &[&app, event_type]).await?.col("id")
}

/// The row of an app, if there is such an app.
pub(crate) async fn app_row(conn: &Conn, app: AppId) -> DbResult<Option<AppRow>> {
    let found = conn.row_opt("SELECT id FROM apps WHERE uid = $1", &[&app]).await?;
    found.map(|row| row.col("id")).transpose()
}
