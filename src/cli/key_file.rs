//! `key-file`: the key that encrypts secrets at rest.

use clap::Subcommand;
use serde_json::json;

use super::{CliError, output, storage};
use crate::config::Config;
use crate::domain::ActivityKind;
use crate::host::clock::{Clock, SystemClock};
use crate::host::data_dir::DataDir;
use crate::service::By;
use crate::store::Reseal;

/// What to do with the key file.
#[derive(Debug, Subcommand)]
pub enum KeyFileCommand {
    /// Encrypt all secrets with another key; the server must be stopped. Backups made before keep the old one
    Rotate,
}

/// Runs `key-file …`.
pub(super) fn run(command: KeyFileCommand, config: &Config) -> Result<(), CliError> {
    let KeyFileCommand::Rotate = command;
    let dir = DataDir::existing(config);
    if !dir.database().exists() {
        return Err(CliError::Usage(format!(
            "there is no key to rotate: {} does not exist; check data_dir (--data)",
            dir.database().display()
        )));
    }
    let _lock = dir.lock()?;
    // From here to the end both keys open: whenever this is interrupted, servers start and doing it
    // again ends it.
    dir.begin_rotation()?;
    let vault = dir.vault()?;
    let summary = "The key file was rotated".to_owned();
    let now = SystemClock.now();
    let activity = By::command_line().activity(ActivityKind::KeyFileRotated, None, summary, json!({}), now);
    let for_alerts = dir.vault()?;
    let reseal = Reseal {
        endpoint: Box::new(move |endpoint| vault.reseal(endpoint).map_err(|e| e.to_string())),
        alert_target: Box::new(move |target| for_alerts.reseal_alert(target).map_err(|e| e.to_string())),
    };
    let changed = storage::with(config, async move |store| {
        store.secrets_reseal(reseal, activity).await?.map_err(CliError::Failed)
    })?;
    dir.end_rotation()?;
    output::print(&format!(
        "rotated {}: the secrets of {} webhooks and {} alert targets are encrypted with another key\n\
         Make a backup; those made before hold the old key and go on working with it.\n",
        dir.key_file().display(),
        changed.endpoints,
        changed.alert_targets
    ))
}
