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

use rusqlite::{Connection, params};

use crate::domain::attempts::attempt::{AttemptStatus, Outcome, Trigger};
use crate::domain::attempts::status_class::StatusClass;
use crate::domain::health::Record;
use crate::domain::values::histogram::{Bucket, bucket_of};
use crate::domain::{AttemptId, ErrorKind, Timestamp};
use crate::store::sqlite::engine::records;
use crate::store::sqlite::engine::rows::{AppRow, EndpointRow, TypeRow};
use crate::store::sqlite::engine::slots::{self, SlotSums};

/// The number of the last attempt of an app that has a result.
pub(crate) const LAST: &str = "SELECT result_seq FROM apps WHERE id = ?1";
pub(crate) const ADVANCE: &str = "UPDATE apps SET result_seq = ?2 WHERE id = ?1";
const POSTED: &str = "UPDATE event_types SET count = count + ?2, \
     last_seen_at = coalesce(max(last_seen_at, ?3), ?3) WHERE id = ?1";

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

    /// The next number in the order of an app's results ([`crate::store::sqlite::log::live`]).
    pub(crate) fn next_result_seq(&mut self, conn: &Connection, app: AppRow) -> rusqlite::Result<i64> {
        let last = match self.result_seqs.get(&app) {
            Some(last) => *last,
            None => {
                let given = self.changes.iter().rev().find_map(|change| match change {
                    Change::Result { app: of, result_seq } if *of == app => Some(*result_seq),
                    _ => None,
                });
                match given {
                    Some(last) => last,
                    None => conn.prepare_cached(LAST)?.query_row([app], |row| row.get(0))?,
                }
            }
        };
        let result_seq = last + 1;
        self.result_seqs.insert(app, result_seq);
        self.changes.push(Change::Result { app, result_seq });
        Ok(result_seq)
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
        let record = records::of_result(row.delivery, status, outcome).map(Box::new);
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

    /// Writes everything and forgets it.
    pub(crate) fn write(&mut self, conn: &Connection) -> rusqlite::Result<Tally> {
        // Another connection may go on from here before the next group.
        self.result_seqs.clear();
        if self.changes.is_empty() {
            return Ok(Tally::default());
        }
        let mut sums = Sums::default();
        for change in self.changes.drain(..) {
            sums.add(change);
        }
        let Sums { events, queue: pending, declined, holds, .. } = sums;
        let tally = Tally { events, pending, declined, holds };
        sums.write(conn).map(|()| tally)
    }
}

/// Changes of one row of `totals`.
#[derive(Debug, Default)]
struct TotalSums {
    deliveries: i64,
    delivered: i64,
    exhausted: i64,
    pending: i64,
    cancelled: i64,
    failed_attempts: i64,
    response_count: i64,
    response_ms_sum: i64,
    min: Option<u32>,
    max: Option<u32>,
    last_attempted_at: Option<Timestamp>,
    record: Record,
}

#[derive(Debug, Default)]
struct Sums {
    queue: i64,
    events: u64,
    declined: u64,
    holds: u64,
    totals: HashMap<EndpointRow, TotalSums>,
    total_times: HashMap<(EndpointRow, Bucket), i64>,
    errors: HashMap<(EndpointRow, ErrorKind, u16), (i64, String, Timestamp)>,
    /// By type: how many events were posted, and when the last one was.
    posted: HashMap<TypeRow, (i64, Timestamp)>,
    /// By app: the last `result_seq`.
    result_seqs: HashMap<AppRow, i64>,
    /// By endpoint and minute; the hours are made of them.
    minutes: HashMap<(EndpointRow, i64), SlotSums>,
    minute_times: HashMap<(EndpointRow, i64, Bucket), i64>,
    /// By endpoint, hour and class: failed attempts.
    statuses: HashMap<(EndpointRow, i64, StatusClass), i64>,
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

    fn write(self, conn: &Connection) -> rusqlite::Result<()> {
        let mut hours: HashMap<(EndpointRow, i64), SlotSums> = HashMap::new();
        let mut hour_times: HashMap<(EndpointRow, i64, Bucket), i64> = HashMap::new();
        for ((endpoint, minute), sums) in &self.minutes {
            let hour = hours.entry((*endpoint, minute.div_euclid(60))).or_default();
            hour.delivered += sums.delivered;
            hour.exhausted += sums.exhausted;
            hour.failed_attempts += sums.failed_attempts;
            hour.response_ms_sum += sums.response_ms_sum;
            hour.deliveries += sums.deliveries;
            hour.failed_deliveries += sums.failed_deliveries;
            hour.response_count += sums.response_count;
            hour.ended_exhausted += sums.ended_exhausted;
        }
        for ((endpoint, minute, bucket), count) in &self.minute_times {
            *hour_times.entry((*endpoint, minute.div_euclid(60), *bucket)).or_default() += count;
        }
        for (app, result_seq) in self.result_seqs {
            conn.prepare_cached(ADVANCE)?.execute(params![app, result_seq])?;
        }
        for (kind, (count, last_at)) in self.posted {
            conn.prepare_cached(POSTED)?.execute(params![kind, count, last_at])?;
        }
        write_totals(conn, &self.totals)?;
        for ((endpoint, bucket), count) in self.total_times {
            conn.prepare_cached(
                "INSERT INTO total_times (endpoint, bucket, count) VALUES (?1, ?2, ?3) \
                 ON CONFLICT (endpoint, bucket) DO UPDATE SET count = count + excluded.count",
            )?
            .execute(params![endpoint, bucket, count])?;
        }
        slots::write(conn, slots::MINUTES, &self.minutes)?;
        slots::write(conn, slots::HOURS, &hours)?;
        slots::write_times(conn, slots::MINUTE_TIMES, &self.minute_times)?;
        slots::write_times(conn, slots::HOUR_TIMES, &hour_times)?;
        slots::write_statuses(conn, &self.statuses)?;
        for ((endpoint, kind, status), (count, message, at)) in self.errors {
            conn.prepare_cached(
                "INSERT INTO total_errors (endpoint, error_kind, response_status, count, last_message, \
                 last_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
                 ON CONFLICT (endpoint, error_kind, response_status) DO UPDATE SET \
                 count = count + excluded.count, last_message = excluded.last_message, \
                 last_at = excluded.last_at",
            )?
            .execute(params![endpoint, kind, status, count, message, at])?;
        }
        Ok(())
    }
}

/// The number of the stretch of `unit_ms` that a time is in.
pub(crate) fn slot_of(time: Timestamp, unit_ms: i64) -> i64 {
    time.as_millis().div_euclid(unit_ms)
}

fn write_totals(conn: &Connection, totals: &HashMap<EndpointRow, TotalSums>) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(
        "INSERT INTO totals (endpoint, deliveries, delivered, exhausted, pending, cancelled, \
         failed_attempts, response_count, response_ms_sum, response_ms_min, response_ms_max, \
         last_attempted_at, record) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) \
         ON CONFLICT (endpoint) DO UPDATE SET deliveries = deliveries + excluded.deliveries, \
         delivered = delivered + excluded.delivered, exhausted = exhausted + excluded.exhausted, \
         pending = pending + excluded.pending, cancelled = cancelled + excluded.cancelled, \
         failed_attempts = failed_attempts + excluded.failed_attempts, \
         response_count = response_count + excluded.response_count, \
         response_ms_sum = response_ms_sum + excluded.response_ms_sum, \
         response_ms_min = coalesce(min(response_ms_min, excluded.response_ms_min), \
             response_ms_min, excluded.response_ms_min), \
         response_ms_max = coalesce(max(response_ms_max, excluded.response_ms_max), \
             response_ms_max, excluded.response_ms_max), \
         last_attempted_at = coalesce(max(last_attempted_at, excluded.last_attempted_at), \
             last_attempted_at, excluded.last_attempted_at), \
         record = CASE excluded.record WHEN '' THEN record ELSE merge_records(record, excluded.record) END",
    )?;
    for (endpoint, t) in totals {
        statement.execute(params![
            endpoint,
            t.deliveries,
            t.delivered,
            t.exhausted,
            t.pending,
            t.cancelled,
            t.failed_attempts,
            t.response_count,
            t.response_ms_sum,
            t.min,
            t.max,
            t.last_attempted_at,
            records::write(&t.record)
        ])?;
    }
    Ok(())
}
