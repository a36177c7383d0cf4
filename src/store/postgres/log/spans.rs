//! Which ids a list reads: partitions in groups, and of each what a range of time can be in.
//!
//! A statement that names no partition locks all of them with all of their indexes, and a server has room for some
//! thousands of locks in all. So the log is read a few partitions at a time, by ranges of ids that the planner sees.

use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::error::DbResult;
use crate::store::postgres::engine::ids;
use crate::store::postgres::engine::partitions::{Parent, Partition, Partitions};
use crate::store::postgres::engine::rows::Columns as _;
use crate::store::shared::ranges::{IdRange, TimeRange};

/// The most partitions that are read together.
const TOGETHER: usize = 8;

/// The partitions of a table in groups, newest first: together they cover all ids. The newest rows are most in demand,
/// so the first groups are small; partitions for days to come are not looked at more than once.
pub(crate) async fn groups(conn: &Conn, partitions: &Partitions, parent: Parent) -> DbResult<Vec<IdRange>> {
    let known = partitions.of(parent);
    let newest = known.len().saturating_sub(TOGETHER);
    let from = known.get(newest).map_or(i64::MIN, |partition| partition.from);
    let sql = match parent {
        Parent::Log => "SELECT max(id) AS last FROM log WHERE id >= $1",
        Parent::Events => "SELECT max(id) AS last FROM events WHERE id >= $1",
    };
    let last: Option<i64> = conn.row(sql, &[&from]).await?.col("last")?;
    let with_rows = match last {
        Some(last) => known.partition_point(|partition| partition.from <= last),
        None => newest,
    };
    Ok(group(&known[..with_rows]))
}

/// Ranges of ids that each hold a few partitions, newest first: they cover all ids.
fn group(mut partitions: &[Partition]) -> Vec<IdRange> {
    let mut groups = Vec::new();
    // A partition that was made since has the newest rows.
    let (mut to, mut together) = (i64::MAX, 1);
    while let Some(at) = partitions.len().checked_sub(together.min(partitions.len()))
        && let Some(first) = partitions.get(at)
    {
        groups.push(IdRange { from: first.from, to, mixed: false });
        to = first.from.saturating_sub(1);
        partitions = &partitions[..at];
        together = (together * 2).min(TOGETHER);
    }
    match groups.last_mut() {
        Some(last) => last.from = i64::MIN,
        None => groups.push(IdRange::ALL),
    }
    groups
}

/// The ids that rows of a range of time can have, newest first.
pub(crate) fn of_time(range: TimeRange) -> Vec<IdRange> {
    let early = IdRange { from: i64::MIN, to: ids::TIMELY_FROM - 1, mixed: range != TimeRange::ALL };
    let span = |from, to, mixed| IdRange { from, to, mixed };
    let at = |ms: i64| ids::first_of_second(ms.div_euclid(1_000));
    let (first, last) =
        (at(range.since).max(ids::TIMELY_FROM), at(range.until) | (ids::first_of_second(1) - 1));
    let last = if range.until == i64::MAX { i64::MAX } else { last };
    // The seconds at both ends may be in the range in part.
    let begins = range.since == i64::MIN || range.since.rem_euclid(1_000) == 0;
    let ends = range.until == i64::MAX || range.until.rem_euclid(1_000) == 999;
    let inner_from = if begins { first } else { first.saturating_add(ids::first_of_second(1)) };
    let inner_to = if ends { last } else { at(range.until) - 1 };
    let mut pieces = Vec::with_capacity(4);
    if inner_from > inner_to {
        pieces.push(span(first, last, true));
    } else {
        if !ends {
            pieces.push(span(inner_to + 1, last, true));
        }
        pieces.push(span(inner_from, inner_to, false));
        if !begins {
            pieces.push(span(first, inner_from - 1, true));
        }
    }
    pieces.push(early);
    pieces.retain(|piece| piece.from <= piece.to);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(from: i64, to: i64) -> Partition {
        Partition { name: String::new(), from, to }
    }

    #[test]
    fn groups_cover_all_ids_newest_first() {
        assert_eq!(group(&[]), [IdRange::ALL]);
        let days: Vec<Partition> = (0..20).map(|day| partition(day * 10, day * 10 + 10)).collect();
        let ends: Vec<_> = group(&days).iter().map(|group| (group.from, group.to)).collect();
        assert_eq!(ends, [(190, i64::MAX), (170, 189), (130, 169), (50, 129), (i64::MIN, 49)]);
        assert_eq!(group(&days[..1]), [IdRange::ALL]);
    }

    #[test]
    fn a_range_of_time_is_looked_at_in_part_only_at_its_ends() {
        let second = ids::first_of_second;
        let at = |since, until| of_time(TimeRange { since, until });
        let early = |mixed| IdRange { from: i64::MIN, to: ids::TIMELY_FROM - 1, mixed };
        let all = IdRange { from: ids::TIMELY_FROM, to: i64::MAX, mixed: false };
        assert_eq!(of_time(TimeRange::ALL), [all, early(false)]);
        let base = 1_700_000_000;
        let whole = at(base * 1_000, (base + 1) * 1_000 + 999);
        let inner = IdRange { from: second(base), to: second(base + 2) - 1, mixed: false };
        assert_eq!(whole, [inner, early(true)]);
        let part = at(base * 1_000 + 500, (base + 2) * 1_000 + 500);
        let wanted = [
            IdRange { from: second(base + 2), to: second(base + 3) - 1, mixed: true },
            IdRange { from: second(base + 1), to: second(base + 2) - 1, mixed: false },
            IdRange { from: second(base), to: second(base + 1) - 1, mixed: true },
            early(true),
        ];
        assert_eq!(part, wanted);
        let within = at(base * 1_000 + 1, base * 1_000 + 2);
        assert_eq!(within[0], IdRange { from: second(base), to: second(base + 1) - 1, mixed: true });
        assert_eq!(within.len(), 2);
    }
}
