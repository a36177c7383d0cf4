//! What the dispatcher knows of one endpoint: a bounded window of due attempts, and how many requests
//! may run at once. Pure state; the dispatcher does the waiting and the asking.
//!
//! What bulk jobs have made pending is a window of its own. It is served only while nothing is fresh,
//! and never with more than half of the slots, so that a new event overtakes any backlog and hardly
//! waits for a free slot. There is no other pacing: how fast bulk work goes follows from what the
//! receiver can take, and an endpoint that fresh events keep busy all the time gets to it later.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use crate::domain::{AttemptId, Timestamp};
use crate::store::Due;

use crate::delivery::scheduling::pace::Pace;

/// The most attempts of one kind and endpoint that are held in memory, as ids, and the least when there are many
/// endpoints.
const WINDOW: RangeInclusive<usize> = 32..=512;
/// About what all windows together hold, until there are so many that each has its least.
const WINDOWS: usize = 128 << 10;

/// How many attempts a window may hold where there are so many lanes. When a quarter is left, the table is asked
/// for more.
pub(crate) fn window(lanes: usize) -> usize {
    (WINDOWS / lanes.max(1)).clamp(*WINDOW.start(), *WINDOW.end())
}

/// How an endpoint has been answering.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Not known yet: one request at a time, so that a dead endpoint holds one slot and not all.
    #[default]
    New,
    /// Its last request was answered, well or badly.
    Answering,
    /// Its last request timed out, or failed in an earlier life of the program: one request at a time, and few slots for all of its kind.
    Slow,
}

/// An attempt of the schedule that is said to be due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hint {
    pub(crate) id: AttemptId,
    /// Whether it is part of a bulk job.
    pub(crate) bulk: bool,
}

/// Due attempts of one kind, earliest first.
#[derive(Debug, Default)]
struct Window {
    ids: VecDeque<AttemptId>,
    /// Whether the window holds everything that is due, as far as anyone knows. Hints can be appended
    /// to a complete window only; otherwise the table has earlier ones.
    complete: bool,
}

impl Window {
    fn hint(&mut self, id: AttemptId, size: usize) -> bool {
        if !self.complete || self.ids.len() >= size {
            self.complete = false;
            return false;
        }
        self.ids.push_back(id);
        true
    }

    /// Whether nothing is waiting, here or in the table.
    fn is_done(&self) -> bool {
        self.complete && self.ids.is_empty()
    }

    fn is_low(&self, size: usize) -> bool {
        !self.complete && self.ids.len() < size / 4
    }
}

/// One endpoint's part of the queue.
#[derive(Debug)]
pub(crate) struct Lane {
    /// Single shots go first, and whatever the endpoint's status and manner. They are subject to
    /// the endpoint's number of slots and to its rate all the same.
    singles: VecDeque<AttemptId>,
    fresh: Window,
    bulk: Window,
    /// Whether the table is being asked.
    refilling: bool,
    /// Whether something happened while the table was being asked that its answer may not know of.
    doubted: bool,
    /// Whether the table has answered before; until then the rate is not known.
    known: bool,
    /// Hints that came while the table was being asked: the answer may or may not contain them.
    arrived: Vec<Hint>,
    /// When the next attempt comes due and the table is to be asked again.
    pub(crate) due_at: Option<Timestamp>,
    /// Nothing is sent before this: the rate, or a pause after trouble with storage.
    pub(crate) not_before: Option<Timestamp>,
    /// When the dispatcher looks at this lane again; kept by [`crate::delivery::scheduling::wakes::Wakes`].
    pub(crate) wake_at: Option<Timestamp>,
    pub(crate) running: usize,
    /// Of these, how many are part of bulk jobs.
    pub(crate) bulk_running: usize,
    /// Whether its bulk work waits for other endpoints' to end.
    pub(crate) bulk_held: bool,
    /// Sent, with a result that is not on disk yet. The table still has them as pending.
    pub(crate) unwritten: usize,
    pub(crate) manner: Manner,
    pub(crate) pace: Pace,
    /// Whether the endpoint stands in the round of those that can be served, or is held back from it.
    pub(crate) in_round: bool,
    /// Whether it stands in the line of those for which the table is to be asked.
    pub(crate) in_line: bool,
    /// Whether nothing was waiting after its last turn, as far as anyone knows: then its next one is before others'.
    pub(crate) rested: bool,
}

impl Lane {
    /// A lane of which nothing is known but how the endpoint answered last: the table must be asked.
    pub(crate) fn new(manner: Manner) -> Lane {
        Lane {
            singles: VecDeque::new(),
            fresh: Window::default(),
            bulk: Window::default(),
            refilling: false,
            doubted: false,
            known: false,
            arrived: Vec::new(),
            due_at: None,
            not_before: None,
            wake_at: None,
            running: 0,
            bulk_running: 0,
            bulk_held: false,
            unwritten: 0,
            manner,
            pace: Pace::default(),
            in_round: false,
            in_line: false,
            rested: true,
        }
    }

    /// Takes a single shot.
    pub(crate) fn single(&mut self, id: AttemptId) {
        self.singles.push_back(id);
    }

    /// Takes a hint that an attempt is due. Says whether it is now in a window, which holds `size` at the most.
    pub(crate) fn hint(&mut self, hint: Hint, size: usize) -> bool {
        if self.refilling {
            if self.arrived.len() < size {
                self.arrived.push(hint);
            } else {
                self.doubt();
            }
            return false;
        }
        let window = if hint.bulk { &mut self.bulk } else { &mut self.fresh };
        window.hint(hint.id, size)
    }

    /// Begins to ask the table; says how many rows it should give for windows of `size`.
    pub(crate) fn start_refill(&mut self, size: usize) -> usize {
        self.refilling = true;
        self.doubted = false;
        // Those under way are still pending in the table and come back with the answer.
        size + self.running + self.unwritten
    }

    /// Takes the table's answer, without what is known already; gives the hints that came meanwhile, to
    /// be taken again.
    pub(crate) fn refilled(&mut self, due: Due) -> Vec<Hint> {
        self.fresh.ids.extend(due.attempts);
        self.fresh.complete = !due.more && !self.doubted;
        self.bulk.ids.extend(due.bulk);
        self.bulk.complete = !due.more_bulk && !self.doubted;
        self.refilling = false;
        // Nothing can have been sent before the first answer, so no slot changes its kind.
        if !self.known && self.manner == Manner::New && due.failing {
            self.manner = Manner::Slow;
        }
        self.known = true;
        self.rested |= self.is_done();
        std::mem::take(&mut self.arrived)
    }

    /// Notes that the table could not answer. It is not asked again by itself, but by the next doubt.
    pub(crate) fn refill_failed(&mut self) {
        self.fresh.complete = true;
        self.bulk.complete = true;
        self.refilling = false;
        self.arrived.clear();
    }

    /// Forgets the windows, so that the table is asked again; gives what they held.
    pub(crate) fn reset(&mut self) -> Vec<AttemptId> {
        self.doubt();
        self.not_before = None;
        self.fresh.ids.drain(..).chain(self.bulk.ids.drain(..)).collect()
    }

    /// There may be more in the table than the windows hold, or than an answer on its way knows of.
    pub(crate) fn doubt(&mut self) {
        self.fresh.complete = false;
        self.bulk.complete = false;
        self.doubted = true;
    }

    /// Whether the table should be asked now, where windows hold `size`.
    pub(crate) fn wants_refill(&self, size: usize) -> bool {
        !self.refilling && (self.fresh.is_low(size) || self.bulk.is_low(size))
    }

    /// The next attempt to send, when [`Lane::can_send`]; and whether it is part of a bulk job.
    pub(crate) fn pop(&mut self) -> Option<Hint> {
        let popped = match self.singles.pop_front().or_else(|| self.fresh.ids.pop_front()) {
            Some(id) => Some(Hint { id, bulk: false }),
            None => self.bulk.ids.pop_front().map(|id| Hint { id, bulk: true }),
        };
        self.rested = self.is_done();
        popped
    }

    /// Whether nothing at all is waiting, here or in the table.
    fn is_done(&self) -> bool {
        self.singles.is_empty() && self.fresh.is_done() && self.bulk.is_done()
    }

    /// Whether what comes next is part of a bulk job.
    pub(crate) fn is_bulk_next(&self) -> bool {
        self.singles.is_empty() && self.fresh.ids.is_empty()
    }

    /// Whether nothing is waiting, running or being asked, and nothing is remembered that matters.
    pub(crate) fn is_idle(&self, now: Timestamp) -> bool {
        self.singles.is_empty()
            && self.fresh.ids.is_empty()
            && self.bulk.ids.is_empty()
            && self.running + self.unwritten == 0
            && !self.refilling
            && !self.in_round
            && !self.in_line
            && self.wake_at.is_none()
            && self.pace.is_rested(now)
    }

    /// How many requests of the schedule may run at once; `limit` is the configured number.
    fn slots(&self, limit: usize) -> usize {
        match self.manner {
            Manner::Answering => limit,
            Manner::New | Manner::Slow => 1,
        }
    }

    /// Whether there is bulk work, within its half of the slots: a fresh event is to find a free one.
    fn can_send_bulk(&self, limit: usize) -> bool {
        !self.bulk.ids.is_empty() && self.bulk_running < self.slots(limit).div_ceil(2)
    }

    /// Whether there is something to send and a slot to send it with.
    pub(crate) fn can_send(&self, limit: usize) -> bool {
        let slots = if !self.singles.is_empty() {
            // A person waits for it, so it does not wait behind a request that hangs.
            limit
        } else if !self.fresh.ids.is_empty() || self.can_send_bulk(limit) {
            self.slots(limit)
        } else {
            0
        };
        self.known && self.not_before.is_none() && self.running < slots
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = *WINDOW.end();

    fn ids(range: std::ops::Range<i64>) -> impl Iterator<Item = AttemptId> {
        range.map(AttemptId)
    }

    fn due(range: std::ops::Range<i64>) -> Due {
        Due { attempts: ids(range).collect(), ..Due::default() }
    }

    fn fresh(id: i64) -> Hint {
        Hint { id: AttemptId(id), bulk: false }
    }

    fn bulk(id: i64) -> Hint {
        Hint { id: AttemptId(id), bulk: true }
    }

    fn now() -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000)
    }

    #[test]
    fn a_new_lane_asks_the_table_before_it_trusts_a_hint() {
        let mut lane = Lane::new(Manner::New);
        assert!(!lane.hint(fresh(1), SIZE) && !lane.hint(bulk(9), SIZE) && lane.wants_refill(SIZE));
        lane.start_refill(SIZE);
        assert!(!lane.hint(fresh(2), SIZE));
        assert_eq!(lane.refilled(due(1..3)), [fresh(2)]);
        assert!(lane.hint(fresh(3), SIZE) && lane.hint(bulk(10), SIZE));
    }

    #[test]
    fn a_full_window_sends_later_hints_to_the_table() {
        let mut lane = Lane::new(Manner::New);
        lane.refilled(due(0..SIZE as i64));
        assert!(!lane.hint(fresh(9_999), SIZE));
        assert!(!lane.wants_refill(SIZE));
        while lane.fresh.ids.len() >= SIZE / 4 {
            lane.pop();
        }
        assert!(lane.wants_refill(SIZE));
    }

    #[test]
    fn windows_are_smaller_where_there_are_many() {
        assert_eq!([0, 1, 200, 256, 512, 5_000, 1_000_000].map(window), [512, 512, 512, 512, 256, 32, 32]);
        let mut lane = Lane::new(Manner::New);
        assert_eq!(lane.start_refill(32), 32);
        lane.refilled(due(0..31));
        assert!(lane.hint(fresh(31), 32) && !lane.hint(fresh(32), 32));
        while lane.fresh.ids.len() >= 8 {
            assert!(!lane.wants_refill(32));
            lane.pop();
        }
        assert!(lane.wants_refill(32));
    }

    #[test]
    fn a_lane_has_rested_when_nothing_is_waiting_here_or_in_the_table() {
        let mut lane = Lane::new(Manner::New);
        assert!(lane.rested, "as far as anyone knows");
        lane.refilled(Due { more: true, ..due(0..2) });
        for _ in 0..2 {
            lane.rested = false;
            lane.pop();
            assert!(!lane.rested, "there is more in the table");
        }
        lane.refilled(due(2..3));
        lane.pop();
        assert!(lane.rested);
        lane.rested = false;
        lane.start_refill(SIZE);
        lane.refilled(Due::default());
        assert!(lane.rested, "the table has nothing either");
    }

    #[test]
    fn an_answer_that_may_be_older_than_a_change_is_asked_for_again() {
        let mut lane = Lane::new(Manner::New);
        lane.start_refill(SIZE);
        // The endpoint was resumed after the table had been read.
        lane.reset();
        lane.refilled(Due::default());
        assert!(lane.wants_refill(SIZE));
        lane.start_refill(SIZE);
        lane.refilled(due(0..1));
        assert!(!lane.wants_refill(SIZE));
    }

    #[test]
    fn hints_beyond_what_is_remembered_are_asked_for_again() {
        let mut lane = Lane::new(Manner::New);
        lane.start_refill(SIZE);
        for id in ids(0..SIZE as i64 + 1) {
            lane.hint(Hint { id, bulk: false }, SIZE);
        }
        assert_eq!(lane.refilled(Due::default()).len(), SIZE);
        assert!(lane.wants_refill(SIZE));
    }

    #[test]
    fn the_table_is_asked_for_more_than_it_gives_back_of_what_is_under_way() {
        let mut lane = Lane::new(Manner::New);
        (lane.running, lane.unwritten) = (10, 1_000);
        assert_eq!(lane.start_refill(SIZE), SIZE + 1_010);
    }

    #[test]
    fn an_endpoint_that_does_not_answer_gets_one_slot() {
        let mut lane = Lane::new(Manner::New);
        lane.refilled(due(0..5));
        assert!(lane.can_send(10));
        lane.running = 1;
        assert!(!lane.can_send(10));
        lane.manner = Manner::Answering;
        assert!(lane.can_send(10));
        lane.manner = Manner::Slow;
        assert!(!lane.can_send(10));
    }

    #[test]
    fn an_endpoint_that_failed_before_a_restart_is_slow_until_it_answers() {
        let failing = || Due { failing: true, ..due(0..5) };
        let mut lane = Lane::new(Manner::New);
        lane.refilled(failing());
        assert_eq!(lane.manner, Manner::Slow);
        let mut lane = Lane::new(Manner::Answering);
        lane.refilled(failing());
        assert_eq!(lane.manner, Manner::Answering, "this life knows better than the table");
        let mut lane = Lane::new(Manner::New);
        lane.refilled(due(0..5));
        lane.refilled(failing());
        assert_eq!(lane.manner, Manner::New, "its first request is in flight by now");
    }

    #[test]
    fn what_is_fresh_goes_before_bulk_work_however_much_of_that_there_is() {
        let mut lane = Lane::new(Manner::New);
        let backlog = ids(0..SIZE as i64).collect();
        lane.refilled(Due { bulk: backlog, more_bulk: true, ..Due::default() });
        assert!(lane.is_bulk_next());
        assert!(lane.hint(fresh(9_999), SIZE), "the window of fresh ones is complete all the same");
        assert!(!lane.is_bulk_next());
        assert_eq!((lane.pop(), lane.pop()), (Some(fresh(9_999)), Some(bulk(0))));
    }

    #[test]
    fn bulk_work_leaves_half_of_the_slots_free() {
        let mut lane = Lane::new(Manner::New);
        lane.manner = Manner::Answering;
        lane.refilled(Due { bulk: ids(0..9).collect(), ..Due::default() });
        (lane.running, lane.bulk_running) = (4, 4);
        assert!(lane.can_send(10));
        (lane.running, lane.bulk_running) = (5, 5);
        assert!(!lane.can_send(10));
        assert!(lane.hint(fresh(10), SIZE) && lane.can_send(10));
    }

    #[test]
    fn a_single_shot_goes_first_but_not_beyond_the_slots_of_the_endpoint() {
        let mut lane = Lane::new(Manner::New);
        lane.refilled(due(0..5));
        (lane.manner, lane.running) = (Manner::Slow, 1);
        lane.single(AttemptId(9));
        assert!(lane.can_send(2));
        lane.running = 2;
        assert!(!lane.can_send(2));
        assert_eq!(lane.pop(), Some(fresh(9)));
        assert_eq!(lane.pop(), Some(fresh(0)));
    }

    #[test]
    fn a_lane_is_forgotten_only_when_that_changes_nothing() {
        let mut lane = Lane::new(Manner::New);
        lane.refilled(Due::default());
        assert!(lane.is_idle(now()));
        lane.pace.set_rate(Some(1));
        lane.pace.take(now()).unwrap();
        assert!(!lane.is_idle(now()));
        assert!(lane.is_idle(now().plus_ms(1_000)));
        lane.unwritten = 1;
        assert!(!lane.is_idle(now().plus_ms(1_000)));
    }
}
