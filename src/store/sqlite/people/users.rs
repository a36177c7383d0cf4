//! People who sign in. The password's hash is read only where a sign-in is checked.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::domain::{Activity, User};
use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::people::{activity, sessions};
use crate::store::{Result, UserStore};

/// The user in the first five columns.
pub(crate) fn user(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User {
        id: row.get(0)?,
        email: row.get(1)?,
        role: row.get(2)?,
        created_at: row.get(3)?,
        last_sign_in_at: row.get(4)?,
    })
}

/// Adds a user, and voids the set-up link; `false` when the address is taken.
pub(crate) fn insert(conn: &Connection, user: &User, password_hash: &str) -> rusqlite::Result<bool> {
    let made = conn.execute(
        "INSERT INTO users (uid, email, role, created_at, password_hash) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (email) DO NOTHING",
        params![user.id, user.email, user.role, user.created_at, password_hash],
    )? == 1;
    if made {
        conn.execute("DELETE FROM setup_links", [])?;
    }
    Ok(made)
}

#[async_trait]
impl UserStore for SqliteStore {
    async fn user_insert(&self, user: User, password_hash: String, activity: Activity) -> Result<bool> {
        self.write("making a user", move |tx| {
            let made = insert(tx, &user, &password_hash)?;
            if made {
                activity::append(tx, &activity)?;
            }
            Ok(made)
        })
        .await
    }

    async fn user_list(&self) -> Result<Vec<User>> {
        self.read("listing users", |conn| {
            conn.prepare_cached(
                "SELECT uid, email, role, created_at, last_sign_in_at FROM users ORDER BY email",
            )?
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
            let sql = "UPDATE users SET password_hash = ?2 WHERE email = ?1 RETURNING uid";
            let found = tx.query_row(sql, params![email, password_hash], |row| row.get(0)).optional()?;
            if let Some(user) = found {
                sessions::end_all(tx, user, None)?;
                activity::append(tx, &activity)?;
            }
            Ok(found.is_some())
        })
        .await
    }

    async fn user_find(&self, email: &str) -> Result<Option<(User, String)>> {
        let email = email.to_owned();
        self.read("reading a user", move |conn| {
            conn.prepare_cached(
                "SELECT uid, email, role, created_at, last_sign_in_at, password_hash FROM users WHERE email = ?1",
            )?
            .query_row([email], |row| Ok((user(row)?, row.get(5)?)))
            .optional()
        })
        .await
    }
}
