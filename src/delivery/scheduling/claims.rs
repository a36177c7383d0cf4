//! Attempts currently held in memory: queued in a lane, in flight, sent but not yet committed, or about to be
//! exhausted. Refills skip them.

use std::collections::hash_map::{Entry, HashMap};

use crate::domain::AttemptId;
use crate::store::Line;

/// Single shots held in memory, over all endpoints. More stay in the table until a poll finds them.
const SINGLES_MAX: usize = 4_096;

/// The claimed attempts.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    claimed: HashMap<AttemptId, Line>,
    /// How many of these are single shots.
    singles: usize,
}

impl Claims {
    /// Whether the attempt is claimed.
    pub(crate) fn contains(&self, id: AttemptId) -> bool {
        self.claimed.contains_key(&id)
    }

    /// How many single shots are claimed.
    pub(crate) fn singles(&self) -> usize {
        self.singles
    }

    /// Whether one more single shot may be claimed.
    pub(crate) fn has_room_for_singles(&self) -> bool {
        self.singles < SINGLES_MAX
    }

    /// Claims an attempt. False if it is claimed already, or if it is a single shot and there is no room for
    /// more.
    pub(crate) fn claim(&mut self, id: AttemptId, line: Line) -> bool {
        let is_single = line == Line::Single;
        if is_single && !self.has_room_for_singles() {
            return false;
        }
        match self.claimed.entry(id) {
            Entry::Occupied(_) => false,
            Entry::Vacant(free) => {
                free.insert(line);
                self.singles += usize::from(is_single);
                true
            }
        }
    }

    /// Releases an attempt; gives its line if it was claimed.
    pub(crate) fn release(&mut self, id: AttemptId) -> Option<Line> {
        let line = self.claimed.remove(&id);
        self.singles -= usize::from(line == Some(Line::Single));
        line
    }

    /// The line of a claimed attempt.
    pub(crate) fn line(&self, id: AttemptId) -> Option<Line> {
        self.claimed.get(&id).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_is_claimed_once_until_it_is_released() {
        let mut claims = Claims::default();
        assert!(claims.claim(AttemptId(1), Line::Bulk));
        assert!(!claims.claim(AttemptId(1), Line::Fresh), "a refill skips it");
        assert_eq!(claims.release(AttemptId(1)), Some(Line::Bulk));
        assert_eq!(claims.release(AttemptId(1)), None);
        assert!(claims.claim(AttemptId(1), Line::Fresh));
    }

    #[test]
    fn single_shots_have_a_limit_and_the_others_do_not() {
        let mut claims = Claims::default();
        let max = SINGLES_MAX as i64;
        assert!((0..max).all(|id| claims.claim(AttemptId(id), Line::Single)));
        assert!(!claims.claim(AttemptId(max), Line::Single));
        assert!(claims.claim(AttemptId(max), Line::Fresh));
        claims.release(AttemptId(0));
        assert!(claims.claim(AttemptId(0), Line::Single));
        assert_eq!(claims.singles(), SINGLES_MAX);
    }
}
