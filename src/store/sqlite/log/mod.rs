//! Reading the log: lists, exports, the live stream, statistics. No SQL here writes.
//!
//! * [`list`]: the delivery log. [`plan`] chooses the index for a filter, [`class`] says what an index
//!   covers, [`merge`] joins several streams in order.
//! * [`events`]: the list of events. [`export`], [`live`], [`recent`]: other ways to read the log.
//! * [`overview`], [`statistics`]: figures from the roll-ups.

pub(super) mod class;
pub(super) mod events;
pub(super) mod export;
pub(super) mod list;
pub(super) mod live;
pub(super) mod merge;
pub(super) mod overview;
pub(super) mod plan;
pub(super) mod recent;
pub(super) mod statistics;

#[cfg(test)]
mod tests;
