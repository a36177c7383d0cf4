//! API keys. They are never deleted: a revoked one stays, so that the record can name it.

use async_trait::async_trait;
use futures_util::FutureExt as _;
use tokio_postgres::Row;

use crate::domain::access::key::SecretHash;
use crate::domain::{Activity, AppId, Key, Timestamp};
use crate::store::postgres::engine::cache;
use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::error::{DbResult, fault};
use crate::store::postgres::engine::rows::Columns as _;
use crate::store::postgres::engine::store::PostgresStore;
use crate::store::postgres::people::activity;
use crate::store::{KeyStore, Result};

macro_rules! select {
    () => {
        "SELECT k.id, a.uid AS app_uid, k.name, k.scopes, k.secret_hash, k.created_at, k.expires_at, k.revoked_at, \
         k.last_used_at FROM keys k JOIN apps a ON a.id = k.app "
    };
}
const GET: &str = concat!(select!(), "WHERE k.id = $1");
const LIST: &str = concat!(select!(), "WHERE $1::uuid IS NULL OR a.uid = $1 ORDER BY k.seq DESC");

fn key(row: &Row) -> DbResult<Key> {
    Ok(Key {
        id: row.col("id")?,
        app_id: row.col("app_uid")?,
        name: row.col("name")?,
        scopes: row.col("scopes")?,
        secret_hash: SecretHash(row.hash("secret_hash")?),
        created_at: row.col("created_at")?,
        expires_at: row.col("expires_at")?,
        revoked_at: row.col("revoked_at")?,
        last_used_at: row.col("last_used_at")?,
    })
}

/// Adds a key.
pub(crate) async fn insert(conn: &Conn, key: &Key) -> DbResult<()> {
    let app = cache::app_row(conn, key.app_id).await?.ok_or_else(|| fault("there is no such app"))?;
    let sql = "INSERT INTO keys (id, app, name, scopes, secret_hash, created_at, expires_at, revoked_at, \
               last_used_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    let hash = key.secret_hash.0.as_slice();
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 9] = [
        &key.id,
        &app,
        &key.name,
        &key.scopes,
        &hash,
        &key.created_at,
        &key.expires_at,
        &key.revoked_at,
        &key.last_used_at,
    ];
    conn.run(sql, &values).await.map(|_| ())
}

#[async_trait]
impl KeyStore for PostgresStore {
    async fn key_insert(&self, key: Key, activity: Activity) -> Result<()> {
        self.write("making a key", move |tx| {
            async move {
                insert(tx, &key).await?;
                activity::append(tx, &activity).await
            }
            .boxed()
        })
        .await
    }

    async fn key_get(&self, id: &str) -> Result<Option<Key>> {
        // A key that is made up may have a NUL in it, which no text in the database has.
        let id = id.replace('\0', "");
        self.query("reading a key", move |conn| {
            async move { conn.row_opt(GET, &[&id]).await?.as_ref().map(key).transpose() }.boxed()
        })
        .await
    }

    async fn key_list(&self, app: Option<AppId>) -> Result<Vec<Key>> {
        self.query("listing keys", move |conn| {
            async move { conn.rows(LIST, &[&app]).await?.iter().map(key).collect() }.boxed()
        })
        .await
    }

    async fn key_revoke(&self, id: &str, now: Timestamp, activity: Activity) -> Result<bool> {
        let id = id.replace('\0', "");
        self.write("revoking a key", move |tx| {
            async move {
                let sql = "UPDATE keys SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";
                let revoked = tx.run(sql, &[&id, &now]).await? == 1;
                if revoked {
                    activity::append(tx, &activity).await?;
                }
                Ok(revoked)
            }
            .boxed()
        })
        .await
    }

    async fn key_touch(&self, id: &str, now: Timestamp) -> Result<()> {
        let id = id.to_owned();
        self.write("noting the use of a key", move |tx| {
            async move {
                // Notes can overtake each other on their way here.
                let sql =
                    "UPDATE keys SET last_used_at = $2 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)";
                tx.run(sql, &[&id, &now]).await.map(|_| ())
            }
            .boxed()
        })
        .await
    }
}
