//! Storage in a PostgreSQL database: the only place that knows tokio-postgres, deadpool and refinery.
//!
//! Rooms, each of which may use those before it: [`engine`], [`people`], [`queue`], [`log`], [`upkeep`], [`nodes`].
//! [`open`] opens a database, [`backend`] measures and closes it; [`nodes_shown`] lists who uses it, [`notices`] tell
//! them things.

mod backend;
mod engine;
mod log;
mod nodes;
mod nodes_shown;
mod notices;
mod open;
mod people;
mod queue;
mod upkeep;

pub(super) use engine::examine::examine;
pub(super) use engine::ids::{NUMBER_BITS, TIMELY_FROM};
pub(super) use engine::store::{Options, PostgresStore};
pub(super) use upkeep::transfer::{PostgresGuard, PostgresSource, PostgresTarget};
