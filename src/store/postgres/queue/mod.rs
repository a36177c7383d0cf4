//! Everything that creates, sends and finishes attempts.
//!
//! * [`endpoints`], [`events`]: what is delivered, and where; [`endpoint_columns`]: values of their rows.
//! * [`fan_outs`]: the attempts of events for very many endpoints, written in steps.
//! * [`attempts`]: single attempts, in the queue and in the log; [`shown`]: as lists show them. [`pending`]: the queue.
//! * [`shards`]: the epochs of shards. [`others`]: what other nodes have changed.
//! * [`trouble`]: an endpoint's failures and its hold. [`announce`]: the app is told of them.
//! * [`sources`], [`inbound`]: URLs for other programs, and their requests.
//! * [`finish`]: the end of an attempt, in one transaction. [`manual`]: retries and tests that a person asked for.
//! * [`filters`]: which endpoints decline an event.
//! * [`filter`]: the log's filters as rules about rows.
//! * [`bulk_jobs`]: retry, recovery and replay of many deliveries; [`bulk_job_walk`] finds the deliveries of
//!   a step, [`bulk_job_rows`] those of a retry.

pub(super) mod announce;
pub(super) mod attempts;
pub(super) mod bulk_job_rows;
pub(super) mod bulk_job_walk;
pub(super) mod bulk_jobs;
pub(super) mod endpoint_columns;
pub(super) mod endpoints;
pub(super) mod events;
pub(super) mod fan_outs;
pub(super) mod filter;
pub(super) mod filters;
pub(super) mod finish;
pub(super) mod inbound;
pub(super) mod manual;
pub(super) mod others;
pub(super) mod pending;
pub(super) mod shards;
pub(super) mod shown;
pub(super) mod sources;
pub(super) mod trouble;
