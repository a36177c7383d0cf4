//! What is wrong with a request, one entry a field. Everything that checks input gives these, so
//! that a caller learns of all problems at once.

use std::fmt;

/// One field that cannot be taken, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Where, as a JSON pointer into the body: `/url`, `/events/3/event_type`.
    pub pointer: String,
    /// A sentence: what is wrong and what would be right.
    pub message: String,
}

impl FieldError {
    /// An error at `pointer`.
    pub fn new(pointer: impl Into<String>, message: impl Into<String>) -> FieldError {
        FieldError { pointer: pointer.into(), message: message.into() }
    }
}

/// All that is wrong with a body; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid(pub Vec<FieldError>);

impl Invalid {
    /// A single problem.
    pub fn one(pointer: impl Into<String>, message: impl Into<String>) -> Invalid {
        Invalid(vec![FieldError::new(pointer, message)])
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, e) in self.0.iter().enumerate() {
            let sep = if i == 0 { "" } else { "; " };
            write!(f, "{sep}{}: {}", e.pointer, e.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Invalid {}

/// A name as a segment of a JSON pointer (RFC 6901).
pub fn escape_pointer(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
