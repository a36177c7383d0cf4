//! Reads the rows that an id names; see [`crate::store::shared::named`].

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter};

use crate::store::AttemptFilter;
use crate::store::shared::class::Class;
use crate::store::shared::named::{Key, Named, NamedRow};
use crate::store::shared::selection::SearchHits;
use crate::store::sqlite::engine::rows::{AppRow, EventRow};
use crate::store::sqlite::queue::filter::EVENT_ROW;

pub(crate) fn sql(key: &Key) -> String {
    let of = match key {
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

fn value(key: &Key) -> Value {
    match key {
        Key::Delivery(id) => Value::Integer(*id),
        Key::Event(row) => Value::Integer(row.0),
        Key::Resource(text) => Value::Text(text.clone()),
    }
}

const ROW: &str =
    "t.id, t.delivery, t.endpoint, t.event, t.class, t.created_at, t.attempted_at, t.response_time_ms";

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

/// By the ids of a filter. `None`: it has none. `Some(None)`: its ids name nothing.
pub(crate) fn of_filter(
    conn: &Connection,
    app: AppRow,
    filter: &AttemptFilter,
    found: Option<&SearchHits>,
) -> rusqlite::Result<Option<Option<Named>>> {
    let event = match filter.event {
        None => None,
        Some(id) => {
            match conn.prepare_cached(EVENT_ROW)?.query_row(params![id, app], |row| row.get(0)).optional()? {
                None => return Ok(Some(None)),
                event => event,
            }
        }
    };
    Ok(Named::of_ids(app, filter.delivery, event, filter.resource.clone(), found).map(Some))
}

/// Shows the rows, in no order, until `show` has had enough.
pub(crate) fn each(
    conn: &Connection,
    named: &Named,
    mut show: impl FnMut(&NamedRow) -> rusqlite::Result<bool>,
) -> rusqlite::Result<()> {
    for (at, key) in named.keys.iter().enumerate() {
        let mut statement = conn.prepare_cached(&sql(key))?;
        let mut rows = statement.query(params_from_iter([value(key), Value::Integer(named.app.0)]))?;
        while let Some(row) = rows.next()? {
            let row = read(row)?;
            let is_meant =
                !named.is_repeated(at, &row) && named.admits(&row, |text| is_about(conn, row.event, text))?;
            if is_meant && !show(&row)? {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn is_about(conn: &Connection, event: EventRow, resource: &str) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT 1 FROM events WHERE id = ?1 AND resource_id = ?2")?
        .exists(params![event, resource])
}
