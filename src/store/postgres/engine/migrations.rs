//! The schema, as embedded SQL files that only go forward. The first node brings it up to date, under a lock.
//!
//! A file that was published is never edited; a change is a new file with the next number. Each says which programs may
//! still use the database after it: nodes of the version before go on, and restart, beside nodes of this one.
//!
//! [`newer`]: in debug builds, tests make a newer program of this one.

use std::borrow::Cow;
use std::time::Duration;

use refinery::{Migration, Runner};

use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::error::{self, DbResult};
use crate::store::postgres::engine::rows::Columns as _;
use crate::store::{Result, StoreError};

#[cfg(debug_assertions)]
mod newer;

/// A file, and the oldest program that may use the database after it: the number of the last file it knows.
struct Step {
    name: Cow<'static, str>,
    sql: Cow<'static, str>,
    oldest: i64,
}

/// The files of this program, in order.
fn steps() -> Vec<Step> {
    let initial = include_str!("migrations/0001_initial.sql");
    #[cfg_attr(not(debug_assertions), allow(unused_mut, reason = "tests add some to debug builds"))]
    let mut steps = vec![Step { name: "V1__initial".into(), sql: initial.into(), oldest: 1 }];
    #[cfg(debug_assertions)]
    steps.extend(newer::steps());
    steps
}

/// The schema version of a program with these files.
fn version_of(steps: &[Step]) -> i64 {
    i64::try_from(steps.len()).unwrap_or(i64::MAX)
}

/// Begins a transaction that only holds a lock, for as long as others take.
pub(super) const FOR_LONG: &str = "BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0";

const DOING: &str = "bringing the database up to date";
/// The lock of who changes the schema.
const LOCK: i64 = 0x706f_7374_7269_6400;
/// How often is looked whether another node has released it.
const LOOK: Duration = Duration::from_millis(250);
/// How long a change waits for a lock. Everything else waits behind it, also requests at other nodes.
const LOCK_TIMEOUT: &str = "SET lock_timeout = '1s'";
const LOCK_TIMEOUT_AFTER: &str = "SET lock_timeout = '10s'";
/// How often a change is tried that waited for a lock for too long.
const TRIES: u32 = 60;
const PAUSE: Duration = Duration::from_secs(1);

/// Brings the schema to this program's version, if it is older, and refuses one that is too new. The lock is one of a
/// transaction on a connection of its own: a pooler may lend a session to others, with the locks that it has.
pub(crate) async fn run(conn: &mut Conn, lock: &Conn) -> Result<()> {
    let failed = |e| error::of(DOING, e);
    lock.script(FOR_LONG).await.map_err(failed)?;
    let mut is_told = false;
    while !has_lock(lock).await.map_err(failed)? {
        if !std::mem::replace(&mut is_told, true) {
            tracing::warn!("another node is bringing the database up to date; waiting for it");
        }
        tokio::time::sleep(LOOK).await;
    }
    let done = run_locked(conn, &steps()).await;
    lock.script("COMMIT").await.map_err(failed)?;
    done
}

/// Takes the lock, if nobody has it: to wait for it has no end that is known before.
async fn has_lock(conn: &Conn) -> DbResult<bool> {
    conn.row("SELECT pg_try_advisory_xact_lock($1) AS is_mine", &[&LOCK]).await?.col("is_mine")
}

async fn run_locked(conn: &mut Conn, steps: &[Step]) -> Result<()> {
    let failed = |e| error::of(DOING, e);
    let known = version_of(steps);
    if let Some(found) = too_new(conn, known).await.map_err(failed)? {
        return Err(StoreError::Newer { found, known });
    }
    let mut files = Vec::new();
    for step in steps {
        let file = Migration::unapplied(&step.name, &step.sql);
        files.push(file.map_err(|e| StoreError::Failed { doing: DOING, source: Box::new(e) })?);
    }
    let mut runner = Runner::new(&files).set_abort_missing(false);
    runner.set_migration_table_name("schema_migrations");
    conn.script(LOCK_TIMEOUT).await.map_err(failed)?;
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
    conn.script(LOCK_TIMEOUT_AFTER).await.map_err(failed)?;
    note_programs(conn, steps).await.map_err(failed)
}

/// The number of the schema, if this program may not use it.
async fn too_new(conn: &Conn, known: i64) -> DbResult<Option<i64>> {
    let there = conn.row("SELECT to_regclass('schema_programs') IS NOT NULL AS there", &[]).await?;
    if !there.col::<bool>("there")? {
        return Ok(None);
    }
    let sql = "SELECT coalesce(max(oldest), 0) AS oldest, coalesce(max(version), 0) AS version FROM schema_programs";
    let row = conn.row(sql, &[]).await?;
    let (oldest, version): (i64, i64) = (row.num("oldest")?, row.num("version")?);
    Ok((oldest > known).then_some(version))
}

async fn note_programs(conn: &Conn, steps: &[Step]) -> DbResult<()> {
    let sql = "INSERT INTO schema_programs (version, oldest) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    for (version, step) in (1_i64..).zip(steps) {
        conn.run(sql, &[&version, &step.oldest]).await?;
    }
    Ok(())
}
