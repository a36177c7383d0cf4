//! **The** transition function: everything that can happen to an attempt, and nothing else.
//!
//! ```text
//!              cancel                        finish, while it was in flight
//!  pending ─────────────▶ cancelled ──────────────────────────────▶ delivered | exhausted
//!     │ finish
//!     ├──▶ delivered
//!     ├──▶ exhausted ──supersede──▶ failed   + next attempt, due now
//!     └──▶ failed                            + next attempt, due later
//! ```
//!
//! Storage calls [`apply`] inside the transaction that writes its answer, so the row, the next row, the
//! endpoint's failure counter and the endpoint's status change together or not at all. The rules are
//! sections 1 and 8 of the contract.

use crate::domain::Timestamp;
use crate::domain::attempts::attempt::{AttemptStatus, Budget, ErrorKind, Outcome, Trigger};
use crate::domain::attempts::retry::Schedule;
use crate::domain::endpoint::EndpointStatus;

/// The attempt as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Current {
    pub status: AttemptStatus,
    pub attempt: u32,
    pub trigger: Trigger,
    pub budget: Budget,
}

/// The endpoint as it stands when something happens to one of its attempts.
#[derive(Debug, Clone, Copy)]
pub struct EndpointNow<'a> {
    /// `None` when it was deleted.
    pub status: Option<EndpointStatus>,
    pub consecutive_failures: u32,
    pub schedule: &'a Schedule,
}

/// What the rules need besides the row: the policy, the time, and chance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// Failed attempts in a row that disable an endpoint; 0 = never.
    pub disable_after_failures: u32,
    /// Share of a wait by which it may be longer.
    pub jitter: f64,
    /// Chance, `0.0..1.0`.
    pub unit: f64,
}

/// What happens.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// The request is done.
    Finish { outcome: &'a Outcome, endpoint: EndpointNow<'a>, rules: Rules },
    /// The endpoint was deleted or disabled.
    Cancel,
    /// Someone wants an exhausted delivery to go on now.
    Supersede { trigger: Trigger, budget: Budget, now: Timestamp },
}

/// The attempt that follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Next {
    pub attempt: u32,
    pub trigger: Trigger,
    pub budget: Budget,
    pub due_at: Timestamp,
}

/// What becomes of the endpoint's failure counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counter {
    Keep,
    Clear,
    Increment,
}

/// Why an endpoint is switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disable {
    /// So many failed attempts in a row.
    Failures(u32),
    /// The receiver answered 410.
    Gone,
}

impl Disable {
    /// The endpoint's `status_reason`.
    pub fn reason(self) -> String {
        match self {
            Disable::Failures(n) => format!("Disabled after {n} failed attempts in a row."),
            Disable::Gone => "Disabled because the receiver answered 410 Gone.".to_owned(),
        }
    }
}

/// The answer: what to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    pub status: AttemptStatus,
    pub next: Option<Next>,
    pub counter: Counter,
    pub disable: Option<Disable>,
}

/// What cannot happen to an attempt in this state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an attempt that is {status} cannot be {verb}")]
pub struct Impossible {
    pub status: AttemptStatus,
    pub verb: &'static str,
}

/// Says what becomes of an attempt.
pub fn apply(current: Current, input: Input<'_>) -> Result<Transition, Impossible> {
    use AttemptStatus::{Cancelled, Delivered, Exhausted, Failed, Pending};
    match (current.status, input) {
        (Pending, Input::Finish { outcome, endpoint, rules }) => {
            Ok(finish(current, outcome, endpoint, rules))
        }
        // It was in flight when its endpoint was deleted or disabled. What really happened wins over
        // the mark, and nothing follows.
        (Cancelled, Input::Finish { outcome, .. }) => {
            let status = if outcome.failure.is_none() { Delivered } else { Exhausted };
            Ok(only(status))
        }
        (Pending, Input::Cancel) => Ok(only(Cancelled)),
        (Exhausted, Input::Supersede { trigger, budget, now }) => {
            let next = Next { attempt: current.attempt + 1, trigger, budget, due_at: now };
            Ok(Transition { next: Some(next), ..only(Failed) })
        }
        (Delivered | Failed | Exhausted, Input::Finish { .. }) => impossible(current, "finished again"),
        (Delivered | Failed | Exhausted | Cancelled, Input::Cancel) => impossible(current, "cancelled"),
        (Pending | Delivered | Failed | Cancelled, Input::Supersede { .. }) => {
            impossible(current, "superseded")
        }
    }
}

fn only(status: AttemptStatus) -> Transition {
    Transition { status, next: None, counter: Counter::Keep, disable: None }
}

fn impossible(current: Current, verb: &'static str) -> Result<Transition, Impossible> {
    Err(Impossible { status: current.status, verb })
}

fn finish(current: Current, outcome: &Outcome, endpoint: EndpointNow<'_>, rules: Rules) -> Transition {
    let Some(failure) = &outcome.failure else {
        let counter = if current.trigger == Trigger::Test { Counter::Keep } else { Counter::Clear };
        return Transition { counter, ..only(AttemptStatus::Delivered) };
    };
    if current.trigger == Trigger::Test {
        return only(AttemptStatus::Exhausted);
    }
    if failure.kind == ErrorKind::Interrupted {
        return interrupted(current, outcome.finished_at, endpoint);
    }

    // A single shot leaves the endpoint's status alone, whatever comes back.
    let disable = match current.budget {
        Budget::Single => None,
        Budget::Schedule { .. } => disable(outcome, endpoint, rules),
    };
    let open = disable.is_none() && accepts(endpoint.status);
    let next = if open { scheduled(current, outcome, endpoint.schedule, rules) } else { None };
    let status = if next.is_some() { AttemptStatus::Failed } else { AttemptStatus::Exhausted };
    Transition { status, next, counter: Counter::Increment, disable }
}

/// Whether an endpoint in this state still gets retries of deliveries that have begun.
fn accepts(status: Option<EndpointStatus>) -> bool {
    matches!(status, Some(EndpointStatus::Active | EndpointStatus::Paused))
}

fn disable(outcome: &Outcome, endpoint: EndpointNow<'_>, rules: Rules) -> Option<Disable> {
    if !accepts(endpoint.status) {
        return None;
    }
    if outcome.is_gone() {
        return Some(Disable::Gone);
    }
    let failures = endpoint.consecutive_failures.saturating_add(1);
    let limit = rules.disable_after_failures;
    (limit > 0 && failures >= limit).then_some(Disable::Failures(failures))
}

fn scheduled(current: Current, outcome: &Outcome, schedule: &Schedule, rules: Rules) -> Option<Next> {
    let Budget::Schedule { used } = current.budget else { return None };
    let due_at =
        schedule.next_due(used, outcome.finished_at, rules.jitter, rules.unit, outcome.not_before)?;
    let budget = Budget::Schedule { used: used + 1 };
    Some(Next { attempt: current.attempt + 1, trigger: Trigger::Retry, budget, due_at })
}

/// An interrupted attempt does not count: the next one is due at once and has the same budget.
fn interrupted(current: Current, now: Timestamp, endpoint: EndpointNow<'_>) -> Transition {
    let wanted = match current.budget {
        Budget::Single => endpoint.status.is_some(),
        Budget::Schedule { .. } => accepts(endpoint.status),
    };
    if !wanted {
        return only(AttemptStatus::Exhausted);
    }
    let trigger = if current.budget == Budget::Single { current.trigger } else { Trigger::Retry };
    let next = Next { attempt: current.attempt + 1, trigger, budget: current.budget, due_at: now };
    Transition { next: Some(next), ..only(AttemptStatus::Failed) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::attempts::attempt::{Failure, Response};
    use crate::domain::{Headers, Span};
    use proptest::prelude::*;

    fn now() -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000)
    }

    fn schedule(waits: &[u32]) -> Schedule {
        Schedule::new(waits.iter().map(|s| Span::from_secs(*s)).collect()).unwrap()
    }

    fn answered(status: u16) -> Outcome {
        let ok = (200..300).contains(&status);
        let failure = Failure { kind: ErrorKind::HttpStatus, message: format!("HTTP {status}") };
        Outcome {
            attempted_at: Some(now()),
            finished_at: now(),
            response_time_ms: Some(5),
            request: None,
            response: Some(Response {
                status,
                headers: Headers::default(),
                body: vec![],
                body_truncated: false,
            }),
            failure: (!ok).then_some(failure),
            not_before: None,
        }
    }

    fn failed(kind: ErrorKind) -> Outcome {
        let failure = Some(Failure { kind, message: "m".into() });
        Outcome { response: None, failure, ..answered(200) }
    }

    fn pending(budget: Budget) -> Current {
        Current { status: AttemptStatus::Pending, attempt: 1, trigger: Trigger::Event, budget }
    }

    fn fresh() -> Current {
        pending(Budget::Schedule { used: 0 })
    }

    fn endpoint(schedule: &Schedule, failures: u32) -> EndpointNow<'_> {
        EndpointNow { status: Some(EndpointStatus::Active), consecutive_failures: failures, schedule }
    }

    const RULES: Rules = Rules { disable_after_failures: 3, jitter: 0.0, unit: 0.0 };

    fn finish(current: Current, outcome: &Outcome, endpoint: EndpointNow<'_>) -> Transition {
        apply(current, Input::Finish { outcome, endpoint, rules: RULES }).unwrap()
    }

    #[test]
    fn a_2xx_delivers_and_clears_the_counter() {
        let s = schedule(&[60]);
        let t = finish(fresh(), &answered(204), endpoint(&s, 2));
        assert_eq!(t, Transition { counter: Counter::Clear, ..only(AttemptStatus::Delivered) });
    }

    #[test]
    fn a_failure_is_followed_by_the_next_step_of_the_schedule() {
        let s = schedule(&[60, 120]);
        let t = finish(pending(Budget::Schedule { used: 1 }), &answered(302), endpoint(&s, 0));
        assert_eq!((t.status, t.counter, t.disable), (AttemptStatus::Failed, Counter::Increment, None));
        let next = t.next.unwrap();
        assert_eq!(
            (next.attempt, next.trigger, next.budget),
            (2, Trigger::Retry, Budget::Schedule { used: 2 })
        );
        assert_eq!(next.due_at, now().plus_ms(120_000));
    }

    #[test]
    fn the_last_failure_exhausts() {
        let s = schedule(&[60]);
        let t = finish(pending(Budget::Schedule { used: 1 }), &failed(ErrorKind::Timeout), endpoint(&s, 0));
        assert_eq!((t.status, t.next), (AttemptStatus::Exhausted, None));
    }

    #[test]
    fn the_attempt_that_reaches_the_limit_is_exhausted_and_disables() {
        let s = schedule(&[60]);
        assert_eq!(finish(fresh(), &answered(500), endpoint(&s, 1)).disable, None);
        let t = finish(fresh(), &answered(500), endpoint(&s, 2));
        assert_eq!(
            (t.status, t.next, t.disable),
            (AttemptStatus::Exhausted, None, Some(Disable::Failures(3)))
        );
        let never = Rules { disable_after_failures: 0, ..RULES };
        let outcome = answered(500);
        let t =
            apply(fresh(), Input::Finish { outcome: &outcome, endpoint: endpoint(&s, 1_000), rules: never })
                .unwrap();
        assert_eq!(t.disable, None);
    }

    #[test]
    fn a_410_disables_at_once() {
        let s = schedule(&[60]);
        let t = finish(fresh(), &answered(410), endpoint(&s, 0));
        assert_eq!((t.status, t.next, t.disable), (AttemptStatus::Exhausted, None, Some(Disable::Gone)));
    }

    #[test]
    fn a_disabled_or_deleted_endpoint_gets_no_retry_and_is_not_disabled_again() {
        let s = schedule(&[60]);
        for status in [Some(EndpointStatus::Disabled), None] {
            let t = finish(fresh(), &answered(410), EndpointNow { status, ..endpoint(&s, 9) });
            assert_eq!((t.status, t.next, t.disable), (AttemptStatus::Exhausted, None, None));
        }
        let paused = EndpointNow { status: Some(EndpointStatus::Paused), ..endpoint(&s, 0) };
        assert!(finish(fresh(), &answered(500), paused).next.is_some());
    }

    #[test]
    fn a_single_shot_schedules_nothing_and_leaves_the_status_alone() {
        let s = schedule(&[60]);
        for status in [410, 500] {
            let t = finish(pending(Budget::Single), &answered(status), endpoint(&s, 9));
            assert_eq!((t.status, t.next, t.disable), (AttemptStatus::Exhausted, None, None));
            assert_eq!(t.counter, Counter::Increment);
        }
    }

    #[test]
    fn a_test_counts_neither_for_nor_against() {
        let s = schedule(&[60]);
        let test = Current { trigger: Trigger::Test, ..pending(Budget::Single) };
        for (outcome, status) in
            [(answered(200), AttemptStatus::Delivered), (answered(410), AttemptStatus::Exhausted)]
        {
            assert_eq!(finish(test, &outcome, endpoint(&s, 2)), only(status));
        }
    }

    #[test]
    fn an_interrupted_attempt_does_not_count_and_is_due_again_at_once() {
        let s = schedule(&[60]);
        let t = finish(fresh(), &failed(ErrorKind::Interrupted), endpoint(&s, 2));
        assert_eq!((t.status, t.counter, t.disable), (AttemptStatus::Failed, Counter::Keep, None));
        let next = t.next.unwrap();
        assert_eq!((next.attempt, next.budget, next.due_at), (2, Budget::Schedule { used: 0 }, now()));
    }

    #[test]
    fn what_was_in_flight_when_its_endpoint_went_is_told_as_it_happened() {
        let s = schedule(&[60]);
        let cancelled = Current { status: AttemptStatus::Cancelled, ..fresh() };
        assert_eq!(finish(cancelled, &answered(200), endpoint(&s, 0)), only(AttemptStatus::Delivered));
        assert_eq!(finish(cancelled, &answered(500), endpoint(&s, 0)), only(AttemptStatus::Exhausted));
    }

    #[test]
    fn only_an_exhausted_delivery_can_be_superseded() {
        let input = Input::Supersede { trigger: Trigger::Manual, budget: Budget::Single, now: now() };
        for status in AttemptStatus::ALL.iter().copied() {
            let t = apply(Current { status, attempt: 4, ..fresh() }, input);
            assert_eq!(t.is_ok(), status == AttemptStatus::Exhausted, "{status}");
            if let Ok(t) = t {
                let next = t.next.unwrap();
                assert_eq!((t.status, next.attempt, next.due_at), (AttemptStatus::Failed, 5, now()));
            }
        }
    }

    fn any_status() -> impl Strategy<Value = AttemptStatus> {
        proptest::sample::select(AttemptStatus::ALL)
    }

    fn any_outcome() -> impl Strategy<Value = Outcome> {
        prop_oneof![
            (100u16..600).prop_map(answered),
            proptest::sample::select(ErrorKind::ALL).prop_map(failed),
        ]
    }

    fn any_endpoint() -> impl Strategy<Value = Option<EndpointStatus>> {
        proptest::option::of(proptest::sample::select(EndpointStatus::ALL))
    }

    fn any_current() -> impl Strategy<Value = Current> {
        let budget = prop_oneof![Just(Budget::Single), (0u32..5).prop_map(|used| Budget::Schedule { used })];
        (any_status(), 1u32..9, proptest::sample::select(Trigger::ALL), budget)
            .prop_map(|(status, attempt, trigger, budget)| Current { status, attempt, trigger, budget })
    }

    proptest! {
        /// The invariant that statistics, health and the queue stand on.
        #[test]
        fn exactly_one_row_of_a_delivery_is_not_failed(
            current in any_current(), outcome in any_outcome(), status in any_endpoint(), failures in 0u32..5,
        ) {
            let s = schedule(&[1, 2, 3]);
            let endpoint = EndpointNow { status, consecutive_failures: failures, schedule: &s };
            let inputs = [
                Input::Finish { outcome: &outcome, endpoint, rules: RULES },
                Input::Cancel,
                Input::Supersede { trigger: Trigger::Manual, budget: Budget::Single, now: now() },
            ];
            for input in inputs {
                let Ok(t) = apply(current, input) else { continue };
                prop_assert_ne!(t.status, AttemptStatus::Pending);
                prop_assert_eq!(t.status == AttemptStatus::Failed, t.next.is_some());
                if let Some(next) = t.next {
                    prop_assert_eq!(next.attempt, current.attempt + 1);
                    prop_assert!(next.due_at >= now());
                }
                if t.disable.is_some() {
                    prop_assert_eq!(t.status, AttemptStatus::Exhausted);
                }
            }
        }

        #[test]
        fn delivered_means_2xx(current in any_current(), outcome in any_outcome(), status in any_endpoint()) {
            let s = schedule(&[1]);
            let endpoint = EndpointNow { status, consecutive_failures: 0, schedule: &s };
            if let Ok(t) = apply(current, Input::Finish { outcome: &outcome, endpoint, rules: RULES }) {
                prop_assert_eq!(t.status == AttemptStatus::Delivered, outcome.failure.is_none());
            }
        }

        #[test]
        fn what_is_over_is_over(current in any_current(), outcome in any_outcome()) {
            use AttemptStatus::{Delivered, Exhausted, Failed};
            let s = schedule(&[]);
            let over = matches!(current.status, Delivered | Exhausted | Failed);
            let input = Input::Finish { outcome: &outcome, endpoint: endpoint(&s, 0), rules: RULES };
            prop_assert_eq!(apply(current, input).is_err(), over);
        }
    }
}
