//! Moving everything out of a SQLite file, or into one.
//!
//! A file that is filled has no indexes until all rows are there: they are made at the end, each in one pass.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql, params_from_iter};

use crate::domain::AttemptId;
use crate::store::shared::header_text;
use crate::store::shared::transfer::{
    Batch, COUNTED, Cell, Cells, HALF_FILLED, Kind, MARK, TABLES, Table, size_of,
};
use crate::store::sqlite::engine::{backup, error, migrations, pool, schema};
use crate::store::sqlite::queue::header_values;
use crate::store::sqlite::upkeep::transfer_sql;
use crate::store::transfer::{TransferSource, TransferTarget};
use crate::store::{Result, StoreError};

/// How long a lock of another process is waited for.
const BUSY: Duration = Duration::from_secs(10);
/// Rows, and about how many bytes, in a transaction.
const ROWS: usize = 50_000;
const BYTES: usize = 64 << 20;
/// Pages in memory while a file is filled, in KiB.
const CACHE_KIB: i64 = 64_000;
/// What a reference to a header's value begins with, and the shortest value that is kept apart.
const REFERENCE: char = '\u{1}';
const LONG: usize = 256;

const READING: &str = "reading the database";
const FILLING: &str = "filling the database";

/// Refuses a database that is half filled.
pub(crate) fn refuse_half(conn: &Connection) -> Result<()> {
    match is_marked(conn) {
        Ok(false) => Ok(()),
        Ok(true) => Err(StoreError::Refused { what: HALF_FILLED.to_owned() }),
        Err(e) => Err(error::of("looking whether the database is complete", e)),
    }
}

fn is_marked(conn: &Connection) -> rusqlite::Result<bool> {
    conn.query_row("SELECT EXISTS (SELECT 1 FROM meta WHERE name = ?1)", [MARK], |row| row.get(0))
}

/// A file that is read, in one snapshot.
pub(crate) struct SqliteSource(Connection);

impl SqliteSource {
    /// Brings the file up to date, as a start does, and begins to read it.
    pub(crate) fn open(path: &Path) -> Result<SqliteSource> {
        let mut conn = pool::writer(path, BUSY)?;
        pool::empty_wal(&conn)?;
        if let Some(found) = migrations::outdated(&conn)? {
            backup::before_migration(&conn, path, found)?;
        }
        migrations::run(&mut conn)?;
        refuse_half(&conn)?;
        drop(conn);
        let conn = pool::reader(path, BUSY)?;
        conn.execute_batch("BEGIN").map_err(|e| error::of(READING, e))?;
        Ok(SqliteSource(conn))
    }

    /// How many attempts and events have ids from one on that are not made of their time: a second, and a number below
    /// 2 to the power of `bits`.
    pub(crate) fn untimely(&self, from: i64, bits: u32) -> Result<u64> {
        let sql = "SELECT (SELECT count(*) FROM attempts WHERE id >= ?1 AND id >> ?2 <> created_at / 1000) \
                   + (SELECT count(*) FROM events WHERE id >= ?1 AND id >> ?2 <> created_at / 1000)";
        let count = self.0.query_row(sql, [from, bits.into()], |row| row.get::<_, i64>(0));
        count.map(i64::unsigned_abs).map_err(|e| error::of(READING, e))
    }
}

fn count_all(conn: &Connection) -> Result<Vec<u64>> {
    let count = |table: &Table| {
        let counted = conn.query_row(&transfer_sql::count(table), [], |row| row.get::<_, i64>(0));
        counted.map(i64::unsigned_abs).map_err(|e| error::of(READING, e))
    };
    TABLES.iter().map(count).collect()
}

fn read_table(conn: &Connection, table: &Table, each: &mut dyn FnMut(Cells) -> Result<()>) -> Result<()> {
    let failed = |e| error::of(READING, e);
    let headers = table.at("request_headers");
    let mut statement = conn.prepare(&transfer_sql::select(table)).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let columns = table.columns.iter().enumerate();
        let cells: rusqlite::Result<Cells> =
            columns.map(|(at, column)| Ok(cell(row.get_ref(at)?, column.kind))).collect();
        let mut cells = cells.map_err(failed)?;
        if let Some(Cell::Text(text)) = headers.and_then(|at| cells.get_mut(at))
            && text.contains(REFERENCE)
        {
            *text = whole_headers(conn, text).map_err(failed)?;
        }
        each(cells)?;
    }
    Ok(())
}

/// The headers of a request with all values in their places.
fn whole_headers(conn: &Connection, text: &str) -> rusqlite::Result<String> {
    Ok(header_text::write(&header_values::resolve(conn, header_text::read(text)?)?))
}

fn cell(value: ValueRef<'_>, kind: Kind) -> Cell {
    match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(number) => Cell::Int(number),
        ValueRef::Real(number) => Cell::Text(number.to_string()),
        // PostgreSQL holds no NUL in a text.
        ValueRef::Text(text) => Cell::Text(String::from_utf8_lossy(text).replace('\0', "\u{fffd}")),
        // The byte of an endpoint's id that says its shard.
        ValueRef::Blob(&[shard]) if kind == Kind::Small => Cell::Int(shard.into()),
        ValueRef::Blob(bytes) => Cell::Bytes(bytes.to_vec()),
    }
}

impl TransferSource for SqliteSource {
    fn count(&mut self) -> Result<Vec<u64>> {
        count_all(&self.0)
    }

    fn read(&mut self, table: usize, each: &mut dyn FnMut(Cells) -> Result<()>) -> Result<()> {
        read_table(&self.0, &TABLES[table], each)
    }
}

/// A file that is filled.
pub(crate) struct SqliteTarget {
    conn: Connection,
    /// The indexes to be made at the end.
    indexes: Vec<String>,
    /// What is in the open transaction.
    rows: usize,
    bytes: usize,
}

impl SqliteTarget {
    /// Makes the file, in place of one that has nothing in it or that was half filled.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when there is something in it.
    pub(crate) fn create(path: &Path) -> Result<SqliteTarget> {
        remove_empty(path)?;
        let mut conn = pool::writer(path, BUSY)?;
        migrations::run(&mut conn)?;
        let begin = || -> rusqlite::Result<Vec<String>> {
            conn.execute("INSERT INTO meta (name, value) VALUES (?1, 1)", [MARK])?;
            conn.pragma_update(None, "foreign_keys", false)?;
            // Should the machine stop, this begins again anyway; the file stays sound.
            conn.pragma_update(None, "synchronous", "NORMAL")?;
            conn.pragma_update(None, "cache_size", -CACHE_KIB)?;
            conn.pragma_update(None, "cache_spill", true)?;
            conn.pragma_update(None, "temp_store", "FILE")?;
            pool::keep_temporary_beside(&conn, path);
            drop_indexes(&conn)
        };
        let indexes = begin().map_err(|e| error::of(FILLING, e))?;
        schema::distrust(&conn).map_err(|e| error::of(FILLING, e))?;
        Ok(SqliteTarget { conn, indexes, rows: 0, bytes: 0 })
    }

    fn put(&mut self, table: &Table, rows: Vec<Cells>) -> rusqlite::Result<()> {
        if self.rows == 0 {
            self.conn.execute_batch("BEGIN")?;
        }
        let writes = transfer_sql::writes(table);
        let (id, headers) = (table.at("id"), table.at("request_headers"));
        for mut row in rows {
            if let (Some(id), Some(at)) = (id, headers) {
                shorten(&self.conn, row[id].number(), &mut row[at])?;
            }
            for write in &writes {
                let says = |at: &usize| row[*at] != Cell::Null && row[*at] != Cell::Int(0);
                if write.wanted.is_empty() || write.wanted.iter().any(says) {
                    let values = write.values.iter().map(|at| &row[*at]);
                    self.conn.prepare_cached(&write.sql)?.execute(params_from_iter(values))?;
                }
            }
            self.rows += 1;
            self.bytes += size_of(&row);
        }
        if self.rows >= ROWS || self.bytes >= BYTES { self.commit() } else { Ok(()) }
    }

    fn commit(&mut self) -> rusqlite::Result<()> {
        if std::mem::take(&mut self.rows) > 0 {
            self.bytes = 0;
            self.conn.execute_batch("COMMIT")?;
        }
        Ok(())
    }
}

/// Keeps the long values of a request's headers once.
fn shorten(conn: &Connection, attempt: i64, cell: &mut Cell) -> rusqlite::Result<()> {
    let Cell::Text(text) = cell else { return Ok(()) };
    if text.lines().any(|line| line.len() >= LONG || line.contains(REFERENCE)) {
        let headers = header_text::read(text)?;
        if let Some(short) = header_values::put(conn, AttemptId(attempt), &headers)? {
            *text = header_text::write(&short);
        }
    }
    Ok(())
}

impl ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Cell::Null => ValueRef::Null,
            Cell::Int(number) => ValueRef::Integer(*number),
            Cell::Text(text) => ValueRef::Text(text.as_bytes()),
            Cell::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// Removes the files of a database with nothing in it, and of a half-filled one.
fn remove_empty(path: &Path) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let conn = pool::writer(path, BUSY)?;
    let is_there = |table: &str| {
        let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1)";
        conn.query_row(sql, [table], |row| row.get::<_, bool>(0))
    };
    let filled = || -> rusqlite::Result<Option<&str>> {
        if !is_there("meta")? || is_marked(&conn)? {
            return Ok(None);
        }
        let mut counted = vec![("apps", "apps LIMIT 1 OFFSET 1")];
        let name_here =
            |name: &&'static str| if matches!(*name, "queue" | "log") { "attempts" } else { *name };
        counted.extend(COUNTED.iter().map(name_here).map(|name| (name, name)));
        for (name, from) in counted {
            if is_there(name)? && conn.prepare(&format!("SELECT 1 FROM {from}"))?.exists([])? {
                return Ok(Some(name));
            }
        }
        Ok(None)
    };
    if let Some(table) = filled().map_err(|e| error::of("looking whether the database is empty", e))? {
        return Err(StoreError::Refused {
            what: format!(
                "{} is not empty ({table}): everything is moved into an empty place only. Name another directory",
                path.display()
            ),
        });
    }
    drop(conn);
    for end in ["", "-wal", "-shm"] {
        let mut file = path.as_os_str().to_owned();
        file.push(end);
        match std::fs::remove_file(PathBuf::from(file)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::Failed { doing: "emptying the database", source: Box::new(e) });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Drops all indexes that are no constraints; the statements that make them.
fn drop_indexes(conn: &Connection) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL ORDER BY rowid";
    let mut found = conn.prepare(sql)?;
    let found = found.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let found: Vec<(String, String)> = found.collect::<rusqlite::Result<_>>()?;
    for (name, _) in &found {
        conn.execute_batch(&format!("DROP INDEX {name}"))?;
    }
    Ok(found.into_iter().map(|(_, sql)| sql).collect())
}

/// What follows from the rows: when the attempt behind one is due, and the times of each zone but the last, which is
/// still being filled.
const FOLLOWING: &str = "
    UPDATE attempts SET next_retry_at = p.due_at FROM attempts p
    WHERE p.status = 'pending' AND p.attempt = 2 AND p.first_id = attempts.id;
    UPDATE attempts SET next_retry_at = p.due_at FROM attempts p
    WHERE p.status = 'pending' AND p.attempt > 2 AND p.first_id = attempts.first_id AND p.attempt = attempts.attempt + 1;
    INSERT INTO log_zones SELECT id >> 12, min(created_at), max(created_at) FROM attempts
    WHERE id < ((SELECT max(id) FROM attempts) >> 12) << 12 GROUP BY id >> 12;
    INSERT INTO event_zones SELECT id >> 12, min(created_at), max(created_at) FROM events
    WHERE id < ((SELECT max(id) FROM events) >> 12) << 12 GROUP BY id >> 12;
";

impl TransferSource for SqliteTarget {
    fn count(&mut self) -> Result<Vec<u64>> {
        count_all(&self.conn)
    }

    fn read(&mut self, table: usize, each: &mut dyn FnMut(Cells) -> Result<()>) -> Result<()> {
        read_table(&self.conn, &TABLES[table], each)
    }
}

impl TransferTarget for SqliteTarget {
    fn write(&mut self, batch: Batch) -> Result<()> {
        self.put(&TABLES[batch.table], batch.rows).map_err(|e| error::of(FILLING, e))
    }

    fn settle(&mut self) -> Result<()> {
        let mut settle = || -> rusqlite::Result<()> {
            self.commit()?;
            for index in &self.indexes {
                self.conn.execute_batch(index)?;
            }
            self.conn.execute_batch(&format!("BEGIN; {FOLLOWING} COMMIT;"))
        };
        settle().map_err(|e| error::of("making the indexes", e))
    }

    fn complete(&mut self) -> Result<()> {
        let complete = || -> rusqlite::Result<()> {
            // What was written without waiting for the disk is on it before the mark goes.
            self.conn.pragma_update(None, "synchronous", "FULL")?;
            self.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
            self.conn.execute("DELETE FROM meta WHERE name = ?1", [MARK])?;
            self.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        };
        complete().map_err(|e| error::of("completing the database", e))
    }
}
