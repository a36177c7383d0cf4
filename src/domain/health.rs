//! How an endpoint is doing, in words: labels from figures; what to do about it is in [`advice`].
//!
//! The thresholds are those of section 6 of the contract. Labels judge exact figures, so they are given
//! counts and sums here and never a percentage that was rounded for people.

use super::endpoint::EndpointStatus;
use crate::domain::values::words::words;

mod advice;

pub use advice::{RECENT_MS, State, Symptom, recommendations};

words! {
    /// Of the share of deliveries that arrived.
    pub enum SuccessLabel {
        /// 99 % or more.
        Excellent = "excellent",
        /// 95 % or more.
        Good = "good",
        /// 90 % or more.
        Warning = "warning",
        /// Below 90 %.
        Critical = "critical",
        /// Nothing has ended yet.
        Unknown = "unknown",
    }
}

words! {
    /// Of the average response time.
    pub enum ResponseLabel {
        /// Below 1 s.
        Fast = "fast",
        /// Up to 3 s.
        Acceptable = "acceptable",
        /// Up to 5 s.
        Slow = "slow",
        /// Above 5 s.
        Critical = "critical",
        /// There has been no response yet.
        Unknown = "unknown",
    }
}

words! {
    /// Of what happened lately.
    pub enum ActivityLabel {
        /// Three or more of the last ten deliveries that ended have failed.
        Failing = "failing",
        /// An event in the last 24 hours.
        Active = "active",
        /// None.
        Idle = "idle",
    }
}

/// Failed deliveries among the last ten from which an endpoint is failing.
pub const FAILING_FROM: u64 = 3;

/// Labels a success rate, from the deliveries that were delivered and those that are exhausted.
pub fn success(delivered: u64, exhausted: u64) -> SuccessLabel {
    let total = u128::from(delivered) + u128::from(exhausted);
    let at_least = |percent: u128| u128::from(delivered) * 100 >= total * percent;
    match total {
        0 => SuccessLabel::Unknown,
        _ if at_least(99) => SuccessLabel::Excellent,
        _ if at_least(95) => SuccessLabel::Good,
        _ if at_least(90) => SuccessLabel::Warning,
        _ => SuccessLabel::Critical,
    }
}

/// Judges an average: `sum_ms` over `count` responses.
pub fn response_time(sum_ms: u64, count: u64) -> ResponseLabel {
    let (sum, count) = (u128::from(sum_ms), u128::from(count));
    match count {
        0 => ResponseLabel::Unknown,
        _ if sum < 1_000 * count => ResponseLabel::Fast,
        _ if sum <= 3_000 * count => ResponseLabel::Acceptable,
        _ if sum <= 5_000 * count => ResponseLabel::Slow,
        _ => ResponseLabel::Critical,
    }
}

/// Judges what happened lately: failures among the last ten deliveries, events of the last 24 hours.
/// There is always something to judge: without an event it is idle.
pub fn activity(recent_failed: u64, last_24h_events: u64) -> ActivityLabel {
    if recent_failed >= FAILING_FROM {
        ActivityLabel::Failing
    } else if last_24h_events > 0 {
        ActivityLabel::Active
    } else {
        ActivityLabel::Idle
    }
}

/// What is known of an endpoint at a glance.
#[derive(Debug, Clone, Copy)]
pub struct Condition<'a> {
    pub status: EndpointStatus,
    pub status_reason: Option<&'a str>,
    /// Deliveries that wait.
    pub pending: u64,
    /// Of the last ten deliveries that ended: how many there are, and how many of them failed.
    pub recent: u64,
    pub recent_failed: u64,
    pub last_24h_events: u64,
    pub last_24h_failures: u64,
    /// Over the finished newest attempts.
    pub average_ms: Option<f64>,
}

/// Why somebody should look at an endpoint, in a sentence; `None` when it does well. What a person did on
/// purpose is no reason, unless something waits for its end.
pub fn attention(condition: &Condition<'_>) -> Option<String> {
    let Condition { last_24h_events: events, last_24h_failures: failures, pending, .. } = *condition;
    let average_ms = condition.average_ms.unwrap_or_default();
    match (condition.status, condition.status_reason) {
        // A sentence of its own; without one, a person did it.
        (EndpointStatus::Disabled, reason) => return reason.map(str::to_owned),
        (EndpointStatus::Paused, _) => {
            let wait = if pending == 1 {
                "1 delivery waits".to_owned()
            } else {
                format!("{pending} deliveries wait")
            };
            return (pending > 0).then(|| format!("It is paused, and {wait}."));
        }
        (EndpointStatus::Active, _) => {}
    }
    if condition.recent_failed >= FAILING_FROM {
        let Condition { recent, recent_failed, .. } = *condition;
        Some(format!("{recent_failed} of its last {recent} deliveries failed."))
    } else if failures > 0 && failures * 10 > events {
        Some(format!("{failures} of the last 24 hours' {events} events failed."))
    } else if events > 0 && average_ms > 5_000.0 {
        Some(format!("Responses take {:.1} s on average.", average_ms / 1_000.0))
    } else {
        None
    }
}

/// `part` of `whole` in percent; `None` of nothing.
pub fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 * 100.0 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::attempts::attempt::ErrorKind;
    use crate::domain::values::timestamp::Timestamp;

    #[test]
    fn an_endpoint_that_does_well_needs_nobody_and_the_gravest_reason_is_told() {
        let well = Condition {
            status: EndpointStatus::Active,
            status_reason: None,
            pending: 3,
            recent: 10,
            recent_failed: 2,
            last_24h_events: 100,
            last_24h_failures: 10,
            average_ms: Some(5_000.0),
        };
        let told = |condition: Condition<'_>| attention(&condition).unwrap_or_default();
        assert_eq!(told(well), "");
        assert_eq!(told(Condition { average_ms: Some(6_240.0), ..well }), "Responses take 6.2 s on average.");
        let failing = Condition { last_24h_failures: 11, ..well };
        assert_eq!(told(failing), "11 of the last 24 hours' 100 events failed.");
        assert_eq!(told(Condition { recent_failed: 3, ..failing }), "3 of its last 10 deliveries failed.");
        let paused = Condition { status: EndpointStatus::Paused, ..failing };
        assert_eq!(told(paused), "It is paused, and 3 deliveries wait.");
        assert_eq!(told(Condition { pending: 0, ..paused }), "");
        let disabled = Condition { status: EndpointStatus::Disabled, ..failing };
        assert_eq!(told(disabled), "", "a person did it");
        let by_itself = Condition { status_reason: Some("Disabled after a 410."), ..disabled };
        assert_eq!(told(by_itself), "Disabled after a 410.");
    }

    #[test]
    fn success_is_judged_at_each_threshold_from_both_sides() {
        for (delivered, exhausted, label) in [
            (0, 0, "unknown"),
            (1, 0, "excellent"),
            (99, 1, "excellent"),
            (98_999, 1_001, "good"),
            (95, 5, "good"),
            (94_999, 5_001, "warning"),
            (90, 10, "warning"),
            (89_999, 10_001, "critical"),
            (0, 1, "critical"),
            // 98.999…% would round to 99.
            (989_999_999, 10_000_001, "good"),
            (u64::MAX, u64::MAX, "critical"),
        ] {
            assert_eq!(success(delivered, exhausted).as_str(), label, "{delivered}/{exhausted}");
        }
    }

    #[test]
    fn response_time_is_judged_at_each_threshold_from_both_sides() {
        for (sum, count, label) in [
            (0, 0, "unknown"),
            (0, 3, "fast"),
            (999, 1, "fast"),
            (2_999, 3, "fast"),
            (1_000, 1, "acceptable"),
            (3_000, 1, "acceptable"),
            (6_001, 2, "slow"),
            (5_000, 1, "slow"),
            (15_001, 3, "critical"),
            (u64::MAX, 1, "critical"),
        ] {
            assert_eq!(response_time(sum, count).as_str(), label, "{sum}/{count}");
        }
    }

    #[test]
    fn activity_is_judged_at_each_threshold_from_both_sides() {
        for (failed, events, label) in
            [(0, 0, "idle"), (2, 0, "idle"), (2, 1, "active"), (3, 1, "failing"), (3, 0, "failing")]
        {
            assert_eq!(activity(failed, events).as_str(), label, "{failed} {events}");
        }
    }

    #[test]
    fn a_share_of_nothing_is_none() {
        assert_eq!(percent(0, 0), None);
        assert_eq!(percent(1, 4), Some(25.0));
    }

    fn now() -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000)
    }

    fn state(status: EndpointStatus, response_time: ResponseLabel) -> State {
        State { status, response_time, average_ms: 4_200, now: now() }
    }

    fn symptom(kind: ErrorKind, response_status: Option<u16>, count: u64) -> Symptom<'static> {
        Symptom { kind, response_status, count, message: "as the log says", last_at: now(), since: None }
    }

    #[test]
    fn every_kind_of_error_has_a_sentence_that_names_it() {
        let fine = state(EndpointStatus::Active, ResponseLabel::Fast);
        for (kind, status, word) in [
            (ErrorKind::HttpStatus, Some(422), "4xx"),
            (ErrorKind::HttpStatus, Some(401), "401"),
            (ErrorKind::HttpStatus, Some(404), "404"),
            (ErrorKind::HttpStatus, Some(410), "410"),
            (ErrorKind::HttpStatus, Some(429), "rate_limit"),
            (ErrorKind::HttpStatus, Some(503), "5xx"),
            (ErrorKind::HttpStatus, Some(302), "redirect"),
            (ErrorKind::HttpStatus, Some(700), "2xx"),
            (ErrorKind::Timeout, None, "timeout"),
            (ErrorKind::Connect, None, "connection"),
            (ErrorKind::Dns, None, "DNS"),
            (ErrorKind::Tls, None, "TLS"),
            (ErrorKind::BlockedAddress, None, "network.allow"),
            (ErrorKind::Protocol, None, "protocol"),
        ] {
            let said = recommendations(&[symptom(kind, status, 2)], fine);
            assert_eq!(said.len(), 1, "{kind}");
            assert!(said[0].contains(word) && said[0].starts_with("2 attempts"), "{}", said[0]);
            assert_eq!(said[0].contains("as the log says"), status.is_none(), "{}", said[0]);
            assert!(said[0].contains(&format!("the last at {}", now())), "{}", said[0]);
        }
        assert!(recommendations(&[], fine).is_empty());
    }

    #[test]
    fn the_most_frequent_cause_comes_first_and_old_ones_are_left_out() {
        let old = Symptom { last_at: now().plus_ms(-RECENT_MS), ..symptom(ErrorKind::Dns, None, 99) };
        let symptoms = [
            old,
            symptom(ErrorKind::Timeout, None, 3),
            symptom(ErrorKind::HttpStatus, Some(500), 2),
            symptom(ErrorKind::HttpStatus, Some(502), 2),
        ];
        let said = recommendations(&symptoms, state(EndpointStatus::Active, ResponseLabel::Fast));
        assert_eq!(said.len(), 2);
        assert!(said[0].starts_with("4 attempts failed with an HTTP 5xx error (500, 502)"), "{}", said[0]);
    }

    #[test]
    fn what_lasts_is_told_since_when() {
        let fine = state(EndpointStatus::Active, ResponseLabel::Fast);
        let since = |ms: i64| Some(now().plus_ms(-ms));
        let refused = Symptom { since: since(9_000), ..symptom(ErrorKind::HttpStatus, Some(401), 3) };
        assert_eq!(
            recommendations(&[refused], fine),
            [
                "3 attempts failed with HTTP 401 (a 4xx error); the receiver has answered so, without a success, \
              since 2023-11-14T22:13:11.000Z: check the credentials in the webhook's headers, and how the \
              receiver verifies signatures."
            ]
        );
        let expired = Symptom {
            since: since(5_000),
            message: "the certificate of a.example expired on 2023-11-01",
            ..symptom(ErrorKind::Tls, None, 1)
        };
        assert_eq!(
            recommendations(&[expired], fine),
            ["1 attempt failed with a TLS error, without a success since 2023-11-14T22:13:15.000Z: the \
              certificate of a.example expired on 2023-11-01; renew or fix the receiver's certificate: its \
              date, its chain, and that it names the host of the URL."]
        );
        let earlier = Symptom { since: since(8_000), ..symptom(ErrorKind::HttpStatus, Some(503), 1) };
        let later = Symptom { since: since(2_000), ..symptom(ErrorKind::HttpStatus, Some(500), 1) };
        let said = recommendations(&[later, earlier], fine);
        assert!(said[0].contains("since 2023-11-14T22:13:12.000Z"), "{}", said[0]);
    }

    #[test]
    fn a_disabled_and_a_slow_endpoint_are_told_what_to_do() {
        let said = recommendations(&[], state(EndpointStatus::Disabled, ResponseLabel::Slow));
        assert!(said[0].contains("recover") && said[1].contains("4200 ms"), "{said:?}");
        assert!(said[1].contains("slower than 3 s on average"), "{said:?}");
        let said = recommendations(&[], state(EndpointStatus::Active, ResponseLabel::Critical));
        assert!(said[0].contains("slower than 5 s on average"), "{said:?}");
    }
}
