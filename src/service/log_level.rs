//! What the log lines tell, while the server runs: for looking at something once without a restart. The
//! configuration says what it is at the next start.

use std::sync::Arc;

use serde_json::json;

use super::{By, Result};
use crate::domain::{ActivityKind, Invalid};
use crate::host::clock::Clock;
use crate::store::Store;

/// Who filters the log lines. `crate::app` joins the two.
pub trait LogControl: Send + Sync {
    /// What is let through now, as `log.level` would say it; `None` when nothing is logged.
    fn level(&self) -> Option<String>;
    /// Lets other lines through from now on. The error says what the value must be, or why it cannot be changed.
    fn set(&self, level: &str) -> std::result::Result<(), String>;
}

/// The use cases.
pub struct LogLevel {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    control: Arc<dyn LogControl>,
    configured: String,
}

impl LogLevel {
    /// Joins the parts; `configured` is `log.level`.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        control: Arc<dyn LogControl>,
        configured: String,
    ) -> LogLevel {
        LogLevel { store, clock, control, configured }
    }

    /// What it is now, and what it is after a restart.
    pub fn view(&self) -> (String, &str) {
        (self.control.level().unwrap_or_else(|| self.configured.clone()), &self.configured)
    }

    /// Changes it until the server ends; `None`: to what is configured.
    pub async fn change(&self, by: &By, level: Option<&str>) -> Result<()> {
        let level = level.unwrap_or(&self.configured);
        let before = self.view().0;
        self.control.set(level).map_err(|message| Invalid::one("/level", message))?;
        if level != before {
            let summary = format!("The log level was changed: {level}");
            let details = json!({ "level": level, "before": before });
            let kind = ActivityKind::LogLevelChanged;
            let activity = by.activity(kind, None, summary, details, self.clock.now());
            self.store.activity_append(activity).await?;
        }
        Ok(())
    }
}
