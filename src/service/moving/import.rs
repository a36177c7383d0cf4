//! Takes the document in: first a plan with everything that is wrong or worth saying, then all of it at
//! once. What is there already and is the same stays untouched, so that taking in twice changes nothing.

use std::collections::{BTreeMap, HashSet};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::document::{AppPart, Document, FORM, HeaderPart, KeyPart, SourcePart, WebhookPart};
use super::export;
use crate::domain::access::key::SecretHash;
use crate::domain::endpoint::{
    self, EndpointHeader, EndpointPatch, EndpointSettings, EndpointStatus, HeaderValue,
};
use crate::domain::inbound::source::Source;
use crate::domain::signing::secret::SIGNING_SECRET_BYTES;
use crate::domain::values::change::Change;
use crate::domain::values::invalid::escape_pointer;
use crate::domain::values::preset_mark::PresetMark;
use crate::domain::{
    ActivityKind, App, AppId, Endpoint, EndpointId, Invalid, Key, Scope, Sealed, SigningSecret, Timestamp,
};
use crate::host::vault::Vault;
use crate::service::endpoints::endpoint_input::{self, Checked, HeaderInput, InputRules};
use crate::service::endpoints::requests::Requests;
use crate::service::people::apps;
use crate::service::{By, Result, ServiceError};
use crate::store::{Import, Store};

/// The shortest signing secret: what Standard Webhooks asks for, in bytes.
const SECRET_BYTES_MIN: usize = 24;

/// How many there are of something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    pub new: usize,
    pub changed: usize,
    pub same: usize,
}

/// What taking in would do.
#[derive(Debug, Default)]
pub struct Plan {
    pub apps: Count,
    pub webhooks: Count,
    pub sources: Count,
    pub keys: Count,
    /// What cannot be taken, each with its place; with any, nothing is.
    pub problems: Vec<String>,
    /// What a person should know.
    pub notes: Vec<String>,
    new_apps: Vec<App>,
    new_endpoints: Vec<Endpoint>,
    changed_endpoints: Vec<Endpoint>,
    new_keys: Vec<Key>,
    pub(super) new_sources: Vec<Source>,
    pub(super) changed_sources: Vec<Source>,
}

/// What a plan is made with.
pub struct Importer<'a> {
    pub store: &'a dyn Store,
    pub vault: &'a Vault,
    pub rules: &'a InputRules,
    pub now: Timestamp,
}

/// Reads a document. The error says where it is wrong.
pub fn read(text: &str) -> std::result::Result<Document, String> {
    let document: Document =
        serde_json::from_str(text).map_err(|error| format!("this is no export: {error}"))?;
    if document.postrider_export != FORM {
        let found = document.postrider_export;
        return Err(format!("postrider_export is {found}, this program reads {FORM}: use a newer postrider"));
    }
    Ok(document)
}

impl Importer<'_> {
    /// Looks at all of a document and writes nothing.
    pub async fn plan(&self, document: &Document) -> Result<Plan> {
        let mut plan = Plan::default();
        let (mut ids, mut source_ids, mut names) = (HashSet::new(), HashSet::new(), HashSet::new());
        for (i, part) in document.apps.iter().enumerate() {
            let place = format!("apps/{i}");
            if !names.insert(&part.name) {
                plan.problems.push(format!("{place}/name: {:?} is there twice", part.name));
                continue;
            }
            let Some(app) = self.app(part, &place, &mut plan).await? else { continue };
            for (i, value) in part.webhooks.iter().enumerate() {
                let place = format!("{place}/webhooks/{i}");
                if let Some(part) = part_of::<WebhookPart>(value, &place, &mut plan.problems) {
                    self.webhook(&app, part, &place, &mut ids, &mut plan).await?;
                }
            }
            for (i, value) in part.sources.iter().enumerate() {
                let place = format!("{place}/sources/{i}");
                if let Some(part) = part_of::<SourcePart>(value, &place, &mut plan.problems) {
                    self.source(&app, part, &place, &mut source_ids, &mut plan).await?;
                }
            }
            for (i, value) in part.keys.iter().enumerate() {
                let place = format!("{place}/keys/{i}");
                if let Some(part) = part_of::<KeyPart>(value, &place, &mut plan.problems) {
                    self.key(&app, &part, &place, &mut plan).await?;
                }
            }
        }
        self.check_limit(&mut plan).await?;
        self.check_sources(&mut plan).await?;
        Ok(plan)
    }

    /// Refuses more endpoints in an app than there may be.
    async fn check_limit(&self, plan: &mut Plan) -> Result<()> {
        let most = self.rules.endpoints_per_app as usize;
        let mut new: BTreeMap<AppId, usize> = BTreeMap::new();
        for endpoint in &plan.new_endpoints {
            *new.entry(endpoint.app_id).or_default() += 1;
        }
        for (app, new) in new {
            let there = self.store.endpoint_briefs(app).await?.len();
            if there + new > most {
                plan.problems.push(format!(
                    "apps/{app}: would have {} webhooks; at most {most} are possible (limits.endpoints_per_app)",
                    there + new
                ));
            }
        }
        Ok(())
    }

    /// Writes all of a plan that has no problems.
    pub async fn apply(&self, plan: Plan, by: &By) -> Result<()> {
        if !plan.problems.is_empty() {
            return Err(ServiceError::Conflict(plan.problems.join("; ")));
        }
        let counts = json!({
            "apps": { "new": plan.apps.new, "same": plan.apps.same },
            "webhooks": {
                "new": plan.webhooks.new, "changed": plan.webhooks.changed, "same": plan.webhooks.same,
            },
            "sources": { "new": plan.sources.new, "changed": plan.sources.changed, "same": plan.sources.same },
            "keys": { "new": plan.keys.new, "same": plan.keys.same },
        });
        let sources = plan.sources.new + plan.sources.changed;
        if plan.apps.new + plan.webhooks.new + plan.webhooks.changed + plan.keys.new + sources == 0 {
            return Ok(());
        }
        let summary = format!(
            "An import made {} apps, {} webhooks and {} keys, and changed {} webhooks.",
            plan.apps.new, plan.webhooks.new, plan.keys.new, plan.webhooks.changed
        );
        let activity = by.activity(ActivityKind::Imported, None, summary, counts, self.now);
        let import = Import {
            new_apps: plan.new_apps,
            new_endpoints: plan.new_endpoints,
            changed_endpoints: plan.changed_endpoints,
            new_keys: plan.new_keys,
            new_sources: plan.new_sources,
            changed_sources: plan.changed_sources,
            activity,
        };
        Ok(self.store.import(import).await?)
    }

    /// The app that is meant: by its id, else by its name, else a new one.
    async fn app(&self, part: &AppPart, place: &str, plan: &mut Plan) -> Result<Option<App>> {
        let id = match part.id.as_deref().map(str::parse::<AppId>) {
            Some(Ok(id)) => Some(id),
            Some(Err(_)) => {
                plan.problems.push(format!("{place}/id: is no id (a UUID); leave it out to have one made"));
                return Ok(None);
            }
            None => None,
        };
        let mut found = None;
        if let Some(id) = id {
            found = self.store.app_get(id).await?;
        }
        if found.is_none() {
            found = self.store.app_find(&part.name).await?;
        }
        if let Some(found) = found {
            if found.name != part.name {
                plan.notes.push(format!("{place}: the app is called {:?} here, which stays", found.name));
            }
            plan.apps.same += 1;
            return Ok(Some(found));
        }
        if let Err(error) = apps::check(&part.name) {
            plan.problems.push(format!("{place}/name: {error}"));
            return Ok(None);
        }
        let created_at = self.time(part.created_at.as_deref(), &format!("{place}/created_at"), plan);
        let created_at = created_at.unwrap_or(self.now);
        let app = App { id: id.unwrap_or_else(|| AppId::new(self.now)), name: part.name.clone(), created_at };
        plan.apps.new += 1;
        plan.new_apps.push(app.clone());
        Ok(Some(app))
    }

    async fn webhook(
        &self,
        app: &App,
        mut part: WebhookPart,
        place: &str,
        ids: &mut HashSet<EndpointId>,
        plan: &mut Plan,
    ) -> Result<()> {
        let before = plan.problems.len();
        let Some((id, current)) = self.webhook_place(app, &part, place, ids, plan).await? else {
            return Ok(());
        };
        let known = current.as_ref().map(|current| export::webhook(current, Some(self.vault)));
        let known = known.transpose().map_err(|error| ServiceError::Internal(Box::new(error)))?;
        complete(&mut part, known.as_ref(), place, plan);
        let created_at = self.time(part.created_at.as_deref(), &format!("{place}/created_at"), plan);
        let secret = self.secret(part.signing_secret.as_deref(), place, plan);
        let checked = self.check(&part, place, plan);
        if plan.problems.len() > before {
            return Ok(());
        }
        if known.is_some_and(|known| {
            known
                == WebhookPart { id: known.id.clone(), created_at: known.created_at.clone(), ..part.clone() }
        }) {
            plan.webhooks.same += 1;
            return Ok(());
        }
        let settings = match self.settings(id, checked, part.preset_mark) {
            Ok(settings) => settings,
            Err(Invalid(errors)) => {
                let problems = errors.into_iter().map(|e| format!("{place}{}: {}", e.pointer, e.message));
                plan.problems.extend(problems);
                return Ok(());
            }
        };
        let status = EndpointStatus::parse(&part.status).unwrap_or(EndpointStatus::Active);
        let secret = self.vault.seal_signing_secret(id, &secret);
        match current {
            Some(current) => {
                plan.webhooks.changed += 1;
                plan.changed_endpoints.push(changed(current, settings, status, secret, self.now));
            }
            None => {
                plan.webhooks.new += 1;
                plan.new_endpoints.push(Endpoint {
                    status,
                    created_at: created_at.unwrap_or(self.now),
                    ..Endpoint::new(id, app.id, settings, secret, self.now)
                });
            }
        }
        Ok(())
    }

    /// The id of a webhook, and what has it here; `None` if it has no id that can be.
    async fn webhook_place(
        &self,
        app: &App,
        part: &WebhookPart,
        place: &str,
        ids: &mut HashSet<EndpointId>,
        plan: &mut Plan,
    ) -> Result<Option<(EndpointId, Option<Endpoint>)>> {
        let id = match part.id.as_deref().map(str::parse::<EndpointId>) {
            Some(Ok(id)) => id,
            Some(Err(_)) => {
                plan.problems.push(format!("{place}/id: is no id (a UUID); leave it out to have one made"));
                return Ok(None);
            }
            None => {
                plan.notes.push(format!("{place}: has no id, so taking it in again makes another webhook"));
                EndpointId::new(self.now)
            }
        };
        if !ids.insert(id) {
            plan.problems.push(format!("{place}/id: {id} is there twice"));
        }
        let current = match self.store.endpoint_place(id).await? {
            None => None,
            Some((_, true)) => {
                let text = "was deleted here; leave the id out to have another webhook made";
                plan.problems.push(format!("{place}/id: {text}"));
                None
            }
            Some((owner, false)) if owner != app.id => {
                plan.problems.push(format!("{place}/id: belongs to another app here"));
                None
            }
            Some((owner, false)) => self.store.endpoint_get(owner, id).await?,
        };
        Ok(Some((id, current)))
    }

    /// Checks what a client could get wrong, by the rules that hold for clients.
    fn check(&self, part: &WebhookPart, place: &str, plan: &mut Plan) -> Checked {
        let mut object = json!(part);
        object["headers"] = part
            .headers
            .iter()
            .map(|(name, value)| {
                let value = match value {
                    HeaderPart::Plain(text) => json!(text),
                    HeaderPart::Secret { secret } => json!({ "value": secret, "secret": true }),
                };
                (name.clone(), value)
            })
            .collect();
        endpoint_input::read_object(&object, self.rules).unwrap_or_else(|Invalid(errors)| {
            let problems = errors.into_iter().map(|e| format!("{place}{}: {}", e.pointer, e.message));
            plan.problems.extend(problems);
            Checked::default()
        })
    }

    fn settings(
        &self,
        id: EndpointId,
        checked: Checked,
        preset: Option<PresetMark>,
    ) -> std::result::Result<EndpointSettings, Invalid> {
        let mut patch = checked.patch;
        patch.preset = preset.map_or(Change::Keep, Change::Set);
        let requests = Requests { vault: self.vault, rules: self.rules, id, current: None };
        requests.settle(&mut patch, checked.secrets.as_deref())?;
        let headers = checked.headers.unwrap_or_default().into_iter().map(|(name, value)| {
            let value = match value {
                HeaderInput::Plain(text) => HeaderValue::Plain(text),
                HeaderInput::Secret(text) => HeaderValue::Secret(self.vault.seal_header(id, &name, &text)),
            };
            EndpointHeader { name, value }
        });
        Ok(EndpointPatch { headers: Some(headers.collect()), ..patch }.into_settings())
    }

    /// The secret that signs: the given one, or a new one.
    fn secret(&self, given: Option<&str>, place: &str, plan: &mut Plan) -> SigningSecret {
        match given.map(SigningSecret::parse) {
            Some(Some(secret)) if secret.key().len() >= SECRET_BYTES_MIN => secret,
            Some(secret) => {
                let text = match secret {
                    None => "is no signing secret; expected whsec_ and base64".to_owned(),
                    Some(secret) => format!(
                        "is too short: {} bytes; expected at least {SECRET_BYTES_MIN} (Standard Webhooks), in base64",
                        secret.key().len()
                    ),
                };
                plan.problems.push(format!("{place}/signing_secret: {text}"));
                SigningSecret::from_key(&[0; SIGNING_SECRET_BYTES])
            }
            None => {
                plan.notes.push(format!("{place}: no signing secret is given, so a new one is made"));
                let mut key = [0u8; SIGNING_SECRET_BYTES];
                getrandom::fill(&mut key).expect("the operating system gives randomness");
                SigningSecret::from_key(&key)
            }
        }
    }

    async fn key(&self, app: &App, part: &KeyPart, place: &str, plan: &mut Plan) -> Result<()> {
        let before = plan.problems.len();
        let mut fail = |field: &str, text: String| plan.problems.push(format!("{place}/{field}: {text}"));
        let plain = |id: &str| (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric());
        if !plain(&part.id) {
            fail("id", "must be letters and digits, without the prefix".to_owned());
        }
        let mut scopes = Vec::new();
        for (i, name) in part.scopes.iter().enumerate() {
            match Scope::parse(name) {
                Some(scope) => scopes.push(scope),
                None => fail(&format!("scopes/{i}"), format!("{name:?} is no scope")),
            }
        }
        if part.scopes.is_empty() {
            fail("scopes", "must name at least one scope".to_owned());
        }
        let hash = hex::decode(&part.secret_sha256).ok().and_then(|hash| <[u8; 32]>::try_from(hash).ok());
        if hash.is_none() {
            fail("secret_sha256", "must be 64 hexadecimal digits".to_owned());
        }
        let time = |field: &str, text: &Option<String>, plan: &mut Plan| {
            self.time(text.as_deref(), &format!("{place}/{field}"), plan)
        };
        let created_at = time("created_at", &part.created_at, plan);
        let expires_at = time("expires_at", &part.expires_at, plan);
        let revoked_at = time("revoked_at", &part.revoked_at, plan);
        let hash = match hash {
            Some(hash) if plan.problems.len() == before => SecretHash(hash),
            _ => return Ok(()),
        };
        match self.store.key_get(&part.id).await? {
            Some(known) if known.secret_hash == hash && known.app_id == app.id => plan.keys.same += 1,
            Some(_) => plan.problems.push(format!("{place}/id: there is another key with this id here")),
            None => {
                plan.keys.new += 1;
                plan.new_keys.push(Key {
                    id: part.id.clone(),
                    app_id: app.id,
                    name: part.name.clone(),
                    scopes: scopes.into_iter().collect(),
                    secret_hash: hash,
                    created_at: created_at.unwrap_or(self.now),
                    expires_at,
                    revoked_at,
                    last_used_at: None,
                });
            }
        }
        Ok(())
    }

    fn time(&self, text: Option<&str>, place: &str, plan: &mut Plan) -> Option<Timestamp> {
        let time = Timestamp::parse(text?);
        if time.is_none() {
            plan.problems.push(format!("{place}: is no time such as 2026-05-01T05:14:38Z"));
        }
        time
    }
}

fn part_of<T: DeserializeOwned>(value: &Value, place: &str, problems: &mut Vec<String>) -> Option<T> {
    match T::deserialize(value) {
        Ok(part) => Some(part),
        Err(error) => {
            problems.push(format!("{place}: {error}"));
            None
        }
    }
}

/// Fills what a document without secrets leaves out with what there is here; what is nowhere is left out.
fn complete(part: &mut WebhookPart, known: Option<&WebhookPart>, place: &str, plan: &mut Plan) {
    if part.signing_secret.is_none() {
        part.signing_secret = known.and_then(|known| known.signing_secret.clone());
    }
    if part.name.as_ref().is_none_or(String::is_empty) {
        part.name = Some(endpoint::name_of_url(&part.url));
    }
    for (name, value) in part.secrets.iter_mut().filter(|(_, value)| value.is_none()) {
        // Without it the request cannot be read, so it cannot be left out.
        *value = known.and_then(|known| known.secrets.get(name).cloned().flatten());
        if value.is_none() {
            let text = "has no value in this document; write it in, or export with secrets";
            plan.problems.push(format!("{place}/secrets/{}: {text}", escape_pointer(name)));
        }
    }
    let mut missing = Vec::new();
    for (name, value) in &mut part.headers {
        if *value == (HeaderPart::Secret { secret: None }) {
            match known.and_then(|known| known.headers.get(name)) {
                Some(HeaderPart::Secret { secret: Some(secret) }) => {
                    *value = HeaderPart::Secret { secret: Some(secret.clone()) };
                }
                _ => missing.push(name.clone()),
            }
        }
    }
    for name in missing {
        part.headers.remove(&name);
        plan.notes.push(format!(
            "{place}/headers/{}: has no value in this document and is left out; set it by hand",
            escape_pointer(&name)
        ));
    }
}

/// An endpoint that is there, as the document has it. A status that changes is as if a person set it.
fn changed(
    current: Endpoint,
    settings: EndpointSettings,
    status: EndpointStatus,
    secret: Sealed,
    now: Timestamp,
) -> Endpoint {
    let stays = current.status == status;
    Endpoint {
        settings,
        status,
        status_reason: current.status_reason.filter(|_| stays),
        status_since: if stays { current.status_since } else { now },
        consecutive_failures: if stays { current.consecutive_failures } else { 0 },
        secret,
        updated_at: now,
        ..current
    }
}
