//! Rows that an id names: those of a delivery, of an event, of a resource.
//!
//! They lie together in no index of an order, but are few in any log: each of them is looked at, and the filter
//! tests it here. A resource may have many; the cost follows how many rows it has, never how many the log has.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter};

use crate::store::sqlite::engine::rows::{AppRow, EndpointRow, EventRow};
use crate::store::sqlite::log::class::Class;
use crate::store::sqlite::queue::filter::{EVENT_ROW, Found};
use crate::store::{AttemptFilter, SortField};

/// What names rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Key {
    Delivery(i64),
    Event(EventRow),
    Resource(String),
}

impl Key {
    pub(crate) fn sql(&self) -> String {
        let of = match self {
            Key::Delivery(_) => {
                return format!(
                    "SELECT {ROW} FROM attempts t WHERE t.id = ?1 AND t.first_id IS NULL AND t.app = ?2 \
                     UNION ALL SELECT {ROW} FROM attempts t WHERE t.first_id = ?1 AND +t.app = ?2"
                );
            }
            Key::Event(_) => "attempts t INDEXED BY attempts_event WHERE t.event = ?1 AND +t.app = ?2",
            Key::Resource(_) => {
                "events v INDEXED BY events_resource CROSS JOIN attempts t INDEXED BY attempts_event \
                 ON t.event = v.id WHERE v.app = ?2 AND v.resource_id = ?1"
            }
        };
        format!("SELECT {ROW} FROM {of}")
    }

    fn value(&self) -> Value {
        match self {
            Key::Delivery(id) => Value::Integer(*id),
            Key::Event(row) => Value::Integer(row.0),
            Key::Resource(text) => Value::Text(text.clone()),
        }
    }
}

const ROW: &str =
    "t.id, t.delivery, t.endpoint, t.event, t.class, t.created_at, t.attempted_at, t.response_time_ms";

/// A row, as far as filters and orders concern it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NamedRow {
    pub(crate) id: i64,
    delivery: i64,
    pub(crate) endpoint: EndpointRow,
    event: EventRow,
    pub(crate) class: Class,
    pub(crate) created_at: i64,
    attempted_at: Option<i64>,
    response_time_ms: Option<i64>,
}

impl NamedRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<NamedRow> {
        Ok(NamedRow {
            id: row.get(0)?,
            delivery: row.get(1)?,
            endpoint: row.get(2)?,
            event: row.get(3)?,
            class: Class(row.get(4)?),
            created_at: row.get(5)?,
            attempted_at: row.get(6)?,
            response_time_ms: row.get(7)?,
        })
    }

    pub(crate) fn delivery(&self) -> i64 {
        self.delivery
    }

    /// What the row is sorted by.
    pub(crate) fn value(&self, field: SortField) -> Option<i64> {
        match field {
            SortField::Id => Some(0),
            SortField::Delivery => Some(self.delivery),
            SortField::CreatedAt => Some(self.created_at),
            SortField::AttemptedAt => self.attempted_at,
            SortField::LastActivity => Some(self.attempted_at.unwrap_or(self.created_at)),
            SortField::Status => Some(self.class.status_order()),
            SortField::ResponseStatus => self.class.response_status(),
            SortField::ResponseTime => self.response_time_ms,
        }
    }
}

/// The rows of some keys, and what of the filter no key says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Named {
    app: AppRow,
    keys: Vec<Key>,
    event: Option<EventRow>,
    resource: Option<String>,
    /// What the search text has found.
    found: Option<Found>,
    /// Whether rows are meant that the text's names do not lead to; else those that anything of it leads to.
    beyond_names: bool,
}

impl Named {
    /// By the ids of a filter. `None`: it has none. `Some(None)`: its ids name nothing.
    pub(crate) fn of_filter(
        conn: &Connection,
        app: AppRow,
        filter: &AttemptFilter,
        found: Option<&Found>,
    ) -> rusqlite::Result<Option<Option<Named>>> {
        let event = match filter.event {
            None => None,
            Some(id) => match conn
                .prepare_cached(EVENT_ROW)?
                .query_row(params![id, app], |row| row.get(0))
                .optional()?
            {
                None => return Ok(Some(None)),
                event => event,
            },
        };
        let resource = filter.resource.clone();
        // The one that names the fewest rows leads; the others test them.
        let key = match (filter.delivery, event, &resource) {
            (Some(id), ..) => Key::Delivery(id.0),
            (None, Some(event), _) => Key::Event(event),
            (None, None, Some(text)) => Key::Resource(text.clone()),
            (None, None, None) => return Ok(None),
        };
        let found = found.cloned();
        Ok(Some(Some(Named { app, keys: vec![key], event, resource, found, beyond_names: false })))
    }

    /// By the search text, as far as it is an id; rows that its names lead to are left out.
    pub(crate) fn of_text(app: AppRow, found: &Found) -> Option<Named> {
        let event = found.event.map(Key::Event);
        let keys: Vec<Key> = event.into_iter().chain(found.resource.clone().map(Key::Resource)).collect();
        let named = || Named {
            app,
            keys: keys.clone(),
            event: None,
            resource: None,
            found: Some(found.clone()),
            beyond_names: true,
        };
        (!keys.is_empty()).then(named)
    }

    /// Shows the rows, in no order, until `show` has had enough.
    pub(crate) fn each(
        &self,
        conn: &Connection,
        mut show: impl FnMut(&NamedRow) -> rusqlite::Result<bool>,
    ) -> rusqlite::Result<()> {
        for (at, key) in self.keys.iter().enumerate() {
            let mut statement = conn.prepare_cached(&key.sql())?;
            let mut rows = statement.query(params_from_iter([key.value(), Value::Integer(self.app.0)]))?;
            while let Some(row) = rows.next()? {
                let row = NamedRow::read(row)?;
                let is_repeated = self.keys[..at].contains(&Key::Event(row.event));
                if !is_repeated && self.admits(conn, &row)? && !show(&row)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn admits(&self, conn: &Connection, row: &NamedRow) -> rusqlite::Result<bool> {
        if self.event.is_some_and(|event| event != row.event) {
            return Ok(false);
        }
        if let Some(resource) = &self.resource
            && !is_about(conn, row.event, resource)?
        {
            return Ok(false);
        }
        let Some(found) = &self.found else { return Ok(true) };
        let is_named = found.endpoints.contains(&row.endpoint) || found.kinds.contains(&row.class.kind());
        if self.beyond_names || is_named {
            return Ok(self.beyond_names != is_named);
        }
        match &found.resource {
            _ if found.event == Some(row.event) => Ok(true),
            Some(resource) => is_about(conn, row.event, resource),
            None => Ok(false),
        }
    }
}

fn is_about(conn: &Connection, event: EventRow, resource: &str) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT 1 FROM events WHERE id = ?1 AND resource_id = ?2")?
        .exists(params![event, resource])
}
