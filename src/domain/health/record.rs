//! What is remembered of an endpoint's results: enough to tell its health without reading the log.
//!
//! Storage keeps one record for each endpoint and merges it with the results of each commit. A record of
//! several results is the merge of their records, in order, so the size of a commit makes no difference.
//! Tests, interrupted attempts and local failures are in none.

use std::collections::BTreeMap;

use crate::domain::attempts::attempt::ErrorKind;
use crate::domain::{AttemptId, Timestamp};

/// How many of the newest deliveries are remembered.
pub const RECENT_MAX: usize = 10;
/// An attempt that takes longer is slow, in milliseconds.
pub const SLOW_MS: u32 = 3_000;

/// Why an attempt failed, as far as a sentence about health names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cause {
    pub kind: ErrorKind,
    /// `None`: no response arrived.
    pub response_status: Option<u16>,
}

/// Where a delivery stands after its last finished attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stand {
    Delivered,
    /// The attempt failed at this time. The delivery may have a pending attempt.
    Failed(Timestamp),
    /// It was cancelled.
    Cancelled,
}

/// A record. The default is one of an endpoint without results.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// Attempts that failed after the last success.
    pub failures: u32,
    /// When the first of these failed.
    pub failing_since: Option<Timestamp>,
    /// Why the last failed attempt failed.
    pub cause: Option<Cause>,
    /// Whether not all of `failures` have this cause.
    pub is_mixed: bool,
    pub last_success_at: Option<Timestamp>,
    pub last_failure_at: Option<Timestamp>,
    /// The first success after the last failure.
    pub succeeding_since: Option<Timestamp>,
    /// When an attempt last took longer than [`SLOW_MS`].
    pub last_slow_at: Option<Timestamp>,
    /// When a delivery was last exhausted.
    pub last_exhausted_at: Option<Timestamp>,
    /// When a delivery was last created.
    pub last_event_at: Option<Timestamp>,
    /// The newest deliveries with a finished attempt. In a record of one commit, all of that commit.
    pub recent: BTreeMap<AttemptId, Stand>,
}

impl Record {
    /// The record of a delivery that was created.
    pub fn of_event(at: Timestamp) -> Record {
        Record { last_event_at: Some(at), ..Record::default() }
    }

    /// The record of a delivery that was cancelled.
    pub fn of_cancelled(delivery: AttemptId) -> Record {
        Record { recent: BTreeMap::from([(delivery, Stand::Cancelled)]), ..Record::default() }
    }

    /// The record of a finished attempt; `cause`: it failed.
    pub fn of_attempt(
        delivery: AttemptId,
        at: Timestamp,
        cause: Option<Cause>,
        is_exhausted: bool,
        response_time_ms: Option<u32>,
    ) -> Record {
        let is_failed = cause.is_some();
        let stand = if is_failed { Stand::Failed(at) } else { Stand::Delivered };
        let failed = Some(at).filter(|_| is_failed);
        let delivered = Some(at).filter(|_| !is_failed);
        Record {
            failures: is_failed.into(),
            failing_since: failed,
            cause,
            is_mixed: false,
            last_success_at: delivered,
            last_failure_at: failed,
            succeeding_since: delivered,
            last_slow_at: response_time_ms.is_some_and(|ms| ms > SLOW_MS).then_some(at),
            last_exhausted_at: is_exhausted.then_some(at),
            last_event_at: None,
            recent: BTreeMap::from([(delivery, stand)]),
        }
    }

    /// This record with later results.
    #[must_use]
    pub fn merge(mut self, later: Record) -> Record {
        self.recent.extend(later.recent);
        let goes_on = later.last_success_at.is_none();
        let has_results = !goes_on || later.failures > 0;
        let same_row = goes_on && self.failures > 0;
        Record {
            failures: later.failures.saturating_add(if goes_on { self.failures } else { 0 }),
            failing_since: if same_row { self.failing_since } else { later.failing_since },
            is_mixed: match same_row {
                true => {
                    self.is_mixed
                        || later.is_mixed
                        || later.cause.is_some_and(|cause| self.cause.is_some_and(|old| old != cause))
                }
                false => later.is_mixed,
            },
            cause: later.cause.or(self.cause),
            last_success_at: later.last_success_at.or(self.last_success_at),
            last_failure_at: later.last_failure_at.or(self.last_failure_at),
            // A failure ends the row of successes; a later success without one goes on with it.
            succeeding_since: match (has_results, later.last_failure_at, self.failures) {
                (false, ..) => self.succeeding_since,
                (true, None, 0) => self.succeeding_since.or(later.succeeding_since),
                (true, ..) => later.succeeding_since,
            },
            last_slow_at: later.last_slow_at.or(self.last_slow_at),
            last_exhausted_at: later.last_exhausted_at.or(self.last_exhausted_at),
            last_event_at: later.last_event_at.or(self.last_event_at),
            recent: self.recent,
        }
    }

    /// This record as it is kept: only the newest deliveries, and no cancelled ones.
    #[must_use]
    pub fn kept(mut self) -> Record {
        self.recent.retain(|_, stand| *stand != Stand::Cancelled);
        while self.recent.len() > RECENT_MAX {
            self.recent.pop_first();
        }
        self
    }

    /// How many of the newest deliveries stand on a failed attempt, and when each of these failed, in order.
    pub fn failed_recently(&self) -> Vec<Timestamp> {
        let mut failed: Vec<Timestamp> = self
            .recent
            .values()
            .filter_map(|stand| match stand {
                Stand::Failed(at) => Some(*at),
                Stand::Delivered | Stand::Cancelled => None,
            })
            .collect();
        failed.sort_unstable();
        failed
    }

    /// When an attempt last finished.
    pub fn last_finished_at(&self) -> Option<Timestamp> {
        self.last_success_at.max(self.last_failure_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + secs * 1_000)
    }

    fn http(status: u16) -> Option<Cause> {
        Some(Cause { kind: ErrorKind::HttpStatus, response_status: Some(status) })
    }

    fn result(delivery: i64, secs: i64, cause: Option<Cause>) -> Record {
        Record::of_attempt(AttemptId(delivery), at(secs), cause, false, Some(10))
    }

    fn of(results: Vec<Record>) -> Record {
        results.into_iter().fold(Record::default(), |record, result| record.merge(result).kept())
    }

    #[test]
    fn failures_are_counted_since_the_last_success() {
        let failing = of(vec![result(1, 1, None), result(2, 2, http(500)), result(3, 3, http(500))]);
        assert_eq!((failing.failures, failing.failing_since, failing.is_mixed), (2, Some(at(2)), false));
        assert_eq!((failing.last_success_at, failing.last_failure_at), (Some(at(1)), Some(at(3))));
        let mixed = failing.clone().merge(result(4, 4, http(502)));
        assert_eq!((mixed.failures, mixed.cause, mixed.is_mixed), (3, http(502), true));
        let well = mixed.merge(result(2, 5, None));
        assert_eq!((well.failures, well.failing_since, well.is_mixed), (0, None, false));
        assert_eq!((well.succeeding_since, well.cause), (Some(at(5)), http(502)));
        let still = well.merge(result(6, 9, None));
        assert_eq!((still.succeeding_since, still.last_success_at), (Some(at(5)), Some(at(9))));
        let again = still.merge(result(7, 10, http(500)));
        assert_eq!((again.failures, again.is_mixed, again.succeeding_since), (1, false, None));
        assert_eq!(again.merge(Record::of_event(at(11))).succeeding_since, None);
    }

    #[test]
    fn the_newest_ten_deliveries_stand_where_their_last_attempt_left_them() {
        let mut results: Vec<Record> = (1..=12).map(|n| result(n, n, http(500))).collect();
        results.push(result(5, 20, None));
        results.push(result(1, 21, None));
        results.push(Record::of_cancelled(AttemptId(6)));
        let record = of(results);
        assert_eq!(record.recent.len(), 9, "3 to 12, without the cancelled one");
        assert_eq!(record.failed_recently(), [3, 4, 7, 8, 9, 10, 11, 12].map(at));
    }

    #[test]
    fn slow_and_exhausted_attempts_are_remembered() {
        let slow = Record::of_attempt(AttemptId(1), at(1), None, false, Some(3_001));
        let exhausted = Record::of_attempt(AttemptId(2), at(2), http(500), true, Some(3_000));
        let record = of(vec![slow, exhausted, result(3, 3, None)]);
        assert_eq!((record.last_slow_at, record.last_exhausted_at), (Some(at(1)), Some(at(2))));
    }

    fn any_result() -> impl Strategy<Value = Record> {
        (0i64..20, 0u8..6, 0i64..100).prop_map(|(delivery, what, secs)| match what {
            0 => Record::of_event(at(secs)),
            1 => Record::of_cancelled(AttemptId(delivery)),
            2 => result(delivery, secs, http(502)),
            3 => result(delivery, secs, http(500)),
            _ => result(delivery, secs, None),
        })
    }

    proptest! {
        #[test]
        fn however_results_are_grouped_the_record_is_the_same(
            groups in proptest::collection::vec(proptest::collection::vec(any_result(), 0..8), 0..8),
        ) {
            let each = of(groups.concat());
            let grouped = of(groups
                .into_iter()
                .map(|group| group.into_iter().fold(Record::default(), Record::merge))
                .collect());
            prop_assert_eq!(each.failures, grouped.failures);
            // What was cancelled leaves room only for what comes after it.
            let newest = |record: &Record| record.recent.last_key_value().map(|(id, stand)| (*id, *stand));
            prop_assert_eq!(newest(&each), newest(&grouped));
            let without = |record: Record| Record { recent: BTreeMap::new(), ..record };
            prop_assert_eq!(without(each), without(grouped));
        }
    }
}
