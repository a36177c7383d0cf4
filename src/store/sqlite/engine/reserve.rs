//! Space that is set aside for making space.
//!
//! To remove rows takes space as well: the changed pages go to the WAL first. So a file of some megabytes
//! lies beside the database, and when the disk is full and something is to be removed, it is deleted and the
//! removal tried again. Until it can be made again, only what frees space is written, so that nobody else
//! uses it up.
//!
//! Where there is no room for it at the start there is none, and nothing else is different.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

/// How often it is tried to make it again.
const AGAIN: Duration = Duration::from_millis(500);

/// The file, or its absence.
#[derive(Debug)]
pub(crate) struct Reserve {
    path: PathBuf,
    bytes: usize,
    /// Whether it was given up and is to be made again.
    is_given: bool,
    tried_at: Option<Instant>,
}

impl Reserve {
    /// Sets so many bytes aside beside a database; 0 = none.
    pub(crate) fn beside(database: &Path, bytes: usize) -> Reserve {
        let mut path = database.as_os_str().to_owned();
        path.push("-reserve");
        let reserve = Reserve { path: path.into(), bytes, is_given: false, tried_at: None };
        if let Err(error) = reserve.make() {
            tracing::warn!(%error, "there is no room to set space aside for a full disk");
        }
        reserve
    }

    /// Whether it was given up and could not be made again since.
    pub(crate) fn is_given(&self) -> bool {
        self.is_given
    }

    /// Gives the space up.
    pub(crate) fn give(&mut self) {
        if self.bytes > 0 && !self.is_given && fs::remove_file(&self.path).is_ok() {
            tracing::warn!(
                "the disk is full: what was set aside is given up, so that something can be removed"
            );
            self.is_given = true;
        }
    }

    /// Makes it again, if there is room; says whether it is there. Tries only now and then.
    pub(crate) fn take_again(&mut self) -> bool {
        if self.tried_at.is_some_and(|at| at.elapsed() < AGAIN) {
            return false;
        }
        self.tried_at = Some(Instant::now());
        if self.make().is_ok() {
            tracing::info!("there is space again");
            (self.is_given, self.tried_at) = (false, None);
        }
        !self.is_given
    }

    fn make(&self) -> io::Result<()> {
        if self.bytes == 0 || fs::metadata(&self.path).is_ok_and(|found| found.len() == self.bytes as u64) {
            return Ok(());
        }
        let made = self.fill();
        if made.is_err() {
            let _ = fs::remove_file(&self.path);
        }
        made
    }

    /// Written and not only made that long: a file with a hole takes no space.
    fn fill(&self) -> io::Result<()> {
        let mut file =
            OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&self.path)?;
        let zeros = [0; 64 << 10];
        let mut left = self.bytes;
        while left > 0 {
            let n = left.min(zeros.len());
            file.write_all(&zeros[..n])?;
            left -= n;
        }
        // Some file systems find out only now.
        file.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_there_until_it_is_given_up_and_then_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut reserve = Reserve::beside(&dir.path().join("p.db"), 100_000);
        let length = || fs::metadata(dir.path().join("p.db-reserve")).map(|found| found.len()).ok();
        assert_eq!((length(), reserve.is_given()), (Some(100_000), false));
        reserve.give();
        assert_eq!((length(), reserve.is_given()), (None, true));
        assert!(reserve.take_again());
        assert_eq!((length(), reserve.is_given()), (Some(100_000), false));
    }

    #[test]
    fn without_room_there_is_none_and_nothing_waits_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut reserve = Reserve::beside(&dir.path().join("missing/p.db"), 100_000);
        assert!(!reserve.is_given());
        reserve.give();
        assert!(!reserve.is_given());
    }
}
