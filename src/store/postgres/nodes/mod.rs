//! Nodes, their leases and their shards, over a connection of their own ([`NodeLink`]).
//!
//! * [`leases`]: registering, renewing, looking, leaving.
//! * [`moves`]: shards and the lead change hands.
//!
//! [`NodeLink`]: crate::store::postgres::engine::link::NodeLink

mod leases;
mod moves;
