//! Who may call an operation, said by the type of its first argument.
//!
//! An operation that takes a [`ReadWebhooks`] is called with the scope `webhooks:read`, or not at all;
//! there is no way to write one that forgets to ask. The same type tells the OpenAPI document what it
//! asks for: it stands there as the name of a security scheme until the surface's `openapi` module puts
//! the real forms of credentials in its place.
//!
//! A browser sends the cookie of a session with whatever page asks for it. So a session may change
//! something only together with [`CSRF`], which other sites cannot read.

use std::sync::Arc;

use poem::http::{HeaderMap, header};
use poem::{Request, RequestBody};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use crate::domain::{Role, Scope};
use crate::service::log::live::StillAllowed;
use crate::service::people::auth::{Credentials, Identified};
use crate::service::people::sessions::SignedIn;
use crate::service::{Caller, ServiceError};

use crate::http::problem::Problem;
use crate::http::request::headers::single;
use crate::http::request::{client, limits};
use crate::http::state::State;
use crate::http::surface::Surface;

/// The header in which a page says that the request is its own.
pub const CSRF: &str = "x-csrf-token";

/// The header that names another app than the credential's own.
const APP_ID: &str = "x-app-id";

/// What an operation asks for.
#[derive(Debug, Clone, Copy)]
enum Need {
    /// A key or a person with this scope.
    Scope(Scope),
    /// A key with this scope, or a person with the scope and this role or a greater one.
    ScopeAndRole(Scope, Role),
    /// A person with this role or a greater one, or a key with scope `admin`.
    Role(Role),
    /// A key or a person with one of these scopes; the operation checks which one a request takes.
    OneOf(Scope, Scope),
    /// A person, whatever their role; no key.
    Session,
}

impl Need {
    fn check(self, who: &Identified) -> Result<(), Problem> {
        let role = who.session.as_ref().map(|s| s.session.user.role);
        match self {
            Need::Scope(scope) | Need::ScopeAndRole(scope, _) if !who.scopes.allows(scope) => {
                Err(ServiceError::Forbidden(scope).into())
            }
            Need::OneOf(scope, other) if !who.scopes.allows(scope) && !who.scopes.allows(other) => {
                Err(ServiceError::Forbidden(scope).into())
            }
            Need::ScopeAndRole(_, least) if role.is_some_and(|role| role < least) => {
                Err(Problem::forbidden(format!(
                    "You do not have permission to access this resource: of people, it takes the role {least}."
                )))
            }
            Need::Role(least) if !who.scopes.allows(Scope::Admin) && role < Some(least) => {
                Err(Problem::forbidden(format!(
                    "You do not have permission to access this resource: it takes the role {least}, or a \
                     key with the scope admin."
                )))
            }
            Need::Session if role.is_none() => Err(Problem::unauthorized()),
            _ => Ok(()),
        }
    }
}

/// The token of the session's cookie, on a surface that has one.
fn session(request: &Request) -> Option<&str> {
    let surface = *request.data::<Surface>()?;
    cookie(request.headers(), surface.session_cookie()?)
}

/// The value of a cookie.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let sent = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    sent.flat_map(|value| value.split(';')).find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

/// What a request presents.
fn credentials(request: &Request) -> Result<Credentials<'_>, Problem> {
    let header = |name| single(request.headers(), name);
    Ok(Credentials {
        authorization: header("authorization")?,
        client_key: header("x-client-key")?,
        client_secret: header("x-client-secret")?,
        app_id: header(APP_ID)?,
        session: session(request),
    })
}

/// Says who is asking, and counts the request against their limit.
async fn identify(request: &Request, state: &State, need: Need) -> Result<Identified, Problem> {
    let credentials = match credentials(request) {
        Ok(credentials) => credentials,
        Err(unreadable) => {
            limits::count_stranger(request, state)?;
            return Err(unreadable);
        }
    };
    let identified = match state.services.auth.identify(credentials).await {
        Ok(identified) => identified,
        Err(error @ (ServiceError::Unauthorized | ServiceError::BadRequest(_))) => {
            limits::count_stranger(request, state)?;
            return Err(error.into());
        }
        Err(error) => return Err(error.into()),
    };
    // Posted events have a limit of their own, and are counted when it is known how many they are.
    if matches!(need, Need::Scope(Scope::EventsWrite)) && identified.scopes.allows(Scope::EventsWrite) {
        limits::may_post(request, state, &identified.actor)?;
    } else {
        limits::count_request(request, state, &identified.counted_as())?;
    }
    Ok(identified)
}

/// A session that changes something has to say that its own page asks for it.
fn check_csrf(request: &Request, session: Option<&SignedIn>) -> Result<(), Problem> {
    let Some(signed_in) = session.filter(|_| !request.method().is_safe()) else { return Ok(()) };
    let given = single(request.headers(), CSRF)?.unwrap_or_default();
    if signed_in.token.csrf_matches(given) {
        Ok(())
    } else {
        Err(Problem::forbidden("X-CSRF-Token is missing or wrong. GET /admin/api/session returns it."))
    }
}

struct Authorized {
    caller: Caller,
    state: State,
    session: Option<Arc<SignedIn>>,
}

/// Says who is calling, and that they may, and counts the request against its limit.
async fn authorize(request: &Request, need: Need) -> Result<Authorized, Problem> {
    let state = request.data::<State>().ok_or_else(Problem::internal)?;
    let identified = identify(request, state, need).await?;
    check_csrf(request, identified.session.as_deref())?;
    need.check(&identified)?;
    let wanted = single(request.headers(), APP_ID)?;
    let session = identified.session.clone();
    let caller = state.services.auth.caller(identified, wanted, client::address(request)).await?;
    Ok(Authorized { caller, state: state.clone(), session })
}

macro_rules! asking {
    ($($(#[$doc:meta])* $name:ident = $need:expr, $text:literal;)*) => {$(
        $(#[$doc])*
        pub struct $name {
            pub caller: Caller,
            pub state: State,
            session: Option<Arc<SignedIn>>,
        }

        impl $name {
            /// The session, when a person asks.
            pub fn session(&self) -> Option<&SignedIn> {
                self.session.as_deref()
            }
        }

        impl<'a> ApiExtractor<'a> for $name {
            const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];
            type ParamType = ();
            type ParamRawType = ();

            fn security_schemes() -> Vec<&'static str> {
                vec![$text]
            }

            async fn from_request(
                request: &'a Request,
                _: &mut RequestBody,
                _: ExtractParamOptions<()>,
            ) -> poem::Result<Self> {
                let Authorized { caller, state, session } = authorize(request, $need).await?;
                Ok($name { caller, state, session })
            }
        }
    )*};
}

asking! {
    /// `webhooks:read`
    ReadWebhooks = Need::Scope(Scope::WebhooksRead), "webhooks:read";
    /// `webhooks:read`; people also need the role `admin` (section 3 of the contract).
    ExportWebhooks = Need::ScopeAndRole(Scope::WebhooksRead, Role::Admin), "webhooks:read";
    /// `webhooks:write`
    WriteWebhooks = Need::Scope(Scope::WebhooksWrite), "webhooks:write";
    /// `webhooks:write`, or less where a request asks for less.
    PreviewWebhooks = Need::OneOf(Scope::WebhooksWrite, Scope::WebhooksRead), "webhooks:write";
    /// `webhooks:read`, or `webhooks:write` where a request asks for more.
    TestWebhooks = Need::OneOf(Scope::WebhooksRead, Scope::WebhooksWrite), "webhooks:read";
    /// `events:read`
    ReadEvents = Need::Scope(Scope::EventsRead), "events:read";
    /// `events:write`
    WriteEvents = Need::Scope(Scope::EventsWrite), "events:write";
    /// `admin`
    Admin = Need::Scope(Scope::Admin), "admin";
    /// Anybody who has signed in, or a key with scope `admin`.
    AnyRole = Need::Role(Role::Viewer), "role:viewer";
    /// Who has signed in with the role `admin` or `owner`, or a key with scope `admin`.
    AdminRole = Need::Role(Role::Admin), "role:admin";
    /// Anybody who has signed in; no key.
    Person = Need::Session, "session";
}

impl Person {
    /// Whether a request comes with a session that is good. Counts nothing.
    pub async fn is(request: &Request, state: &State) -> bool {
        let credentials = Credentials { session: session(request), ..Credentials::default() };
        credentials.session.is_some() && state.services.auth.identify(credentials).await.is_ok()
    }

    /// The session, which is always there.
    pub fn signed_in(&self) -> Result<&SignedIn, Problem> {
        self.session().ok_or_else(Problem::unauthorized)
    }
}

/// Anybody at all: no credential is looked at. Counted by address.
pub struct Anybody {
    pub state: State,
}

impl<'a> ApiExtractor<'a> for Anybody {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];
    type ParamType = ();
    type ParamRawType = ();

    fn security_schemes() -> Vec<&'static str> {
        vec!["nobody"]
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let state = request.data::<State>().ok_or_else(Problem::internal)?;
        limits::count_stranger(request, state)?;
        // There is no session yet that could prove it, but browsers tell whose page asks: nobody is to
        // be signed in by another site.
        let site = request.headers().get("sec-fetch-site").and_then(|v| v.to_str().ok());
        if !request.method().is_safe() && matches!(site, Some("cross-site" | "same-site")) {
            return Err(Problem::forbidden(
                "Requests from another site are refused. Open the dashboard itself.",
            )
            .into());
        }
        Ok(Anybody { state: state.clone() })
    }
}

impl ReadWebhooks {
    /// Asks again, for an answer that goes on for long, whether what the request presented is still good.
    pub fn still_allowed(&self, request: &Request) -> StillAllowed {
        let (headers, state) = (request.headers().clone(), self.state.clone());
        let surface = request.data::<Surface>().copied();
        Box::new(move || {
            let mut again = Request::builder().finish();
            *again.headers_mut() = headers.clone();
            again.set_data(state.clone());
            if let Some(surface) = surface {
                again.set_data(surface);
            }
            Box::pin(async move { authorize(&again, Need::Scope(Scope::WebhooksRead)).await.is_ok() })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use poem::http::HeaderValue;

    #[test]
    fn the_document_names_the_scope_that_is_asked_for() {
        for (named, asked) in [
            (ReadWebhooks::security_schemes(), Scope::WebhooksRead),
            (WriteWebhooks::security_schemes(), Scope::WebhooksWrite),
            (ReadEvents::security_schemes(), Scope::EventsRead),
            (WriteEvents::security_schemes(), Scope::EventsWrite),
            (Admin::security_schemes(), Scope::Admin),
        ] {
            assert_eq!(named, [asked.as_str()]);
        }
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        for (value, found) in [
            ("postrider_session=a", Some("a")),
            ("x=1; postrider_session=b; y=2", Some("b")),
            ("postrider_session_old=c", None),
            ("xpostrider_session=d", None),
            ("", None),
        ] {
            headers.insert(header::COOKIE, HeaderValue::from_static(value));
            assert_eq!(cookie(&headers, "postrider_session"), found, "{value}");
        }
        headers.append(header::COOKIE, HeaderValue::from_static("postrider_session=e"));
        assert_eq!(
            cookie(&headers, "postrider_session"),
            Some("e"),
            "in a second header, as HTTP/2 may send it"
        );
    }
}
