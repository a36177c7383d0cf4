//! Sources: create, read, change, delete, and give them another URL.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::domain::gallery::choice::{self, Choice};
use crate::domain::gallery::{Preset, Side};
use crate::domain::inbound::input;
use crate::domain::inbound::source::{
    Guard, OldToken, SOURCES_MAX, Source, SourceSettings, TokenHash, attributes, digest_of, token,
};
use crate::domain::values::invalid::Complaints;
use crate::domain::values::preset_mark::PresetMark;
use crate::domain::{ActivityKind, Invalid, Scope, SourceId, Span};
use crate::host::clock::Clock;
use crate::host::vault::Vault;
use crate::service::endpoints::manage::OVERLAP_MAX_MS;
use crate::service::sources::readied::open_guard;
use crate::service::{Caller, Kind, Result, ServiceError};
use crate::store::{Page, PageRequest, SourceUse, SourceWrite, Store};

/// How often a change is tried again that came together with another one.
const TRIES: u32 = 5;
/// Characters of a token that are shown where the whole URL is not.
const TOKEN_SHOWN: usize = 4;

/// A source as a caller may see it.
#[derive(Debug, Clone)]
pub struct SourceView {
    pub source: Source,
    /// All attributes that can be set, with masks.
    pub attributes: Map<String, Value>,
    /// Whole, or with the beginning of the token only.
    pub url: String,
    /// Whether the attributes are other ones than the recipe set.
    pub is_changed: bool,
    pub uses: SourceUse,
}

/// The use cases of sources.
pub struct Sources {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    vault: Arc<Vault>,
    /// The public URL of the server for senders, without a slash at its end.
    base_url: String,
}

/// The URL of a source.
pub(crate) fn url_of(base_url: &str, token: &str) -> String {
    format!("{base_url}/in/{token}")
}

impl Sources {
    /// Joins the parts.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, vault: Arc<Vault>, base_url: String) -> Sources {
        Sources { store, clock, vault, base_url }
    }

    /// A page of sources, newest first.
    pub async fn list(
        &self,
        caller: &Caller,
        page: PageRequest<SourceId>,
    ) -> Result<Page<SourceView, SourceId>> {
        let found = self.store.source_list(caller.app_id, page).await?;
        let uses = self.store.source_uses(caller.app_id, self.clock.now()).await?;
        let view = |source: Source| {
            let uses = uses.get(&source.id).copied().unwrap_or_default();
            self.view(source, sees_urls(caller), uses)
        };
        let rows = found.rows.into_iter().map(view).collect::<Result<_>>()?;
        Ok(Page { rows, total: found.total, next: found.next })
    }

    /// One source.
    pub async fn get(&self, caller: &Caller, id: SourceId) -> Result<SourceView> {
        let source = self.find(caller, id).await?;
        self.view_now(caller, source, sees_urls(caller)).await
    }

    /// Makes a source from JSON attributes, perhaps with a recipe.
    pub async fn create(&self, caller: &Caller, fields: Map<String, Value>) -> Result<SourceView> {
        may_make_urls(caller)?;
        let now = self.clock.now();
        let (fields, preset) = expanded(fields)?;
        let (settings, guard) = checked(&fields, &Guard::default())?;
        let (id, token) = (SourceId::new(now), new_token());
        let preset = preset.map(|preset| mark(preset, &settings));
        let source = Source {
            id,
            app_id: caller.app_id,
            token_hash: TokenHash::of(&token),
            token: self.vault.seal_source(id, "token", &token),
            old_token: None,
            guard: self.seal_guard(id, &guard),
            preset,
            settings,
            created_at: now,
            updated_at: now,
        };
        let activity = self.note(caller, ActivityKind::SourceCreated, "created", &source);
        match self.store.source_insert(source.clone(), SOURCES_MAX, activity).await? {
            SourceWrite::Written | SourceWrite::Changed => {}
            SourceWrite::NameTaken => return Err(name_taken(&source)),
            SourceWrite::TooMany => {
                return Err(ServiceError::Conflict(format!(
                    "The app has {SOURCES_MAX} sources, which is the limit; delete one first."
                )));
            }
        }
        self.view(source, true, SourceUse::default())
    }

    /// Replaces all attributes; those that are not given get their defaults.
    pub async fn replace(
        &self,
        caller: &Caller,
        id: SourceId,
        fields: Map<String, Value>,
    ) -> Result<SourceView> {
        self.update(caller, id, &fields, true).await
    }

    /// Changes the attributes that are given.
    pub async fn change(
        &self,
        caller: &Caller,
        id: SourceId,
        fields: Map<String, Value>,
    ) -> Result<SourceView> {
        refuse_preset(&fields)?;
        self.update(caller, id, &fields, false).await
    }

    async fn update(
        &self,
        caller: &Caller,
        id: SourceId,
        given: &Map<String, Value>,
        is_whole: bool,
    ) -> Result<SourceView> {
        for _ in 0..TRIES {
            let source = self.find(caller, id).await?;
            let current = open_guard(&self.vault, &source)?;
            let (fields, preset) = if is_whole {
                let is_echo = given.get("preset").is_some_and(|preset| is_echo(preset, &source));
                let mut given = given.clone();
                if is_echo {
                    given.remove("preset");
                }
                let (fields, preset) = expanded(given)?;
                (fields, if is_echo { source.preset.clone() } else { preset.map(|p| mark_of(p, None)) })
            } else {
                (with_changes(&source, &current, given), source.preset.clone())
            };
            let (settings, guard) = checked(&fields, &current)?;
            let preset = preset.map(|mark| match mark.digest.is_empty() {
                true => PresetMark { digest: digest_of(&settings), ..mark },
                false => mark,
            });
            let read_at = source.updated_at;
            // A later change of the same millisecond must be seen.
            let updated_at = self.clock.now().max(read_at.plus_ms(1));
            let guard = self.seal_guard(id, &guard);
            let changed = Source { settings, guard, preset, updated_at, ..source };
            let activity = self.note(caller, ActivityKind::SourceChanged, "changed", &changed);
            match self.store.source_update(changed.clone(), read_at, activity).await? {
                SourceWrite::Written => return self.view_now(caller, changed, sees_urls(caller)).await,
                SourceWrite::NameTaken => return Err(name_taken(&changed)),
                SourceWrite::Changed | SourceWrite::TooMany => {}
            }
        }
        Err(ServiceError::Unavailable("The source is being changed by somebody else."))
    }

    /// Deletes a source. Its URL is unknown from then on.
    pub async fn delete(&self, caller: &Caller, id: SourceId) -> Result<()> {
        let source = self.find(caller, id).await?;
        let activity = self.note(caller, ActivityKind::SourceDeleted, "deleted", &source);
        let deleted = self.store.source_delete(caller.app_id, id, self.clock.now(), activity).await?;
        if deleted { Ok(()) } else { Err(ServiceError::NotFound(Kind::Source)) }
    }

    /// Gives a source another URL. The old one works beside it during `overlap`; one that was older ends.
    pub async fn rotate(&self, caller: &Caller, id: SourceId, overlap: &Span) -> Result<SourceView> {
        may_make_urls(caller)?;
        if overlap.as_millis() > OVERLAP_MAX_MS {
            return Err(Invalid::one("/overlap", "must be at most 7d").into());
        }
        for _ in 0..TRIES {
            let source = self.find(caller, id).await?;
            let (now, token, read_at) = (self.clock.now(), new_token(), source.updated_at);
            let until = now.plus_ms(overlap.as_millis_i64());
            let changed = Source {
                old_token: (!overlap.is_zero()).then_some(OldToken { hash: source.token_hash, until }),
                token_hash: TokenHash::of(&token),
                token: self.vault.seal_source(id, "token", &token),
                updated_at: now.max(read_at.plus_ms(1)),
                ..source
            };
            let activity = self.note(caller, ActivityKind::SourceUrlRotated, "has a new URL", &changed);
            if self.store.source_update(changed.clone(), read_at, activity).await? == SourceWrite::Written {
                return self.view_now(caller, changed, true).await;
            }
        }
        Err(ServiceError::Unavailable("The source is being changed by somebody else."))
    }

    /// A source of the caller's app, as storage has it.
    pub(crate) async fn find(&self, caller: &Caller, id: SourceId) -> Result<Source> {
        self.store.source_get(caller.app_id, id).await?.ok_or(ServiceError::NotFound(Kind::Source))
    }

    async fn view_now(&self, caller: &Caller, source: Source, with_url: bool) -> Result<SourceView> {
        let uses = self.store.source_uses(caller.app_id, self.clock.now()).await?;
        let uses = uses.get(&source.id).copied().unwrap_or_default();
        self.view(source, with_url, uses)
    }

    fn view(&self, source: Source, with_url: bool, uses: SourceUse) -> Result<SourceView> {
        let guard = open_guard(&self.vault, &source)?;
        let token = self.vault.open_source(source.id, "token", &source.token);
        let token = token.map_err(|e| ServiceError::Internal(Box::new(e)))?;
        let shown = if with_url { token } else { format!("{}…", &token[..TOKEN_SHOWN.min(token.len())]) };
        let is_changed =
            source.preset.as_ref().is_some_and(|preset| preset.digest != digest_of(&source.settings));
        Ok(SourceView {
            attributes: attributes(&source.settings, &guard),
            url: url_of(&self.base_url, &shown),
            is_changed,
            uses,
            source,
        })
    }

    fn seal_guard(&self, id: SourceId, guard: &Guard) -> crate::domain::Sealed {
        self.vault.seal_source(id, "guard", &guard.in_clear().to_string())
    }

    fn note(
        &self,
        caller: &Caller,
        kind: ActivityKind,
        what: &str,
        source: &Source,
    ) -> crate::domain::Activity {
        let details = json!({ "source_id": source.id.to_string() });
        let summary = format!("Source {:?}: {what}.", source.settings.name);
        caller.activity(kind, summary, details, self.clock.now())
    }
}

/// Who may see whole URLs.
fn sees_urls(caller: &Caller) -> bool {
    let scopes = caller.by.scopes;
    scopes.allows(Scope::WebhooksSecrets) && scopes.allows(Scope::EventsWrite)
}

/// A URL of a source posts events, so nobody hands one out who may not post events.
fn may_make_urls(caller: &Caller) -> Result<()> {
    if caller.by.scopes.allows(Scope::EventsWrite) {
        Ok(())
    } else {
        Err(ServiceError::Forbidden(Scope::EventsWrite))
    }
}

/// A token that nobody guesses.
pub(crate) fn new_token() -> String {
    let mut random = [0u8; 16];
    getrandom::fill(&mut random).expect("the operating system gives randomness");
    token(u128::from_be_bytes(random))
}

fn name_taken(source: &Source) -> ServiceError {
    let name = &source.settings.name;
    Invalid::one("/name", format!("{name:?} is the name of another source; choose another name")).into()
}

pub(crate) fn checked(fields: &Map<String, Value>, current: &Guard) -> Result<(SourceSettings, Guard)> {
    let mut errors = Complaints::default();
    let read = input::read(fields, current, &mut errors);
    if errors.is_empty() { Ok(read) } else { Err(Invalid(errors.into_vec()).into()) }
}

/// A partial change cannot bring another recipe.
pub(crate) fn refuse_preset(given: &Map<String, Value>) -> Result<()> {
    if given.contains_key("preset") {
        let message = "cannot be changed; replace the source with PUT to use a preset";
        return Err(Invalid::one("/preset", message).into());
    }
    Ok(())
}

/// All attributes of a source, with masks, after a partial change.
pub(crate) fn with_changes(source: &Source, guard: &Guard, given: &Map<String, Value>) -> Map<String, Value> {
    let mut fields = attributes(&source.settings, guard);
    if source.settings.mapping.event_type.is_none() {
        // A change of the name also changes the type of a source without a template.
        fields.remove("event_type");
    }
    fields.extend(given.iter().map(|(name, value)| (name.clone(), value.clone())));
    fields
}

/// What a recipe sets, with what is given in its place; and the recipe.
pub(crate) fn expanded(
    mut given: Map<String, Value>,
) -> Result<(Map<String, Value>, Option<&'static Preset>)> {
    let Some(value) = given.remove("preset").filter(|value| !value.is_null()) else {
        return Ok((given, None));
    };
    let Choice { preset, attributes: mut all } = choice::read(Side::Source, &value)?;
    all.insert("name".to_owned(), Value::from(preset.name.as_str()));
    all.extend(given);
    Ok((all, Some(preset)))
}

/// Whether a preset was read from this source and is written back.
fn is_echo(preset: &Value, source: &Source) -> bool {
    let name = source.preset.as_ref().map(|mark| mark.name.as_str());
    name.is_some() && choice::is_mark(preset) && preset["name"].as_str() == name
}

fn mark(preset: &Preset, settings: &SourceSettings) -> PresetMark {
    mark_of(preset, Some(settings))
}

/// Without settings the digest is filled in when they are known.
fn mark_of(preset: &Preset, settings: Option<&SourceSettings>) -> PresetMark {
    let digest = settings.map(digest_of).unwrap_or_default();
    PresetMark { name: preset.name.clone(), version: preset.version, digest }
}
