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
    /// Whether the window holds everything that is due, as far as is known. A hint may be appended only then:
    /// otherwise the table has earlier attempts.
    complete: bool,
}

impl LaneWindow {
    /// Appends an attempt. False if it has to stay in the table.
    pub(super) fn push_hint(&mut self, id: AttemptId, size: usize) -> bool {
        if !self.complete || self.ids.len() >= size {
            self.complete = false;
            return false;
        }
        self.ids.push_back(id);
        true
    }

    /// Appends what a refill found.
    pub(super) fn refill(&mut self, ids: Vec<AttemptId>, complete: bool) {
        self.ids.extend(ids);
        self.complete = complete;
    }

    /// Stops refills until the next hint or [`LaneWindow::mark_stale`].
    pub(super) fn assume_complete(&mut self) {
        self.complete = true;
    }

    /// The table may have more than this window.
    pub(super) fn mark_stale(&mut self) {
        self.complete = false;
    }

    /// Whether nothing is due, here or in the table.
    pub(super) fn is_done(&self) -> bool {
        self.complete && self.ids.is_empty()
    }

    pub(super) fn is_low(&self, size: usize) -> bool {
        !self.complete && self.ids.len() < size / 4
    }
}
