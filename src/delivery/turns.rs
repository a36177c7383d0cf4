//! Whose turn it is, among endpoints.
//!
//! Those that have something waiting are served in turn. One that had nothing has its first turn before all others:
//! else an event for it would wait until each endpoint with a backlog had sent one. After that turn it stands at the
//! end of the line whether it has more or not, so that nobody has two first turns in one round, and those with a
//! backlog get theirs (as new flows in FQ-CoDel, RFC 8290).

use std::collections::VecDeque;

use crate::domain::EndpointId;

/// Endpoints in the order of their turns. Each stands here once at the most, for which its lane is asked.
#[derive(Debug, Default)]
pub(super) struct Turns {
    newcomers: VecDeque<EndpointId>,
    others: VecDeque<EndpointId>,
}

impl Turns {
    /// Puts one at the end, of all or of those that had nothing waiting before.
    pub(super) fn push(&mut self, endpoint: EndpointId, is_new: bool) {
        let line = if is_new { &mut self.newcomers } else { &mut self.others };
        line.push_back(endpoint);
    }

    /// Whose turn it is, and whether as a newcomer.
    pub(super) fn pop(&mut self) -> Option<(EndpointId, bool)> {
        let newcomer = self.newcomers.pop_front().map(|endpoint| (endpoint, true));
        newcomer.or_else(|| self.others.pop_front().map(|endpoint| (endpoint, false)))
    }
}

impl Extend<EndpointId> for Turns {
    /// Puts them at the end of all.
    fn extend<I: IntoIterator<Item = EndpointId>>(&mut self, endpoints: I) {
        self.others.extend(endpoints);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;

    #[test]
    fn newcomers_come_first_and_each_line_in_its_order() {
        let ids: Vec<_> =
            (0..4).map(|n| EndpointId::new(Timestamp::from_millis(1_700_000_000_000 + n))).collect();
        let mut turns = Turns::default();
        turns.push(ids[0], false);
        turns.push(ids[1], true);
        turns.extend([ids[2]]);
        turns.push(ids[3], true);
        let order: Vec<_> = std::iter::from_fn(|| turns.pop()).collect();
        assert_eq!(order, [(ids[1], true), (ids[3], true), (ids[0], false), (ids[2], false)]);
    }
}
