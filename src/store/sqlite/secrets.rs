//! Sealing all secrets once more, in one transaction.

use async_trait::async_trait;

use super::endpoints::{COLUMNS, endpoint, put};
use super::{SqliteStore, activity};
use crate::domain::{Activity, Endpoint};
use crate::store::{Reseal, Result, SecretsStore};

#[async_trait]
impl SecretsStore for SqliteStore {
    async fn secrets_reseal(
        &self,
        reseal: Reseal,
        activity: Activity,
    ) -> Result<std::result::Result<u64, String>> {
        self.write("sealing all secrets once more", move |tx| {
            let sql = format!(
                "SELECT {COLUMNS} FROM endpoints e JOIN apps a ON a.id = e.app WHERE e.deleted_at IS NULL"
            );
            let mut all: Vec<Endpoint> =
                tx.prepare(&sql)?.query_map([], endpoint)?.collect::<rusqlite::Result<_>>()?;
            // All are tried before one is written: a transaction is for all of them or none.
            for endpoint in &mut all {
                if let Err(why) = reseal(endpoint) {
                    return Ok(Err(why));
                }
            }
            tx.cache.endpoints_changed();
            for endpoint in &all {
                put(tx, endpoint)?;
            }
            activity::append(tx, &activity)?;
            Ok(Ok(all.len() as u64))
        })
        .await
    }
}
