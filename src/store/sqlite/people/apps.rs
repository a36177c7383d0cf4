//! Apps. There are few, and none is ever deleted.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, TransactionBehavior, params};

use crate::domain::access::app::DEFAULT_APP;
use crate::domain::{Activity, App, AppId, Timestamp};
use crate::store::sqlite::engine::store::SqliteStore;
use crate::store::sqlite::people::activity;
use crate::store::{AppRenamed, AppStore, Result};

/// Makes the app that exists from the start, when there is none yet.
pub(crate) fn make_default(conn: &mut Connection, now: Timestamp) -> rusqlite::Result<()> {
    // Looked at first, so that opening beside a busy server does not wait for its lock.
    if any(conn)? {
        return Ok(());
    }
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if !any(&tx)? {
        let app = App { id: AppId::new(now), name: DEFAULT_APP.to_owned(), created_at: now };
        insert(&tx, &app)?;
    }
    tx.commit()
}

fn any(conn: &Connection) -> rusqlite::Result<bool> {
    conn.query_row("SELECT EXISTS (SELECT 1 FROM apps)", [], |row| row.get(0))
}

/// Adds an app; `false` when the name is taken.
pub(crate) fn insert(conn: &Connection, app: &App) -> rusqlite::Result<bool> {
    let sql = "INSERT INTO apps (uid, name, created_at) VALUES (?1, ?2, ?3) ON CONFLICT (name) DO NOTHING";
    Ok(conn.prepare_cached(sql)?.execute(params![app.id, app.name, app.created_at])? == 1)
}

fn app(row: &Row<'_>) -> rusqlite::Result<App> {
    Ok(App { id: row.get("uid")?, name: row.get("name")?, created_at: row.get("created_at")? })
}

#[async_trait]
impl AppStore for SqliteStore {
    async fn app_insert(&self, app: App, activity: Activity) -> Result<bool> {
        self.write("making an app", move |tx| {
            let made = insert(tx, &app)?;
            if made {
                activity::append(tx, &activity)?;
            }
            Ok(made)
        })
        .await
    }

    async fn app_list(&self) -> Result<Vec<App>> {
        self.read("listing apps", |conn| {
            conn.prepare_cached("SELECT uid, name, created_at FROM apps ORDER BY name")?
                .query_map([], app)?
                .collect()
        })
        .await
    }

    async fn app_rename(&self, id: AppId, name: String, activity: Activity) -> Result<AppRenamed> {
        self.write("renaming an app", move |tx| {
            let taken = "SELECT EXISTS (SELECT 1 FROM apps WHERE name = ?1 AND uid <> ?2)";
            if tx.query_row(taken, params![name, id], |row| row.get(0))? {
                return Ok(AppRenamed::NameTaken);
            }
            let renamed = tx.execute("UPDATE apps SET name = ?1 WHERE uid = ?2", params![name, id])? == 1;
            if !renamed {
                return Ok(AppRenamed::NotFound);
            }
            activity::append(tx, &activity)?;
            Ok(AppRenamed::Done)
        })
        .await
    }

    async fn app_get(&self, id: AppId) -> Result<Option<App>> {
        self.read("reading an app", move |conn| {
            conn.prepare_cached("SELECT uid, name, created_at FROM apps WHERE uid = ?1")?
                .query_row([id], app)
                .optional()
        })
        .await
    }

    async fn app_find(&self, name: &str) -> Result<Option<App>> {
        let name = name.to_owned();
        self.read("reading an app", move |conn| {
            conn.prepare_cached("SELECT uid, name, created_at FROM apps WHERE name = ?1")?
                .query_row([name], app)
                .optional()
        })
        .await
    }
}
