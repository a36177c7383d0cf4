//! `restore`: the data directory as a backup has it.
//!
//! What was there is not lost: database and key file are moved into a directory beside, once the backup has
//! been found sound and its secrets can be opened, and are put back when something fails after that. All
//! else in the data directory stays, such as the scheduled backups, one of which may be what is restored.
//! Nothing is restored under a running server.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::domain::Timestamp;
use crate::host::data_dir::{DATABASE, DataDir, DataDirError};
use crate::host::vault::Vault;
use crate::store::sqlite::engine::backup;
use crate::store::sqlite::engine::backup::Manifest;
use crate::upkeep::backup::BackupError;

/// What may be in a data directory without a database: what a restore, a backup by the clock, a server that
/// could not start, or the file system has left; and whatever begins with [`DATABASE`] or [`Aside::PREFIX`].
const HARMLESS: [&str; 4] = ["serve.lock", "backups", "lost+found", "secret.key"];

/// What came back.
pub struct Restored {
    pub manifest: Manifest,
    /// Where what was there before is now, if anything was.
    pub kept: Option<PathBuf>,
}

/// Fills the data directory that the configuration names from a backup.
pub fn restore(config: &Config, from: &Path, now: Timestamp) -> Result<Restored, BackupError> {
    let file = File::open(from).and_then(|file| file.metadata());
    let readable =
        file.and_then(|found| if found.is_file() { Ok(()) } else { Err(io::Error::other("it is no file")) });
    readable.map_err(|source| BackupError::Unreadable { path: from.display().to_string(), source })?;
    let dir = DataDir::existing(config);
    let was_there = dir.path().exists();
    if was_there {
        refuse_if_used(&dir)?;
    }
    let filled = fill(config, &dir, from, now);
    if filled.is_err() && !was_there {
        // Only what was made just now, and only if it is empty.
        let _ = fs::remove_dir(dir.path());
    }
    filled
}

/// A directory of a running server, or one that holds other things and no database (`--data /etc`).
fn refuse_if_used(dir: &DataDir) -> Result<(), BackupError> {
    let shown = dir.path().display().to_string();
    if dir.is_locked() {
        return Err(DataDirError::InUse(shown).into());
    }
    let entries =
        fs::read_dir(dir.path()).map_err(|source| BackupError::Unreadable { path: shown.clone(), source })?;
    let is_ours = |name: &str| name.starts_with(DATABASE) || name.starts_with(Aside::PREFIX);
    let is_strange = |name: &str| !HARMLESS.contains(&name) && !is_ours(name);
    let mut names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    if !dir.database().exists() && names.any(|name| is_strange(&name)) {
        return Err(BackupError::NotEmpty(shown));
    }
    Ok(())
}

fn fill(config: &Config, dir: &DataDir, from: &Path, now: Timestamp) -> Result<Restored, BackupError> {
    let had_lock = dir.has_lock_file();
    dir.make_private()?;
    // Nobody starts a server in it meanwhile.
    let lock = dir.lock()?;
    let configured = config.encryption_key.as_ref().map(|key| key.expose());
    let mut aside = Aside::new(dir, now);
    let put_aside = |manifest: &Manifest| {
        judge(manifest, configured)?;
        aside.take(&dir.files()).map_err(|source| BackupError::Aside { path: aside.shown(), source })
    };
    let restored = backup::restore(from, &dir.database(), put_aside).and_then(|manifest| {
        if let (None, Some(key)) = (configured, &manifest.key) {
            dir.write_key(key)?;
        }
        Ok(manifest)
    });
    let restored = match restored {
        Ok(manifest) => Ok(Restored { manifest, kept: aside.kept() }),
        Err(error) => {
            aside.put_back();
            if !had_lock {
                dir.forget_lock();
            }
            Err(error)
        }
    };
    drop(lock);
    restored
}

/// Whether what is in a backup can be used: its secrets must open with the key that there will be.
fn judge(manifest: &Manifest, configured: Option<&str>) -> Result<(), BackupError> {
    let vault = match (configured, &manifest.key) {
        (Some(key), _) => Vault::new(key.as_bytes()),
        (None, Some(text)) => Vault::of_key_file(text),
        (None, None) => return Err(BackupError::KeyMissing),
    };
    match &manifest.sample {
        Some((endpoint, sealed)) => match vault.open_signing_secret(*endpoint, sealed) {
            Ok(_) => Ok(()),
            Err(_) => Err(BackupError::WrongKey),
        },
        None => Ok(()),
    }
}

/// The directory for what is replaced.
struct Aside {
    path: PathBuf,
    /// Where each file was, and where it is.
    moved: Vec<(PathBuf, PathBuf)>,
    /// Places in which nothing old is any more: what is found there is new.
    cleared: Vec<PathBuf>,
}

impl Aside {
    const PREFIX: &str = "replaced-";

    /// One for this restore, which is made when there is something to put into it.
    fn new(dir: &DataDir, now: Timestamp) -> Aside {
        let plain: String = now.to_string()[..19].chars().filter(|c| !matches!(c, '-' | ':')).collect();
        let named = |n: u32| match n {
            1 => dir.path().join(format!("{}{plain}Z", Aside::PREFIX)),
            n => dir.path().join(format!("{}{plain}Z-{n}", Aside::PREFIX)),
        };
        // Two within a second are kept apart.
        let path = (1..).map(named).find(|path| !path.exists()).expect("there is always a next number");
        Aside { path, moved: Vec::new(), cleared: Vec::new() }
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

    fn kept(self) -> Option<PathBuf> {
        if self.moved.is_empty() { None } else { Some(self.path) }
    }

    /// As it was before; what was not taken is not touched.
    fn put_back(self) {
        for place in &self.cleared {
            let _ = fs::remove_file(place);
        }
        for (from, to) in &self.moved {
            if let Err(error) = fs::rename(to, from) {
                tracing::error!(%error, path = %to.display(), "what was there before could not be put back");
            }
        }
        // Empty again, or never made.
        let _ = fs::remove_dir(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aside(dir: &Path) -> Aside {
        Aside { path: dir.join("replaced-1"), moved: Vec::new(), cleared: Vec::new() }
    }

    #[test]
    fn what_was_put_aside_comes_back_and_what_came_instead_goes() {
        let dir = tempfile::tempdir().unwrap();
        let (database, key) = (dir.path().join("postrider.db"), dir.path().join("secret.key"));
        fs::write(&database, "old").unwrap();
        let mut aside = aside(dir.path());
        aside.take(&[database.clone(), key.clone()]).unwrap();
        assert!(!database.exists() && dir.path().join("replaced-1/postrider.db").exists());
        fs::write(&database, "new").unwrap();
        fs::write(&key, "new").unwrap();
        aside.put_back();
        assert_eq!(fs::read_to_string(&database).unwrap(), "old");
        assert!(!key.exists() && !dir.path().join("replaced-1").exists());
    }

    #[test]
    fn what_could_not_be_put_aside_is_left_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("postrider.db");
        fs::write(&database, "old").unwrap();
        fs::write(dir.path().join("replaced-1"), "in the way").unwrap();
        let mut aside = aside(dir.path());
        assert!(aside.take(std::slice::from_ref(&database)).is_err());
        aside.put_back();
        assert_eq!(fs::read_to_string(&database).unwrap(), "old");
    }
}
