//! A look at the whole database: whether it is sound, what refers to nothing, and what it is made of.
//!
//! It reads every page, in one snapshot, while a server may be writing. Nothing is changed; a database
//! of an older program is not migrated by looking at it.

use std::path::Path;

use rusqlite::Connection;

use crate::store::Result;
use crate::store::files::Inspection;
use crate::store::sqlite::engine::{error, migrations, pool, schema};

/// Lines of SQLite's own check that are reported.
const LINES: u32 = 20;
/// The biggest tables are named, so many.
const TABLES: usize = 12;

/// What must refer to nothing that is missing, as (what is wrong, how many there are).
const RULES: &[(&str, &str)] = &[
    (
        "attempts whose first attempt is gone",
        "SELECT count(*) FROM attempts t WHERE t.first_id IS NOT NULL \
         AND NOT EXISTS (SELECT 1 FROM attempts f WHERE f.id = t.first_id)",
    ),
    (
        "pending attempts whose event has lost its payload",
        "SELECT count(*) FROM attempts t JOIN events v ON v.id = t.event \
         WHERE t.status = 'pending' AND v.payload IS NULL",
    ),
    (
        "deliveries that do not have exactly one attempt that is not failed",
        "SELECT count(*) FROM (SELECT coalesce(first_id, id) AS delivery FROM attempts \
         GROUP BY delivery HAVING sum(status <> 'failed') <> 1)",
    ),
    (
        "idempotency keys whose event is gone",
        "SELECT count(*) FROM idempotency i WHERE NOT EXISTS (SELECT 1 FROM events v WHERE v.id = i.event)",
    ),
];

/// Looks at the database in this file. Blocks for as long as reading all of it takes.
///
/// # Errors
/// [`crate::store::StoreError::Newer`] for a newer program's file; else what SQLite says.
pub(crate) fn inspect(database: &Path, busy_timeout: std::time::Duration) -> Result<Inspection> {
    let mut conn = pool::reader(database, busy_timeout)?;
    migrations::check(&conn)?;
    let different = schema::differences(&conn, None)?;
    let snapshot = conn.transaction().map_err(|e| error::of("reading the database", e))?;
    let mut inspection = inspect_snapshot(&snapshot).map_err(|e| error::of("checking the database", e))?;
    inspection.problems.splice(0..0, different);
    Ok(inspection)
}

fn inspect_snapshot(conn: &Connection) -> rusqlite::Result<Inspection> {
    let number = |sql: &str| conn.query_row(sql, [], |row| crate::store::sqlite::engine::rows::count(row, 0));
    let mut problems = Vec::new();
    let mut lines = conn.prepare(&format!("PRAGMA integrity_check({LINES})"))?;
    for line in lines.query_map([], |row| row.get::<_, String>(0))? {
        problems.extend(Some(line?).filter(|line| line != "ok"));
    }
    let mut dangling = conn.prepare("PRAGMA foreign_key_check")?;
    let mut rows = dangling.query([])?;
    let mut references = std::collections::BTreeMap::<(String, String), u64>::new();
    while let Some(row) = rows.next()? {
        *references.entry((row.get(0)?, row.get(2)?)).or_default() += 1;
    }
    for ((table, parent), count) in references {
        problems.push(format!("{count} rows of {table} refer to a row of {parent} that is gone"));
    }
    for (what, sql) in RULES {
        match number(sql)? {
            0 => {}
            count => problems.push(format!("{count} {what}")),
        }
    }
    let names: Vec<String> = conn
        .prepare(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
        )?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut tables = Vec::new();
    for name in names {
        let rows = number(&format!("SELECT count(*) FROM \"{name}\""))?;
        tables.push((name, rows));
    }
    tables.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let rows_of = |name: &str| tables.iter().find(|(table, _)| table == name).map_or(0, |(_, rows)| *rows);
    let (events, attempts) = (rows_of("events"), rows_of("attempts"));
    tables.truncate(TABLES);
    Ok(Inspection {
        version: conn.query_row("PRAGMA user_version", [], |row| row.get(0))?,
        known: migrations::KNOWN,
        problems,
        page_size: number("PRAGMA page_size")?,
        pages: number("PRAGMA page_count")?,
        free_pages: number("PRAGMA freelist_count")?,
        events,
        attempts,
        pending: number("SELECT count(*) FROM attempts WHERE status = 'pending'")?,
        tables,
    })
}
