//! Puts the streams of a [`Plan`] in order: finds the first rows behind a place.
//!
//! Each stream is read in an order of its own, by the id or by a column that has an index. After each read it is known
//! before which rank none of its other rows can be: its frontier. So streams are read, few rows at a time, for as long
//! as one of them has its frontier before the last row of the page. Streams of one kind and one part of the log are
//! read by one statement.
//!
//! * The order may be made of the class (status, response status), or of the id: streams are read by id.
//! * A column with an index of its own (attempted_at, response_time_ms, delivery): streams are read by that. Where a
//!   range of time has few rows, all of them are read instead.
//! * created_at goes with the id, to the second. Only ids of before this database say nothing of it.
//! * The last activity: attempted_at of what was sent, created_at of what was not.

use tokio_postgres::types::ToSql;

use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::error::DbResult;
use crate::store::postgres::engine::ids;
use crate::store::postgres::engine::rows::{Columns as _, num};
use crate::store::postgres::log::plan::{Part, Plan, Stream, Table, arrays};
use crate::store::shared::class::Class;
use crate::store::shared::ranges::TimeRange;
use crate::store::shared::rank::{Rank, Top};
use crate::store::{LogKey, Sort, SortField};

/// So many rows of a range of time are rather looked at one by one than found in another order.
const GATHER: u64 = 10_000;
/// The fewest rows that are read of a stream at a time.
const READ_LEAST: usize = 8;

/// What rows are sorted by, and how a stream is read for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By id; all rows have this value.
    Same(Option<i64>),
    /// By id, which is the value.
    Id,
    /// By id, and the value is created_at.
    Created,
    /// By the value in a column.
    Column(Column),
    /// All rows, by id; the value is in a column.
    Gather(Column),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    CreatedAt,
    AttemptedAt,
    ResponseTime,
    Delivery,
}

impl Column {
    /// The column, and which rows are in its indexes.
    fn sql(self, table: Table) -> (&'static str, &'static str) {
        let later = "t.status <> 'failed' AND (t.first_id IS NOT NULL OR \
                     (t.trigger <> 'event' AND t.trigger <> 'replay'))";
        match (self, table) {
            (Column::CreatedAt, _) => ("t.created_at", "true"),
            // Nothing in the queue has been sent.
            (Column::AttemptedAt | Column::ResponseTime, Table::Queue) => ("NULL::bigint", "false"),
            (Column::AttemptedAt, Table::Log) => ("t.attempted_at", "t.attempted_at IS NOT NULL"),
            (Column::ResponseTime, Table::Log) => ("t.response_time_ms", "t.response_time_ms IS NOT NULL"),
            (Column::Delivery, Table::Log) => ("t.delivery", later),
            (Column::Delivery, Table::Queue) => (
                "coalesce(t.first_id, t.id)",
                "(t.first_id IS NOT NULL OR (t.trigger <> 'event' AND t.trigger <> 'replay'))",
            ),
        }
    }
}

impl Way {
    /// How a stream is read.
    fn of(field: SortField, class: Class, part: Part, gather: bool) -> Way {
        let by = |column| if gather { Way::Gather(column) } else { Way::Column(column) };
        match field {
            SortField::Id => Way::Same(Some(0)),
            SortField::Status => Way::Same(Some(class.status_order())),
            SortField::ResponseStatus => Way::Same(class.response_status()),
            SortField::AttemptedAt if class.is_attempted() => by(Column::AttemptedAt),
            SortField::ResponseTime if class.is_timed() => by(Column::ResponseTime),
            SortField::AttemptedAt | SortField::ResponseTime => Way::Same(None),
            SortField::Delivery if class.is_first() => Way::Id,
            SortField::Delivery => Way::Column(Column::Delivery),
            SortField::LastActivity if class.is_attempted() => by(Column::AttemptedAt),
            SortField::CreatedAt | SortField::LastActivity if part.is_timely() => Way::Created,
            SortField::CreatedAt | SortField::LastActivity => Way::Column(Column::CreatedAt),
        }
    }

    /// Whether streams are read by the same statement.
    fn is_like(self, other: Way) -> bool {
        matches!((self, other), (Way::Same(_), Way::Same(_))) || self == other
    }
}

/// A stream that is being read.
#[derive(Debug, Clone, Copy)]
struct Reading {
    part: Part,
    stream: Stream,
    way: Way,
    /// Where it goes on: the value, for those that are read by a column, and the id.
    start: (i64, i64),
    /// None of its other rows comes before.
    frontier: Rank,
}

impl Reading {
    fn is_like(&self, other: &Reading) -> bool {
        self.part == other.part
            && self.stream.scope.name() == other.stream.scope.name()
            && self.way.is_like(other.way)
    }
}

struct Search<'a> {
    sort: Sort,
    behind: Option<Rank>,
    top: Top,
    range: TimeRange,
    gather: bool,
    /// Parts whose streams are not known yet, and before which rank none of their rows comes.
    unopened: Vec<(Part, Rank)>,
    readings: Vec<Reading>,
    conn: &'a Conn,
}

/// Finds the first `most` rows behind a place, in order.
pub(crate) async fn find(
    conn: &Conn,
    plan: &mut Plan,
    sort: Sort,
    after: Option<&LogKey>,
    most: usize,
) -> DbResult<Vec<LogKey>> {
    let behind = after.map(|key| Rank::of_key(sort, key));
    let has_column =
        matches!(sort.field, SortField::AttemptedAt | SortField::ResponseTime | SortField::LastActivity);
    let is_ranged = has_column && plan.range != TimeRange::ALL;
    let gather = is_ranged && plan.count(conn, GATHER + 1).await? <= GATHER;
    let top = Top::new(behind, most);
    let (range, unopened, readings) = (plan.range, vec![], vec![]);
    let mut search = Search { sort, behind, top, range, gather, unopened, readings, conn };
    for row in &plan.named {
        search.top.offer(Rank::new(sort, row.value(sort.field), row.id));
    }
    let parts: Vec<Part> = plan.parts().into_iter().filter(|part| !search.is_past(*part)).collect();
    for part in parts {
        let rank = search.outset(part);
        search.unopened.push((part, rank));
    }
    while search.step(plan).await? {}
    Ok(search.top.into_ranks().into_iter().map(|rank| rank.to_key(sort)).collect())
}

impl Search<'_> {
    /// One more look; `false` when nothing that is left comes before what has been found.
    async fn step(&mut self, plan: &mut Plan) -> DbResult<bool> {
        let unopened = self.unopened.iter().enumerate().min_by_key(|(_, (_, rank))| *rank);
        let unopened = unopened.map(|(at, (part, rank))| (at, *part, *rank));
        let next = self.readings.iter().min_by_key(|reading| reading.frontier).copied();
        let first = unopened.map(|(_, _, rank)| rank).into_iter().chain(next.map(|next| next.frontier)).min();
        let Some(first) = first.filter(|first| self.is_needed(*first)) else { return Ok(false) };
        match (unopened, next) {
            (Some((at, part, rank)), _) if rank == first => {
                self.unopened.swap_remove(at);
                let streams = plan.streams(self.conn, part).await?;
                let begun: Vec<_> = streams.iter().filter_map(|stream| self.begin(part, *stream)).collect();
                self.readings.extend(begun);
            }
            (_, Some(next)) => self.read_like(next).await?,
            (_, None) => return Ok(false),
        }
        Ok(true)
    }

    fn is_needed(&self, frontier: Rank) -> bool {
        !self.top.is_full() || self.top.last().is_some_and(|last| frontier < last)
    }

    /// The end of a range at which this order begins.
    fn near(&self, from: i64, to: i64) -> i64 {
        if self.sort.descending { to } else { from }
    }

    /// The first time that a row behind an id can have, in this order.
    fn first_time(&self, id: i64) -> i64 {
        ids::second_of(id) * 1_000 + self.near(0, 999)
    }

    fn first_rank(&self, value: i64) -> Rank {
        Rank::first_of(self.sort, Some(value))
    }

    /// Before which rank no row of a part comes, whatever its class.
    fn outset(&self, part: Part) -> Rank {
        let near = self.near(part.ids.from, part.ids.to);
        match self.sort.field {
            SortField::Id => Rank::new(self.sort, Some(0), near),
            // A row is never before the first one of its delivery.
            SortField::Delivery if self.sort.descending => self.first_rank(near),
            SortField::CreatedAt if part.is_timely() => self.first_rank(self.first_time(near)),
            _ => self.first_rank(self.near(i64::MIN, i64::MAX)),
        }
    }

    /// Whether all rows of a part come before the place, whatever their classes.
    fn is_past(&self, part: Part) -> bool {
        let far = self.near(part.ids.to, part.ids.from);
        let last = match self.sort.field {
            SortField::Id => Rank::new(self.sort, Some(0), far),
            SortField::CreatedAt if part.is_timely() => {
                let time = ids::second_of(far) * 1_000 + self.near(999, 0);
                Rank::new(self.sort, Some(time), self.near(i64::MAX, i64::MIN))
            }
            _ => return false,
        };
        self.behind.is_some_and(|behind| last <= behind)
    }

    /// Whether no id of a part is behind a place among ids.
    fn is_beyond(&self, part: Part, start: i64) -> bool {
        if self.sort.descending { part.ids.from >= start } else { part.ids.to <= start }
    }

    /// Begins with a stream, unless none of its rows are behind the place.
    fn begin(&self, part: Part, stream: Stream) -> Option<Reading> {
        let way = Way::of(self.sort.field, stream.class, part, self.gather);
        let (sort, near) = (self.sort, self.near(part.ids.from, part.ids.to));
        // Places are exclusive, and no row has the ids at both ends.
        let all = self.near(i64::MIN, i64::MAX);
        let place = self.behind.map(|behind| behind.parts(sort));
        let (start, frontier) = match (way, self.behind, place) {
            (Way::Same(value), Some(behind), _) => {
                let (from, to) = behind.ids_behind(sort, value)?;
                let start = if sort.descending { to.saturating_add(1) } else { from.saturating_sub(1) };
                ((0, start), Rank::new(sort, value, near))
            }
            (Way::Same(value), None, _) => ((0, all), Rank::new(sort, value, near)),
            // Behind a place without a value is nothing that has one.
            (_, _, Some((None, _))) => return None,
            (Way::Id, _, place) => {
                let start = place.and_then(|(value, _)| value).unwrap_or(all);
                ((0, start), Rank::new(sort, Some(near), near))
            }
            (Way::Created, _, place) => {
                let start = place.and_then(|(value, _)| value).map_or(all, |at| self.second_behind(at));
                ((0, start), self.first_rank(self.first_time(near)))
            }
            (Way::Gather(_), ..) => ((0, all), self.first_rank(all)),
            (Way::Column(column), _, place) => {
                let start = place.map_or((all, all), |(value, id)| (value.unwrap_or(all), id));
                (start, self.first_rank(self.first_value(column, part, stream.class)))
            }
        };
        let is_over = !matches!(way, Way::Column(_)) && self.is_beyond(part, start.1);
        (!is_over).then_some(Reading { part, stream, way, start, frontier })
    }

    /// The place from which rows by id go on that were made in the second of a time, or behind it.
    fn second_behind(&self, at: i64) -> i64 {
        let second = at.div_euclid(1_000);
        match self.sort.descending {
            true => ids::first_of_second(second.saturating_add(1)),
            false => ids::first_of_second(second) - 1,
        }
    }

    /// The first value that rows of a class can have in a column.
    fn first_value(&self, column: Column, part: Part, class: Class) -> i64 {
        match column {
            Column::AttemptedAt => {
                let (least, most) = class.attempted_within(self.range.since, self.range.until);
                self.near(least, most)
            }
            Column::Delivery if self.sort.descending => part.ids.to,
            _ => self.near(i64::MIN, i64::MAX),
        }
    }

    /// Reads on in all streams that are like one and are needed.
    async fn read_like(&mut self, next: Reading) -> DbResult<()> {
        let is_now = |reading: &Reading| reading.is_like(&next) && self.is_needed(reading.frontier);
        let (now, later): (Vec<Reading>, Vec<Reading>) = self.readings.iter().partition(|r| is_now(r));
        self.readings = later;
        let share = 2 * self.top.most / now.len().max(1);
        let limit = match next.way {
            Way::Gather(_) => usize::MAX,
            _ => share.clamp(READ_LEAST.min(self.top.most), self.top.most.max(1)),
        };
        let sql = read_sql(&next, self.sort.descending);
        let rows = self.conn.rows(&sql, &values(&now, limit, self.range).params()).await?;
        let mut lasts: Vec<(usize, Option<Place>)> = vec![(0, None); now.len()];
        for row in &rows {
            let at = row.num::<usize>("at")? - 1;
            let (Some(reading), Some((count, last))) = (now.get(at), lasts.get_mut(at)) else { continue };
            let place = Place { id: row.num("id")?, value: row.opt_num("value")? };
            self.top.offer(place.rank(reading.way, self.sort));
            *count += 1;
            let is_later =
                |last: &Place| place.order(reading.way, self.sort) > last.order(reading.way, self.sort);
            if last.as_ref().is_none_or(is_later) {
                *last = Some(place);
            }
        }
        for (reading, (count, last)) in now.into_iter().zip(lasts) {
            // One that gave fewer than was asked for has no more.
            let Some(last) = last.filter(|_| count >= limit) else { continue };
            let frontier = match reading.way {
                Way::Created => self.first_rank(self.first_time(last.id)),
                way => last.rank(way, self.sort),
            };
            let start = (last.value.unwrap_or_default(), last.id);
            self.readings.push(Reading { start, frontier, ..reading });
        }
        Ok(())
    }
}

/// A row as it was read.
#[derive(Debug, Clone, Copy)]
struct Place {
    id: i64,
    value: Option<i64>,
}

impl Place {
    /// Where it stands in the list.
    fn rank(self, way: Way, sort: Sort) -> Rank {
        let value = match way {
            Way::Same(value) => value,
            Way::Id => Some(self.id),
            Way::Created | Way::Column(_) | Way::Gather(_) => self.value,
        };
        Rank::new(sort, value, self.id)
    }

    /// Where it stands in its stream.
    fn order(self, way: Way, sort: Sort) -> Rank {
        match way {
            Way::Column(_) => Rank::new(sort, self.value, self.id),
            _ => Rank::new(sort, Some(0), self.id),
        }
    }
}

/// The values of a statement that reads streams.
struct Values {
    rows: Vec<i64>,
    classes: Vec<i64>,
    ids: Vec<i64>,
    of_values: Option<Vec<i64>>,
    bounds: [i64; 3],
    range: Option<[i64; 2]>,
}

fn values(now: &[Reading], limit: usize, range: TimeRange) -> Values {
    let (rows, classes) = arrays(now.iter().map(|reading| &reading.stream));
    let by_column = matches!(now.first(), Some(Reading { way: Way::Column(_), .. }));
    let part = now.first().map(|reading| reading.part.ids);
    let (from, to, mixed) = part.map_or((0, 0, false), |ids| (ids.from, ids.to, ids.mixed));
    Values {
        rows,
        classes,
        ids: now.iter().map(|reading| reading.start.1).collect(),
        of_values: by_column.then(|| now.iter().map(|reading| reading.start.0).collect()),
        bounds: [from, to, num(limit)],
        range: mixed.then_some([range.since, range.until]),
    }
}

impl Values {
    fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        let mut params: Vec<&(dyn ToSql + Sync)> = vec![&self.rows, &self.classes, &self.ids];
        params.extend(self.bounds.iter().map(|n| n as &(dyn ToSql + Sync)));
        if let Some(range) = &self.range {
            params.extend(range.iter().map(|n| n as &(dyn ToSql + Sync)));
        }
        if let Some(values) = &self.of_values {
            params.push(values);
        }
        params
    }
}

/// Reads rows of streams, each in its own order: by id, or by a column.
fn read_sql(of: &Reading, descending: bool) -> String {
    let Reading { part, stream, way, .. } = of;
    let (table, scope) = (part.table.name(), stream.scope.name());
    let (direction, beyond) = if descending { ("DESC", "<") } else { ("ASC", ">") };
    let range = if part.ids.mixed { " AND t.created_at >= $7 AND t.created_at <= $8" } else { "" };
    let by_id = format!("t.id {beyond} s.id");
    let (value, has_rows, beyond, order) = match way {
        Way::Same(_) | Way::Id => ("NULL::bigint", "true", by_id, format!("t.id {direction}")),
        Way::Created => ("t.created_at", "true", by_id, format!("t.id {direction}")),
        Way::Gather(column) => {
            let (column, has_rows) = column.sql(part.table);
            (column, has_rows, by_id, format!("t.id {direction}"))
        }
        Way::Column(column) => {
            let (column, has_rows) = column.sql(part.table);
            let beyond = format!("({column}, t.id) {beyond} (s.value, s.id)");
            (column, has_rows, beyond, format!("{column} {direction}, t.id {direction}"))
        }
    };
    let (of_values, columns) = match way {
        Way::Column(_) => {
            (if part.ids.mixed { ", $9::bigint[]" } else { ", $7::bigint[]" }, "row, class, id, value, at")
        }
        _ => ("", "row, class, id, at"),
    };
    format!(
        "SELECT s.at, t.id, t.value FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]{of_values}) \
         WITH ORDINALITY AS s({columns}) CROSS JOIN LATERAL (SELECT t.id, {value} AS value FROM {table} t \
         WHERE t.{scope} = s.row AND t.class = s.class AND t.id >= $4 AND t.id <= $5 AND {has_rows} \
         AND {beyond}{range} \
         ORDER BY {order} LIMIT $6) t"
    )
}
