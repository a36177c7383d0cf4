//! What the dispatcher knows of one endpoint: a bounded window of due attempts, and how many requests
//! may run at once. Pure state; the dispatcher does the waiting and the asking.

use std::collections::VecDeque;

use crate::domain::{AttemptId, Timestamp};

/// The most attempts of one endpoint that are held in memory, as ids.
pub(super) const WINDOW: usize = 512;
/// When fewer than this are left, the table is asked for more.
const LOW: usize = WINDOW / 4;

/// How an endpoint has been answering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Not known yet: one request at a time, so that a dead endpoint holds one slot and not all.
    New,
    /// Its last request was answered, well or badly.
    Answering,
    /// Its last request timed out: one request at a time, and few slots for all of its kind.
    Slow,
}

/// One endpoint's part of the queue.
#[derive(Debug)]
pub(super) struct Lane {
    window: VecDeque<AttemptId>,
    /// Whether the window holds everything that is due, as far as anyone knows. Hints can be appended
    /// to a complete window only; otherwise the table has earlier ones.
    complete: bool,
    /// Whether the table is being asked.
    pub(super) refilling: bool,
    /// Hints that came while the table was being asked: the answer may or may not contain them.
    arrived: Vec<AttemptId>,
    /// When to look again: the next attempt comes due.
    pub(super) wake_at: Option<Timestamp>,
    pub(super) running: usize,
    pub(super) manner: Manner,
    pub(super) pace: Pace,
    /// Whether the endpoint stands in the round of those that can be served.
    pub(super) in_round: bool,
}

impl Lane {
    /// A lane of which nothing is known: the table must be asked.
    pub(super) fn new() -> Lane {
        Lane {
            window: VecDeque::new(),
            complete: false,
            refilling: false,
            arrived: Vec::new(),
            wake_at: None,
            running: 0,
            manner: Manner::New,
            pace: Pace::default(),
            in_round: false,
        }
    }

    /// Takes a hint that an attempt is due. Says whether it is now in the window.
    pub(super) fn hint(&mut self, id: AttemptId) -> bool {
        if self.refilling {
            if self.arrived.len() < WINDOW {
                self.arrived.push(id);
            } else {
                self.complete = false;
            }
            return false;
        }
        if !self.complete || self.window.len() >= WINDOW {
            self.complete = false;
            return false;
        }
        self.window.push_back(id);
        true
    }

    /// Takes the table's answer; gives the hints that came meanwhile, to be taken again.
    pub(super) fn refilled(
        &mut self,
        due: impl IntoIterator<Item = AttemptId>,
        more: bool,
    ) -> Vec<AttemptId> {
        self.window.extend(due);
        self.complete = !more;
        self.refilling = false;
        std::mem::take(&mut self.arrived)
    }

    /// Forgets the window, so that the table is asked again; gives what it held.
    pub(super) fn reset(&mut self) -> VecDeque<AttemptId> {
        self.complete = false;
        std::mem::take(&mut self.window)
    }

    /// There may be more in the table than the window holds.
    pub(super) fn doubt(&mut self) {
        self.complete = false;
    }

    /// Whether the table should be asked now.
    pub(super) fn wants_refill(&self) -> bool {
        !self.complete && !self.refilling && self.window.len() < LOW
    }

    /// The next attempt to send.
    pub(super) fn pop(&mut self) -> Option<AttemptId> {
        self.window.pop_front()
    }

    /// Whether nothing is waiting, running or being asked.
    pub(super) fn is_idle(&self) -> bool {
        self.window.is_empty() && self.running == 0 && !self.refilling && self.wake_at.is_none()
    }

    /// How many requests may run at once; `limit` is the configured number.
    pub(super) fn slots(&self, limit: usize) -> usize {
        match self.manner {
            Manner::Answering => limit,
            Manner::New | Manner::Slow => 1,
        }
    }

    /// Whether there is something to send and a slot to send it with.
    pub(super) fn can_send(&self, limit: usize) -> bool {
        !self.window.is_empty() && self.running < self.slots(limit)
    }
}

/// Keeps an endpoint's `rate_limit`: requests are at least `1/rate` apart.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pace {
    rate: Option<u32>,
    /// In microseconds since 1970: at high rates a millisecond holds several requests.
    next_us: i64,
}

impl Pace {
    /// Sets the rate, in requests a second; `None` = no limit.
    pub(super) fn set_rate(&mut self, rate: Option<u32>) {
        self.rate = rate;
    }

    /// Takes a turn, or says when there will be one.
    pub(super) fn take(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        let Some(rate) = self.rate else { return Ok(()) };
        let now_us = now.as_millis() * 1_000;
        // Within the current millisecond is soon enough.
        if self.next_us >= now_us + 1_000 {
            return Err(Timestamp::from_millis(self.next_us / 1_000));
        }
        self.next_us = self.next_us.max(now_us) + 1_000_000 / i64::from(rate.max(1));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ids(range: std::ops::Range<i64>) -> Vec<AttemptId> {
        range.map(AttemptId).collect()
    }

    #[test]
    fn a_new_lane_asks_the_table_before_it_trusts_a_hint() {
        let mut lane = Lane::new();
        assert!(!lane.hint(AttemptId(1)) && lane.wants_refill());
        lane.refilling = true;
        assert!(!lane.hint(AttemptId(2)));
        assert_eq!(lane.refilled(ids(1..3), false), ids(2..3));
        assert!(lane.hint(AttemptId(3)));
    }

    #[test]
    fn a_full_window_sends_later_hints_to_the_table() {
        let mut lane = Lane::new();
        lane.refilled(ids(0..WINDOW as i64), false);
        assert!(!lane.hint(AttemptId(9_999)));
        assert!(!lane.wants_refill());
        while lane.window.len() >= LOW {
            lane.pop();
        }
        assert!(lane.wants_refill());
    }

    #[test]
    fn an_endpoint_that_does_not_answer_gets_one_slot() {
        let mut lane = Lane::new();
        lane.refilled(ids(0..5), false);
        assert_eq!(lane.slots(10), 1);
        lane.running = 1;
        assert!(!lane.can_send(10));
        lane.manner = Manner::Answering;
        assert!(lane.can_send(10));
        lane.manner = Manner::Slow;
        assert!(!lane.can_send(10));
    }

    proptest! {
        #[test]
        fn a_pace_is_kept_over_any_second(rate in 1u32..3_000, steps in proptest::collection::vec(0i64..40, 1..400)) {
            let mut pace = Pace::default();
            pace.set_rate(Some(rate));
            let mut now = Timestamp::from_millis(1_700_000_000_000);
            let mut sent: Vec<i64> = Vec::new();
            for step in steps {
                now = now.plus_ms(step);
                while pace.take(now).is_ok() {
                    sent.push(now.as_millis());
                }
                prop_assert!(pace.take(now).unwrap_err() > now);
            }
            for (i, from) in sent.iter().enumerate() {
                let within = sent[i..].iter().take_while(|t| **t < from + 1_000).count();
                prop_assert!(within as u32 <= rate + rate / 500 + 2, "{} in a second at {}", within, rate);
            }
        }
    }
}
