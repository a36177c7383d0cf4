//! The class of a row of the log: all that filters ask for and that is no time, in one number.
//!
//! SQLite computes it (migration 0005), [`Class::of`] does for PostgreSQL; here it is read. A log has as many classes
//! as there are kinds of outcomes, some hundreds, and not as many as it has rows: so a filter is a choice of classes,
//! and whatever is asked for is read from a few places of an index. Written down twice, in SQL and here; a test
//! compares the two for every value there is.

use crate::domain::Timestamp;
use crate::domain::attempts::attempt::{AttemptStatus, ErrorKind, Trigger};
use crate::store::shared::row_numbers::TypeRow;

const RESPONSE_BITS: i64 = 0x3ff;
const UNTIMED: i64 = 1 << 10;
const DELAY_AT: u32 = 11;
const ERROR_AT: u32 = 14;
const TRIGGER_AT: u32 = 18;
const STATUS_AT: u32 = 21;
const TYPE_AT: u32 = 24;

/// The kinds of errors and the response statuses in a class.
const OUTCOME: i64 = 15 << ERROR_AT | RESPONSE_BITS;
/// A local failure of the attempt before: the class of a pending row has [`ErrorKind::Local`] for its own.
const LAST_LOCAL: i64 = 15;
/// The number of [`ErrorKind::Local`] in a class.
const LOCAL: i64 = 9;

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

/// The kind of error that a number in `last_outcome` or in the class of a pending row stands for.
fn last_error(number: i64) -> Option<ErrorKind> {
    match number {
        LAST_LOCAL => Some(ErrorKind::Local),
        n => usize::try_from(n - 1).ok().and_then(|at| ErrorKind::ALL.get(at)).copied(),
    }
}

/// The number in `last_outcome` that stands for a kind of error.
pub(crate) fn last_error_number(kind: ErrorKind) -> i64 {
    let at = ErrorKind::ALL.iter().position(|other| *other == kind);
    match at {
        Some(at) if kind != ErrorKind::Local => at as i64 + 1,
        _ => LAST_LOCAL,
    }
}

/// The kind of error in `last_outcome`.
pub(crate) fn last_error_of(last_outcome: i64) -> Option<ErrorKind> {
    last_error(last_outcome >> ERROR_AT & 15)
}

/// The response status in `last_outcome`.
pub(crate) fn last_status_of(last_outcome: i64) -> Option<u16> {
    u16::try_from(last_outcome & RESPONSE_BITS).ok().filter(|status| *status != 0)
}

/// A class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Class(pub(crate) i64);

/// What a class is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClassParts {
    pub(crate) kind: TypeRow,
    pub(crate) status: AttemptStatus,
    pub(crate) trigger: Trigger,
    pub(crate) error_kind: Option<ErrorKind>,
    pub(crate) created_at: Timestamp,
    pub(crate) attempted_at: Option<Timestamp>,
    pub(crate) response_time_ms: Option<u32>,
    pub(crate) response_status: Option<u16>,
    /// Of a pending row: how the attempt before ended.
    pub(crate) last_outcome: Option<i64>,
}

impl Class {
    /// The class of a row, where the database does not compute it.
    pub(crate) fn of(parts: ClassParts) -> Class {
        let ClassParts { kind, status, trigger, error_kind, response_time_ms, response_status, .. } = parts;
        let place = |at: Option<usize>| at.map_or(0, |at| at as i64);
        let status_rank = place(STATUSES.iter().position(|other| *other == status));
        let trigger = place(Trigger::ALL.iter().position(|other| *other == trigger));
        let error = error_kind.and_then(|kind| ErrorKind::ALL.iter().position(|other| *other == kind));
        let delay = parts.attempted_at.map_or(0, |at| {
            let after = at.as_millis() - parts.created_at.as_millis();
            let known = DELAYS.iter().position(|(least, most)| (*least..*most).contains(&after));
            known.unwrap_or(DELAYS.len()) as i64 + 1
        });
        let is_waiting = status == AttemptStatus::Pending && error_kind.is_none();
        Class(
            kind.0 << TYPE_AT
                | status_rank << STATUS_AT
                | trigger << TRIGGER_AT
                | error.map_or(0, |at| at as i64 + 1) << ERROR_AT
                | delay << DELAY_AT
                | if response_time_ms.is_none() { UNTIMED } else { 0 }
                | i64::from(response_status.unwrap_or_default()) & RESPONSE_BITS
                | parts.last_outcome.filter(|_| is_waiting).unwrap_or_default(),
        )
    }

    /// How rows of this class ended, as `last_outcome` of the attempts that follow has it.
    pub(crate) fn as_last_outcome(self) -> i64 {
        let outcome = self.0 & OUTCOME;
        if outcome & (15 << ERROR_AT) == LOCAL << ERROR_AT {
            outcome | LAST_LOCAL << ERROR_AT
        } else {
            outcome
        }
    }

    /// The lowest bit of the type.
    pub(crate) const TYPE_BIT: i64 = 1 << TYPE_AT;
    /// The bits of the status.
    pub(crate) const STATUS_BITS: i64 = 7 << STATUS_AT;

    /// What the bits of the status are for this one.
    pub(crate) fn status_bits(status: AttemptStatus) -> i64 {
        let rank = STATUSES.iter().position(|other| *other == status);
        rank.map_or(0, |rank| rank as i64) << STATUS_AT
    }

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

    /// Whether the rows have been sent and count in statistics.
    pub(crate) fn counts_as_sent(self) -> bool {
        self.is_attempted() && self.trigger() != Some(Trigger::Test)
    }

    /// Whether the rows ended in this way.
    pub(crate) fn has_error(self, kind: ErrorKind, response_status: Option<u16>) -> bool {
        self.error_kind() == Some(kind) && self.response_status() == response_status.map(i64::from)
    }

    /// What `attempted_at` can be in rows made from `since` to `until`, both inclusive.
    pub(crate) fn attempted_within(self, since: i64, until: i64) -> (i64, i64) {
        match self.part(DELAY_AT, 7).checked_sub(1).and_then(|at| DELAYS.get(at)) {
            Some((least, most)) => (since.saturating_add(*least), until.saturating_add(most - 1)),
            None => (i64::MIN, i64::MAX),
        }
    }
}
