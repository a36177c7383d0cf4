//! How a [`Record`] stands in `totals.record`: fields separated by spaces, `-` for none, then a word for each of
//! the newest deliveries: its number, and what its last attempt left (`!` and a time: failed; `~`: cancelled).
//! SQLite's migration 0017 writes the same. Empty: no results. Several lines: records of which each is later than the
//! one before.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::str::FromStr;

use crate::domain::health::{Cause, Record, Stand};
use crate::domain::{AttemptId, AttemptStatus, ErrorKind, Outcome, Timestamp};
use crate::store::shared::fault::Fault;

/// The number of fields before the deliveries.
const FIELDS: usize = 11;

/// The text of a record.
pub(crate) fn write(record: &Record) -> String {
    if *record == Record::default() {
        return String::new();
    }
    let mut text = record.failures.to_string();
    // Writing to a string does not fail.
    let mut field = |value: Option<&dyn std::fmt::Display>| {
        let _ = match value {
            Some(value) => write!(text, " {value}"),
            None => write!(text, " -"),
        };
    };
    let time = |at: Option<Timestamp>| at.map(Timestamp::as_millis);
    let times = [
        record.last_success_at,
        record.last_failure_at,
        record.succeeding_since,
        record.last_slow_at,
        record.last_exhausted_at,
        record.last_event_at,
    ];
    field(time(record.failing_since).as_ref().map(|ms| ms as &dyn std::fmt::Display));
    field(record.cause.as_ref().map(|cause| &cause.kind as &dyn std::fmt::Display));
    let status = record.cause.and_then(|cause| cause.response_status);
    field(status.as_ref().map(|status| status as &dyn std::fmt::Display));
    field(Some(&u8::from(record.is_mixed)));
    for at in times {
        field(time(at).as_ref().map(|ms| ms as &dyn std::fmt::Display));
    }
    for (delivery, stand) in &record.recent {
        let _ = match stand {
            Stand::Delivered => write!(text, " {delivery}"),
            Stand::Failed(at) => write!(text, " {delivery}!{}", at.as_millis()),
            Stand::Cancelled => write!(text, " {delivery}~"),
        };
    }
    text
}

/// Reads a record, strictly.
pub(crate) fn read(text: &str) -> Result<Record, Fault> {
    parse(text).ok_or_else(|| Fault(format!("{text:?} in the database is no record of results")))
}

fn parse(text: &str) -> Option<Record> {
    let mut records = text.lines().filter(|line| !line.is_empty()).map(parse_line);
    let Some(first) = records.next() else { return Some(Record::default()) };
    records.try_fold(first?, |record, later| Some(record.merge(later?)))
}

fn parse_line(text: &str) -> Option<Record> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    if words.is_empty() {
        return Some(Record::default());
    }
    let (fields, recent) = words.split_at_checked(FIELDS)?;
    let time = |at: usize| Some(optional::<i64>(fields[at])?.map(Timestamp::from_millis));
    let kind = match fields[2] {
        "-" => None,
        word => Some(ErrorKind::parse(word)?),
    };
    let response_status = optional(fields[3])?;
    Some(Record {
        failures: fields[0].parse().ok()?,
        failing_since: time(1)?,
        cause: kind.map(|kind| Cause { kind, response_status }),
        is_mixed: fields[4] == "1",
        last_success_at: time(5)?,
        last_failure_at: time(6)?,
        succeeding_since: time(7)?,
        last_slow_at: time(8)?,
        last_exhausted_at: time(9)?,
        last_event_at: time(10)?,
        recent: recent.iter().map(|word| delivery(word)).collect::<Option<BTreeMap<_, _>>>()?,
    })
}

fn optional<T: FromStr>(word: &str) -> Option<Option<T>> {
    if word == "-" { Some(None) } else { word.parse().ok().map(Some) }
}

fn delivery(word: &str) -> Option<(AttemptId, Stand)> {
    let id = |text: &str| text.parse().ok().map(AttemptId);
    if let Some((delivery, at)) = word.split_once('!') {
        return Some((id(delivery)?, Stand::Failed(Timestamp::from_millis(at.parse().ok()?))));
    }
    match word.strip_suffix('~') {
        Some(delivery) => Some((id(delivery)?, Stand::Cancelled)),
        None => Some((id(word)?, Stand::Delivered)),
    }
}

/// The record of a finished attempt; none if the endpoint has no part in its result.
pub(crate) fn of_result(delivery: AttemptId, status: AttemptStatus, outcome: &Outcome) -> Option<Record> {
    let response_status = outcome.response.as_ref().map(|response| response.status);
    let cause = outcome.failure.as_ref().map(|failure| Cause { kind: failure.kind, response_status });
    if cause.is_some_and(|cause| matches!(cause.kind, ErrorKind::Interrupted | ErrorKind::Local)) {
        return None;
    }
    let (at, ms) = (outcome.finished_at, outcome.response_time_ms);
    Some(Record::of_attempt(delivery, at, cause, status == AttemptStatus::Exhausted, ms))
}

/// The text of a record with later results. One that does not read is started again: it must not stop the
/// results of attempts from being written.
pub(crate) fn merge(record: &str, later: &str) -> String {
    let (record, later) = (parse(record).unwrap_or_default(), parse(later).unwrap_or_default());
    write(&record.merge(later).kept())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_record() -> impl Strategy<Value = Record> {
        let time = || proptest::option::of((0i64..9_999_999_999_999).prop_map(Timestamp::from_millis));
        let stand = prop_oneof![
            Just(Stand::Delivered),
            Just(Stand::Cancelled),
            (0i64..9_999_999_999_999).prop_map(|ms| Stand::Failed(Timestamp::from_millis(ms))),
        ];
        let kind = proptest::sample::select(ErrorKind::ALL);
        let cause = proptest::option::of((kind, proptest::option::of(100u16..999)));
        let recent = proptest::collection::btree_map((1i64..1_000).prop_map(AttemptId), stand, 0..12);
        let times = (time(), time(), time(), time(), time(), time(), time());
        (any::<u32>(), cause, any::<bool>(), times, recent).prop_map(
            |(failures, cause, is_mixed, times, recent)| Record {
                failures,
                failing_since: times.0,
                cause: cause.map(|(kind, response_status)| Cause { kind, response_status }),
                is_mixed,
                last_success_at: times.1,
                last_failure_at: times.2,
                succeeding_since: times.3,
                last_slow_at: times.4,
                last_exhausted_at: times.5,
                last_event_at: times.6,
                recent,
            },
        )
    }

    proptest! {
        #[test]
        fn a_record_reads_back(record in any_record()) {
            prop_assert_eq!(read(&write(&record)).unwrap(), record);
        }
    }

    #[test]
    fn what_is_no_record_is_an_error_when_read_and_started_again_when_written() {
        for text in ["1", "x - - - 0 - - - - - -", "0 - what - 0 - - - - - -", "0 - - - 0 - - - - - - a"] {
            assert!(read(text).is_err(), "{text}");
        }
        let later = write(&Record::of_event(Timestamp::from_millis(5)));
        assert_eq!(merge("nonsense", &later), "0 - - - 0 - - - - - 5");
    }
}
