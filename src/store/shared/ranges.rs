//! Ranges of time and of ids.

use crate::domain::Timestamp;

/// A range of `created_at` in milliseconds, both ends inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimeRange {
    pub(crate) since: i64,
    pub(crate) until: i64,
}

impl TimeRange {
    pub(crate) const ALL: TimeRange = TimeRange { since: i64::MIN, until: i64::MAX };

    /// What a filter means: `since` is inclusive, `until` is not.
    pub(crate) fn of(since: Option<Timestamp>, until: Option<Timestamp>) -> TimeRange {
        TimeRange {
            since: since.map_or(i64::MIN, |since| since.as_millis()),
            until: until.map_or(i64::MAX, |until| until.as_millis().saturating_sub(1)),
        }
    }

    pub(crate) fn contains(self, created_at: i64) -> bool {
        (self.since..=self.until).contains(&created_at)
    }
}

/// Neighbouring ids, both ends inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdRange {
    pub(crate) from: i64,
    pub(crate) to: i64,
    /// Whether the rows must be looked at one by one; else all of them are in the range of time.
    pub(crate) mixed: bool,
}

impl IdRange {
    pub(crate) const ALL: IdRange = IdRange { from: i64::MIN, to: i64::MAX, mixed: false };

    /// The part of it with ids from `from` to `to`, if there is any.
    pub(crate) fn within(self, from: i64, to: i64) -> Option<IdRange> {
        let span = IdRange { from: self.from.max(from), to: self.to.min(to), ..self };
        (span.from <= span.to).then_some(span)
    }
}
