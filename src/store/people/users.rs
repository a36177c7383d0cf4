//! Users with their sessions, and the set-up link for the first of them.
//!
//! A session ends when the password or the role changes or the user is deleted, in the same transaction. A
//! set-up link creates the first user and is void as soon as there is any user.

use async_trait::async_trait;

use crate::domain::access::activity::Activity;
use crate::domain::access::key::SecretHash;
use crate::domain::access::session::Session;
use crate::domain::{Role, SessionId, Timestamp, User, UserId};
use crate::store::Result;

/// What became of a change to a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserChange {
    /// Done; the user as they are (or were) now.
    Done(User),
    /// There is no such user.
    NotFound,
    /// It would leave nobody who is an owner.
    LastOwner,
}

/// Users, their sessions and set-up links.
#[async_trait]
pub trait UserStore: Send + Sync {
    /// Keeps a new user and voids the set-up link; `false` when the address is taken.
    async fn user_insert(&self, user: User, password_hash: String, activity: Activity) -> Result<bool>;
    /// All users by address.
    async fn user_list(&self) -> Result<Vec<User>>;
    /// Replaces a user's password and ends their sessions; `false` when there is no such user.
    async fn user_set_password(&self, email: &str, password_hash: String, activity: Activity)
    -> Result<bool>;
    /// A user and the hash of the password.
    async fn user_find(&self, email: &str) -> Result<Option<(User, String)>>;
    /// The user with this id, and the hash of the password.
    async fn user_get(&self, id: UserId) -> Result<Option<(User, String)>>;
    /// Gives a user another role, another password, or both, and ends their sessions except `keep`.
    async fn user_change(
        &self,
        id: UserId,
        role: Option<Role>,
        password_hash: Option<String>,
        keep: Option<SessionId>,
        activity: Vec<Activity>,
    ) -> Result<UserChange>;
    /// Deletes a user with all sessions.
    async fn user_delete(&self, id: UserId, activity: Activity) -> Result<UserChange>;

    /// Keeps a set-up link; `false` when there is a user, and so no need. Storage of one server keeps it in the place
    /// of earlier ones; where nodes share the storage, each has given out one of its own, and those stay valid.
    async fn setup_issue(&self, token: SecretHash, expires_at: Timestamp) -> Result<bool>;
    /// Whether this link works at `now`.
    async fn setup_is_open(&self, token: SecretHash, now: Timestamp) -> Result<bool>;
    /// Makes the first user with a link, which is used up by it, and their session; `false` when the link
    /// does not work (any more).
    async fn setup_redeem(
        &self,
        token: SecretHash,
        password_hash: String,
        session: Session,
        activity: Vec<Activity>,
    ) -> Result<bool>;
    /// Keeps a new session and notes the sign-in, if the user's password still has this hash; else `false`.
    /// Sessions that have run out are forgotten.
    async fn session_insert(
        &self,
        session: Session,
        password_hash: String,
        activity: Activity,
    ) -> Result<bool>;
    /// The session with this token, even if it has run out.
    async fn session_get(&self, token: SecretHash) -> Result<Option<Session>>;
    /// Notes that a session was used.
    async fn session_touch(&self, id: SessionId, now: Timestamp) -> Result<()>;
    /// The sessions of a user or of everybody, newest first.
    async fn session_list(&self, user: Option<UserId>) -> Result<Vec<Session>>;
    /// Ends a session, of this user or of anybody; `false` when there is none.
    async fn session_end(&self, id: SessionId, user: Option<UserId>, activity: Activity) -> Result<bool>;
}
