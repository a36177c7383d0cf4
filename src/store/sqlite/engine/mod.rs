//! How SQLite is driven, whatever is stored in it.
//!
//! * [`store`]: the open database that all traits are implemented for.
//! * [`writer`]: the one thread that writes, many [`command`]s to a commit; [`answers`] holds their replies
//!   until it.
//! * [`checkpointer`]: moves the WAL into the database file between commits. [`reserve`]: the ballast file.
//! * [`readers`]: the few threads that read; [`pool`]: how connections are set up.
//! * [`cache`], [`fresh`]: endpoints and just-accepted payloads in memory; never authoritative.
//! * [`epochs`]: how often each shard has changed hands. [`fan_outs`]: who waits for events that are written in steps.
//! * [`counts`]: roll-ups that every commit adds to ([`slots`]: by the minute and hour), and each endpoint's record
//!   of results ([`records`]). [`zones`]: which row numbers a range of time can have.
//! * [`migrations`]: the schema. [`schema`]: whether a file has it, and nothing else. [`backup`],
//!   [`inspect`]: whole-file work.
//! * [`rows`], [`paging`], [`error`]: values in columns, pages, SQLite's errors.
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
pub(super) mod fan_outs;
pub(super) mod filter_snapshots;
pub(super) mod fresh;
pub(in crate::store) mod inspect;
pub(super) mod migrations;
pub(super) mod paging;
pub(super) mod pool;
pub(super) mod readers;
pub(super) mod records;
pub(super) mod reserve;
pub(super) mod rows;
pub(super) mod schema;
pub(super) mod slots;
pub(super) mod store;
pub(super) mod writer;
pub(super) mod zones;
