//! Giving space back: partitions that retention has emptied are dropped, one at a time.
//!
//! Such a partition is in the past: a later one has rows. Should an old attempt end all the same, which was pending for
//! longer than the log is kept, the writer makes the partition again.

use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::error::DbResult;
use crate::store::postgres::engine::partitions::{Parent, Partition, Partitions};
use crate::store::postgres::engine::rows::Columns as _;

/// Drops an empty partition; how many pages it had, 0: there is none. Outside of any transaction.
pub(super) async fn drop_one(conn: &Conn, partitions: &Partitions) -> DbResult<u64> {
    partitions.refresh(conn).await?;
    for parent in Parent::ALL {
        let known = partitions.of(parent);
        // The first one reaches back without end and stays.
        for partition in known.iter().filter(|partition| partition.from != i64::MIN) {
            if !is_empty(conn, partition).await? {
                break;
            }
            if is_past(conn, parent, partition).await? {
                let pages = drop_it(conn, parent, partition).await?;
                partitions.refresh(conn).await?;
                return Ok(pages);
            }
        }
    }
    Ok(0)
}

async fn is_empty(conn: &Conn, partition: &Partition) -> DbResult<bool> {
    let sql = format!("SELECT 1 AS one FROM {} LIMIT 1", partition.name);
    Ok(conn.query(&sql, &[]).await?.is_empty())
}

/// Whether there are rows behind it.
async fn is_past(conn: &Conn, parent: Parent, partition: &Partition) -> DbResult<bool> {
    let sql = match parent {
        Parent::Log => "SELECT 1 AS one FROM log WHERE id >= $1 LIMIT 1",
        Parent::Events => "SELECT 1 AS one FROM events WHERE id >= $1 LIMIT 1",
    };
    Ok(conn.row_opt(sql, &[&partition.to]).await?.is_some())
}

/// Takes it out of the table without stopping who reads or writes there, and drops it, unless a row has come meanwhile.
async fn drop_it(conn: &Conn, parent: Parent, partition: &Partition) -> DbResult<u64> {
    let (table, Partition { name, from, to }) = (parent.name(), partition);
    let sizes =
        "SELECT greatest(relpages, 1)::bigint AS pages FROM pg_class WHERE oid = ($1::text)::regclass";
    let pages = conn.row(sizes, &[name]).await?.num("pages")?;
    conn.script(&format!("ALTER TABLE {table} DETACH PARTITION {name} CONCURRENTLY")).await?;
    if !is_empty(conn, partition).await? {
        let attach =
            format!("ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{from}') TO ('{to}')");
        conn.script(&attach).await?;
        return Ok(0);
    }
    conn.script(&format!("DROP TABLE {name}")).await?;
    Ok(pages)
}
