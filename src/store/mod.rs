//! What storage can do, as traits: one method is one intent is one transaction.
//!
//! The queue is the log: a delivery is a chain of rows of one table, and the rows with status
//! `pending` are the queue. Nothing is kept twice, so nothing has to be reconciled after a crash.
//!
//! Rules for every implementation:
//! * `now` is always a parameter; times cross as [`crate::domain::Timestamp`].
//! * A method that returns `Ok` has made its change durable.
//! * No truth lives only in memory. Wake-ups ([`Queued`]) are hints; the table is the truth.
//! * How an attempt changes is asked of [`crate::domain::attempts::transition::apply`], inside the
//!   transaction.
//! * Nothing of the implementation (connections, SQL, its errors' types) appears here.
//!
//! `tests/it/store/` holds the conformance suite, written against these traits.

pub use crate::domain::endpoint::EndpointPatch;
pub use crate::domain::event::{EventDetail, NewEvent};
pub use crate::domain::filter::{
    AttemptFilter, EndpointFilter, EventFilter, LogKey, Sort, SortField, SortValue, StatusFilter, TypeFilter,
    View,
};
pub use crate::domain::values::list::{Page, PageRequest, SearchPage, Start, TOTAL_CAP, Total};

mod backend;
pub mod files;
pub mod location;
mod log;
mod meters;
mod nodes;
mod nodes_shown;
mod notices;
mod people;
mod postgres;
mod queue;
mod server;
mod shared;
pub mod sqlite;
mod transfer;
mod upkeep;

pub use backend::*;
pub use log::*;
pub use meters::StoreMeters;
pub use nodes::*;
pub use nodes_shown::{ListedNode, NodeListStore};
pub use notices::*;
pub use people::*;
pub use queue::*;
pub use server::{ServerFacts, ServerTrouble};
pub use transfer::{MovedTable, Transfer, TransferProgress};
pub use upkeep::*;

/// Why storage did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// More work is waiting than is allowed to; try again in a second.
    #[error("storage is overloaded")]
    Overloaded,
    /// The disk is full; reads go on.
    #[error("storage is full")]
    Full,
    /// Storage has been closed.
    #[error("storage is closed")]
    Closed,
    /// The files were written by a newer version of the program.
    #[error("the database has version {found}, this program knows up to {known}: use a newer postrider")]
    Newer { found: i64, known: i64 },
    /// The files are not what they should be; `what` is how the storage itself puts it.
    #[error("the database is damaged: {what}")]
    Damaged { what: String },
    /// The database cannot be used as it is set up; `what` says what to change.
    #[error("{what}")]
    Refused { what: String },
    /// The database server cannot be reached; `what` is how the connection puts it.
    #[error("the database cannot be reached: {what}")]
    Unreachable { what: String },
    /// Anything else; `doing` says what was being done.
    #[error("storage failed while {doing}")]
    Failed {
        doing: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The result of a storage method.
pub type Result<T> = std::result::Result<T, StoreError>;

/// All of storage.
pub trait Store:
    AppStore
    + KeyStore
    + UserStore
    + ActivityStore
    + EndpointStore
    + EventStore
    + LogStore
    + ExportStore
    + LiveStore
    + QueueStore
    + ShardStore
    + RecentStore
    + StatsStore
    + RetentionStore
    + SecretsStore
    + JobStore
    + OverviewStore
    + HealthStore
    + AlertStore
    + MovingStore
    + SourceStore
    + NodeListStore
{
}

impl<T> Store for T where
    T: AppStore
        + KeyStore
        + UserStore
        + ActivityStore
        + EndpointStore
        + EventStore
        + LogStore
        + ExportStore
        + LiveStore
        + QueueStore
        + ShardStore
        + StatsStore
        + RecentStore
        + RetentionStore
        + SecretsStore
        + JobStore
        + OverviewStore
        + HealthStore
        + AlertStore
        + MovingStore
        + SourceStore
        + NodeListStore
{
}
