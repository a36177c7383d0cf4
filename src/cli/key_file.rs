//! `key-file`: the key that encrypts secrets at rest.

use clap::Subcommand;
use serde_json::json;

use super::{CliError, output, storage};
use crate::config::Config;
use crate::domain::ActivityKind;
use crate::host::clock::{Clock, SystemClock};
use crate::host::data_dir::{DataDir, DataDirError};
use crate::service::By;
use crate::store::Reseal;

/// Commands on the key file.
#[derive(Debug, Subcommand)]
pub enum KeyFileCommand {
    /// Encrypt all secrets with a new key (stop the server first); older backups keep the old key
    Rotate,
}

/// Runs `key-file …`.
pub(super) fn run(command: KeyFileCommand, config: &Config) -> Result<(), CliError> {
    let KeyFileCommand::Rotate = command;
    if config.storage.url.is_some() {
        return Err(DataDirError::KeyConfigured.into());
    }
    let dir = DataDir::existing(config);
    if !dir.database().exists() {
        return Err(CliError::Usage(format!(
            "no key to rotate: {} does not exist. Name the right data directory with --data",
            dir.database().display()
        )));
    }
    let _lock = dir.lock_for_command()?;
    storage::prove_key(&dir, &dir.vault()?)?;
    // From here to the end both keys decrypt: after an interruption servers start, and a second run
    // completes the rotation.
    dir.begin_rotation()?;
    let vault = dir.vault()?;
    let summary = "The key file was rotated".to_owned();
    let now = SystemClock.now();
    let activity = By::command_line().activity(ActivityKind::KeyFileRotated, None, summary, json!({}), now);
    let (for_alerts, for_sources, key_check) = (dir.vault()?, dir.vault()?, vault.seal_key_check());
    let reseal = Reseal {
        key_check,
        endpoint: Box::new(move |endpoint| vault.reseal(endpoint).map_err(|e| e.to_string())),
        alert_target: Box::new(move |target| for_alerts.reseal_alert(target).map_err(|e| e.to_string())),
        source: Box::new(move |source| for_sources.reseal_source(source).map_err(|e| e.to_string())),
    };
    let changed = storage::with(config, async move |store| {
        store.secrets_reseal(reseal, activity).await?.map_err(CliError::Failed)
    })?;
    dir.end_rotation()?;
    output::print(&format!(
        "rotated {}: the secrets of {}{} and {} are now encrypted with a new key\n\
         Create a backup now. Older backups contain the old key and can still be restored.\n",
        dir.key_file().display(),
        output::counted(changed.endpoints, "webhook"),
        if changed.sources > 0 {
            format!(", {}", output::counted(changed.sources, "source"))
        } else {
            String::new()
        },
        output::counted(changed.alert_targets, "alert target")
    ))
}
