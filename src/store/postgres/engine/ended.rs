//! Attempts that a group of commands has ended, on their way into the log. They are written together, at the end of the
//! group: their places in the order of their app's results are numbered under a lock of one row for each app, which
//! is to be held for as short as can be.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bytes::Bytes;
use futures_util::future::try_join;

use crate::domain::attempts::attempt::{AttemptStatus, ErrorKind, Trigger};
use crate::domain::{AttemptId, Timestamp};
use crate::store::postgres::engine::conn::{Conn, Params, Statements as _};
use crate::store::postgres::engine::error::{DbResult, fault};
use crate::store::postgres::engine::partitions::Partitions;
use crate::store::postgres::engine::rows::{AppRow, EndpointRow, EventRow, JobRow, TypeRow, num, opt_num};
use crate::store::shared::class::{Class, ClassParts};

/// A row of the log. The columns of the same names; `None` is NULL.
#[derive(Debug, Clone)]
pub(crate) struct LogRow {
    pub(crate) id: AttemptId,
    pub(crate) first_id: Option<AttemptId>,
    pub(crate) app: AppRow,
    pub(crate) endpoint: EndpointRow,
    pub(crate) event: EventRow,
    pub(crate) kind: TypeRow,
    pub(crate) created_at: Timestamp,
    pub(crate) begun_at: Timestamp,
    pub(crate) due_at: Timestamp,
    pub(crate) attempted_at: Option<Timestamp>,
    pub(crate) finished_at: Option<Timestamp>,
    pub(crate) response_time_ms: Option<u32>,
    pub(crate) job: Option<JobRow>,
    pub(crate) held_since: Option<Timestamp>,
    pub(crate) last_outcome: Option<i64>,
    pub(crate) attempt: u32,
    pub(crate) schedule_used: Option<i64>,
    pub(crate) response_status: Option<u16>,
    pub(crate) status: AttemptStatus,
    pub(crate) trigger: Trigger,
    pub(crate) error_kind: Option<ErrorKind>,
    pub(crate) error_message: Option<String>,
    pub(crate) details: LogDetails,
}

/// What only the detail of a row shows.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogDetails {
    pub(crate) dns_ms: Option<u32>,
    pub(crate) connect_ms: Option<u32>,
    pub(crate) tls_ms: Option<u32>,
    pub(crate) first_byte_ms: Option<u32>,
    pub(crate) remote_address: Option<String>,
    pub(crate) request_method: Option<String>,
    pub(crate) request_url: Option<String>,
    pub(crate) request_headers: Option<String>,
    pub(crate) request_body: Option<Bytes>,
    pub(crate) response_headers: Option<String>,
    pub(crate) response_truncated: Option<bool>,
    pub(crate) response_body: Option<Vec<u8>>,
}

impl LogRow {
    /// What filters ask for.
    pub(crate) fn class(&self) -> Class {
        Class::of(ClassParts {
            kind: self.kind,
            status: self.status,
            trigger: self.trigger,
            error_kind: self.error_kind,
            created_at: self.created_at,
            attempted_at: self.attempted_at,
            response_time_ms: self.response_time_ms,
            response_status: self.response_status,
            last_outcome: self.last_outcome,
        })
    }
}

/// Rows of the open transaction.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    rows: Vec<LogRow>,
    /// How many of them are in the table.
    written: usize,
}

/// A place to go back to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EndedMark {
    rows: usize,
    written: usize,
}

impl Ended {
    /// Takes a row for the log. It must be in the queue no more.
    pub(crate) fn push(&mut self, row: LogRow) {
        self.rows.push(row);
    }

    /// The present state.
    pub(crate) fn mark(&self) -> EndedMark {
        EndedMark { rows: self.rows.len(), written: self.written }
    }

    /// Forgets what came since a mark, because it was undone.
    pub(crate) fn undo_to(&mut self, mark: EndedMark) {
        self.rows.truncate(mark.rows);
        self.written = mark.written;
    }

    /// Forgets everything: the transaction is over.
    pub(crate) fn clear(&mut self) {
        self.rows.clear();
        self.written = 0;
    }

    /// Whether everything is in the table.
    pub(crate) fn is_written(&self) -> bool {
        self.written == self.rows.len()
    }

    /// Writes what is not in the table yet.
    pub(crate) async fn write(&mut self, conn: &Conn, partitions: &Partitions) -> DbResult<()> {
        if !self.is_written() {
            self.prepare(conn, partitions).await?;
            insert(conn, &self.rows[self.written..]).await?;
            self.written = self.rows.len();
        }
        Ok(())
    }

    /// Writes what is not in the table yet, and commits. Both are sent together, so that the lock of the positions is
    /// not held while this node is waited for.
    pub(crate) async fn write_and_commit(&mut self, conn: &Conn, partitions: &Partitions) -> DbResult<()> {
        let commit = conn.script("COMMIT");
        if self.is_written() {
            return commit.await;
        }
        self.prepare(conn, partitions).await?;
        // If the first one fails, the server rolls back instead.
        try_join(insert(conn, &self.rows[self.written..]), commit).await?;
        self.written = self.rows.len();
        Ok(())
    }

    /// Afterwards there are a partition for each row, and a statement that is sent at once.
    async fn prepare(&self, conn: &Conn, partitions: &Partitions) -> DbResult<()> {
        // That of a row that was pending for long may have been dropped.
        for row in &self.rows[self.written..] {
            partitions.ensure(conn, row.id.0).await?;
        }
        conn.prepare_cached(&INSERT).await?;
        Ok(())
    }
}

/// The columns of a row, in the order of the statement's values: `name type`.
const COLUMNS: &[(&str, &str)] = &[
    ("id", "bigint"),
    ("first_id", "bigint"),
    ("app", "bigint"),
    ("endpoint", "bigint"),
    ("event", "bigint"),
    ("type", "bigint"),
    ("class", "bigint"),
    ("created_at", "bigint"),
    ("begun_at", "bigint"),
    ("due_at", "bigint"),
    ("result_seq", "bigint"),
    ("attempted_at", "bigint"),
    ("finished_at", "bigint"),
    ("response_time_ms", "bigint"),
    ("job", "bigint"),
    ("held_since", "bigint"),
    ("last_outcome", "bigint"),
    ("attempt", "bigint"),
    ("schedule_used", "bigint"),
    ("response_status", "bigint"),
    ("dns_ms", "bigint"),
    ("connect_ms", "bigint"),
    ("tls_ms", "bigint"),
    ("first_byte_ms", "bigint"),
    ("response_truncated", "boolean"),
    ("status", "text"),
    ("trigger", "text"),
    ("error_kind", "text"),
    ("error_message", "text"),
    ("remote_address", "text"),
    ("request_method", "text"),
    ("request_url", "text"),
    ("request_headers", "text"),
    ("response_headers", "text"),
    ("request_body", "bytea"),
    ("response_body", "bytea"),
];

/// The statement that numbers rows and inserts them, each column as an array. `result_seq` counts within the rows of
/// an app; apps and how many rows they have come behind the columns. Apps are locked in the order of their numbers, so
/// that nodes never wait for each other in a circle. A row without a number violates NOT NULL, so that the commit which
/// is sent with it rolls back.
static INSERT: LazyLock<String> = LazyLock::new(|| {
    let names: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
    let arrays: Vec<String> =
        COLUMNS.iter().enumerate().map(|(at, (_, kind))| format!("${}::{kind}[]", at + 1)).collect();
    let value = |name: &&str| match *name {
        "result_seq" => "n.before + r.result_seq".to_owned(),
        name => format!("r.{name}"),
    };
    let values = names.iter().map(value).collect::<Vec<_>>().join(", ");
    let (names, arrays, apps, counts) =
        (names.join(", "), arrays.join(", "), COLUMNS.len() + 1, COLUMNS.len() + 2);
    format!(
        "WITH locked AS MATERIALIZED ( \
             SELECT app FROM result_seqs WHERE app = ANY(${apps}::bigint[]) ORDER BY app FOR NO KEY UPDATE), \
         numbered AS (UPDATE result_seqs s SET result_seq = s.result_seq + c.count \
             FROM unnest(${apps}::bigint[], ${counts}::bigint[]) AS c (app, count) \
             WHERE s.app = c.app AND s.app IN (SELECT app FROM locked) \
             RETURNING s.app, s.result_seq - c.count AS before) \
         INSERT INTO log ({names}) SELECT {values} FROM unnest({arrays}) AS r ({names}) \
         LEFT JOIN numbered n ON n.app = r.app"
    )
});

async fn insert(conn: &Conn, rows: &[LogRow]) -> DbResult<()> {
    let mut apps: BTreeMap<AppRow, i64> = BTreeMap::new();
    let mut next = |app: AppRow| {
        let seq = apps.entry(app).or_default();
        *seq += 1;
        *seq
    };
    let seqs: Vec<i64> = rows.iter().map(|row| next(row.app)).collect();
    let (apps, counts): (Vec<AppRow>, Vec<i64>) = apps.into_iter().unzip();
    /// A column as an array.
    fn all<'a, T>(rows: &'a [LogRow], value: impl Fn(&'a LogRow) -> T) -> Vec<T> {
        rows.iter().map(value).collect()
    }
    let details = |value: fn(&LogDetails) -> Option<u32>| all(rows, move |row| opt_num(value(&row.details)));
    let values: Params<'_> = &[
        &all(rows, |row| row.id),
        &all(rows, |row| row.first_id),
        &all(rows, |row| row.app),
        &all(rows, |row| row.endpoint),
        &all(rows, |row| row.event),
        &all(rows, |row| row.kind),
        &all(rows, |row| row.class().0),
        &all(rows, |row| row.created_at),
        &all(rows, |row| row.begun_at),
        &all(rows, |row| row.due_at),
        &seqs,
        &all(rows, |row| row.attempted_at),
        &all(rows, |row| row.finished_at),
        &all(rows, |row| opt_num(row.response_time_ms)),
        &all(rows, |row| row.job),
        &all(rows, |row| row.held_since),
        &all(rows, |row| row.last_outcome),
        &all(rows, |row| num(row.attempt)),
        &all(rows, |row| row.schedule_used),
        &all(rows, |row| opt_num(row.response_status)),
        &details(|details| details.dns_ms),
        &details(|details| details.connect_ms),
        &details(|details| details.tls_ms),
        &details(|details| details.first_byte_ms),
        &all(rows, |row| row.details.response_truncated),
        &all(rows, |row| row.status),
        &all(rows, |row| row.trigger),
        &all(rows, |row| row.error_kind),
        &all(rows, |row| row.error_message.as_deref()),
        &all(rows, |row| row.details.remote_address.as_deref()),
        &all(rows, |row| row.details.request_method.as_deref()),
        &all(rows, |row| row.details.request_url.as_deref()),
        &all(rows, |row| row.details.request_headers.as_deref()),
        &all(rows, |row| row.details.response_headers.as_deref()),
        &all(rows, |row| row.details.request_body.as_deref()),
        &all(rows, |row| row.details.response_body.as_deref()),
        &apps,
        &counts,
    ];
    let inserted = conn.run(&INSERT, values).await?;
    if inserted == rows.len() as u64 { Ok(()) } else { Err(fault("the results of an app have no numbers")) }
}
