//! When the dispatcher looks at which lane again: one entry for each lane at most, so that it does not
//! grow with what happens.

use std::collections::BTreeSet;

use crate::domain::{EndpointId, Timestamp};

use crate::delivery::scheduling::lane::Lane;

/// The lanes that wait for a time.
#[derive(Debug, Default)]
pub(crate) struct Wakes(BTreeSet<(Timestamp, EndpointId)>);

impl Wakes {
    /// Brings the entry of a lane up to what the lane waits for.
    pub(crate) fn update(&mut self, endpoint: EndpointId, lane: &mut Lane) {
        let at = match (lane.due_at, lane.not_before) {
            (Some(due), Some(not_before)) => Some(due.min(not_before)),
            (due, not_before) => due.or(not_before),
        };
        if lane.wake_at == at {
            return;
        }
        if let Some(old) = lane.wake_at {
            self.0.remove(&(old, endpoint));
        }
        if let Some(new) = at {
            self.0.insert((new, endpoint));
        }
        lane.wake_at = at;
    }

    /// The earliest time.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.0.first().map(|(at, _)| *at)
    }

    /// The lanes whose time has come, which are to be brought up to date after.
    pub(crate) fn due(&self, now: Timestamp) -> Vec<EndpointId> {
        self.0.iter().take_while(|(at, _)| *at <= now).map(|(_, endpoint)| *endpoint).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::scheduling::lane::Manner;

    #[test]
    fn a_lane_has_one_entry_however_often_it_changes() {
        let at = Timestamp::from_millis;
        let (mut wakes, mut lane, endpoint) =
            (Wakes::default(), Lane::new(Manner::New), EndpointId::new(at(0)));
        lane.due_at = Some(at(1_000));
        wakes.update(endpoint, &mut lane);
        for ms in 1..100 {
            lane.not_before = Some(at(ms));
            wakes.update(endpoint, &mut lane);
            assert_eq!((wakes.next(), wakes.0.len()), (Some(at(ms)), 1));
        }
        lane.not_before = None;
        wakes.update(endpoint, &mut lane);
        assert_eq!(wakes.due(at(999)), []);
        assert_eq!(wakes.due(at(1_000)), [endpoint]);
        lane.due_at = None;
        wakes.update(endpoint, &mut lane);
        assert_eq!(wakes.next(), None);
    }
}
