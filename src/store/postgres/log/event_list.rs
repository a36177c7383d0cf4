//! The list of events.
//!
//! It is read as the delivery log is: by the id, within a type or a resource where one is asked for, a few partitions
//! at a time.

use crate::domain::AppId;
use crate::domain::event::Event;
use crate::store::postgres::engine::cache;
use crate::store::postgres::engine::conn::{Conn, Params, Statements as _, plan_by_values};
use crate::store::postgres::engine::error::DbResult;
use crate::store::postgres::engine::ids;
use crate::store::postgres::engine::partitions::{Parent, Partitions};
use crate::store::postgres::engine::rows::{AppRow, Columns as _, EventRow, TypeRow, num};
use crate::store::postgres::log::spans;
use crate::store::postgres::queue::filter;
use crate::store::shared::paging::{empty, page_of, skipped, total};
use crate::store::shared::ranges::{IdRange, TimeRange};
use crate::store::{EventFilter, Page, PageRequest, Start, TOTAL_CAP};

/// Events that lie together in an index, in the order of id.
#[derive(Debug, Clone, PartialEq)]
enum EventSet {
    All,
    Kinds(Vec<TypeRow>),
    Resource(String),
    One(EventRow),
}

/// A set, and what is asked of each of its events.
#[derive(Debug, Clone, PartialEq)]
struct EventStream {
    set: EventSet,
    /// It has one of these types.
    types: Option<Vec<TypeRow>>,
    /// It has one of these types, or this row.
    named: Option<(Vec<TypeRow>, EventRow)>,
    /// It has none of these types, and not this row.
    except: (Vec<TypeRow>, EventRow),
}

/// No event has this row.
const NO_EVENT: EventRow = EventRow(-1);

impl EventStream {
    fn of(set: EventSet) -> EventStream {
        EventStream { set, types: None, named: None, except: (vec![], NO_EVENT) }
    }
}

/// The parameters of a statement come in this order; what a list shows: retention has not taken it, and it is no test.
macro_rules! wanted {
    () => {
        "v.app = $1 AND v.id >= $3 AND v.id <= $4 AND v.payload IS NOT NULL AND v.origin <> 'test' \
         AND v.created_at >= $6 AND v.created_at <= $7 AND ($8::bigint[] IS NULL OR v.type = ANY($8)) \
         AND ($9::bigint[] IS NULL OR v.type = ANY($9) OR v.id = $10) AND NOT v.type = ANY($11) AND v.id <> $12 "
    };
}
macro_rules! ids {
    ($from:literal, $set:literal) => {
        concat!(
            "SELECT v.id FROM ",
            $from,
            " WHERE ",
            wanted!(),
            "AND ",
            $set,
            " ORDER BY v.id DESC LIMIT $5"
        )
    };
}
const ALL: &str = ids!("events v", "$2::bigint IS NULL");
const OF_KINDS: &str = concat!(
    "SELECT w.id FROM unnest($2::bigint[]) AS k(type) CROSS JOIN LATERAL (",
    ids!("events v", "v.type = k.type"),
    ") w ORDER BY w.id DESC LIMIT $5"
);
const OF_RESOURCE: &str = ids!("events v", "v.resource_id = $2");
const ONE: &str = ids!("events v", "v.id = $2");

/// What a filter means in an app. No event is in two of its streams.
pub(crate) struct EventPlan {
    app: AppRow,
    streams: Vec<EventStream>,
    range: TimeRange,
    /// Partitions that are read together, newest first.
    groups: Vec<IdRange>,
}

impl EventPlan {
    pub(crate) async fn of(
        conn: &Conn,
        partitions: &Partitions,
        app: AppRow,
        wanted: &EventFilter,
    ) -> DbResult<EventPlan> {
        let streams = streams(conn, app, wanted).await?;
        let range = TimeRange::of(wanted.since, wanted.until);
        Ok(EventPlan { app, streams, range, groups: spans::groups(conn, partitions, Parent::Events).await? })
    }

    /// What of the groups can be in the range of time, newest first.
    fn parts(&self) -> Vec<IdRange> {
        // Every event is asked for its time, so the pieces between the ends need not be told apart.
        let pieces = spans::of_time(self.range);
        let timely = || pieces.iter().filter(|piece| piece.from >= ids::TIMELY_FROM);
        let ends = timely().map(|piece| piece.from).min().zip(timely().map(|piece| piece.to).max());
        let early = (i64::MIN, ids::TIMELY_FROM - 1);
        let within = |group: &IdRange| {
            let (from, to) = ends?;
            group.within(from, to)
        };
        let newer = self.groups.iter().filter_map(within);
        let older = self.groups.iter().filter_map(|group| group.within(early.0, early.1));
        newer.chain(older).collect()
    }

    async fn ids(
        &self,
        conn: &Conn,
        stream: &EventStream,
        part: IdRange,
        limit: u64,
        is_count: bool,
    ) -> DbResult<Vec<i64>> {
        let EventStream { set, types, named, except } = stream;
        let (named, or_row) = match named {
            Some((types, row)) => (Some(types), *row),
            None => (None, NO_EVENT),
        };
        let TimeRange { since, until } = self.range;
        let (limit, none) = (num(limit), None::<i64>);
        let (sql, set): (&str, &(dyn tokio_postgres::types::ToSql + Sync)) = match set {
            EventSet::All => (ALL, &none),
            EventSet::Kinds(kinds) => (OF_KINDS, kinds),
            EventSet::Resource(text) => (OF_RESOURCE, text),
            EventSet::One(row) => (ONE, row),
        };
        let values: Params<'_> = &[
            &self.app, set, &part.from, &part.to, &limit, &since, &until, types, &named, &or_row, &except.0,
            &except.1,
        ];
        if is_count {
            let sql = format!("SELECT count(*) AS count FROM ({sql}) found");
            return Ok(vec![conn.row(&sql, values).await?.num("count")?]);
        }
        conn.rows(sql, values).await?.iter().map(|row| row.num("id")).collect()
    }

    /// The newest events up to an id.
    pub(crate) async fn newest(&self, conn: &Conn, below: i64, most: usize) -> DbResult<Vec<EventRow>> {
        let mut found = Vec::new();
        for part in self.parts() {
            if found.len() >= most {
                break;
            }
            let Some(part) = part.within(i64::MIN, below) else { continue };
            let mut here = Vec::new();
            for stream in &self.streams {
                here.extend(self.ids(conn, stream, part, most as u64, false).await?);
            }
            here.sort_unstable_by(|a, b| b.cmp(a));
            found.extend(here);
        }
        found.truncate(most);
        Ok(found.into_iter().map(EventRow).collect())
    }

    /// How many there are, counted up to `cap`.
    async fn count(&self, conn: &Conn, cap: u64) -> DbResult<u64> {
        let mut counted = 0;
        for part in self.parts() {
            for stream in &self.streams {
                if counted < cap {
                    let found = self.ids(conn, stream, part, cap - counted, true).await?;
                    counted += found.first().map_or(0, |count| count.unsigned_abs());
                }
            }
        }
        Ok(counted)
    }
}

/// The streams that a filter lets through.
async fn streams(conn: &Conn, app: AppRow, wanted: &EventFilter) -> DbResult<Vec<EventStream>> {
    // PostgreSQL holds no such text.
    if wanted.resource.as_ref().is_some_and(|text| text.contains('\0')) {
        return Ok(vec![]);
    }
    let asked = match &wanted.event_type {
        Some(names) => Some(filter::types(conn, app, names).await?),
        None => None,
    };
    let of = EventStream::of;
    let Some(q) = &wanted.q else {
        return Ok(vec![match (&wanted.resource, asked) {
            (Some(resource), types) => EventStream { types, ..of(EventSet::Resource(resource.clone())) },
            (None, Some(kinds)) => of(EventSet::Kinds(kinds)),
            (None, None) => of(EventSet::All),
        }]);
    };
    let kinds = filter::search_types(conn, app, q).await?;
    let (event, resource) = filter::search_ids(conn, app, q).await?;
    let row = event.unwrap_or(NO_EVENT);
    if let Some(only) = &wanted.resource {
        let named = (resource.as_ref() != Some(only)).then_some((kinds, row));
        return Ok(vec![EventStream { types: asked, named, ..of(EventSet::Resource(only.clone())) }]);
    }
    let is_asked = |kind: &TypeRow| asked.as_ref().is_none_or(|asked| asked.contains(kind));
    let named = kinds.iter().copied().filter(is_asked).collect();
    let mut streams = vec![of(EventSet::Kinds(named))];
    if let Some(event) = event {
        let except = (kinds.clone(), NO_EVENT);
        streams.push(EventStream { types: asked.clone(), except, ..of(EventSet::One(event)) });
    }
    if let Some(resource) = resource {
        streams.push(EventStream { types: asked, except: (kinds, row), ..of(EventSet::Resource(resource)) });
    }
    Ok(streams)
}

/// The columns that [`event`] reads, of `events v` and `event_types y`.
macro_rules! columns {
    () => {
        "SELECT v.id, v.uid, y.name AS type, v.resource_id, v.deliveries, v.created_at, v.filtered"
    };
}
const ROWS: &str =
    concat!(columns!(), " FROM events v JOIN event_types y ON y.id = v.type WHERE v.id = ANY($1)");

/// Reads an event.
pub(crate) fn event(row: &tokio_postgres::Row) -> DbResult<Event> {
    Ok(Event {
        id: row.col("uid")?,
        event_type: row.col("type")?,
        resource_id: row.col("resource_id")?,
        deliveries: row.num("deliveries")?,
        filtered: row.num("filtered")?,
        created_at: row.col("created_at")?,
    })
}

/// The events with these rows, newest first.
pub(crate) async fn event_rows(conn: &Conn, ids: &[i64]) -> DbResult<Vec<Event>> {
    let mut rows = Vec::with_capacity(ids.len());
    for row in conn.rows(ROWS, &[&ids]).await? {
        rows.push((row.num::<i64>("id")?, event(&row)?));
    }
    rows.sort_unstable_by_key(|(id, _)| std::cmp::Reverse(*id));
    Ok(rows.into_iter().map(|(_, event)| event).collect())
}

/// A page of the list.
pub(crate) async fn list(
    conn: &Conn,
    partitions: &Partitions,
    app: AppId,
    wanted: &EventFilter,
    page: &PageRequest<i64>,
) -> DbResult<Page<Event, i64>> {
    plan_by_values(conn).await?;
    let Some(app) = cache::app_row(conn, app).await? else { return Ok(empty()) };
    let plan = EventPlan::of(conn, partitions, app, wanted).await?;
    let counted = plan.count(conn, TOTAL_CAP + 1).await?;
    let (below, offset) = match page.start {
        Start::Page(number) => {
            (i64::MAX, usize::try_from(skipped(number, page.per_page)).unwrap_or(usize::MAX))
        }
        Start::After(id) => (id.saturating_sub(1), 0),
    };
    let most = offset.saturating_add(page.per_page as usize + 1);
    let ids = plan.newest(conn, below, most).await?;
    let ids: Vec<i64> = ids.into_iter().skip(offset).map(|row| row.0).collect();
    let ids = page_of(ids, page.per_page, total(counted), |id| *id);
    let rows = event_rows(conn, &ids.rows).await?;
    Ok(Page { rows, total: ids.total, next: ids.next })
}
