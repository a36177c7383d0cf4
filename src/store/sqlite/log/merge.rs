//! Puts the streams of a [`Plan`] in order: finds the first rows behind a place.
//!
//! There are four ways, by what the order is made of:
//! * the class (status, response status, or nothing but the id): streams are read by id;
//! * a column with an index of its own (attempted_at, response_time_ms, delivery): streams are read by that;
//! * created_at, which goes nearly with the id: the first rows by id are found, and then whatever can
//!   come before the last of them, which the [zones](crate::store::sqlite::engine::zones) tell;
//! * the last activity: attempted_at of what was sent, created_at of what was not.
//!
//! A row of a [`TimeRange`] of time is found in the first and the last way by its id. In the second the
//! streams are walked past rows outside of the range; where few rows are inside, those are looked at
//! one by one instead.

use rusqlite::{Connection, params};

use crate::store::shared::rank::{Rank, Top};
use crate::store::sqlite::engine::zones::{IdRange, TimeRange};
use crate::store::sqlite::log::plan::{Plan, Stream};
use crate::store::sqlite::log::walk::{Column, column_sql, created_at, in_direction, walk};
use crate::store::{LogKey, Sort, SortField};

/// Finds the first `most` rows behind a place, in order.
pub(crate) fn find(
    conn: &Connection,
    plan: &Plan,
    sort: Sort,
    after: Option<&LogKey>,
    most: usize,
) -> rusqlite::Result<Vec<LogKey>> {
    let behind = after.map(|key| Rank::of_key(sort, key));
    let to_gather = plan.bounds.gather_streams;
    let mut search = Search { conn, plan, sort, behind, top: Top::new(behind, most), to_gather };
    search.by_name()?;
    match sort.field {
        SortField::Id | SortField::Status | SortField::ResponseStatus => search.by_class()?,
        SortField::AttemptedAt | SortField::ResponseTime | SortField::Delivery => search.by_column()?,
        SortField::CreatedAt => search.by_creation(plan.streams(conn, false)?)?,
        SortField::LastActivity => search.by_activity()?,
    }
    Ok(search.top.into_ranks().into_iter().map(|rank| rank.to_key(sort)).collect())
}

struct Search<'a> {
    conn: &'a Connection,
    plan: &'a Plan,
    sort: Sort,
    behind: Option<Rank>,
    top: Top,
    /// How many rows may still be gathered from streams.
    to_gather: u64,
}

impl Search<'_> {
    /// The rows that an id names.
    fn by_name(&mut self) -> rusqlite::Result<()> {
        let (sort, top) = (self.sort, &mut self.top);
        self.plan.each_named(self.conn, |row| {
            top.offer(Rank::new(sort, row.value(sort.field), row.id));
            true
        })
    }

    // -----------------------------------------------------------------------------------------
    // By what the class tells

    fn by_class(&mut self) -> rusqlite::Result<()> {
        let spans = self.plan.spans(self.conn, self.plan.range)?;
        let streams = self.plan.streams(self.conn, self.sort.field != SortField::Id)?;
        let mut valued: Vec<_> = streams.iter().map(|stream| (self.value_of(*stream), *stream)).collect();
        valued.sort_by_key(|(value, _)| Rank::new(self.sort, *value, 0));
        for (value, stream) in valued {
            self.walk_class(stream, value, &spans)?;
        }
        Ok(())
    }

    /// What all rows of a stream are sorted by.
    fn value_of(&self, stream: Stream) -> Option<i64> {
        match (self.sort.field, stream.class) {
            (SortField::Status, Some(class)) => Some(class.status_order()),
            (SortField::ResponseStatus, Some(class)) => class.response_status(),
            _ => Some(0),
        }
    }

    /// Offers the rows of a stream that are all sorted by the same value.
    fn walk_class(&mut self, stream: Stream, value: Option<i64>, spans: &[IdRange]) -> rusqlite::Result<()> {
        let (sort, range) = (self.sort, self.plan.range);
        let Some((from, to)) = self.ids_behind(value) else { return Ok(()) };
        let top = &mut self.top;
        for span in in_direction(spans, sort.descending) {
            let Some(span) = span.within(from, to) else { continue };
            let column = if span.mixed { Column::CreatedAt } else { Column::None };
            let done = walk(self.conn, stream, span, sort.descending, column, |id, created_at, _| {
                let wanted = created_at.is_none_or(|at| range.contains(at));
                !wanted || top.offer(Rank::new(sort, value, id))
            })?;
            if done {
                break;
            }
        }
        Ok(())
    }

    /// The ids behind the place among rows that are sorted by one value; `None` when there are none.
    fn ids_behind(&self, value: Option<i64>) -> Option<(i64, i64)> {
        self.behind.map_or(Some((i64::MIN, i64::MAX)), |behind| behind.ids_behind(self.sort, value))
    }

    // -----------------------------------------------------------------------------------------
    // By a column

    fn by_column(&mut self) -> rusqlite::Result<()> {
        let range = self.plan.range;
        let gather = self.plan.bounds.gather;
        let spans = self.plan.spans(self.conn, range)?;
        if range != TimeRange::ALL && self.plan.count_streams(self.conn, gather + 1)? <= gather {
            for stream in self.plan.streams(self.conn, false)? {
                self.gather(*stream, &spans, None)?;
            }
            return Ok(());
        }
        let streams = self.plan.streams(self.conn, true)?;
        let (with_value, without): (Vec<Stream>, Vec<Stream>) =
            streams.iter().partition(|stream| self.has_value(**stream));
        for stream in with_value {
            self.walk_column(stream, &spans)?;
        }
        for stream in without {
            match self.sort.field {
                SortField::Delivery => self.walk_firsts(stream, &spans)?,
                _ => self.walk_class(stream, None, &spans)?,
            }
        }
        Ok(())
    }

    /// Whether the index of the column has the rows of a stream.
    fn has_value(&self, stream: Stream) -> bool {
        stream.class.is_some_and(|class| match self.sort.field {
            SortField::ResponseTime => class.is_timed(),
            SortField::Delivery => !class.is_first(),
            _ => class.is_attempted(),
        })
    }

    fn column(&self) -> Column {
        match self.sort.field {
            SortField::ResponseTime => Column::ResponseTime,
            SortField::Delivery => Column::Delivery,
            _ => Column::AttemptedAt,
        }
    }

    /// Offers the rows of a stream of first attempts, whose ids are those of their deliveries.
    fn walk_firsts(&mut self, stream: Stream, spans: &[IdRange]) -> rusqlite::Result<()> {
        let (sort, range) = (self.sort, self.plan.range);
        let behind = self.behind.and_then(|behind| behind.parts(sort).0);
        let (from, to) = match behind {
            None => (i64::MIN, i64::MAX),
            Some(delivery) if sort.descending => (i64::MIN, delivery.saturating_sub(1)),
            Some(delivery) => (delivery.saturating_add(1), i64::MAX),
        };
        let top = &mut self.top;
        for span in in_direction(spans, sort.descending) {
            let Some(span) = span.within(from, to) else { continue };
            let column = if span.mixed { Column::CreatedAt } else { Column::None };
            let done = walk(self.conn, stream, span, sort.descending, column, |id, created_at, _| {
                let wanted = created_at.is_none_or(|at| range.contains(at));
                !wanted || top.offer(Rank::new(sort, Some(id), id))
            })?;
            if done {
                break;
            }
        }
        Ok(())
    }

    /// Offers every row of a stream that is in the range, or those of them behind a rank.
    fn gather(&mut self, stream: Stream, spans: &[IdRange], walked: Option<Rank>) -> rusqlite::Result<()> {
        let (sort, range, column) = (self.sort, self.plan.range, self.column());
        let top = &mut self.top;
        for span in spans {
            walk(self.conn, stream, *span, sort.descending, column, |id, created_at, value| {
                let rank = Rank::new(sort, value, id);
                if created_at.is_none_or(|at| range.contains(at)) && walked.is_none_or(|walked| rank > walked)
                {
                    top.offer(rank);
                }
                true
            })?;
        }
        Ok(())
    }

    /// Offers the rows of a stream in the order of the column, until they are too late.
    fn walk_column(&mut self, stream: Stream, spans: &[IdRange]) -> rusqlite::Result<()> {
        let (sort, range) = (self.sort, self.plan.range);
        let (mut least, mut most) = match (self.column(), stream.class) {
            (Column::AttemptedAt, Some(class)) => class.attempted_within(range.since, range.until),
            // A row is never before the first one of its delivery.
            (Column::Delivery, _) => (i64::MIN, spans.last().map_or(i64::MIN, |span| span.to)),
            _ => (i64::MIN, i64::MAX),
        };
        if let Some(behind) = self.behind {
            let (Some(value), id) = behind.parts(sort) else { return Ok(()) };
            // First what has the same value as the place, then what lies beyond that value.
            let (from, to) = if sort.descending {
                (i64::MIN, id.saturating_sub(1))
            } else {
                (id.saturating_add(1), i64::MAX)
            };
            if !self.walk_values(stream, spans, (value, value), (from, to))? {
                return Ok(());
            }
            if sort.descending {
                most = most.min(value.saturating_sub(1));
            } else {
                least = least.max(value.saturating_add(1));
            }
        }
        self.walk_values(stream, spans, (least, most), (i64::MIN, i64::MAX)).map(|_| ())
    }

    /// Offers rows with values and ids in two ranges; `false` when those that follow are too late.
    fn walk_values(
        &mut self,
        stream: Stream,
        spans: &[IdRange],
        values: (i64, i64),
        ids: (i64, i64),
    ) -> rusqlite::Result<bool> {
        let (sort, range) = (self.sort, self.plan.range);
        let sql = column_sql(stream.scope, self.column(), sort.descending, values.0 == values.1);
        let [scope, class] = stream.lead();
        let mut statement = self.conn.prepare_cached(&sql)?;
        let mut skipped = 0;
        let mut rows = if values.0 == values.1 {
            statement.query(params![scope, class, values.0, ids.0, ids.1])?
        } else {
            statement.query(params![scope, class, values.0, values.1])?
        };
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(0)?;
            let rank = Rank::new(sort, Some(row.get(1)?), id);
            if self.top.is_full() && self.top.last().is_some_and(|last| rank > last) {
                return Ok(false);
            }
            let at = spans.partition_point(|span| span.to < id);
            let is_inside = match spans.get(at).filter(|span| span.from <= id) {
                None => false,
                Some(span) => !span.mixed || range.contains(created_at(self.conn, id)?),
            };
            if is_inside {
                if !self.top.offer(rank) {
                    return Ok(false);
                }
                continue;
            }
            skipped += 1;
            if skipped == self.plan.bounds.skip && self.gather_if_few(stream, spans, rank)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// After many rows outside of the range: looks at those inside one by one, if they are few. The
    /// stream has been walked up to a rank.
    fn gather_if_few(&mut self, stream: Stream, spans: &[IdRange], walked: Rank) -> rusqlite::Result<bool> {
        let few = self.plan.bounds.gather_stream.min(self.to_gather);
        let inside = stream.count_all(self.conn, spans, self.plan.range, few + 1)?;
        if inside > few {
            return Ok(false);
        }
        self.to_gather -= inside;
        self.gather(stream, spans, Some(walked))?;
        Ok(true)
    }

    // -----------------------------------------------------------------------------------------
    // By the time of creation

    fn by_creation(&mut self, streams: &[Stream]) -> rusqlite::Result<()> {
        let sort = self.sort;
        let mut range = self.plan.range;
        if let Some(behind) = self.behind {
            // No row has no time, so behind such a place there is nothing.
            let (Some(at), _) = behind.parts(sort) else { return Ok(()) };
            if sort.descending {
                range.until = range.until.min(at);
            } else {
                range.since = range.since.max(at);
            }
        }
        if range.since > range.until {
            return Ok(());
        }
        let spans = self.plan.spans(self.conn, range)?;
        let by_id = self.first_by_id(streams, &spans, range)?;
        for id in &by_id {
            self.top.offer(Rank::new(sort, Some(created_at(self.conn, *id)?), *id));
        }
        // All there is has been found; or else, something may come before the last of it.
        let (Some(last_id), true) = (by_id.last(), by_id.len() >= self.top.most) else { return Ok(()) };
        let Some((Some(last), _)) = self.top.last().map(|rank| rank.parts(sort)) else { return Ok(()) };
        let ids = if sort.descending {
            range.since = range.since.max(last);
            (i64::MIN, last_id - 1)
        } else {
            range.until = range.until.min(last);
            (last_id + 1, i64::MAX)
        };
        let spans = self.plan.spans(self.conn, range)?;
        let top = &mut self.top;
        for span in spans.iter().filter_map(|span| span.within(ids.0, ids.1)) {
            let span = IdRange { mixed: true, ..span };
            for stream in streams {
                walk(self.conn, *stream, span, sort.descending, Column::CreatedAt, |id, created_at, _| {
                    if created_at.is_some_and(|at| range.contains(at)) {
                        top.offer(Rank::new(sort, created_at, id));
                    }
                    true
                })?;
            }
        }
        Ok(())
    }

    /// By the last activity: when a row was sent, or when it was made.
    fn by_activity(&mut self) -> rusqlite::Result<()> {
        let spans = self.plan.spans(self.conn, self.plan.range)?;
        let (sent, unsent): (Vec<Stream>, Vec<Stream>) = self
            .plan
            .streams(self.conn, true)?
            .iter()
            .partition(|stream| stream.class.is_some_and(|class| class.is_attempted()));
        for stream in sent {
            self.walk_column(stream, &spans)?;
        }
        self.by_creation(&unsent)
    }

    /// The first rows by id that are in a range and behind the place, as many as are asked for.
    fn first_by_id(
        &self,
        streams: &[Stream],
        spans: &[IdRange],
        range: TimeRange,
    ) -> rusqlite::Result<Vec<i64>> {
        let sort = self.sort;
        let mut first = Top::new(None, self.top.most);
        for stream in streams {
            for span in in_direction(spans, sort.descending) {
                let column =
                    if span.mixed || self.behind.is_some() { Column::CreatedAt } else { Column::None };
                let done = walk(self.conn, *stream, *span, sort.descending, column, |id, created_at, _| {
                    let rank = Rank::new(sort, created_at, id);
                    let wanted = created_at.is_none_or(|at| range.contains(at))
                        && self.behind.is_none_or(|behind| rank > behind);
                    !wanted || first.offer(Rank::new(sort, Some(0), id))
                })?;
                if done {
                    break;
                }
            }
        }
        Ok(first.into_ranks().into_iter().map(|rank| rank.parts(sort).1).collect())
    }
}
