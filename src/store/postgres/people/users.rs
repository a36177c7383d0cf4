//! Users, their sessions, and the set-up link. The password hash is read only where a sign-in is checked.

use async_trait::async_trait;
use futures_util::FutureExt as _;
use tokio_postgres::Row;

use crate::domain::access::key::SecretHash;
use crate::domain::access::session::{IDLE_MS, LONGEST_MS, SETUP_MS, Session};
use crate::domain::{Activity, Role, SessionId, Timestamp, User, UserId};
use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::error::DbResult;
use crate::store::postgres::engine::rows::{Columns as _, clean};
use crate::store::postgres::engine::store::PostgresStore;
use crate::store::postgres::people::activity;
use crate::store::{Result, UserChange, UserStore};

fn user(row: &Row) -> DbResult<User> {
    Ok(User {
        id: row.col("user_uid")?,
        email: row.col("email")?,
        role: row.col("role")?,
        created_at: row.col("user_created_at")?,
        last_sign_in_at: row.col("last_sign_in_at")?,
    })
}

macro_rules! user_columns {
    () => {
        "u.uid AS user_uid, u.email, u.role, u.created_at AS user_created_at, u.last_sign_in_at"
    };
}
macro_rules! with_hash {
    ($where:literal) => {
        concat!("SELECT ", user_columns!(), ", u.password_hash FROM users u WHERE ", $where)
    };
}
macro_rules! sessions {
    ($rest:literal) => {
        concat!(
            "SELECT ",
            user_columns!(),
            ", s.uid, s.token_hash, s.address, s.user_agent, s.created_at, s.last_seen_at \
             FROM sessions s JOIN users u ON u.id = s.user_id ",
            $rest
        )
    };
}

const LIST: &str = concat!("SELECT ", user_columns!(), " FROM users u ORDER BY u.email");
const BY_ID: &str = with_hash!("u.uid = $1");
const BY_EMAIL: &str = with_hash!("u.email = $1");
const BY_TOKEN: &str = sessions!("WHERE s.token_hash = $1");
const SESSIONS: &str = sessions!("WHERE $1::uuid IS NULL OR u.uid = $1 ORDER BY s.uid DESC");

/// Adds a user, and voids set-up links; `false` when the address is taken.
async fn insert(conn: &Conn, user: &User, password_hash: &str) -> DbResult<bool> {
    let sql = "INSERT INTO users (uid, email, role, created_at, password_hash) VALUES ($1, $2, $3, $4, $5) \
               ON CONFLICT (email) DO NOTHING";
    let made =
        conn.run(sql, &[&user.id, &user.email, &user.role, &user.created_at, &password_hash]).await? == 1;
    if made {
        conn.run("DELETE FROM setup_links", &[]).await?;
    }
    Ok(made)
}

fn session(row: &Row) -> DbResult<Session> {
    Ok(Session {
        user: user(row)?,
        id: row.col("uid")?,
        token_hash: SecretHash(row.hash("token_hash")?),
        address: row.col("address")?,
        user_agent: row.col("user_agent")?,
        created_at: row.col("created_at")?,
        last_seen_at: row.col("last_seen_at")?,
    })
}

/// Adds the session of a user that is there, and forgets those that have run out.
async fn insert_session(conn: &Conn, session: &Session) -> DbResult<()> {
    let now = session.created_at;
    let sql = "DELETE FROM sessions WHERE last_seen_at <= $1 OR created_at <= $2";
    conn.run(sql, &[&now.plus_ms(-IDLE_MS), &now.plus_ms(-LONGEST_MS)]).await?;
    let sql = "INSERT INTO sessions (uid, token_hash, user_id, address, user_agent, created_at, last_seen_at) \
               VALUES ($1, $2, (SELECT id FROM users WHERE uid = $3), $4, $5, $6, $7)";
    let (hash, agent) = (session.token_hash.0.as_slice(), session.user_agent.as_deref().map(clean));
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 7] = [
        &session.id,
        &hash,
        &session.user.id,
        &session.address,
        &agent,
        &session.created_at,
        &session.last_seen_at,
    ];
    conn.run(sql, &values).await?;
    let sql = "UPDATE users SET last_sign_in_at = $2 WHERE uid = $1";
    conn.run(sql, &[&session.user.id, &now]).await.map(|_| ())
}

async fn any_user(conn: &Conn) -> DbResult<bool> {
    Ok(conn.row_opt("SELECT 1 AS one FROM users LIMIT 1", &[]).await?.is_some())
}

/// Links are made and used one after the other, on whichever nodes, and beside the creation of users.
const ONE_BY_ONE: &str = "LOCK TABLE setup_links IN EXCLUSIVE MODE";

const LINK: &str = "SELECT 1 AS one FROM setup_links WHERE token_hash = $1 AND expires_at > $2 \
     AND NOT EXISTS (SELECT 1 FROM users)";

async fn get(conn: &Conn, id: UserId) -> DbResult<Option<(User, String)>> {
    with_hash(conn.row_opt(BY_ID, &[&id]).await?)
}

fn with_hash(row: Option<Row>) -> DbResult<Option<(User, String)>> {
    row.map(|row| Ok((user(&row)?, row.col("password_hash")?))).transpose()
}

/// Whether there is an owner besides this user. Owners stay as they are until the transaction ends.
async fn other_owner(conn: &Conn, id: UserId) -> DbResult<bool> {
    let sql = "SELECT uid FROM users WHERE role = $1 ORDER BY id FOR UPDATE";
    for row in conn.rows(sql, &[&Role::Owner]).await? {
        if row.col::<UserId>("uid")? != id {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Ends a user's sessions, except one.
async fn end_all(conn: &Conn, user: UserId, keep: Option<SessionId>) -> DbResult<()> {
    let sql = "DELETE FROM sessions WHERE user_id = (SELECT id FROM users WHERE uid = $1) \
               AND uid IS DISTINCT FROM $2";
    conn.run(sql, &[&user, &keep]).await.map(|_| ())
}

async fn append_all(conn: &Conn, entries: &[Activity]) -> DbResult<()> {
    for entry in entries {
        activity::append(conn, entry).await?;
    }
    Ok(())
}

#[async_trait]
impl UserStore for PostgresStore {
    async fn user_insert(&self, user: User, password_hash: String, activity: Activity) -> Result<bool> {
        self.write("making a user", move |tx| {
            async move {
                let made = insert(tx, &user, &password_hash).await?;
                if made {
                    activity::append(tx, &activity).await?;
                }
                Ok(made)
            }
            .boxed()
        })
        .await
    }

    async fn user_list(&self) -> Result<Vec<User>> {
        self.query("listing users", |conn| {
            async move { conn.rows(LIST, &[]).await?.iter().map(user).collect() }.boxed()
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
            async move {
                let sql = "UPDATE users SET password_hash = $2 WHERE email = $1 RETURNING uid";
                let Some(found) = tx.row_opt(sql, &[&email, &password_hash]).await? else {
                    return Ok(false);
                };
                end_all(tx, found.col("uid")?, None).await?;
                activity::append(tx, &activity).await?;
                Ok(true)
            }
            .boxed()
        })
        .await
    }

    async fn user_find(&self, email: &str) -> Result<Option<(User, String)>> {
        let email = clean(email).into_owned();
        self.query("reading a user", move |conn| {
            async move { with_hash(conn.row_opt(BY_EMAIL, &[&email]).await?) }.boxed()
        })
        .await
    }

    async fn user_get(&self, id: UserId) -> Result<Option<(User, String)>> {
        self.query("reading a user", move |conn| async move { get(conn, id).await }.boxed()).await
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
            async move {
                let others = other_owner(tx, id).await?;
                let Some((before, _)) = get(tx, id).await? else { return Ok(UserChange::NotFound) };
                let lowered = before.role == Role::Owner && role.is_some_and(|role| role != Role::Owner);
                if lowered && !others {
                    return Ok(UserChange::LastOwner);
                }
                let sql = "UPDATE users SET role = coalesce($2, role), \
                           password_hash = coalesce($3, password_hash) WHERE uid = $1";
                tx.run(sql, &[&id, &role, &password_hash]).await?;
                end_all(tx, id, keep).await?;
                append_all(tx, &activity).await?;
                Ok(UserChange::Done(User { role: role.unwrap_or(before.role), ..before }))
            }
            .boxed()
        })
        .await
    }

    async fn user_delete(&self, id: UserId, activity: Activity) -> Result<UserChange> {
        self.write("deleting a user", move |tx| {
            async move {
                let others = other_owner(tx, id).await?;
                let Some((user, _)) = get(tx, id).await? else { return Ok(UserChange::NotFound) };
                if user.role == Role::Owner && !others {
                    return Ok(UserChange::LastOwner);
                }
                end_all(tx, id, None).await?;
                tx.run("DELETE FROM users WHERE uid = $1", &[&id]).await?;
                activity::append(tx, &activity).await?;
                Ok(UserChange::Done(user))
            }
            .boxed()
        })
        .await
    }

    /// Those of other nodes stay valid until there is a user.
    async fn setup_issue(&self, token: SecretHash, expires_at: Timestamp) -> Result<bool> {
        self.write("making a set-up link", move |tx| {
            async move {
                tx.script(ONE_BY_ONE).await?;
                if any_user(tx).await? {
                    return Ok(false);
                }
                let now = expires_at.plus_ms(-SETUP_MS);
                tx.run("DELETE FROM setup_links WHERE expires_at <= $1", &[&now]).await?;
                let sql = "INSERT INTO setup_links (token_hash, expires_at) VALUES ($1, $2)";
                tx.run(sql, &[&token.0.as_slice(), &expires_at]).await?;
                Ok(true)
            }
            .boxed()
        })
        .await
    }

    async fn setup_is_open(&self, token: SecretHash, now: Timestamp) -> Result<bool> {
        self.query("reading a set-up link", move |conn| {
            async move { Ok(conn.row_opt(LINK, &[&token.0.as_slice(), &now]).await?.is_some()) }.boxed()
        })
        .await
    }

    async fn setup_redeem(
        &self,
        token: SecretHash,
        password_hash: String,
        session: Session,
        activity: Vec<Activity>,
    ) -> Result<bool> {
        self.write("setting up", move |tx| {
            async move {
                // Nobody else can use this or another link meanwhile.
                tx.script(ONE_BY_ONE).await?;
                let is_open = tx.row_opt(LINK, &[&token.0.as_slice(), &session.created_at]).await?.is_some();
                if !is_open || !insert(tx, &session.user, &password_hash).await? {
                    return Ok(false);
                }
                insert_session(tx, &session).await?;
                append_all(tx, &activity).await?;
                Ok(true)
            }
            .boxed()
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
            async move {
                // The password stays as it is until the transaction ends.
                let sql = format!("{BY_ID} FOR UPDATE");
                let now = with_hash(tx.row_opt(&sql, &[&session.user.id]).await?)?;
                if now.is_none_or(|(_, hash)| hash != password_hash) {
                    return Ok(false);
                }
                insert_session(tx, &session).await?;
                activity::append(tx, &activity).await?;
                Ok(true)
            }
            .boxed()
        })
        .await
    }

    async fn session_get(&self, token: SecretHash) -> Result<Option<Session>> {
        self.query("reading a session", move |conn| {
            async move {
                conn.row_opt(BY_TOKEN, &[&token.0.as_slice()]).await?.as_ref().map(session).transpose()
            }
            .boxed()
        })
        .await
    }

    async fn session_touch(&self, id: SessionId, now: Timestamp) -> Result<()> {
        self.write("noting the use of a session", move |tx| {
            async move {
                // Notes can overtake each other on their way here.
                let sql = "UPDATE sessions SET last_seen_at = $2 WHERE uid = $1 AND last_seen_at < $2";
                tx.run(sql, &[&id, &now]).await.map(|_| ())
            }
            .boxed()
        })
        .await
    }

    async fn session_list(&self, user: Option<UserId>) -> Result<Vec<Session>> {
        self.query("listing sessions", move |conn| {
            async move { conn.rows(SESSIONS, &[&user]).await?.iter().map(session).collect() }.boxed()
        })
        .await
    }

    async fn session_end(&self, id: SessionId, user: Option<UserId>, activity: Activity) -> Result<bool> {
        self.write("ending a session", move |tx| {
            async move {
                let sql = "DELETE FROM sessions WHERE uid = $1 \
                           AND ($2::uuid IS NULL OR user_id = (SELECT id FROM users WHERE uid = $2))";
                let ended = tx.run(sql, &[&id, &user]).await? == 1;
                if ended {
                    activity::append(tx, &activity).await?;
                }
                Ok(ended)
            }
            .boxed()
        })
        .await
    }
}
