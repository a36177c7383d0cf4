//! Searching the log and the events by what no index has: texts of errors, payloads, response bodies.
//!
//! Rows are found in the order of the list, some at a time, and looked at; see [`crate::store::shared::scan`].

use std::collections::{HashMap, HashSet};

use crate::domain::attempts::attempt::Attempt;
use crate::domain::event::Event;
use crate::domain::values::fold::fold;
use crate::domain::{AppId, AttemptId};
use crate::store::postgres::engine::cache;
use crate::store::postgres::engine::conn::{Conn, Statements as _, plan_by_values};
use crate::store::postgres::engine::error::DbResult;
use crate::store::postgres::engine::partitions::Partitions;
use crate::store::postgres::engine::rows::{Columns as _, EventRow};
use crate::store::postgres::log::event_list::{EventPlan, event_rows};
use crate::store::postgres::log::merge;
use crate::store::postgres::log::plan::Plan;
use crate::store::postgres::queue::shown;
use crate::store::shared::scan::{Budget, Place, Scan, bytes_contain, has_error};
use crate::store::{
    AttemptFilter, EventFilter, LogKey, PageRequest, SearchPage, Sort, SortValue, Start, View,
};

/// How many rows are looked at together.
const BATCH: usize = 256;

/// The log's rows that a filter with a text means, in the default order of its view.
pub(crate) async fn attempts(
    conn: &Conn,
    partitions: &Partitions,
    app: AppId,
    filter: &AttemptFilter,
    page: &PageRequest<LogKey>,
    budget: Budget,
) -> DbResult<SearchPage<Attempt, LogKey>> {
    plan_by_values(conn).await?;
    let Some(app) = cache::app_row(conn, app).await? else { return Ok(SearchPage::default()) };
    let Some(mut plan) = Plan::of(conn, partitions, app, filter).await? else {
        return Ok(SearchPage::default());
    };
    let mut after = match &page.start {
        Start::Page(_) => None,
        Start::After(key) => Some(key.clone()),
    };
    let mut scan = Scan::new(page.per_page as usize, budget);
    'reading: loop {
        let keys = merge::find(conn, &mut plan, Sort::newest(filter.view), after.as_ref(), BATCH).await?;
        let ids: Vec<AttemptId> = keys.iter().map(|key| key.id).collect();
        let meant = meant(conn, filter, &ids).await?;
        for key in &keys {
            if scan.saw(place(key), meant.contains(&key.id)) {
                break 'reading;
            }
        }
        if keys.len() < BATCH {
            break;
        }
        after = keys.into_iter().next_back();
    }
    let scanned = scan.done();
    let key = |(value, id): Place| {
        let value = match filter.view {
            View::Deliveries => SortValue::Number(value),
            View::Attempts => SortValue::Null,
        };
        LogKey { id: AttemptId(id), value }
    };
    let ids: Vec<AttemptId> = scanned.found.iter().map(|(_, id)| AttemptId(*id)).collect();
    let rows = shown::list_rows(conn, &ids).await?;
    Ok(SearchPage { rows, scanned: scanned.scanned, next: scanned.next.map(key) })
}

fn place(key: &LogKey) -> Place {
    match key.value {
        SortValue::Number(value) => (value, key.id.0),
        _ => (key.id.0, key.id.0),
    }
}

/// Which of these rows have the texts of a filter.
pub(crate) async fn meant(
    conn: &Conn,
    filter: &AttemptFilter,
    ids: &[AttemptId],
) -> DbResult<HashSet<AttemptId>> {
    let mut meant: HashSet<AttemptId> = ids.iter().copied().collect();
    if let Some(error) = &filter.error {
        let part = fold(&error.part);
        let messages = messages(conn, ids, filter.view).await?;
        let has = |id: &AttemptId| {
            messages.get(id).is_some_and(|message| has_error(message, &part, error.with_addresses))
        };
        meant.retain(has);
    }
    if let Some(text) = &filter.contains {
        let asked: Vec<AttemptId> = ids.iter().copied().filter(|id| meant.contains(id)).collect();
        meant = containing(conn, &asked, text).await?;
    }
    Ok(meant)
}

const MESSAGES: &str = "SELECT t.id, t.error_message FROM log t WHERE t.id = ANY($1) AND t.error_message IS NOT NULL \
     UNION ALL SELECT t.id, t.error_message FROM queue t WHERE t.id = ANY($1) AND t.error_message IS NOT NULL";
/// Pending ones without a message of their own, which have the one of the attempt before.
const WITHOUT: &str = "SELECT t.id, t.first_id FROM queue t \
     WHERE t.id = ANY($1) AND t.error_message IS NULL AND t.first_id IS NOT NULL";

/// The messages of attempts, in the view of deliveries those of the attempts before pending ones.
async fn messages(conn: &Conn, ids: &[AttemptId], view: View) -> DbResult<HashMap<AttemptId, String>> {
    let mut found = HashMap::new();
    for row in conn.rows(MESSAGES, &[&ids]).await? {
        found.insert(row.col("id")?, row.col("error_message")?);
    }
    if view == View::Deliveries {
        messages_before(conn, ids, &mut found).await?;
    }
    Ok(found)
}

async fn messages_before(
    conn: &Conn,
    ids: &[AttemptId],
    found: &mut HashMap<AttemptId, String>,
) -> DbResult<()> {
    let rows = conn.rows(WITHOUT, &[&ids]).await?;
    let pending = rows.iter().map(|row| Ok((row.col("first_id")?, row.col("id")?)));
    let pending = pending.collect::<DbResult<Vec<(AttemptId, AttemptId)>>>()?;
    let before = shown::before(conn, &pending).await?;
    for (delivery, id) in pending {
        if let Some(message) = before.get(&delivery).and_then(|before| before.error_message.clone()) {
            found.insert(id, message);
        }
    }
    Ok(())
}

/// Bodies are compared where they are, unless the text has what stands for bytes that are not UTF-8.
const CONTAINING: &str = "SELECT t.id, t.event, coalesce(position($2 in t.response_body) > 0, false) AS is_in, \
     CASE WHEN $3::boolean THEN t.response_body END AS body FROM log t WHERE t.id = ANY($1) \
     UNION ALL SELECT t.id, t.event, false, NULL::bytea FROM queue t WHERE t.id = ANY($1)";
const PAYLOADS: &str = "SELECT v.id, coalesce(position($2 in v.payload) > 0, false) AS is_in, \
     CASE WHEN $3::boolean THEN v.payload END AS body FROM events v WHERE v.id = ANY($1)";

/// Which of these rows have a text in the payload or in the response body.
async fn containing(conn: &Conn, ids: &[AttemptId], text: &str) -> DbResult<HashSet<AttemptId>> {
    let (bytes, is_lossy) = (text.as_bytes(), text.contains('\u{fffd}'));
    let (mut found, mut open): (HashSet<AttemptId>, Vec<(AttemptId, EventRow)>) = Default::default();
    for row in conn.rows(CONTAINING, &[&ids, &bytes, &is_lossy]).await? {
        if row.col("is_in")? || bytes_contain(row.col("body")?, text) {
            found.insert(row.col("id")?);
        } else {
            open.push((row.col("id")?, row.col("event")?));
        }
    }
    let events: Vec<EventRow> = open.iter().map(|(_, event)| *event).collect();
    let with = events_containing(conn, &events, text).await?;
    found.extend(open.iter().filter(|(_, event)| with.contains(event)).map(|(id, _)| *id));
    Ok(found)
}

async fn events_containing(conn: &Conn, events: &[EventRow], text: &str) -> DbResult<HashSet<EventRow>> {
    let (bytes, is_lossy) = (text.as_bytes(), text.contains('\u{fffd}'));
    let mut found = HashSet::new();
    for row in conn.rows(PAYLOADS, &[&events, &bytes, &is_lossy]).await? {
        if row.col("is_in")? || bytes_contain(row.col("body")?, text) {
            found.insert(row.col("id")?);
        }
    }
    Ok(found)
}

/// The events whose payload contains a text, newest first.
pub(crate) async fn events(
    conn: &Conn,
    partitions: &Partitions,
    app: AppId,
    filter: &EventFilter,
    page: &PageRequest<i64>,
    budget: Budget,
) -> DbResult<SearchPage<Event, i64>> {
    plan_by_values(conn).await?;
    let Some(app) = cache::app_row(conn, app).await? else { return Ok(SearchPage::default()) };
    let text = filter.contains.as_deref().unwrap_or_default();
    let plan = EventPlan::of(conn, partitions, app, filter).await?;
    let mut below = match page.start {
        Start::Page(_) => i64::MAX,
        Start::After(id) => id.saturating_sub(1),
    };
    let mut scan = Scan::new(page.per_page as usize, budget);
    'reading: loop {
        let ids = plan.newest(conn, below, BATCH).await?;
        let with = events_containing(conn, &ids, text).await?;
        for id in &ids {
            if scan.saw((id.0, id.0), with.contains(id)) {
                break 'reading;
            }
        }
        match ids.last() {
            Some(last) if ids.len() == BATCH => below = last.0 - 1,
            _ => break,
        }
    }
    let scanned = scan.done();
    let ids: Vec<i64> = scanned.found.iter().map(|(_, id)| *id).collect();
    let rows = event_rows(conn, &ids).await?;
    Ok(SearchPage { rows, scanned: scanned.scanned, next: scanned.next.map(|(_, id)| id) })
}
