//! `/admin/api/keys`: API keys of the app that the caller is in.

use poem_openapi::param::Path;
use poem_openapi::payload::Json as Answer;
use poem_openapi::{Object, OpenApi};

use crate::domain::access::key;
use crate::domain::{Key, Scope, Scopes, Span};
use crate::http::problem::Problem;
use crate::http::request::auth::AdminRole;
use crate::http::request::body::{BodyShape, Fields, Json};
use crate::service::people::accounts::KeyInput;

use super::Tag;
use super::shapes::{Done, Made, Whole};

/// An API key.
#[derive(Object)]
#[oai(rename = "Key")]
struct KeyObject {
    /// The key's id, without prefix.
    id: String,
    /// What `x-client-key` says.
    client_key: String,
    name: String,
    scopes: Vec<String>,
    /// RFC 3339, UTC.
    created_at: String,
    /// RFC 3339, UTC; null: it works until it is revoked.
    expires_at: Option<String>,
    /// RFC 3339, UTC, to the minute; null: never used.
    last_used_at: Option<String>,
    /// RFC 3339, UTC; null: not revoked.
    revoked_at: Option<String>,
}

/// A key that was just made, with its secret.
#[derive(Object)]
struct NewKeyObject {
    #[oai(flatten)]
    key: KeyObject,
    /// What `x-client-secret` says; shown only once.
    client_secret: String,
    /// Both in one, for `Authorization: Bearer`; shown only once.
    token: String,
}

impl KeyObject {
    fn of(found: &Key, prefix: &str) -> KeyObject {
        KeyObject {
            id: found.id.clone(),
            client_key: key::client_key(prefix, &found.id),
            name: found.name.clone(),
            scopes: found.scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
            created_at: found.created_at.to_string(),
            expires_at: found.expires_at.map(|t| t.to_string()),
            last_used_at: found.last_used_at.map(|t| t.to_string()),
            revoked_at: found.revoked_at.map(|t| t.to_string()),
        }
    }
}

/// A key to make.
#[derive(Object)]
#[allow(dead_code, reason = "it documents the body, which is read field by field")]
struct KeyBody {
    /// 1 to 100 characters.
    name: String,
    /// What it may do; nothing that the caller may not.
    scopes: Vec<String>,
    /// How long it works: `90d`; without it, until it is revoked.
    expires: Option<String>,
}

impl BodyShape for KeyBody {}

/// The operations.
pub struct KeysApi;

#[OpenApi(tag = "Tag::Keys")]
impl KeysApi {
    /// List keys
    ///
    /// The keys of the app, newest first, those too that have ended. No answer has a secret.
    #[oai(path = "/keys", method = "get", operation_id = "list_keys")]
    async fn list(&self, auth: AdminRole) -> Result<Answer<Whole<KeyObject>>, Problem> {
        let accounts = &auth.state.services.accounts;
        let keys = accounts.keys(&auth.caller).await?;
        Ok(Answer(Whole { data: keys.iter().map(|key| KeyObject::of(key, accounts.prefix())).collect() }))
    }

    /// Create a key
    ///
    /// Of the app that the caller is in. The answer carries `client_secret` and `token`, which are shown
    /// this once. A scope that the caller lacks: 403.
    #[oai(path = "/keys", method = "post", operation_id = "create_key")]
    async fn create(&self, auth: AdminRole, body: Json<KeyBody>) -> Result<Made<NewKeyObject>, Problem> {
        let input = read_key(&body)?;
        let accounts = &auth.state.services.accounts;
        let made = accounts.create_key(&auth.caller, input).await?;
        Ok(Made::Made(Answer(NewKeyObject {
            key: KeyObject::of(&made.key, accounts.prefix()),
            token: made.token(accounts.prefix()),
            client_secret: made.secret,
        })))
    }

    /// Revoke a key
    ///
    /// At once and permanently. A key that may do more than the caller: 403.
    #[oai(path = "/keys/:id", method = "delete", operation_id = "revoke_key")]
    async fn revoke(&self, auth: AdminRole, id: Path<String>) -> Result<Done, Problem> {
        auth.state.services.accounts.revoke_key(&auth.caller, &id).await?;
        Ok(Done::Done)
    }
}

/// The most scopes of a list: there are fewer, and some have two names.
const SCOPES_MAX: usize = 50;

fn read_key(body: &Json<KeyBody>) -> Result<KeyInput, Problem> {
    let mut fields = Fields::of_body(&body.bytes, &["name", "scopes", "expires"])?;
    fields.require("name");
    fields.require("scopes");
    let name = fields.get::<String>("name", "text").unwrap_or_default();
    let named = fields.get::<Vec<String>>("scopes", "a list of scopes").unwrap_or_default();
    let mut scopes = Vec::new();
    if named.len() > SCOPES_MAX {
        fields.fail("scopes", format!("has {} scopes; at most {SCOPES_MAX} are possible", named.len()));
    }
    for (i, name) in named.iter().enumerate().take(SCOPES_MAX) {
        match Scope::parse(name) {
            Some(scope) => scopes.push(scope),
            None => {
                let known = Scope::WORDS.join(", ");
                fields.fail(&format!("scopes/{i}"), format!("must be one of {known}"));
            }
        }
    }
    let lifetime = fields.nullable::<String>("expires", "a length of time such as 90d").flatten();
    let lifetime = lifetime.and_then(|text| {
        let span = Span::parse(&text);
        if span.is_none() {
            fields.fail("expires", "must be a whole number and ms, s, m, h or d, such as 90d");
        }
        span
    });
    fields.finish()?;
    Ok(KeyInput { name, scopes: scopes.into_iter().collect::<Scopes>(), lifetime })
}
