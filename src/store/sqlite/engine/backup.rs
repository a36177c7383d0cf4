//! Copies of the database: backups, what comes back from them, and the copy before an upgrade.
//!
//! A backup is a SQLite database like the one that is served, with one table more ([`TABLE`]) that says
//! what it is and holds the encryption key, if there is one to hold. One file that any SQLite can look
//! into is easier to carry, to test and to trust than an archive.
//!
//! The copy is made by SQLite's online backup in a single step: one snapshot, to which everything belongs
//! that was committed before, while writers go on. (In several steps it would start over with every write
//! of another process.) The write-ahead log cannot start over meanwhile and grows; that is all it costs.
//!
//! Everything here is written beside its place and renamed when it is whole and on disk.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

use crate::store::files::{About, BackupSummary, Manifest};
use crate::store::sqlite::engine::{error, migrations, schema};
use crate::store::{Result, StoreError};

/// The table that only backups have: `name` and `value`, both text.
const TABLE: &str = "postrider_backup";
/// Names in [`TABLE`].
const KEY: &str = "encryption_key";
const VERSION: &str = "version";
const CREATED_AT: &str = "created_at";

/// How long a lock of another process is waited for.
const BUSY: Duration = Duration::from_secs(10);
/// A pause before a locked database is tried again.
const AGAIN: Duration = Duration::from_millis(50);

/// Copies the database to a new file, 0600, and looks whether the copy is sound.
///
/// # Errors
/// What SQLite or the disk says, and [`StoreError::Damaged`] when the copy is not sound, as the database
/// itself then is not. Nothing is left at `to` after an error.
pub(crate) fn write(database: &Path, to: &Path, about: &About) -> Result<BackupSummary> {
    let draft = Draft::beside(to)?;
    {
        let source = source(database)?;
        migrations::check(&source)?;
        let mut copy = copied(&source, draft.path())?;
        describe(&mut copy, about).map_err(|e| error::of("writing what the backup is", e))?;
        sound(&copy, "quick_check")?;
        close(copy)?;
    }
    let count = open(draft.path())?;
    let number = |table| {
        count
            .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
                crate::store::sqlite::engine::rows::count(row, 0)
            })
            .map_err(|e| error::of("counting what is in the backup", e))
    };
    let (events, attempts) = (number("events")?, number("attempts")?);
    close(count)?;
    let bytes = draft.keep(to)?;
    Ok(BackupSummary { bytes, events, attempts, has_key: about.key.is_some() })
}

/// Takes a backup into `to`, which must not exist: copied, checked, and without what only backups have.
/// `judge` may refuse it after a look at what it says of itself.
///
/// # Errors
/// [`StoreError::Newer`] when a newer program made it, [`StoreError::Damaged`] when it is no sound backup,
/// what `judge` says, and what the disk says. Nothing is left at `to` after an error.
pub(crate) fn restore<E: From<StoreError>>(
    from: &Path,
    to: &Path,
    judge: impl FnOnce(&Manifest) -> std::result::Result<(), E>,
) -> std::result::Result<Manifest, E> {
    let draft = Draft::beside(to)?;
    fs::copy(from, draft.path()).map_err(|e| failed("copying the backup", e))?;
    let mut conn = open(draft.path())?;
    has_schema(&conn)?;
    migrations::check(&conn)?;
    schema::check(&conn, Some(TABLE))?;
    sound(&conn, "integrity_check")?;
    let manifest = manifest(&conn)?;
    judge(&manifest)?;
    strip(&mut conn).map_err(|e| error::of("taking the key out of the copy", e))?;
    close(conn)?;
    draft.keep(to)?;
    Ok(manifest)
}

/// Keeps a copy of a database that is about to be migrated, beside it, and says where.
pub(crate) fn before_migration(conn: &Connection, database: &Path, version: i64) -> Result<PathBuf> {
    let mut to = database.as_os_str().to_owned();
    to.push(format!(".v{version}"));
    let to = PathBuf::from(to);
    let draft = Draft::beside(&to)?;
    close(copied(conn, draft.path())?)?;
    draft.keep(&to)?;
    Ok(to)
}

// ---------------------------------------------------------------------------------------------
// Steps

/// The database that is copied. A server may be writing to it; nothing is written here.
fn source(database: &Path) -> Result<Connection> {
    let conn = open(database)?;
    conn.pragma_update(None, "query_only", true).map_err(|e| error::of("opening the database", e))?;
    Ok(conn)
}

fn open(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(|e| error::of("opening the database", e))?;
    let set_up = || {
        conn.busy_timeout(BUSY)?;
        schema::distrust(&conn)
    };
    set_up().map_err(|e| error::of("opening the database", e))?;
    Ok(conn)
}

/// Copies all pages as they are at one moment into a file that exists and is empty.
fn copied(source: &Connection, to: &Path) -> Result<Connection> {
    let doing = "copying the database";
    let mut copy = open(to)?;
    let run = |copy: &mut Connection| -> rusqlite::Result<()> {
        // A crash leaves a draft, which nobody takes for a backup; it is synced as a whole at the end.
        copy.pragma_update(None, "synchronous", "OFF")?;
        let backup = Backup::new(source, copy)?;
        loop {
            match backup.step(-1)? {
                StepResult::Done => return Ok(()),
                _ => std::thread::sleep(AGAIN),
            }
        }
    };
    run(&mut copy).map_err(|e| error::of(doing, e))?;
    // The copy says of itself that it has a write-ahead log; as one file it must not.
    copy.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))
        .map_err(|e| error::of(doing, e))?;
    Ok(copy)
}

fn describe(copy: &mut Connection, about: &About) -> rusqlite::Result<()> {
    let tx = copy.transaction()?;
    tx.execute_batch(&format!("CREATE TABLE {TABLE} (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT"))?;
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let facts =
        [(VERSION, Some(version)), (CREATED_AT, Some(about.now.to_string())), (KEY, about.key.clone())];
    for (name, value) in facts {
        if let Some(value) = value {
            tx.execute(&format!("INSERT INTO {TABLE} (name, value) VALUES (?1, ?2)"), [name, &value])?;
        }
    }
    tx.commit()
}

fn manifest(conn: &Connection) -> Result<Manifest> {
    let read = || -> rusqlite::Result<Manifest> {
        let has = |table: &str| {
            conn.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = ?1)", [table], |row| {
                row.get::<_, bool>(0)
            })
        };
        let described = has(TABLE)?;
        let fact = |name: &str| {
            if !described {
                return Ok(None);
            }
            let sql = format!("SELECT value FROM {TABLE} WHERE name = ?1");
            conn.query_row(&sql, [name], |row| row.get::<_, String>(0)).optional()
        };
        let sample = || {
            let sql = "SELECT uid, secret FROM endpoints WHERE deleted_at IS NULL LIMIT 1";
            conn.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).optional()
        };
        let sample = if has("endpoints")? { sample()? } else { None };
        Ok(Manifest { version: fact(VERSION)?, created_at: fact(CREATED_AT)?, key: fact(KEY)?, sample })
    };
    read().map_err(|e| error::of("reading what the backup is", e))
}

/// Refuses what is no database of this program.
fn has_schema(conn: &Connection) -> Result<()> {
    let version: i64 = conn.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(no_database)?;
    if version == 0 {
        return Err(StoreError::Damaged { what: "it is no database of postrider".to_owned() });
    }
    Ok(())
}

/// Removes what only backups have, and overwrites where it was.
fn strip(conn: &mut Connection) -> rusqlite::Result<()> {
    conn.pragma_update_and_check(None, "secure_delete", true, |_| Ok(()))?;
    conn.execute_batch(&format!("DROP TABLE IF EXISTS {TABLE}"))?;
    conn.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))
}

/// Runs one of SQLite's own checks.
fn sound(conn: &Connection, check: &str) -> Result<()> {
    let said: String =
        conn.query_row(&format!("PRAGMA {check}(1)"), [], |row| row.get(0)).map_err(no_database)?;
    if said == "ok" { Ok(()) } else { Err(StoreError::Damaged { what: said }) }
}

/// What is no database, or is not whole, is damaged; anything else is what it is.
fn no_database(cause: rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    match cause.sqlite_error_code() {
        Some(NotADatabase | DatabaseCorrupt) => StoreError::Damaged { what: cause.to_string() },
        _ => error::of("checking the database", cause),
    }
}

fn close(conn: Connection) -> Result<()> {
    conn.close().map_err(|(_, e)| error::of("closing the copy", e))
}

fn failed(doing: &'static str, source: io::Error) -> StoreError {
    match source.kind() {
        io::ErrorKind::StorageFull => StoreError::Full,
        _ => StoreError::Failed { doing, source: Box::new(source) },
    }
}

/// A file that is being written beside its place; it goes away unless it is kept.
struct Draft(PathBuf);

impl Draft {
    fn beside(to: &Path) -> Result<Draft> {
        let mut path = to.as_os_str().to_owned();
        path.push(format!(".{}.partial", std::process::id()));
        let draft = Draft(PathBuf::from(path));
        // What a crash has left under this name is nobody's.
        let _ = fs::remove_file(&draft.0);
        let file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&draft.0);
        file.map_err(|e| failed("making the file", e))?;
        Ok(draft)
    }

    fn path(&self) -> &Path {
        &self.0
    }

    /// Puts it on disk and in its place, and gives its size.
    fn keep(self, to: &Path) -> Result<u64> {
        let keep = || -> io::Result<u64> {
            let file = File::open(&self.0)?;
            file.sync_all()?;
            fs::rename(&self.0, to)?;
            let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty());
            File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
            Ok(file.metadata()?.len())
        };
        keep().map_err(|e| failed("putting the file in its place", e))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        for end in ["", "-journal", "-wal", "-shm"] {
            let mut path = self.0.as_os_str().to_owned();
            path.push(end);
            // It is not there when it was kept.
            let _ = fs::remove_file(path);
        }
    }
}
