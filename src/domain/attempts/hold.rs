//! When an endpoint in trouble is on hold, when it is probed, and when it is disabled.
//!
//! While an endpoint is on hold its deliveries stay pending and only probes are sent: so an outage of an hour
//! or a night uses up no retries, and a receiver that asks for a pause gets it. There is one mechanism with
//! two reasons: the receiver does not respond or fails ([`HoldReason::Circuit`]), or it asks for less
//! ([`HoldReason::RateLimited`]).
//!
//! Pure rules over a small state for each endpoint. Who sends the probe, and what becomes of the delivery, is
//! decided elsewhere.

use crate::domain::Timestamp;
use crate::domain::attempts::attempt::{ErrorKind, Outcome};
use crate::domain::values::words::words;

const SECOND_MS: i64 = 1_000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// The first failure of a row is at least so long before the last one: a short hiccup opens no circuit.
const ROW_AT_LEAST_MS: i64 = 10 * SECOND_MS;
/// Failures that are further apart are no row.
const APART_AT_MOST_MS: i64 = HOUR_MS;
/// The wait before each probe of a circuit; the last one repeats.
const PROBE_WAITS_MS: [i64; 5] = [30 * SECOND_MS, MINUTE_MS, 2 * MINUTE_MS, 4 * MINUTE_MS, 5 * MINUTE_MS];
/// A receiver that limits without saying until when: this wait, doubled while it goes on.
const LIMIT_WAIT_MS: i64 = 30 * SECOND_MS;
/// The longest wait that we choose ourselves for a receiver that limits.
const LIMIT_WAIT_MAX_MS: i64 = 15 * MINUTE_MS;
/// The shortest and the longest wait that a receiver may ask for.
const ASKED_WAIT_MS: (i64, i64) = (SECOND_MS, 24 * HOUR_MS);
/// From this limited probe in a row the shortest wait doubles: a receiver cannot keep us busy each second.
const DOUBLED_FROM: u32 = 10;

words! {
    /// Why an endpoint is on hold.
    pub enum HoldReason {
        /// It was unavailable several times in a row.
        Circuit = "circuit",
        /// It asked for a pause.
        RateLimited = "rate_limited",
    }
}

/// A hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    pub reason: HoldReason,
    pub since: Timestamp,
    /// When the next probe may be sent.
    pub next_probe_at: Timestamp,
    /// Which wait follows if that probe of a circuit fails; see [`PROBE_WAITS_MS`].
    pub step: u32,
}

/// Failures in a row for which an endpoint was unavailable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailureRow {
    pub count: u32,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
}

/// What is remembered of an endpoint. The default is one without trouble.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HoldState {
    pub hold: Option<Hold>,
    pub row: Option<FailureRow>,
    /// Rate-limited probes in a row, the attempt before the first of them included.
    pub limited: u32,
}

/// What the result of an attempt says about its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// A 2xx.
    Delivered,
    /// No response, or a 408 or 5xx.
    Unavailable,
    /// A 429, or a 503 that says until when.
    RateLimited { until: Option<Timestamp> },
    /// It responds in another way: what is wrong concerns the one delivery.
    Responds,
}

impl Availability {
    /// What an outcome says; `None` if it says nothing: the request was interrupted, or not allowed.
    pub fn of(outcome: &Outcome) -> Option<Availability> {
        let Some(failure) = &outcome.failure else { return Some(Availability::Delivered) };
        let status = outcome.response.as_ref().map(|response| response.status);
        let until = outcome.not_before.filter(|at| *at > outcome.finished_at);
        match (failure.kind, status) {
            (ErrorKind::Dns | ErrorKind::Connect | ErrorKind::Tls, _)
            | (ErrorKind::Timeout | ErrorKind::Protocol, _) => Some(Availability::Unavailable),
            (ErrorKind::HttpStatus, Some(429)) => Some(Availability::RateLimited { until }),
            (ErrorKind::HttpStatus, Some(503)) if until.is_some() => {
                Some(Availability::RateLimited { until })
            }
            (ErrorKind::HttpStatus, Some(408 | 500..=599)) => Some(Availability::Unavailable),
            (ErrorKind::HttpStatus | ErrorKind::Response, _) => Some(Availability::Responds),
            _ => None,
        }
    }
}

/// The configuration, and chance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HoldRules {
    /// Failures in a row that open the circuit; 0 = never.
    pub circuit_failures: u32,
    /// Whether probes of a circuit are sent up to 10 % later.
    pub jitter: bool,
    /// A random number from 0 to 1.
    pub unit: f64,
}

impl HoldState {
    /// The state after a result that was known at `now`. `is_probe`: the attempt was sent as a probe of the
    /// hold, and was not in flight already when the hold began.
    #[must_use]
    pub fn after(self, result: Availability, is_probe: bool, now: Timestamp, rules: HoldRules) -> HoldState {
        match result {
            // What was in flight when the hold began says nothing about the pause that was asked for. A success
            // says that the receiver is available.
            Availability::Responds if self.hold.is_some() && !is_probe => self,
            Availability::Delivered if self.is_limited() && !is_probe => self,
            Availability::Delivered | Availability::Responds => HoldState::default(),
            Availability::RateLimited { until } => self.limited(until, is_probe, now),
            Availability::Unavailable => self.unavailable(is_probe, now, rules),
        }
    }

    /// The hold as it is now: the pause that a receiver asked for ends by itself.
    pub fn hold_at(self, now: Timestamp) -> Option<Hold> {
        self.hold.filter(|hold| hold.reason == HoldReason::Circuit || hold.next_probe_at > now)
    }

    /// The state when someone asks for a probe at once. If it fails, the pace of the probes begins again.
    #[must_use]
    pub fn probe_now(self, now: Timestamp) -> HoldState {
        let hold = self.hold.map(|hold| Hold { next_probe_at: now, step: 0, ..hold });
        HoldState { hold, limited: 0, ..self }
    }

    fn is_limited(self) -> bool {
        self.hold.is_some_and(|hold| hold.reason == HoldReason::RateLimited)
    }

    fn limited(self, until: Option<Timestamp>, is_probe: bool, now: Timestamp) -> HoldState {
        let before = self.hold.filter(|hold| hold.reason == HoldReason::RateLimited);
        // Several responses of one burst are one step.
        let is_step = is_probe || before.is_none();
        let limited = self.limited + u32::from(is_step);
        let doubled =
            |wait_ms: i64, times: u32| wait_ms.saturating_mul(1 << times.min(20)).min(LIMIT_WAIT_MAX_MS);
        let wait_ms = match until {
            Some(until) => {
                let at_least = match limited.checked_sub(DOUBLED_FROM) {
                    Some(more) => doubled(2 * ASKED_WAIT_MS.0, more),
                    None => ASKED_WAIT_MS.0,
                };
                (until.as_millis().saturating_sub(now.as_millis())).clamp(at_least, ASKED_WAIT_MS.1)
            }
            None => doubled(LIMIT_WAIT_MS, limited.saturating_sub(1)),
        };
        let mut next_probe_at = now.plus_ms(wait_ms);
        if let Some(before) = before {
            next_probe_at = next_probe_at.max(before.next_probe_at);
        }
        let hold = Hold {
            reason: HoldReason::RateLimited,
            since: self.hold.map_or(now, |hold| hold.since),
            next_probe_at,
            step: 0,
        };
        HoldState { hold: Some(hold), row: None, limited }
    }

    fn unavailable(self, is_probe: bool, now: Timestamp, rules: HoldRules) -> HoldState {
        match self.hold {
            // It was in flight when the hold began, and says nothing new.
            Some(_) if !is_probe => self,
            Some(hold) if hold.reason == HoldReason::Circuit => {
                let next_probe_at = now.plus_ms(probe_wait_ms(hold.step, rules));
                let step = hold.step.saturating_add(1);
                HoldState { hold: Some(Hold { step, next_probe_at, ..hold }), ..self }
            }
            // The pause that it asked for is over, and it fails in another way.
            _ => HoldState::default().failed(self.row, now, rules),
        }
    }

    /// Counts a failure, and opens the circuit when there are enough.
    fn failed(self, row: Option<FailureRow>, now: Timestamp, rules: HoldRules) -> HoldState {
        let goes_on = row.filter(|row| now.as_millis() - row.last_at.as_millis() <= APART_AT_MOST_MS);
        let row = match goes_on {
            Some(row) => {
                let last_at = row.last_at.max(now);
                FailureRow { count: row.count.saturating_add(1), last_at, ..row }
            }
            None => FailureRow { count: 1, first_at: now, last_at: now },
        };
        let lasted_ms = row.last_at.as_millis() - row.first_at.as_millis();
        let opens =
            rules.circuit_failures > 0 && row.count >= rules.circuit_failures && lasted_ms >= ROW_AT_LEAST_MS;
        let hold = opens.then(|| Hold {
            reason: HoldReason::Circuit,
            since: now,
            next_probe_at: now.plus_ms(probe_wait_ms(0, rules)),
            step: 1,
        });
        HoldState { hold, row: Some(row), limited: 0 }
    }
}

/// How long after a failure the next probe is sent, at this step.
fn probe_wait_ms(step: u32, rules: HoldRules) -> i64 {
    let at = usize::try_from(step).unwrap_or(usize::MAX).min(PROBE_WAITS_MS.len() - 1);
    let wait_ms = PROBE_WAITS_MS[at];
    let later = if rules.jitter { wait_ms as f64 / 10.0 * rules.unit.clamp(0.0, 1.0) } else { 0.0 };
    wait_ms + later as i64
}

/// When an endpoint is disabled for its failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DisableRules {
    /// Failed attempts in a row; 0 = never.
    pub failures: u32,
    /// How long nothing has succeeded since the first of them; 0 = the counter alone decides.
    pub after_ms: i64,
}

impl DisableRules {
    /// Whether so many failures in a row, of which the first was at `first_at`, disable the endpoint now.
    pub fn disable(self, failures: u32, first_at: Timestamp, now: Timestamp) -> bool {
        let lasted_ms = now.as_millis().saturating_sub(first_at.as_millis());
        self.failures > 0 && failures >= self.failures && lasted_ms >= self.after_ms
    }

    /// Whether this many failures in a row are half of the way, when `webhook_endpoint.failing` is emitted.
    pub fn is_half(self, failures: u32) -> bool {
        self.failures > 0 && failures == self.failures.div_ceil(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    use Availability::{Delivered, RateLimited, Responds, Unavailable};

    const RULES: HoldRules = HoldRules { circuit_failures: 5, jitter: false, unit: 1.0 };

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + secs * 1_000)
    }

    fn fails(times: &[i64]) -> HoldState {
        times
            .iter()
            .fold(HoldState::default(), |state, secs| state.after(Unavailable, false, at(*secs), RULES))
    }

    fn wait_secs(state: HoldState, since: Timestamp) -> i64 {
        (state.hold.unwrap().next_probe_at.as_millis() - since.as_millis()) / 1_000
    }

    #[test]
    fn five_failures_over_ten_seconds_open_the_circuit() {
        let hold = fails(&[0, 2, 4, 6, 10]).hold.unwrap();
        assert_eq!((hold.reason, hold.since, hold.next_probe_at), (HoldReason::Circuit, at(10), at(40)));
        assert_eq!(fails(&[0, 2, 4, 10]).hold, None, "four are not enough");
        assert_eq!(fails(&[0, 1, 2, 3, 4, 5, 9]).hold, None, "a hiccup of nine seconds");
        assert_eq!(fails(&[0, 1, 2, 3_603, 3_604, 3_605]).hold, None, "more than an hour apart");
        assert!(fails(&[0, 1, 2, 3_602, 3_603]).hold.is_some(), "an hour apart");
    }

    #[test]
    fn the_circuit_never_opens_when_it_is_off() {
        let off = HoldRules { circuit_failures: 0, ..RULES };
        let state = (0..99).fold(HoldState::default(), |s, n| s.after(Unavailable, false, at(n * 60), off));
        assert_eq!(state.hold, None);
    }

    #[test]
    fn probes_of_a_circuit_are_ever_further_apart_up_to_five_minutes() {
        let (mut state, mut now) = (fails(&[0, 2, 4, 6, 10]), at(10));
        let mut waits = Vec::new();
        for _ in 0..7 {
            waits.push(wait_secs(state, now));
            now = state.hold.unwrap().next_probe_at;
            state = state.after(Unavailable, true, now, RULES);
        }
        assert_eq!(waits, [30, 60, 120, 240, 300, 300, 300]);
        assert_eq!(state.hold.unwrap().since, at(10));
        let jitter = HoldRules { jitter: true, ..RULES };
        let later = state.after(Unavailable, true, now, jitter);
        assert_eq!(wait_secs(later, now), 330, "up to a tenth later");
    }

    #[test]
    fn a_pause_that_was_asked_for_is_kept_within_bounds() {
        let limited = |until| HoldState::default().after(RateLimited { until }, false, at(0), RULES);
        assert_eq!(wait_secs(limited(Some(at(90))), at(0)), 90);
        assert_eq!(wait_secs(limited(Some(at(0))), at(0)), 1);
        assert_eq!(wait_secs(limited(Some(at(900_000))), at(0)), 86_400);
        assert_eq!(wait_secs(limited(None), at(0)), 30);
    }

    #[test]
    fn pauses_double_for_a_receiver_that_goes_on_limiting() {
        let waits = |until: fn(Timestamp) -> Option<Timestamp>, n: usize| {
            let (mut state, mut now, mut waits) = (HoldState::default(), at(0), Vec::new());
            for i in 0..n {
                state = state.after(RateLimited { until: until(now) }, i > 0, now, RULES);
                waits.push(wait_secs(state, now));
                now = state.hold.unwrap().next_probe_at;
            }
            waits
        };
        assert_eq!(waits(|_| None, 7), [30, 60, 120, 240, 480, 900, 900]);
        assert_eq!(waits(|now| Some(now.plus_ms(1)), 13), [1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 4, 8, 16]);
        assert_eq!(waits(|now| Some(now.plus_ms(1)), 40)[39], 900);
    }

    #[test]
    fn of_several_responses_the_latest_time_counts_and_one_burst_is_one_step() {
        let mut state = HoldState::default();
        for until in [20, 90, 40] {
            state = state.after(RateLimited { until: Some(at(until)) }, false, at(0), RULES);
        }
        assert_eq!((state.hold.unwrap().next_probe_at, state.limited), (at(90), 1));
    }

    #[test]
    fn what_was_in_flight_does_not_end_a_pause_and_a_success_closes_the_circuit() {
        let paused = HoldState::default().after(RateLimited { until: Some(at(60)) }, false, at(0), RULES);
        assert_eq!(paused.after(Delivered, false, at(1), RULES), paused);
        assert_eq!(paused.after(Delivered, true, at(60), RULES), HoldState::default());
        let open = fails(&[0, 2, 4, 6, 10]);
        assert_eq!(open.after(Responds, false, at(11), RULES), open);
        assert_eq!(open.after(Responds, true, at(40), RULES).hold, None);
        assert_eq!(open.after(Delivered, false, at(11), RULES).hold, None);
    }

    #[test]
    fn a_pause_ends_by_itself_and_an_open_circuit_does_not() {
        let paused = HoldState::default().after(RateLimited { until: Some(at(60)) }, false, at(0), RULES);
        assert!(paused.hold_at(at(59)).is_some() && paused.hold_at(at(60)).is_none());
        assert!(fails(&[0, 2, 4, 6, 10]).hold_at(at(9_999)).is_some());
    }

    #[test]
    fn a_probe_that_someone_asked_for_begins_the_pace_again() {
        let mut state = fails(&[0, 2, 4, 6, 10]);
        for secs in [40, 100, 220] {
            state = state.after(Unavailable, true, at(secs), RULES);
        }
        state = state.probe_now(at(230));
        assert_eq!(state.hold.unwrap().next_probe_at, at(230));
        let waits = [231, 261].map(|secs| {
            state = state.after(Unavailable, true, at(secs), RULES);
            wait_secs(state, at(secs))
        });
        assert_eq!(waits, [30, 60]);
    }

    #[test]
    fn a_receiver_that_fails_after_its_pause_begins_a_row_of_failures() {
        let paused = HoldState::default().after(RateLimited { until: Some(at(60)) }, false, at(0), RULES);
        assert_eq!(paused.after(Unavailable, false, at(5), RULES), paused, "it was in flight");
        let failed = paused.after(Unavailable, true, at(60), RULES);
        assert_eq!((failed.hold, failed.row.unwrap().count), (None, 1));
    }

    #[test]
    fn count_and_time_together_disable() {
        let rules = DisableRules { failures: 20, after_ms: 5 * 24 * HOUR_MS };
        let days = |n: i64| at(n * 86_400);
        assert!(!rules.disable(20, days(0), days(4)) && !rules.disable(19, days(0), days(6)));
        assert!(rules.disable(20, days(0), days(5)));
        assert!(DisableRules { after_ms: 0, ..rules }.disable(20, days(0), days(0)));
        assert!(!DisableRules { failures: 0, after_ms: 0 }.disable(99, days(0), days(9)));
        let half = |failures, n| DisableRules { failures, after_ms: 0 }.is_half(n);
        assert!(half(20, 10) && half(5, 3) && !half(5, 2) && !half(0, 0));
    }

    fn any_result() -> impl Strategy<Value = Availability> {
        prop_oneof![
            1 => Just(Delivered),
            6 => Just(Unavailable),
            2 => proptest::option::of(0i64..200_000).prop_map(|s| RateLimited { until: s.map(at) }),
            1 => Just(Responds),
        ]
    }

    proptest! {
        #[test]
        fn a_hold_ends_with_a_probe_that_is_answered_and_its_probes_always_have_a_time(
            steps in proptest::collection::vec((any_result(), any::<bool>(), 0i64..4_000), 1..60),
        ) {
            let (mut state, mut secs) = (HoldState::default(), 0);
            for (result, is_probe, wait) in steps {
                secs += wait;
                let (before, now) = (state, at(secs));
                let is_probe = is_probe && before.hold.is_some();
                state = before.after(result, is_probe, now, RULES);
                match (result, state.hold) {
                    (Delivered | Responds, hold) if is_probe || before.hold.is_none() => {
                        prop_assert_eq!(hold, None);
                    }
                    (Delivered, hold) if !before.is_limited() => prop_assert_eq!(hold, None),
                    (Delivered | Responds, _) => prop_assert_eq!(state, before),
                    (RateLimited { .. }, hold) => prop_assert!(hold.is_some()),
                    (Unavailable, _) if before.hold.is_some() && !is_probe => prop_assert_eq!(state, before),
                    (Unavailable, _) => {}
                }
                if let Some(hold) = state.hold {
                    prop_assert!(hold.since <= now);
                    let moved = before.hold.is_none_or(|old| old.next_probe_at != hold.next_probe_at);
                    if moved {
                        let wait_ms = hold.next_probe_at.as_millis() - now.as_millis();
                        prop_assert!((1_000..=86_400_000).contains(&wait_ms), "{}", wait_ms);
                    }
                    if hold.reason == HoldReason::Circuit {
                        let row = state.row.expect("failures opened it");
                        prop_assert!(row.count >= 5);
                    }
                }
            }
        }
    }
}
