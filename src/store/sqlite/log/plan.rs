//! How a list of the delivery log is read: its filter as streams of rows that are in order already.
//!
//! A filter is a choice of [classes](Class) in one or more scopes (the app, or endpoints), and in each of
//! them every order is an index. So nothing is sorted that is not shown: the first rows of every stream
//! are read, for as long as they come before what has been found. The cost follows the page, and how
//! many classes there are; never how many rows the log has, nor how many a filter matches.
//!
//! This file says which streams there are and counts them; [`crate::store::sqlite::log::merge`] puts them in
//! order.

use std::cell::OnceCell;

use rusqlite::{Connection, OptionalExtension as _};

use crate::store::AttemptFilter;
use crate::store::shared::class::Class;
use crate::store::shared::named::{Named, NamedRow};
pub(crate) use crate::store::shared::selection::Scope;
use crate::store::shared::selection::{Kinds, Names, ScopeSelection, Selection};
use crate::store::sqlite::engine::rows::{AppRow, EndpointRow};
use crate::store::sqlite::engine::zones::{ATTEMPTS, IdRange, TimeRange, ZONE_BITS, Zones};
use crate::store::sqlite::log::named;
use crate::store::sqlite::queue::endpoints;
use crate::store::sqlite::queue::filter::{search, types};

/// Numbers that say when to read one way or another. They change the cost and never the result; tests
/// lower them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Ids in a zone, as a power of two.
    pub(crate) zone_bits: u32,
    /// So many rows of a range of time are rather looked at one by one than found in another order.
    pub(crate) gather: u64,
    /// So many rows outside of the range are passed over in a stream before it is asked how many are
    /// inside.
    pub(crate) skip: u64,
    /// If it is so many at most, they are looked at one by one.
    pub(crate) gather_stream: u64,
    /// But no more than so many in all streams together.
    pub(crate) gather_streams: u64,
}

impl Bounds {
    pub(crate) const USUAL: Bounds =
        Bounds { zone_bits: ZONE_BITS, gather: 10_000, skip: 200, gather_stream: 300, gather_streams: 3_000 };
}

/// Rows that lie together in the indexes: a class of a scope, or all of a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stream {
    pub(crate) scope: Scope,
    pub(crate) class: Option<Class>,
}

impl Stream {
    /// The index in the order of id, and the condition that leads into it. Its first two parameters
    /// are [`Stream::lead`].
    pub(crate) fn by_id(self) -> String {
        let scope = self.scope.name();
        match self.class {
            Some(_) => {
                format!("attempts INDEXED BY attempts_{scope}_class WHERE {scope} = ?1 AND class = ?2")
            }
            None => format!("attempts INDEXED BY attempts_{scope} WHERE {scope} = ?1 AND ?2 = 0"),
        }
    }

    pub(crate) fn lead(self) -> [i64; 2] {
        [self.scope.row(), self.class.map_or(0, |class| class.0)]
    }

    /// Counts rows, up to `limit`.
    fn count(self, conn: &Connection, span: IdRange, range: TimeRange, limit: u64) -> rusqlite::Result<u64> {
        let [scope, class] = self.lead();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let values = [scope, class, span.from, span.to, limit, range.since, range.until];
        let values = &values[..if span.mixed { 7 } else { 5 }];
        conn.prepare_cached(&self.count_sql(span.mixed))?
            .query_row(rusqlite::params_from_iter(values), |row| {
                crate::store::sqlite::engine::rows::count(row, 0)
            })
    }

    pub(crate) fn count_sql(self, mixed: bool) -> String {
        let test = if mixed { " AND created_at >= ?6 AND created_at <= ?7" } else { "" };
        format!(
            "SELECT count(*) FROM (SELECT 1 FROM {} AND id >= ?3 AND id <= ?4{test} LIMIT ?5)",
            self.by_id()
        )
    }

    /// Counts rows in a range of time, up to `limit`.
    pub(crate) fn count_all(
        self,
        conn: &Connection,
        spans: &[IdRange],
        range: TimeRange,
        limit: u64,
    ) -> rusqlite::Result<u64> {
        let mut counted = 0;
        for span in spans {
            if counted >= limit {
                break;
            }
            counted += self.count(conn, *span, range, limit - counted)?;
        }
        Ok(counted)
    }
}

/// What a filter means in an app.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    parts: Vec<ScopeSelection>,
    named: Option<Named>,
    /// What of the filter holds for rows that an id names, too.
    endpoint: Option<EndpointRow>,
    kinds: Kinds,
    selection: Selection,
    pub(crate) range: TimeRange,
    pub(crate) bounds: Bounds,
    /// The streams once they have been looked up, which count and page both ask for: whatever they may be,
    /// and by class. A plan lives no longer than the snapshot that it is read in.
    streams: [OnceCell<Vec<Stream>>; 2],
}

impl Plan {
    /// Looks the filter's names up. `None`: it matches no row at all.
    pub(crate) fn of(
        conn: &Connection,
        app: AppRow,
        filter: &AttemptFilter,
        bounds: Bounds,
    ) -> rusqlite::Result<Option<Plan>> {
        let range = TimeRange::of(filter.since, filter.until);
        let Some(names) = names(conn, app, filter)? else { return Ok(None) };
        let named = named::of_filter(conn, app, filter, names.found.as_ref())?;
        let (parts, named) = match named {
            Some(named) => (vec![], named),
            None => parts(conn, app, &names)?,
        };
        if (parts.is_empty() && named.is_none()) || range.since > range.until {
            return Ok(None);
        }
        let Names { endpoint, kinds, .. } = names;
        let selection = Selection::of(filter);
        let streams = Default::default();
        Ok(Some(Plan { parts, named, endpoint, kinds, selection, range, bounds, streams }))
    }

    /// The streams that the filter lets through; the rows of each are of one class if `by_class`, or
    /// if the filter asks for it.
    pub(crate) fn streams(&self, conn: &Connection, by_class: bool) -> rusqlite::Result<&[Stream]> {
        let known = &self.streams[usize::from(by_class)];
        if let Some(streams) = known.get() {
            return Ok(streams);
        }
        let streams = self.look_up(conn, by_class)?;
        Ok(known.get_or_init(|| streams))
    }

    fn look_up(&self, conn: &Connection, by_class: bool) -> rusqlite::Result<Vec<Stream>> {
        let any_outcome = self.selection == Selection::default();
        let mut streams = Vec::new();
        for ScopeSelection { scope, kinds } in &self.parts {
            if any_outcome && *kinds == Kinds::Any && !by_class {
                streams.push(Stream { scope: *scope, class: None });
                continue;
            }
            let mut classes_of = Vec::new();
            for (from, to) in kinds.ranges() {
                classes_of.extend(classes(conn, *scope, from, to)?);
            }
            let meant =
                classes_of.into_iter().filter(|c| kinds.admits(c.kind()) && self.selection.admits(*c));
            streams.extend(meant.map(|class| Stream { scope: *scope, class: Some(class) }));
        }
        Ok(streams)
    }

    /// The ids that rows of a range can have, ascending.
    pub(crate) fn spans(&self, conn: &Connection, range: TimeRange) -> rusqlite::Result<Vec<IdRange>> {
        if range == TimeRange::ALL {
            return Ok(vec![IdRange::ALL]);
        }
        Ok(Zones::load(conn, ATTEMPTS, self.bounds.zone_bits)?.spans(range))
    }

    /// How many rows there are, counted up to `cap`.
    pub(crate) fn count(&self, conn: &Connection, cap: u64) -> rusqlite::Result<u64> {
        let mut counted = self.count_streams(conn, cap)?;
        self.each_named(conn, |_| {
            counted += 1;
            counted < cap
        })?;
        Ok(counted.min(cap))
    }

    /// How many rows the streams have, counted up to `cap`.
    pub(crate) fn count_streams(&self, conn: &Connection, cap: u64) -> rusqlite::Result<u64> {
        if self.parts.is_empty() {
            return Ok(0);
        }
        let spans = self.spans(conn, self.range)?;
        let mut counted = 0;
        for stream in self.streams(conn, false)? {
            if counted >= cap {
                break;
            }
            counted += stream.count_all(conn, &spans, self.range, cap - counted)?;
        }
        Ok(counted)
    }

    /// Shows the rows that an id names, in no order, until `show` has had enough.
    pub(crate) fn each_named(
        &self,
        conn: &Connection,
        mut show: impl FnMut(&NamedRow) -> bool,
    ) -> rusqlite::Result<()> {
        let Some(named) = &self.named else { return Ok(()) };
        named::each(conn, named, |row| {
            let is_meant = self.endpoint.is_none_or(|endpoint| endpoint == row.endpoint)
                && self.kinds.admits(row.class.kind())
                && self.selection.admits(row.class)
                && self.range.contains(row.created_at);
            Ok(!is_meant || show(row))
        })
    }
}

/// Looks the names in a filter up. `None`: no row can match.
fn names(conn: &Connection, app: AppRow, filter: &AttemptFilter) -> rusqlite::Result<Option<Names>> {
    let endpoint = match filter.endpoint {
        None => None,
        Some(id) => match endpoints::row_of(conn, app, id)? {
            None => return Ok(None),
            endpoint => endpoint,
        },
    };
    let kinds = match &filter.event_type {
        Some(names) => Kinds::only(types(conn, app, names)?),
        None => Kinds::Any,
    };
    let found = match &filter.q {
        Some(q) => Some(search(conn, app, q)?),
        None => None,
    };
    Ok((kinds != Kinds::Only(vec![])).then_some(Names { endpoint, kinds, found }))
}

/// The scopes that the names leave, and the rows that the search text names as an id.
fn parts(
    conn: &Connection,
    app: AppRow,
    names: &Names,
) -> rusqlite::Result<(Vec<ScopeSelection>, Option<Named>)> {
    let Some(found) = &names.found else { return Ok((names.parts(app, true), None)) };
    let found_all = names.has_found_endpoint()
        || is_all(conn, "endpoints", app, found.endpoints.len())?
        || is_all(conn, "event_types", app, found.kinds.len())?;
    let named = if found_all { None } else { Named::of_text(app, found) };
    Ok((names.parts(app, found_all), named))
}

/// Whether so many are all that the app has.
fn is_all(conn: &Connection, table: &str, app: AppRow, found: usize) -> rusqlite::Result<bool> {
    let sql = format!("SELECT count(*) FROM {table} WHERE app = ?1");
    let all: i64 = conn.prepare_cached(&sql)?.query_row([app], |row| row.get(0))?;
    Ok(found as i64 == all)
}

pub(crate) fn next_class_sql(scope: Scope) -> String {
    let scope = scope.name();
    format!(
        "SELECT class FROM attempts INDEXED BY attempts_{scope}_class \
         WHERE {scope} = ?1 AND class >= ?2 AND class < ?3 ORDER BY class LIMIT 1"
    )
}

/// The classes of a scope from `from` to before `to`: one step down the index for each.
pub(crate) fn classes(
    conn: &Connection,
    scope: Scope,
    from: Class,
    to: Class,
) -> rusqlite::Result<Vec<Class>> {
    let mut statement = conn.prepare_cached(&next_class_sql(scope))?;
    let mut classes = Vec::new();
    let mut from = from.0;
    while let Some(class) =
        statement.query_row([scope.row(), from, to.0], |row| row.get::<_, i64>(0)).optional()?
    {
        classes.push(Class(class));
        from = class + 1;
    }
    Ok(classes)
}
