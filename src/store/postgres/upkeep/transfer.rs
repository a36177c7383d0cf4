//! Moving everything out of a PostgreSQL database, or into one.
//!
//! What was made before this database has ids that are not made of their times, and is in `log_old` and `events_old`.
//! Both are filled as tables of their own, without indexes, and then become partitions: their indexes are made in one
//! pass.

use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::runtime::Runtime;
use tokio_postgres::CopyInSink;

use crate::domain::Timestamp;
use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::connect::Connector;
use crate::store::postgres::engine::error::{self, DbResult, fault};
use crate::store::postgres::engine::ids;
use crate::store::postgres::engine::partitions::{Parent, Partitions};
use crate::store::postgres::engine::rows::Columns as _;
use crate::store::postgres::engine::store::runtime;
use crate::store::postgres::engine::{folding, in_use, migrations};
use crate::store::postgres::upkeep::copy;
use crate::store::shared::transfer::{Batch, COUNTED, Cell, Cells, HALF_FILLED, MARK, TABLES, Table};
use crate::store::transfer::{TransferSource, TransferTarget};
use crate::store::{Result, StoreError};

const READING: &str = "reading the database";
const FILLING: &str = "filling the database";
/// How many bytes are given to the server at once.
const PIECE: usize = 256 << 10;
/// Statements of a move take as long as they take.
const SESSION: &str = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; \
     SET maintenance_work_mem = '128MB'";
/// A connection that is set up, on a runtime of its own.
struct Link {
    runtime: Runtime,
    conn: Conn,
    /// Keeps servers out.
    _guard: Conn,
}

impl Link {
    /// Connects, brings the schema up to date, and keeps servers out from now on.
    fn open(url: &str) -> Result<Link> {
        let connector = Connector::of_url("storage.url", url)?;
        let runtime = runtime()?;
        let (conn, guard) = runtime.block_on(async {
            let (mut conn, guard) = connector.connect_first(1).await?;
            migrations::run(&mut conn, &guard).await?;
            let doing = |e| error::of("looking who uses the database", e);
            conn.script(SESSION).await.map_err(doing)?;
            let is_alone = in_use::keep_servers_out(&guard).await.map_err(doing)?;
            let user = if is_alone {
                in_use::by_server(&conn).await.map_err(doing)?
            } else {
                Some(OTHER.to_owned())
            };
            match user {
                None => Ok((conn, guard)),
                Some(user) => Err(StoreError::Refused {
                    what: format!(
                        "{user} uses the database in storage.url: stop it first, and all other nodes"
                    ),
                }),
            }
        })?;
        Ok(Link { runtime, conn, _guard: guard })
    }

    /// No server has come meanwhile.
    fn is_still_alone(&self) -> Result<()> {
        let user = self.runtime.block_on(in_use::by_server(&self.conn));
        match user.map_err(|e| error::of("looking who uses the database", e))? {
            None => Ok(()),
            Some(user) => Err(StoreError::Refused {
                what: format!("{user} was started meanwhile. Stop it, and run this again"),
            }),
        }
    }

    fn count(&self) -> Result<Vec<u64>> {
        let count = async {
            let mut counts = Vec::with_capacity(TABLES.len());
            for table in TABLES.iter() {
                let sql = format!("SELECT count(*) AS count FROM ({}) t", select(table));
                counts.push(self.conn.row(&sql, &[]).await?.num("count")?);
            }
            Ok(counts)
        };
        self.runtime.block_on(count).map_err(|e| error::of(READING, e))
    }

    fn read(&self, table: &Table, each: &mut dyn FnMut(Cells) -> Result<()>) -> Result<()> {
        let failed = |e| error::of(READING, e);
        let sql = format!("COPY ({}) TO STDOUT (FORMAT binary)", select(table));
        let stream = self.runtime.block_on(self.conn.copy_out(&sql));
        let mut stream = Box::pin(stream.map_err(|e| failed(e.into()))?);
        let mut rows = copy::Rows::default();
        while let Some(piece) = self.runtime.block_on(stream.next()) {
            rows.add(&piece.map_err(|e| failed(e.into()))?);
            while let Some(row) = rows.next(table).map_err(failed)? {
                each(row)?;
            }
        }
        Ok(())
    }
}

/// Another move, or a change of the key.
const OTHER: &str = "another postrider command";

/// The query for the rows of a table.
fn select(table: &Table) -> String {
    let names = table.names();
    match table.name {
        // SQLite keeps the event of a key for as long as the key; here the key has what it needs of it.
        "events" => format!(
            "SELECT {names} FROM events UNION ALL SELECT DISTINCT ON (i.event) i.event, i.event_uid, i.app, i.type, \
             i.event_at, i.deliveries, i.filtered, NULL::bigint, NULL::bigint, 'client', i.resource_id, NULL::bytea \
             FROM idempotency i WHERE NOT EXISTS (SELECT 1 FROM events v WHERE v.id = i.event)"
        ),
        "inbound_seen" => format!(
            "SELECT {names} FROM inbound_seen s WHERE EXISTS (SELECT 1 FROM events v WHERE v.id = s.event)"
        ),
        "meta" => format!("SELECT {names} FROM meta WHERE name = 'clock'"),
        name => format!("SELECT {names} FROM {name}"),
    }
}

/// Keeps servers out of a database for as long as it lives.
pub(crate) struct PostgresGuard {
    _link: Link,
}

impl PostgresGuard {
    /// Refuses a database that a server uses.
    pub(crate) fn take(url: &str) -> Result<PostgresGuard> {
        Ok(PostgresGuard { _link: Link::open(url)? })
    }
}

/// A database that is read, in one snapshot.
pub(crate) struct PostgresSource(Link);

impl PostgresSource {
    /// Begins to read.
    pub(crate) fn open(url: &str) -> Result<PostgresSource> {
        let link = Link::open(url)?;
        let begin = async {
            refuse_half(&link.conn).await?;
            folding::fold(&link.conn).await.map_err(|e| error::of("adding up counts", e))?;
            let sql = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
            link.conn.script(sql).await.map_err(|e| error::of(READING, e))
        };
        link.runtime.block_on(begin)?;
        Ok(PostgresSource(link))
    }
}

/// Refuses a database that is half filled.
pub(crate) async fn refuse_half(conn: &Conn) -> Result<()> {
    match is_marked(conn).await {
        Ok(false) => Ok(()),
        Ok(true) => Err(StoreError::Refused { what: HALF_FILLED.to_owned() }),
        Err(e) => Err(error::of("looking whether the database is complete", e)),
    }
}

/// Refuses a database that is being moved elsewhere.
pub(crate) async fn refuse_moving(conn: &Conn) -> Result<()> {
    match in_use::by_move(conn).await {
        Ok(false) => Ok(()),
        Ok(true) => Err(StoreError::Refused { what: in_use::BY_COMMAND.to_owned() }),
        Err(e) => Err(error::of("looking who uses the database", e)),
    }
}

async fn is_marked(conn: &Conn) -> DbResult<bool> {
    Ok(conn.row_opt("SELECT 1 AS one FROM meta WHERE name = $1", &[&MARK]).await?.is_some())
}

impl TransferSource for PostgresSource {
    fn count(&mut self) -> Result<Vec<u64>> {
        self.0.count()
    }

    fn read(&mut self, table: usize, each: &mut dyn FnMut(Cells) -> Result<()>) -> Result<()> {
        self.0.read(&TABLES[table], each)
    }
}

/// Where rows go.
struct Sink {
    table: usize,
    /// The table of the database.
    name: &'static str,
    sink: Pin<Box<CopyInSink<Bytes>>>,
    piece: BytesMut,
}

/// A database that is filled.
pub(crate) struct PostgresTarget {
    link: Link,
    partitions: Partitions,
    sink: Option<Sink>,
}

impl PostgresTarget {
    /// Empties a database that has nothing in it or that was half filled.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when there is something in it.
    pub(crate) fn create(url: &str, now: Timestamp) -> Result<PostgresTarget> {
        let link = Link::open(url)?;
        let partitions = Partitions::default();
        let begin = async {
            if let Some(table) = filled(&link.conn).await? {
                return Ok(Some(table));
            }
            link.conn
                .script(&format!("INSERT INTO meta VALUES ('{MARK}', 1) ON CONFLICT DO NOTHING"))
                .await?;
            empty(&link.conn, &partitions, now).await?;
            Ok(None)
        };
        match link.runtime.block_on(begin).map_err(|e| error::of("emptying the database", e))? {
            None => Ok(PostgresTarget { link, partitions, sink: None }),
            Some(table) => Err(StoreError::Refused {
                what: format!(
                    "the database in storage.url is not empty ({table}): everything is moved into an empty place \
                     only. Create another database and name it there"
                ),
            }),
        }
    }

    /// Which table a row belongs to.
    fn place(&self, table: &Table, row: &[Cell]) -> &'static str {
        let is_old = row.first().is_some_and(|id| id.number() < ids::TIMELY_FROM);
        match table.name {
            "log" if is_old => "log_old",
            "events" if is_old => "events_old",
            name => name,
        }
    }

    fn put(&mut self, at: usize, row: &[Cell]) -> DbResult<()> {
        let table = &TABLES[at];
        let name = self.place(table, row);
        if self.sink.as_ref().is_none_or(|sink| sink.name != name) {
            self.end_sink()?;
            self.begin_sink(at, name)?;
        }
        if matches!(name, "log" | "events") {
            self.see_to_partition(row)?;
        }
        let sink = self.sink.as_mut().ok_or_else(|| fault("there is no place for rows"))?;
        copy::put_row(&mut sink.piece, table, row);
        if sink.piece.len() >= PIECE {
            let piece = sink.piece.split().freeze();
            self.link.runtime.block_on(sink.sink.send(piece))?;
        }
        Ok(())
    }

    fn begin_sink(&mut self, table: usize, name: &'static str) -> DbResult<()> {
        let sql = format!("COPY {name} ({}) FROM STDIN (FORMAT binary)", TABLES[table].names());
        let sink = Box::pin(self.link.runtime.block_on(self.link.conn.copy_in::<_, Bytes>(&sql))?);
        let mut piece = BytesMut::with_capacity(PIECE);
        copy::put_head(&mut piece);
        self.sink = Some(Sink { table, name, sink, piece });
        Ok(())
    }

    fn end_sink(&mut self) -> DbResult<()> {
        let Some(mut sink) = self.sink.take() else { return Ok(()) };
        copy::put_end(&mut sink.piece);
        self.link.runtime.block_on(async {
            sink.sink.send(sink.piece.freeze()).await?;
            sink.sink.as_mut().finish().await
        })?;
        Ok(())
    }

    /// The partition of a row with a timely id. It is made between two copies.
    fn see_to_partition(&mut self, row: &[Cell]) -> DbResult<()> {
        let id = row.first().map_or(0, Cell::number);
        if self.partitions.has_place_for(id) {
            return Ok(());
        }
        let Some((table, name)) = self.sink.as_ref().map(|sink| (sink.table, sink.name)) else {
            return Ok(());
        };
        self.end_sink()?;
        let made = self.link.runtime.block_on(async {
            self.link.conn.script("BEGIN").await?;
            self.partitions.ensure(&self.link.conn, id).await?;
            self.link.conn.script("COMMIT").await
        });
        made?;
        self.begin_sink(table, name)
    }
}

/// A table that has rows, of those that count.
async fn filled(conn: &Conn) -> DbResult<Option<&'static str>> {
    if is_marked(conn).await? {
        return Ok(None);
    }
    if conn.row_opt("SELECT 1 AS one FROM apps OFFSET 1 LIMIT 1", &[]).await?.is_some() {
        return Ok(Some("apps"));
    }
    for table in COUNTED {
        let sql = format!("SELECT 1 AS one FROM {table} LIMIT 1");
        if !conn.query(&sql, &[]).await?.is_empty() {
            return Ok(Some(table));
        }
    }
    Ok(None)
}

/// Empties all tables but the schema's own and the nodes', and makes `log_old` and `events_old` tables of their own,
/// without indexes.
async fn empty(conn: &Conn, partitions: &Partitions, now: Timestamp) -> DbResult<()> {
    let names: Vec<&str> = TABLES.iter().map(|table| table.name).filter(|name| *name != "meta").collect();
    let (names, added) = (names.join(", "), folding::ADDED.join(", "));
    conn.script(&format!("TRUNCATE {names}, {added}, seals RESTART IDENTITY")).await?;
    conn.script("DELETE FROM meta WHERE name = 'clock'").await?;
    // The first partitions say where those end that reach back.
    conn.script("BEGIN").await?;
    partitions.refresh(conn).await?;
    partitions.ensure(conn, ids::first_at(now)).await?;
    conn.script("COMMIT").await?;
    for parent in Parent::ALL {
        let table = parent.name();
        let detach = format!("ALTER TABLE {table} DETACH PARTITION {table}_old");
        if partitions.of(parent).iter().any(|partition| partition.from == i64::MIN) {
            conn.script(&detach).await?;
        }
        conn.script(&format!(
            "DROP TABLE IF EXISTS {table}_old; \
             CREATE TABLE {table}_old (LIKE {table} INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING STORAGE)"
        ))
        .await?;
    }
    partitions.refresh(conn).await
}

/// Makes `log_old` and `events_old` partitions again, and has numbers go on behind those that are there.
async fn settle(conn: &Conn, partitions: &Partitions) -> DbResult<()> {
    partitions.refresh(conn).await?;
    for parent in Parent::ALL {
        let table = parent.name();
        let known = partitions.of(parent);
        let first = known.first().ok_or_else(|| fault(format!("{table} has no partition")))?;
        if first.from != i64::MIN {
            let to = first.from;
            conn.script(&format!(
                "ALTER TABLE {table} ATTACH PARTITION {table}_old FOR VALUES FROM (MINVALUE) TO ('{to}')"
            ))
            .await?;
        }
    }
    for table in TABLES.iter() {
        let Some(column) = numbered(table.name) else { continue };
        conn.script(&format!(
            "SELECT setval(pg_get_serial_sequence('{name}', '{column}'), \
             greatest((SELECT max({column}) FROM {name}), 1), \
             EXISTS (SELECT 1 FROM {name}))",
            name = table.name
        ))
        .await?;
    }
    conn.script("ANALYZE").await?;
    partitions.refresh(conn).await
}

/// The column that the database numbers.
fn numbered(table: &str) -> Option<&'static str> {
    match table {
        "keys" => Some("seq"),
        "apps" | "users" | "sessions" | "activity" | "alert_targets" | "endpoints" | "sources"
        | "event_types" | "inbound" | "jobs" => Some("id"),
        _ => None,
    }
}

impl TransferSource for PostgresTarget {
    fn count(&mut self) -> Result<Vec<u64>> {
        self.link.count()
    }

    fn read(&mut self, table: usize, each: &mut dyn FnMut(Cells) -> Result<()>) -> Result<()> {
        self.link.read(&TABLES[table], each)
    }
}

impl TransferTarget for PostgresTarget {
    fn write(&mut self, batch: Batch) -> Result<()> {
        let mut put = || batch.rows.iter().try_for_each(|row| self.put(batch.table, row));
        put().map_err(|e| error::of(FILLING, e))
    }

    fn settle(&mut self) -> Result<()> {
        let failed = |e| error::of("making the indexes", e);
        self.end_sink().map_err(failed)?;
        self.link.runtime.block_on(settle(&self.link.conn, &self.partitions)).map_err(failed)
    }

    fn complete(&mut self) -> Result<()> {
        self.link.is_still_alone()?;
        let sql = format!("DELETE FROM meta WHERE name = '{MARK}'");
        let done = self.link.runtime.block_on(self.link.conn.script(&sql));
        done.map_err(|e| error::of("completing the database", e))
    }
}
