//! When the scheduler has to update which lane. At most one entry for each lane, so memory does not grow with
//! the number of changes.

use std::collections::BTreeSet;

use crate::domain::{EndpointId, Timestamp};

use crate::delivery::scheduling::lane::Lane;

/// The lanes that wait for a time.
#[derive(Debug, Default)]
pub(crate) struct Timers(BTreeSet<(Timestamp, EndpointId)>);

impl Timers {
    /// Moves the lane's timer to the earlier of its `due_at` and `not_before`.
    pub(crate) fn update(&mut self, endpoint: EndpointId, lane: &mut Lane) {
        let at = match (lane.due_at, lane.not_before) {
            (Some(due), Some(not_before)) => Some(due.min(not_before)),
            (due, not_before) => due.or(not_before),
        };
        if lane.timer_at == at {
            return;
        }
        if let Some(old) = lane.timer_at {
            self.0.remove(&(old, endpoint));
        }
        if let Some(new) = at {
            self.0.insert((new, endpoint));
        }
        lane.timer_at = at;
    }

    /// The earliest time.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.0.first().map(|(at, _)| *at)
    }

    /// The lanes whose time has come. The caller calls [`Timers::update`] for each of them.
    pub(crate) fn due(&self, now: Timestamp) -> Vec<EndpointId> {
        self.0.iter().take_while(|(at, _)| *at <= now).map(|(_, endpoint)| *endpoint).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::scheduling::lane::Responsiveness;

    #[test]
    fn a_lane_has_one_entry_however_often_it_changes() {
        let at = Timestamp::from_millis;
        let (mut timers, mut lane, endpoint) =
            (Timers::default(), Lane::new(Responsiveness::Unknown), EndpointId::new(at(0)));
        lane.due_at = Some(at(1_000));
        timers.update(endpoint, &mut lane);
        for ms in 1..100 {
            lane.not_before = Some(at(ms));
            timers.update(endpoint, &mut lane);
            assert_eq!((timers.next(), timers.0.len()), (Some(at(ms)), 1));
        }
        lane.not_before = None;
        timers.update(endpoint, &mut lane);
        assert_eq!(timers.due(at(999)), []);
        assert_eq!(timers.due(at(1_000)), [endpoint]);
        lane.due_at = None;
        timers.update(endpoint, &mut lane);
        assert_eq!(timers.next(), None);
    }
}
