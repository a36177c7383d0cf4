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
    /// Something must be changed first.
    #[error("{0}")]
    Refused(&'static str),
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
        DbError::Refused(_) | DbError::Fault(_) => return ErrorClass::Other,
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
        // The second: the server's disk fails a write, which a full one may do in its own way.
        "53100" | "58030" => ErrorClass::Full,
        // The last ones: another node has just written the same key, or dropped a partition.
        "40001" | "40P01" | "55P03" | "57014" | "23505" | "23514" => ErrorClass::Again,
        // Too many connections or too little memory, a server that starts or stops or has become a replica, a session
        // that it ended because it was idle, a transaction whose end is not known.
        "53200" | "53300" | "57P01" | "57P02" | "57P03" | "57P05" | "25006" | "25P03" | "40003" => {
            ErrorClass::Away
        }
        code if code.starts_with("08") => ErrorClass::Away,
        _ => ErrorClass::Other,
    }
}

/// Without a connection nothing can be done now, whatever the reason. What has to be changed first, the start tells.
pub(crate) fn not_connected(error: &DbError) -> DbError {
    DbError::NoConnection(cause_of(error))
}

/// An error with its causes, in one line.
pub(crate) fn cause_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
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
    if let DbError::Refused(what) = error {
        return StoreError::Refused { what: what.to_owned() };
    }
    match classify(&error) {
        ErrorClass::Full => StoreError::Full,
        ErrorClass::Again | ErrorClass::Away => StoreError::Overloaded,
        ErrorClass::Other => StoreError::Failed { doing, source: Box::new(error) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The storage error for a code of the server.
    fn told(code: &str) -> ErrorClass {
        of_code(&SqlState::from_code(code))
    }

    #[test]
    fn no_trouble_of_the_server_is_an_internal_error() {
        for code in ["40P01", "40001", "55P03", "57014"] {
            assert_eq!(told(code), ErrorClass::Again, "{code}");
        }
        for code in ["57P01", "57P02", "57P03", "57P05", "53300", "08000", "08003", "08006", "08P01", "25006"]
        {
            assert_eq!(told(code), ErrorClass::Away, "{code}");
        }
        for code in ["53100", "58030"] {
            assert_eq!(told(code), ErrorClass::Full, "{code}");
        }
        assert_eq!(told("42601"), ErrorClass::Other, "what the program does wrong is one");
    }

    #[test]
    fn without_a_connection_the_reason_does_not_matter() {
        let wrong = fault("password authentication failed");
        assert_eq!(classify(&wrong), ErrorClass::Other);
        assert_eq!(classify(&not_connected(&wrong)), ErrorClass::Away);
        assert!(matches!(of("reading", not_connected(&wrong)), StoreError::Overloaded));
    }
}
