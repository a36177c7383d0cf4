//! Taking in what another server has given out, in one transaction.

use async_trait::async_trait;
use futures_util::FutureExt as _;

use crate::domain::inbound::source::Source;
use crate::domain::{AppId, EndpointId};
use crate::store::postgres::engine::command::Tx;
use crate::store::postgres::engine::conn::Statements as _;
use crate::store::postgres::engine::error::{DbResult, fault};
use crate::store::postgres::engine::rows::Columns as _;
use crate::store::postgres::engine::store::PostgresStore;
use crate::store::postgres::people::{activity, apps, keys};
use crate::store::postgres::queue::{endpoints, sources};
use crate::store::{Import, MovingStore, Result, SourceWrite};

fn written(written: SourceWrite, source: &Source) -> DbResult<()> {
    match written {
        SourceWrite::Written => Ok(()),
        _ => Err(fault(format!("the source {:?} could not be written", source.settings.name))),
    }
}

async fn take_in(tx: &mut Tx, import: &Import) -> DbResult<()> {
    for app in &import.new_apps {
        if !apps::insert(tx, app).await? {
            return Err(fault(format!("the name of the app {:?} is taken", app.name)));
        }
    }
    tx.cache.endpoints_changed();
    for endpoint in &import.new_endpoints {
        endpoints::insert(tx, endpoint).await?;
    }
    for endpoint in &import.changed_endpoints {
        endpoints::put(tx, endpoint).await?;
    }
    for key in &import.new_keys {
        keys::insert(tx, key).await?;
    }
    for source in &import.changed_sources {
        written(sources::update(tx, source, None).await?, source)?;
    }
    for source in &import.new_sources {
        written(sources::insert(tx, source, u32::MAX).await?, source)?;
    }
    activity::append(tx, &import.activity).await
}

#[async_trait]
impl MovingStore for PostgresStore {
    async fn endpoint_place(&self, id: EndpointId) -> Result<Option<(AppId, bool)>> {
        self.query("looking for an endpoint", move |conn| {
            async move {
                let sql = "SELECT a.uid, e.deleted_at IS NOT NULL AS deleted \
                           FROM endpoints e JOIN apps a ON a.id = e.app WHERE e.uid = $1";
                let found = conn.row_opt(sql, &[&id]).await?;
                found.map(|row| Ok((row.col("uid")?, row.col("deleted")?))).transpose()
            }
            .boxed()
        })
        .await
    }

    async fn import(&self, import: Import) -> Result<()> {
        self.write("importing", move |tx| async move { take_in(tx, &import).await }.boxed()).await
    }
}
