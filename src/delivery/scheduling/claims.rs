//! Which attempts are in memory: in a lane, in flight, or sent and not yet written. What is here is not
//! taken from the table a second time.

use std::collections::hash_map::{Entry, HashMap};

use crate::domain::AttemptId;

/// Single shots held in memory, over all endpoints; more stay in the table for now.
const SINGLES_MAX: usize = 4_096;

/// What kind of attempt is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    Single,
    Fresh,
    Bulk,
}

/// The claimed attempts.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    claimed: HashMap<AttemptId, Claim>,
    /// How many of these are single shots.
    singles: usize,
}

impl Claims {
    /// Whether it is claimed.
    pub(crate) fn contains(&self, id: AttemptId) -> bool {
        self.claimed.contains_key(&id)
    }

    /// Whether it is claimed, and of a bulk job.
    pub(crate) fn is_bulk(&self, id: AttemptId) -> bool {
        self.claimed.get(&id) == Some(&Claim::Bulk)
    }

    /// How many single shots are claimed.
    pub(crate) fn singles(&self) -> usize {
        self.singles
    }

    /// Whether there is room for one more single shot.
    pub(crate) fn has_room_for_singles(&self) -> bool {
        self.singles < SINGLES_MAX
    }

    /// Claims a single shot, unless it is claimed or there is no room; says whether it did.
    pub(crate) fn take_single(&mut self, id: AttemptId) -> bool {
        let takes = self.has_room_for_singles() && self.insert(id, Claim::Single);
        self.singles += usize::from(takes);
        takes
    }

    /// Claims an attempt of the schedule, unless it is claimed; says whether it did.
    pub(crate) fn take(&mut self, id: AttemptId, bulk: bool) -> bool {
        self.insert(id, if bulk { Claim::Bulk } else { Claim::Fresh })
    }

    /// Gives it up.
    pub(crate) fn give_up(&mut self, id: AttemptId) {
        if self.claimed.remove(&id) == Some(Claim::Single) {
            self.singles -= 1;
        }
    }

    fn insert(&mut self, id: AttemptId, claim: Claim) -> bool {
        match self.claimed.entry(id) {
            Entry::Occupied(_) => false,
            Entry::Vacant(free) => {
                free.insert(claim);
                true
            }
        }
    }
}
