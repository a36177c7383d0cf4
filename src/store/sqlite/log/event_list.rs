//! The list of events.
//!
//! It is read as the delivery log is: by the id, within a type or a resource where one is asked for, and a range of
//! time is found by the [zones](crate::store::sqlite::engine::zones) of ids it can be in.

use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};

use crate::domain::AppId;
use crate::domain::event::Event;
use crate::store::shared::paging::{empty, page_of, skipped, total};
use crate::store::sqlite::engine::cache;
use crate::store::sqlite::engine::rows::{AppRow, EventRow, TypeRow, count};
use crate::store::sqlite::engine::zones::{EVENTS, IdRange, TimeRange, Zones};
use crate::store::sqlite::queue::events::event;
use crate::store::sqlite::queue::filter;
use crate::store::{EventFilter, Page, PageRequest, Start, TOTAL_CAP};

/// Events that lie together in an index, in the order of id.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum EventSet {
    All,
    Kind(TypeRow),
    Resource(String),
    One(EventRow),
}

/// A set and its test.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct EventStream {
    pub(crate) set: EventSet,
    /// What is asked of each of its events: conditions that begin with `AND`.
    pub(crate) test: String,
}

impl EventStream {
    pub(crate) fn of(set: EventSet) -> EventStream {
        EventStream { set, test: String::new() }
    }

    /// What a list shows: retention has not taken it, and it is no test.
    fn condition(&self, mixed: bool) -> String {
        let (index, of_set) = match self.set {
            EventSet::All => ("INDEXED BY events_app", "?2 = 0"),
            EventSet::Kind(_) => ("INDEXED BY events_type", "type = ?2"),
            EventSet::Resource(_) => ("INDEXED BY events_resource", "resource_id = ?2"),
            EventSet::One(_) => ("NOT INDEXED", "id = ?2"),
        };
        let time = if mixed { " AND created_at >= ?6 AND created_at <= ?7" } else { "" };
        let test = &self.test;
        format!(
            "FROM events {index} WHERE app = ?1 AND {of_set} AND id >= ?3 AND id <= ?4 \
             AND payload IS NOT NULL AND origin <> 'test'{time}{test}"
        )
    }

    fn values(&self, app: AppRow, span: IdRange, limit: u64, range: TimeRange) -> Vec<Value> {
        let set = match &self.set {
            EventSet::All => Value::Integer(0),
            EventSet::Kind(kind) => Value::Integer(kind.0),
            EventSet::Resource(text) => Value::Text(text.clone()),
            EventSet::One(row) => Value::Integer(row.0),
        };
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut values = vec![Value::Integer(app.0), set];
        values.extend([span.from, span.to, limit].map(Value::Integer));
        if span.mixed {
            values.extend([range.since, range.until].map(Value::Integer));
        }
        values
    }

    fn count(
        &self,
        conn: &Connection,
        app: AppRow,
        span: IdRange,
        limit: u64,
        range: TimeRange,
    ) -> rusqlite::Result<u64> {
        let sql = format!("SELECT count(*) FROM (SELECT 1 {} LIMIT ?5)", self.condition(span.mixed));
        let values = self.values(app, span, limit, range);
        conn.prepare_cached(&sql)?.query_row(params_from_iter(values), |row| count(row, 0))
    }

    /// The newest ids.
    pub(crate) fn ids(
        &self,
        conn: &Connection,
        app: AppRow,
        span: IdRange,
        limit: u64,
        range: TimeRange,
    ) -> rusqlite::Result<Vec<i64>> {
        let values = self.values(app, span, limit, range);
        conn.prepare_cached(&self.ids_sql(span.mixed))?
            .query_map(params_from_iter(values), |row| row.get(0))?
            .collect()
    }

    pub(crate) fn ids_sql(&self, mixed: bool) -> String {
        format!("SELECT id {} ORDER BY id DESC LIMIT ?5", self.condition(mixed))
    }
}

pub(crate) const ROW: &str = "SELECT v.id, v.uid, y.name, v.resource_id, v.deliveries, v.created_at, \
     (SELECT filtered FROM event_extras x WHERE x.event = v.id) \
     FROM events v CROSS JOIN event_types y ON y.id = v.type WHERE v.id = ?1";

/// The streams that a filter lets through; no event is in two of them.
pub(crate) fn streams(
    conn: &Connection,
    app: AppRow,
    wanted: &EventFilter,
) -> rusqlite::Result<Vec<EventStream>> {
    let asked = match &wanted.event_type {
        Some(names) => Some(filter::types(conn, app, names)?),
        None => None,
    };
    let one_of =
        |kinds: &[TypeRow]| format!("type IN ({})", filter::numbers(kinds.iter().map(|kind| kind.0)));
    let of_types = asked.as_deref().map_or_else(String::new, |kinds| format!(" AND {}", one_of(kinds)));
    let Some(q) = &wanted.q else {
        return Ok(match (&wanted.resource, &asked) {
            (Some(resource), _) => {
                vec![EventStream { set: EventSet::Resource(resource.clone()), test: of_types }]
            }
            (None, Some(kinds)) => kinds.iter().map(|k| EventStream::of(EventSet::Kind(*k))).collect(),
            (None, None) => vec![EventStream::of(EventSet::All)],
        });
    };
    let kinds = filter::search_types(conn, app, q)?;
    let (event, resource) = filter::search_ids(conn, app, q)?;
    let is_named = one_of(&kinds);
    if let Some(asked) = &wanted.resource {
        let id = event.map_or(0, |row| row.0);
        let is_resource = i64::from(resource.as_ref() == Some(asked));
        let test = format!(" AND ({is_named} OR id = {id} OR {is_resource}){of_types}");
        return Ok(vec![EventStream { set: EventSet::Resource(asked.clone()), test }]);
    }
    let is_asked = |kind: &TypeRow| asked.as_ref().is_none_or(|asked| asked.contains(kind));
    let named = kinds.iter().copied().filter(is_asked).map(|kind| EventStream::of(EventSet::Kind(kind)));
    let mut streams: Vec<EventStream> = named.collect();
    let rest = format!(" AND NOT {is_named}{of_types}");
    if let Some(event) = event {
        streams.push(EventStream { set: EventSet::One(event), test: rest.clone() });
    }
    if let Some(resource) = resource {
        let test = format!("{rest} AND id <> {}", event.map_or(0, |row| row.0));
        streams.push(EventStream { set: EventSet::Resource(resource), test });
    }
    Ok(streams)
}

/// The range of time that a filter means.
pub(crate) fn range_of(wanted: &EventFilter) -> TimeRange {
    TimeRange::of(wanted.since, wanted.until)
}

/// The ids that events of a range can have, ascending; `bits` is the size of a zone as a power of two.
pub(crate) fn spans_of(conn: &Connection, range: TimeRange, bits: u32) -> rusqlite::Result<Vec<IdRange>> {
    match range {
        TimeRange::ALL => Ok(vec![IdRange::ALL]),
        _ => Ok(Zones::load(conn, EVENTS, bits)?.spans(range)),
    }
}

/// A page of the list; `bits` is the size of a zone as a power of two.
pub(crate) fn list(
    conn: &Connection,
    app: AppId,
    wanted: &EventFilter,
    page: &PageRequest<i64>,
    bits: u32,
) -> rusqlite::Result<Page<Event, i64>> {
    let Some(app) = cache::app_row(conn, app)? else { return Ok(empty()) };
    let range = range_of(wanted);
    let spans = spans_of(conn, range, bits)?;
    let (below, offset) = match page.start {
        Start::Page(number) => (i64::MAX, skipped(number, page.per_page)),
        Start::After(id) => (id.saturating_sub(1), 0),
    };
    let most = offset.unsigned_abs() + u64::from(page.per_page) + 1;
    let mut counted = 0;
    let mut ids = Vec::new();
    for stream in streams(conn, app, wanted)? {
        let mut left = most;
        for span in spans.iter().rev() {
            if counted <= TOTAL_CAP {
                counted += stream.count(conn, app, *span, TOTAL_CAP + 1 - counted, range)?;
            }
            if let Some(span) = span.within(i64::MIN, below).filter(|_| left > 0) {
                let found = stream.ids(conn, app, span, left, range)?;
                left -= found.len() as u64;
                ids.extend(found);
            }
        }
    }
    ids.sort_unstable_by(|a, b| b.cmp(a));
    let ids = ids.into_iter().skip(usize::try_from(offset).unwrap_or(usize::MAX));
    let ids: Vec<i64> = ids.take(page.per_page as usize + 1).collect();
    let page = page_of(ids, page.per_page, total(counted), |id| *id);
    let mut statement = conn.prepare_cached(ROW)?;
    let rows = page.rows.iter().map(|id| statement.query_row(params![id], |row| event(row, 1)));
    Ok(Page { rows: rows.collect::<rusqlite::Result<_>>()?, total: page.total, next: page.next })
}
