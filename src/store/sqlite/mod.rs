//! Storage in one SQLite file: the only place that knows rusqlite and r2d2.
//!
//! Rooms, each of which may use those before it: [`engine`], [`people`], [`queue`], [`log`], [`upkeep`].
//!
//! A second process may have the same file open (`key create` beside the server): nothing here holds a
//! lock for longer than a transaction. No connection, statement or error type of SQLite leaves here.

use std::path::Path;
use std::sync::Arc;

use crate::store::{Result, StoreMeters};

pub mod engine;
mod log;
mod nodes_shown;
mod people;
mod queue;
pub mod upkeep;

#[cfg(test)]
mod tests;

use engine::{backup, error, migrations, pool, schema};
use people::apps;
use queue::{fan_outs, pending};
use upkeep::transfer;

pub use engine::store::{Options, SqliteStore};

impl SqliteStore {
    /// Opens a database file, which is made when it is not there, and brings it up to date. What an older
    /// program has written is copied before, to a file beside it.
    ///
    /// It does not keep other processes out; a second server must be stopped by other means. Blocks for
    /// as long as the disk takes.
    ///
    /// # Errors
    /// [`crate::store::StoreError::Newer`] when a newer program has written the file,
    /// [`crate::store::StoreError::Refused`] when it is half filled; else what the disk says.
    pub fn open(path: &Path, options: Options) -> Result<Arc<SqliteStore>> {
        let mut conn = pool::writer(path, options.busy_timeout)?;
        pool::empty_wal(&conn)?;
        if let Some(found) = migrations::outdated(&conn)? {
            let copy = backup::before_migration(&conn, path, found)?;
            let (to, copy) = (migrations::KNOWN, copy.display());
            tracing::info!(from = found, to, %copy, "the database is brought up to date");
        }
        migrations::run(&mut conn)?;
        if !options.may_be_half {
            transfer::refuse_half(&conn)?;
        }
        // Not before: migrations write the schema as text.
        schema::distrust(&conn).map_err(|e| error::of("setting up the database", e))?;
        apps::make_default(&mut conn, options.now).map_err(|e| error::of("creating the first app", e))?;
        let meters = Arc::new(StoreMeters::default());
        pending::read_depth(&conn, &meters).map_err(|e| error::of("counting pending attempts", e))?;
        let is_open = fan_outs::any(&conn).map_err(|e| error::of("looking for open fan-outs", e))?;
        let store = SqliteStore::start(conn, path, &options, meters)?;
        fan_outs::start(&store);
        if is_open {
            store.fan_outs.wake();
        }
        Ok(store)
    }
}
