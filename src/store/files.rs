//! Types of what can be done with a storage that is files of this machine: copy, check, restore.

use crate::domain::{EndpointId, Sealed, Timestamp};

/// What goes into a backup besides the data.
#[derive(Clone)]
pub struct About {
    /// What encrypts the secrets in it; `None`: the operator keeps it.
    pub key: Option<String>,
    pub now: Timestamp,
}

/// A backup that has been made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupSummary {
    pub bytes: u64,
    pub events: u64,
    pub attempts: u64,
    /// Whether the encryption key is in it.
    pub has_key: bool,
}

/// What a backup says of itself.
#[derive(Clone)]
pub struct Manifest {
    /// The program that made it; `None`: it is a plain copy of a database.
    pub version: Option<String>,
    pub created_at: Option<String>,
    pub key: Option<String>,
    /// A sealed signing secret of an endpoint, to try a key on; `None` when there is none.
    pub sample: Option<(EndpointId, Sealed)>,
}

/// What a check of the whole database found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// The version of the schema, and the one that this program knows.
    pub version: i64,
    pub known: i64,
    /// Sentences; none when all is well.
    pub problems: Vec<String>,
    pub page_size: u64,
    pub pages: u64,
    pub free_pages: u64,
    pub events: u64,
    pub attempts: u64,
    pub pending: u64,
    /// Names and rows, the biggest first.
    pub tables: Vec<(String, u64)>,
}
