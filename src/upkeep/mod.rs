//! Background work that runs beside ingest and delivery, once for a server.
//!
//! * [`retention`]: removes attempts and events that are older than their policy.
//! * [`alerts`]: looks for trouble once a minute and notifies people.
//! * [`backup`]: scheduled backups, and the one that is asked for; [`restore`]: brings one back.
//!
//! Upkeep knows storage and delivery; no HTTP surface and no service.

pub mod alerts;
pub mod backup;
pub mod restore;
pub mod retention;
