//! Partitions whose rows have all expired go as a whole: their files are removed, and no row is looked at.
//!
//! What of them is still needed stays: attempts of deliveries that go on or ended later, events that attempts refer to.
//! These few rows are copied into a partition that takes the place of the old one, in one short transaction. Where
//! there are none, the partition is taken out without stopping anybody (`DETACH … CONCURRENTLY`). A lock that is not to
//! be had at once is tried for again, so that nobody stands behind one that waits; where it is never to be had, rows go
//! one by one.

use crate::domain::Timestamp;
use crate::store::SweepStep;
use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::error::{DbError, DbResult};
use crate::store::postgres::engine::ids;
use crate::store::postgres::engine::partitions::{Parent, Partition, Partitions};
use crate::store::postgres::engine::rows::Columns as _;

/// Rows up to which they are counted; more are estimated.
const COUNTED: i64 = 10_000;
/// Fewer rows are removed one by one.
const ROWS_LEAST: i64 = 1_000;
/// Kept rows are copied while nobody writes to the partition: no more than so many.
const KEPT_MOST: i64 = 50_000;
/// How often a lock is tried for, and how long each time: requests stand behind it meanwhile.
const TRIES: u32 = 3;
const BEFORE: &str = "SET enable_seqscan = off";
const AFTER: &str = "SET lock_timeout = '10s'; RESET enable_seqscan";

/// Drops the oldest partition behind an id if all its rows were made before a time. `None`: there is no such partition,
/// or it goes row by row. Outside of any transaction.
pub(super) async fn drop_expired(
    conn: &Conn,
    partitions: &Partitions,
    parent: Parent,
    after: i64,
    before: Timestamp,
) -> DbResult<Option<SweepStep>> {
    if first_expired(partitions, parent, after, before).is_none() {
        return Ok(None);
    }
    tidy_up(conn, parent).await?;
    partitions.refresh(conn).await?;
    let Some(partition) = first_expired(partitions, parent, after, before) else { return Ok(None) };
    // Rows before it go first.
    if has_rows(conn, parent, after, partition.from).await? {
        return Ok(None);
    }
    let rows = rows_of(conn, &partition).await?;
    if rows.number < ROWS_LEAST {
        return Ok(None);
    }
    conn.script(BEFORE).await?;
    let dropped = try_to_drop(conn, parent, &partition, before).await;
    conn.script(AFTER).await?;
    let Some(kept) = dropped? else { return Ok(None) };
    partitions.refresh(conn).await?;
    let removed = u64::try_from(rows.number - kept).unwrap_or(0);
    tracing::info!(partition = %partition.name, rows = removed, kept, "a partition whose rows have expired was dropped");
    let last = partition.to - 1;
    Ok(Some(SweepStep {
        removed,
        next: Some(last),
        reached: last,
        newest: Some(ids::time_of(last)),
        is_estimated: rows.is_estimated,
        ..SweepStep::default()
    }))
}

/// The first partition behind an id whose rows were all made before a time. The first one of all reaches back without
/// end; where `after` is within one, that was begun row by row.
pub(super) fn first_expired(
    partitions: &Partitions,
    parent: Parent,
    after: i64,
    before: Timestamp,
) -> Option<Partition> {
    let end = ids::first_at(before);
    let is_meant =
        |partition: &&Partition| partition.from != i64::MIN && partition.from > after && partition.to <= end;
    partitions.of(parent).iter().find(is_meant).cloned()
}

async fn try_to_drop(
    conn: &Conn,
    parent: Parent,
    partition: &Partition,
    before: Timestamp,
) -> DbResult<Option<i64>> {
    for _ in 0..TRIES {
        let dropped = drop_one(conn, parent, partition, before).await;
        match dropped {
            Err(error) if is_busy(&error) => {
                conn.script("ROLLBACK").await?;
                tracing::debug!(partition = %partition.name, "it is in use; trying again to drop it");
            }
            Err(error) => {
                conn.script("ROLLBACK").await?;
                return Err(error);
            }
            done => return done,
        }
    }
    Ok(None)
}

fn is_busy(error: &DbError) -> bool {
    matches!(error, DbError::Postgres(error) if error.code().is_some_and(|code| matches!(code.code(), "55P03" | "40P01")))
}

struct Rows {
    number: i64,
    is_estimated: bool,
}

async fn rows_of(conn: &Conn, partition: &Partition) -> DbResult<Rows> {
    let sql =
        format!("SELECT count(*) AS count FROM (SELECT 1 FROM {} LIMIT {}) t", partition.name, COUNTED + 1);
    let counted: i64 = conn.query_one(&sql, &[]).await?.num("count")?;
    if counted <= COUNTED {
        return Ok(Rows { number: counted, is_estimated: false });
    }
    let sql = "SELECT reltuples::bigint AS about FROM pg_class WHERE oid = ($1::text)::regclass";
    let about: i64 = conn.row(sql, &[&partition.name]).await?.num("about")?;
    Ok(Rows { number: about.max(counted), is_estimated: true })
}

async fn has_rows(conn: &Conn, parent: Parent, after: i64, before: i64) -> DbResult<bool> {
    let sql = match parent {
        Parent::Log => "SELECT 1 AS one FROM log WHERE id > $1 AND id < $2 LIMIT 1",
        Parent::Events => "SELECT 1 AS one FROM events WHERE id > $1 AND id < $2 LIMIT 1",
    };
    Ok(conn.row_opt(sql, &[&after, &before]).await?.is_some())
}

/// Which rows of a partition are kept, as a query for their ids.
fn kept(parent: Parent, Partition { name, from, to }: &Partition, before: Timestamp) -> String {
    let (end, before) = (ids::first_at(before), before.as_millis());
    match parent {
        // Deliveries of which an attempt is pending or was made later.
        Parent::Log => format!(
            "WITH goes_on AS (SELECT DISTINCT first_id FROM queue WHERE first_id IS NOT NULL UNION \
             SELECT DISTINCT first_id FROM log WHERE first_id IS NOT NULL AND first_id < {to} AND id >= {end} \
             AND created_at >= {before}) \
             SELECT r.id FROM goes_on g JOIN {name} r ON r.id = g.first_id UNION \
             SELECT r.id FROM goes_on g JOIN {name} r ON r.first_id = g.first_id"
        ),
        Parent::Events => format!(
            "SELECT r.id FROM (SELECT DISTINCT event FROM queue WHERE event >= {from} AND event < {to} UNION \
             SELECT DISTINCT event FROM log WHERE event >= {from} AND event < {to} AND id >= {from} UNION \
             SELECT event FROM fan_outs WHERE event >= {from} AND event < {to}) u JOIN {name} r ON r.id = u.event"
        ),
    }
}

/// How many rows were kept; `None`: too many are.
async fn drop_one(
    conn: &Conn,
    parent: Parent,
    partition: &Partition,
    before: Timestamp,
) -> DbResult<Option<i64>> {
    let (table, Partition { name, from, to }) = (parent.name(), partition);
    let ids = kept(parent, partition, before);
    let count = format!("SELECT count(*) AS count FROM (SELECT 1 FROM ({ids}) k LIMIT {}) t", KEPT_MOST + 1);
    let number: i64 = conn.query_one(&count, &[]).await?.num("count")?;
    if number > KEPT_MOST {
        return Ok(None);
    }
    if number == 0 {
        remove_later(conn, parent, partition, "").await?;
        // It waits for transactions that began before, and nobody waits for it.
        conn.script("SET lock_timeout = '60s'").await?;
        conn.script(&format!("ALTER TABLE {table} DETACH PARTITION {name} CONCURRENTLY")).await?;
        let number: i64 = conn.query_one(&count, &[]).await?.num("count")?;
        if number > 0 {
            conn.script(&format!(
                "ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{from}') TO ('{to}')"
            ))
            .await?;
            return Ok(None);
        }
        conn.script(&format!("DROP TABLE {name}")).await?;
        return Ok(Some(0));
    }
    conn.script("BEGIN; SET LOCAL lock_timeout = '300ms'").await?;
    conn.script(&format!("LOCK TABLE {name} IN SHARE ROW EXCLUSIVE MODE")).await?;
    let place = format!("{name}_kept");
    let columns = columns_of(conn, table).await?;
    conn.script(&format!(
        "CREATE TABLE {place} (LIKE {table} INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING STORAGE); \
         INSERT INTO {place} ({columns}) SELECT {columns} FROM {name} WHERE id IN ({ids})"
    ))
    .await?;
    if parent == Parent::Events {
        // Its time has come, unless it is still to be sent.
        conn.script(&format!(
            "UPDATE {place} e SET payload = NULL WHERE NOT EXISTS (SELECT 1 FROM queue q WHERE q.event = e.id) \
             AND NOT EXISTS (SELECT 1 FROM fan_outs f WHERE f.event = e.id)"
        ))
        .await?;
    }
    remove_later(conn, parent, partition, &place).await?;
    conn.script(&format!(
        "ALTER TABLE {table} DETACH PARTITION {name}; \
         ALTER TABLE {table} ATTACH PARTITION {place} FOR VALUES FROM ('{from}') TO ('{to}'); \
         DROP TABLE {name}; ALTER TABLE {place} RENAME TO {name}; COMMIT"
    ))
    .await?;
    let kept: i64 =
        conn.query_one(&format!("SELECT count(*) AS count FROM {name}"), &[]).await?.num("count")?;
    Ok(Some(kept))
}

/// Removes later attempts of the deliveries that go: they begin here and end in partitions behind it.
async fn remove_later(conn: &Conn, parent: Parent, partition: &Partition, kept: &str) -> DbResult<()> {
    if parent == Parent::Events {
        return Ok(());
    }
    let Partition { from, to, .. } = partition;
    let but = match kept {
        "" => String::new(),
        kept => format!(" AND NOT EXISTS (SELECT 1 FROM {kept} k WHERE k.id = l.first_id)"),
    };
    conn.script(&format!(
        "DELETE FROM log l WHERE l.id >= {to} AND l.first_id >= {from} AND l.first_id < {to}{but}"
    ))
    .await
}

/// The columns that are not computed.
async fn columns_of(conn: &Conn, table: &str) -> DbResult<String> {
    let sql = "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) AS names FROM pg_attribute \
               WHERE attrelid = ($1::text)::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''";
    conn.row(sql, &[&table]).await?.col("names")
}

/// Ends what a crash has left: partitions that are half taken out, and such that are out and not dropped.
pub(super) async fn tidy_up(conn: &Conn, parent: Parent) -> DbResult<()> {
    let table = parent.name();
    let pending = "SELECT c.relname::text AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
                   WHERE i.inhparent = ($1::text)::regclass AND i.inhdetachpending";
    for row in conn.rows(pending, &[&table]).await? {
        let name: String = row.col("name")?;
        conn.script(&format!("ALTER TABLE {table} DETACH PARTITION {name} FINALIZE")).await?;
    }
    let out = "SELECT c.relname::text AS name FROM pg_class c WHERE c.relkind = 'r' \
               AND c.relnamespace = current_schema()::regnamespace AND c.relname ~ ('^' || $1 || '_[0-9]+_[0-9]+$') \
               AND NOT EXISTS (SELECT 1 FROM pg_inherits i WHERE i.inhrelid = c.oid)";
    for row in conn.rows(out, &[&table]).await? {
        let name: String = row.col("name")?;
        conn.script(&format!("DROP TABLE {name}")).await?;
    }
    Ok(())
}
