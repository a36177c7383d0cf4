//! Taking in what another server has given out, in one transaction.

use async_trait::async_trait;
use rusqlite::OptionalExtension as _;

use crate::domain::inbound::source::Source;
use crate::domain::{AppId, EndpointId};
use crate::store::sqlite::engine::error::fault;
use crate::store::sqlite::engine::store::SqliteStore;
use crate::store::sqlite::people::{activity, apps, keys};
use crate::store::sqlite::queue::{endpoints, sources};
use crate::store::{Import, MovingStore, Result, SourceWrite};

fn written(written: SourceWrite, source: &Source) -> rusqlite::Result<()> {
    match written {
        SourceWrite::Written => Ok(()),
        _ => Err(fault(format!("the source {:?} could not be written", source.settings.name))),
    }
}

#[async_trait]
impl MovingStore for SqliteStore {
    async fn endpoint_place(&self, id: EndpointId) -> Result<Option<(AppId, bool)>> {
        self.read("looking for an endpoint", move |conn| {
            let sql = "SELECT a.uid, e.deleted_at IS NOT NULL FROM endpoints e JOIN apps a ON a.id = e.app \
                       WHERE e.uid = ?1";
            conn.prepare_cached(sql)?.query_row([id], |row| Ok((row.get(0)?, row.get(1)?))).optional()
        })
        .await
    }

    async fn import(&self, import: Import) -> Result<()> {
        self.write("importing", move |tx| {
            for app in &import.new_apps {
                if !apps::insert(tx, app)? {
                    return Err(fault(format!("the name of the app {:?} is taken", app.name)));
                }
            }
            tx.cache.clear();
            for endpoint in &import.new_endpoints {
                endpoints::insert(tx, endpoint)?;
            }
            for endpoint in &import.changed_endpoints {
                endpoints::put(tx, endpoint)?;
            }
            for key in &import.new_keys {
                keys::insert(tx, key)?;
            }
            for source in &import.changed_sources {
                written(sources::update(tx, source, None)?, source)?;
            }
            for source in &import.new_sources {
                written(sources::insert(tx, source, u32::MAX)?, source)?;
            }
            activity::append(tx, &import.activity)
        })
        .await
    }
}
