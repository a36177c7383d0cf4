//! Searching the log and the events by what no index has: texts of errors, payloads, response bodies.
//!
//! Rows are read newest first, window by window; see [`crate::store::shared::scan`].

use std::cell::RefCell;
use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::domain::attempts::attempt::{Attempt, AttemptStatus};
use crate::domain::event::Event;
use crate::domain::filter::ErrorText;
use crate::domain::values::fold::fold;
use crate::domain::{AppId, AttemptId};
pub(crate) use crate::store::shared::scan::has_error;
use crate::store::shared::scan::{Budget, Place, Scan, Scanned, bytes_contain};
use crate::store::sqlite::engine::cache;
use crate::store::sqlite::engine::rows::EventRow;
use crate::store::sqlite::engine::zones::{IdRange, ZONE_BITS};
use crate::store::sqlite::log::event_list::{ROW, range_of, spans_of, streams};
use crate::store::sqlite::log::plan::{Bounds, Plan};
use crate::store::sqlite::log::walk::{Column, column_rows, created_at, walk};
use crate::store::sqlite::queue::attempts;
use crate::store::sqlite::queue::events::event;
use crate::store::{AttemptFilter, EventFilter, LogKey, PageRequest, SearchPage, SortValue, Start, View};

/// The widths of windows, in ids: the first, and the bounds of the others.
const FIRST_WIDTH: i64 = 4_096;
const WIDTHS: (i64, i64) = (256, 1 << 16);
/// So many rows in a window make the next one narrower or wider.
const ROWS: (usize, usize) = (512, 8_192);

/// Reads places from `top` down to `bottom`. `gather` lists the rows of a window, `is_meant` reads one.
fn scan(
    (top, bottom): (i64, i64),
    per_page: usize,
    budget: Budget,
    mut gather: impl FnMut(i64, i64) -> rusqlite::Result<Vec<Place>>,
    mut is_meant: impl FnMut(i64) -> rusqlite::Result<bool>,
) -> rusqlite::Result<Scanned> {
    let mut scan = Scan::new(per_page, budget);
    let (mut high, mut width) = (top, FIRST_WIDTH);
    while high >= bottom {
        let low = high.saturating_sub(width - 1);
        let mut rows = gather(low, high)?;
        rows.sort_unstable_by(|a, b| b.cmp(a));
        for row in &rows {
            if scan.saw(*row, is_meant(row.1)?) {
                return Ok(scan.done());
            }
        }
        high = low.saturating_sub(1);
        if scan.is_late() && high >= bottom {
            scan.stop_at((low, low));
            break;
        }
        if rows.len() < ROWS.0 {
            width = (width * 4).min(WIDTHS.1);
        } else if rows.len() > ROWS.1 {
            width = (width / 2).max(WIDTHS.0);
        }
    }
    Ok(scan.done())
}

// ---------------------------------------------------------------------------------------------
// The log

/// The log's rows that a filter with a text means, in the default order of its view.
pub(crate) fn attempts(
    conn: &Connection,
    app: AppId,
    filter: &AttemptFilter,
    page: &PageRequest<LogKey>,
    budget: Budget,
    bounds: Bounds,
) -> rusqlite::Result<SearchPage<Attempt, LogKey>> {
    let Some(app) = cache::app_row(conn, app)? else { return Ok(SearchPage::default()) };
    let Some(plan) = Plan::of(conn, app, filter, bounds)? else { return Ok(SearchPage::default()) };
    let of_deliveries = filter.view == View::Deliveries;
    let (first, last) = ends(conn)?;
    let top = match &page.start {
        Start::Page(_) => last,
        Start::After(LogKey { value: SortValue::Number(value), .. }) if of_deliveries => {
            value.saturating_sub(1)
        }
        Start::After(key) => key.id.0.saturating_sub(1),
    };
    let mut named = Vec::new();
    plan.each_named(conn, |row| {
        named.push(if of_deliveries { (row.delivery, row.id) } else { (row.id, row.id) });
        true
    })?;
    let reader = RowReader::new(conn, filter);
    let spans = plan.spans(conn, plan.range)?;
    let scanned = scan(
        (top.min(last), first),
        page.per_page as usize,
        budget,
        |low, high| {
            let mut rows = window(conn, &plan, &spans, of_deliveries, (low, high))?;
            rows.extend(named.iter().filter(|(value, _)| (low..=high).contains(value)));
            Ok(rows)
        },
        |id| reader.is_meant(AttemptId(id)),
    )?;
    let key = |(value, id): Place| {
        let value = if of_deliveries { SortValue::Number(value) } else { SortValue::Null };
        LogKey { id: AttemptId(id), value }
    };
    let rows = scanned.found.iter().map(|(_, id)| attempts::list_row(conn, AttemptId(*id)));
    let rows = rows.collect::<rusqlite::Result<_>>()?;
    Ok(SearchPage { rows, scanned: scanned.scanned, next: scanned.next.map(key) })
}

/// The first and the last place that a row can have.
fn ends(conn: &Connection) -> rusqlite::Result<(i64, i64)> {
    let (first, last): (Option<i64>, Option<i64>) = conn
        .prepare_cached("SELECT (SELECT min(id) FROM attempts), (SELECT max(id) FROM attempts)")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    // The first attempt of a delivery may be gone before the others.
    let delivery: Option<i64> = conn
        .prepare_cached("SELECT min(first_id) FROM attempts WHERE first_id IS NOT NULL")?
        .query_row([], |row| row.get(0))?;
    let first = first.into_iter().chain(delivery).min();
    Ok((first.unwrap_or(1), last.unwrap_or(0)))
}

/// The rows of the streams whose places are in a window.
fn window(
    conn: &Connection,
    plan: &Plan,
    spans: &[IdRange],
    of_deliveries: bool,
    (low, high): (i64, i64),
) -> rusqlite::Result<Vec<Place>> {
    let mut rows = Vec::new();
    for stream in plan.streams(conn, of_deliveries)? {
        if of_deliveries && stream.class.is_some_and(|class| !class.is_first()) {
            for (id, delivery) in column_rows(conn, *stream, Column::Delivery, low, high)? {
                if plan.range.contains(created_at(conn, id)?) {
                    rows.push((delivery, id));
                }
            }
            continue;
        }
        for span in spans.iter().filter_map(|span| span.within(low, high)) {
            let column = if span.mixed { Column::CreatedAt } else { Column::None };
            walk(conn, *stream, span, true, column, |id, created_at, _| {
                if created_at.is_none_or(|at| plan.range.contains(at)) {
                    rows.push((id, id));
                }
                true
            })?;
        }
    }
    Ok(rows)
}

/// Reads what an index has not.
struct RowReader<'a> {
    conn: &'a Connection,
    view: View,
    error: Option<(&'a ErrorText, String)>,
    contains: Option<&'a str>,
    /// Whether the payloads of the events that were read last have the text: attempts of one event lie together.
    payloads: RefCell<HashMap<i64, bool>>,
}

/// Events that are remembered.
const PAYLOADS: usize = 1_024;

impl<'a> RowReader<'a> {
    fn new(conn: &'a Connection, filter: &'a AttemptFilter) -> RowReader<'a> {
        RowReader {
            conn,
            view: filter.view,
            error: filter.error.as_ref().map(|error| (error, fold(&error.part))),
            contains: filter.contains.as_deref(),
            payloads: RefCell::default(),
        }
    }

    fn is_meant(&self, id: AttemptId) -> rusqlite::Result<bool> {
        if let Some((error, part)) = &self.error
            && !self.message(id)?.is_some_and(|message| has_error(&message, part, error.with_addresses))
        {
            return Ok(false);
        }
        match self.contains {
            Some(text) => self.contains(id, text),
            None => Ok(true),
        }
    }

    /// The message of an attempt, or in the view of deliveries of the one before a pending one.
    fn message(&self, id: AttemptId) -> rusqlite::Result<Option<String>> {
        let (status, own, first): (AttemptStatus, Option<String>, Option<AttemptId>) = self
            .conn
            .prepare_cached("SELECT status, error_message, first_id FROM attempts WHERE id = ?1")?
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        match first {
            Some(first)
                if own.is_none() && self.view == View::Deliveries && status == AttemptStatus::Pending =>
            {
                Ok(attempts::before(self.conn, first, id)?.error_message)
            }
            _ => Ok(own),
        }
    }

    fn contains(&self, id: AttemptId, text: &str) -> rusqlite::Result<bool> {
        let event: EventRow = self
            .conn
            .prepare_cached("SELECT event FROM attempts WHERE id = ?1")?
            .query_row([id], |row| row.get(0))?;
        let mut payloads = self.payloads.borrow_mut();
        let known = payloads.get(&event.0).copied();
        let in_payload = match known {
            Some(known) => known,
            None => payload_contains(self.conn, event, text)?,
        };
        if payloads.len() >= PAYLOADS {
            payloads.clear();
        }
        payloads.insert(event.0, in_payload);
        if in_payload {
            return Ok(true);
        }
        let sql = "SELECT response_body FROM attempt_details WHERE attempt = ?1";
        let found = self
            .conn
            .prepare_cached(sql)?
            .query_row([id], |row| Ok(bytes_contain(row.get_ref(0)?.as_blob_or_null()?, text)))
            .optional()?;
        Ok(found.unwrap_or(false))
    }
}

fn payload_contains(conn: &Connection, event: EventRow, text: &str) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT payload FROM events WHERE id = ?1")?
        .query_row([event], |row| Ok(bytes_contain(row.get_ref(0)?.as_blob_or_null()?, text)))
}

// ---------------------------------------------------------------------------------------------
// Events

/// The events whose payload contains a text, newest first.
pub(crate) fn events(
    conn: &Connection,
    app: AppId,
    filter: &EventFilter,
    page: &PageRequest<i64>,
    budget: Budget,
) -> rusqlite::Result<SearchPage<Event, i64>> {
    let Some(app) = cache::app_row(conn, app)? else { return Ok(SearchPage::default()) };
    let text = filter.contains.as_deref().unwrap_or_default();
    let range = range_of(filter);
    let spans = spans_of(conn, range, ZONE_BITS)?;
    let streams = streams(conn, app, filter)?;
    let (first, last): (Option<i64>, Option<i64>) = conn
        .prepare_cached("SELECT (SELECT min(id) FROM events), (SELECT max(id) FROM events)")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let last = last.unwrap_or(0);
    let top = match page.start {
        Start::Page(_) => last,
        Start::After(id) => id.saturating_sub(1).min(last),
    };
    let gather = |low, high| {
        let mut rows = Vec::new();
        for stream in &streams {
            for span in spans.iter().filter_map(|span: &IdRange| span.within(low, high)) {
                let ids = stream.ids(conn, app, span, u64::MAX, range)?;
                rows.extend(ids.into_iter().map(|id| (id, id)));
            }
        }
        Ok(rows)
    };
    let scanned = scan((top, first.unwrap_or(1)), page.per_page as usize, budget, gather, |id| {
        payload_contains(conn, EventRow(id), text)
    })?;
    let mut statement = conn.prepare_cached(ROW)?;
    let rows = scanned.found.iter().map(|(_, id)| statement.query_row(params![id], |row| event(row, 1)));
    let rows = rows.collect::<rusqlite::Result<_>>()?;
    Ok(SearchPage { rows, scanned: scanned.scanned, next: scanned.next.map(|(_, id)| id) })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LONG: Duration = Duration::from_secs(3_600);

    /// The places that pages find, and how many rows each page read.
    fn pages(per_page: usize, budget: Budget) -> (Vec<i64>, Vec<u64>) {
        let all: Vec<i64> = (1..=40).chain(900..=950).chain([70_000, 500_000]).collect();
        let (mut found, mut read) = (Vec::new(), Vec::new());
        let mut top = 500_000;
        loop {
            let gather = |low, high| {
                Ok(all.iter().filter(|id| (low..=high).contains(*id)).map(|id| (*id, *id)).collect())
            };
            let page = scan((top, 1), per_page, budget, gather, |id| Ok(id % 10 == 0)).unwrap();
            found.extend(page.found.iter().map(|(value, _)| *value));
            read.push(page.scanned);
            match page.next {
                Some((value, _)) => top = value - 1,
                None => return (found, read),
            }
        }
    }

    #[test]
    fn pages_under_any_budget_find_everything_once_newest_first() {
        let wanted = [500_000, 70_000, 950, 940, 930, 920, 910, 900, 40, 30, 20, 10];
        for per_page in [1, 3, 200] {
            for rows in [1, 7, u64::MAX] {
                let (found, read) = pages(per_page, Budget { time: LONG, rows });
                assert_eq!(found, wanted, "{per_page} a page, {rows} rows");
                assert!(read.iter().all(|read| *read <= rows), "{read:?}");
            }
        }
    }

    #[test]
    fn a_search_without_any_time_still_goes_on() {
        let (found, read) = pages(3, Budget { time: Duration::ZERO, rows: u64::MAX });
        assert_eq!(found.len(), 12);
        assert!(read.len() > 50, "a page reads one row, or looks at one window: {}", read.len());
    }
}
