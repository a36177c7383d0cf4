//! Apps. There are few, and none is ever deleted.

use async_trait::async_trait;
use futures_util::FutureExt as _;
use tokio_postgres::Row;

use crate::domain::access::app::DEFAULT_APP;
use crate::domain::{Activity, App, AppId, Timestamp};
use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::error::DbResult;
use crate::store::postgres::engine::rows::Columns as _;
use crate::store::postgres::engine::store::PostgresStore;
use crate::store::postgres::people::activity;
use crate::store::{AppRenamed, AppStore, Result};

/// Makes the app that exists from the start, when there is none yet.
pub(in crate::store::postgres) async fn make_default(conn: &Conn, now: Timestamp) -> DbResult<()> {
    let any = conn.row("SELECT EXISTS (SELECT 1 FROM apps) AS any", &[]).await?;
    if any.col("any")? {
        return Ok(());
    }
    conn.script("BEGIN").await?;
    let app = App { id: AppId::new(now), name: DEFAULT_APP.to_owned(), created_at: now };
    // Another node that does the same is waited for.
    let made = insert(conn, &app).await;
    conn.script(if made.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
    made.map(|_| ())
}

/// Adds an app; `false` when the name is taken.
pub(crate) async fn insert(conn: &Conn, app: &App) -> DbResult<bool> {
    let sql = "WITH made AS (INSERT INTO apps (uid, name, created_at) VALUES ($1, $2, $3) \
               ON CONFLICT (name) DO NOTHING RETURNING id) \
               INSERT INTO result_seqs (app) SELECT id FROM made";
    Ok(conn.run(sql, &[&app.id, &app.name, &app.created_at]).await? == 1)
}

fn app(row: &Row) -> DbResult<App> {
    Ok(App { id: row.col("uid")?, name: row.col("name")?, created_at: row.col("created_at")? })
}

#[async_trait]
impl AppStore for PostgresStore {
    async fn app_insert(&self, app: App, activity: Activity) -> Result<bool> {
        self.write("making an app", |tx| {
            async move {
                let made = insert(tx, &app).await?;
                if made {
                    activity::append(tx, &activity).await?;
                }
                Ok(made)
            }
            .boxed()
        })
        .await
    }

    async fn app_list(&self) -> Result<Vec<App>> {
        self.query("listing apps", |conn| {
            async move {
                let rows = conn.rows("SELECT uid, name, created_at FROM apps ORDER BY name", &[]).await?;
                rows.iter().map(app).collect()
            }
            .boxed()
        })
        .await
    }

    async fn app_rename(&self, id: AppId, name: String, activity: Activity) -> Result<AppRenamed> {
        self.write("renaming an app", move |tx| {
            async move {
                let taken = "SELECT 1 AS taken FROM apps WHERE name = $1 AND uid <> $2";
                if tx.row_opt(taken, &[&name, &id]).await?.is_some() {
                    return Ok(AppRenamed::NameTaken);
                }
                if tx.run("UPDATE apps SET name = $1 WHERE uid = $2", &[&name, &id]).await? == 0 {
                    return Ok(AppRenamed::NotFound);
                }
                activity::append(tx, &activity).await?;
                Ok(AppRenamed::Done)
            }
            .boxed()
        })
        .await
    }

    async fn app_get(&self, id: AppId) -> Result<Option<App>> {
        self.query("reading an app", move |conn| {
            async move {
                let sql = "SELECT uid, name, created_at FROM apps WHERE uid = $1";
                conn.row_opt(sql, &[&id]).await?.as_ref().map(app).transpose()
            }
            .boxed()
        })
        .await
    }

    async fn app_find(&self, name: &str) -> Result<Option<App>> {
        let name = name.to_owned();
        self.query("reading an app", move |conn| {
            async move {
                let sql = "SELECT uid, name, created_at FROM apps WHERE name = $1";
                conn.row_opt(sql, &[&name]).await?.as_ref().map(app).transpose()
            }
            .boxed()
        })
        .await
    }
}
