//! Requests in flight, over all endpoints, counted by how responsive their endpoints are.
//!
//! Unresponsive endpoints may hold half of all slots, and together with unknown ones all but a quarter. So
//! responsive endpoints always find free slots, however many others are down. Bulk work may hold half of all
//! slots at any endpoint. Pure numbers: lanes know what is in flight, this knows what may be.

use crate::delivery::scheduling::lane::Responsiveness;

/// How many requests may be in flight.
#[derive(Debug, Clone, Copy)]
pub struct SlotLimits {
    /// In total.
    pub concurrency: usize,
    /// To one endpoint.
    pub endpoint_concurrency: usize,
}

/// The slots in use.
#[derive(Debug)]
pub(crate) struct Slots {
    limit: usize,
    unknown: usize,
    responsive: usize,
    unresponsive: usize,
    /// Of all these, how many are bulk work.
    bulk: usize,
}

impl Slots {
    /// `limit` requests in total; at least one.
    pub(crate) fn new(limit: usize) -> Slots {
        Slots { limit: limit.max(1), unknown: 0, responsive: 0, unresponsive: 0, bulk: 0 }
    }

    /// Whether all slots are in use.
    pub(crate) fn are_full(&self) -> bool {
        self.unknown + self.responsive + self.unresponsive >= self.limit
    }

    /// Whether an endpoint of this class may have one more.
    pub(crate) fn has_room_for(&self, class: Responsiveness) -> bool {
        let unresponsive_limit = (self.limit / 2).max(1);
        let unproven_limit = self.limit - self.limit / 4;
        let unproven = self.unknown + self.unresponsive < unproven_limit;
        !self.are_full()
            && match class {
                Responsiveness::Responsive => true,
                Responsiveness::Unknown => unproven,
                Responsiveness::Unresponsive => unproven && self.unresponsive < unresponsive_limit,
            }
    }

    /// Whether bulk work may have one more.
    pub(crate) fn has_room_for_bulk(&self) -> bool {
        self.bulk < (self.limit / 2).max(1)
    }

    /// Counts a slot as used by bulk work.
    pub(crate) fn take_bulk(&mut self) {
        self.bulk += 1;
    }

    /// Counts a slot as no longer used by bulk work.
    pub(crate) fn give_back_bulk(&mut self) {
        self.bulk -= 1;
    }

    /// Takes a slot.
    pub(crate) fn take(&mut self, class: Responsiveness) {
        *self.of(class) += 1;
    }

    /// Gives a slot back.
    pub(crate) fn give_back(&mut self, class: Responsiveness) {
        *self.of(class) -= 1;
    }

    /// Moves an endpoint's `in_flight` requests from one class to another.
    pub(crate) fn reclassify(&mut self, in_flight: usize, from: Responsiveness, to: Responsiveness) {
        *self.of(from) -= in_flight;
        *self.of(to) += in_flight;
    }

    fn of(&mut self, class: Responsiveness) -> &mut usize {
        match class {
            Responsiveness::Unknown => &mut self.unknown,
            Responsiveness::Responsive => &mut self.responsive,
            Responsiveness::Unresponsive => &mut self.unresponsive,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(slots: &mut Slots, class: Responsiveness) -> usize {
        let mut taken = 0;
        while slots.has_room_for(class) {
            slots.take(class);
            taken += 1;
        }
        taken
    }

    #[test]
    fn unresponsive_endpoints_leave_slots_for_others() {
        use Responsiveness::{Responsive, Unknown, Unresponsive};
        for (limit, unresponsive, unknown, responsive) in
            [(256, 128, 64, 64), (8, 4, 2, 2), (4, 2, 1, 1), (3, 1, 2, 0)]
        {
            let mut slots = Slots::new(limit);
            let taken = [Unresponsive, Unknown, Responsive].map(|class| fill(&mut slots, class));
            assert_eq!(taken, [unresponsive, unknown, responsive], "{limit}");
            assert!(slots.are_full());
        }
        assert_eq!(fill(&mut Slots::new(1), Unresponsive), 1);
        assert_eq!(fill(&mut Slots::new(2), Unknown), 2);
        assert_eq!(fill(&mut Slots::new(2), Responsive), 2);
    }

    #[test]
    fn requests_in_flight_change_class_with_their_endpoint() {
        use Responsiveness::{Responsive, Unresponsive};
        let mut slots = Slots::new(8);
        fill(&mut slots, Responsive);
        slots.give_back(Responsive);
        slots.reclassify(7, Responsive, Unresponsive);
        assert!(!slots.has_room_for(Unresponsive) && slots.has_room_for(Responsive));
        slots.reclassify(7, Unresponsive, Responsive);
        assert!(slots.has_room_for(Unresponsive));
    }
}
