//! The partitions of `log` and `events`, by range of id, which is by time ([`ids`]). The program makes them ahead of
//! time, a day each, or an hour each where something is kept for less than two days; where one is missing all the same,
//! who needs it makes it. There may be gaps between them.
//!
//! The first one, `log_old` and `events_old`, reaches back without end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::domain::Timestamp;
use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::error::{DbResult, fault};
use crate::store::postgres::engine::ids;
use crate::store::postgres::engine::rows::Columns as _;

/// A table that has partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parent {
    Log,
    Events,
}

impl Parent {
    pub(crate) const ALL: [Parent; 2] = [Parent::Log, Parent::Events];

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Parent::Log => "log",
            Parent::Events => "events",
        }
    }
}

/// A partition: ids from `from` to before `to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Partition {
    pub(crate) name: String,
    pub(crate) from: i64,
    pub(crate) to: i64,
}

/// The partitions that this process knows, ascending. Others may have been made since.
#[derive(Debug, Clone, Default)]
pub(crate) struct Partitions {
    known: Arc<RwLock<[Arc<Vec<Partition>>; 2]>>,
    /// Whether new ones are of an hour: something is kept for less than two days.
    hourly: Arc<AtomicBool>,
}

/// A day and an hour in seconds.
const DAY: i64 = 86_400;
const HOUR: i64 = 3_600;
/// Partitions of an hour are made for so many days ahead.
const HOURLY_AHEAD: i64 = 2;
/// The name in `meta`: whether new ones are of an hour.
const HOURLY: &str = "hourly_partitions";
/// The lock under which partitions are made and dropped.
const LOCK: i64 = 0x706f_7374_7269_6401;

impl Partitions {
    /// Those of a table, ascending.
    pub(crate) fn of(&self, parent: Parent) -> Arc<Vec<Partition>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known[parent as usize].clone()
    }

    /// Whether both tables have a partition for rows of this id.
    pub(crate) fn has_place_for(&self, id: i64) -> bool {
        Parent::ALL.iter().all(|parent| self.covers(*parent, id))
    }

    fn covers(&self, parent: Parent, id: i64) -> bool {
        let known = self.of(parent);
        let at = known.partition_point(|partition| partition.from <= id);
        at.checked_sub(1).and_then(|at| known.get(at)).is_some_and(|partition| id < partition.to)
    }

    /// These ids by partition, ascending: a statement for each touches no other one.
    pub(crate) fn by_partition(&self, parent: Parent, mut ids: Vec<i64>) -> Vec<Vec<i64>> {
        let known = self.of(parent);
        let place = |id: i64| known.partition_point(|partition| partition.from <= id);
        ids.sort_unstable();
        ids.dedup();
        ids.chunk_by(|one, other| place(*one) == place(*other)).map(<[i64]>::to_vec).collect()
    }

    /// Reads which there are.
    pub(crate) async fn refresh(&self, conn: &Conn) -> DbResult<()> {
        for parent in Parent::ALL {
            let found = Arc::new(list(conn, parent).await?);
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            known[parent as usize] = found;
        }
        Ok(())
    }

    /// Sees to it that both tables have a partition for rows of this id. In a transaction it may make them.
    pub(crate) async fn ensure(&self, conn: &Conn, id: i64) -> DbResult<()> {
        if self.has_place_for(id) {
            return Ok(());
        }
        conn.rows("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
        self.refresh(conn).await?;
        for parent in Parent::ALL {
            if !self.covers(parent, id) {
                make(conn, parent, &self.of(parent), id, self.length()).await?;
            }
        }
        self.refresh(conn).await
    }

    /// Whether new ones are of an hour.
    pub(crate) fn is_hourly(&self) -> bool {
        self.hourly.load(Ordering::Relaxed)
    }

    /// Has new ones be of an hour, or of a day, here at once and on other nodes soon.
    pub(crate) async fn set_hourly(&self, conn: &Conn, is_hourly: bool) -> DbResult<()> {
        let sql = "INSERT INTO meta (name, value) VALUES ($1, $2) \
                   ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        conn.run(sql, &[&HOURLY, &i64::from(is_hourly)]).await?;
        self.hourly.store(is_hourly, Ordering::Relaxed);
        Ok(())
    }

    fn length(&self) -> i64 {
        if self.is_hourly() { HOUR } else { DAY }
    }

    /// Makes the partitions of the days, or hours, from that of a time on. Outside of any transaction.
    pub(crate) async fn keep_ahead(&self, conn: &Conn, now: Timestamp, days: i64) -> DbResult<()> {
        let found = conn.row_opt("SELECT value FROM meta WHERE name = $1", &[&HOURLY]).await?;
        let is_hourly = found.map(|row| row.num::<i64>("value")).transpose()?.unwrap_or(0) != 0;
        self.hourly.store(is_hourly, Ordering::Relaxed);
        let (length, days) = (self.length(), if is_hourly { days.min(HOURLY_AHEAD) } else { days });
        if is_hourly {
            self.drop_days_to_come(conn, now).await?;
        }
        for part in 0..=days * DAY / length {
            let id = ids::first_of_second(now.as_secs() + part * length);
            if self.has_place_for(id) {
                continue;
            }
            conn.script("BEGIN").await?;
            let made = self.ensure(conn, id).await;
            conn.script(if made.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
            made?;
        }
        Ok(())
    }
}

impl Partitions {
    /// Drops empty partitions of days that have not begun, in whose place such of an hour are made.
    async fn drop_days_to_come(&self, conn: &Conn, now: Timestamp) -> DbResult<()> {
        self.refresh(conn).await?;
        let soon = ids::first_of_second(now.as_secs() + HOUR);
        for parent in Parent::ALL {
            let known = self.of(parent);
            let is_meant = |partition: &&Partition| {
                partition.from > soon && ids::second_of(partition.to) - ids::second_of(partition.from) > HOUR
            };
            for partition in known.iter().filter(is_meant) {
                drop_empty(conn, parent, partition).await?;
            }
        }
        self.refresh(conn).await
    }
}

/// Whether a partition has no rows.
pub(crate) async fn is_empty(conn: &Conn, partition: &Partition) -> DbResult<bool> {
    let sql = format!("SELECT 1 AS one FROM {} LIMIT 1", partition.name);
    Ok(conn.query(&sql, &[]).await?.is_empty())
}

/// Takes an empty partition out of its table without stopping who reads or writes there, and drops it, unless a row has
/// come meanwhile. Outside of any transaction.
pub(crate) async fn drop_empty(conn: &Conn, parent: Parent, partition: &Partition) -> DbResult<bool> {
    let (table, Partition { name, from, to }) = (parent.name(), partition);
    if !is_empty(conn, partition).await? {
        return Ok(false);
    }
    conn.script(&format!("ALTER TABLE {table} DETACH PARTITION {name} CONCURRENTLY")).await?;
    if !is_empty(conn, partition).await? {
        let attach =
            format!("ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{from}') TO ('{to}')");
        conn.script(&attach).await?;
        return Ok(false);
    }
    conn.script(&format!("DROP TABLE {name}")).await?;
    Ok(true)
}

/// The partitions of a table, ascending.
async fn list(conn: &Conn, parent: Parent) -> DbResult<Vec<Partition>> {
    let sql = "SELECT c.relname::text AS name, pg_get_expr(c.relpartbound, c.oid) AS bound \
               FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
               WHERE i.inhparent = ($1::text)::regclass";
    let mut found = Vec::new();
    for row in conn.rows(sql, &[&parent.name()]).await? {
        let (name, bound): (String, String) = (row.col("name")?, row.col("bound")?);
        let (from, to) = read_bound(&bound).ok_or_else(|| fault(format!("{name} has the bound {bound}")))?;
        found.push(Partition { name, from, to });
    }
    found.sort_by_key(|partition| partition.from);
    Ok(found)
}

/// Reads `FOR VALUES FROM ('1') TO ('2')`; MINVALUE is no quoted number.
fn read_bound(text: &str) -> Option<(i64, i64)> {
    let (from, to) = text.strip_prefix("FOR VALUES FROM (")?.split_once(") TO (")?;
    let number = |text: &str| text.trim_matches('\'').parse().ok();
    let from = if from == "MINVALUE" { i64::MIN } else { number(from)? };
    Some((from, number(to.strip_suffix(')')?)?))
}

/// Makes the partition of the day, or hour, that an id is in, as far as no other has a part of it.
async fn make(conn: &Conn, parent: Parent, known: &[Partition], id: i64, length: i64) -> DbResult<()> {
    let table = parent.name();
    let begin = ids::second_of(id).div_euclid(length) * length;
    let (mut from, mut to) = (ids::first_of_second(begin), ids::first_of_second(begin + length));
    if known.is_empty() {
        let sql = format!(
            "ALTER TABLE {table} ATTACH PARTITION {table}_old FOR VALUES FROM (MINVALUE) TO ('{from}')"
        );
        conn.script(&sql).await?;
    }
    from = known.iter().filter(|p| p.to <= id).map(|p| p.to).max().map_or(from, |end| end.max(from));
    to = known.iter().filter(|p| p.from > id).map(|p| p.from).min().map_or(to, |start| start.min(to));
    let name = format!("{table}_{}_{}", ids::second_of(from), ids::second_of(to));
    let sql = format!(
        "CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING STORAGE); \
         ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{from}') TO ('{to}')"
    );
    conn.script(&sql).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_reads_back() {
        assert_eq!(read_bound("FOR VALUES FROM ('-3') TO ('12')"), Some((-3, 12)));
        assert_eq!(read_bound("FOR VALUES FROM (MINVALUE) TO ('12')"), Some((i64::MIN, 12)));
        assert_eq!(read_bound("DEFAULT"), None);
    }

    #[test]
    fn ids_are_taken_apart_by_partition() {
        let partitions = Partitions::default();
        let partition = |from, to| Partition { name: String::new(), from, to };
        let known = vec![partition(i64::MIN, 10), partition(10, 20), partition(30, 40)];
        partitions.known.write().unwrap()[Parent::Events as usize] = Arc::new(known);
        let groups = partitions.by_partition(Parent::Events, vec![30, 11, 9, 11, 10, 39, -1]);
        assert_eq!(groups, [vec![-1, 9], vec![10, 11], vec![30, 39]]);
        assert_eq!(partitions.by_partition(Parent::Log, vec![3, 1]), [[1, 3]], "none is known yet");
    }
}
