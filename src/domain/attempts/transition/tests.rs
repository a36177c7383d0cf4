use super::*;
use crate::domain::attempts::attempt::{Failure, Response};
use crate::domain::attempts::hold::{HoldReason, HoldState};
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
        response: Some(Response { status, headers: Headers::default(), body: vec![], body_truncated: false }),
        failure: (!ok).then_some(failure),
        not_before: None,
        route: None,
        is_final: false,
    }
}

fn failed(kind: ErrorKind) -> Outcome {
    let failure = Some(Failure { kind, message: "m".into() });
    Outcome { response: None, failure, ..answered(200) }
}

fn pending(budget: Budget) -> Current {
    Current {
        status: AttemptStatus::Pending,
        attempt: 1,
        trigger: Trigger::Event,
        budget,
        due_at: now(),
        local_since: None,
        held_since: None,
    }
}

fn fresh() -> Current {
    pending(Budget::Schedule { used: 0 })
}

fn endpoint(schedule: &Schedule, failures: u32) -> EndpointNow<'_> {
    let failed_since = (failures > 0).then(|| now().plus_ms(-1_000));
    let trouble = Trouble { failures, failed_since, ..Trouble::default() };
    EndpointNow { status: Some(EndpointStatus::Active), trouble, schedule }
}

const RULES: Rules = Rules {
    circuit_failures: 5,
    disable: DisableRules { failures: 3, after_ms: 0 },
    hold_at_most_ms: HELD_AT_MOST_MS,
    jitter: 0.0,
    unit: 0.0,
};
const HELD_AT_MOST_MS: i64 = 3 * 86_400_000;

fn finish(current: Current, outcome: &Outcome, endpoint: EndpointNow<'_>) -> Transition {
    apply(current, Input::Finish { outcome, endpoint, rules: RULES, is_probe: false }).unwrap()
}

#[test]
fn a_2xx_delivers_and_clears_the_counter() {
    let s = schedule(&[60]);
    let t = finish(fresh(), &answered(204), endpoint(&s, 2));
    assert_eq!(t, Transition { trouble: Some(Trouble::default()), ..only(AttemptStatus::Delivered) });
    assert_eq!(finish(fresh(), &answered(204), endpoint(&s, 0)), only(AttemptStatus::Delivered));
}

#[test]
fn a_failure_is_followed_by_the_next_step_of_the_schedule() {
    let s = schedule(&[60, 120]);
    let t = finish(pending(Budget::Schedule { used: 1 }), &answered(302), endpoint(&s, 0));
    assert_eq!((t.status, t.trouble.unwrap().failures, t.disable), (AttemptStatus::Failed, 1, None));
    let next = t.next.unwrap();
    assert_eq!((next.attempt, next.trigger, next.budget), (2, Trigger::Retry, Budget::Schedule { used: 2 }));
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
    assert_eq!((t.status, t.next, t.disable), (AttemptStatus::Exhausted, None, Some(Disable::Failures(3))));
    let never = Rules { disable: DisableRules { failures: 0, after_ms: 0 }, ..RULES };
    let outcome = answered(500);
    let t = apply(
        fresh(),
        Input::Finish { outcome: &outcome, endpoint: endpoint(&s, 1_000), rules: never, is_probe: false },
    )
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
        assert_eq!(t.trouble.unwrap().failures, 10);
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
    assert_eq!((t.status, t.trouble, t.disable), (AttemptStatus::Failed, None, None));
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

#[test]
fn a_local_failure_keeps_the_attempt_pending_with_growing_waits() {
    let s = schedule(&[1]);
    let mut current = fresh();
    let mut at = now();
    let mut waits = Vec::new();
    for _ in 0..10 {
        let outcome = Outcome { finished_at: at, ..failed(ErrorKind::Local) };
        let t = finish(current, &outcome, endpoint(&s, 19));
        let again_at = t.again_at.expect("it stays pending");
        assert_eq!(t, Transition { again_at: Some(again_at), ..only(AttemptStatus::Pending) });
        waits.push((again_at.as_millis() - at.as_millis()) / 1_000);
        current.local_since = current.local_since.or(Some(at));
        at = again_at;
    }
    assert_eq!(waits, [1, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
}

#[test]
fn an_attempt_that_fails_locally_for_three_days_is_exhausted_and_counts_nowhere() {
    let s = schedule(&[1]);
    let current = Current { local_since: Some(now().plus_ms(-HELD_AT_MOST_MS)), ..fresh() };
    let t = finish(current, &failed(ErrorKind::Local), endpoint(&s, 19));
    assert_eq!(t, only(AttemptStatus::Exhausted));
    let test = Current { trigger: Trigger::Test, ..pending(Budget::Single) };
    assert_eq!(finish(test, &failed(ErrorKind::Local), endpoint(&s, 0)), only(AttemptStatus::Exhausted));
}

fn on_hold(reason: HoldReason) -> Trouble {
    let hold = Hold { reason, since: now().plus_ms(-60_000), next_probe_at: now(), step: 1 };
    Trouble { hold: HoldState { hold: Some(hold), ..HoldState::default() }, ..Trouble::default() }
}

#[test]
fn on_hold_a_failure_uses_up_no_retry_and_its_successor_waits_for_the_next_probe() {
    let s = schedule(&[60]);
    let used_up = pending(Budget::Schedule { used: 1 });
    for (is_probe, wait_ms) in [(true, 60_000), (false, 0)] {
        let endpoint = EndpointNow { trouble: on_hold(HoldReason::Circuit), ..endpoint(&s, 0) };
        let outcome = failed(ErrorKind::Connect);
        let t =
            apply(used_up, Input::Finish { outcome: &outcome, endpoint, rules: RULES, is_probe }).unwrap();
        let next = t.next.unwrap();
        assert_eq!(
            (t.status, next.budget, next.trigger),
            (AttemptStatus::Failed, used_up.budget, Trigger::Retry)
        );
        assert_eq!((next.due_at, next.held_since), (now().plus_ms(wait_ms), Some(now())));
        assert_eq!(t.trouble.unwrap().failures, 1, "the counter counts it");
    }
}

#[test]
fn a_receiver_that_asks_for_a_pause_costs_no_retry_and_counts_nowhere() {
    let s = schedule(&[]);
    let outcome = Outcome { not_before: Some(now().plus_ms(90_000)), ..answered(429) };
    let t = finish(fresh(), &outcome, endpoint(&s, 2));
    let next = t.next.unwrap();
    assert_eq!((next.budget, next.due_at), (Budget::Schedule { used: 0 }, now().plus_ms(90_000)));
    assert_eq!((t.trouble.unwrap().failures, t.disable, t.news), (2, None, None));
}

#[test]
fn a_probe_that_is_refused_for_another_reason_follows_the_schedule_and_leaves_the_hold() {
    let s = schedule(&[60]);
    let endpoint = EndpointNow { trouble: on_hold(HoldReason::Circuit), ..endpoint(&s, 0) };
    let outcome = answered(404);
    let t =
        apply(fresh(), Input::Finish { outcome: &outcome, endpoint, rules: RULES, is_probe: true }).unwrap();
    assert_eq!(t.next.unwrap().budget, Budget::Schedule { used: 1 });
    assert_eq!(t.trouble.unwrap().hold, HoldState::default());
}

#[test]
fn a_single_shot_on_hold_is_a_probe_without_a_successor() {
    let s = schedule(&[60]);
    let endpoint = EndpointNow { trouble: on_hold(HoldReason::Circuit), ..endpoint(&s, 0) };
    let outcome = answered(503);
    let input = Input::Finish { outcome: &outcome, endpoint, rules: RULES, is_probe: true };
    let t = apply(pending(Budget::Single), input).unwrap();
    assert_eq!((t.status, t.next), (AttemptStatus::Exhausted, None));
    assert_eq!(t.trouble.unwrap().hold.hold.unwrap().next_probe_at, now().plus_ms(60_000));
}

#[test]
fn what_was_held_for_too_long_is_exhausted() {
    let s = schedule(&[60]);
    let outcome = answered(500);
    let held = |ms: i64| {
        let current = Current { held_since: Some(now().plus_ms(-ms)), ..fresh() };
        let endpoint = EndpointNow { trouble: on_hold(HoldReason::Circuit), ..endpoint(&s, 0) };
        apply(current, Input::Finish { outcome: &outcome, endpoint, rules: RULES, is_probe: true }).unwrap()
    };
    assert_eq!(held(HELD_AT_MOST_MS - 1).status, AttemptStatus::Failed);
    assert_eq!(held(HELD_AT_MOST_MS).status, AttemptStatus::Exhausted);
    assert_eq!(apply(fresh(), Input::GiveUp).unwrap(), only(AttemptStatus::Exhausted));
}

#[test]
fn an_outage_is_announced_once_and_so_is_its_end() {
    let s = schedule(&[60; 20]);
    let rules = Rules { disable: DisableRules { failures: 20, after_ms: 0 }, ..RULES };
    let mut trouble = Trouble::default();
    let mut news = Vec::new();
    for n in 0..15 {
        let outcome = Outcome { finished_at: now().plus_ms(n * 3_000), ..answered(500) };
        let endpoint = EndpointNow { trouble, ..endpoint(&s, 0) };
        let t =
            apply(fresh(), Input::Finish { outcome: &outcome, endpoint, rules, is_probe: n > 4 }).unwrap();
        trouble = t.trouble.unwrap();
        news.extend(t.news.map(|news| (n, news)));
    }
    assert_eq!(news, [(4, News::Failing)]);
    let endpoint = EndpointNow { trouble, ..endpoint(&s, 0) };
    let delivered = finish(fresh(), &answered(200), endpoint);
    assert_eq!((delivered.news, delivered.trouble), (Some(News::Recovered), Some(Trouble::default())));
}

#[test]
fn half_of_the_counter_announces_an_outage_that_opens_no_circuit() {
    let s = schedule(&[60; 20]);
    let rules = Rules { disable: DisableRules { failures: 5, after_ms: 0 }, ..RULES };
    let news_at = |failures| {
        let outcome = answered(404);
        let endpoint = endpoint(&s, failures);
        apply(fresh(), Input::Finish { outcome: &outcome, endpoint, rules, is_probe: false }).unwrap().news
    };
    assert_eq!([0, 1, 2, 3].map(news_at), [None, None, Some(News::Failing), None]);
}

fn any_status() -> impl Strategy<Value = AttemptStatus> {
    proptest::sample::select(AttemptStatus::ALL)
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![(100u16..600).prop_map(answered), proptest::sample::select(ErrorKind::ALL).prop_map(failed),]
}

fn any_endpoint() -> impl Strategy<Value = Option<EndpointStatus>> {
    proptest::option::of(proptest::sample::select(EndpointStatus::ALL))
}

fn any_current() -> impl Strategy<Value = Current> {
    let budget = prop_oneof![Just(Budget::Single), (0u32..5).prop_map(|used| Budget::Schedule { used })];
    (any_status(), 1u32..9, proptest::sample::select(Trigger::ALL), budget).prop_map(
        |(status, attempt, trigger, budget)| Current { status, attempt, trigger, ..pending(budget) },
    )
}

proptest! {
    /// The invariant that statistics, health and the queue stand on.
    #[test]
    fn exactly_one_row_of_a_delivery_is_not_failed(
        current in any_current(), outcome in any_outcome(), status in any_endpoint(), failures in 0u32..5,
    ) {
        let s = schedule(&[1, 2, 3]);
        let endpoint = EndpointNow { status, ..endpoint(&s, failures) };
        let inputs = [
            Input::Finish { outcome: &outcome, endpoint, rules: RULES, is_probe: false },
            Input::Cancel,
            Input::GiveUp,
            Input::Supersede { trigger: Trigger::Manual, budget: Budget::Single, now: now() },
        ];
        for input in inputs {
            let Ok(t) = apply(current, input) else { continue };
            prop_assert_eq!(t.status == AttemptStatus::Pending, t.again_at.is_some());
            if t.again_at.is_some() {
                prop_assert!(outcome.is_local() && t.trouble.is_none() && t.disable.is_none());
            }
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
        let endpoint = EndpointNow { status, ..endpoint(&s, 0) };
        if let Ok(t) = apply(current, Input::Finish { outcome: &outcome, endpoint, rules: RULES, is_probe: false }) {
            prop_assert_eq!(t.status == AttemptStatus::Delivered, outcome.failure.is_none());
        }
    }

    #[test]
    fn what_is_over_is_over(current in any_current(), outcome in any_outcome()) {
        use AttemptStatus::{Delivered, Exhausted, Failed};
        let s = schedule(&[]);
        let unsent = current.status == AttemptStatus::Cancelled && outcome.is_local();
        let over = unsent || matches!(current.status, Delivered | Exhausted | Failed);
        let input = Input::Finish { outcome: &outcome, endpoint: endpoint(&s, 0), rules: RULES, is_probe: false };
        prop_assert_eq!(apply(current, input).is_err(), over);
    }
}
