//! How a bulk job walks over the rows that it was made for.

use crate::domain::AttemptStatus;
use crate::store::shared::attempt_rows::Stored;
use crate::store::shared::row_numbers::{EndpointRow, EventRow, TypeRow};

/// How far a walk has come: behind this row. `at` is 0 where the walk goes by id alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WalkPosition {
    pub(crate) at: i64,
    pub(crate) id: i64,
}

/// The rows of a walk: behind `from`, up to the id `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WalkRange {
    pub(crate) from: WalkPosition,
    pub(crate) to: i64,
}

/// A delivery that is meant.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Item {
    /// This exhausted one goes on.
    GoOn(Stored),
    /// This pending one is due now.
    MakeDue(Stored),
    /// A new one is made.
    New { event: EventRow, kind: TypeRow, endpoint: EndpointRow },
}

impl Item {
    /// The row of the endpoint it goes to.
    pub(crate) fn endpoint(&self) -> EndpointRow {
        match self {
            Item::GoOn(row) | Item::MakeDue(row) => row.endpoint,
            Item::New { endpoint, .. } => *endpoint,
        }
    }

    /// What an endpoint needs to get an event, by the rows that say where its deliveries of the event stand.
    pub(crate) fn missing(
        states: Vec<Stored>,
        event: EventRow,
        kind: TypeRow,
        endpoint: EndpointRow,
    ) -> Option<Item> {
        let new = Item::New { event, kind, endpoint };
        match states.into_iter().max_by_key(Stored::delivery) {
            None => Some(new),
            Some(row) => match row.current.status {
                AttemptStatus::Cancelled => Some(new),
                AttemptStatus::Exhausted => Some(Item::GoOn(row)),
                AttemptStatus::Pending | AttemptStatus::Delivered | AttemptStatus::Failed => None,
            },
        }
    }
}

/// What one look has found.
#[derive(Debug)]
pub(crate) struct WalkStep {
    pub(crate) items: Vec<Item>,
    /// How far the look went.
    pub(crate) at: WalkPosition,
    /// Whether there may be more rows behind.
    pub(crate) more: bool,
}

impl WalkStep {
    /// The walk is over.
    pub(crate) fn end(items: Vec<Item>, at: WalkPosition) -> WalkStep {
        WalkStep { items, at, more: false }
    }
}
