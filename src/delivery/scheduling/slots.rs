//! The requests in flight, over all endpoints, by how their endpoints have been answering.
//!
//! Endpoints that time out may hold half of all slots, and together with those that are not known yet
//! all but a quarter; so there is always room for those that answer, however many are dead. Bulk work
//! may hold half of all slots, wherever it goes. Pure numbers: the lanes say what runs, this says what
//! may.

use crate::delivery::scheduling::lane::Manner;

/// How many requests may run.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// In all.
    pub concurrency: usize,
    /// To one endpoint.
    pub endpoint_concurrency: usize,
}

/// The slots.
#[derive(Debug)]
pub(crate) struct Slots {
    limit: usize,
    new: usize,
    answering: usize,
    slow: usize,
    /// Of all these, how many are bulk work.
    bulk: usize,
}

impl Slots {
    /// `limit` requests in all; at least one.
    pub(crate) fn new(limit: usize) -> Slots {
        Slots { limit: limit.max(1), new: 0, answering: 0, slow: 0, bulk: 0 }
    }

    /// Whether all are taken.
    pub(crate) fn are_full(&self) -> bool {
        self.new + self.answering + self.slow >= self.limit
    }

    /// Whether there is one for an endpoint of this manner.
    pub(crate) fn has_room_for(&self, manner: Manner) -> bool {
        let slow_limit = (self.limit / 2).max(1);
        let unproven_limit = self.limit - self.limit / 4;
        let unproven = self.new + self.slow < unproven_limit;
        !self.are_full()
            && match manner {
                Manner::Answering => true,
                Manner::New => unproven,
                Manner::Slow => unproven && self.slow < slow_limit,
            }
    }

    /// Whether bulk work may take one more.
    pub(crate) fn has_room_for_bulk(&self) -> bool {
        self.bulk < (self.limit / 2).max(1)
    }

    /// Notes that a slot was taken for bulk work.
    pub(crate) fn take_bulk(&mut self) {
        self.bulk += 1;
    }

    /// Notes that a slot of bulk work was given back.
    pub(crate) fn give_back_bulk(&mut self) {
        self.bulk -= 1;
    }

    /// Takes one.
    pub(crate) fn take(&mut self, manner: Manner) {
        *self.of(manner) += 1;
    }

    /// Gives one back.
    pub(crate) fn give_back(&mut self, manner: Manner) {
        *self.of(manner) -= 1;
    }

    /// An endpoint with `running` requests in flight is of another manner now.
    pub(crate) fn turn(&mut self, running: usize, from: Manner, to: Manner) {
        *self.of(from) -= running;
        *self.of(to) += running;
    }

    fn of(&mut self, manner: Manner) -> &mut usize {
        match manner {
            Manner::New => &mut self.new,
            Manner::Answering => &mut self.answering,
            Manner::Slow => &mut self.slow,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(slots: &mut Slots, manner: Manner) -> usize {
        let mut taken = 0;
        while slots.has_room_for(manner) {
            slots.take(manner);
            taken += 1;
        }
        taken
    }

    #[test]
    fn the_dead_leave_room_for_the_living() {
        for (limit, slow, new, answering) in [(256, 128, 64, 64), (8, 4, 2, 2), (4, 2, 1, 1), (3, 1, 2, 0)] {
            let mut slots = Slots::new(limit);
            let taken = [Manner::Slow, Manner::New, Manner::Answering].map(|m| fill(&mut slots, m));
            assert_eq!(taken, [slow, new, answering], "{limit}");
            assert!(slots.are_full());
        }
        assert_eq!(fill(&mut Slots::new(1), Manner::Slow), 1);
        assert_eq!(fill(&mut Slots::new(2), Manner::New), 2);
        assert_eq!(fill(&mut Slots::new(2), Manner::Answering), 2);
    }

    #[test]
    fn what_runs_turns_with_its_endpoint() {
        let mut slots = Slots::new(8);
        fill(&mut slots, Manner::Answering);
        slots.give_back(Manner::Answering);
        slots.turn(7, Manner::Answering, Manner::Slow);
        assert!(!slots.has_room_for(Manner::Slow) && slots.has_room_for(Manner::Answering));
        slots.turn(7, Manner::Slow, Manner::Answering);
        assert!(slots.has_room_for(Manner::Slow));
    }
}
