//! Sealing all secrets once more, in one transaction.

use async_trait::async_trait;

use crate::domain::{Activity, Endpoint, Sealed};
use crate::host::vault::KeyEvidence;
use crate::store::sqlite::engine::store::SqliteStore;
use crate::store::sqlite::people::{activity, alerts};
use crate::store::sqlite::queue::endpoints::{COLUMNS, endpoint, put};
use crate::store::sqlite::queue::sources;
use crate::store::sqlite::upkeep::key_check;
use crate::store::{Reseal, Resealed, Result, SecretsStore};

#[async_trait]
impl SecretsStore for SqliteStore {
    async fn secrets_reseal(
        &self,
        reseal: Reseal,
        activity: Activity,
    ) -> Result<std::result::Result<Resealed, String>> {
        self.write("sealing all secrets once more", move |tx| {
            let sql = format!(
                "SELECT {COLUMNS} FROM endpoints e JOIN apps a ON a.id = e.app WHERE e.deleted_at IS NULL"
            );
            let mut all: Vec<Endpoint> =
                tx.prepare(&sql)?.query_map([], endpoint)?.collect::<rusqlite::Result<_>>()?;
            let mut targets = alerts::all(tx)?;
            let mut sources = sources::all(tx)?;
            // All are tried before one is written: a transaction is for all of them or none.
            let mut again = all.iter_mut().map(|endpoint| (reseal.endpoint)(endpoint));
            let mut targets_again = targets.iter_mut().map(|target| (reseal.alert_target)(target));
            let mut sources_again = sources.iter_mut().map(|source| (reseal.source)(source));
            let each = again.by_ref().chain(targets_again.by_ref()).chain(sources_again.by_ref());
            let sealed: std::result::Result<(), String> = each.collect();
            drop((again, targets_again, sources_again));
            if let Err(why) = sealed {
                return Ok(Err(why));
            }
            tx.cache.endpoints_changed();
            for endpoint in &all {
                put(tx, endpoint)?;
            }
            for target in &targets {
                alerts::update(tx, target)?;
            }
            for source in &sources {
                sources::update(tx, source, None)?;
            }
            key_check::put(tx, &reseal.key_check)?;
            activity::append(tx, &activity)?;
            Ok(Ok(Resealed { endpoints: all.len(), alert_targets: targets.len(), sources: sources.len() }))
        })
        .await
    }

    async fn secrets_key_evidence(&self) -> Result<KeyEvidence> {
        self.read("reading what shows the encryption key", key_check::read).await
    }

    async fn secrets_put_key_check(&self, check: Sealed) -> Result<()> {
        self.write("writing the check value of the key", move |tx| {
            if key_check::read(tx)?.check.is_none() {
                key_check::put(tx, &check)?;
            }
            Ok(())
        })
        .await
    }
}
