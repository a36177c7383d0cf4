//! `/admin/api/state`, `setup` and `session`: how people come in and go.

use poem::Request;
use poem::http::uri::Scheme;
use poem_openapi::payload::Json as Answer;
use poem_openapi::{ApiResponse, Object, OpenApi};

use crate::domain::access::session::LONGEST_MS;
use crate::http::base_path;
use crate::http::problem::Problem;
use crate::http::request::auth::{Anybody, Person};
use crate::http::request::body::{BodyShape, Json, Limit};
use crate::http::state::State;
use crate::http::surface::SESSION_COOKIE;
use crate::service::people::sessions::{SetUp, SignedIn};

use super::Tag;
use super::shapes::{client, texts};

/// What the page has to know before anybody has signed in.
#[derive(Object)]
struct StateObject {
    /// Whether there is no user yet, so that the set-up link is needed.
    setup_required: bool,
    /// Whether the request came with a session that is good.
    signed_in: bool,
}

/// An app to choose.
#[derive(Object)]
struct AppChoice {
    /// UUID of the app.
    id: String,
    name: String,
}

/// A session, as its own page sees it.
#[derive(Object)]
struct SessionObject {
    /// Who has signed in.
    email: String,
    /// `viewer`, `admin` or `owner`.
    role: String,
    /// What `X-CSRF-Token` has to say in requests that change something.
    csrf_token: String,
    /// The apps to choose from with `X-App-Id`: an owner sees all, others the first only.
    apps: Vec<AppChoice>,
}

impl SessionObject {
    async fn of(state: &State, signed_in: &SignedIn) -> Result<SessionObject, Problem> {
        let apps = state.services.sessions.apps(&signed_in.session).await?;
        let user = &signed_in.session.user;
        Ok(SessionObject {
            email: user.email.clone(),
            role: user.role.to_string(),
            csrf_token: signed_in.token.csrf(),
            apps: apps.into_iter().map(|app| AppChoice { id: app.id.to_string(), name: app.name }).collect(),
        })
    }
}

/// What makes the owner.
#[derive(Object)]
#[allow(dead_code, reason = "it documents the body, which is read field by field")]
struct SetUpBody {
    /// The last segment of the set-up link.
    token: String,
    /// The address to sign in with.
    email: String,
    /// 10 characters or more.
    password: String,
}

impl BodyShape for SetUpBody {
    const LIMIT: Limit = Limit::Password;
}

/// A set-up link to check.
#[derive(Object)]
#[allow(dead_code, reason = "it documents the body, which is read field by field")]
struct SetUpCheckBody {
    /// The last segment of the set-up link.
    token: String,
}

impl BodyShape for SetUpCheckBody {
    const LIMIT: Limit = Limit::Password;
}

/// What a set-up link is good for.
#[derive(Object)]
struct SetUpCheckObject {
    /// Whether the link still works.
    open: bool,
}

/// Who wants to sign in.
#[derive(Object)]
#[allow(dead_code, reason = "it documents the body, which is read field by field")]
struct SignInBody {
    email: String,
    password: String,
}

impl BodyShape for SignInBody {
    const LIMIT: Limit = Limit::Password;
}

#[derive(ApiResponse)]
enum SetUpAnswer {
    /// The owner is made and has signed in.
    #[oai(status = 201)]
    Made(
        Answer<SessionObject>,
        /// The session's cookie.
        #[oai(header = "Set-Cookie")]
        String,
    ),
}

#[derive(ApiResponse)]
enum SignInAnswer {
    /// Signed in.
    #[oai(status = 200)]
    SignedIn(
        Answer<SessionObject>,
        /// The session's cookie.
        #[oai(header = "Set-Cookie")]
        String,
    ),
}

#[derive(ApiResponse)]
enum SignOutAnswer {
    /// Signed out.
    #[oai(status = 204)]
    Done(
        /// Takes the cookie away.
        #[oai(header = "Set-Cookie")]
        String,
    ),
}

/// The operations.
pub struct SessionApi;

#[OpenApi(tag = "Tag::Session")]
impl SessionApi {
    /// Get the state
    ///
    /// Whether somebody has to set the server up, or to sign in. Needs no credential.
    #[oai(path = "/state", method = "get", operation_id = "get_state")]
    async fn state(&self, anybody: Anybody, request: &Request) -> Result<Answer<StateObject>, Problem> {
        let state = &anybody.state;
        Ok(Answer(StateObject {
            setup_required: state.services.sessions.setup_required().await?,
            signed_in: Person::is(request, state).await,
        }))
    }

    /// Set the server up
    ///
    /// Makes the owner and signs them in, with the token of the link that the server prints at its start
    /// while there is no user. A link works once, for 30 minutes.
    #[oai(path = "/setup", method = "post", operation_id = "set_up")]
    async fn set_up(
        &self,
        anybody: Anybody,
        request: &Request,
        body: Json<SetUpBody>,
    ) -> Result<SetUpAnswer, Problem> {
        let [token, email, password] = texts(&body.bytes, ["token", "email", "password"])?;
        let input = SetUp { token: &token, email: &email, password: &password };
        let state = &anybody.state;
        let signed_in = state.services.sessions.set_up(input, client(request)).await?;
        let cookie = cookie(state, request, Some(&signed_in));
        Ok(SetUpAnswer::Made(Answer(SessionObject::of(state, &signed_in).await?), cookie))
    }

    /// Check a set-up link
    ///
    /// Whether the link still works, so that a person is told before filling in the form. The token is in the body,
    /// because addresses are logged.
    #[oai(path = "/setup/check", method = "post", operation_id = "check_setup")]
    async fn check_setup(
        &self,
        anybody: Anybody,
        body: Json<SetUpCheckBody>,
    ) -> Result<Answer<SetUpCheckObject>, Problem> {
        let [token] = texts(&body.bytes, ["token"])?;
        let open = anybody.state.services.sessions.setup_is_open(&token).await?;
        Ok(Answer(SetUpCheckObject { open }))
    }

    /// Sign in
    ///
    /// A wrong password and an address that nobody has are the same 401.
    #[oai(path = "/session", method = "post", operation_id = "sign_in")]
    async fn sign_in(
        &self,
        anybody: Anybody,
        request: &Request,
        body: Json<SignInBody>,
    ) -> Result<SignInAnswer, Problem> {
        let [email, password] = texts(&body.bytes, ["email", "password"])?;
        let state = &anybody.state;
        let signed_in = state.services.sessions.sign_in(&email, &password, client(request)).await?;
        let cookie = cookie(state, request, Some(&signed_in));
        Ok(SignInAnswer::SignedIn(Answer(SessionObject::of(state, &signed_in).await?), cookie))
    }

    /// Get the session
    ///
    /// Who has signed in, and what `X-CSRF-Token` has to say.
    #[oai(path = "/session", method = "get", operation_id = "get_session")]
    async fn session(&self, person: Person) -> Result<Answer<SessionObject>, Problem> {
        Ok(Answer(SessionObject::of(&person.state, person.signed_in()?).await?))
    }

    /// Sign out
    ///
    /// Ends the session; its cookie opens nothing any more.
    #[oai(path = "/session", method = "delete", operation_id = "sign_out")]
    async fn sign_out(&self, person: Person, request: &Request) -> Result<SignOutAnswer, Problem> {
        let state = &person.state;
        state.services.sessions.sign_out(&person.signed_in()?.session, &person.caller.by).await?;
        Ok(SignOutAnswer::Done(cookie(state, request, None)))
    }
}

/// The header that gives a browser its cookie, or takes it away. Scripts never see it, other sites never
/// cause it to be sent, and it does not travel in clear where TLS is in use.
fn cookie(state: &State, request: &Request, signed_in: Option<&SignedIn>) -> String {
    let is_https = state.is_https || *request.scheme() == Scheme::HTTPS;
    let secure = if is_https { "; Secure" } else { "" };
    // Everything is there at the root, too, and users who sign in there stay there.
    let path = match base_path::seen_by(request, &state.base_path) {
        "" => "/",
        base_path => base_path,
    };
    let (token, seconds) = signed_in.map_or(("", 0), |s| (s.token.as_str(), LONGEST_MS / 1_000));
    format!("{SESSION_COOKIE}={token}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}
