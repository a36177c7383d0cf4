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

/// The most errors of one response; who makes more mistakes than that has made one, many times.
pub const COMPLAINTS_MAX: usize = 50;

/// The errors of one request while they are collected: no more are kept than are said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Complaints(Vec<FieldError>);

impl Complaints {
    /// Adds one, if there is room.
    pub fn push(&mut self, error: FieldError) {
        if !self.is_full() {
            self.0.push(error);
        }
    }

    /// Adds those of another collection, as far as there is room.
    pub fn append(&mut self, other: &mut Complaints) {
        self.extend(std::mem::take(&mut other.0));
    }

    /// Whether there is no point in looking for more.
    pub fn is_full(&self) -> bool {
        self.0.len() >= COMPLAINTS_MAX
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// All of them.
    pub fn into_vec(self) -> Vec<FieldError> {
        self.0
    }
}

impl Extend<FieldError> for Complaints {
    fn extend<I: IntoIterator<Item = FieldError>>(&mut self, errors: I) {
        let room = COMPLAINTS_MAX - self.0.len();
        self.0.extend(errors.into_iter().take(room));
    }
}

/// A text of a client as an error may repeat it: its beginning.
pub fn quoted(text: &str) -> String {
    const QUOTED_MAX: usize = 100;
    match text.char_indices().nth(QUOTED_MAX) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
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
