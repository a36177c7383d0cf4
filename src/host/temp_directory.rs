//! A temporary directory that is deleted when its owner is dropped.

use std::io;
use std::path::{Path, PathBuf};

/// The directory, with mode 0700.
#[derive(Debug)]
pub struct TempDirectory(PathBuf);

impl TempDirectory {
    /// Creates one in `parent`, with its purpose in its name.
    pub fn create_in(parent: &Path, purpose: &str) -> io::Result<TempDirectory> {
        let path = parent.join(format!("postrider-{purpose}-{}", uuid::Uuid::new_v4().simple()));
        let mut builder = std::fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path)?;
        Ok(TempDirectory(path))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDirectory {
    fn drop(&mut self) {
        // A directory that cannot be deleted is left; its name tells what it was.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropping_it_deletes_it_with_its_content() {
        let parent = tempfile::tempdir().unwrap();
        let created = TempDirectory::create_in(parent.path(), "test").unwrap();
        std::fs::write(created.path().join("file"), "x").unwrap();
        drop(created);
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
    }
}
