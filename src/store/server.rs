//! Types of what can be seen of a database server.

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerFacts {
    /// As the server counts: 150004 is 15.4.
    pub version_number: i64,
    pub version: String,
    pub user: String,
    /// The schema in which tables are made.
    pub schema: String,
    pub may_create: bool,
    /// Connections that users without special rights may have, and that there are.
    pub connections_allowed: i64,
    pub connections_used: i64,
    /// Nodes that have renewed their leases.
    pub live_nodes: i64,
    /// Whether a commit waits for the disk.
    pub is_durable: bool,
    /// The share of the server's queue of notifications that is in use.
    pub notification_queue: f64,
    /// How long a commit takes, in milliseconds.
    pub commit_ms: f64,
    /// How far its clock is ahead of this machine's.
    pub clock_ahead_ms: i64,
    /// How long a notification takes; `None`: it did not arrive within a second.
    pub echo_ms: Option<f64>,
}

/// Why nothing can be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTrouble {
    /// A sentence.
    pub what: String,
}
