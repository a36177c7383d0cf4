//! **The** rule of an endpoint's health: one state, since when, and a sentence with the cause. Every list,
//! page, label and metric shows this and nothing else (section 3 of `contract/outages.md`).

use super::held::Held;
use super::phrases::{attempts, moment};
use super::record::{Cause, Record};
use super::{FAILING_FROM, percent};
use crate::domain::endpoint::EndpointStatus;
use crate::domain::values::words::words;
use crate::domain::{EndpointId, Timestamp};

const DAY_MS: i64 = 86_400_000;
/// A success rate below this is degraded, in percent.
const RATE_AT_LEAST: u128 = 99;
/// An average response above this is degraded, in milliseconds.
const AVERAGE_AT_MOST_MS: u128 = 3_000;

words! {
    /// The health of an endpoint: the first state that applies, which is also the order from the worst to
    /// the best.
    pub enum HealthState {
        /// By its status.
        Disabled = "disabled",
        /// By its status.
        Paused = "paused",
        /// Only probes are sent.
        OnHold = "on_hold",
        /// Attempts fail now.
        Failing = "failing",
        /// Some deliveries of the last 24 hours were exhausted, or responses are slow.
        Degraded = "degraded",
        /// No event in the last 24 hours.
        Idle = "idle",
        /// None of these.
        Healthy = "healthy",
    }
}

/// What the last 24 hours add up to, by the time at which attempts were sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LastDay {
    pub delivered: u64,
    pub exhausted: u64,
    /// Attempts that have a response time, and the sum of these times.
    pub response_count: u64,
    pub response_ms_sum: u64,
    /// When it became degraded, where that was looked up.
    pub degraded_since: Option<Timestamp>,
}

impl LastDay {
    /// Delivered, of the deliveries that finished, in percent.
    pub fn success_rate(&self) -> Option<f64> {
        percent(self.delivered, self.delivered + self.exhausted)
    }

    fn is_degraded(&self) -> bool {
        self.is_unreliable() || self.is_slow()
    }

    fn is_unreliable(&self) -> bool {
        let finished = u128::from(self.delivered) + u128::from(self.exhausted);
        u128::from(self.delivered) * 100 < finished * RATE_AT_LEAST
    }

    fn is_slow(&self) -> bool {
        u128::from(self.response_ms_sum) > u128::from(self.response_count) * AVERAGE_AT_MOST_MS
    }
}

/// All that the health of an endpoint is judged by.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    pub status: EndpointStatus,
    pub status_reason: Option<&'a str>,
    /// When the status was set.
    pub status_since: Timestamp,
    pub created_at: Timestamp,
    pub held: Option<Held>,
    pub record: &'a Record,
    pub last_day: LastDay,
    /// Pending deliveries.
    pub waiting: u64,
}

/// The health of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointHealth {
    pub state: HealthState,
    /// When the state began.
    pub since: Timestamp,
    /// One sentence with cause and time.
    pub message: String,
}

/// An endpoint's health, with the figures that lists sort by.
#[derive(Debug, Clone, PartialEq)]
pub struct HealthSummary {
    pub endpoint_id: EndpointId,
    pub health: EndpointHealth,
    /// Over the last 24 hours, in percent; `None`: nothing finished.
    pub success_rate: Option<f64>,
    pub last_failure_at: Option<Timestamp>,
    /// Pending deliveries.
    pub waiting: u64,
    /// Whether attempts fail now, whatever the status.
    pub is_failing: bool,
}

/// Whether attempts to the endpoint fail now, whatever its status.
pub fn is_failing(record: &Record, now: Timestamp) -> bool {
    failing_since(record, now).is_some()
}

/// Whether the last day must be looked up: the record alone tells when nothing in it was exhausted or slow.
pub fn needs_last_day(record: &Record, now: Timestamp) -> bool {
    is_within_day(record.last_exhausted_at, now) || is_within_day(record.last_slow_at, now)
}

/// The last day of an endpoint for which [`needs_last_day`] is false.
pub fn last_day_of(record: &Record, now: Timestamp) -> LastDay {
    LastDay { delivered: is_within_day(record.last_success_at, now).into(), ..LastDay::default() }
}

fn is_within_day(at: Option<Timestamp>, now: Timestamp) -> bool {
    at.is_some_and(|at| at > now.plus_ms(-DAY_MS))
}

/// Since when it fails; `None`: it does not.
fn failing_since(record: &Record, now: Timestamp) -> Option<Timestamp> {
    let newest_failed = u64::from(record.failures) >= FAILING_FROM;
    let none_succeeded =
        is_within_day(record.last_finished_at(), now) && !is_within_day(record.last_success_at, now);
    let of_row = record.failing_since.filter(|_| newest_failed || none_succeeded);
    let failed = record.failed_recently();
    let of_recent = failed.get(FAILING_FROM as usize - 1).copied();
    match (of_row, of_recent) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

impl Facts<'_> {
    /// The state at `now`, without the sentence, which costs more than everything else.
    pub fn state(&self, now: Timestamp) -> HealthState {
        match self.status {
            EndpointStatus::Disabled => HealthState::Disabled,
            EndpointStatus::Paused => HealthState::Paused,
            EndpointStatus::Active if self.held.is_some() => HealthState::OnHold,
            EndpointStatus::Active if is_failing(self.record, now) => HealthState::Failing,
            EndpointStatus::Active if self.last_day.is_degraded() => HealthState::Degraded,
            EndpointStatus::Active if !is_within_day(self.record.last_event_at, now) => HealthState::Idle,
            EndpointStatus::Active => HealthState::Healthy,
        }
    }

    /// The health at `now`.
    pub fn health(&self, now: Timestamp) -> EndpointHealth {
        let (state, since, message) = match self.status {
            EndpointStatus::Disabled => self.disabled(now),
            EndpointStatus::Paused => self.paused(now),
            EndpointStatus::Active => self.active(now),
        };
        EndpointHealth { state, since, message }
    }

    fn disabled(&self, now: Timestamp) -> (HealthState, Timestamp, String) {
        let since = moment(self.status_since, now);
        let message = match self.status_reason {
            None => format!("Disabled by a user since {since}."),
            Some(reason) => match reason.strip_prefix("Disabled ") {
                Some(rest) => format!("Disabled since {since} {}.", rest.trim_end_matches('.')),
                None => format!("Disabled since {since}: {}.", reason.trim_end_matches('.')),
            },
        };
        (HealthState::Disabled, self.status_since, message)
    }

    fn paused(&self, now: Timestamp) -> (HealthState, Timestamp, String) {
        let since = moment(self.status_since, now);
        let message = match self.waiting {
            0 => format!("Paused by a user since {since}."),
            1 => format!("Paused by a user since {since}: 1 delivery is pending."),
            n => format!("Paused by a user since {since}: {n} deliveries are pending."),
        };
        (HealthState::Paused, self.status_since, message)
    }

    fn active(&self, now: Timestamp) -> (HealthState, Timestamp, String) {
        let record = self.record;
        if let Some(held) = &self.held {
            return (HealthState::OnHold, held.hold.since, held.sentence(now));
        }
        if let Some(since) = failing_since(record, now) {
            return (HealthState::Failing, since, self.failing(now));
        }
        if self.last_day.is_degraded() {
            let known =
                if self.last_day.is_unreliable() { record.last_exhausted_at } else { record.last_slow_at };
            let since = self.last_day.degraded_since.or(known).unwrap_or(now);
            return (HealthState::Degraded, since, self.degraded(now));
        }
        if !is_within_day(record.last_event_at, now) {
            let since = record.last_event_at.map_or(self.created_at, |at| at.plus_ms(DAY_MS));
            let message = match record.last_event_at {
                Some(at) => format!("No event since {}.", moment(at, now)),
                None => format!("No event since it was created on {}.", moment(self.created_at, now)),
            };
            return (HealthState::Idle, since, message);
        }
        let begun = record.succeeding_since.or(record.last_event_at).unwrap_or(self.created_at);
        let message = match (record.last_success_at, record.last_event_at) {
            (Some(at), _) => format!("The last delivery succeeded on {}.", moment(at, now)),
            (None, Some(at)) => format!("The first attempt of the event of {} is pending.", moment(at, now)),
            (None, None) => format!("Created on {}.", moment(self.created_at, now)),
        };
        (HealthState::Healthy, begun.max(self.status_since), message)
    }

    fn failing(&self, now: Timestamp) -> String {
        let record = self.record;
        let by = record.cause.map_or_else(|| "an error".to_owned(), Cause::words);
        if let (Some(since), true) = (record.failing_since, record.failures > 0) {
            let (since, attempts) = (moment(since, now), attempts(record.failures));
            let last = if record.is_mixed { ", the last" } else { "" };
            return format!("No success since {since}: {attempts} failed{last} with {by}.");
        }
        let failed = record.failed_recently();
        let at = failed.last().copied().or(record.last_failure_at).unwrap_or(now);
        format!(
            "{} of the newest {} deliveries failed, the last with {by} on {}.",
            failed.len(),
            record.recent.len(),
            moment(at, now)
        )
    }

    fn degraded(&self, now: Timestamp) -> String {
        let day = &self.last_day;
        if day.is_unreliable() {
            // Rounded down: 98.96 % must not read as 99 %.
            let rate = (day.success_rate().unwrap_or_default() * 10.0).floor() / 10.0;
            let by = self.record.cause.map_or_else(|| "an error".to_owned(), Cause::words);
            let last = self.record.last_exhausted_at.unwrap_or(now);
            return format!(
                "{rate:.1} % of the deliveries of the last 24 hours succeeded; the last one that failed, with \
                 {by}, ended on {}.",
                moment(last, now)
            );
        }
        let average = day.response_ms_sum as f64 / day.response_count.max(1) as f64 / 1_000.0;
        let last = self.record.last_slow_at.unwrap_or(now);
        format!(
            "Responses took {average:.1} s on average in the last 24 hours; the last slow one was on {}.",
            moment(last, now)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::AttemptId;
    use crate::domain::attempts::attempt::ErrorKind;
    use crate::domain::attempts::hold::{Hold, HoldReason};

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn now() -> Timestamp {
        at("2026-11-29T12:00:00Z")
    }

    fn ago(hours: i64) -> Timestamp {
        now().plus_ms(-hours * 3_600_000)
    }

    fn http(status: u16) -> Cause {
        Cause { kind: ErrorKind::HttpStatus, response_status: Some(status) }
    }

    /// Deliveries an hour apart, one after the other, the last one an hour ago.
    fn record(results: &[Option<u16>]) -> Record {
        let first = results.len() as i64;
        let each = results.iter().zip(1..).map(|(status, n)| {
            let cause = status.map(http);
            let at = ago(first + 1 - n);
            Record::of_attempt(AttemptId(n), at, cause, cause.is_some(), Some(5)).merge(Record::of_event(at))
        });
        each.fold(Record::default(), |record, result| record.merge(result).kept())
    }

    fn facts(record: &Record) -> Facts<'_> {
        Facts {
            status: EndpointStatus::Active,
            status_reason: None,
            status_since: ago(200),
            created_at: ago(200),
            held: None,
            record,
            last_day: last_day_of(record, now()),
            waiting: 0,
        }
    }

    fn seen(facts: &Facts<'_>) -> (HealthState, Timestamp, String) {
        assert_eq!(facts.state(now()), facts.health(now()).state);
        let EndpointHealth { state, since, message } = facts.health(now());
        (state, since, message)
    }

    const OK: Option<u16> = None;
    const BAD: Option<u16> = Some(500);

    #[test]
    fn an_endpoint_that_does_well_is_healthy_and_one_without_events_idle() {
        let none = Record::default();
        let (state, since, message) = seen(&facts(&none));
        assert_eq!((state, since), (HealthState::Idle, ago(200)));
        assert_eq!(message, "No event since it was created on 21 Nov 04:00 UTC.");
        let well = record(&[OK, OK]);
        let (state, since, message) = seen(&facts(&well));
        assert_eq!((state, since), (HealthState::Healthy, ago(2)));
        assert_eq!(message, "The last delivery succeeded on 29 Nov 11:00 UTC.");
        let later = now().plus_ms(23 * 3_600_000);
        let health = facts(&well).health(later);
        assert_eq!((health.state, health.since), (HealthState::Idle, ago(1).plus_ms(DAY_MS)));
        assert_eq!(health.message, "No event since 29 Nov 11:00 UTC.");
        let pending = Record::of_event(ago(1));
        let (state, _, message) = seen(&facts(&pending));
        assert_eq!(state, HealthState::Healthy);
        assert_eq!(message, "The first attempt of the event of 29 Nov 11:00 UTC is pending.");
    }

    #[test]
    fn three_failed_attempts_in_a_row_are_failing_since_the_first() {
        let bad = record(&[OK, OK, OK, OK, OK, OK, OK, OK, BAD, BAD, BAD]);
        let (state, since, message) = seen(&facts(&bad));
        assert_eq!((state, since), (HealthState::Failing, ago(3)));
        assert_eq!(message, "No success since 29 Nov 09:00 UTC: 3 attempts failed with HTTP 500.");
        let mixed = record(&[OK, BAD, BAD, Some(503)]);
        let message = seen(&facts(&mixed)).2;
        assert_eq!(message, "No success since 29 Nov 09:00 UTC: 3 attempts failed, the last with HTTP 503.");
        assert_ne!(seen(&facts(&record(&[OK, BAD, BAD]))).0, HealthState::Failing);
    }

    #[test]
    fn attempts_of_one_delivery_that_fail_are_failing_too() {
        let tries =
            (0..3).map(|n| Record::of_attempt(AttemptId(9), ago(3 - n), Some(http(500)), false, None));
        let record = tries.fold(record(&[OK]), Record::merge).kept();
        assert_eq!(seen(&facts(&record)).0, HealthState::Failing);
    }

    #[test]
    fn three_failed_deliveries_of_the_newest_ten_are_failing_since_the_third() {
        let bad = record(&[BAD, OK, BAD, OK, BAD, OK, OK]);
        let (state, since, message) = seen(&facts(&bad));
        assert_eq!((state, since), (HealthState::Failing, ago(3)));
        assert_eq!(
            message,
            "3 of the newest 7 deliveries failed, the last with HTTP 500 on 29 Nov 09:00 UTC."
        );
        let older = record(&[BAD, OK, BAD, OK, BAD, OK, OK, OK, OK, OK, OK]);
        assert_ne!(seen(&facts(&older)).0, HealthState::Failing, "only two of the newest ten failed");
    }

    #[test]
    fn an_endpoint_without_a_success_in_a_day_is_failing_from_its_first_failure() {
        let first = record(&[BAD]);
        let (state, since, message) = seen(&facts(&first));
        assert_eq!((state, since), (HealthState::Failing, ago(1)));
        assert_eq!(message, "No success since 29 Nov 11:00 UTC: 1 attempt failed with HTTP 500.");
        let mut old = record(&[OK, BAD]);
        old.last_success_at = Some(ago(25));
        assert_eq!(seen(&facts(&old)).0, HealthState::Failing);
        let tomorrow = now().plus_ms(24 * 3_600_000);
        assert_eq!(facts(&first).health(tomorrow).state, HealthState::Idle, "nothing finished in a day");
    }

    #[test]
    fn a_low_rate_or_slow_responses_are_degraded() {
        let one_bad = record(&[OK, BAD, OK, OK]);
        assert!(needs_last_day(&one_bad, now()));
        let day = |delivered, exhausted, response_ms_sum| LastDay {
            delivered,
            exhausted,
            response_count: 10,
            response_ms_sum,
            degraded_since: Some(ago(7)),
        };
        let judged = |last_day| seen(&Facts { last_day, ..facts(&one_bad) });
        assert_eq!(judged(day(99, 1, 30_000)).0, HealthState::Healthy);
        let (state, since, message) = judged(day(9_899, 101, 0));
        assert_eq!((state, since), (HealthState::Degraded, ago(7)));
        assert_eq!(
            message,
            "98.9 % of the deliveries of the last 24 hours succeeded; the last one that failed, with HTTP 500, \
             ended on 29 Nov 09:00 UTC."
        );
        let (state, _, message) = judged(day(99, 1, 30_001));
        assert_eq!(state, HealthState::Degraded);
        assert!(message.starts_with("Responses took 3.0 s on average in the last 24 hours;"), "{message}");
        assert!(!needs_last_day(&record(&[OK]), now()));
    }

    #[test]
    fn status_and_hold_come_first() {
        let bad = record(&[BAD, BAD, BAD]);
        let (reason, status_since) = (Some("Disabled after 20 failed attempts in a row."), ago(2));
        let disabled = Facts { status: EndpointStatus::Disabled, status_since, ..facts(&bad) };
        let (state, since, message) = seen(&Facts { status_reason: reason, ..disabled });
        assert_eq!((state, since), (HealthState::Disabled, ago(2)));
        assert_eq!(message, "Disabled since 29 Nov 10:00 UTC after 20 failed attempts in a row.");
        assert_eq!(seen(&disabled).2, "Disabled by a user since 29 Nov 10:00 UTC.");
        let paused = Facts { status: EndpointStatus::Paused, waiting: 3, ..disabled };
        assert_eq!(seen(&paused).2, "Paused by a user since 29 Nov 10:00 UTC: 3 deliveries are pending.");
        let hold = |reason| Hold { reason, since: ago(1), next_probe_at: now(), step: 2 };
        let held = |reason| {
            let held = Held { hold: hold(reason), failures: 3, cause: Some(http(500)) };
            Facts { held: Some(held), ..facts(&bad) }
        };
        let (state, since, message) = seen(&held(HoldReason::Circuit));
        assert_eq!((state, since), (HealthState::OnHold, ago(1)));
        assert_eq!(
            message,
            "On hold since 29 Nov 11:00 UTC: 3 attempts failed, the last with HTTP 500; the next probe is on 29 \
             Nov 12:00 UTC."
        );
        let message = seen(&held(HoldReason::RateLimited)).2;
        assert!(message.contains("because the receiver limits requests"), "{message}");
        assert_eq!(seen(&Facts { held: held(HoldReason::Circuit).held, ..paused }).0, HealthState::Paused);
    }
}
