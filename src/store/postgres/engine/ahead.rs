//! Attempts that neighboring commands of a group are about to end: they are read in one statement, before the first of
//! the commands runs. Nothing else changes attempts meanwhile; what a command changes of an endpoint it says here.

use std::collections::{HashMap, HashSet};

use futures_util::future::BoxFuture;
use tokio_postgres::Row;

use crate::domain::AttemptId;
use crate::store::postgres::engine::conn::Conn;
use crate::store::postgres::engine::error::DbResult;
use crate::store::postgres::engine::rows::EndpointRow;

/// Attempts with all that their ends need.
pub(crate) type AheadRows = Vec<(AttemptId, Row)>;

/// Reads them.
pub(crate) type ReadAhead = for<'a> fn(&'a Conn, Vec<AttemptId>) -> BoxFuture<'a, DbResult<AheadRows>>;

/// What was read ahead for the commands that run now.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    rows: HashMap<AttemptId, Row>,
    /// Endpoints that have changed since.
    changed: HashSet<EndpointRow>,
}

impl Ahead {
    /// For these commands.
    pub(crate) fn fill(&mut self, rows: AheadRows) {
        self.rows = rows.into_iter().collect();
        self.changed.clear();
    }

    /// The commands have run.
    pub(crate) fn clear(&mut self) {
        self.rows.clear();
        self.changed.clear();
    }

    /// An attempt, if it was read.
    pub(crate) fn take(&mut self, id: AttemptId) -> Option<Row> {
        self.rows.remove(&id)
    }

    /// A command has changed an endpoint.
    pub(crate) fn endpoint_changed(&mut self, row: EndpointRow) {
        self.changed.insert(row);
    }

    /// Whether an endpoint is not as it was read.
    pub(crate) fn is_changed(&self, row: EndpointRow) -> bool {
        self.changed.contains(&row)
    }
}
