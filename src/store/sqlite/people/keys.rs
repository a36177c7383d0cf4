//! API keys. They are never deleted: a revoked one stays, so that the record can name it.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::domain::access::key::SecretHash;
use crate::domain::{Activity, AppId, Key, Timestamp};
use crate::store::sqlite::engine::cache;
use crate::store::sqlite::engine::error::fault;
use crate::store::sqlite::engine::store::SqliteStore;
use crate::store::sqlite::people::activity;
use crate::store::{KeyStore, Result};

/// The columns that [`key`] reads, as a literal.
macro_rules! key_columns {
    () => {
        "SELECT k.id, a.uid, k.name, k.scopes, k.secret_hash, k.created_at, k.expires_at, k.revoked_at, k.last_used_at \
         FROM keys k JOIN apps a ON a.id = k.app "
    };
}

pub(crate) const GET: &str = concat!(key_columns!(), "WHERE k.id = ?1");
const LIST: &str = concat!(key_columns!(), "WHERE ?1 IS NULL OR a.uid = ?1 ORDER BY k.seq DESC");

fn key(row: &Row<'_>) -> rusqlite::Result<Key> {
    Ok(Key {
        id: row.get(0)?,
        app_id: row.get(1)?,
        name: row.get(2)?,
        scopes: row.get(3)?,
        secret_hash: SecretHash(row.get(4)?),
        created_at: row.get(5)?,
        expires_at: row.get(6)?,
        revoked_at: row.get(7)?,
        last_used_at: row.get(8)?,
    })
}

/// Adds a key.
pub(crate) fn insert(conn: &Connection, key: &Key) -> rusqlite::Result<()> {
    let app = cache::app_row(conn, key.app_id)?.ok_or_else(|| fault("there is no such app"))?;
    conn.execute(
        "INSERT INTO keys (id, app, name, scopes, secret_hash, created_at, expires_at, revoked_at, \
         last_used_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            key.id,
            app,
            key.name,
            key.scopes,
            key.secret_hash.0.as_slice(),
            key.created_at,
            key.expires_at,
            key.revoked_at,
            key.last_used_at
        ],
    )
    .map(|_| ())
}

#[async_trait]
impl KeyStore for SqliteStore {
    async fn key_insert(&self, key: Key, activity: Activity) -> Result<()> {
        self.write("making a key", move |tx| {
            insert(tx, &key)?;
            activity::append(tx, &activity)
        })
        .await
    }

    async fn key_get(&self, id: &str) -> Result<Option<Key>> {
        self.read_at_once("reading a key", |conn| conn.prepare_cached(GET)?.query_row([id], key).optional())
    }

    async fn key_list(&self, app: Option<AppId>) -> Result<Vec<Key>> {
        self.read("listing keys", move |conn| conn.prepare_cached(LIST)?.query_map([app], key)?.collect())
            .await
    }

    async fn key_revoke(&self, id: &str, now: Timestamp, activity: Activity) -> Result<bool> {
        let id = id.to_owned();
        self.write("revoking a key", move |tx| {
            let sql = "UPDATE keys SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL";
            let revoked = tx.execute(sql, params![id, now])? == 1;
            if revoked {
                activity::append(tx, &activity)?;
            }
            Ok(revoked)
        })
        .await
    }

    async fn key_touch(&self, id: &str, now: Timestamp) -> Result<()> {
        let id = id.to_owned();
        self.write("noting the use of a key", move |tx| {
            // Notes can overtake each other on their way here.
            tx.prepare_cached(
                "UPDATE keys SET last_used_at = ?2 WHERE id = ?1 AND coalesce(last_used_at, ?2 - 1) < ?2",
            )?
            .execute(params![id, now])
            .map(|_| ())
        })
        .await
    }
}
