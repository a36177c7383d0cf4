//! The Retention page: how long things are kept, who says so, and how large they are.

use std::sync::Arc;

use serde_json::json;

use super::operations::Sweep;
use super::{By, Result, ServiceError};
use crate::domain::retention::{Rule, RuleSource, Rules};
use crate::domain::sweep::SweepState;
use crate::domain::{ActivityKind, Span};
use crate::host::clock::Clock;
use crate::store::{StorageFacts, Store};

/// How it is now.
#[derive(Debug, Clone)]
pub struct View {
    /// How long attempts are kept, zero = forever, and who says so.
    pub logs: (Span, RuleSource),
    pub events: (Span, RuleSource),
    pub sizes: StorageFacts,
    pub sweeps: SweepState,
}

/// What an owner wants; `None` leaves it, `Some(None)` takes back what the page said.
#[derive(Debug, Clone, Default)]
pub struct Change {
    pub logs: Option<Option<Span>>,
    pub events: Option<Option<Span>>,
}

/// The use cases.
pub struct Retention {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    sweep: Arc<dyn Sweep>,
    rules: Rules,
}

impl Retention {
    /// Joins the parts; `rules` are the configuration's.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        sweep: Arc<dyn Sweep>,
        rules: Rules,
    ) -> Retention {
        Retention { store, clock, sweep, rules }
    }

    /// How it is now.
    pub async fn view(&self) -> Result<View> {
        let page = self.store.retention_page().await?;
        Ok(View {
            logs: self.rules.logs.with_page(page.logs.as_ref()),
            events: self.rules.events.with_page(page.events.as_ref()),
            sizes: self.store.storage_facts().await?,
            sweeps: self.sweep.state().await,
        })
    }

    /// Changes it, from the next step of the sweeper on.
    ///
    /// # Errors
    /// [`ServiceError::Conflict`] for what the configuration says, which wins.
    pub async fn change(&self, by: &By, change: Change) -> Result<()> {
        let mut page = self.store.retention_page().await?;
        let parts = [
            ("retention.logs", change.logs, &mut page.logs, &self.rules.logs),
            ("retention.events", change.events, &mut page.events, &self.rules.events),
        ];
        let mut told = Vec::new();
        for (key, wanted, kept, rule) in parts {
            let Some(wanted) = wanted else { continue };
            if rule.is_configured {
                return Err(in_configuration(key, rule));
            }
            if *kept != wanted {
                told.push(format!("{key} = {}", rule.with_page(wanted.as_ref()).0));
                *kept = wanted;
            }
        }
        if told.is_empty() {
            return Ok(());
        }
        let span = |span: &Option<Span>| span.as_ref().map(ToString::to_string);
        let details = json!({ "logs": span(&page.logs), "events": span(&page.events) });
        let summary = format!("Retention was changed: {}", told.join(", "));
        let kind = ActivityKind::RetentionChanged;
        let activity = by.activity(kind, None, summary, details, self.clock.now());
        Ok(self.store.retention_set_page(page, activity).await?)
    }
}

fn in_configuration(key: &str, rule: &Rule) -> ServiceError {
    let value = &rule.span;
    ServiceError::Conflict(format!(
        "{key} is {value} in the configuration, which takes precedence over this page; change or remove it there."
    ))
}
