//! Faults that are not the database's: a reference that leads nowhere, a stored value that does not read.

/// A sentence that says what is wrong.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Fault(pub(crate) String);
