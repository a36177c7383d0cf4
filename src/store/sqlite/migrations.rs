//! The schema, as embedded SQL files that only go forward.
//!
//! A file that was published is never edited; a change is a new file with the next number. The number
//! of files that have been run is the database's `user_version`, so a database from a newer program is
//! known before anything is touched, and refused.

use rusqlite::Connection;
use rusqlite_migration::{M, Migrations};

use super::error;
use crate::store::{Result, StoreError};

const STEPS: &[M<'static>] = &[
    M::up(include_str!("migrations/0001_initial.sql")),
    M::up(include_str!("migrations/0002_jobs.sql")),
    M::up(include_str!("migrations/0003_statistics.sql")),
    M::up(include_str!("migrations/0004_finish_order.sql")),
    M::up(include_str!("migrations/0005_log_indexes.sql")),
    M::up(include_str!("migrations/0006_sessions.sql")),
];
const MIGRATIONS: Migrations<'static> = Migrations::from_slice(STEPS);

/// The schema version of this program.
pub(super) const KNOWN: i64 = STEPS.len() as i64;

/// Refuses a database that a newer program has written. Reads only.
pub(super) fn check(conn: &Connection) -> Result<()> {
    let found = version(conn)?;
    if found > KNOWN { Err(StoreError::Newer { found, known: KNOWN }) } else { Ok(()) }
}

/// Brings the database to this program's version.
pub(super) fn run(conn: &mut Connection) -> Result<()> {
    let Err(cause) = MIGRATIONS.to_latest(conn) else { return Ok(()) };
    // Another process may have done the same at the same moment; then there is nothing left to do.
    if version(conn)? == KNOWN {
        return Ok(());
    }
    Err(StoreError::Failed { doing: "bringing the database up to date", source: Box::new(cause) })
}

fn version(conn: &Connection) -> Result<i64> {
    conn.query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(|e| error::of("reading the database's version", e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_migrations_are_sound() {
        MIGRATIONS.validate().unwrap();
    }
}
