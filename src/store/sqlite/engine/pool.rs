//! Connections: how one is set up, and the pool that reads share.
//!
//! Readers cannot write (`query_only`), so that whatever changes the database goes through the writer.
//! Caches are small on purpose: the operating system caches the file as well, and the program should
//! be idle in a few megabytes. The pool holds no connection that is not needed.

use crate::domain::network::without_address;
use crate::domain::values::fold::fold;
use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::mpsc;

use crate::store::shared::record_text;
use crate::store::sqlite::engine::{error, schema};
use crate::store::{Result, StoreError};

/// Kept pages of a connection that reads, in KiB.
const READER_CACHE_KIB: i64 = 2_000;
/// Kept pages of the one that writes, in KiB. SQLite walks over all of them in nearly every commit, so more of them
/// cost more than they save; pages that a large group changes stay in memory beyond this (`cache_spill`).
const WRITER_CACHE_KIB: i64 = 2_000;
/// What a WAL is cut to when it starts over after it had grown, in bytes.
const WAL_KEPT_BYTES: i64 = 64 << 20;
/// How long a connection that nobody uses is kept.
const IDLE: Duration = Duration::from_secs(60);
/// How long opening a connection may take.
const CONNECT: Duration = Duration::from_secs(10);

pub(crate) type Pool = r2d2::Pool<SqliteConnectionManager>;

/// The connection that writes; makes the file when there is none.
pub(crate) fn writer(path: &Path, busy_timeout: Duration) -> Result<Connection> {
    make_private(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(|e| error::of("opening the database", e))?;
    conn.busy_timeout(busy_timeout).map_err(|e| error::of("setting up the database", e))?;
    // Refused before the first pragma, so that a newer program's file is left as it is.
    crate::store::sqlite::engine::migrations::check(&conn)?;
    set_up_writer(&conn).map_err(|e| error::of("setting up the database", e))?;
    Ok(conn)
}

/// Moves what an earlier process has left in the WAL into the main file, and syncs both. After a failed fsync
/// the WAL may be whole in memory and not on the disk; what is added behind such a gap would be lost with it.
pub(crate) fn empty_wal(conn: &Connection) -> Result<()> {
    // Readers of another process are not waited for, and on a full disk it stays as it is.
    let wait = conn.query_row("PRAGMA busy_timeout", [], |row| row.get::<_, u32>(0)).unwrap_or(0);
    let _ = conn.busy_timeout(Duration::ZERO);
    let moved = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    let _ = conn.busy_timeout(Duration::from_millis(wait.into()));
    match moved {
        Err(e) if error::classify(&e) == error::ErrorClass::Broken => {
            Err(error::of("moving what is in the WAL into the database", e))
        }
        _ => Ok(()),
    }
}

/// SQLite gives the WAL the same permissions as the file, so this covers all three. A file that exists
/// is not opened: closing it would drop the locks that this process has on it (POSIX).
fn make_private(path: &Path) -> Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(source) => {
            Err(StoreError::Failed { doing: "opening the database file", source: Box::new(source) })
        }
    }
}

fn set_up_writer(conn: &Connection) -> rusqlite::Result<()> {
    // Before anything is written: it cannot be changed afterwards without rewriting the file, and
    // on a file in use it would only wait for the lock.
    if conn.pragma_query_value(None, "page_count", |row| row.get::<_, i64>(0))? == 0 {
        conn.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    conn.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update_and_check(None, "journal_size_limit", WAL_KEPT_BYTES, |_| Ok(()))?;
    // Every command runs in a savepoint, for which SQLite keeps each page as it was. By default it writes
    // them to a temporary file, some 35 pages for each delivery.
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    conn.set_prepared_statement_cache_capacity(96);
    conn.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    // What is written to the WAL before the commit is written once more with it.
    conn.pragma_update(None, "cache_spill", false)?;
    add_functions(conn)
}

/// `text_contains(text, part)`: whether `part`, which is folded, is in `text`, whatever its case.
/// SQLite's own `lower` and `LIKE` know only ASCII, and `LIKE` has wildcards besides.
///
/// `merge_records(record, later)`: [`record_text::merge`].
fn add_functions(conn: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    conn.create_scalar_function("merge_records", 2, flags, |context| {
        let text = |at| context.get_raw(at).as_str().unwrap_or_default();
        Ok(record_text::merge(text(0), text(1)))
    })?;
    conn.create_scalar_function("text_contains", 2, flags, |context| {
        let part = context.get_raw(1).as_str().unwrap_or_default();
        Ok(context.get_raw(0).as_str().is_ok_and(|text| fold(text).contains(part)))
    })?;
    // The same of an error's message, as callers see it who may not see addresses.
    conn.create_scalar_function("shown_contains", 2, flags, |context| {
        let part = context.get_raw(1).as_str().unwrap_or_default();
        let shown = |text: &str| fold(without_address(text).as_deref().unwrap_or(text)).contains(part);
        Ok(context.get_raw(0).as_str().is_ok_and(shown))
    })
}

/// How a connection that reads is opened.
const READER: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

fn set_up_reader(conn: &Connection, path: &Path, busy_timeout: Duration) -> rusqlite::Result<()> {
    schema::distrust(conn)?;
    conn.busy_timeout(busy_timeout)?;
    keep_temporary_beside(conn, path);
    conn.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
    add_functions(conn)?;
    conn.set_prepared_statement_cache_capacity(32);
    conn.pragma_update(None, "query_only", true)
}

/// Has SQLite keep what does not fit into memory while it sorts in the directory of the database. In a
/// container there may be no other one that can be written to, and what is in it should not pass through one
/// that is for everybody. These files have no name once they are open. Holds for the whole process.
pub(crate) fn keep_temporary_beside(conn: &Connection, path: &Path) {
    if let Some(dir) = path.parent().and_then(Path::to_str).filter(|dir| !dir.is_empty()) {
        // Nothing can be written there: then where SQLite likes, if anywhere.
        let _ = conn.pragma_update(None, "temp_store_directory", dir);
    }
}

/// One connection that reads.
pub(crate) fn reader(path: &Path, busy_timeout: Duration) -> Result<Connection> {
    let conn = Connection::open_with_flags(path, READER).map_err(|e| error::of("opening a reader", e))?;
    set_up_reader(&conn, path, busy_timeout).map_err(|e| error::of("setting up a reader", e))?;
    Ok(conn)
}

/// One connection that makes checkpoints, which need no pages in memory. It changes no content.
pub(crate) fn checkpointer(path: &Path, busy_timeout: Duration) -> Result<Connection> {
    let conn = Connection::open_with_flags(path, READER).map_err(|e| error::of("opening checkpoints", e))?;
    let set_up = || {
        schema::distrust(&conn)?;
        conn.busy_timeout(busy_timeout)?;
        // As the writer: what is moved is on disk before the WAL starts over.
        conn.pragma_update(None, "synchronous", "FULL")?;
        conn.pragma_update(None, "cache_size", 8)
    };
    set_up().map_err(|e| error::of("setting up checkpoints", e))?;
    Ok(conn)
}

/// The connections that read. Each holds `open` until it is closed.
pub(crate) fn readers(
    path: &Path,
    max: u32,
    busy_timeout: Duration,
    open: mpsc::Sender<Infallible>,
) -> Result<Pool> {
    let file = path.to_owned();
    let manager = SqliteConnectionManager::file(path).with_flags(READER).with_init(move |conn| {
        set_up_reader(conn, &file, busy_timeout)?;
        hold(conn, open.clone())
    });
    r2d2::Pool::builder()
        .max_size(max)
        .min_idle(Some(0))
        .idle_timeout(Some(IDLE))
        .connection_timeout(CONNECT)
        .test_on_check_out(false)
        .build(manager)
        .map_err(|e| StoreError::Failed { doing: "opening the readers", source: Box::new(e) })
}

/// Keeps something for as long as a connection is open: SQLite drops functions after it has closed its files.
fn hold(conn: &Connection, open: mpsc::Sender<Infallible>) -> rusqlite::Result<()> {
    conn.create_scalar_function("is_wanted", 0, FunctionFlags::default(), move |_| Ok(!open.is_closed()))
}

/// A transaction that reads: all its statements see the same state. rusqlite's own prepares its two
/// statements each time, which takes longer than most reads.
pub(crate) struct Snapshot<'a>(&'a Connection);

impl Snapshot<'_> {
    pub(crate) fn begin(conn: &Connection) -> rusqlite::Result<Snapshot<'_>> {
        conn.prepare_cached("BEGIN")?.execute([])?;
        Ok(Snapshot(conn))
    }
}

impl std::ops::Deref for Snapshot<'_> {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        self.0
    }
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        // An error may have ended it already.
        if !self.0.is_autocommit() {
            let ended = self.0.prepare_cached("ROLLBACK").and_then(|mut statement| statement.execute([]));
            if let Err(error) = ended {
                tracing::warn!(%error, "a read did not end cleanly");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reader_sorts_is_kept_beside_the_database() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.db");
        // Other tests of this process say the same of their directories, perhaps in between.
        let is_beside = (0..1_000).any(|_| {
            let conn = reader_of_new(&path);
            let kept: Option<String> =
                conn.pragma_query_value(None, "temp_store_directory", |row| row.get(0)).unwrap();
            kept.as_deref() == dir.path().to_str()
        });
        assert!(is_beside);
    }

    fn reader_of_new(path: &Path) -> Connection {
        drop(make_private(path));
        reader(path, Duration::ZERO).unwrap()
    }
}
