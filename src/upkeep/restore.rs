//! `restore`: replaces the data directory's content by a backup.
//!
//! Existing data is not lost: once the backup has been verified and its secrets can be decrypted, the database
//! and the key file are moved to a subdirectory, and moved back if a later step fails. Everything else in
//! the data directory stays, such as scheduled backups, one of which may be the one that is restored. A
//! running server's directory is refused.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::domain::Timestamp;
use crate::host::data_dir::{DataDir, DataDirError, REPLACED_PREFIX};
use crate::host::vault::{KeyEvidence, Vault};
use crate::store::files::Manifest;
use crate::store::location::files;
use crate::upkeep::backup::BackupError;

/// The result of a restore.
pub struct Restored {
    pub manifest: Manifest,
    /// The directory with the previous data, if there was any.
    pub replaced: Option<PathBuf>,
}

/// Restores a backup into the configured data directory.
pub fn restore(config: &Config, from: &Path, now: Timestamp) -> Result<Restored, BackupError> {
    // Opening a pipe would wait for somebody who writes into it.
    let readable = fs::metadata(from)
        .and_then(|found| if found.is_file() { Ok(()) } else { Err(io::Error::other("not a regular file")) })
        .and_then(|()| File::open(from).map(drop));
    readable.map_err(|source| BackupError::Unreadable { path: from.display().to_string(), source })?;
    refuse_other_files(from)?;
    let dir = DataDir::existing(config);
    let was_there = dir.path().exists();
    if was_there {
        refuse_if_used(&dir)?;
    }
    let filled = fill(config, &dir, from, now);
    if filled.is_err() && !was_there {
        // Only if it was created just now and is still empty.
        let _ = fs::remove_dir(dir.path());
    }
    filled
}

/// First bytes of every SQLite database, and where its `user_version` is: 0 in one that Postrider has not written.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
const VERSION_AT: usize = 60;

/// Refuses a file that is no database of Postrider. Whether such a one is whole is checked with its copy.
fn refuse_other_files(from: &Path) -> Result<(), BackupError> {
    let mut head = Vec::new();
    let read = File::open(from).and_then(|file| file.take(100).read_to_end(&mut head));
    read.map_err(|source| BackupError::Unreadable { path: from.display().to_string(), source })?;
    let found = match head.get(VERSION_AT..VERSION_AT + 4) {
        _ if head.is_empty() => "it is empty",
        Some(version) if head.starts_with(MAGIC) && version != [0; 4] => return Ok(()),
        Some(_) if head.starts_with(MAGIC) => "it is a database of another program",
        _ => "it is not an SQLite database",
    };
    Err(BackupError::NotABackup { path: from.display().to_string(), found })
}

/// Refuses the directory of a running server, and one with other files and no database (`--data /etc`).
fn refuse_if_used(dir: &DataDir) -> Result<(), BackupError> {
    let shown = dir.path().display().to_string();
    if dir.is_locked() {
        return Err(DataDirError::ServerRunning(shown).into());
    }
    let foreign = dir.has_foreign_files();
    let foreign = foreign.map_err(|source| BackupError::Unreadable { path: shown.clone(), source })?;
    if foreign && !dir.database().exists() { Err(BackupError::NotEmpty(shown)) } else { Ok(()) }
}

fn fill(config: &Config, dir: &DataDir, from: &Path, now: Timestamp) -> Result<Restored, BackupError> {
    let had_lock = dir.has_lock_file();
    dir.create_private_directory()?;
    // So that no server starts in it meanwhile.
    let lock = dir.lock_for_command()?;
    let configured = config.encryption_key.as_ref().map(|key| key.expose());
    let mut replaced = Replaced::new(dir, now);
    let move_aside = |manifest: &Manifest| {
        check_key(manifest, &files(from).key_evidence()?, configured)?;
        replaced.take(&dir.files()).map_err(|source| BackupError::Aside { path: replaced.shown(), source })
    };
    let restored = files(&dir.database()).restore(from, move_aside).and_then(|manifest| {
        if let (None, Some(key)) = (configured, &manifest.key) {
            dir.write_key(key)?;
        }
        Ok(manifest)
    });
    let restored = match restored {
        Ok(manifest) => Ok(Restored { manifest, replaced: replaced.into_path() }),
        Err(error) => {
            replaced.put_back();
            if !had_lock {
                dir.forget_lock();
            }
            Err(error)
        }
    };
    drop(lock);
    restored
}

/// Checks that the secrets of a backup can be decrypted with the key that will be used.
fn check_key(
    manifest: &Manifest,
    evidence: &KeyEvidence,
    configured: Option<&str>,
) -> Result<(), BackupError> {
    let vault = match (configured, &manifest.key) {
        (Some(key), _) => Vault::new(key.as_bytes()),
        (None, Some(text)) => Vault::of_key_file(text),
        (None, None) => return Err(BackupError::KeyMissing),
    };
    if vault.opens(evidence) { Ok(()) } else { Err(BackupError::WrongKey) }
}

/// The directory of the replaced files.
struct Replaced {
    path: PathBuf,
    /// Old and new path of each file.
    moved: Vec<(PathBuf, PathBuf)>,
    /// Paths whose old file is gone: a file there is new.
    cleared: Vec<PathBuf>,
}

impl Replaced {
    /// One for this restore; created when there is something to move.
    fn new(dir: &DataDir, now: Timestamp) -> Replaced {
        let plain: String = now.to_string()[..19].chars().filter(|c| !matches!(c, '-' | ':')).collect();
        let named = |n: u32| match n {
            1 => dir.path().join(format!("{}{plain}Z", REPLACED_PREFIX)),
            n => dir.path().join(format!("{}{plain}Z-{n}", REPLACED_PREFIX)),
        };
        // Two restores within a second get different names.
        let path = (1..).map(named).find(|path| !path.exists()).expect("the numbers do not end");
        Replaced { path, moved: Vec::new(), cleared: Vec::new() }
    }

    fn take(&mut self, files: &[PathBuf]) -> io::Result<()> {
        if files.iter().any(|file| file.exists()) {
            DirBuilder::new().mode(0o700).create(&self.path)?;
        }
        for file in files {
            if file.exists() {
                let to = self.path.join(file.file_name().unwrap_or_default());
                fs::rename(file, &to)?;
                self.moved.push((file.clone(), to));
            }
            self.cleared.push(file.clone());
        }
        if self.moved.is_empty() { Ok(()) } else { File::open(&self.path)?.sync_all() }
    }

    fn shown(&self) -> String {
        self.path.display().to_string()
    }

    fn into_path(self) -> Option<PathBuf> {
        if self.moved.is_empty() { None } else { Some(self.path) }
    }

    /// Restores the previous state; files that were not moved are not touched.
    fn put_back(self) {
        for place in &self.cleared {
            let _ = fs::remove_file(place);
        }
        for (from, to) in &self.moved {
            if let Err(error) = fs::rename(to, from) {
                tracing::error!(%error, path = %to.display(), "a replaced file could not be moved back");
            }
        }
        // Empty again, or never created.
        let _ = fs::remove_dir(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(dir: &Path) -> Replaced {
        Replaced { path: dir.join("replaced-1"), moved: Vec::new(), cleared: Vec::new() }
    }

    #[test]
    fn files_are_moved_back_and_new_ones_removed() {
        let dir = tempfile::tempdir().unwrap();
        let (database, key) = (dir.path().join("postrider.db"), dir.path().join("secret.key"));
        fs::write(&database, "old").unwrap();
        let mut replaced = replaced(dir.path());
        replaced.take(&[database.clone(), key.clone()]).unwrap();
        assert!(!database.exists() && dir.path().join("replaced-1/postrider.db").exists());
        fs::write(&database, "new").unwrap();
        fs::write(&key, "new").unwrap();
        replaced.put_back();
        assert_eq!(fs::read_to_string(&database).unwrap(), "old");
        assert!(!key.exists() && !dir.path().join("replaced-1").exists());
    }

    #[test]
    fn a_file_that_cannot_be_moved_stays() {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("postrider.db");
        fs::write(&database, "old").unwrap();
        fs::write(dir.path().join("replaced-1"), "in the way").unwrap();
        let mut replaced = replaced(dir.path());
        assert!(replaced.take(std::slice::from_ref(&database)).is_err());
        replaced.put_back();
        assert_eq!(fs::read_to_string(&database).unwrap(), "old");
    }
}
