//! Failed sign-ins. They are in a table that is not logged, and decided on one after the other, on a connection of
//! readers: so nobody who writes anything else waits for a stranger.

use async_trait::async_trait;
use futures_util::FutureExt as _;

use crate::domain::Timestamp;
use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::error::DbResult;
use crate::store::postgres::engine::rows::{Columns as _, num};
use crate::store::postgres::engine::store::PostgresStore;
use crate::store::{Result, SignInDecision, SignInLevel, SignInStore};

/// The lock under which is decided.
const LOCK: i64 = 0x706f_7374_7269_6403;
/// The most that is kept. Of more, what ends soonest goes: the tries of a crowd.
const MOST: i64 = 50_000;

const BEGIN: &str = "BEGIN; SET LOCAL synchronous_commit = off";
const READ: &str = "SELECT name, missing, at, until FROM sign_ins WHERE name = ANY($1) AND until > $2";
const WRITE: &str = "INSERT INTO sign_ins AS s (name, missing, at, until) \
     SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) \
     ON CONFLICT (name) DO UPDATE SET missing = excluded.missing, at = excluded.at, until = excluded.until";
const FORGET: &str = "DELETE FROM sign_ins WHERE name = ANY($1)";
/// A few at a time, but more than are made.
const TIDY: &str = "DELETE FROM sign_ins WHERE name IN ( \
     SELECT name FROM sign_ins WHERE until <= $1 \
     OR (SELECT reltuples FROM pg_class WHERE oid = 'sign_ins'::regclass) > $2 ORDER BY until LIMIT 20)";

async fn decide(conn: &Conn, names: Vec<String>, now: Timestamp, decide: SignInDecision) -> DbResult<()> {
    conn.rows("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    let mut levels: Vec<Option<SignInLevel>> = vec![None; names.len()];
    for row in conn.rows(READ, &[&names, &now]).await? {
        let name: &str = row.col("name")?;
        let level =
            SignInLevel { missing: row.num("missing")?, at: row.col("at")?, until: row.col("until")? };
        for (at, _) in names.iter().enumerate().filter(|(_, known)| *known == name) {
            levels[at] = Some(level);
        }
    }
    let before = levels.clone();
    decide(&mut levels);
    if levels == before {
        return Ok(());
    }
    let kept: Vec<(&String, SignInLevel)> =
        names.iter().zip(&levels).filter_map(|(name, level)| Some((name, (*level)?))).collect();
    let gone: Vec<&String> =
        names.iter().zip(&levels).filter(|(_, level)| level.is_none()).map(|(name, _)| name).collect();
    let (texts, missing): (Vec<&String>, Vec<i64>) =
        kept.iter().map(|(name, level)| (*name, num(level.missing))).unzip();
    let (at, until): (Vec<Timestamp>, Vec<Timestamp>) =
        kept.iter().map(|(_, level)| (level.at, level.until)).unzip();
    conn.run(WRITE, &[&texts, &missing, &at, &until]).await?;
    conn.run(FORGET, &[&gone]).await?;
    conn.run(TIDY, &[&now, &(MOST as f32)]).await.map(|_| ())
}

#[async_trait]
impl SignInStore for PostgresStore {
    async fn sign_in_decide(
        &self,
        names: Vec<String>,
        now: Timestamp,
        decision: SignInDecision,
    ) -> Result<()> {
        self.query("counting sign-ins", move |conn| {
            async move {
                conn.script(BEGIN).await?;
                let decided = decide(conn, names, now, decision).await;
                conn.script(if decided.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
                decided
            }
            .boxed()
        })
        .await
    }
}
