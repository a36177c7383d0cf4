//! Takes in the sources of a document.

use std::collections::HashSet;

use serde_json::Value;

use super::document::SourcePart;
use super::export_sources;
use super::import::{Importer, Plan};
use crate::domain::endpoint::MASK;
use crate::domain::inbound::input;
use crate::domain::inbound::source::{Guard, SOURCES_MAX, Source, SourceSettings, TOKEN_CHARS, TokenHash};
use crate::domain::values::invalid::Complaints;
use crate::domain::{App, AppId, SourceId, Timestamp};
use crate::service::Result;
use crate::service::sources::manage::new_token;
use crate::service::sources::readied::open_guard;

impl Importer<'_> {
    /// Plans one source.
    pub(super) async fn source(
        &self,
        app: &App,
        mut part: SourcePart,
        place: &str,
        ids: &mut HashSet<SourceId>,
        plan: &mut Plan,
    ) -> Result<()> {
        let Some(id) = self.source_id(&part, place, ids, plan) else { return Ok(()) };
        let known = self.store.source_get(app.id, id).await?;
        let known_part =
            known.as_ref().map(|known| export_sources::part(known, self.vault, true)).transpose()?;
        let current = match &known {
            Some(known) => open_guard(self.vault, known)?,
            None => Guard::default(),
        };
        if known.is_none() && Value::Object(part.attributes.clone()).to_string().contains(MASK) {
            let text = "its secrets are not in this document, so it is left out; export with secrets";
            plan.notes.push(format!("{place}: {text}"));
            return Ok(());
        }
        let mut errors = Complaints::default();
        let (settings, guard) = input::read(&part.attributes, &current, &mut errors);
        let errors = errors.into_vec();
        if !errors.is_empty() {
            let problems = errors.iter().map(|e| format!("{place}{}: {}", e.pointer, e.message));
            plan.problems.extend(problems);
            return Ok(());
        }
        if let Some(known) = &known_part {
            part.token = part.token.or_else(|| known.token.clone());
        }
        let token = part.token.clone().unwrap_or_else(new_token);
        if token.len() != TOKEN_CHARS || !token.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            plan.problems.push(format!("{place}/token: must be {TOKEN_CHARS} letters and digits"));
            return Ok(());
        }
        let source = self.as_given(app, id, &part, &token, known.as_ref(), (settings, guard));
        let as_it_will_be = export_sources::part(&source, self.vault, true)?;
        match known_part {
            Some(known) if known == as_it_will_be => plan.sources.same += 1,
            Some(_) => {
                plan.sources.changed += 1;
                plan.changed_sources.push(source);
            }
            None => {
                plan.sources.new += 1;
                plan.new_sources.push(source);
            }
        }
        Ok(())
    }

    /// The source that a part of the document stands for.
    fn as_given(
        &self,
        app: &App,
        id: SourceId,
        part: &SourcePart,
        token: &str,
        known: Option<&Source>,
        (settings, guard): (SourceSettings, Guard),
    ) -> Source {
        let created_at = part.created_at.as_deref().and_then(Timestamp::parse).unwrap_or(self.now);
        Source {
            id,
            app_id: app.id,
            token_hash: TokenHash::of(token),
            token: self.vault.seal_source(id, "token", token),
            old_token: known.and_then(|known| known.old_token),
            guard: self.vault.seal_source(id, "guard", &guard.in_clear().to_string()),
            preset: part.preset_mark.clone(),
            created_at: known.map_or(created_at, |known| known.created_at),
            updated_at: known.map_or(self.now, |known| self.now.max(known.updated_at.plus_ms(1))),
            settings,
        }
    }

    fn source_id(
        &self,
        part: &SourcePart,
        place: &str,
        ids: &mut HashSet<SourceId>,
        plan: &mut Plan,
    ) -> Option<SourceId> {
        let id = match part.id.as_deref().map(str::parse::<SourceId>) {
            Some(Ok(id)) => id,
            Some(Err(_)) => {
                plan.problems.push(format!("{place}/id: is no id (a UUID); leave it out to have one made"));
                return None;
            }
            None => {
                plan.notes.push(format!("{place}: has no id, so taking it in again makes another source"));
                SourceId::new(self.now)
            }
        };
        if !ids.insert(id) {
            plan.problems.push(format!("{place}/id: {id} is there twice"));
            return None;
        }
        Some(id)
    }

    /// Refuses more sources in an app than there may be, and names that are taken.
    pub(super) async fn check_sources(&self, plan: &mut Plan) -> Result<()> {
        let apps: HashSet<AppId> = plan.new_sources.iter().map(|source| source.app_id).collect();
        for app in apps {
            let there = export_sources::all(self.store, app).await?;
            let new: Vec<&Source> = plan.new_sources.iter().filter(|source| source.app_id == app).collect();
            let mut problems = Vec::new();
            if there.len() + new.len() > SOURCES_MAX as usize {
                let count = there.len() + new.len();
                problems.push(format!(
                    "apps/{app}: would have {count} sources; at most {SOURCES_MAX} are possible"
                ));
            }
            for source in new {
                let name = &source.settings.name;
                let is_changed = |other: &Source| plan.changed_sources.iter().any(|c| c.id == other.id);
                if there.iter().any(|other| other.settings.name == *name && !is_changed(other)) {
                    problems.push(format!("apps/{app}: there is another source with the name {name:?} here"));
                }
            }
            plan.problems.extend(problems);
        }
        Ok(())
    }
}
