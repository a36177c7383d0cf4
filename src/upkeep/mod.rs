//! Background work alongside ingest and delivery, once per server.
//!
//! * [`retention`]: removes attempts and events that are older than their policy, unless the [`clock_guard`] says no;
//!   `sweeping` has the walks, `pacer` their pace.
//! * [`alerts`]: checks for problems once a minute and notifies people.
//! * [`backup`]: backups on request and on schedule; [`restore`]: restores one.
//!
//! Upkeep knows storage and delivery; no HTTP surface and no service.

pub mod alerts;
pub mod backup;
pub mod clock_guard;
mod pacer;
pub mod restore;
pub mod retention;
mod sweep_context;
mod sweeping;
