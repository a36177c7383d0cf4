//! How SQLite's errors become the storage's own.
//!
//! Nothing above storage may have to know SQLite's codes, so the two that call for an answer of their
//! own are told apart here, and all others become [`StoreError::Failed`] with their cause kept.

use rusqlite::ErrorCode;

use crate::store::StoreError;
pub(crate) use crate::store::shared::fault::Fault;

/// "The shared memory file could not be extended": what a full disk says at the first use of the WAL.
const IOERR_SHMSIZE: i32 = 10 | (19 << 8);

/// What fsync says when it fails, of a file and of a directory.
const IOERR_FSYNC: i32 = 10 | (4 << 8);
const IOERR_DIR_FSYNC: i32 = 10 | (5 << 8);

/// The storage error for an error of SQLite.
pub(crate) fn of(doing: &'static str, error: rusqlite::Error) -> StoreError {
    match classify(&error) {
        ErrorClass::Full => StoreError::Full,
        ErrorClass::Busy => StoreError::Overloaded,
        ErrorClass::Broken | ErrorClass::Other => StoreError::Failed { doing, source: Box::new(error) },
    }
}

/// What kind of trouble an error means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorClass {
    /// No space on the disk.
    Full,
    /// Another process held the lock for longer than we wait.
    Busy,
    /// The disk did not take what was written. Nobody knows what it holds now, and a second try that succeeds
    /// would not mean that it holds everything.
    Broken,
    Other,
}

pub(crate) fn classify(error: &rusqlite::Error) -> ErrorClass {
    match error.sqlite_error() {
        Some(e) if e.code == ErrorCode::DiskFull || e.extended_code == IOERR_SHMSIZE => ErrorClass::Full,
        Some(e) if e.code == ErrorCode::DatabaseBusy => ErrorClass::Busy,
        Some(e) if matches!(e.extended_code, IOERR_FSYNC | IOERR_DIR_FSYNC) => ErrorClass::Broken,
        _ => ErrorClass::Other,
    }
}

/// Wraps a [`Fault`], so that it travels the way SQLite's errors do.
pub(crate) fn fault(what: impl Into<String>) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(Box::new(Fault(what.into())))
}

impl From<Fault> for rusqlite::Error {
    fn from(fault: Fault) -> rusqlite::Error {
        rusqlite::Error::ToSqlConversionFailure(Box::new(fault))
    }
}
