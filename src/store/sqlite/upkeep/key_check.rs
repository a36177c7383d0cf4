//! What shows with which encryption key a database was written.
//!
//! Since this check exists a database has a *check value*: a fixed text, encrypted with its key. A database of an
//! earlier version gets it at the first start, after the key has decrypted every secret in it.

use std::path::Path;
use std::time::Duration;

use rusqlite::types::FromSql;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};

use crate::domain::Sealed;
use crate::host::vault::KeyEvidence;
use crate::store::Result;
use crate::store::sqlite::engine::error;

/// The name of the check value in `settings`, which holds it in hexadecimal.
const NAME: &str = "encryption_key.check";
/// How long to wait for a lock of another process.
const BUSY: Duration = Duration::from_secs(10);

/// Reads a database that no server of this process uses. Changes nothing; a server may be running on it.
pub fn of_file(database: &Path) -> Result<KeyEvidence> {
    let open = || -> rusqlite::Result<KeyEvidence> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(database, flags)?;
        conn.busy_timeout(BUSY)?;
        conn.pragma_update(None, "query_only", true)?;
        read(&conn)
    };
    open().map_err(|e| error::of("reading what shows the encryption key", e))
}

/// The check value, or else all signing secrets and alert URLs.
pub(crate) fn read(conn: &Connection) -> rusqlite::Result<KeyEvidence> {
    let mut evidence = KeyEvidence::default();
    if has(conn, "settings")? {
        let sql = "SELECT value FROM settings WHERE name = ?1";
        let text: Option<String> = conn.query_row(sql, [NAME], |row| row.get(0)).optional()?;
        evidence.check = text.map(|text| Sealed(hex::decode(text).unwrap_or_default()));
    }
    if evidence.check.is_some() {
        return Ok(evidence);
    }
    if has(conn, "endpoints")? {
        let sql = "SELECT uid, secret FROM endpoints WHERE deleted_at IS NULL";
        evidence.signing_secrets = sealed(conn, sql)?;
    }
    if has(conn, "alert_targets")? {
        evidence.alert_urls = sealed(conn, "SELECT uid, url FROM alert_targets")?;
    }
    Ok(evidence)
}

/// Rows of an id and a sealed value.
fn sealed<Id: FromSql>(conn: &Connection, sql: &str) -> rusqlite::Result<Vec<(Id, Sealed)>> {
    let mut statement = conn.prepare(sql)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

/// Writes the check value.
pub(crate) fn put(conn: &Connection, check: &Sealed) -> rusqlite::Result<()> {
    let sql =
        "INSERT INTO settings (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2";
    conn.execute(sql, params![NAME, hex::encode(&check.0)]).map(drop)
}

/// Whether a table exists, which earlier versions did not have.
fn has(conn: &Connection, table: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1)";
    conn.query_row(sql, [table], |row| row.get(0))
}
