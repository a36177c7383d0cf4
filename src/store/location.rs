//! Where storage is, and what opens it. The only place outside a backend's own folder that names a backend.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::domain::Timestamp;
use crate::host::vault::KeyEvidence;
use crate::store::backend::Backend;
use crate::store::files::{About, BackupSummary, Inspection, Manifest};
use crate::store::postgres::{self, PostgresGuard, PostgresSource, PostgresStore, PostgresTarget};
use crate::store::sqlite::engine::{backup, inspect};
use crate::store::sqlite::upkeep::key_check;
use crate::store::sqlite::upkeep::transfer::{SqliteSource, SqliteTarget};
use crate::store::sqlite::{Options, SqliteStore};
use crate::store::{Result, ServerFacts, ServerTrouble, StoreError, Transfer};

/// Disk space that a server reserves: enough for some steps of a sweep when the disk is full.
const RESERVE_BYTES: usize = 4 << 20;
/// How long a check waits for a lock of another process.
const BUSY: Duration = Duration::from_secs(10);

/// Where storage is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A SQLite database in this file.
    File(PathBuf),
    /// A PostgreSQL database.
    Server(Server),
}

/// A database server.
#[derive(Clone, PartialEq, Eq)]
pub struct Server {
    /// May hold a password.
    pub url: String,
    /// The same database for notifications, when `url` leads to a pooler.
    pub listen_url: Option<String>,
    /// The most connections of this process.
    pub connections: usize,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a PostgreSQL database")
    }
}

impl Server {
    /// Looks at the server, for as long as some round trips and a second take. `listen_url` is where notifications are
    /// listened for, if that is elsewhere; `clock` says the time in milliseconds. Nothing is changed.
    ///
    /// # Errors
    /// A sentence when there is no connection.
    pub async fn examine(
        &self,
        listen_url: Option<&str>,
        clock: fn() -> i64,
    ) -> std::result::Result<ServerFacts, ServerTrouble> {
        postgres::examine(&self.url, listen_url.unwrap_or(&self.url), clock).await
    }
}

/// See [`Location::keep_servers_out`].
pub struct KeptOut {
    _guard: Option<PostgresGuard>,
}

/// What storage is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A server: reads run side by side, and some disk space is reserved.
    Server,
    /// A command, which does one thing at a time and may run beside a server.
    Command,
    /// A command while servers are kept out: the last steps of a move into it, which is half filled until they are
    /// done, or a change of the key.
    Alone,
}

impl Location {
    /// Opens storage, creates it if there is none, and brings it up to date. Blocks for as long as the disk takes.
    ///
    /// Files do not keep other processes out; a second server must be stopped by other means. On a database server any
    /// number of servers work side by side ([`Backend::leases`]).
    ///
    /// # Errors
    /// [`StoreError::Refused`] when it is half filled or something must be changed first,
    /// [`StoreError::Newer`] when a newer program has written it, [`StoreError::Damaged`] when it is not what it
    /// should be, else what the storage itself says.
    pub fn open(&self, purpose: Purpose, now: Timestamp) -> Result<Arc<dyn Backend>> {
        match self {
            Location::File(path) => {
                let options = match purpose {
                    Purpose::Server => Options { reserve_bytes: RESERVE_BYTES, ..Options::new(now) },
                    Purpose::Command => Options { readers: 1, ..Options::new(now) },
                    Purpose::Alone => Options { readers: 1, may_be_half: true, ..Options::new(now) },
                };
                Ok(SqliteStore::open(path, options)?)
            }
            Location::Server(Server { url, listen_url, connections }) => {
                let options =
                    postgres::Options { listen_url: listen_url.clone(), ..postgres::Options::new(now) };
                let options = match purpose {
                    // One connection writes.
                    Purpose::Server => {
                        postgres::Options { readers: connections.saturating_sub(1).max(1), ..options }
                    }
                    Purpose::Command => postgres::Options { readers: 1, is_server: false, ..options },
                    Purpose::Alone => {
                        postgres::Options { readers: 1, is_server: false, may_be_half: true, ..options }
                    }
                };
                Ok(PostgresStore::open(url, options)?)
            }
        }
    }

    /// Keeps servers out of a database server for as long as the result lives. A data directory has a lock.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when a server uses it, else what the storage itself says.
    pub fn keep_servers_out(&self) -> Result<KeptOut> {
        Ok(KeptOut {
            _guard: match self {
                Location::File(_) => None,
                Location::Server(server) => Some(PostgresGuard::take(&server.url)?),
            },
        })
    }

    /// Prepares to move everything from here into another place, which is emptied if it is half filled. Nothing else
    /// may use either; a data directory must be locked by the caller.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when a server uses one of them, when the other place is not empty, or when the
    /// two are of one kind; else what the storage itself says.
    pub fn transfer_to(&self, to: &Location, now: Timestamp) -> Result<Transfer> {
        match (self, to) {
            (Location::File(from), Location::Server(to)) => {
                let source = SqliteSource::open(from)?;
                refuse_untimely(&source)?;
                Ok(Transfer::new(Box::new(source), Box::new(PostgresTarget::create(&to.url, now)?)))
            }
            (Location::Server(from), Location::File(to)) => {
                let source = PostgresSource::open(&from.url)?;
                Ok(Transfer::new(Box::new(source), Box::new(SqliteTarget::create(to)?)))
            }
            _ => Err(StoreError::Refused { what: "both places are of one kind".to_owned() }),
        }
    }
}

/// In PostgreSQL, large ids say when their rows were made. Those of rows that were made in a file which came from there
/// go on from the largest and do not.
fn refuse_untimely(source: &SqliteSource) -> Result<()> {
    match source.untimely(postgres::TIMELY_FROM, postgres::NUMBER_BITS)? {
        0 => Ok(()),
        n => Err(StoreError::Refused {
            what: format!(
                "this database came from PostgreSQL and has got {n} attempts and events since, whose ids would be out \
                 of place there. Move it once they have expired (retention.logs, retention.events)"
            ),
        }),
    }
}

/// The files of storage in a data directory, for what only files allow: copy, check, restore.
pub fn files(database: &Path) -> Files<'_> {
    Files { database }
}

/// Storage as files of this machine. A server may be running on them, except for [`Files::restore`].
#[derive(Debug, Clone, Copy)]
pub struct Files<'a> {
    database: &'a Path,
}

impl Files<'_> {
    /// What shows with which encryption key a database was written. Changes nothing.
    ///
    /// # Errors
    /// What the storage itself says.
    pub fn key_evidence(&self) -> Result<KeyEvidence> {
        key_check::of_file(self.database)
    }

    /// Copies everything to a new file, mode 0600, and checks the copy.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the copy is not sound, as the database itself then is not. Nothing is left at
    /// `to` after an error.
    pub fn back_up(&self, to: &Path, about: &About) -> Result<BackupSummary> {
        backup::write(self.database, to, about)
    }

    /// Copies a backup to where no database is, and checks it. `judge` may refuse it after a look at its manifest.
    ///
    /// # Errors
    /// [`StoreError::Newer`] when a newer program made it, [`StoreError::Damaged`] when it is no sound backup, and
    /// what `judge` returns. No database is left after an error.
    pub fn restore<E: From<StoreError>>(
        &self,
        from: &Path,
        judge: impl FnOnce(&Manifest) -> std::result::Result<(), E>,
    ) -> std::result::Result<Manifest, E> {
        backup::restore(from, self.database, judge)
    }

    /// Checks the whole database: whether it is sound, and what it is made of. Changes nothing; blocks for as long
    /// as reading all of it takes.
    ///
    /// # Errors
    /// [`StoreError::Newer`] for a newer program's file; else what the storage itself says.
    pub fn inspect(&self) -> Result<Inspection> {
        inspect::inspect(self.database, BUSY)
    }
}
