//! The order in which endpoints get their turns.
//!
//! Endpoints with pending attempts are served round-robin. An endpoint that just became non-empty goes to a
//! priority queue for one turn (as new flows in FQ-CoDel, RFC 8290), so its event does not wait behind every
//! backlog. After that turn it goes to the end of the regular queue even if its lane is empty, so that it
//! cannot have two priority turns in one round. After eight priority turns one regular turn is served.

use std::collections::VecDeque;

use crate::domain::EndpointId;

/// A queue of endpoints. Each is in it at most once, or once more for a turn with priority; the lane keeps track of
/// that.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    priority: VecDeque<EndpointId>,
    regular: VecDeque<EndpointId>,
    /// Priority turns since the last regular one.
    priority_in_a_row: u8,
}

/// How many priority turns are served before a regular one.
const PRIORITY_IN_A_ROW: u8 = 8;

impl Turns {
    /// Appends an endpoint to the priority queue or to the regular one.
    pub(crate) fn push(&mut self, endpoint: EndpointId, has_priority: bool) {
        let queue = if has_priority { &mut self.priority } else { &mut self.regular };
        queue.push_back(endpoint);
    }

    /// The endpoint whose turn it is, and whether this is a priority turn.
    pub(crate) fn pop(&mut self) -> Option<(EndpointId, bool)> {
        if (self.priority_in_a_row < PRIORITY_IN_A_ROW || self.regular.is_empty())
            && let Some(endpoint) = self.priority.pop_front()
        {
            self.priority_in_a_row = self.priority_in_a_row.saturating_add(1);
            return Some((endpoint, true));
        }
        self.priority_in_a_row = 0;
        self.regular.pop_front().map(|endpoint| (endpoint, false))
    }
}

impl Extend<EndpointId> for Turns {
    /// Appends endpoints to the regular queue.
    fn extend<I: IntoIterator<Item = EndpointId>>(&mut self, endpoints: I) {
        self.regular.extend(endpoints);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;

    fn id(n: i64) -> EndpointId {
        EndpointId::new(Timestamp::from_millis(1_700_000_000_000 + n))
    }

    #[test]
    fn priority_turns_come_first_and_each_queue_keeps_its_order() {
        let ids: Vec<_> = (0..4).map(id).collect();
        let mut turns = Turns::default();
        turns.push(ids[0], false);
        turns.push(ids[1], true);
        turns.extend([ids[2]]);
        turns.push(ids[3], true);
        let order: Vec<_> = std::iter::from_fn(|| turns.pop()).collect();
        assert_eq!(order, [(ids[1], true), (ids[3], true), (ids[0], false), (ids[2], false)]);
    }

    #[test]
    fn one_turn_in_nine_is_regular_however_many_have_priority() {
        let mut turns = Turns::default();
        for n in 0..20 {
            turns.push(id(n), true);
            turns.push(id(100 + n), false);
        }
        let has_priority: Vec<_> = std::iter::from_fn(|| turns.pop()).map(|(_, priority)| priority).collect();
        assert_eq!(has_priority.len(), 40);
        let regular: Vec<_> = (0..24).filter(|n| !has_priority[*n]).collect();
        assert_eq!(regular, [8, 17, 22, 23]);
    }
}
