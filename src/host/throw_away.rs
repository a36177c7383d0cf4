//! A directory that goes away with whoever made it.

use std::io;
use std::path::{Path, PathBuf};

/// The directory, for its owner only.
#[derive(Debug)]
pub struct ThrowAway(PathBuf);

impl ThrowAway {
    /// Makes one in `parent`, with a name that says what it is for.
    pub fn make_in(parent: &Path, what_for: &str) -> io::Result<ThrowAway> {
        let path = parent.join(format!("postrider-{what_for}-{}", uuid::Uuid::new_v4().simple()));
        let mut builder = std::fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path)?;
        Ok(ThrowAway(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for ThrowAway {
    fn drop(&mut self) {
        // Nothing can be done about a directory that does not go, and its name says what it was.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_with_all_that_is_in_it() {
        let parent = tempfile::tempdir().unwrap();
        let made = ThrowAway::make_in(parent.path(), "test").unwrap();
        std::fs::write(made.path().join("file"), "x").unwrap();
        drop(made);
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
    }
}
