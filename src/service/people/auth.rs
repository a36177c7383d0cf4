//! Authentication: API keys, as a token or as a pair of headers, and people, by the cookie of their session.
//! If both are there, the key counts.
//!
//! Missing, malformed, unknown, expired and revoked credentials are one and the same error, and cost
//! the same: a digest and a comparison are made even when there is no key to compare with. Keys are
//! read from storage each time, because a key that was revoked at the command line ends at once.

use std::net::IpAddr;
use std::sync::Arc;

use tracing::Instrument as _;

use crate::domain::access::app::DEFAULT_APP;
use crate::domain::access::key::{Presented, SecretHash};
use crate::domain::{Actor, App, AppId, Scope, Scopes};
use crate::host::clock::Clock;
use crate::store::Store;

use crate::service::people::sessions::{Sessions, SignedIn};
use crate::service::{By, Caller, Kind, Result, ServiceError};

/// How long a key's `last_used_at` may lag behind, in milliseconds: it is written at most once a minute.
const TOUCH_EVERY_MS: i64 = 60_000;

/// What a request presented; the values of its headers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Credentials<'a> {
    /// `Authorization`
    pub authorization: Option<&'a str>,
    /// `x-client-key`
    pub client_key: Option<&'a str>,
    /// `x-client-secret`
    pub client_secret: Option<&'a str>,
    /// `X-App-Id`
    pub app_id: Option<&'a str>,
    /// The cookie `postrider_session`
    pub session: Option<&'a str>,
}

/// Who presented a valid credential.
#[derive(Debug, Clone)]
pub struct Identified {
    pub actor: Actor,
    pub scopes: Scopes,
    /// The credential's own app.
    pub app_id: AppId,
    /// The session, when the credential is one.
    pub session: Option<Arc<SignedIn>>,
}

impl Identified {
    /// What requests are counted by: each key and each session has a limit of its own.
    pub fn counted_as(&self) -> String {
        match &self.session {
            Some(signed_in) => format!("session:{}", signed_in.session.id),
            None => self.actor.to_string(),
        }
    }
}

/// Checks credentials.
pub struct Auth {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    prefix: String,
    sessions: Arc<Sessions>,
}

impl Auth {
    /// `prefix` is the configured `auth.key_prefix`.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        prefix: String,
        sessions: Arc<Sessions>,
    ) -> Auth {
        Auth { store, clock, prefix, sessions }
    }

    /// The app that a caller asks for.
    pub async fn app_of(&self, caller: &Caller) -> Result<App> {
        self.store.app_get(caller.app_id).await?.ok_or(ServiceError::NotFound(Kind::App))
    }

    /// Says who is asking, and for which app.
    pub async fn authenticate(
        &self,
        credentials: Credentials<'_>,
        address: Option<IpAddr>,
    ) -> Result<Caller> {
        let identified = self.identify(credentials).await?;
        self.caller(identified, credentials.app_id, address).await
    }

    /// Says who is asking: the first half of [`Auth::authenticate`]. An error means that there is no
    /// valid credential.
    pub async fn identify(&self, credentials: Credentials<'_>) -> Result<Identified> {
        let has_key = [credentials.authorization, credentials.client_key, credentials.client_secret]
            .iter()
            .any(Option::is_some);
        match credentials.session {
            Some(cookie) if !has_key => self.identify_person(cookie).await,
            _ => self.identify_key(credentials).await,
        }
    }

    /// People act in the app that exists from the start; an owner may name another.
    async fn identify_person(&self, cookie: &str) -> Result<Identified> {
        let signed_in = self.sessions.resume(cookie).await?;
        let app = self.store.app_find(DEFAULT_APP).await?.ok_or(ServiceError::NotFound(Kind::App))?;
        let user = &signed_in.session.user;
        let (actor, scopes) = (Actor::User(user.email.clone()), user.role.scopes());
        Ok(Identified { actor, scopes, app_id: app.id, session: Some(Arc::new(signed_in)) })
    }

    async fn identify_key(&self, credentials: Credentials<'_>) -> Result<Identified> {
        let presented = self.presented(credentials)?;
        let key = match &presented {
            Some(p) => self.store.key_get(&p.id).await?,
            None => None,
        };
        let now = self.clock.now();
        let secret = presented.as_ref().map_or("", |p| p.secret.as_str());
        let hash = key.as_ref().map_or(SecretHash([0; 32]), |k| k.secret_hash);
        let matches = hash.matches(secret);
        let key = key.filter(|k| matches && k.is_valid_at(now)).ok_or(ServiceError::Unauthorized)?;

        if key.last_used_at.is_none_or(|t| now.as_millis() - t.as_millis() >= TOUCH_EVERY_MS) {
            self.touch(key.id.clone());
        }
        Ok(Identified { actor: Actor::Key(key.id), scopes: key.scopes, app_id: key.app_id, session: None })
    }

    /// Says for which app: the second half. `wanted` is what `X-App-Id` says.
    pub async fn caller(
        &self,
        identified: Identified,
        wanted: Option<&str>,
        address: Option<IpAddr>,
    ) -> Result<Caller> {
        let app_id = self.app(&identified, wanted).await?;
        let address = address.map(|a| a.to_string());
        let Identified { actor, scopes, .. } = identified;
        Ok(Caller { by: By { actor, address, scopes }, app_id })
    }

    /// What was presented, when it has the form of a key; two different keys contradict each other.
    fn presented(&self, c: Credentials<'_>) -> Result<Option<Presented>> {
        let bearer = c.authorization.and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| Presented::from_token(&self.prefix, token.trim()))
        });
        let pair = match (c.client_key, c.client_secret) {
            (Some(key), Some(secret)) => Some(Presented::from_pair(&self.prefix, key, secret)),
            (None, None) => None,
            _ => Some(None),
        };
        match (bearer, pair) {
            (Some(Some(a)), Some(Some(b))) if a != b => Err(ServiceError::BadRequest(
                "Authorization and x-client-key/x-client-secret name different keys; send one of the two."
                    .to_owned(),
            )),
            // Two keys that are the same are one; one beside something malformed is malformed.
            (Some(a), Some(b)) => Ok(a.and(b)),
            (Some(key), None) | (None, Some(key)) => Ok(key),
            (None, None) => Ok(None),
        }
    }

    /// The app that the request is about: the key's own, or for `admin` the one that `X-App-Id` names.
    async fn app(&self, who: &Identified, wanted: Option<&str>) -> Result<AppId> {
        let Some(wanted) = wanted else { return Ok(who.app_id) };
        if !who.scopes.allows(Scope::Admin) {
            return Err(ServiceError::Forbidden(Scope::Admin));
        }
        let id: AppId = wanted.parse().map_err(|_| ServiceError::NotFound(Kind::App))?;
        let app = self.store.app_get(id).await?.ok_or(ServiceError::NotFound(Kind::App))?;
        Ok(app.id)
    }

    /// Notes the use in the background: no request waits for it, and losing it does no harm.
    fn touch(&self, id: String) {
        let (store, now) = (self.store.clone(), self.clock.now());
        let touch = async move {
            if let Err(error) = store.key_touch(&id, now).await {
                tracing::debug!(%error, "a key's last use was not noted");
            }
        };
        tokio::spawn(touch.in_current_span());
    }
}
