//! The schema, as embedded SQL files that only go forward. The first node brings it up to date, under a lock.
//!
//! A file that was published is never edited; a change is a new file with the next number. Each says which programs may
//! still use the database after it: nodes of the version before go on, and restart, beside nodes of this one.

use std::time::Duration;

use refinery::{Migration, Runner};

use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::error::{self, DbResult};
use crate::store::postgres::engine::rows::Columns as _;
use crate::store::{Result, StoreError};

/// A file, and the oldest program that may use the database after it: the number of the last file it knows.
struct Step {
    name: &'static str,
    sql: &'static str,
    oldest: i64,
}

const STEPS: &[Step] =
    &[Step { name: "V1__initial", sql: include_str!("migrations/0001_initial.sql"), oldest: 1 }];

/// The schema version of this program.
pub(crate) const KNOWN: i64 = STEPS.len() as i64;

/// Begins a transaction that only holds a lock, for as long as others take.
pub(super) const FOR_LONG: &str = "BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0";

/// The lock of who changes the schema.
const LOCK: i64 = 0x706f_7374_7269_6400;
/// How often a change is tried that waited for a lock for too long.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);

/// Brings the schema to this program's version, if it is older, and refuses one that is too new. The lock is one of a
/// transaction on a connection of its own: a pooler may lend a session to others, with the locks that it has.
pub(crate) async fn run(conn: &mut Conn, lock: &Conn) -> Result<()> {
    const DOING: &str = "bringing the database up to date";
    let failed = |e| error::of(DOING, e);
    lock.script(FOR_LONG).await.map_err(failed)?;
    lock.rows("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await.map_err(failed)?;
    let done = run_locked(conn).await;
    lock.script("COMMIT").await.map_err(failed)?;
    done
}

async fn run_locked(conn: &mut Conn) -> Result<()> {
    const DOING: &str = "bringing the database up to date";
    let failed = |e| error::of(DOING, e);
    if let Some(found) = too_new(conn).await.map_err(failed)? {
        return Err(StoreError::Newer { found, known: KNOWN });
    }
    let mut steps = Vec::new();
    for step in STEPS {
        let step = Migration::unapplied(step.name, step.sql);
        steps.push(step.map_err(|e| StoreError::Failed { doing: DOING, source: Box::new(e) })?);
    }
    let mut runner = Runner::new(&steps).set_abort_missing(false);
    runner.set_migration_table_name("schema_migrations");
    let mut tries = 0;
    while let Err(e) = runner.run_async(&mut **conn).await {
        tries += 1;
        let text = super::error::cause_of(&e);
        if tries >= TRIES || !text.contains("lock timeout") {
            return Err(StoreError::Failed { doing: DOING, source: Box::new(e) });
        }
        tracing::warn!(error = %text, "the database is in use; trying again to bring it up to date");
        tokio::time::sleep(PAUSE).await;
    }
    note_programs(conn).await.map_err(failed)
}

/// The number of the schema, if this program may not use it.
async fn too_new(conn: &Conn) -> DbResult<Option<i64>> {
    let there = conn.row("SELECT to_regclass('schema_programs') IS NOT NULL AS there", &[]).await?;
    if !there.col::<bool>("there")? {
        return Ok(None);
    }
    let sql = "SELECT coalesce(max(oldest), 0) AS oldest, coalesce(max(version), 0) AS version FROM schema_programs";
    let row = conn.row(sql, &[]).await?;
    let (oldest, version): (i64, i64) = (row.num("oldest")?, row.num("version")?);
    Ok((oldest > KNOWN).then_some(version))
}

async fn note_programs(conn: &Conn) -> DbResult<()> {
    let sql = "INSERT INTO schema_programs (version, oldest) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    for (version, step) in (1_i64..).zip(STEPS) {
        conn.run(sql, &[&version, &step.oldest]).await?;
    }
    Ok(())
}
