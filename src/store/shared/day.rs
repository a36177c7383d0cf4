//! A day of counts as minutes at both ends and whole hours between: at most 120 and 24 rows, wherever it begins.

use crate::domain::Timestamp;
use crate::domain::health::LastDay;
use crate::store::Point;
use crate::store::shared::counts::{MINUTE_MS, slot_of};

pub(crate) const DAY_MS: i64 = 86_400_000;

/// The parts of a stretch: the minute it begins in, the first whole hour in minutes and in hours, the last one in
/// hours and in minutes, and the minute it ends in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) since: i64,
    pub(crate) hours_since: i64,
    pub(crate) first_hour: i64,
    pub(crate) last_hour: i64,
    pub(crate) hours_until: i64,
    pub(crate) until: i64,
}

impl Stretch {
    /// From `since` to before `until`, both brought up to the next whole minute.
    pub(crate) fn of(since: Timestamp, until: Timestamp) -> Stretch {
        let up = |time: Timestamp| slot_of(time.plus_ms(MINUTE_MS - 1), MINUTE_MS);
        let (since, until) = (up(since), up(until));
        let (first_hour, last_hour) = ((since + 59).div_euclid(60), until.div_euclid(60));
        Stretch {
            since,
            hours_since: first_hour * 60,
            first_hour,
            last_hour,
            hours_until: last_hour * 60,
            until,
        }
    }

    /// The last 24 hours, with the present millisecond.
    pub(crate) fn last_day(now: Timestamp) -> Stretch {
        Stretch::of(now.plus_ms(-DAY_MS), now.plus_ms(1))
    }

    /// When it begins, in ms since 1970.
    pub(crate) fn start_ms(self) -> i64 {
        self.since * MINUTE_MS
    }
}

/// The first minute in which a degraded endpoint may have become so.
pub(crate) fn degraded_from(now: Timestamp) -> i64 {
    now.plus_ms(-DAY_MS).as_millis() / MINUTE_MS
}

/// The last day by its counts, and by the minute in which the endpoint became degraded, if that was looked up.
pub(crate) fn last_day(day: &Point, degraded_minute: Option<i64>, now: Timestamp) -> LastDay {
    let since = now.plus_ms(-DAY_MS);
    LastDay {
        delivered: day.delivered,
        exhausted: day.exhausted,
        response_count: day.response_count,
        response_ms_sum: day.response_ms_sum,
        degraded_since: degraded_minute.map(|minute| Timestamp::from_millis(minute * MINUTE_MS).max(since)),
    }
}
