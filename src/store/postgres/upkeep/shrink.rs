//! Giving space back: partitions that retention has emptied are dropped, one at a time.
//!
//! Such a partition is in the past: a later one has rows. Should an old attempt end all the same, which was pending for
//! longer than the log is kept, the writer makes the partition again.

use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::error::DbResult;
use crate::store::postgres::engine::partitions::{self, Parent, Partition, Partitions};
use crate::store::postgres::engine::rows::Columns as _;
use crate::store::postgres::upkeep::whole;

/// Drops an empty partition; how many pages it had, 0: there is none. Outside of any transaction.
pub(super) async fn drop_one(conn: &Conn, all: &Partitions) -> DbResult<u64> {
    for parent in Parent::ALL {
        whole::tidy_up(conn, parent).await?;
    }
    all.refresh(conn).await?;
    for parent in Parent::ALL {
        let known = all.of(parent);
        // The first one reaches back without end and stays.
        for partition in known.iter().filter(|partition| partition.from != i64::MIN) {
            if !partitions::is_empty(conn, partition).await? {
                break;
            }
            if is_past(conn, parent, partition).await? {
                let pages = drop_it(conn, parent, partition).await?;
                all.refresh(conn).await?;
                return Ok(pages);
            }
        }
    }
    Ok(0)
}

/// Whether there are rows behind it.
async fn is_past(conn: &Conn, parent: Parent, partition: &Partition) -> DbResult<bool> {
    let sql = match parent {
        Parent::Log => "SELECT 1 AS one FROM log WHERE id >= $1 LIMIT 1",
        Parent::Events => "SELECT 1 AS one FROM events WHERE id >= $1 LIMIT 1",
    };
    Ok(conn.row_opt(sql, &[&partition.to]).await?.is_some())
}

/// Drops it; how many pages it had.
async fn drop_it(conn: &Conn, parent: Parent, partition: &Partition) -> DbResult<u64> {
    let sizes =
        "SELECT greatest(relpages, 1)::bigint AS pages FROM pg_class WHERE oid = ($1::text)::regclass";
    let pages = conn.row(sizes, &[&partition.name]).await?.num("pages")?;
    Ok(if partitions::drop_empty(conn, parent, partition).await? { pages } else { 0 })
}
