//! How a list of the log is read: its filter as streams of rows that are in order already.
//!
//! A filter is a choice of [classes](Class) in one or more scopes (the app, or endpoints), and in each of them every
//! order is an index. Pending rows are in the queue, all others in the log, so the class says the table, too. This file
//! says which streams there are, and counts them; [`crate::store::postgres::log::merge`] puts them in order.

use std::collections::HashMap;
use std::sync::Arc;

use crate::domain::attempts::attempt::AttemptStatus;
use crate::store::AttemptFilter;
use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::error::DbResult;
use crate::store::postgres::engine::ids;
use crate::store::postgres::engine::partitions::{Parent, Partitions};
use crate::store::postgres::engine::rows::{AppRow, Columns as _, EndpointRow, num};
use crate::store::postgres::log::{named, spans};
use crate::store::postgres::queue::endpoints;
use crate::store::postgres::queue::filter::{search, types};
use crate::store::shared::class::Class;
use crate::store::shared::named::{Named, NamedRow};
use crate::store::shared::ranges::{IdRange, TimeRange};
use crate::store::shared::selection::{Kinds, Names, Scope, ScopeSelection, Selection};

/// Where rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Table {
    Queue,
    Log,
}

impl Table {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Table::Queue => "queue",
            Table::Log => "log",
        }
    }

    /// Whether rows of a class are in it.
    fn holds(self, class: Class) -> bool {
        (class.status() == Some(AttemptStatus::Pending)) == (self == Table::Queue)
    }
}

/// Rows that lie together in the indexes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stream {
    pub(crate) scope: Scope,
    pub(crate) class: Class,
}

/// A part of a table: what is read by one statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) table: Table,
    /// Which of the plan's groups it is in.
    group: usize,
    pub(crate) ids: IdRange,
}

impl Part {
    /// Whether its ids are made of the times of its rows.
    pub(crate) fn is_timely(self) -> bool {
        self.ids.from >= ids::TIMELY_FROM
    }
}

/// What a filter means in an app.
pub(crate) struct Plan {
    scopes: Vec<ScopeSelection>,
    /// The rows that an id names.
    pub(crate) named: Vec<NamedRow>,
    selection: Selection,
    pub(crate) range: TimeRange,
    /// The queue, and the partitions of the log, newest first.
    groups: Vec<(Table, IdRange)>,
    /// The streams of the groups that were looked at.
    streams: HashMap<usize, Arc<[Stream]>>,
}

impl Plan {
    /// Looks the filter's names up. `None`: it matches no row at all.
    pub(crate) async fn of(
        conn: &Conn,
        partitions: &Partitions,
        app: AppRow,
        filter: &AttemptFilter,
    ) -> DbResult<Option<Plan>> {
        Plan::of_selection(conn, partitions, app, filter, Selection::of(filter)).await
    }

    /// The same, and more is asked of the outcome.
    pub(crate) async fn of_selection(
        conn: &Conn,
        partitions: &Partitions,
        app: AppRow,
        filter: &AttemptFilter,
        selection: Selection,
    ) -> DbResult<Option<Plan>> {
        let range = TimeRange::of(filter.since, filter.until);
        if range.since > range.until {
            return Ok(None);
        }
        let Some(names) = names(conn, app, filter).await? else { return Ok(None) };
        let (scopes, named) = match named::of_filter(conn, app, filter, names.found.as_ref()).await? {
            named::Ids::Unknown => return Ok(None),
            named::Ids::Named(named) => (vec![], Some(named)),
            named::Ids::None => scopes(conn, app, &names).await?,
        };
        if scopes.is_empty() && named.is_none() {
            return Ok(None);
        }
        let of_log =
            spans::groups(conn, partitions, Parent::Log).await?.into_iter().map(|ids| (Table::Log, ids));
        let groups = std::iter::once((Table::Queue, IdRange::ALL)).chain(of_log).collect();
        let mut plan = Plan { scopes, named: vec![], selection, range, groups, streams: HashMap::new() };
        if let Some(named) = named {
            plan.named = read_named(conn, partitions, &plan, &names, &named).await?;
        }
        Ok(Some(plan))
    }

    /// Whether a row of the app is meant.
    pub(crate) fn admits(&self, row: &NamedRow) -> bool {
        let in_scope = |part: &ScopeSelection| {
            let is_in = match part.scope {
                Scope::App(_) => true,
                Scope::Endpoint(endpoint) => endpoint == row.endpoint,
            };
            is_in && part.kinds.admits(row.class.kind())
        };
        self.named.iter().any(|named| named.id == row.id)
            || self.admits_outcome(row) && self.scopes.iter().any(in_scope)
    }

    fn admits_outcome(&self, row: &NamedRow) -> bool {
        self.selection.admits(row.class) && self.range.contains(row.created_at)
    }

    /// What there is to read besides the rows that an id names, newest first.
    pub(crate) fn parts(&self) -> Vec<Part> {
        if self.scopes.is_empty() {
            return vec![];
        }
        let pieces = spans::of_time(self.range);
        let mut parts = Vec::new();
        for (group, (table, ids)) in self.groups.iter().enumerate() {
            let within = pieces.iter().filter_map(|piece| piece.within(ids.from, ids.to));
            parts.extend(within.map(|ids| Part { table: *table, group, ids }));
        }
        parts
    }

    /// The streams of a part that the filter lets through. One may have no row in it.
    pub(crate) async fn streams(&mut self, conn: &Conn, part: Part) -> DbResult<Arc<[Stream]>> {
        if let Some(known) = self.streams.get(&part.group) {
            return Ok(known.clone());
        }
        let (_, ids) = self.groups[part.group];
        let mut streams = Vec::new();
        for name in ["app", "endpoint"] {
            let scopes = self.scopes.iter().filter(|part| part.scope.name() == name);
            let found = classes(conn, part.table, ids, name, scopes).await?;
            let meant = |stream: &Stream| {
                let of_scope = |part: &&ScopeSelection| part.scope == stream.scope;
                part.table.holds(stream.class)
                    && self.selection.admits(stream.class)
                    && self.scopes.iter().filter(of_scope).any(|part| part.kinds.admits(stream.class.kind()))
            };
            streams.extend(found.into_iter().filter(meant));
        }
        let streams: Arc<[Stream]> = streams.into();
        self.streams.insert(part.group, streams.clone());
        Ok(streams)
    }

    /// How many rows there are, counted up to `cap`.
    pub(crate) async fn count(&mut self, conn: &Conn, cap: u64) -> DbResult<u64> {
        let mut counted = self.named.len() as u64;
        for part in self.parts() {
            if counted >= cap {
                break;
            }
            let streams = self.streams(conn, part).await?;
            for name in ["app", "endpoint"] {
                let (rows, classes) = arrays(streams.iter().filter(|stream| stream.scope.name() == name));
                if rows.is_empty() || counted >= cap {
                    continue;
                }
                let sql = count_sql(part.table, name, part.ids.mixed);
                let limit = num(cap - counted);
                let TimeRange { since, until } = self.range;
                let IdRange { from, to, .. } = part.ids;
                let found = if part.ids.mixed {
                    conn.row(&sql, &[&rows, &classes, &from, &to, &limit, &since, &until]).await?
                } else {
                    conn.row(&sql, &[&rows, &classes, &from, &to, &limit]).await?
                };
                counted += found.num::<u64>("count")?;
            }
        }
        Ok(counted.min(cap))
    }
}

/// The rows and the classes of streams.
pub(crate) fn arrays<'a>(streams: impl Iterator<Item = &'a Stream>) -> (Vec<i64>, Vec<i64>) {
    streams.map(|stream| (stream.scope.row(), stream.class.0)).unzip()
}

/// Counts rows of streams.
fn count_sql(table: Table, scope: &str, mixed: bool) -> String {
    let test = if mixed { " AND t.created_at >= $6 AND t.created_at <= $7" } else { "" };
    format!(
        "SELECT count(*) AS count FROM (SELECT 1 FROM unnest($1::bigint[], $2::bigint[]) AS s(row, class) \
         CROSS JOIN LATERAL (SELECT 1 FROM {} t WHERE t.{scope} = s.row AND t.class = s.class \
         AND t.id >= $3 AND t.id <= $4{test} LIMIT $5) t LIMIT $5) found",
        table.name()
    )
}

/// The rows that an id names, of those that the filter lets through.
async fn read_named(
    conn: &Conn,
    partitions: &Partitions,
    plan: &Plan,
    names: &Names,
    named: &Named,
) -> DbResult<Vec<NamedRow>> {
    let mut rows = named::named_rows(conn, partitions, named).await?;
    rows.retain(|row| {
        names.endpoint.is_none_or(|endpoint| endpoint == row.endpoint)
            && names.kinds.admits(row.class.kind())
            && plan.admits_outcome(row)
    });
    Ok(rows)
}

/// Looks the names in a filter up. `None`: no row can match.
async fn names(conn: &Conn, app: AppRow, filter: &AttemptFilter) -> DbResult<Option<Names>> {
    let endpoint = match filter.endpoint {
        None => None,
        Some(id) => match endpoints::row_of(conn, app, id).await? {
            None => return Ok(None),
            endpoint => endpoint,
        },
    };
    let kinds = match &filter.event_type {
        Some(names) => Kinds::only(types(conn, app, names).await?),
        None => Kinds::Any,
    };
    let found = match &filter.q {
        Some(q) => Some(search(conn, app, q).await?),
        None => None,
    };
    Ok((kinds != Kinds::Only(vec![])).then_some(Names { endpoint, kinds, found }))
}

/// How many names an app has.
const ALL: &str = "SELECT (SELECT count(*) FROM endpoints WHERE app = $1) AS endpoints, \
     (SELECT count(*) FROM event_types WHERE app = $1) AS types";

/// The scopes that the names leave, and the rows that the search text names as an id.
async fn scopes(conn: &Conn, app: AppRow, names: &Names) -> DbResult<(Vec<ScopeSelection>, Option<Named>)> {
    let Some(found) = &names.found else { return Ok((names.parts(app, true), None)) };
    let all = conn.row(ALL, &[&app]).await?;
    let found_all = names.has_found_endpoint()
        || all.num::<usize>("endpoints")? == found.endpoints.len()
        || all.num::<usize>("types")? == found.kinds.len();
    let named = if found_all { None } else { Named::of_text(app, found) };
    Ok((names.parts(app, found_all), named))
}

/// The classes of scopes within a range of ids that holds whole partitions: one step down the index for each.
async fn classes(
    conn: &Conn,
    table: Table,
    ids: IdRange,
    name: &str,
    scopes: impl Iterator<Item = &ScopeSelection>,
) -> DbResult<Vec<Stream>> {
    let (mut rows, mut froms, mut tos) = (vec![], vec![], vec![]);
    let mut scope_of = HashMap::new();
    for ScopeSelection { scope, kinds } in scopes {
        scope_of.insert(scope.row(), *scope);
        for (from, to) in kinds.ranges() {
            rows.push(scope.row());
            froms.push(from.0);
            tos.push(to.0);
        }
    }
    if rows.is_empty() {
        return Ok(vec![]);
    }
    let sql = classes_sql(table, name);
    let mut streams = Vec::new();
    for row in conn.rows(&sql, &[&rows, &froms, &tos, &ids.from, &ids.to]).await? {
        if let Some(scope) = scope_of.get(&row.num::<i64>("scope")?) {
            streams.push(Stream { scope: *scope, class: Class(row.num("class")?) });
        }
    }
    Ok(streams)
}

/// The classes of an endpoint within a range of ids of the log that holds whole partitions.
pub(crate) async fn classes_of(conn: &Conn, endpoint: EndpointRow, ids: IdRange) -> DbResult<Vec<Class>> {
    let scope = ScopeSelection { scope: Scope::Endpoint(endpoint), kinds: Kinds::Any };
    let found = classes(conn, Table::Log, ids, scope.scope.name(), std::iter::once(&scope)).await?;
    Ok(found.into_iter().map(|stream| stream.class).collect())
}

fn classes_sql(table: Table, scope: &str) -> String {
    let next = |row: &str, least: &str, most: &str| {
        format!(
            "(SELECT t.class FROM {} t WHERE t.{scope} = {row} AND t.class {least} AND t.class < {most} \
             AND t.id >= $4 AND t.id <= $5 ORDER BY t.class LIMIT 1)",
            table.name()
        )
    };
    format!(
        "WITH RECURSIVE found AS (SELECT s.row, s.most, {} AS class \
         FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS s(row, least, most) \
         UNION ALL SELECT f.row, f.most, {} FROM found f WHERE f.class IS NOT NULL) \
         SELECT f.row AS scope, f.class FROM found f WHERE f.class IS NOT NULL",
        next("s.row", ">= s.least", "s.most"),
        next("f.row", "> f.class", "f.most")
    )
}
