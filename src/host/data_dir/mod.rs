//! The data directory: the database, the key file and the lock, and their permissions.
//!
//! The directory is 0700 and its files are 0600. The key file is created once, before the database, so a
//! database without a key file means that the key was lost, never a first start.
//!
//! A rotation of the key can be interrupted at any step ([`DataDir::begin_rotation`]): from the first to the
//! last step the key file has two lines, the new and the old key, and both decrypt.
//!
//! The lock is one of the operating system and ends with the process; a leftover file locks nothing.
//! Commands that may run while the server runs do not take it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::config::{Config, Secret};
use crate::host::io_error::reason;
use crate::host::vault::Vault;

mod error;
mod permissions;

pub use error::DataDirError;
use permissions::{create_durably, restrict};

/// The name of the database file.
pub const DATABASE: &str = "postrider.db";
const KEY_FILE: &str = "secret.key";
const LOCK_FILE: &str = "serve.lock";
/// The URL of the running server.
const URL_FILE: &str = "serve.url";
/// Other files that may be in a data directory without a database: leftovers of a restore, of a failed start or
/// of the file system; in addition, names that begin with [`DATABASE`], [`KEY_FILE`] or
/// [`REPLACED_PREFIX`].
const HARMLESS: [&str; 5] = [LOCK_FILE, URL_FILE, "backups", "lost+found", "doctor.probe"];
/// Begin of the names of directories with data that a restore has replaced.
pub const REPLACED_PREFIX: &str = "replaced-";
/// A lock file that is a link to another file is not opened.
const NOFOLLOW: i32 = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
/// Random bytes in the key file, in hexadecimal.
const KEY_BYTES: usize = 32;

/// The data directory of a server.
#[derive(Debug, Clone)]
pub struct DataDir {
    path: PathBuf,
    encryption_key: Option<Secret>,
}

/// Held by the one server of a data directory while it runs.
#[derive(Debug)]
pub struct ServeLock {
    /// Closing it releases the lock.
    _file: File,
}

impl DataDir {
    /// Creates the configured directory and its key file if they are missing, and restricts the permissions
    /// of existing files. Storage creates the database file.
    pub fn open(config: &Config) -> Result<DataDir, DataDirError> {
        let dir = DataDir { path: config.data_dir.clone(), encryption_key: config.encryption_key.clone() };
        dir.create_private_directory()?;
        if dir.encryption_key.is_none() {
            dir.refuse_untrusted_key()?;
        }
        dir.create_key_once()?;
        dir.close_files().map_err(|e| dir.unusable("set the permissions of the files in", e))?;
        Ok(dir)
    }

    /// The same for commands: the directory must exist, and belong to Postrider unless it is empty, so that a command
    /// in the wrong directory does not create a second, empty database.
    pub fn open_existing(config: &Config) -> Result<DataDir, DataDirError> {
        let dir = DataDir::existing(config);
        let shown = dir.path.display().to_string();
        if !dir.path.exists() {
            return Err(DataDirError::Missing(shown));
        }
        if !dir.database().exists() && dir.has_foreign_files().map_err(|e| dir.unusable("read", e))? {
            return Err(DataDirError::Foreign(shown));
        }
        DataDir::open(config)
    }

    /// The configured directory as it is; nothing is created.
    pub fn existing(config: &Config) -> DataDir {
        DataDir { path: config.data_dir.clone(), encryption_key: config.encryption_key.clone() }
    }

    /// Creates the directory if it is missing, and restricts its permissions if it is ours. One that other users
    /// may write to is refused.
    pub fn create_private_directory(&self) -> Result<(), DataDirError> {
        self.create_private().map_err(|e| self.unusable("create", e))?;
        let writable = permissions::writable_by_others(&self.path);
        match writable.map_err(|e| self.unusable("check the permissions of", e))? {
            Some(mode) => Err(DataDirError::WritableByOthers { path: self.path.display().to_string(), mode }),
            None => Ok(()),
        }
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The database file.
    pub fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    /// The key file. It exists only if no `encryption_key` was configured at the first start.
    pub fn key_file(&self) -> PathBuf {
        self.path.join(KEY_FILE)
    }

    /// The database, SQLite's files alongside it, and the key file. They belong together; some may be missing.
    pub fn files(&self) -> [PathBuf; 4] {
        let beside = |end: &str| self.path.join(format!("{DATABASE}{end}"));
        [self.database(), beside("-wal"), beside("-shm"), self.key_file()]
    }

    /// Whether a server has ever used the directory.
    pub fn has_lock_file(&self) -> bool {
        self.path.join(LOCK_FILE).exists()
    }

    /// Whether there are files that do not belong to Postrider.
    pub fn has_foreign_files(&self) -> io::Result<bool> {
        let is_ours = |name: &str| {
            let begins = [DATABASE, KEY_FILE, REPLACED_PREFIX];
            HARMLESS.contains(&name) || begins.iter().any(|begin| name.starts_with(begin))
        };
        let mut names = fs::read_dir(&self.path)?.flatten().map(|entry| entry.file_name());
        Ok(names.any(|name| !is_ours(&name.to_string_lossy())))
    }

    /// Notes the URL of the server, for commands that print it. Only the holder of the lock may do this.
    pub fn note_url(&self, url: &str) -> io::Result<()> {
        let path = self.path.join(URL_FILE);
        let _ = fs::remove_file(&path);
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)?;
        writeln!(file, "{url}")
    }

    /// Removes the note of the URL.
    pub fn forget_url(&self) {
        let _ = fs::remove_file(self.path.join(URL_FILE));
    }

    /// The URL of the running server; `None` when none is running.
    pub fn url(&self) -> Option<String> {
        let url = fs::read_to_string(self.path.join(URL_FILE)).ok()?;
        self.is_locked().then(|| url.trim().to_owned())
    }

    /// Takes the lock for a command that must not run while a server runs.
    pub fn lock_for_command(&self) -> Result<ServeLock, DataDirError> {
        self.lock().map_err(|error| match error {
            DataDirError::InUse(path) => DataDirError::ServerRunning(path),
            other => other,
        })
    }

    /// Takes the lock, or reports that another server has it.
    pub fn lock(&self) -> Result<ServeLock, DataDirError> {
        let doing = "open the lock file in";
        let mut options = OpenOptions::new();
        options.create(true).write(true).truncate(false).mode(0o600).custom_flags(NOFOLLOW);
        let file = options.open(self.path.join(LOCK_FILE)).map_err(|e| self.unusable(doing, e))?;
        match file.try_lock() {
            Ok(()) => Ok(ServeLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(DataDirError::InUse(self.path.display().to_string())),
            Err(TryLockError::Error(e)) => Err(self.unusable(doing, e)),
        }
    }

    /// Whether a server uses the directory. Creates nothing.
    pub fn is_locked(&self) -> bool {
        let Ok(file) = File::open(self.path.join(LOCK_FILE)) else { return false };
        matches!(file.try_lock(), Err(TryLockError::WouldBlock))
    }

    /// Removes the lock file. Only the holder of the lock may do this, before the directory is deleted.
    pub fn forget_lock(&self) {
        let _ = fs::remove_file(self.path.join(LOCK_FILE));
    }

    /// The content of the key file; `None` when the key is configured.
    pub fn key_text(&self) -> Result<Option<String>, DataDirError> {
        match self.encryption_key {
            Some(_) => Ok(None),
            None => self.read_key().map(Some),
        }
    }

    /// Writes the key file.
    pub fn write_key(&self, key: &str) -> Result<(), DataDirError> {
        let write = || {
            let directory = File::open(&self.path)?;
            self.put_key(key, &directory)
        };
        write().map_err(|e| self.unusable("write secret.key in", e))
    }

    /// The vault of the configured key, or else of the key file.
    pub fn vault(&self) -> Result<Vault, DataDirError> {
        if let Some(key) = &self.encryption_key {
            return Ok(Vault::new(key.expose().as_bytes()));
        }
        // The text, not the bytes: the content of the file can be configured as `encryption_key` instead.
        Ok(Vault::of_key_file(&self.read_key()?))
    }

    /// Writes a new key before the old one, or keeps the new key of an interrupted rotation. Requires the
    /// lock: a running server knows only the old key.
    pub fn begin_rotation(&self) -> Result<(), DataDirError> {
        if self.encryption_key.is_some() {
            return Err(DataDirError::KeyConfigured);
        }
        let now = self.read_key()?;
        if now.lines().count() > 1 {
            return Ok(());
        }
        let key = random_key().map_err(|e| self.unusable("generate a new key for", e))?;
        self.write_key(&format!("{key}\n{now}"))
    }

    /// Drops the old key, once nothing is encrypted with it.
    pub fn end_rotation(&self) -> Result<(), DataDirError> {
        let keys = self.read_key()?;
        self.write_key(keys.lines().next().unwrap_or_default())
    }

    /// The error of a database that was written with another key than the vault's.
    pub fn wrong_key(&self) -> DataDirError {
        let key = match self.encryption_key {
            Some(_) => "the configured encryption_key".to_owned(),
            None => format!("the one in {}", self.key_file().display()),
        };
        DataDirError::WrongKey { database: self.database().display().to_string(), key }
    }

    /// Refuses a key file that other users may have written.
    fn refuse_untrusted_key(&self) -> Result<(), DataDirError> {
        let key_file = self.key_file();
        let suspicion = permissions::suspicion(&key_file);
        match suspicion.map_err(|e| self.unusable("check the permissions of secret.key in", e))? {
            Some(reason) => Err(DataDirError::KeyNotTrusted { path: key_file.display().to_string(), reason }),
            None => Ok(()),
        }
    }

    fn read_key(&self) -> Result<String, DataDirError> {
        self.refuse_untrusted_key()?;
        let key_file = self.key_file();
        let text = match fs::read_to_string(&key_file) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(DataDirError::KeyLost {
                    database: self.database().display().to_string(),
                    key_file: key_file.display().to_string(),
                });
            }
            Err(e) => return Err(self.unusable("read secret.key in", e)),
        };
        let is_key = |line: &str| hex::decode(line).is_ok_and(|key| key.len() == KEY_BYTES);
        let keys: Vec<&str> = text.trim().lines().map(str::trim).collect();
        if matches!(keys.len(), 1 | 2) && keys.iter().all(|key| is_key(key)) {
            Ok(keys.join("\n"))
        } else {
            Err(DataDirError::KeyDamaged(key_file.display().to_string()))
        }
    }

    fn unusable(&self, doing: &'static str, source: io::Error) -> DataDirError {
        DataDirError::Unusable { path: self.path.display().to_string(), doing, reason: reason(&source) }
    }

    /// An existing directory with other content (`--data /tmp`) is not ours to restrict; our files are
    /// private in any case.
    fn create_private(&self) -> io::Result<()> {
        if !self.path.exists() {
            return create_durably(&self.path);
        }
        // A directory with content that others may write to is refused, not restricted.
        let is_writable = permissions::writable_by_others(&self.path)?.is_some();
        let is_empty = fs::read_dir(&self.path)?.next().is_none();
        let ours = is_empty || (self.database().exists() && !is_writable);
        if ours { restrict(&self.path, 0o700) } else { Ok(()) }
    }

    /// Creates the key file at the first start. The directory is locked meanwhile, so that of two concurrent
    /// commands one creates the key and the other finds it.
    fn create_key_once(&self) -> Result<(), DataDirError> {
        if self.encryption_key.is_some() {
            return Ok(());
        }
        let doing = "create secret.key in";
        let directory = File::open(&self.path).map_err(|e| self.unusable(doing, e))?;
        directory.lock().map_err(|e| self.unusable(doing, e))?;
        if self.key_file().exists() || self.database().exists() {
            return Ok(());
        }
        let write = || -> io::Result<()> { self.put_key(&random_key()?, &directory) };
        write().map_err(|e| self.unusable(doing, e))
    }

    fn put_key(&self, key: &str, directory: &File) -> io::Result<()> {
        // Written to a draft and then renamed, so there is never half a key. A draft that a crash left is
        // not a key yet.
        let draft = self.path.join(format!("{KEY_FILE}.new"));
        let _ = fs::remove_file(&draft);
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&draft)?;
        writeln!(file, "{key}")?;
        file.sync_all()?;
        fs::rename(&draft, self.key_file())?;
        directory.sync_all()
    }

    /// Restricts files with wider permissions, for example after a copy. This must not open the database:
    /// closing it would drop the locks of this process on it (POSIX).
    fn close_files(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let ours = name.starts_with(DATABASE) || [KEY_FILE, LOCK_FILE, URL_FILE].contains(&&*name);
            if ours && entry.file_type()?.is_file() {
                restrict(&entry.path(), 0o600)?;
            }
        }
        Ok(())
    }
}

/// A key as the file holds it.
fn random_key() -> io::Result<String> {
    let mut key = [0u8; KEY_BYTES];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    Ok(hex::encode(key))
}

#[cfg(test)]
mod tests;
