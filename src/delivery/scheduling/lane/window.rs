//! A bounded, ordered view of the due attempts of one endpoint and line. The rest stays in the table.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use crate::domain::AttemptId;

/// The size of one window: the largest with few endpoints, the smallest with many.
pub(super) const SIZES: RangeInclusive<usize> = 32..=512;
/// About how many ids all windows hold together, as long as each may be larger than the smallest.
const TOTAL: usize = 128 << 10;

/// The size of a window when there are so many lanes. A refill starts when less than a quarter is left.
pub(crate) fn window_size(lanes: usize) -> usize {
    (TOTAL / lanes.max(1)).clamp(*SIZES.start(), *SIZES.end())
}

/// Due attempts, earliest first.
#[derive(Debug, Default)]
pub(super) struct LaneWindow {
    pub(super) ids: VecDeque<AttemptId>,
    beyond: Beyond,
}

/// What is due and not in a window.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Beyond {
    /// Nothing, as far as is known. A hint may be appended only then: otherwise the table has earlier attempts.
    Nothing,
    /// The table may have something.
    #[default]
    Unknown,
    /// The table has more than the window could take.
    Backlog,
}

impl LaneWindow {
    /// Appends an attempt. False if it has to stay in the table.
    pub(super) fn push_hint(&mut self, id: AttemptId, size: usize) -> bool {
        if self.ids.len() >= size {
            self.beyond = Beyond::Backlog;
        }
        let is_taken = self.beyond == Beyond::Nothing;
        if is_taken {
            self.ids.push_back(id);
        }
        is_taken
    }

    /// Appends what a refill found. `more`: the table has more. `is_current`: nothing has happened since it was read.
    pub(super) fn refill(&mut self, ids: Vec<AttemptId>, more: bool, is_current: bool) {
        self.ids.extend(ids);
        self.beyond = match (more, is_current) {
            (true, _) => Beyond::Backlog,
            (false, false) => Beyond::Unknown,
            (false, true) => Beyond::Nothing,
        };
    }

    /// Stops refills until the next hint or [`LaneWindow::mark_stale`].
    pub(super) fn assume_complete(&mut self) {
        self.beyond = Beyond::Nothing;
    }

    /// The table may have more than this window.
    pub(super) fn mark_stale(&mut self) {
        if self.beyond == Beyond::Nothing {
            self.beyond = Beyond::Unknown;
        }
    }

    /// Whether nothing is due, here or in the table, as far as is known.
    pub(super) fn is_done(&self) -> bool {
        self.beyond != Beyond::Backlog && self.ids.is_empty()
    }

    pub(super) fn is_low(&self, size: usize) -> bool {
        self.beyond != Beyond::Nothing && self.ids.len() < size / 4
    }
}
