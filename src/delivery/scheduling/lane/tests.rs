//! How a lane takes hints and refills, and what it lets be sent.

use super::window::{SIZES, window_size};
use super::*;
use crate::domain::values::rate::Rate;

const SIZE: usize = *SIZES.end();

fn ids(range: std::ops::Range<i64>) -> impl Iterator<Item = AttemptId> {
    range.map(AttemptId)
}

fn due(range: std::ops::Range<i64>) -> Due {
    Due { attempts: ids(range).collect(), ..Due::default() }
}

fn fresh(id: i64) -> Hint {
    Hint { id: AttemptId(id), line: Line::Fresh }
}

fn bulk(id: i64) -> Hint {
    Hint { id: AttemptId(id), line: Line::Bulk }
}

fn single(id: i64) -> Hint {
    Hint { id: AttemptId(id), line: Line::Single }
}

fn wants_refill(lane: &Lane, size: usize) -> bool {
    lane.refill == Refill::Idle && lane.is_low(size)
}

/// Queues and starts a refill, as the scheduler does.
fn start_refill(lane: &mut Lane, size: usize) -> Option<usize> {
    assert!(lane.queue_refill(size).is_some() && lane.queue_refill(size).is_none(), "it is queued once");
    lane.start_refill(size)
}

fn now() -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000)
}

#[test]
fn a_new_lane_is_refilled_before_it_takes_a_hint() {
    let mut lane = Lane::new(Responsiveness::Unknown);
    assert!(!lane.push(fresh(1), SIZE) && !lane.push(bulk(9), SIZE) && wants_refill(&lane, SIZE));
    start_refill(&mut lane, SIZE);
    assert!(!lane.push(fresh(2), SIZE));
    assert_eq!(lane.refilled(due(1..3), None), [fresh(2)]);
    assert!(lane.push(fresh(3), SIZE) && lane.push(bulk(10), SIZE));
}

#[test]
fn hints_beyond_a_full_window_stay_in_the_table() {
    let mut lane = Lane::new(Responsiveness::Unknown);
    lane.refilled(due(0..SIZE as i64), None);
    assert!(!lane.push(fresh(9_999), SIZE));
    assert!(!wants_refill(&lane, SIZE));
    while lane.fresh.ids.len() >= SIZE / 4 {
        lane.pop();
    }
    assert!(wants_refill(&lane, SIZE));
}

#[test]
fn windows_are_smaller_when_there_are_many_lanes() {
    assert_eq!([0, 1, 200, 256, 512, 5_000, 1_000_000].map(window_size), [512, 512, 512, 512, 256, 32, 32]);
    let mut lane = Lane::new(Responsiveness::Unknown);
    assert_eq!(start_refill(&mut lane, 32), Some(32));
    lane.refilled(due(0..31), None);
    assert!(lane.push(fresh(31), 32) && !lane.push(fresh(32), 32));
    while lane.fresh.ids.len() >= 8 {
        assert!(!wants_refill(&lane, 32));
        lane.pop();
    }
    assert!(wants_refill(&lane, 32));
}

#[test]
fn a_lane_was_idle_when_nothing_is_due_here_or_in_the_table() {
    let mut lane = Lane::new(Responsiveness::Unknown);
    assert!(lane.was_idle, "as far as is known");
    lane.refilled(Due { more: true, ..due(0..2) }, None);
    for _ in 0..2 {
        lane.was_idle = false;
        lane.pop();
        assert!(!lane.was_idle, "there is more in the table");
    }
    lane.refilled(due(2..3), None);
    lane.pop();
    assert!(lane.was_idle);
    lane.was_idle = false;
    lane.mark_stale();
    start_refill(&mut lane, SIZE);
    lane.refilled(Due::default(), None);
    assert!(lane.was_idle, "the table has nothing either");
}

#[test]
fn a_refill_that_waits_among_backlogs_goes_before_them_when_the_lane_is_empty() {
    let mut lane = Lane::new(Responsiveness::Unknown);
    start_refill(&mut lane, SIZE);
    lane.refilled(due(0..1), None);
    // It waits for its turn to send when a poll looks whether a hint was lost.
    lane.was_idle = false;
    lane.mark_stale();
    assert_eq!(lane.queue_refill(SIZE), Some(false));
    lane.pop();
    assert!(!lane.push(fresh(1), SIZE), "the refill will find it");
    assert_eq!((lane.queue_refill(SIZE), lane.queue_refill(SIZE)), (Some(true), None));
    assert!(lane.start_refill(SIZE).is_some() && lane.start_refill(SIZE).is_none(), "it is started once");
}

#[test]
fn a_refill_that_may_be_older_than_a_change_is_repeated() {
    let mut lane = Lane::new(Responsiveness::Unknown);
    start_refill(&mut lane, SIZE);
    // The endpoint was resumed after the table had been read.
    lane.reset();
    assert!(lane.take_void() && !lane.take_void());
    assert!(wants_refill(&lane, SIZE));
    start_refill(&mut lane, SIZE);
    lane.refilled(due(0..1), None);
    assert!(!wants_refill(&lane, SIZE));
}

#[test]
fn too_many_hints_during_a_refill_repeat_it() {
    let mut lane = Lane::new(Responsiveness::Unknown);
    start_refill(&mut lane, SIZE);
    for id in ids(0..SIZE as i64 + 1) {
        lane.push(Hint { id, line: Line::Fresh }, SIZE);
    }
    assert_eq!(lane.refilled(Due::default(), None).len(), SIZE);
    assert!(wants_refill(&lane, SIZE));
}

#[test]
fn a_refill_reads_as_many_more_rows_as_are_in_flight_or_uncommitted() {
    let mut lane = Lane::new(Responsiveness::Unknown);
    (lane.in_flight, lane.uncommitted) = (10, 1_000);
    assert_eq!(start_refill(&mut lane, SIZE), Some(SIZE + 1_010));
}

#[test]
fn an_unresponsive_endpoint_gets_one_slot() {
    let mut lane = Lane::new(Responsiveness::Unknown);
    lane.refilled(due(0..5), None);
    assert!(lane.can_send(10));
    lane.in_flight = 1;
    assert!(!lane.can_send(10));
    lane.responsiveness = Responsiveness::Responsive;
    assert!(lane.can_send(10));
    lane.responsiveness = Responsiveness::Unresponsive;
    assert!(!lane.can_send(10));
}

#[test]
fn an_endpoint_that_failed_before_a_restart_is_unresponsive_until_it_responds() {
    let failing = || Due { failing: true, ..due(0..5) };
    let mut lane = Lane::new(Responsiveness::Unknown);
    lane.refilled(failing(), None);
    assert_eq!(lane.responsiveness, Responsiveness::Unresponsive);
    let mut lane = Lane::new(Responsiveness::Responsive);
    lane.refilled(failing(), None);
    assert_eq!(
        lane.responsiveness,
        Responsiveness::Responsive,
        "what was seen since the start is newer than the table"
    );
    let mut lane = Lane::new(Responsiveness::Unknown);
    lane.refilled(due(0..5), None);
    lane.refilled(failing(), None);
    assert_eq!(lane.responsiveness, Responsiveness::Unknown, "its first request is in flight by now");
}

#[test]
fn fresh_attempts_go_before_any_amount_of_bulk_work() {
    let mut lane = Lane::new(Responsiveness::Unknown);
    let backlog = ids(0..SIZE as i64).collect();
    lane.refilled(Due { bulk: backlog, more_bulk: true, ..Due::default() }, None);
    assert!(lane.is_bulk_next());
    assert!(lane.push(fresh(9_999), SIZE), "the window of fresh attempts is complete");
    assert!(!lane.is_bulk_next());
    assert_eq!((lane.pop(), lane.pop()), (Some(fresh(9_999)), Some(bulk(0))));
}

#[test]
fn bulk_work_leaves_half_of_the_slots_free() {
    let mut lane = Lane::new(Responsiveness::Unknown);
    lane.responsiveness = Responsiveness::Responsive;
    lane.refilled(Due { bulk: ids(0..9).collect(), ..Due::default() }, None);
    (lane.in_flight, lane.bulk_in_flight) = (4, 4);
    assert!(lane.can_send(10));
    (lane.in_flight, lane.bulk_in_flight) = (5, 5);
    assert!(!lane.can_send(10));
    assert!(lane.push(fresh(10), SIZE) && lane.can_send(10));
}

#[test]
fn a_single_shot_goes_first_but_within_the_slots_of_its_endpoint() {
    let mut lane = Lane::new(Responsiveness::Unknown);
    lane.refilled(due(0..5), None);
    (lane.responsiveness, lane.in_flight) = (Responsiveness::Unresponsive, 1);
    lane.push(single(9), SIZE);
    assert!(lane.can_send(2));
    lane.in_flight = 2;
    assert!(!lane.can_send(2));
    assert_eq!(lane.pop(), Some(single(9)));
    assert_eq!(lane.pop(), Some(fresh(0)));
}

#[test]
fn a_lane_is_dropped_only_when_a_new_one_would_be_the_same() {
    let mut lane = Lane::new(Responsiveness::Unknown);
    lane.refilled(Due::default(), None);
    assert!(lane.is_idle(now()));
    lane.refilled(Due { rate_limit: Some(Rate::per_second(1)), ..Due::default() }, None);
    lane.limiter.as_mut().unwrap().take(now()).unwrap();
    assert!(!lane.is_idle(now()));
    assert!(lane.is_idle(now().plus_ms(1_000)));
    lane.uncommitted = 1;
    assert!(!lane.is_idle(now().plus_ms(1_000)));
}

fn on_hold(at_ms: i64) -> Lane {
    let mut lane = Lane::new(Responsiveness::Unknown);
    lane.refilled(Due::default(), None);
    lane.set_hold(Some(Timestamp::from_millis(at_ms)), None);
    lane
}

#[test]
fn on_hold_only_single_shots_and_the_probe_are_sent() {
    let mut lane = on_hold(1_000);
    assert!(!lane.push(Hint { id: AttemptId(1), line: Line::Fresh }, SIZE), "it stays in the table");
    assert!(!lane.can_send(10));
    assert!(
        !lane.needs_probe(Timestamp::from_millis(999)) && lane.needs_probe(Timestamp::from_millis(1_000))
    );
    let probe = Hint { id: AttemptId(2), line: Line::Bulk };
    lane.set_hold(Some(Timestamp::from_millis(1_000)), Some(probe));
    lane.push(Hint { id: AttemptId(3), line: Line::Single }, SIZE);
    let sent = [lane.pop(), lane.pop(), lane.pop()].map(|hint| hint.map(|hint| hint.id.0));
    assert_eq!(sent, [Some(3), Some(2), None]);
    assert!(!lane.may_probe(), "one probe at a time");
    lane.ended(AttemptId(2));
    assert!(lane.may_probe());
}

#[test]
fn after_a_hold_the_requests_in_flight_double_with_each_round_of_successes() {
    let mut lane = on_hold(1_000);
    lane.set_hold(None, None);
    lane.responsiveness = Responsiveness::Responsive;
    lane.refilled(due(0..100), None);
    let mut rounds = Vec::new();
    for _ in 0..5 {
        while lane.can_send(10) {
            lane.pop();
            lane.in_flight += 1;
        }
        rounds.push(std::mem::take(&mut lane.in_flight));
        for _ in 0..rounds[rounds.len() - 1] {
            lane.succeeded(10);
        }
    }
    assert_eq!(rounds, [1, 2, 4, 8, 10]);
}
