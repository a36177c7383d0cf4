//! The backends that the suite runs on.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use postrider::store::Backend;
use postrider::store::location::{Location, Purpose};
use tempfile::TempDir;

use super::now;
use crate::support::postgres::Database;

/// Makes stores of one backend for a test, and takes away what belongs to them when it is dropped.
pub(crate) trait Factory: Send + Sync {
    /// Opens the store of this factory: a new one the first time, later the same data.
    fn open(&self) -> Arc<dyn Backend>;

    /// The same data while the store is open, as a command that runs beside the server has it.
    fn open_beside(&self) -> Arc<dyn Backend>;

    /// What a crash at this moment would leave, as a factory of its own.
    fn crashed(&self) -> Box<dyn Factory>;

    /// The file that holds the data, for tests of what only files have.
    fn file(&self) -> Option<PathBuf>;

    /// The database, for tests of what only a database server has.
    fn database(&self) -> Option<&Database> {
        None
    }
}

/// The backend that the environment names; SQLite unless it says otherwise.
pub(crate) fn factory() -> Box<dyn Factory> {
    match std::env::var("POSTRIDER_TEST_STORAGE").as_deref() {
        Err(_) | Ok("" | "sqlite") => Box::new(Sqlite::new()),
        Ok("postgres") => Box::new(Postgres(Arc::new(Database::new()))),
        Ok(other) => panic!("POSTRIDER_TEST_STORAGE is {other:?}; the backends are: sqlite, postgres"),
    }
}

/// Of a store that a test has opened itself.
pub(super) struct OpenedByTest(pub(super) Arc<dyn Backend>);

impl Factory for OpenedByTest {
    fn open(&self) -> Arc<dyn Backend> {
        self.0.clone()
    }

    fn open_beside(&self) -> Arc<dyn Backend> {
        self.0.clone()
    }

    fn crashed(&self) -> Box<dyn Factory> {
        Box::new(OpenedByTest(self.0.clone()))
    }

    fn file(&self) -> Option<PathBuf> {
        None
    }
}

struct Postgres(Arc<Database>);

impl Factory for Postgres {
    fn open(&self) -> Arc<dyn Backend> {
        Location::Server(self.0.server()).open(Purpose::Server, now()).unwrap()
    }

    fn open_beside(&self) -> Arc<dyn Backend> {
        Location::Server(self.0.server()).open(Purpose::Command, now()).unwrap()
    }

    /// The server lives on, and what was not committed is undone when the connections end.
    fn crashed(&self) -> Box<dyn Factory> {
        Box::new(Postgres(self.0.clone()))
    }

    fn database(&self) -> Option<&Database> {
        Some(&self.0)
    }

    fn file(&self) -> Option<PathBuf> {
        None
    }
}

struct Sqlite {
    dir: TempDir,
}

impl Sqlite {
    fn new() -> Sqlite {
        Sqlite { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("postrider.db")
    }

    /// The files that outlive the process, each with its size and the time of its last change. The index of the
    /// write-ahead log is shared memory and does not.
    fn state(&self) -> Vec<(OsString, (u64, SystemTime))> {
        let mut files = Vec::new();
        for entry in fs::read_dir(self.dir.path()).unwrap() {
            let (name, metadata) = entry.map(|e| (e.file_name(), e.metadata().unwrap())).unwrap();
            if metadata.is_file() && !name.to_string_lossy().ends_with("-shm") {
                files.push((name, (metadata.len(), metadata.modified().unwrap())));
            }
        }
        files.sort();
        files
    }
}

impl Factory for Sqlite {
    fn open(&self) -> Arc<dyn Backend> {
        Location::File(self.path()).open(Purpose::Server, now()).unwrap()
    }

    fn open_beside(&self) -> Arc<dyn Backend> {
        Location::File(self.path()).open(Purpose::Command, now()).unwrap()
    }

    /// A crash of the process leaves the files as they are, the write-ahead log among them. (What a crash of the
    /// machine leaves is a test of its own: `tests/faults/power.rs`.)
    fn crashed(&self) -> Box<dyn Factory> {
        // A checkpoint may be running; a copy of two moments would be no crash.
        loop {
            let before = self.state();
            let copy = Sqlite::new();
            for (name, _) in &before {
                fs::copy(self.dir.path().join(name), copy.dir.path().join(name)).unwrap();
            }
            if self.state() == before {
                return Box::new(copy);
            }
        }
    }

    fn file(&self) -> Option<PathBuf> {
        Some(self.path())
    }
}
