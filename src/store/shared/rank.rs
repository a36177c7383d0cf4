//! Where rows of the log stand in an order, and the first of them behind a place.

use std::collections::BinaryHeap;

use crate::domain::AttemptId;
use crate::store::shared::class::STATUSES;
use crate::store::{LogKey, Sort, SortField, SortValue};

/// Where a row stands in an order: the smaller, the earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    is_null: bool,
    value: i64,
    id: i64,
}

impl Rank {
    pub(crate) fn new(sort: Sort, value: Option<i64>, id: i64) -> Rank {
        let (is_null, value) = (value.is_none(), value.unwrap_or_default());
        // `!n` is -n-1: it turns the order around and cannot overflow.
        if sort.descending { Rank { is_null, value: !value, id: !id } } else { Rank { is_null, value, id } }
    }

    /// The first rank that a row with a value can have.
    pub(crate) fn first_of(sort: Sort, value: Option<i64>) -> Rank {
        Rank::new(sort, value, if sort.descending { i64::MAX } else { i64::MIN })
    }

    /// The value and the id that it was made of.
    pub(crate) fn parts(self, sort: Sort) -> (Option<i64>, i64) {
        let turn = |n: i64| if sort.descending { !n } else { n };
        ((!self.is_null).then(|| turn(self.value)), turn(self.id))
    }

    /// The rank behind which a cursor goes on. A status is sorted by twice its place among the names, which leaves
    /// room for words between them.
    pub(crate) fn of_key(sort: Sort, key: &LogKey) -> Rank {
        let value = match (sort.field, &key.value) {
            (SortField::Id, _) => Some(0),
            (SortField::Status, SortValue::Text(text)) => {
                let before = STATUSES.iter().filter(|status| status.as_str() < text.as_str()).count() as i64;
                let is_name = STATUSES.iter().any(|status| status.as_str() == text);
                Some(if is_name { 2 * before } else { 2 * before - 1 })
            }
            (_, SortValue::Number(n)) => Some(*n),
            (_, _) => None,
        };
        Rank::new(sort, value, key.id.0)
    }

    /// The cursor that goes on behind it.
    pub(crate) fn to_key(self, sort: Sort) -> LogKey {
        let (value, id) = self.parts(sort);
        let value = match (sort.field, value) {
            (SortField::Id, _) | (_, None) => SortValue::Null,
            (SortField::Status, Some(n)) => {
                match usize::try_from(n / 2).ok().and_then(|at| STATUSES.get(at)) {
                    Some(status) => SortValue::Text(status.to_string()),
                    None => SortValue::Null,
                }
            }
            (_, Some(n)) => SortValue::Number(n),
        };
        LogKey { id: AttemptId(id), value }
    }

    /// The ids behind this place among rows that are all sorted by one value; `None` when there are none.
    pub(crate) fn ids_behind(self, sort: Sort, value: Option<i64>) -> Option<(i64, i64)> {
        let group = Rank { id: self.id, ..Rank::new(sort, value, 0) };
        match group.cmp(&self) {
            std::cmp::Ordering::Less => None,
            std::cmp::Ordering::Greater => Some((i64::MIN, i64::MAX)),
            std::cmp::Ordering::Equal => {
                let id = self.parts(sort).1;
                Some(if sort.descending {
                    (i64::MIN, id.saturating_sub(1))
                } else {
                    (id.saturating_add(1), i64::MAX)
                })
            }
        }
    }
}

/// The first ranks behind a place.
pub(crate) struct Top {
    behind: Option<Rank>,
    pub(crate) most: usize,
    /// The last one is on top.
    found: BinaryHeap<Rank>,
}

impl Top {
    pub(crate) fn new(behind: Option<Rank>, most: usize) -> Top {
        Top { behind, most, found: BinaryHeap::with_capacity(most.min(1_024)) }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.found.len() >= self.most
    }

    /// The last of those that were found.
    pub(crate) fn last(&self) -> Option<Rank> {
        self.found.peek().copied()
    }

    /// Takes a rank if it belongs here. `false`: nothing that comes after it does.
    pub(crate) fn offer(&mut self, rank: Rank) -> bool {
        if self.behind.is_some_and(|behind| rank <= behind) {
            return true;
        }
        if !self.is_full() {
            self.found.push(rank);
            return true;
        }
        match self.found.peek_mut() {
            Some(mut last) if rank < *last => {
                *last = rank;
                true
            }
            _ => false,
        }
    }

    /// In order.
    pub(crate) fn into_ranks(self) -> Vec<Rank> {
        self.found.into_sorted_vec()
    }
}
