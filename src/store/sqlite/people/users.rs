//! Users, their sessions, and the set-up link. The password hash is read only where a sign-in is checked.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::domain::access::key::SecretHash;
use crate::domain::access::session::{IDLE_MS, LONGEST_MS, Session};
use crate::domain::{Activity, Role, SessionId, Timestamp, User, UserId};
use crate::store::sqlite::engine::store::SqliteStore;
use crate::store::sqlite::people::activity;
use crate::store::{Result, UserChange, UserStore};

/// The columns that [`user`] reads.
const USER: &str = "uid AS user_uid, email, role, created_at AS user_created_at, last_sign_in_at";

fn user(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User {
        id: row.get("user_uid")?,
        email: row.get("email")?,
        role: row.get("role")?,
        created_at: row.get("user_created_at")?,
        last_sign_in_at: row.get("last_sign_in_at")?,
    })
}

/// Adds a user, and voids the set-up link; `false` when the address is taken.
fn insert(conn: &Connection, user: &User, password_hash: &str) -> rusqlite::Result<bool> {
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

const SELECT: &str = "SELECT u.uid AS user_uid, u.email AS email, u.role AS role, u.created_at AS user_created_at, \
     u.last_sign_in_at AS last_sign_in_at, s.uid AS uid, s.token_hash AS token_hash, s.address AS address, \
     s.user_agent AS user_agent, s.created_at AS created_at, s.last_seen_at AS last_seen_at \
     FROM sessions s JOIN users u ON u.id = s.user";

fn session(row: &Row<'_>) -> rusqlite::Result<Session> {
    Ok(Session {
        user: user(row)?,
        id: row.get("uid")?,
        token_hash: SecretHash(row.get("token_hash")?),
        address: row.get("address")?,
        user_agent: row.get("user_agent")?,
        created_at: row.get("created_at")?,
        last_seen_at: row.get("last_seen_at")?,
    })
}

/// Adds the session of a user that is there, and forgets those that have run out.
fn insert_session(conn: &Connection, session: &Session) -> rusqlite::Result<()> {
    let now = session.created_at;
    conn.execute(
        "DELETE FROM sessions WHERE last_seen_at <= ?1 OR created_at <= ?2",
        params![now.plus_ms(-IDLE_MS), now.plus_ms(-LONGEST_MS)],
    )?;
    conn.execute(
        "INSERT INTO sessions (uid, token_hash, user, address, user_agent, created_at, last_seen_at) \
         VALUES (?1, ?2, (SELECT id FROM users WHERE uid = ?3), ?4, ?5, ?6, ?7)",
        params![
            session.id,
            session.token_hash.0.as_slice(),
            session.user.id,
            session.address,
            session.user_agent,
            session.created_at,
            session.last_seen_at
        ],
    )?;
    let sql = "UPDATE users SET last_sign_in_at = ?2 WHERE uid = ?1";
    conn.execute(sql, params![session.user.id, now]).map(|_| ())
}

fn any_user(conn: &Connection) -> rusqlite::Result<bool> {
    conn.query_row("SELECT EXISTS (SELECT 1 FROM users)", [], |row| row.get(0))
}

fn is_open(conn: &Connection, token: SecretHash, now: Timestamp) -> rusqlite::Result<bool> {
    conn.query_row(
        "SELECT EXISTS (SELECT 1 FROM setup_links WHERE token_hash = ?1 AND expires_at > ?2) \
         AND NOT EXISTS (SELECT 1 FROM users)",
        params![token.0.as_slice(), now],
        |row| row.get(0),
    )
}

fn get(conn: &Connection, id: UserId) -> rusqlite::Result<Option<(User, String)>> {
    conn.prepare_cached(&format!("SELECT {USER}, password_hash FROM users WHERE uid = ?1"))?
        .query_row([id], |row| Ok((user(row)?, row.get("password_hash")?)))
        .optional()
}

/// Whether there is an owner besides this user.
fn other_owner(conn: &Connection, id: UserId) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM users WHERE role = ?1 AND uid <> ?2)";
    conn.query_row(sql, params![Role::Owner, id], |row| row.get(0))
}

/// Ends a user's sessions, except one.
fn end_all(conn: &Connection, user: UserId, keep: Option<SessionId>) -> rusqlite::Result<()> {
    let sql = "DELETE FROM sessions WHERE user = (SELECT id FROM users WHERE uid = ?1) AND uid IS NOT ?2";
    conn.execute(sql, params![user, keep]).map(|_| ())
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
            conn.prepare_cached(&format!("SELECT {USER} FROM users ORDER BY email"))?
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
                end_all(tx, user, None)?;
                activity::append(tx, &activity)?;
            }
            Ok(found.is_some())
        })
        .await
    }

    async fn user_find(&self, email: &str) -> Result<Option<(User, String)>> {
        let email = email.to_owned();
        self.read("reading a user", move |conn| {
            conn.prepare_cached(&format!("SELECT {USER}, password_hash FROM users WHERE email = ?1"))?
                .query_row([email], |row| Ok((user(row)?, row.get("password_hash")?)))
                .optional()
        })
        .await
    }

    async fn user_get(&self, id: UserId) -> Result<Option<(User, String)>> {
        self.read("reading a user", move |conn| get(conn, id)).await
    }

    async fn user_change(
        &self,
        id: UserId,
        role: Option<Role>,
        password_hash: Option<String>,
        keep: Option<SessionId>,
        activity: Vec<Activity>,
    ) -> Result<UserChange> {
        self.write("changing a user", move |tx| {
            let Some((before, _)) = get(tx, id)? else { return Ok(UserChange::NotFound) };
            let lowered = before.role == Role::Owner && role.is_some_and(|role| role != Role::Owner);
            if lowered && !other_owner(tx, id)? {
                return Ok(UserChange::LastOwner);
            }
            tx.execute(
                "UPDATE users SET role = coalesce(?2, role), password_hash = coalesce(?3, password_hash) \
                 WHERE uid = ?1",
                params![id, role, password_hash],
            )?;
            end_all(tx, id, keep)?;
            activity.iter().try_for_each(|entry| activity::append(tx, entry))?;
            Ok(UserChange::Done(User { role: role.unwrap_or(before.role), ..before }))
        })
        .await
    }

    async fn user_delete(&self, id: UserId, activity: Activity) -> Result<UserChange> {
        self.write("deleting a user", move |tx| {
            let Some((user, _)) = get(tx, id)? else { return Ok(UserChange::NotFound) };
            if user.role == Role::Owner && !other_owner(tx, id)? {
                return Ok(UserChange::LastOwner);
            }
            end_all(tx, id, None)?;
            tx.execute("DELETE FROM users WHERE uid = ?1", [id])?;
            activity::append(tx, &activity)?;
            Ok(UserChange::Done(user))
        })
        .await
    }

    async fn setup_issue(&self, token: SecretHash, expires_at: Timestamp) -> Result<bool> {
        self.write("making a set-up link", move |tx| {
            if any_user(tx)? {
                return Ok(false);
            }
            tx.execute("DELETE FROM setup_links", [])?;
            let sql = "INSERT INTO setup_links (token_hash, expires_at) VALUES (?1, ?2)";
            tx.execute(sql, params![token.0.as_slice(), expires_at])?;
            Ok(true)
        })
        .await
    }

    async fn setup_is_open(&self, token: SecretHash, now: Timestamp) -> Result<bool> {
        self.read("reading a set-up link", move |conn| is_open(conn, token, now)).await
    }

    async fn setup_redeem(
        &self,
        token: SecretHash,
        password_hash: String,
        session: Session,
        activity: Vec<Activity>,
    ) -> Result<bool> {
        self.write("setting up", move |tx| {
            if !is_open(tx, token, session.created_at)? {
                return Ok(false);
            }
            if !insert(tx, &session.user, &password_hash)? {
                return Ok(false);
            }
            insert_session(tx, &session)?;
            activity.iter().try_for_each(|entry| activity::append(tx, entry))?;
            Ok(true)
        })
        .await
    }

    async fn session_insert(
        &self,
        session: Session,
        password_hash: String,
        activity: Activity,
    ) -> Result<bool> {
        self.write("signing in", move |tx| {
            let now = get(tx, session.user.id)?;
            if now.is_none_or(|(_, hash)| hash != password_hash) {
                return Ok(false);
            }
            insert_session(tx, &session)?;
            activity::append(tx, &activity)?;
            Ok(true)
        })
        .await
    }

    async fn session_get(&self, token: SecretHash) -> Result<Option<Session>> {
        self.read("reading a session", move |conn| {
            conn.prepare_cached(&format!("{SELECT} WHERE s.token_hash = ?1"))?
                .query_row([token.0.as_slice()], session)
                .optional()
        })
        .await
    }

    async fn session_touch(&self, id: SessionId, now: Timestamp) -> Result<()> {
        self.write("noting the use of a session", move |tx| {
            // Notes can overtake each other on their way here.
            tx.prepare_cached("UPDATE sessions SET last_seen_at = ?2 WHERE uid = ?1 AND last_seen_at < ?2")?
                .execute(params![id, now])
                .map(|_| ())
        })
        .await
    }

    async fn session_list(&self, user: Option<UserId>) -> Result<Vec<Session>> {
        self.read("listing sessions", move |conn| {
            conn.prepare_cached(&format!("{SELECT} WHERE ?1 IS NULL OR u.uid = ?1 ORDER BY s.uid DESC"))?
                .query_map([user], session)?
                .collect()
        })
        .await
    }

    async fn session_end(&self, id: SessionId, user: Option<UserId>, activity: Activity) -> Result<bool> {
        self.write("ending a session", move |tx| {
            let sql = "DELETE FROM sessions WHERE uid = ?1 \
                       AND (?2 IS NULL OR user = (SELECT id FROM users WHERE uid = ?2))";
            let ended = tx.execute(sql, params![id, user])? == 1;
            if ended {
                activity::append(tx, &activity)?;
            }
            Ok(ended)
        })
        .await
    }
}
