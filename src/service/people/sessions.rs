//! Sessions of the dashboard: set-up, sign-in and sign-out.
//!
//! A wrong password and an unknown email address are the same error and take equally long.
//! A session's token exists in clear in the browser's cookie, and here only while a request lasts.

use std::net::IpAddr;
use std::sync::Arc;

use serde_json::json;

use crate::cluster::Signals;
use crate::domain::access::app::DEFAULT_APP;
use crate::domain::access::session::{SETUP_MS, TOKEN_BYTES, USER_AGENT_MAX_CHARS};
use crate::domain::access::user::normal_email;
use crate::domain::{
    Activity, ActivityKind, Actor, App, FieldError, Invalid, Role, Session, SessionId, SessionToken, User,
    UserId,
};
use crate::host::clock::Clock;
use crate::service::people::shared_throttle::SignIns;
use crate::service::people::users;
use crate::service::{By, Kind, Result, ServiceError};
use crate::store::{SignInStore, Store, UserChange};

/// How long `last_seen_at` may lag behind, in milliseconds: it is written at most once a minute.
const TOUCH_EVERY_MS: i64 = 60_000;

/// Where somebody signs in from.
#[derive(Debug, Clone, Default)]
pub struct Client {
    pub address: Option<IpAddr>,
    /// What the browser calls itself.
    pub user_agent: Option<String>,
}

/// A session with its token.
#[derive(Debug)]
pub struct SignedIn {
    pub session: Session,
    pub token: SessionToken,
}

/// The input of set-up.
#[derive(Debug, Clone, Copy)]
pub struct SetUp<'a> {
    /// From the link.
    pub token: &'a str,
    pub email: &'a str,
    pub password: &'a str,
}

/// The use cases of people at the dashboard.
pub struct Sessions {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    signals: Arc<dyn Signals>,
    sign_ins: SignIns,
}

impl Sessions {
    /// Joins the parts.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, signals: Arc<dyn Signals>) -> Sessions {
        Sessions { store, clock, signals, sign_ins: SignIns::Here(Box::default()) }
    }

    /// Counts failed sign-ins together with other nodes, if there can be any.
    #[must_use]
    pub fn counting_in(self, shared: Option<Arc<dyn SignInStore>>) -> Sessions {
        let sign_ins = shared.map_or(self.sign_ins, SignIns::Everywhere);
        Sessions { sign_ins, ..self }
    }

    /// Whether there is no user yet.
    pub async fn setup_required(&self) -> Result<bool> {
        Ok(self.store.user_list().await?.is_empty())
    }

    /// A new token for a set-up link; `None` when there is a user.
    pub async fn issue_setup(&self) -> Result<Option<SessionToken>> {
        let token = random_token();
        let expires_at = self.clock.now().plus_ms(SETUP_MS);
        let issued = self.store.setup_issue(token.hash(), expires_at).await?;
        Ok(issued.then_some(token))
    }

    /// Whether a set-up link with this token still creates the owner.
    pub async fn setup_is_open(&self, token: &str) -> Result<bool> {
        match SessionToken::parse(token) {
            Some(token) => Ok(self.store.setup_is_open(token.hash(), self.clock.now()).await?),
            None => Ok(false),
        }
    }

    /// Creates the first user, an owner, and signs them in.
    pub async fn set_up(&self, input: SetUp<'_>, client: Client) -> Result<SignedIn> {
        let now = self.clock.now();
        let link = SessionToken::parse(input.token);
        let is_open = match &link {
            Some(link) => self.store.setup_is_open(link.hash(), now).await?,
            None => false,
        };
        let mut errors = users::problems(Some(input.email), Some(input.password));
        if !is_open {
            errors.insert(0, not_a_link());
        }
        let (Some(link), Some(email), true) = (link, normal_email(input.email), errors.is_empty()) else {
            return Err(Invalid(errors).into());
        };
        let user =
            User { id: UserId::new(now), email, role: Role::Owner, created_at: now, last_sign_in_at: None };
        let signed_in = self.open(user, client);
        let hash = users::hash(input.password).await;
        let details = json!({ "email": signed_in.session.user.email, "role": Role::Owner.as_str() });
        let summary = format!(
            "User {} was created with the role owner, by the set-up link",
            signed_in.session.user.email
        );
        let activity = vec![
            entry(&signed_in.session, ActivityKind::UserCreated, summary, details),
            signed_in_entry(&signed_in.session),
        ];
        let session = signed_in.session.clone();
        if self.store.setup_redeem(link.hash(), hash, session, activity).await? {
            Ok(signed_in)
        } else {
            Err(Invalid(vec![not_a_link()]).into())
        }
    }

    /// Signs somebody in.
    ///
    /// # Errors
    /// [`ServiceError::Unauthorized`] for a wrong password and an unknown address alike;
    /// [`ServiceError::RateLimited`] after many of them.
    pub async fn sign_in(&self, email: &str, password: &str, client: Client) -> Result<SignedIn> {
        let attempt = match self.sign_ins.begin(email, client.address, self.clock.now()).await {
            Ok(attempt) => attempt,
            Err(refused @ ServiceError::RateLimited { .. }) => {
                self.note_refusal(email, client).await;
                return Err(refused);
            }
            Err(error) => return Err(error),
        };
        let found =
            users::sign_in(&*self.store, email, password).await.map_err(crate::service::user_error)?;
        if let Some((user, hash)) = found {
            let signed_in = self.open(user, client.clone());
            let (session, activity) = (signed_in.session.clone(), signed_in_entry(&signed_in.session));
            // The password may have been changed since it was checked.
            if self.store.session_insert(session, hash, activity).await? {
                self.sign_ins.succeeded(attempt, self.clock.now()).await;
                return Ok(signed_in);
            }
        }
        self.note_failure(email, client).await;
        Err(ServiceError::Unauthorized)
    }

    /// The session of a cookie, whose use is noted.
    ///
    /// # Errors
    /// [`ServiceError::Unauthorized`] when there is none, or none any more.
    pub(crate) async fn resume(&self, cookie: &str) -> Result<SignedIn> {
        let token = SessionToken::parse(cookie).ok_or(ServiceError::Unauthorized)?;
        let now = self.clock.now();
        let found = self.store.session_get(token.hash()).await?;
        let session = found.filter(|s| s.is_valid_at(now)).ok_or(ServiceError::Unauthorized)?;
        if now.as_millis() - session.last_seen_at.as_millis() >= TOUCH_EVERY_MS
            && let Err(error) = self.store.session_touch(session.id, now).await
        {
            // A full disk ends no session that is in use.
            tracing::debug!(%error, "a session's last use was not noted");
        }
        Ok(SignedIn { session, token })
    }

    /// Ends the session that somebody is in.
    pub async fn sign_out(&self, session: &Session, by: &By) -> Result<()> {
        let summary = format!("{} signed out", session.user.email);
        let activity = by.activity(ActivityKind::UserSignedOut, None, summary, json!({}), self.clock.now());
        self.store.session_end(session.id, None, activity).await?;
        self.signals.access_changed();
        Ok(())
    }

    /// Changes a user's own password, and ends their other sessions.
    ///
    /// # Errors
    /// A wrong current password counts as a failed sign-in.
    pub async fn change_password(
        &self,
        session: &Session,
        current: &str,
        new: &str,
        by: &By,
        client: Client,
    ) -> Result<()> {
        let user = &session.user;
        let mut errors = users::problems(None, Some(new));
        for error in &mut errors {
            error.pointer = "/new_password".to_owned();
        }
        let attempt = self.sign_ins.begin(&user.email, client.address, self.clock.now()).await?;
        let found =
            users::sign_in(&*self.store, &user.email, current).await.map_err(crate::service::user_error)?;
        if found.is_some() {
            self.sign_ins.succeeded(attempt, self.clock.now()).await;
        } else {
            self.note_failure(&user.email, client).await;
            errors.insert(0, FieldError::new("/current_password", "is not your password"));
        }
        if !errors.is_empty() {
            return Err(Invalid(errors).into());
        }
        let hash = users::hash(new).await;
        let summary = format!("{} changed their password", user.email);
        let details = json!({ "email": user.email });
        let kind = ActivityKind::UserPasswordChanged;
        let activity = vec![by.activity(kind, None, summary, details, self.clock.now())];
        match self.store.user_change(user.id, None, Some(hash), Some(session.id), activity).await? {
            UserChange::Done(_) => {
                self.signals.access_changed();
                Ok(())
            }
            UserChange::NotFound | UserChange::LastOwner => Err(ServiceError::Unauthorized),
        }
    }

    /// The sessions that somebody sees, newest first: their own, an owner everybody's.
    pub async fn list(&self, session: &Session) -> Result<Vec<Session>> {
        let now = self.clock.now();
        let mut found = self.store.session_list(whose(session)).await?;
        found.retain(|session| session.is_valid_at(now));
        Ok(found)
    }

    /// Ends a session that somebody sees.
    pub async fn revoke(&self, session: &Session, id: SessionId, by: &By) -> Result<()> {
        let seen = self.list(session).await?;
        let ended = seen.into_iter().find(|s| s.id == id).ok_or(ServiceError::NotFound(Kind::Session))?;
        let summary = format!("A session of {} was ended", ended.user.email);
        let details = json!({ "session_id": id.to_string(), "email": ended.user.email });
        let activity = by.activity(ActivityKind::SessionRevoked, None, summary, details, self.clock.now());
        if self.store.session_end(id, whose(session), activity).await? {
            self.signals.access_changed();
            Ok(())
        } else {
            Err(ServiceError::NotFound(Kind::Session))
        }
    }

    /// The apps that somebody may choose from: an owner all of them, others the first.
    pub async fn apps(&self, session: &Session) -> Result<Vec<App>> {
        let mut apps = self.store.app_list().await?;
        if session.user.role != Role::Owner {
            apps.retain(|app| app.name == DEFAULT_APP);
        }
        Ok(apps)
    }

    fn open(&self, user: User, client: Client) -> SignedIn {
        let (token, now) = (random_token(), self.clock.now());
        let cut =
            |text: String| text.chars().filter(|c| !c.is_control()).take(USER_AGENT_MAX_CHARS).collect();
        let session = Session {
            id: SessionId::new(now),
            user,
            token_hash: token.hash(),
            address: client.address.map(|a| a.to_canonical().to_string()),
            user_agent: client.user_agent.map(cut),
            created_at: now,
            last_seen_at: now,
        };
        SignedIn { session, token }
    }

    /// Notes a failed sign-in. What was typed into the field is only shown when it is an address: it may
    /// be a password.
    async fn note_failure(&self, email: &str, client: Client) {
        self.note(ActivityKind::UserSignInFailed, "failed", email, client).await;
    }

    /// Notes that somebody has to wait; once in a while for each address, whatever they do.
    async fn note_refusal(&self, email: &str, client: Client) {
        if self.sign_ins.is_news(client.address, self.clock.now()).await {
            let what = "was refused for a while, after many that failed";
            self.note(ActivityKind::UserSignInThrottled, what, email, client).await;
        }
    }

    async fn note(&self, kind: ActivityKind, what: &str, email: &str, client: Client) {
        let email = normal_email(email);
        let who = email.as_deref().unwrap_or("something that is not an email address");
        let activity = Activity {
            kind,
            app_id: None,
            actor: Actor::System.to_string(),
            address: client.address.map(|a| a.to_canonical().to_string()),
            summary: format!("A sign-in as {who} {what}"),
            details: json!({ "email": email }),
            created_at: self.clock.now(),
        };
        if let Err(error) = self.store.activity_append(activity).await {
            tracing::warn!(%error, "a failed sign-in was not noted");
        }
    }
}

/// The user whose sessions are listed; `None`: all users.
fn whose(session: &Session) -> Option<UserId> {
    (session.user.role != Role::Owner).then_some(session.user.id)
}

/// What is wrong with a token that opens nothing.
fn not_a_link() -> FieldError {
    let message = "is invalid, expired, or already used. Restart the server for a new link, or create a user with \
                   `postrider user create`";
    FieldError::new("/token", message)
}

fn signed_in_entry(session: &Session) -> Activity {
    let details = json!({ "session_id": session.id.to_string(), "user_agent": session.user_agent });
    entry(session, ActivityKind::UserSignedIn, format!("{} signed in", session.user.email), details)
}

/// An entry about what somebody does at the beginning of a session.
fn entry(session: &Session, kind: ActivityKind, summary: String, details: serde_json::Value) -> Activity {
    let actor = Actor::User(session.user.email.clone()).to_string();
    let (address, created_at) = (session.address.clone(), session.created_at);
    Activity { kind, app_id: None, actor, address, summary, details, created_at }
}

fn random_token() -> SessionToken {
    let mut bytes = [0u8; TOKEN_BYTES];
    getrandom::fill(&mut bytes).expect("the operating system gives randomness");
    SessionToken::from_bytes(bytes)
}
