//! People who sign in. The password's hash is read only where a sign-in is checked.

use async_trait::async_trait;
use rusqlite::{OptionalExtension as _, Row, params};

use super::{SqliteStore, activity};
use crate::domain::{Activity, User};
use crate::store::{Result, UserStore};

fn user(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User { id: row.get(0)?, email: row.get(1)?, role: row.get(2)?, created_at: row.get(3)? })
}

#[async_trait]
impl UserStore for SqliteStore {
    async fn user_insert(&self, user: User, password_hash: String, activity: Activity) -> Result<bool> {
        self.write("making a user", move |tx| {
            let made = tx.execute(
                "INSERT INTO users (uid, email, role, created_at, password_hash) VALUES (?1, ?2, ?3, ?4, ?5) \
                 ON CONFLICT (email) DO NOTHING",
                params![user.id, user.email, user.role, user.created_at, password_hash],
            )? == 1;
            if made {
                activity::append(tx, &activity)?;
            }
            Ok(made)
        })
        .await
    }

    async fn user_list(&self) -> Result<Vec<User>> {
        self.read("listing users", |conn| {
            conn.prepare_cached("SELECT uid, email, role, created_at FROM users ORDER BY email")?
                .query_map([], user)?
                .collect()
        })
        .await
    }

    async fn user_set_password(
        &self,
        email: &str,
        password_hash: String,
        activity: Activity,
    ) -> Result<bool> {
        let email = email.to_owned();
        self.write("setting a password", move |tx| {
            let sql = "UPDATE users SET password_hash = ?2 WHERE email = ?1";
            let found = tx.execute(sql, params![email, password_hash])? == 1;
            if found {
                activity::append(tx, &activity)?;
            }
            Ok(found)
        })
        .await
    }

    async fn user_find(&self, email: &str) -> Result<Option<(User, String)>> {
        let email = email.to_owned();
        self.read("reading a user", move |conn| {
            conn.prepare_cached(
                "SELECT uid, email, role, created_at, password_hash FROM users WHERE email = ?1",
            )?
            .query_row([email], |row| Ok((user(row)?, row.get(4)?)))
            .optional()
        })
        .await
    }
}
