//! What a node has to know of the others: three seams that carry everything that is not one process.
//!
//! * [`ownership`]: for which endpoints this node sends.
//! * [`signals`]: hints that something has happened.
//! * [`notices`]: signals of other nodes, by what storage passes on.
//! * [`leadership`]: whether this node runs what runs once.
//!
//! * [`keeper`]: the lease of this node, from which ownership and leadership follow where several nodes share storage.
//!
//! [`meters`] counts what they do.
//!
//! With one process on one SQLite file they cost nothing: all shards at epoch 0, channels within the process,
//! always the leader. Storage that several nodes share brings other implementations (leases and notifications
//! in its database).
//!
//! This is a room of its own, between storage and the rest, because delivery, upkeep and services all use it,
//! and storage must not know who listens. No truth lives here: a signal may be lost, and a node that wrongly
//! believes to hold a shard is told so by storage, which refuses its result.

pub mod keeper;
pub mod leadership;
pub mod meters;
mod notice;
pub mod notices;
pub mod ownership;
pub mod signals;

pub use leadership::{AlwaysLeader, Leadership, LeasedLead};
pub use meters::ClusterMeters;
pub use notices::{Notices, SendingList, SharedUse};
pub use ownership::Ownership;
pub use signals::{LocalSignals, QueueSignal, QueueSignals, Signals};
