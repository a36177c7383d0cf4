//! `/admin/api/password` and `sessions`: what somebody does about their own coming and going.

use poem::Request;
use poem_openapi::param::Path;
use poem_openapi::payload::Json as Answer;
use poem_openapi::{Object, OpenApi};

use crate::domain::{Session, SessionId};
use crate::http::problem::Problem;
use crate::http::request::auth::Person;
use crate::http::request::body::{BodyShape, Json, Limit};
use crate::service::{Kind, ServiceError};

use super::Tag;
use super::shapes::{Done, Whole, client, texts};

/// A new password, and proof of being who one is.
#[derive(Object)]
#[allow(dead_code, reason = "it documents the body, which is read field by field")]
struct PasswordBody {
    /// The password until now.
    current_password: String,
    /// 10 characters or more.
    new_password: String,
}

impl BodyShape for PasswordBody {
    const LIMIT: Limit = Limit::Password;
}

/// A session in the list.
#[derive(Object)]
struct SessionEntry {
    /// UUID of the session.
    id: String,
    /// Whose it is.
    email: String,
    /// Where the sign-in came from.
    address: Option<String>,
    /// What the browser called itself.
    user_agent: Option<String>,
    /// RFC 3339, UTC.
    created_at: String,
    /// RFC 3339, UTC; to the minute.
    last_seen_at: String,
    /// When it ends unless it is used: RFC 3339, UTC.
    expires_at: String,
    /// Whether it is the one that asks.
    current: bool,
}

impl SessionEntry {
    fn of(session: &Session, current: SessionId) -> SessionEntry {
        SessionEntry {
            id: session.id.to_string(),
            email: session.user.email.clone(),
            address: session.address.clone(),
            user_agent: session.user_agent.clone(),
            created_at: session.created_at.to_string(),
            last_seen_at: session.last_seen_at.to_string(),
            expires_at: session.expires_at().to_string(),
            current: session.id == current,
        }
    }
}

/// The operations.
pub struct AccountApi;

#[OpenApi(tag = "Tag::Session")]
impl AccountApi {
    /// Change the password
    ///
    /// One's own; all other sessions of the person end.
    #[oai(path = "/password", method = "put", operation_id = "change_password")]
    async fn password(
        &self,
        person: Person,
        request: &Request,
        body: Json<PasswordBody>,
    ) -> Result<Done, Problem> {
        let [current, new] = texts(&body.bytes, ["current_password", "new_password"])?;
        let (session, by) = (&person.signed_in()?.session, &person.caller.by);
        let sessions = &person.state.services.sessions;
        sessions.change_password(session, &current, &new, by, client(request)).await?;
        Ok(Done::Done)
    }

    /// List sessions
    ///
    /// One's own, newest first; an owner sees everybody's.
    #[oai(path = "/sessions", method = "get", operation_id = "list_sessions")]
    async fn sessions(&self, person: Person) -> Result<Answer<Whole<SessionEntry>>, Problem> {
        let session = &person.signed_in()?.session;
        let found = person.state.services.sessions.list(session).await?;
        Ok(Answer(Whole { data: found.iter().map(|found| SessionEntry::of(found, session.id)).collect() }))
    }

    /// End a session
    ///
    /// One that the list shows. Its cookie opens nothing any more.
    #[oai(path = "/sessions/:id", method = "delete", operation_id = "revoke_session")]
    async fn revoke(&self, person: Person, id: Path<String>) -> Result<Done, Problem> {
        let id = id.parse().map_err(|_| ServiceError::NotFound(Kind::Session))?;
        let session = &person.signed_in()?.session;
        person.state.services.sessions.revoke(session, id, &person.caller.by).await?;
        Ok(Done::Done)
    }
}
