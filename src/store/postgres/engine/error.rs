//! How PostgreSQL's errors become the storage's own.

use deadpool_postgres::PoolError;
use tokio_postgres::error::SqlState;

use crate::store::StoreError;
pub(crate) use crate::store::shared::fault::Fault;

/// What went wrong in a read or in a command.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DbError {
    /// The server said so, or the connection to it.
    #[error(transparent)]
    Postgres(#[from] tokio_postgres::Error),
    /// No connection could be had.
    #[error("no connection to the database: {0}")]
    NoConnection(String),
    /// Another node was faster; the same again finds what it has written.
    #[error("another node has {0} meanwhile")]
    Collided(&'static str),
    /// A reference that leads nowhere, a stored value that does not read.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<PoolError> for DbError {
    fn from(error: PoolError) -> DbError {
        match error {
            PoolError::Backend(error) => DbError::Postgres(error),
            other => DbError::NoConnection(other.to_string()),
        }
    }
}

/// The result of a read or of a command.
pub(crate) type DbResult<T> = std::result::Result<T, DbError>;

/// A fault with this sentence.
pub(crate) fn fault(what: impl Into<String>) -> DbError {
    DbError::Fault(Fault(what.into()))
}

/// What kind of trouble an error means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorClass {
    /// No space on the server's disk.
    Full,
    /// The same again may succeed: a deadlock, a lock that was waited for too long.
    Again,
    /// The server or the connection to it is gone.
    Away,
    Other,
}

/// What kind of trouble an error means.
pub(crate) fn classify(error: &DbError) -> ErrorClass {
    let error = match error {
        DbError::Postgres(error) => error,
        DbError::NoConnection(_) => return ErrorClass::Away,
        DbError::Collided(_) => return ErrorClass::Again,
        DbError::Fault(_) => return ErrorClass::Other,
    };
    match error.code() {
        Some(code) => of_code(code),
        // What is no answer of the server is trouble with the connection, unless a value did not fit its column.
        None if error.is_closed() || has_io_cause(error) => ErrorClass::Away,
        None => ErrorClass::Other,
    }
}

fn of_code(code: &SqlState) -> ErrorClass {
    match code.code() {
        "53100" => ErrorClass::Full,
        // The last ones: another node has just written the same key, or dropped a partition.
        "40001" | "40P01" | "55P03" | "57014" | "23505" | "23514" => ErrorClass::Again,
        // Too many connections, a server that starts or stops or has become a replica.
        "53300" | "57P01" | "57P02" | "57P03" | "25006" => ErrorClass::Away,
        code if code.starts_with("08") => ErrorClass::Away,
        _ => ErrorClass::Other,
    }
}

fn has_io_cause(error: &tokio_postgres::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
    while let Some(error) = cause {
        if error.is::<std::io::Error>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The storage error for an error.
pub(crate) fn of(doing: &'static str, error: DbError) -> StoreError {
    match classify(&error) {
        ErrorClass::Full => StoreError::Full,
        ErrorClass::Again | ErrorClass::Away => StoreError::Overloaded,
        ErrorClass::Other => StoreError::Failed { doing, source: Box::new(error) },
    }
}
