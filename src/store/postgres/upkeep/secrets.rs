//! Sealing all secrets once more, in one transaction, and what shows with which encryption key the database was
//! written.

use async_trait::async_trait;
use futures_util::FutureExt as _;
use tokio_postgres::types::FromSql;

use crate::domain::alert::AlertTarget;
use crate::domain::inbound::source::Source;
use crate::domain::{Activity, Endpoint, Sealed};
use crate::host::vault::KeyEvidence;
use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::error::DbResult;
use crate::store::postgres::engine::rows::Columns as _;
use crate::store::postgres::engine::store::PostgresStore;
use crate::store::postgres::people::{activity, alerts};
use crate::store::postgres::queue::{endpoints, sources};
use crate::store::{Reseal, Resealed, Result, SecretsStore};

/// The name of the check value in `seals`.
const NAME: &str = "encryption_key.check";

/// The check value, or else all signing secrets and alert URLs.
async fn evidence(conn: &Conn) -> DbResult<KeyEvidence> {
    let mut evidence = KeyEvidence::default();
    let found = conn.row_opt("SELECT value FROM seals WHERE name = $1", &[&NAME]).await?;
    evidence.check = found.map(|row| row.col("value")).transpose()?;
    if evidence.check.is_none() {
        let sql = "SELECT uid, secret AS sealed FROM endpoints WHERE deleted_at IS NULL";
        evidence.signing_secrets = sealed(conn, sql).await?;
        evidence.alert_urls = sealed(conn, "SELECT uid, url AS sealed FROM alert_targets").await?;
    }
    Ok(evidence)
}

/// Rows of an id and a sealed value.
async fn sealed<Id: for<'a> FromSql<'a>>(conn: &Conn, sql: &str) -> DbResult<Vec<(Id, Sealed)>> {
    let rows = conn.rows(sql, &[]).await?;
    rows.iter().map(|row| Ok((row.col("uid")?, row.col("sealed")?))).collect()
}

const PUT: &str =
    "INSERT INTO seals (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
const PUT_FIRST: &str = "INSERT INTO seals (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";

/// Seals everything once more; the check value of the new key. `Err`: a sentence.
fn seal_again(
    reseal: Reseal,
    endpoints: &mut [Endpoint],
    targets: &mut [AlertTarget],
    sources: &mut [Source],
) -> std::result::Result<Sealed, String> {
    endpoints.iter_mut().try_for_each(|endpoint| (reseal.endpoint)(endpoint))?;
    targets.iter_mut().try_for_each(|target| (reseal.alert_target)(target))?;
    sources.iter_mut().try_for_each(|source| (reseal.source)(source))?;
    Ok(reseal.key_check)
}

#[async_trait]
impl SecretsStore for PostgresStore {
    async fn secrets_reseal(
        &self,
        reseal: Reseal,
        activity: Activity,
    ) -> Result<std::result::Result<Resealed, String>> {
        self.write("sealing all secrets once more", move |tx| {
            async move {
                let mut all = endpoints::all(tx).await?;
                let mut targets = alerts::all(tx).await?;
                let mut sources = sources::all(tx).await?;
                // All are tried before one is written: a transaction is for all of them or none.
                let key_check = match seal_again(reseal, &mut all, &mut targets, &mut sources) {
                    Ok(key_check) => key_check,
                    Err(why) => return Ok(Err(why)),
                };
                tx.cache.endpoints_changed();
                for endpoint in &all {
                    endpoints::put(tx, endpoint).await?;
                }
                for target in &targets {
                    alerts::update(tx, target).await?;
                }
                for source in &sources {
                    sources::update(tx, source, None).await?;
                }
                tx.run(PUT, &[&NAME, &key_check]).await?;
                activity::append(tx, &activity).await?;
                Ok(Ok(Resealed {
                    endpoints: all.len(),
                    alert_targets: targets.len(),
                    sources: sources.len(),
                }))
            }
            .boxed()
        })
        .await
    }

    async fn secrets_key_evidence(&self) -> Result<KeyEvidence> {
        self.read("reading what shows the encryption key", |conn| async move { evidence(conn).await }.boxed())
            .await
    }

    async fn secrets_put_key_check(&self, check: Sealed) -> Result<()> {
        self.write("writing the check value of the key", move |tx| {
            async move { tx.run(PUT_FIRST, &[&NAME, &check]).await.map(|_| ()) }.boxed()
        })
        .await
    }
}
