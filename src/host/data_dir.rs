//! The data directory: where the database, the key file and the lock are, and who may read them.
//!
//! The directory is 0700 and the files in it 0600. The key file is made once, before the database,
//! so that a database without its key is a sign of loss and never of a first start.
//!
//! The key is changed in steps that can be interrupted ([`DataDir::begin_rotation`]): from the first to the
//! last the key file has two lines, the new key and the old one, and both open.
//!
//! The lock belongs to the operating system and ends with the process, however that ends; a file that
//! is left over locks nothing. Commands that run beside the server do not take it.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::config::{Config, Secret};
use crate::host::vault::Vault;

/// The name of the database file.
pub const DATABASE: &str = "postrider.db";
const KEY_FILE: &str = "secret.key";
const LOCK_FILE: &str = "serve.lock";
/// Bytes of randomness in the key file, which has them in hexadecimal.
const KEY_BYTES: usize = 32;

/// A directory that exists and belongs to this service.
#[derive(Debug, Clone)]
pub struct DataDir {
    path: PathBuf,
    encryption_key: Option<Secret>,
}

/// Held by the one server of a data directory, as long as it lives.
#[derive(Debug)]
pub struct ServeLock {
    /// Closing it ends the lock.
    _file: File,
}

/// Why the data directory cannot be used. Each is a matter of configuration: exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    #[error("the data directory {path} cannot be used: {doing}; check data_dir (--data) and its permissions")]
    Unusable {
        path: String,
        doing: &'static str,
        #[source]
        source: io::Error,
    },
    #[error(
        "{0} is in use by another `postrider serve`; stop that one first, or give this one a directory of its own (--data)"
    )]
    InUse(String),
    #[error(
        "{database} exists but {key_file} does not, and no encryption_key is configured: the signing secrets in the \
         database cannot be read. Put the key file back (a backup contains it), or configure the encryption_key that was \
         used before"
    )]
    KeyLost { database: String, key_file: String },
    #[error("{0} is damaged: it should hold 64 hexadecimal digits. Put the right file back from a backup")]
    KeyDamaged(String),
    #[error(
        "encryption_key is configured, so there is no key file to rotate: it is yours to keep. To change it, make          the webhooks' secrets anew"
    )]
    KeyConfigured,
}

impl DataDir {
    /// Makes the directory that the configuration names, and its key file, as far as they are missing, and
    /// closes what is there to other users. Storage makes the database file.
    pub fn open(config: &Config) -> Result<DataDir, DataDirError> {
        let dir = DataDir { path: config.data_dir.clone(), encryption_key: config.encryption_key.clone() };
        dir.make_private()?;
        dir.make_key_at_first()?;
        dir.close_files().map_err(|e| dir.unusable("setting permissions of the files in it", e))?;
        Ok(dir)
    }

    /// The directory that the configuration names, as it is: nothing is made.
    pub fn existing(config: &Config) -> DataDir {
        DataDir { path: config.data_dir.clone(), encryption_key: config.encryption_key.clone() }
    }

    /// Makes the directory if it is missing, and closes it to others if it is ours.
    pub fn make_private(&self) -> Result<(), DataDirError> {
        self.make_it_private().map_err(|e| self.unusable("making it", e))
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The database file.
    pub fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    /// The key file, which there is only when no `encryption_key` was configured at the first start.
    pub fn key_file(&self) -> PathBuf {
        self.path.join(KEY_FILE)
    }

    /// The database, what SQLite keeps beside it, and the key file: whichever of them there are belong together.
    pub fn files(&self) -> [PathBuf; 4] {
        let beside = |end: &str| self.path.join(format!("{DATABASE}{end}"));
        [self.database(), beside("-wal"), beside("-shm"), self.key_file()]
    }

    /// Whether somebody has ever taken the directory.
    pub fn has_lock_file(&self) -> bool {
        self.path.join(LOCK_FILE).exists()
    }

    /// Takes the directory for a server, or says that another one has it.
    pub fn lock(&self) -> Result<ServeLock, DataDirError> {
        let doing = "opening its lock file";
        let mut options = OpenOptions::new();
        options.create(true).write(true).truncate(false).mode(0o600);
        let file = options.open(self.path.join(LOCK_FILE)).map_err(|e| self.unusable(doing, e))?;
        match file.try_lock() {
            Ok(()) => Ok(ServeLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(DataDirError::InUse(self.path.display().to_string())),
            Err(TryLockError::Error(e)) => Err(self.unusable(doing, e)),
        }
    }

    /// Whether a server has the directory. Makes nothing.
    pub fn is_locked(&self) -> bool {
        let Ok(file) = File::open(self.path.join(LOCK_FILE)) else { return false };
        matches!(file.try_lock(), Err(TryLockError::WouldBlock))
    }

    /// Removes the lock file, which whoever holds the lock may do before the directory goes.
    pub fn forget_lock(&self) {
        let _ = fs::remove_file(self.path.join(LOCK_FILE));
    }

    /// What is in the key file; `None` when the key is configured and so not ours to hand on.
    pub fn key_text(&self) -> Result<Option<String>, DataDirError> {
        match self.encryption_key {
            Some(_) => Ok(None),
            None => self.read_key().map(Some),
        }
    }

    /// Writes the key file of a directory that has none.
    pub fn write_key(&self, key: &str) -> Result<(), DataDirError> {
        let write = || {
            let directory = File::open(&self.path)?;
            self.put_key(key, &directory)
        };
        write().map_err(|e| self.unusable("writing secret.key", e))
    }

    /// What seals and opens secrets: by the configured key, else by the key file.
    pub fn vault(&self) -> Result<Vault, DataDirError> {
        if let Some(key) = &self.encryption_key {
            return Ok(Vault::new(key.expose().as_bytes()));
        }
        // The text, not the bytes: what the file holds can be configured as `encryption_key` instead.
        Ok(Vault::of_key_file(&self.read_key()?))
    }

    /// Puts a new key before the old one. Where an earlier change was interrupted, its new key stays.
    /// Whoever does this holds the lock: a server that runs knows the old key only.
    pub fn begin_rotation(&self) -> Result<(), DataDirError> {
        if self.encryption_key.is_some() {
            return Err(DataDirError::KeyConfigured);
        }
        let now = self.read_key()?;
        if now.lines().count() > 1 {
            return Ok(());
        }
        let key = random_key().map_err(|e| self.unusable("making another key", e))?;
        self.write_key(&format!("{key}\n{now}"))
    }

    /// Forgets the old key, when nothing is sealed with it any more.
    pub fn end_rotation(&self) -> Result<(), DataDirError> {
        let keys = self.read_key()?;
        self.write_key(keys.lines().next().unwrap_or_default())
    }

    fn read_key(&self) -> Result<String, DataDirError> {
        let key_file = self.key_file();
        let text = match fs::read_to_string(&key_file) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(DataDirError::KeyLost {
                    database: self.database().display().to_string(),
                    key_file: key_file.display().to_string(),
                });
            }
            Err(e) => return Err(self.unusable("reading secret.key", e)),
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
        DataDirError::Unusable { path: self.path.display().to_string(), doing, source }
    }

    /// A directory that exists and holds other things (`--data /tmp`) is not ours to close; the files
    /// are private in any case.
    fn make_it_private(&self) -> io::Result<()> {
        if !self.path.exists() {
            return make_lasting(&self.path);
        }
        let ours = self.database().exists() || fs::read_dir(&self.path)?.next().is_none();
        if ours { restrict(&self.path, 0o700) } else { Ok(()) }
    }

    /// Makes the key file at the very first start. The directory is locked meanwhile, so that of two
    /// commands that start at once one makes the key and the other finds it.
    fn make_key_at_first(&self) -> Result<(), DataDirError> {
        if self.encryption_key.is_some() {
            return Ok(());
        }
        let doing = "making secret.key";
        let directory = File::open(&self.path).map_err(|e| self.unusable(doing, e))?;
        directory.lock().map_err(|e| self.unusable(doing, e))?;
        if self.key_file().exists() || self.database().exists() {
            return Ok(());
        }
        let write = || -> io::Result<()> { self.put_key(&random_key()?, &directory) };
        write().map_err(|e| self.unusable(doing, e))
    }

    fn put_key(&self, key: &str, directory: &File) -> io::Result<()> {
        // Written beside its place and then renamed: there is never half a key. What a crash left of an
        // earlier try is no key yet.
        let draft = self.path.join(format!("{KEY_FILE}.new"));
        let _ = fs::remove_file(&draft);
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&draft)?;
        writeln!(file, "{key}")?;
        file.sync_all()?;
        fs::rename(&draft, self.key_file())?;
        directory.sync_all()
    }

    /// Closes files that came with wider permissions, by a copy for example. The database must not be
    /// opened for it: closing it again would drop the locks that this process has on it (POSIX).
    fn close_files(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let ours = name.starts_with(DATABASE) || name == KEY_FILE || name == LOCK_FILE;
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

/// Makes a directory and those above it that are missing. Their names are synced, else a power cut takes the
/// directory away with all that was synced in it.
fn make_lasting(path: &Path) -> io::Result<()> {
    let path = std::path::absolute(path)?;
    let missing = path.ancestors().take_while(|above| !above.exists()).count();
    DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
    for parent in path.ancestors().skip(1).take(missing) {
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

/// Sets the permissions, unless no more than `mode` is allowed already. A volume whose owner is another
/// user cannot be changed and is used as it is.
fn restrict(path: &Path, mode: u32) -> io::Result<()> {
    let now = match fs::metadata(path) {
        Ok(metadata) => metadata.permissions().mode() & 0o777,
        // SQLite removes the files beside the database when the last process closes it.
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    if now & !mode == 0 {
        return Ok(());
    }
    match fs::set_permissions(path, Permissions::from_mode(mode)) {
        Err(e) if matches!(e.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{EndpointId, Timestamp};

    fn config(path: PathBuf) -> Config {
        let mut config = Config::default();
        config.data_dir = path;
        config
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_directory_and_its_files_are_private() {
        let parent = tempfile::tempdir().unwrap();
        let dir = DataDir::open(&config(parent.path().join("a/data"))).unwrap();
        let _lock = dir.lock().unwrap();
        assert_eq!(mode(dir.path()), 0o700);
        for entry in fs::read_dir(dir.path()).unwrap() {
            assert_eq!(mode(&entry.unwrap().path()), 0o600);
        }
    }

    #[test]
    fn what_came_with_wider_permissions_is_closed() {
        let parent = tempfile::tempdir().unwrap();
        fs::set_permissions(parent.path(), Permissions::from_mode(0o755)).unwrap();
        let config = config(parent.path().to_owned());
        let dir = DataDir::open(&config).unwrap();
        assert_eq!(mode(dir.path()), 0o700);
        fs::write(dir.database(), "").unwrap();
        fs::set_permissions(dir.database(), Permissions::from_mode(0o644)).unwrap();
        DataDir::open(&config).unwrap();
        assert_eq!(mode(&dir.database()), 0o600);
    }

    #[test]
    fn a_directory_with_other_things_keeps_its_permissions() {
        let parent = tempfile::tempdir().unwrap();
        fs::set_permissions(parent.path(), Permissions::from_mode(0o755)).unwrap();
        fs::write(parent.path().join("notes.txt"), "").unwrap();
        DataDir::open(&config(parent.path().to_owned())).unwrap();
        assert_eq!(mode(parent.path()), 0o755);
    }

    #[test]
    fn a_second_server_is_refused_until_the_first_ends() {
        let parent = tempfile::tempdir().unwrap();
        let dir = DataDir::open(&config(parent.path().join("data"))).unwrap();
        let first = dir.lock().unwrap();
        assert!(matches!(dir.lock(), Err(DataDirError::InUse(_))));
        drop(first);
        assert!(dir.lock().is_ok());
    }

    #[test]
    fn the_key_is_made_once_and_opens_what_it_sealed() {
        let parent = tempfile::tempdir().unwrap();
        let config = config(parent.path().join("data"));
        let endpoint = EndpointId::new(Timestamp::from_millis(0));
        let open = || DataDir::open(&config).unwrap().vault().unwrap();
        let sealed = open().seal_header(endpoint, "a", "value");
        assert_eq!(open().open_header(endpoint, "a", &sealed).unwrap(), "value");
    }

    #[test]
    fn commands_that_start_at_once_agree_on_one_key() {
        let parent = tempfile::tempdir().unwrap();
        let config = config(parent.path().join("data"));
        let keys: Vec<_> = std::thread::scope(|scope| {
            let open = || {
                let dir = DataDir::open(&config).unwrap();
                dir.vault().unwrap();
                fs::read_to_string(dir.key_file()).unwrap()
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
    }

    #[test]
    fn a_lost_key_is_never_replaced() {
        let parent = tempfile::tempdir().unwrap();
        let config = config(parent.path().join("data"));
        let dir = DataDir::open(&config).unwrap();
        fs::write(dir.database(), "").unwrap();
        fs::remove_file(dir.key_file()).unwrap();
        let again = DataDir::open(&config).unwrap();
        assert!(matches!(again.vault(), Err(DataDirError::KeyLost { .. })));
        fs::write(dir.key_file(), "abc").unwrap();
        assert!(matches!(again.vault(), Err(DataDirError::KeyDamaged(_))));
    }

    #[test]
    fn with_a_configured_key_no_key_file_is_made() {
        let parent = tempfile::tempdir().unwrap();
        let mut config = config(parent.path().join("data"));
        config.encryption_key = Some(Secret::new("k".repeat(32)));
        let dir = DataDir::open(&config).unwrap();
        assert!(dir.vault().is_ok() && !dir.key_file().exists());
    }

    #[test]
    fn a_file_in_the_way_is_an_error_that_names_the_setting() {
        let parent = tempfile::tempdir().unwrap();
        fs::write(parent.path().join("data"), "").unwrap();
        let error = DataDir::open(&config(parent.path().join("data"))).unwrap_err();
        assert!(error.to_string().contains("data_dir (--data)"));
    }
}
