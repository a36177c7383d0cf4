//! What one run of a template may spend, reports, and hides.

use super::budget::Budget;
use super::notes::Notes;

/// What stands in for a secret wherever a request is shown.
pub const MASK: &str = "********";

/// A part of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'p> {
    /// Text of the template.
    Literal(&'p str),
    /// What an expression printed.
    Value(&'p str),
    /// What an expression with a secret printed, or the mask.
    Secret(&'p str),
}

/// One run: what it may spend, what it reports, and whether secrets are masked.
pub struct Run<'r> {
    pub(super) budget: &'r mut Budget,
    pub(super) notes: Option<&'r mut Notes>,
    pub(super) masked: bool,
}

impl<'r> Run<'r> {
    pub fn new(budget: &'r mut Budget) -> Run<'r> {
        Run { budget, notes: None, masked: false }
    }

    pub fn with_notes(mut self, notes: &'r mut Notes) -> Run<'r> {
        self.notes = Some(notes);
        self
    }

    /// Every expression that holds a secret prints [`MASK`].
    pub fn masked(mut self) -> Run<'r> {
        self.masked = true;
        self
    }

    pub fn is_masked(&self) -> bool {
        self.masked
    }

    pub fn budget(&mut self) -> &mut Budget {
        self.budget
    }
}
