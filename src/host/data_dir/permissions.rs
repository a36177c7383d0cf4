//! Permissions of the data directory and of the key file.
//!
//! Who may write to the directory can replace the database or plant a key, so that the secrets of the next
//! webhooks are readable. Such a directory, and a key file that somebody else may have written, are refused
//! instead of repaired: what is in them may already have been changed.

use std::fs::{self, DirBuilder, File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;

/// Write permission of group and others.
const OTHERS_WRITE: u32 = 0o022;

/// Creates a directory and its missing ancestors. Their parents are synced, or else a power cut could
/// remove the directory with all that was synced in it.
pub(super) fn create_durably(path: &Path) -> io::Result<()> {
    let path = std::path::absolute(path)?;
    let missing = path.ancestors().take_while(|above| !above.exists()).count();
    DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
    for parent in path.ancestors().skip(1).take(missing) {
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

/// Restricts the permissions to `mode`. A volume of another user cannot be changed and is used as it is.
pub(super) fn restrict(path: &Path, mode: u32) -> io::Result<()> {
    let now = match fs::metadata(path) {
        Ok(metadata) => metadata.permissions().mode() & 0o777,
        // SQLite removes its files alongside the database when the last process closes it.
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

/// The mode of a directory that other users may write to; `None` when only its owner may.
pub(super) fn writable_by_others(directory: &Path) -> io::Result<Option<u32>> {
    let mode = fs::metadata(directory)?.permissions().mode() & 0o7777;
    Ok((mode & OTHERS_WRITE != 0).then_some(mode))
}

/// Why a key file must not be trusted, in words that follow its name; `None` when it may. A file that does not
/// exist is not judged.
pub(super) fn suspicion(key_file: &Path) -> io::Result<Option<String>> {
    let found = match fs::symlink_metadata(key_file) {
        Ok(found) => found,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let parent = key_file.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = fs::metadata(parent.unwrap_or(Path::new(".")))?;
    Ok(judge(&found, directory.uid(), rustix::process::geteuid().as_raw()))
}

fn judge(found: &Metadata, directory_owner: u32, user: u32) -> Option<String> {
    let mode = found.permissions().mode() & 0o777;
    if found.file_type().is_symlink() {
        return Some("is a symbolic link".to_owned());
    }
    if !found.is_file() {
        return Some("is not a regular file".to_owned());
    }
    if found.nlink() > 1 {
        return Some("is a hard link, so the key is also in another directory".to_owned());
    }
    // Root and the owner of the directory can replace the file anyway.
    if ![0, user, directory_owner].contains(&found.uid()) {
        return Some(format!("belongs to another user (uid {})", found.uid()));
    }
    (mode & OTHERS_WRITE != 0).then(|| format!("can be written by other users (mode {mode:04o})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_that_others_may_have_written_is_suspicious() {
        let dir = tempfile::tempdir().unwrap();
        let (key, other) = (dir.path().join("secret.key"), dir.path().join("other"));
        assert_eq!(suspicion(&key).unwrap(), None, "there is none");
        fs::write(&key, "key").unwrap();
        fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
        assert_eq!(suspicion(&key).unwrap(), None);
        fs::set_permissions(&key, Permissions::from_mode(0o660)).unwrap();
        assert!(suspicion(&key).unwrap().unwrap().contains("0660"));
        fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
        let found = fs::symlink_metadata(&key).unwrap();
        assert!(judge(&found, found.uid() + 2, found.uid() + 1).is_some() || found.uid() == 0);
        fs::hard_link(&key, &other).unwrap();
        assert!(suspicion(&key).unwrap().unwrap().contains("hard link"));
        fs::remove_file(&key).unwrap();
        std::os::unix::fs::symlink(&other, &key).unwrap();
        assert!(suspicion(&key).unwrap().unwrap().contains("symbolic link"));
        fs::remove_file(&key).unwrap();
        fs::create_dir(&key).unwrap();
        assert!(suspicion(&key).unwrap().unwrap().contains("regular file"));
    }
}
