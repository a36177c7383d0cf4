//! How SQLite is driven, whatever is stored in it.
//!
//! * [`store`]: the open database that all traits are implemented for.
//! * [`writer`]: the one thread that writes, many [`command`]s to a commit; [`answers`] holds their replies
//!   until it.
//! * [`checkpointer`]: moves the WAL into the database file between commits. [`reserve`]: the ballast file.
//! * [`readers`]: the few threads that read; [`pool`]: how connections are set up.
//! * [`cache`]: endpoints in the writer's memory; never authoritative.
//! * [`epochs`]: how often each shard has changed hands.
//! * [`counts`]: writes the roll-ups that every commit adds to ([`slots`]: by the minute and hour). [`zones`]: which
//!   row numbers a range of time can have.
//! * [`migrations`]: the schema. [`schema`]: whether a file has it, and nothing else. [`backup`],
//!   [`inspect`]: whole-file work.
//! * [`rows`], [`error`]: values in columns, SQLite's errors.
//!
//! The engine is the lowest room of the backend: it uses none of the others.

pub(super) mod answers;
pub(in crate::store) mod backup;
pub(super) mod cache;
pub(super) mod checkpointer;
pub(super) mod command;
pub(super) mod counts;
pub(super) mod epochs;
pub(super) mod error;
pub(in crate::store) mod inspect;
pub(super) mod migrations;
pub(super) mod pool;
pub(super) mod readers;
pub(super) mod reserve;
pub(super) mod rows;
pub(super) mod schema;
pub(super) mod slots;
pub(super) mod store;
pub(super) mod writer;
pub(super) mod zones;
