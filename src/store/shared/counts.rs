//! What statistics count, collected while a group of commands runs and written once before its commit.
//!
//! Under load many attempts of one group end at the same endpoint in the same minute; counting each by
//! itself would cost half a dozen statements for every attempt. Collected, a group costs these
//! statements once for each endpoint. Nothing is at risk: the counts are written in the transaction of
//! the rows they count, and when that is undone they are forgotten ([`Counts::undo_to`]).
//!
//! The rules that the counts keep are written beside the tables. Code that inserts a row of the log, or
//! changes the status of one, tells it here: [`Counts::begun`], [`Counts::moved`], [`Counts::ended`],
//! [`Counts::superseded`]. Tests must be left out by the callers' rows: each method looks at the trigger.

use std::collections::HashMap;

use crate::domain::attempts::attempt::{AttemptStatus, Outcome, Trigger};
use crate::domain::attempts::status_class::StatusClass;
use crate::domain::health::Record;
use crate::domain::values::histogram::{Bucket, bucket_of};
use crate::domain::{AttemptId, ErrorKind, Timestamp};
use crate::store::shared::record_text;
use crate::store::shared::row_numbers::{AppRow, EndpointRow, TypeRow};

pub(crate) const MINUTE_MS: i64 = 60_000;
pub(crate) const HOUR_MS: i64 = 3_600_000;

/// What statistics need to know of a row whose status changes, as it was before the change.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) endpoint: EndpointRow,
    pub(crate) delivery: AttemptId,
    /// Whether it is the delivery's first attempt.
    pub(crate) is_first: bool,
    pub(crate) status: AttemptStatus,
    pub(crate) trigger: Trigger,
    pub(crate) attempted_at: Option<Timestamp>,
    pub(crate) response_time_ms: Option<u32>,
}

/// One thing to count.
#[derive(Debug, Clone)]
enum Change {
    /// A row became pending (1), or no longer is (-1); tests too. It is in no table here either.
    Queue { by: i64 },
    /// A delivery was made.
    Begun { endpoint: EndpointRow, at: Timestamp },
    /// A delivery stands elsewhere.
    Moved { endpoint: EndpointRow, from: AttemptStatus, to: AttemptStatus },
    /// A delivery made at that time became exhausted (1), or no longer is (-1).
    Failed { endpoint: EndpointRow, begun_at: Timestamp, by: i64 },
    /// A newest attempt with this response time was finished (1), or is no longer the newest (-1).
    Newest { endpoint: EndpointRow, ms: u32, by: i64 },
    /// An attempt sent at that time has ended.
    Sent { endpoint: EndpointRow, at: Timestamp, counts: Sent },
    /// A delivery became exhausted at that time, whether it was sent or not.
    Exhausted { endpoint: EndpointRow, at: Timestamp },
    /// Something that the endpoint's record keeps.
    Recorded { endpoint: EndpointRow, record: Box<Record> },
    /// So many filters have declined an event, and so many holds have begun. They are in no table here.
    Seldom { declined: u64, holds: u64 },
    /// A client posted an event of this type.
    Posted { kind: TypeRow, at: Timestamp },
    /// The app has results up to this one.
    Result { app: AppRow, result_seq: i64 },
    /// An attempt has failed.
    Error { endpoint: EndpointRow, kind: ErrorKind, response_status: u16, message: String, at: Timestamp },
}

#[derive(Debug, Clone, Copy)]
struct Sent {
    delivered: i64,
    exhausted: i64,
    failed: i64,
    /// Of a failed one: the class of its response's status.
    class: Option<StatusClass>,
    ms: Option<u32>,
}

/// What has been counted since the last commit.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    changes: Vec<Change>,
    /// The last `result_seq` given in each app; empty when nothing is known.
    result_seqs: HashMap<AppRow, i64>,
}

/// What a commit changes of the server as a whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Events of clients that were taken in.
    pub(crate) events: u64,
    /// By how many there are more pending attempts than before.
    pub(crate) pending: i64,
    /// Deliveries that were not made, because a filter declined.
    pub(crate) declined: u64,
    /// Holds that have begun.
    pub(crate) holds: u64,
}

impl Counts {
    /// A row was made, pending.
    pub(crate) fn queued(&mut self) {
        self.changes.push(Change::Queue { by: 1 });
    }

    /// A row has ended. It may have been cancelled while it was in flight, and so have left before.
    pub(crate) fn unqueued(&mut self, row: Row) {
        if row.status == AttemptStatus::Pending {
            self.changes.push(Change::Queue { by: -1 });
        }
    }

    /// A delivery was made, pending.
    pub(crate) fn begun(&mut self, endpoint: EndpointRow, trigger: Trigger, at: Timestamp) {
        if trigger != Trigger::Test {
            self.changes.push(Change::Begun { endpoint, at });
            self.changes.push(Change::Recorded { endpoint, record: Box::new(Record::of_event(at)) });
        }
    }

    /// So many filters have declined an event.
    pub(crate) fn declined(&mut self, by: u32) {
        self.changes.push(Change::Seldom { declined: by.into(), holds: 0 });
    }

    /// An endpoint is on hold now.
    pub(crate) fn hold_begun(&mut self) {
        self.changes.push(Change::Seldom { declined: 0, holds: 1 });
    }

    /// A client posted an event of this type.
    pub(crate) fn posted(&mut self, kind: TypeRow, at: Timestamp) {
        self.changes.push(Change::Posted { kind, at });
    }

    /// The last number in the order of an app's results, as far as this group has given any.
    pub(crate) fn last_result_seq(&self, app: AppRow) -> Option<i64> {
        self.result_seqs.get(&app).copied().or_else(|| {
            self.changes.iter().rev().find_map(|change| match change {
                Change::Result { app: of, result_seq } if *of == app => Some(*result_seq),
                _ => None,
            })
        })
    }

    /// The app has results up to this one.
    pub(crate) fn result_given(&mut self, app: AppRow, result_seq: i64) {
        self.result_seqs.insert(app, result_seq);
        self.changes.push(Change::Result { app, result_seq });
    }

    /// A delivery's newest row was `from`, and now its newest row is `to`.
    pub(crate) fn moved(&mut self, row: Row, to: AttemptStatus) {
        let (endpoint, from) = (row.endpoint, row.status);
        if row.trigger != Trigger::Test && from != to {
            self.changes.push(Change::Moved { endpoint, from, to });
            // One that was never sent is in no record.
            if to == AttemptStatus::Cancelled && !row.is_first {
                let record = Box::new(Record::of_cancelled(row.delivery));
                self.changes.push(Change::Recorded { endpoint, record });
            }
        }
    }

    /// An attempt has ended with `status`. `begun_at` is when its delivery was made.
    pub(crate) fn ended(&mut self, row: Row, status: AttemptStatus, begun_at: Timestamp, outcome: &Outcome) {
        if row.trigger == Trigger::Test {
            return;
        }
        let endpoint = row.endpoint;
        let (delivered, exhausted) = (status == AttemptStatus::Delivered, status == AttemptStatus::Exhausted);
        let failure = outcome.failure.as_ref().filter(|failure| failure.kind != ErrorKind::Interrupted);
        let ms = outcome.response_time_ms;
        if exhausted {
            self.changes.push(Change::Failed { endpoint, begun_at, by: 1 });
            self.changes.push(Change::Exhausted { endpoint, at: outcome.finished_at });
        }
        if let Some(ms) = ms.filter(|_| delivered || exhausted) {
            self.changes.push(Change::Newest { endpoint, ms, by: 1 });
        }
        // What was never sent belongs to no hour.
        if let Some(at) = outcome.attempted_at {
            let counts = Sent {
                delivered: delivered.into(),
                exhausted: exhausted.into(),
                failed: failure.is_some().into(),
                class: failure.map(|_| StatusClass::of(outcome.response.as_ref().map(|r| r.status))),
                ms,
            };
            self.changes.push(Change::Sent { endpoint, at, counts });
        }
        let record = record_text::of_result(row.delivery, status, outcome).map(Box::new);
        self.changes.extend(record.map(|record| Change::Recorded { endpoint, record }));
        if let Some(failure) = failure {
            self.changes.push(Change::Error {
                endpoint,
                kind: failure.kind,
                response_status: outcome.response.as_ref().map_or(0, |response| response.status),
                message: failure.message.clone(),
                at: outcome.finished_at,
            });
        }
    }

    /// An exhausted delivery goes on: `row` was its newest, and has failed all the same.
    pub(crate) fn superseded(&mut self, row: Row, begun_at: Timestamp) {
        if row.trigger == Trigger::Test {
            return;
        }
        let endpoint = row.endpoint;
        self.moved(row, AttemptStatus::Pending);
        self.changes.push(Change::Failed { endpoint, begun_at, by: -1 });
        if let Some(ms) = row.response_time_ms {
            self.changes.push(Change::Newest { endpoint, ms, by: -1 });
        }
        if let Some(at) = row.attempted_at {
            let counts = Sent { delivered: 0, exhausted: -1, failed: 0, class: None, ms: None };
            self.changes.push(Change::Sent { endpoint, at, counts });
        }
    }

    /// The present state, to go back to.
    pub(crate) fn mark(&self) -> usize {
        self.changes.len()
    }

    /// Forgets what was counted since a mark, because it was undone.
    pub(crate) fn undo_to(&mut self, mark: usize) {
        self.changes.truncate(mark);
        self.result_seqs.clear();
    }

    /// Adds everything up and forgets it; `None`: there is nothing.
    pub(crate) fn take(&mut self) -> Option<Sums> {
        // Another connection may go on from here before the next group.
        self.result_seqs.clear();
        if self.changes.is_empty() {
            return None;
        }
        let mut sums = Sums::default();
        for change in self.changes.drain(..) {
            sums.add(change);
        }
        Some(sums)
    }
}

/// Changes of one row of `rollups` or `minutes`: what an endpoint did in an hour or in a minute.
#[derive(Debug, Default)]
pub(crate) struct SlotSums {
    pub(crate) delivered: i64,
    pub(crate) exhausted: i64,
    pub(crate) failed_attempts: i64,
    pub(crate) response_ms_sum: i64,
    pub(crate) deliveries: i64,
    pub(crate) failed_deliveries: i64,
    pub(crate) response_count: i64,
    pub(crate) ended_exhausted: i64,
}

impl SlotSums {
    fn add(&mut self, sums: &SlotSums) {
        self.delivered += sums.delivered;
        self.exhausted += sums.exhausted;
        self.failed_attempts += sums.failed_attempts;
        self.response_ms_sum += sums.response_ms_sum;
        self.deliveries += sums.deliveries;
        self.failed_deliveries += sums.failed_deliveries;
        self.response_count += sums.response_count;
        self.ended_exhausted += sums.ended_exhausted;
    }
}

/// Changes of one row of `totals`.
#[derive(Debug, Default)]
pub(crate) struct TotalSums {
    pub(crate) deliveries: i64,
    pub(crate) delivered: i64,
    pub(crate) exhausted: i64,
    pub(crate) pending: i64,
    pub(crate) cancelled: i64,
    pub(crate) failed_attempts: i64,
    pub(crate) response_count: i64,
    pub(crate) response_ms_sum: i64,
    pub(crate) min: Option<u32>,
    pub(crate) max: Option<u32>,
    pub(crate) last_attempted_at: Option<Timestamp>,
    pub(crate) record: Record,
}

/// Changes added up, each row of a table once.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    pub(crate) queue: i64,
    pub(crate) events: u64,
    pub(crate) declined: u64,
    pub(crate) holds: u64,
    pub(crate) totals: HashMap<EndpointRow, TotalSums>,
    pub(crate) total_times: HashMap<(EndpointRow, Bucket), i64>,
    pub(crate) errors: HashMap<(EndpointRow, ErrorKind, u16), (i64, String, Timestamp)>,
    /// By type: how many events were posted, and when the last one was.
    pub(crate) posted: HashMap<TypeRow, (i64, Timestamp)>,
    /// By app: the last `result_seq`.
    pub(crate) result_seqs: HashMap<AppRow, i64>,
    /// By endpoint and minute; the hours are made of them.
    pub(crate) minutes: HashMap<(EndpointRow, i64), SlotSums>,
    pub(crate) minute_times: HashMap<(EndpointRow, i64, Bucket), i64>,
    /// By endpoint, hour and class: failed attempts.
    pub(crate) statuses: HashMap<(EndpointRow, i64, StatusClass), i64>,
}

impl Sums {
    fn count_seldom(&mut self, declined: u64, holds: u64) {
        self.declined += declined;
        self.holds += holds;
    }

    fn add(&mut self, change: Change) {
        match change {
            Change::Queue { by } => self.queue += by,
            Change::Seldom { declined, holds } => self.count_seldom(declined, holds),
            Change::Begun { endpoint, at } => {
                let total = self.totals.entry(endpoint).or_default();
                total.deliveries += 1;
                total.pending += 1;
                self.slot(endpoint, at).deliveries += 1;
            }
            Change::Moved { endpoint, from, to } => {
                let total = self.totals.entry(endpoint).or_default();
                for (status, by) in [(from, -1), (to, 1)] {
                    match status {
                        AttemptStatus::Pending => total.pending += by,
                        AttemptStatus::Delivered => total.delivered += by,
                        AttemptStatus::Exhausted => total.exhausted += by,
                        AttemptStatus::Cancelled => total.cancelled += by,
                        AttemptStatus::Failed => {}
                    }
                }
            }
            Change::Failed { endpoint, begun_at, by } => {
                self.slot(endpoint, begun_at).failed_deliveries += by;
            }
            Change::Newest { endpoint, ms, by } => {
                let total = self.totals.entry(endpoint).or_default();
                total.response_count += by;
                total.response_ms_sum += by * i64::from(ms);
                if by > 0 {
                    total.min = Some(total.min.map_or(ms, |min| min.min(ms)));
                    total.max = total.max.max(Some(ms));
                }
                *self.total_times.entry((endpoint, bucket_of(ms.into()))).or_default() += by;
            }
            Change::Sent { endpoint, at, counts } => self.sent(endpoint, at, counts),
            Change::Exhausted { endpoint, at } => self.slot(endpoint, at).ended_exhausted += 1,
            Change::Recorded { endpoint, record } => {
                let total = self.totals.entry(endpoint).or_default();
                total.record = std::mem::take(&mut total.record).merge(*record);
            }
            Change::Posted { kind, at } => {
                let (count, last_at) = self.posted.entry(kind).or_insert((0, at));
                *count += 1;
                self.events += 1;
                *last_at = at.max(*last_at);
            }
            Change::Result { app, result_seq } => drop(self.result_seqs.insert(app, result_seq)),
            Change::Error { endpoint, kind, response_status, message, at } => {
                self.totals.entry(endpoint).or_default().failed_attempts += 1;
                let error = self.errors.entry((endpoint, kind, response_status));
                let (count, last_message, last_at) =
                    error.or_insert_with(|| (0, String::new(), Timestamp::from_millis(i64::MIN)));
                *count += 1;
                if at >= *last_at {
                    (*last_message, *last_at) = (message, at);
                }
            }
        }
    }

    fn sent(&mut self, endpoint: EndpointRow, at: Timestamp, counts: Sent) {
        let total = self.totals.entry(endpoint).or_default();
        total.last_attempted_at = total.last_attempted_at.max(Some(at));
        let slot = self.slot(endpoint, at);
        slot.delivered += counts.delivered;
        slot.exhausted += counts.exhausted;
        slot.failed_attempts += counts.failed;
        if let Some(class) = counts.class {
            *self.statuses.entry((endpoint, slot_of(at, HOUR_MS), class)).or_default() += counts.failed;
        }
        let slot = self.slot(endpoint, at);
        if let Some(ms) = counts.ms {
            slot.response_count += 1;
            slot.response_ms_sum += i64::from(ms);
            let key = (endpoint, slot_of(at, MINUTE_MS), bucket_of(ms.into()));
            *self.minute_times.entry(key).or_default() += 1;
        }
    }

    fn slot(&mut self, endpoint: EndpointRow, at: Timestamp) -> &mut SlotSums {
        self.minutes.entry((endpoint, slot_of(at, MINUTE_MS))).or_default()
    }

    /// The hours that the minutes make.
    pub(crate) fn hours(&self) -> HashMap<(EndpointRow, i64), SlotSums> {
        let mut hours: HashMap<(EndpointRow, i64), SlotSums> = HashMap::new();
        for ((endpoint, minute), sums) in &self.minutes {
            hours.entry((*endpoint, minute.div_euclid(60))).or_default().add(sums);
        }
        hours
    }

    /// The response times of the hours.
    pub(crate) fn hour_times(&self) -> HashMap<(EndpointRow, i64, Bucket), i64> {
        let mut times: HashMap<(EndpointRow, i64, Bucket), i64> = HashMap::new();
        for ((endpoint, minute, bucket), count) in &self.minute_times {
            *times.entry((*endpoint, minute.div_euclid(60), *bucket)).or_default() += count;
        }
        times
    }

    /// What it changes of the server as a whole.
    pub(crate) fn tally(&self) -> Tally {
        Tally { events: self.events, pending: self.queue, declined: self.declined, holds: self.holds }
    }
}

/// The number of the stretch of `unit_ms` that a time is in.
pub(crate) fn slot_of(time: Timestamp, unit_ms: i64) -> i64 {
    time.as_millis().div_euclid(unit_ms)
}
