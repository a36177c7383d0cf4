//! `key-file`: the key that encrypts secrets at rest.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::json;

use super::{CliError, output, storage};
use crate::app::place::Place;
use crate::config::Config;
use crate::config::input_file::{self, SECRET_MAX};
use crate::config::kind::ENCRYPTION_KEY_MIN_CHARS;
use crate::config::load::without_line_end;
use crate::domain::{Activity, ActivityKind};
use crate::host::clock::{Clock, SystemClock};
use crate::host::data_dir::{DataDir, DataDirError};
use crate::host::vault::Vault;
use crate::service::By;
use crate::store::location::Purpose;
use crate::store::{Reseal, Resealed};

/// Commands on the key file.
#[derive(Debug, Subcommand)]
pub enum KeyFileCommand {
    /// Encrypt all secrets with a new key (stop the server, or all nodes, first); older backups keep the old key
    Rotate {
        /// File with the new key, where encryption_key is configured; at least 32 characters
        #[arg(long, value_name = "FILE")]
        new_key_file: Option<PathBuf>,
    },
}

/// Runs `key-file …`.
pub(super) fn run(command: KeyFileCommand, config: &Config) -> Result<(), CliError> {
    let KeyFileCommand::Rotate { new_key_file } = command;
    match (new_key_file, &config.encryption_key) {
        (Some(file), Some(old)) => return rotate_configured(config, old.expose(), &file),
        (Some(_), None) => {
            return Err(CliError::Usage(
                "--new-key-file is for a configured encryption_key; without one the new key is made here"
                    .to_owned(),
            ));
        }
        (None, Some(_)) => return Err(DataDirError::KeyConfigured.into()),
        (None, None) => {}
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
    let again = reseal([vault, dir.vault()?, dir.vault()?]);
    let activity = rotated("The key file was rotated");
    let changed = storage::with(config, async move |store| {
        store.secrets_reseal(again, activity).await?.map_err(CliError::Failed)
    })?;
    dir.end_rotation()?;
    output::print(&format!(
        "rotated {}: {} are now encrypted with a new key\n\
         Create a backup now. Older backups contain the old key and can still be restored.\n",
        dir.key_file().display(),
        secrets_of(changed)
    ))
}

/// The configured key: all secrets or none are sealed with the new one, in one transaction.
fn rotate_configured(config: &Config, old: &str, file: &Path) -> Result<(), CliError> {
    let new = new_key(file)?;
    let place = Place::open_existing(config)?;
    let _lock = place.dir.as_ref().map(DataDir::lock_for_command).transpose()?;
    let _kept_out = place.location().keep_servers_out()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| CliError::Failed(format!("cannot start: {e}")))?;
    let store = place.location().open(Purpose::Alone, SystemClock.now())?;
    let vault = || Vault::with_previous(new.as_bytes(), old.as_bytes());
    let changed = runtime.block_on(async {
        let changed = async {
            if !Vault::new(old.as_bytes()).opens(&store.secrets_key_evidence().await?) {
                return Err(CliError::from(place.wrong_key()));
            }
            let again = reseal([vault(), vault(), vault()]);
            let activity = rotated("The encryption key was rotated");
            store.secrets_reseal(again, activity).await?.map_err(CliError::Failed)
        };
        let changed = changed.await;
        store.close().await;
        changed
    })?;
    output::print(&format!(
        "{} are now encrypted with the key in {}\nSet encryption_key to it, on all nodes, before they start.\n",
        secrets_of(changed),
        file.display()
    ))
}

/// The new key: what a file holds, without the end of its line.
fn new_key(file: &Path) -> Result<String, CliError> {
    let text = input_file::read_text(file, SECRET_MAX)
        .map_err(|e| CliError::Failed(format!("{} cannot be read: {e}", file.display())))?;
    let key = without_line_end(&text);
    if key.chars().count() < ENCRYPTION_KEY_MIN_CHARS || key.contains('\n') {
        return Err(CliError::Usage(format!(
            "{} must hold a key of at least {ENCRYPTION_KEY_MIN_CHARS} characters in one line",
            file.display()
        )));
    }
    Ok(key.to_owned())
}

fn rotated(summary: &str) -> Activity {
    let kind = ActivityKind::KeyFileRotated;
    By::command_line().activity(kind, None, summary.to_owned(), json!({}), SystemClock.now())
}

/// Seals everything with the vaults' key.
pub(super) fn reseal([endpoints, targets, sources]: [Vault; 3]) -> Reseal {
    Reseal {
        key_check: endpoints.seal_key_check(),
        endpoint: Box::new(move |endpoint| endpoints.reseal(endpoint).map_err(|e| e.to_string())),
        alert_target: Box::new(move |target| targets.reseal_alert(target).map_err(|e| e.to_string())),
        source: Box::new(move |source| sources.reseal_source(source).map_err(|e| e.to_string())),
    }
}

fn secrets_of(changed: Resealed) -> String {
    format!(
        "the secrets of {}{} and {}",
        output::counted(changed.endpoints, "webhook"),
        if changed.sources > 0 {
            format!(", {}", output::counted(changed.sources, "source"))
        } else {
            String::new()
        },
        output::counted(changed.alert_targets, "alert target")
    )
}
