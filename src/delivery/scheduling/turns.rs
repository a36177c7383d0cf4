//! Whose turn it is, among endpoints.
//!
//! Those that have something waiting are served in turn. One that had nothing has its first turn before all others:
//! else an event for it would wait until each endpoint with a backlog had sent one. After that turn it stands at the
//! end of the line whether it has more or not, so that nobody has two first turns in one round (as new flows in
//! FQ-CoDel, RFC 8290). However many are new, one of the others has every ninth turn.

use std::collections::VecDeque;

use crate::domain::EndpointId;

/// Endpoints in the order of their turns. Each stands here once at the most, for which its lane is asked.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    newcomers: VecDeque<EndpointId>,
    others: VecDeque<EndpointId>,
    /// Newcomers since the turn of another.
    in_a_row: u8,
}

/// How many newcomers have their turn before one of the others has.
const IN_A_ROW: u8 = 8;

impl Turns {
    /// Puts one at the end, of all or of those that had nothing waiting before.
    pub(crate) fn push(&mut self, endpoint: EndpointId, is_new: bool) {
        let line = if is_new { &mut self.newcomers } else { &mut self.others };
        line.push_back(endpoint);
    }

    /// Whose turn it is, and whether as a newcomer.
    pub(crate) fn pop(&mut self) -> Option<(EndpointId, bool)> {
        if (self.in_a_row < IN_A_ROW || self.others.is_empty())
            && let Some(newcomer) = self.newcomers.pop_front()
        {
            self.in_a_row = self.in_a_row.saturating_add(1);
            return Some((newcomer, true));
        }
        self.in_a_row = 0;
        self.others.pop_front().map(|endpoint| (endpoint, false))
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

    #[test]
    fn the_others_have_a_turn_however_many_are_new() {
        let id = |n: i64| EndpointId::new(Timestamp::from_millis(1_700_000_000_000 + n));
        let mut turns = Turns::default();
        for n in 0..20 {
            turns.push(id(n), true);
            turns.push(id(100 + n), false);
        }
        let is_new: Vec<_> = std::iter::from_fn(|| turns.pop()).map(|(_, is_new)| is_new).collect();
        assert_eq!(is_new.len(), 40);
        let others: Vec<_> = (0..24).filter(|n| !is_new[*n]).collect();
        assert_eq!(others, [8, 17, 22, 23]);
    }
}
