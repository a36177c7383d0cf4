//! API keys: making, listing, revoking. The secret of a key exists in clear only in what [`create`]
//! returns.

use serde_json::json;

use crate::domain::access::key;
use crate::domain::access::key::{ID_BYTES, Key, SECRET_BYTES, SecretHash};
use crate::domain::{ActivityKind, AppId, Scopes, Span, Timestamp};
use crate::service::people::apps;
use crate::service::{By, check_name};
use crate::store::{AppStore, KeyStore, StoreError};

/// A key that is asked for.
#[derive(Debug, Clone)]
pub struct NewKey {
    pub name: String,
    /// The name or the id of the app it belongs to.
    pub app: String,
    pub scopes: Scopes,
    /// How long it works; `None`: until it is revoked.
    pub lifetime: Option<Span>,
}

/// A key that was just made, with its secret.
#[derive(Clone)]
pub struct CreatedKey {
    pub key: Key,
    /// In clear, to be shown only once.
    pub secret: String,
}

impl CreatedKey {
    /// The id with the prefix, as `x-client-key` takes it.
    pub fn client_key(&self, prefix: &str) -> String {
        key::client_key(prefix, &self.key.id)
    }

    /// The bearer token.
    pub fn token(&self, prefix: &str) -> String {
        key::token(prefix, &self.key.id, &self.secret)
    }
}

/// Never shows the secret.
impl std::fmt::Debug for CreatedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreatedKey").field("key", &self.key).finish_non_exhaustive()
    }
}

/// Why a key was not made or revoked.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("{0}")]
    BadName(String),
    #[error("a key needs at least one scope")]
    NoScopes,
    #[error("you cannot hand out {0}, which you do not have yourself")]
    ScopesNotHeld(Scopes),
    #[error("a key that expires at once is of no use; choose a longer time")]
    NoLifetime,
    #[error("there is no key {0:?} that could be revoked; `postrider key list` shows all")]
    NotFound(String),
    #[error(transparent)]
    App(#[from] apps::AppError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes a key. Nobody can hand out a scope that `by` lacks.
pub async fn create<S>(store: &S, new: NewKey, by: &By, now: Timestamp) -> Result<CreatedKey, KeyError>
where
    S: AppStore + KeyStore + ?Sized,
{
    check_name(&new.name).map_err(KeyError::BadName)?;
    if new.scopes.is_empty() {
        return Err(KeyError::NoScopes);
    }
    if !by.scopes.allows_all(new.scopes) {
        return Err(KeyError::ScopesNotHeld(new.scopes.iter().filter(|s| !by.scopes.allows(*s)).collect()));
    }
    if new.lifetime.as_ref().is_some_and(Span::is_zero) {
        return Err(KeyError::NoLifetime);
    }
    let app = apps::find(store, &new.app).await?;
    let secret = random_hex::<SECRET_BYTES>();
    let key = Key {
        id: random_hex::<ID_BYTES>(),
        app_id: app.id,
        name: new.name,
        scopes: new.scopes,
        secret_hash: SecretHash::of(&secret),
        created_at: now,
        expires_at: new.lifetime.map(|span| now.plus_ms(span.as_millis_i64())),
        revoked_at: None,
        last_used_at: None,
    };
    let summary = format!("Key {} was created for app {} with {}", key.name, app.name, key.scopes);
    let details = json!({
        "key_id": key.id,
        "name": key.name,
        "scopes": key.scopes.iter().map(|s| s.as_str()).collect::<Vec<_>>(),
        "expires_at": key.expires_at.map(|t| t.to_string()),
    });
    let activity = by.activity(ActivityKind::KeyCreated, Some(app.id), summary, details, now);
    store.key_insert(key.clone(), activity).await?;
    Ok(CreatedKey { key, secret })
}

/// All keys, newest first; of one app or of all.
pub async fn list<S: KeyStore + ?Sized>(store: &S, app: Option<AppId>) -> Result<Vec<Key>, KeyError> {
    Ok(store.key_list(app).await?)
}

/// Ends the key with this id, which may be written with the prefix.
pub async fn revoke<S>(store: &S, id: &str, prefix: &str, by: &By, now: Timestamp) -> Result<Key, KeyError>
where
    S: KeyStore + ?Sized,
{
    let bare = bare_id(id, prefix);
    let not_found = || KeyError::NotFound(id.to_owned());
    let key = store.key_get(bare).await?.ok_or_else(not_found)?;
    let details = json!({ "key_id": key.id, "name": key.name });
    let summary = format!("Key {} was revoked", key.name);
    let activity = by.activity(ActivityKind::KeyRevoked, Some(key.app_id), summary, details, now);
    if store.key_revoke(&key.id, now, activity).await? {
        Ok(Key { revoked_at: Some(now), ..key })
    } else {
        Err(not_found())
    }
}

/// The id without the prefix, which may be there or not.
pub(crate) fn bare_id<'a>(id: &'a str, prefix: &str) -> &'a str {
    id.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_')).unwrap_or(id)
}

fn random_hex<const BYTES: usize>() -> String {
    let mut bytes = [0u8; BYTES];
    getrandom::fill(&mut bytes).expect("the operating system gives randomness");
    hex::encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::access::key::Presented;
    use crate::domain::{Actor, Scope};
    use crate::service::fake::FakeStore;

    fn now() -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000)
    }

    fn new_key() -> NewKey {
        let scopes = Scopes::parse_list("events:write,webhooks:read").unwrap();
        NewKey { name: "ci".into(), app: "default".into(), scopes, lifetime: Span::parse("1h") }
    }

    #[tokio::test]
    async fn the_token_of_a_new_key_matches_what_is_stored() {
        let store = FakeStore::with_default_app(now());
        let created = create(&store, new_key(), &By::command_line(), now()).await.unwrap();
        let presented = Presented::from_token("prk", &created.token("prk")).unwrap();
        let stored = store.key_get(&presented.id).await.unwrap().unwrap();
        assert!(stored.secret_hash.matches(&presented.secret));
        assert_eq!(stored.expires_at, Some(now().plus_ms(3_600_000)));
        let entry = &store.activity()[0];
        assert_eq!((entry.kind, entry.actor.as_str()), (ActivityKind::KeyCreated, "cli"));
        assert!(!format!("{entry:?}{created:?}").contains(&created.secret));
    }

    #[tokio::test]
    async fn nobody_hands_out_more_than_they_have() {
        let store = FakeStore::with_default_app(now());
        let by = By {
            actor: Actor::User("ada@example.com".into()),
            address: None,
            scopes: [Scope::EventsWrite].into_iter().collect(),
        };
        let error = create(&store, new_key(), &by, now()).await.unwrap_err();
        assert_eq!(error.to_string(), "you cannot hand out webhooks:read, which you do not have yourself");
    }

    #[tokio::test]
    async fn what_makes_no_sense_is_refused() {
        let store = FakeStore::with_default_app(now());
        let by = By::command_line();
        let try_with = async |new: NewKey| create(&store, new, &by, now()).await.unwrap_err();
        let error = try_with(NewKey { app: "other".into(), ..new_key() }).await;
        assert!(matches!(error, KeyError::App(apps::AppError::NotFound(_))));
        assert!(matches!(try_with(NewKey { name: "".into(), ..new_key() }).await, KeyError::BadName(_)));
        assert!(matches!(try_with(NewKey { scopes: Scopes::NONE, ..new_key() }).await, KeyError::NoScopes));
        let at_once = NewKey { lifetime: Span::parse("0"), ..new_key() };
        assert!(matches!(try_with(at_once).await, KeyError::NoLifetime));
    }

    #[tokio::test]
    async fn a_key_is_revoked_once_by_either_spelling_of_its_id() {
        let store = FakeStore::with_default_app(now());
        let by = By::command_line();
        for prefixed in [true, false] {
            let created = create(&store, new_key(), &by, now()).await.unwrap();
            let id = if prefixed { created.client_key("prk") } else { created.key.id.clone() };
            let revoked = revoke(&store, &id, "prk", &by, now()).await.unwrap();
            assert!(!revoked.is_valid_at(now()));
            assert!(matches!(revoke(&store, &id, "prk", &by, now()).await, Err(KeyError::NotFound(_))));
        }
    }
}
