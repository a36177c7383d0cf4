//! How an endpoint is doing, in words: its one state in [`state`], from the [`record`] of its results; labels
//! from figures; what to do about it in [`advice`].
//!
//! The thresholds are those of section 6 of the contract. Labels judge exact figures, so they are given
//! counts and sums here and never a percentage that was rounded for people.

use crate::domain::values::words::words;

mod advice;
mod held;
mod phrases;
mod record;
mod state;

pub use advice::{RECENT_MS, State, Symptom, recommendations};
pub use held::Held;
pub use record::{Cause, RECENT_MAX, Record, SLOW_MS, Stand};
pub use state::{
    EndpointHealth, Facts, HealthState, HealthSummary, LastDay, is_failing, last_day_of, needs_last_day,
};

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
        /// As the state [`HealthState::Failing`], whatever the status.
        Failing = "failing",
        /// An event in the last 24 hours.
        Active = "active",
        /// None.
        Idle = "idle",
    }
}

/// So many failed attempts in a row, or failed deliveries of the newest ten, are failing.
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

/// Judges what happened lately: whether attempts fail now, and the events of the last 24 hours. There is always
/// something to judge: without an event it is idle.
pub fn activity(is_failing: bool, last_24h_events: u64) -> ActivityLabel {
    if is_failing {
        ActivityLabel::Failing
    } else if last_24h_events > 0 {
        ActivityLabel::Active
    } else {
        ActivityLabel::Idle
    }
}

/// Whether somebody should look at an endpoint. What a person did on purpose is no reason, unless deliveries are
/// pending because of it.
pub fn needs_attention(state: HealthState, status_reason: Option<&str>, waiting: u64) -> bool {
    match state {
        HealthState::Disabled => status_reason.is_some(),
        HealthState::Paused => waiting > 0,
        HealthState::OnHold | HealthState::Failing | HealthState::Degraded => true,
        HealthState::Idle | HealthState::Healthy => false,
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
    use crate::domain::endpoint::EndpointStatus;
    use crate::domain::values::timestamp::Timestamp;

    #[test]
    fn what_a_person_did_needs_attention_only_while_deliveries_are_pending() {
        use HealthState::{Degraded, Disabled, Failing, Healthy, Idle, OnHold, Paused};
        assert!([OnHold, Failing, Degraded].iter().all(|state| needs_attention(*state, None, 0)));
        assert!(![Idle, Healthy].iter().any(|state| needs_attention(*state, None, 9)));
        assert!(needs_attention(Disabled, Some("Disabled after a 410."), 0));
        assert!(!needs_attention(Disabled, None, 9) && !needs_attention(Paused, None, 0));
        assert!(needs_attention(Paused, None, 1));
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
    fn activity_is_judged_by_failures_first() {
        for (is_failing, events, label) in
            [(false, 0, "idle"), (false, 1, "active"), (true, 1, "failing"), (true, 0, "failing")]
        {
            assert_eq!(activity(is_failing, events).as_str(), label, "{is_failing} {events}");
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
