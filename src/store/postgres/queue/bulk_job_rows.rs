//! The rows that a bulk retry walks over: exhausted attempts in the log, pending ones in the queue, by their ids.
//!
//! No index has an app's exhausted rows in the order of id, but within a class they are. A filter leaves few of the
//! classes that there are; the next rows of each are read, and the first of all of them count.

use std::collections::{HashMap, HashSet};

use crate::domain::AttemptId;
use crate::domain::attempts::attempt::{AttemptStatus, Trigger};
use crate::store::JOB_STEP;
use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::error::DbResult;
use crate::store::postgres::engine::rows::{AppRow, Columns as _, EndpointRow, EventRow};
use crate::store::postgres::queue::attempts::{
    Stored, StoredAttempt, ended_columns, pending_columns, stored_attempt,
};
use crate::store::postgres::queue::filter::{FilterRow, Wanted};
use crate::store::shared::class::Class;
use crate::store::shared::job_walk::{Item, WalkPosition, WalkRange, WalkStep};

/// The classes of an app's rows that have a status: each step of the recursion looks for the next one behind the last
/// that was found, or behind what has another status. `$2` are the bits of the status, `$3` where they are, `$4` the
/// lowest bit of the type.
macro_rules! classes {
    ($table:literal) => {
        concat!(
            "WITH RECURSIVE found (class) AS ( \
                 (SELECT t.class FROM ",
            $table,
            " t WHERE t.app = $1 ORDER BY t.class LIMIT 1) UNION ALL \
                 SELECT (SELECT t.class FROM ",
            $table,
            " t WHERE t.app = $1 AND t.class >= CASE \
                 WHEN f.class & $3::bigint = $2::bigint THEN f.class + 1 \
                 WHEN f.class & $3::bigint < $2::bigint THEN f.class - f.class % $4::bigint + $2::bigint \
                 ELSE f.class - f.class % $4::bigint + $4::bigint + $2::bigint END ORDER BY t.class LIMIT 1) \
                 FROM found f WHERE f.class IS NOT NULL) \
             SELECT class FROM found WHERE class & $3::bigint = $2::bigint"
        )
    };
}
pub(crate) const PENDING_CLASSES: &str = classes!("queue");
pub(crate) const ENDED_CLASSES: &str = classes!("log");

pub(crate) const PENDING: &str = concat!(
    "SELECT q.* FROM unnest($2::bigint[]) AS c (wanted) CROSS JOIN LATERAL (SELECT ",
    pending_columns!(),
    " FROM queue q WHERE q.app = $1 AND q.class = c.wanted AND q.id > $3 AND q.id <= $4 ORDER BY q.id LIMIT $5) q \
     ORDER BY q.id LIMIT $5"
);
pub(crate) const ENDED: &str = concat!(
    "SELECT l.* FROM unnest($2::bigint[]) AS c (wanted) CROSS JOIN LATERAL (SELECT ",
    ended_columns!(),
    " FROM log l WHERE l.app = $1 AND l.class = c.wanted AND l.id > $3 AND l.id <= $4 ORDER BY l.id LIMIT $5) l \
     ORDER BY l.id LIMIT $5"
);

/// Where the rows are that have a status, and which.
const PLACES: [(AttemptStatus, &str, &str); 2] =
    [(AttemptStatus::Pending, PENDING_CLASSES, PENDING), (AttemptStatus::Exhausted, ENDED_CLASSES, ENDED)];

/// The next rows of a walk that the filter means. `with_pending`: pending ones, too.
pub(crate) async fn step(
    conn: &Conn,
    app: AppRow,
    wanted: &Wanted,
    with_pending: bool,
    range: WalkRange,
) -> DbResult<WalkStep> {
    let mut found: Vec<StoredAttempt> = Vec::new();
    for (status, classes, rows) in PLACES {
        if status == AttemptStatus::Exhausted || with_pending {
            let classes = classes_of(conn, app, wanted, status, classes).await?;
            let limit = i64::from(JOB_STEP);
            let read = conn.rows(rows, &[&app, &classes, &range.from.id, &range.to, &limit]).await?;
            for row in read {
                found.push(stored_attempt(&row)?);
            }
        }
    }
    found.sort_by_key(|kept| kept.row.id);
    found.truncate(JOB_STEP as usize);
    let at = WalkPosition { at: 0, id: found.last().map_or(range.from.id, |kept| kept.row.id.0) };
    let more = found.len() == JOB_STEP as usize;
    Ok(WalkStep { items: meant(conn, wanted, found).await?, at, more })
}

async fn classes_of(
    conn: &Conn,
    app: AppRow,
    wanted: &Wanted,
    status: AttemptStatus,
    sql: &str,
) -> DbResult<Vec<i64>> {
    let (bits, mask, type_bit) = (Class::status_bits(status), Class::STATUS_BITS, Class::TYPE_BIT);
    let mut classes = Vec::new();
    for row in conn.rows(sql, &[&app, &bits, &mask, &type_bit]).await? {
        let class = Class(row.col("class")?);
        if wanted.admits(class) && class.trigger() != Some(Trigger::Test) {
            classes.push(class.0);
        }
    }
    Ok(classes)
}

/// Those of these rows that the filter means, of endpoints that are neither deleted nor disabled and of events that
/// can be sent.
async fn meant(conn: &Conn, wanted: &Wanted, found: Vec<StoredAttempt>) -> DbResult<Vec<Item>> {
    let rows: HashMap<AttemptId, Stored> = found.iter().map(|kept| (kept.row.id, kept.row)).collect();
    let among = wanted.among(conn, found.iter().map(FilterRow::of).collect()).await?;
    let endpoints: HashSet<EndpointRow> = among.iter().map(|row| row.endpoint).collect();
    let endpoints: Vec<EndpointRow> = endpoints.into_iter().collect();
    let events: Vec<EventRow> = among.iter().map(|row| row.event).collect();
    let sql = "SELECT id FROM endpoints WHERE id = ANY($1) AND deleted_at IS NULL AND status <> 'disabled'";
    let open = conn.rows(sql, &[&endpoints]).await?;
    let open: HashSet<EndpointRow> = open.iter().map(|row| row.col("id")).collect::<DbResult<_>>()?;
    let sql = "SELECT id FROM events WHERE id = ANY($1) AND payload IS NOT NULL";
    let whole = conn.rows(sql, &[&events]).await?;
    let whole: HashSet<EventRow> = whole.iter().map(|row| row.col("id")).collect::<DbResult<_>>()?;
    let is_meant = |row: &&FilterRow| open.contains(&row.endpoint) && whole.contains(&row.event);
    let item = |row: &FilterRow| {
        let row = *rows.get(&row.id)?;
        Some(match row.current.status {
            AttemptStatus::Pending => Item::MakeDue(row),
            _ => Item::GoOn(row),
        })
    };
    Ok(among.iter().filter(is_meant).filter_map(item).collect())
}
