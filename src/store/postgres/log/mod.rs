//! Reading the log: lists, exports, the live stream, statistics. No SQL here writes.
//!
//! * [`list`]: the delivery log. [`plan`] says which streams of rows a filter means, [`spans`] which partitions,
//!   [`merge`] joins the streams in order, [`named`] has the rows that an id names.
//! * [`search`]: texts that are in no index, in bounded steps.
//! * [`event_list`], [`events`]: the list of events, and single ones.
//! * [`export`], [`live`], [`recent`]: other ways to read the log.
//! * [`sources`]: sources and the inbound log.
//! * [`overview`], [`statistics`]: figures from the roll-ups, [`day`]: those of one. [`health`]: health of endpoints.

pub(super) mod day;
pub(super) mod event_list;
pub(super) mod events;
pub(super) mod export;
pub(super) mod health;
pub(super) mod list;
pub(super) mod live;
pub(super) mod merge;
pub(super) mod named;
pub(super) mod overview;
pub(super) mod plan;
pub(super) mod recent;
pub(super) mod search;
pub(super) mod sources;
pub(super) mod spans;
pub(super) mod statistics;
