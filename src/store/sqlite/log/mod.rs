//! Reading the log: lists, exports, the live stream, statistics. Nothing here writes.
//!
//! * [`list`]: the delivery log. [`query`] turns a filter into conditions, [`plan`] chooses the index,
//!   [`class`] and [`zones`] say what an index covers, [`merge`] joins several streams in order.
//! * [`event_list`], [`export`], [`live`], [`recent`]: other ways to read the same rows.
//! * [`overview`], [`statistics`]: figures from the roll-ups.

pub(super) mod class;
pub(super) mod event_list;
pub(super) mod export;
pub(super) mod list;
pub(super) mod live;
pub(super) mod merge;
pub(super) mod overview;
pub(super) mod plan;
pub(super) mod query;
pub(super) mod recent;
pub(super) mod statistics;
pub(super) mod zones;

#[cfg(test)]
mod tests;
