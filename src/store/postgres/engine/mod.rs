//! How PostgreSQL is driven, whatever is stored in it.
//!
//! * [`store`]: the open database that all traits are implemented for.
//! * [`writer`]: the one task that writes, many [`command`]s to a commit. [`ahead`]: what it
//!   reads for many of them at once. [`entered`], [`ended`]: what a group puts into the queue and into the log.
//! * [`connect`], [`tls`]: connections. [`listen`]: the one that listens to other nodes.
//!   [`conn`]: statements.
//! * [`link`]: the connection for leases. [`own`]: which node this is. [`in_use`]: whether servers use the database.
//! * [`examine`]: what can be seen of the server.
//! * [`cache`]: endpoints in the writer's memory; never authoritative.
//! * [`counts`]: writes what every commit adds to the roll-ups; [`folding`] adds it to them.
//! * [`ids`], [`partitions`]: ids by time, and the partitions that follow from them.
//! * [`migrations`]: the schema.
//! * [`rows`], [`error`]: values in columns, PostgreSQL's errors.
//!
//! The engine is the lowest room of the backend: it uses none of the others.

pub(super) mod ahead;
pub(super) mod cache;
pub(super) mod command;
pub(super) mod conn;
pub(super) mod connect;
pub(super) mod counts;
pub(super) mod ended;
pub(super) mod entered;
pub(super) mod error;
pub(super) mod examine;
pub(super) mod folding;
pub(super) mod ids;
pub(super) mod in_use;
pub(super) mod link;
pub(super) mod listen;
pub(super) mod migrations;
pub(super) mod own;
pub(super) mod partitions;
pub(super) mod rows;
pub(super) mod store;
pub(super) mod tls;
pub(super) mod writer;
