//! What can be wrong with a data directory, with the fix.

/// The reason why the data directory cannot be used. All are configuration errors: exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    #[error(
        "cannot {doing} the data directory {path}: {reason}. Fix its permissions or choose another one with --data"
    )]
    Unusable { path: String, doing: &'static str, reason: String },
    #[error("{0} is in use by another server. Stop that one first, or choose another directory with --data")]
    InUse(String),
    #[error("a server is running on {0}. Stop it first, then run this command again")]
    ServerRunning(String),
    #[error(
        "the data directory {0} does not exist. Name the right one with --data; `postrider serve` creates a new one"
    )]
    Missing(String),
    #[error(
        "{0} contains other files and no database of Postrider. Name the right data directory with --data; \
         `postrider serve` creates a new one"
    )]
    Foreign(String),
    #[error(
        "other users may write to the data directory {path} (mode {mode:04o}), so they could replace the database or the \
         key. Check its content and run: chmod 700 {path}. Or name a subdirectory with --data, which is created with \
         mode 0700"
    )]
    WritableByOthers { path: String, mode: u32 },
    #[error(
        "{path} {reason}, so another user may know the key in it. Replace it by a regular file of your own with mode \
         0600 and the right key (a backup contains it), or configure encryption_key or encryption_key_file"
    )]
    KeyNotTrusted { path: String, reason: String },
    #[error(
        "{database} was written with another encryption key than {key}: its secrets cannot be decrypted. Use the key \
         it was written with: restore secret.key from a backup, or configure the previous encryption_key"
    )]
    WrongKey { database: String, key: String },
    #[error(
        "{database} exists but {key_file} does not, and no encryption_key is configured: the signing secrets in the \
         database cannot be decrypted. Restore the key file (a backup contains it), or configure the encryption_key that \
         was used before"
    )]
    KeyLost { database: String, key_file: String },
    #[error("{0} is damaged: expected 64 hexadecimal digits. Restore the file from a backup")]
    KeyDamaged(String),
    #[error(
        "encryption_key is configured, so there is no key file to rotate. To replace the \
         configured key, name a file with the new one: postrider key-file rotate --new-key-file FILE"
    )]
    KeyConfigured,
}
