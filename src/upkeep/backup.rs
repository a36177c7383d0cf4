//! Backups, on request and on schedule. [`crate::upkeep::restore`] restores one.
//!
//! A backup is one file with mode 0600 that contains the database and the key of the key file. A configured
//! encryption key is not included. The format of the file belongs to storage
//! ([`crate::store::location::Files`]).

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::domain::{Activity, ActivityKind, Actor, Timestamp};
use crate::host::clock::Clock;
use crate::host::data_dir::{DataDir, DataDirError};
use crate::host::meter::{Counter, Gauge};
use crate::store::files::{About, BackupSummary};
use crate::store::location::files;
use crate::store::{Store, StoreError};

/// The reason why a backup or a restore failed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("{0} already exists. Choose another name or remove that file")]
    Exists(String),
    #[error("nothing to back up: {0} does not exist. Name the right data directory with --data")]
    NoDatabase(String),
    #[error("cannot write the backup to {path}")]
    Unwritable {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("{path} is not a backup of Postrider: {found}. Name a file that `postrider backup` has written")]
    NotABackup { path: String, found: &'static str },
    #[error("cannot read the backup {path}")]
    Unreadable {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error(
        "{0} contains other files and no database. Choose a separate directory for the restore with --data"
    )]
    NotEmpty(String),
    #[error("cannot move the existing data to {path}")]
    Aside {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error(
        "this backup contains no encryption key because the key was configured when it was created. Configure the same encryption_key"
    )]
    KeyMissing,
    #[error(
        "the secrets in this backup cannot be decrypted with the configured encryption_key. Configure the key that was \
         used when it was created, or no key if the backup contains one"
    )]
    WrongKey,
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Copies the configured data to a new file. Safe while a server runs on it.
pub fn create(config: &Config, to: &Path, now: Timestamp) -> Result<BackupSummary, BackupError> {
    let dir = DataDir::existing(config);
    if !dir.database().exists() {
        return Err(BackupError::NoDatabase(dir.database().display().to_string()));
    }
    if to.symlink_metadata().is_ok() {
        return Err(BackupError::Exists(to.display().to_string()));
    }
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Err(source) = fs::read_dir(parent) {
        return Err(BackupError::Unwritable { path: to.display().to_string(), source });
    }
    let vault = dir.vault()?;
    let database = dir.database();
    if !vault.opens(&files(&database).key_evidence()?) {
        return Err(dir.wrong_key().into());
    }
    let about = About { key: dir.key_text()?, now };
    Ok(files(&database).back_up(to, &about)?)
}

// ---------------------------------------------------------------------------------------------
// On schedule

/// Counters of scheduled backups.
#[derive(Debug, Default)]
pub struct BackupMeters {
    pub created: Counter,
    pub failed: Counter,
    /// Seconds since 1970; 0 = none yet.
    pub last_at: Gauge,
}

/// Creates backups on schedule and deletes the oldest.
#[derive(Clone)]
pub struct BackupSchedule(Arc<Inner>);

struct Inner {
    config: Config,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    meters: Arc<BackupMeters>,
    /// Time and reason of the last failure, if the last backup failed.
    failure: Mutex<Option<(Timestamp, String)>>,
    stop: CancellationToken,
}

/// Begin and end of the name of a scheduled backup; the time is in between.
const NAME: (&str, &str) = ("postrider-", ".backup");
/// Wait after a failure, in milliseconds, unless the next backup is due earlier.
const RETRY_MS: i64 = 600_000;

impl BackupSchedule {
    /// Joins the parts; nothing runs yet.
    pub fn new(config: Config, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> BackupSchedule {
        let (meters, failure, stop) = (Arc::default(), Mutex::default(), CancellationToken::new());
        BackupSchedule(Arc::new(Inner { config, store, clock, meters, failure, stop }))
    }

    /// Its counters.
    pub fn meters(&self) -> Arc<BackupMeters> {
        self.0.meters.clone()
    }

    /// Time and reason of the last failure; `None` when the last backup succeeded.
    pub fn failure(&self) -> Option<(Timestamp, String)> {
        self.0.failure.lock().expect("no panic happens while this is held").clone()
    }

    /// Creates a backup every `backup.every`, counted from the newest existing one, until
    /// [`BackupSchedule::stop`]. Ends at once when backups are off.
    pub fn start(&self) -> JoinHandle<()> {
        let inner = self.0.clone();
        tokio::spawn(async move {
            let every = inner.config.backup.every.as_millis_i64();
            if every == 0 {
                return;
            }
            let mut due = inner.newest().map_or(inner.clock.now(), |newest| newest.plus_ms(every));
            loop {
                tokio::select! {
                    () = inner.clock.sleep_until(due) => {}
                    () = inner.stop.cancelled() => return,
                }
                let now = inner.clock.now();
                // An unfinished backup is a draft, which the next backup removes.
                let is_created = tokio::select! {
                    is_created = inner.create(now) => is_created,
                    () = inner.stop.cancelled() => return,
                };
                due = now.plus_ms(if is_created { every } else { every.min(RETRY_MS) });
            }
        })
    }

    /// Stops it; an unfinished backup is abandoned.
    pub fn stop(&self) {
        self.0.stop.cancel();
    }
}

impl Inner {
    fn directory(&self) -> PathBuf {
        self.config.backup.dir.clone().unwrap_or_else(|| self.config.data_dir.join("backups"))
    }

    /// Times and paths of the existing backups, oldest first.
    fn existing(&self) -> Vec<(Timestamp, PathBuf)> {
        let entries = fs::read_dir(self.directory()).into_iter().flatten().flatten();
        let mut existing: Vec<_> =
            entries.filter_map(|entry| Some((time_of(entry.file_name().to_str()?)?, entry.path()))).collect();
        existing.sort();
        existing
    }

    fn newest(&self) -> Option<Timestamp> {
        self.existing().pop().map(|(at, _)| at)
    }

    /// Creates a backup and returns whether it succeeded.
    async fn create(self: &Arc<Self>, now: Timestamp) -> bool {
        let inner = self.clone();
        let created = tokio::task::spawn_blocking(move || inner.create_file(now)).await;
        let mut failure = None;
        let (kind, summary, details) = match created {
            Ok(Ok((path, file))) => {
                self.meters.created.inc();
                self.meters.last_at.set(now.as_millis() / 1_000);
                tracing::info!(path = %path.display(), bytes = file.bytes, events = file.events, "backup created");
                let details = json!({ "file": path.display().to_string(), "bytes": file.bytes });
                (ActivityKind::BackupMade, format!("A backup was created: {}.", path.display()), details)
            }
            failed => {
                let reason = match failed {
                    Ok(Err(error)) => with_causes(&error),
                    Err(error) => error.to_string(),
                    Ok(Ok(_)) => unreachable!("success is handled above"),
                };
                self.meters.failed.inc();
                tracing::error!(reason, "a scheduled backup failed");
                let details = json!({ "reason": reason });
                failure = Some((now, reason.clone()));
                (ActivityKind::BackupFailed, format!("A backup failed: {reason}."), details)
            }
        };
        *self.failure.lock().expect("no panic happens while this is held") = failure;
        let (actor, is_created) = (Actor::System.to_string(), kind == ActivityKind::BackupMade);
        let entry = Activity { kind, app_id: None, actor, address: None, summary, details, created_at: now };
        if let Err(error) = self.store.activity_append(entry).await {
            tracing::warn!(%error, "the activity log could not record a backup");
        }
        is_created
    }

    fn create_file(&self, now: Timestamp) -> Result<(PathBuf, BackupSummary), BackupError> {
        let directory = self.directory();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .map_err(|source| BackupError::Unwritable { path: directory.display().to_string(), source })?;
        let path = directory.join(name_of(now));
        remove_drafts(&directory);
        let created = create(&self.config, &path, now)?;
        let existing = self.existing();
        let too_many = existing.len().saturating_sub(self.config.backup.keep);
        for (_, old) in existing.into_iter().take(too_many).filter(|(_, old)| *old != path) {
            if let Err(error) = fs::remove_file(&old) {
                tracing::warn!(%error, path = %old.display(), "an old backup could not be removed");
            }
        }
        Ok((path, created))
    }
}

/// Removes drafts of interrupted scheduled backups. Backups on request have other names.
fn remove_drafts(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(NAME.0) && name.contains(NAME.1) && !name.ends_with(NAME.1) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// `postrider-20261121T224300Z.backup`
fn name_of(at: Timestamp) -> String {
    let plain: String = at.to_string()[..19].chars().filter(|c| !matches!(c, '-' | ':')).collect();
    format!("{}{plain}Z{}", NAME.0, NAME.1)
}

/// The time in a name made by [`name_of`]; `None` for other names.
fn time_of(name: &str) -> Option<Timestamp> {
    let t = name.strip_prefix(NAME.0)?.strip_suffix(NAME.1)?;
    if t.len() != 16 || !t.is_ascii() {
        return None;
    }
    let (date, time) = (&t[..8], &t[9..15]);
    let text = format!(
        "{}-{}-{}T{}:{}:{}Z",
        &date[..4],
        &date[4..6],
        &date[6..],
        &time[..2],
        &time[2..4],
        &time[4..]
    );
    Timestamp::parse(&text).filter(|at| name_of(*at) == name)
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_read_from_names_of_scheduled_backups_only() {
        let at = Timestamp::parse("2026-11-21T22:43:05Z").unwrap();
        assert_eq!(name_of(at), "postrider-20261121T224305Z.backup");
        assert_eq!(time_of(&name_of(at)), Some(at));
        for other in [
            "postrider-20261121T224305Z.backup.1.partial",
            "postrider-.backup",
            "mine.backup",
            "postrider-20269921T224305Z.backup",
            "postrider-2026112xT224305Z.backup",
            "postrider-ääääääää.backup",
        ] {
            assert_eq!(time_of(other), None, "{other}");
        }
    }
}
