//! Backups: made by hand or by the clock. [`crate::upkeep::restore`] brings one back.
//!
//! A backup is one file for its owner only, with the database and the key file's key; when the
//! encryption key is configured it is the operator's to keep, and the backup holds none. What is in the
//! file and how it gets there is storage's matter ([`crate::store::sqlite::engine::backup`]).

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
use crate::store::sqlite::engine::backup;
use crate::store::sqlite::engine::backup::{About, BackupSummary};
use crate::store::{Store, StoreError};

/// Why there is no backup, or nothing came back from one.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("{0} exists already; a backup replaces nothing, so give it another name or remove that file")]
    Exists(String),
    #[error("there is nothing to back up: {0} does not exist; check data_dir (--data)")]
    NoDatabase(String),
    #[error("the backup cannot be written to {path}")]
    Unwritable {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("the backup {path} cannot be read")]
    Unreadable {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("{0} holds other things and no database; restore needs a directory of its own (--data)")]
    NotEmpty(String),
    #[error("what is in the data directory cannot be put aside in {path}")]
    Aside {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error(
        "the backup holds no encryption key, so that was configured when it was made: configure the same encryption_key"
    )]
    KeyMissing,
    #[error(
        "the secrets in this backup cannot be opened with the configured encryption_key: configure the one that was \
         used when it was made, or none if the backup holds a key"
    )]
    WrongKey,
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Copies the data that the configuration names to a new file. A server may be running on it.
pub fn make(config: &Config, to: &Path, now: Timestamp) -> Result<BackupSummary, BackupError> {
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
    let about = About { key: dir.key_text()?, now };
    Ok(backup::write(&dir.database(), to, &about)?)
}

// ---------------------------------------------------------------------------------------------
// By the clock

/// What scheduled backups count of themselves.
#[derive(Debug, Default)]
pub struct Meters {
    pub made: Counter,
    pub failed: Counter,
    /// Seconds since 1970; 0 = none yet.
    pub last_at: Gauge,
}

/// Makes backups by the clock, and removes the oldest.
#[derive(Clone)]
pub struct Scheduled(Arc<Inner>);

struct Inner {
    config: Config,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    meters: Arc<Meters>,
    /// The last one, if it failed: when, and why.
    failure: Mutex<Option<(Timestamp, String)>>,
    stop: CancellationToken,
}

/// What names of scheduled backups begin and end with; a time is between.
const NAME: (&str, &str) = ("postrider-", ".backup");
/// After one that failed, in milliseconds, unless the next is due before.
const AGAIN_MS: i64 = 600_000;

impl Scheduled {
    /// Joins the parts; nothing runs yet.
    pub fn new(config: Config, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Scheduled {
        let (meters, failure, stop) = (Arc::default(), Mutex::default(), CancellationToken::new());
        Scheduled(Arc::new(Inner { config, store, clock, meters, failure, stop }))
    }

    /// What it counts of itself.
    pub fn meters(&self) -> Arc<Meters> {
        self.0.meters.clone()
    }

    /// When and why the last one failed; `None` when it did not.
    pub fn failure(&self) -> Option<(Timestamp, String)> {
        self.0.failure.lock().expect("no panic happens while this is held").clone()
    }

    /// Makes one each `backup.every`, counted from the newest that is there, until [`Scheduled::stop`].
    /// Ends at once when none are wanted.
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
                // What is half done when the server ends is a draft, and is removed by the next one.
                let is_made = tokio::select! {
                    is_made = inner.make(now) => is_made,
                    () = inner.stop.cancelled() => return,
                };
                due = now.plus_ms(if is_made { every } else { every.min(AGAIN_MS) });
            }
        })
    }

    /// Ends it; one that is being made is given up.
    pub fn stop(&self) {
        self.0.stop.cancel();
    }
}

impl Inner {
    fn directory(&self) -> PathBuf {
        self.config.backup.dir.clone().unwrap_or_else(|| self.config.data_dir.join("backups"))
    }

    /// The times of those that are there, oldest first, with their files.
    fn kept(&self) -> Vec<(Timestamp, PathBuf)> {
        let entries = fs::read_dir(self.directory()).into_iter().flatten().flatten();
        let mut kept: Vec<_> =
            entries.filter_map(|entry| Some((time_of(entry.file_name().to_str()?)?, entry.path()))).collect();
        kept.sort();
        kept
    }

    fn newest(&self) -> Option<Timestamp> {
        self.kept().pop().map(|(at, _)| at)
    }

    /// Makes one, and says whether there is one now.
    async fn make(self: &Arc<Self>, now: Timestamp) -> bool {
        let inner = self.clone();
        let made = tokio::task::spawn_blocking(move || inner.make_file(now)).await;
        let mut failure = None;
        let (kind, summary, details) = match made {
            Ok(Ok((path, made))) => {
                self.meters.made.inc();
                self.meters.last_at.set(now.as_millis() / 1_000);
                tracing::info!(path = %path.display(), bytes = made.bytes, events = made.events, "backup made");
                let details = json!({ "file": path.display().to_string(), "bytes": made.bytes });
                (ActivityKind::BackupMade, format!("A backup was made: {}.", path.display()), details)
            }
            failed => {
                let reason = match failed {
                    Ok(Err(error)) => with_causes(&error),
                    Err(error) => error.to_string(),
                    Ok(Ok(_)) => unreachable!("that was looked for before"),
                };
                self.meters.failed.inc();
                tracing::error!(reason, "a scheduled backup failed");
                let details = json!({ "reason": reason });
                failure = Some((now, reason.clone()));
                (ActivityKind::BackupFailed, format!("A backup failed: {reason}."), details)
            }
        };
        *self.failure.lock().expect("no panic happens while this is held") = failure;
        let (actor, is_made) = (Actor::System.to_string(), kind == ActivityKind::BackupMade);
        let entry = Activity { kind, app_id: None, actor, address: None, summary, details, created_at: now };
        if let Err(error) = self.store.activity_append(entry).await {
            tracing::warn!(%error, "a backup could not be noted in the activity log");
        }
        is_made
    }

    fn make_file(&self, now: Timestamp) -> Result<(PathBuf, BackupSummary), BackupError> {
        let directory = self.directory();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .map_err(|source| BackupError::Unwritable { path: directory.display().to_string(), source })?;
        let path = directory.join(name_of(now));
        remove_drafts(&directory);
        let made = make(&self.config, &path, now)?;
        let kept = self.kept();
        let too_many = kept.len().saturating_sub(self.config.backup.keep);
        for (_, old) in kept.into_iter().take(too_many).filter(|(_, old)| *old != path) {
            if let Err(error) = fs::remove_file(&old) {
                tracing::warn!(%error, path = %old.display(), "an old backup could not be removed");
            }
        }
        Ok((path, made))
    }
}

/// Removes what scheduled backups that did not end have left. One that is made by hand has another name.
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

/// The time in a name that [`name_of`] has made.
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
    fn the_time_is_read_back_from_a_name_and_other_files_are_none() {
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
