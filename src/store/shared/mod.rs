//! What is the same whatever the database: rules of arithmetic and text, and what is kept in memory. No SQL.
//!
//! * [`counts`]: what a group of commands changes of the statistics. [`record_text`]: the record of an endpoint's
//!   results as text. [`endpoint_text`], [`header_text`], [`alert_text`], [`source_text`], [`bulk_job_text`]: parts of
//!   endpoints, of requests, of targets of alerts, of sources, and of jobs. [`excerpt`]: of responses.
//! * [`attempt_rows`], [`attempt_ends`]: rows of the log as they are changed, and their ends. [`reports`]: what the app
//!   is told of its endpoints. [`verdicts`]: what filters say of events; [`asked`]: the writer asks those that were not
//!   asked before. [`idempotency`]: what keys stand for. [`rotation`]: of signing secrets. [`job_walk`], [`job_ends`]:
//!   the rows of bulk jobs, and what their ends add to the jobs.
//! * [`class`]: all that filters ask for of a row of the log, in one number.
//!   [`selection`]: what filters ask of a class. [`rank`]: orders of the log, and their first rows. [`named`]: rows
//!   that an id names. [`ranges`]: of time and of ids. [`scan`]: texts that are in no index. [`recent_rows`]:
//!   deliveries by their newest rows.
//! * [`standing`]: the health of endpoints. [`day`]: the counts of a day.
//! * [`fresh`], [`filter_snapshots`]: just-accepted payloads and the filters of endpoints in memory; never
//!   authoritative. [`writer_memory`]: what the writer remembers; [`subscription`]: endpoints in it. [`fan_outs`]: who
//!   waits for events that are written in steps, [`fan_out_steps`]: who writes them.
//! * [`transfer`]: the tables as both backends see them, for moving everything from one to the other.
//! * [`row_numbers`], [`paging`], [`fault`]: how tables refer to each other, pages, and values that do not read.

pub(super) mod alert_text;
pub(super) mod asked;
pub(super) mod attempt_ends;
pub(super) mod attempt_rows;
pub(super) mod bulk_job_text;
pub(super) mod class;
pub(super) mod counts;
pub(super) mod day;
pub(super) mod endpoint_state;
pub(super) mod endpoint_text;
pub(super) mod excerpt;
pub(super) mod fan_out_steps;
pub(super) mod fan_outs;
pub(super) mod fault;
pub(super) mod filter_snapshots;
pub(super) mod fresh;
pub(super) mod header_text;
pub(super) mod idempotency;
pub(super) mod job_ends;
pub(super) mod job_walk;
pub(super) mod named;
pub(super) mod paging;
pub(super) mod ranges;
pub(super) mod rank;
pub(super) mod recent_rows;
pub(super) mod record_text;
pub(super) mod reports;
pub(super) mod rotation;
pub(super) mod row_numbers;
pub(super) mod scan;
pub(super) mod selection;
pub(super) mod source_text;
pub(super) mod standing;
pub(super) mod subscription;
pub(super) mod transfer;
pub(super) mod verdicts;
pub(super) mod writer_memory;
