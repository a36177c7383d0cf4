//! The class of a row of the log: all that filters ask for and that is no time, in one number.
//!
//! SQLite computes it (migration 0005); here it is read. A log has as many classes as there are kinds
//! of outcomes, some hundreds, and not as many as it has rows: so a filter is a choice of classes, and
//! whatever is asked for is read from a few places of an index. Written down twice, in SQL and here;
//! a test compares the two for every value there is.

use crate::domain::attempts::attempt::{AttemptStatus, ErrorKind, Trigger};
use crate::store::sqlite::engine::rows::TypeRow;
use crate::store::sqlite::queue::attempts::last_error;

const RESPONSE_BITS: i64 = 0x3ff;
const UNTIMED: i64 = 1 << 10;
const DELAY_AT: u32 = 11;
const ERROR_AT: u32 = 14;
const TRIGGER_AT: u32 = 18;
const STATUS_AT: u32 = 21;
const TYPE_AT: u32 = 24;

/// All statuses in the order of their names, which is their order in a sorted list.
pub(crate) const STATUSES: [AttemptStatus; 5] = [
    AttemptStatus::Cancelled,
    AttemptStatus::Delivered,
    AttemptStatus::Exhausted,
    AttemptStatus::Failed,
    AttemptStatus::Pending,
];

/// How long after it was made a row was sent, in milliseconds: at least the first, less than the second.
const DELAYS: [(i64, i64); 3] = [(0, 60_000), (60_000, 3_600_000), (3_600_000, 86_400_000)];

/// A class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Class(pub(crate) i64);

impl Class {
    /// The classes of an event type: from the first number to before the second.
    pub(crate) fn of_type(kind: TypeRow) -> (Class, Class) {
        (Class(kind.0 << TYPE_AT), Class((kind.0 + 1) << TYPE_AT))
    }

    /// The row of the event type.
    pub(crate) fn kind(self) -> TypeRow {
        TypeRow(self.0 >> TYPE_AT)
    }

    fn part(self, at: u32, bits: i64) -> usize {
        // At most four bits are left, so this always fits.
        ((self.0 >> at) & bits) as usize
    }

    /// The status as its place in [`STATUSES`].
    pub(crate) fn status_rank(self) -> usize {
        self.part(STATUS_AT, 7)
    }

    /// What it is sorted by: twice its place, which leaves room for words between the names.
    pub(crate) fn status_order(self) -> i64 {
        2 * self.status_rank() as i64
    }

    pub(crate) fn status(self) -> Option<AttemptStatus> {
        STATUSES.get(self.status_rank()).copied()
    }

    pub(crate) fn trigger(self) -> Option<Trigger> {
        Trigger::ALL.get(self.part(TRIGGER_AT, 7)).copied()
    }

    fn is_pending(self) -> bool {
        self.status() == Some(AttemptStatus::Pending)
    }

    /// Whether the rows are the newest attempts of their deliveries.
    pub(crate) fn is_newest(self) -> bool {
        self.status() != Some(AttemptStatus::Failed)
    }

    /// Whether rows are in the order of their deliveries by their own ids: they are first attempts, by their trigger.
    pub(crate) fn is_first(self) -> bool {
        matches!(self.trigger(), Some(Trigger::Event | Trigger::Replay))
    }

    /// The kind of error that the rows have themselves. A pending one has none but a local failure.
    pub(crate) fn error_kind(self) -> Option<ErrorKind> {
        let kind = self.part(ERROR_AT, 15).checked_sub(1).and_then(|at| ErrorKind::ALL.get(at).copied());
        kind.filter(|kind| !self.is_pending() || *kind == ErrorKind::Local)
    }

    pub(crate) fn response_status(self) -> Option<i64> {
        self.last_response_status().filter(|_| !self.is_pending())
    }

    /// The same of the attempt before, if the rows are pending.
    pub(crate) fn last_error_kind(self) -> Option<ErrorKind> {
        if self.is_pending() { last_error(self.part(ERROR_AT, 15) as i64) } else { self.error_kind() }
    }

    pub(crate) fn last_response_status(self) -> Option<i64> {
        Some(self.0 & RESPONSE_BITS).filter(|status| *status != 0)
    }

    /// Whether the rows have a response time.
    pub(crate) fn is_timed(self) -> bool {
        self.0 & UNTIMED == 0
    }

    /// Whether the rows have been sent.
    pub(crate) fn is_attempted(self) -> bool {
        self.part(DELAY_AT, 7) != 0
    }

    /// What `attempted_at` can be in rows made from `since` to `until`, both inclusive.
    pub(crate) fn attempted_within(self, since: i64, until: i64) -> (i64, i64) {
        match self.part(DELAY_AT, 7).checked_sub(1).and_then(|at| DELAYS.get(at)) {
            Some((least, most)) => (since.saturating_add(*least), until.saturating_add(most - 1)),
            None => (i64::MIN, i64::MAX),
        }
    }
}
