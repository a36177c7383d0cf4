//! What one render or filter may spend. Everything is charged before it is done, so that no template can make the
//! program slow or large, whatever the payload.

use std::fmt;

/// Parts of a step. What takes less than one adds up, or a million small searches would be free.
const STEP: usize = 1024;
/// For a byte that is looked through, also by a regular expression of the smallest size: 1 KiB is a step.
const SCANNED_BYTE: usize = 1;
/// For an element of a list that is looked at: 8 are a step.
const ITEM: usize = STEP / 8;
/// For a value of a list or an object that is printed: 16 are a step. Cheaper, because their bytes are charged too: the
/// largest event has to be printable.
const PRINTED_VALUE: usize = STEP / 16;
/// For a digit of a number that is read: 64 are a step.
const DIGIT: usize = STEP / 64;
/// What a reference to a value in a list is charged as.
const REFERENCE_BYTES: usize = 16;

/// The limits of a kind of run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limits {
    steps: u32,
    bytes: u32,
    output: u32,
}

const RENDER: Limits = Limits { steps: 20_000, bytes: 1024 * 1024, output: 256 * 1024 };
const FILTER: Limits = Limits { steps: 2_000, bytes: 64 * 1024, output: 64 * 1024 };

/// What is left to spend.
#[derive(Debug, Clone)]
pub struct Budget {
    limits: Limits,
    steps: u32,
    /// Parts of a step that are spent and not charged.
    parts: usize,
    bytes: u32,
    output: u32,
}

/// What was spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    pub steps: u32,
    pub bytes: u32,
}

/// A run that needs more than it may have. Nothing else makes a template fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overrun {
    Steps(u32),
    Bytes(u32),
    Output(u32),
}

impl fmt::Display for Overrun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Overrun::Steps(limit) => write!(f, "needs more than {limit} steps"),
            Overrun::Bytes(limit) => write!(f, "makes more than {} KiB of text", limit / 1024),
            Overrun::Output(limit) => write!(f, "makes more than {} KiB of output", limit / 1024),
        }
    }
}

impl std::error::Error for Overrun {}

fn charge(left: &mut u32, amount: usize) -> bool {
    match u32::try_from(amount).ok().and_then(|amount| left.checked_sub(amount)) {
        Some(rest) => {
            *left = rest;
            true
        }
        None => {
            *left = 0;
            false
        }
    }
}

impl Budget {
    fn of(limits: Limits) -> Budget {
        Budget { limits, steps: limits.steps, parts: 0, bytes: limits.bytes, output: limits.output }
    }

    /// Of the templates of one request, summary, or mapping.
    pub fn render() -> Budget {
        Budget::of(RENDER)
    }

    /// Of a filter.
    pub fn filter() -> Budget {
        Budget::of(FILTER)
    }

    pub fn cost(&self) -> Cost {
        Cost { steps: self.limits.steps - self.steps, bytes: self.limits.bytes - self.bytes }
    }

    pub(super) fn steps(&mut self, steps: usize) -> Result<(), Overrun> {
        if charge(&mut self.steps, steps) { Ok(()) } else { Err(Overrun::Steps(self.limits.steps)) }
    }

    /// Charges for so many things, each of which takes so many parts of a step.
    fn parts(&mut self, things: usize, each: usize) -> Result<(), Overrun> {
        let parts = self.parts.saturating_add(things.saturating_mul(each));
        self.parts = parts % STEP;
        self.steps(parts / STEP)
    }

    /// Charges for looking through a text.
    pub(super) fn scan(&mut self, bytes: usize) -> Result<(), Overrun> {
        self.parts(bytes, SCANNED_BYTE)
    }

    /// Charges for searching a text with a regular expression of a certain cost.
    pub(super) fn pattern(&mut self, bytes: usize, cost: usize) -> Result<(), Overrun> {
        self.parts(bytes.saturating_mul(cost), SCANNED_BYTE)
    }

    /// Charges for looking at the elements of a list.
    pub(super) fn items(&mut self, count: usize) -> Result<(), Overrun> {
        self.parts(count, ITEM)
    }

    /// Charges for reading a number. Those of thousands of digits take time.
    pub(super) fn digits(&mut self, count: usize) -> Result<(), Overrun> {
        self.parts(count, DIGIT)
    }

    /// Charges for finding how long a value is when it is printed.
    pub(super) fn measured(&mut self, values: usize, bytes: usize) -> Result<(), Overrun> {
        self.parts(values, PRINTED_VALUE)?;
        self.scan(bytes)
    }

    /// Charges for a list of references.
    pub(super) fn references(&mut self, count: usize) -> Result<(), Overrun> {
        self.items(count)?;
        self.make(count.saturating_mul(REFERENCE_BYTES))
    }

    /// Charges for text that will be made.
    pub fn make(&mut self, bytes: usize) -> Result<(), Overrun> {
        if charge(&mut self.bytes, bytes) { Ok(()) } else { Err(Overrun::Bytes(self.limits.bytes)) }
    }

    /// Charges for output: it is text made, and has a bound of its own.
    pub fn output(&mut self, bytes: usize) -> Result<(), Overrun> {
        if !charge(&mut self.output, bytes) {
            return Err(Overrun::Output(self.limits.output));
        }
        self.make(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spending_ends_at_the_limit_and_is_counted() {
        let mut budget = Budget::filter();
        assert_eq!(budget.steps(2_000), Ok(()));
        assert_eq!(budget.cost(), Cost { steps: 2_000, bytes: 0 });
        assert_eq!(budget.steps(1), Err(Overrun::Steps(2_000)));
        assert_eq!(budget.make(64 * 1024 + 1), Err(Overrun::Bytes(64 * 1024)));
    }

    #[test]
    fn what_takes_less_than_a_step_adds_up() {
        let mut budget = Budget::filter();
        for _ in 0..1_000 {
            budget.scan(512).unwrap();
            budget.items(1).unwrap();
            budget.digits(1).unwrap();
        }
        assert_eq!(budget.cost(), Cost { steps: 500 + 125 + 15, bytes: 0 });
    }

    #[test]
    fn output_counts_as_text_made() {
        let mut budget = Budget::render();
        assert_eq!(budget.output(256 * 1024), Ok(()));
        assert_eq!(budget.cost().bytes, 256 * 1024);
        assert_eq!(budget.output(1).unwrap_err().to_string(), "makes more than 256 KiB of output");
        assert_eq!(budget.make(usize::MAX), Err(Overrun::Bytes(1024 * 1024)));
    }
}
