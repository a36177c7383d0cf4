//! Reads the streams of a [`plan`](crate::store::sqlite::log::plan): by id, or in the order of a column.

use rusqlite::{Connection, params};

use crate::store::sqlite::engine::zones::IdRange;
use crate::store::sqlite::log::plan::{Scope, Stream};

pub(crate) fn in_direction(spans: &[IdRange], descending: bool) -> Box<dyn Iterator<Item = &IdRange> + '_> {
    if descending { Box::new(spans.iter().rev()) } else { Box::new(spans.iter()) }
}

pub(crate) fn created_at(conn: &Connection, id: i64) -> rusqlite::Result<i64> {
    conn.prepare_cached("SELECT created_at FROM attempts WHERE id = ?1")?.query_row([id], |row| row.get(0))
}

/// What is read of a row besides its id. Anything but nothing means to look the row up in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    None,
    CreatedAt,
    AttemptedAt,
    ResponseTime,
    Delivery,
}

impl Column {
    fn name(self) -> &'static str {
        match self {
            Column::None => "NULL",
            Column::CreatedAt => "created_at",
            Column::AttemptedAt => "attempted_at",
            Column::ResponseTime => "response_time_ms",
            Column::Delivery => "delivery",
        }
    }

    /// The last part of its indexes' names, and which rows are in them.
    fn index(self) -> (&'static str, &'static str) {
        match self {
            Column::ResponseTime => ("time", "response_time_ms IS NOT NULL"),
            Column::Delivery => (
                "delivery",
                "status <> 'failed' AND (first_id IS NOT NULL OR (trigger <> 'event' AND trigger <> 'replay'))",
            ),
            Column::None | Column::CreatedAt | Column::AttemptedAt => {
                ("attempted", "attempted_at IS NOT NULL")
            }
        }
    }
}

pub(crate) fn walk_sql(stream: Stream, descending: bool, column: Column) -> String {
    let created_at = if column == Column::None { "NULL" } else { "created_at" };
    format!(
        "SELECT id, {created_at}, {} FROM {} AND id >= ?3 AND id <= ?4 ORDER BY id {}",
        column.name(),
        stream.by_id(),
        if descending { "DESC" } else { "ASC" }
    )
}

/// Shows rows of a stream by id, with `created_at` and the column's value, until `show` has had enough;
/// then it is `true`.
pub(crate) fn walk(
    conn: &Connection,
    stream: Stream,
    span: IdRange,
    descending: bool,
    column: Column,
    mut show: impl FnMut(i64, Option<i64>, Option<i64>) -> bool,
) -> rusqlite::Result<bool> {
    let [scope, class] = stream.lead();
    let mut statement = conn.prepare_cached(&walk_sql(stream, descending, column))?;
    let mut rows = statement.query([scope, class, span.from, span.to])?;
    while let Some(row) = rows.next()? {
        if !show(row.get(0)?, row.get(1)?, row.get(2)?) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The ids and values of a stream's rows that have a value from `least` to `most`.
pub(crate) fn column_rows(
    conn: &Connection,
    stream: Stream,
    column: Column,
    least: i64,
    most: i64,
) -> rusqlite::Result<Vec<(i64, i64)>> {
    let [scope, class] = stream.lead();
    conn.prepare_cached(&column_sql(stream.scope, column, true, false))?
        .query_map(params![scope, class, least, most], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// Rows of a class in the order of a column: those with a value in a range, or those with one value
/// (`ties`) and ids in a range.
pub(crate) fn column_sql(scope: Scope, column: Column, descending: bool, ties: bool) -> String {
    let (scope, name, (index, has_rows)) = (scope.name(), column.name(), column.index());
    let direction = if descending { "DESC" } else { "ASC" };
    let (values, order) = if ties {
        (format!("{name} = ?3 AND id >= ?4 AND id <= ?5"), format!("id {direction}"))
    } else {
        (format!("{name} >= ?3 AND {name} <= ?4"), format!("{name} {direction}, id {direction}"))
    };
    format!(
        "SELECT id, {name} FROM attempts INDEXED BY attempts_{scope}_{index} \
         WHERE {scope} = ?1 AND class = ?2 AND {has_rows} AND {values} ORDER BY {order}"
    )
}
