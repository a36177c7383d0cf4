//! Moving everything from one backend to another: the tables as both sides see them, row by row.
//!
//! A row crosses in one *canonical form*: the columns of [`TABLES`] in their order, whatever tables and types a backend
//! keeps them in. What is copied is compared by it: [`TableSum`] counts the rows of a table and adds up their hashes,
//! in whatever order they come.

use std::sync::LazyLock;

use sha2::{Digest as _, Sha256};

/// The name in `meta` of the mark of a target that is not complete. Servers and commands refuse such a database.
pub(crate) const MARK: &str = "moving_in";
/// Why they do.
pub(crate) const HALF_FILLED: &str = "the database is half filled, because postrider migrate-storage was interrupted. Run \
     it again: it empties the database and begins again";
/// Rows that cross together, and about how many bytes.
pub(crate) const BATCH_ROWS: usize = 2_000;
pub(crate) const BATCH_BYTES: usize = 4 << 20;
/// Batches that may be on their way.
pub(crate) const BATCHES: usize = 4;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cell {
    Null,
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

impl Cell {
    /// The number in it; 0: there is none.
    pub(crate) fn number(&self) -> i64 {
        if let Cell::Int(number) = self { *number } else { 0 }
    }

    fn bytes(&self) -> usize {
        match self {
            Cell::Null | Cell::Int(_) => 8,
            Cell::Text(text) => text.len(),
            Cell::Bytes(bytes) => bytes.len(),
        }
    }
}

/// A row: its columns in the order of its table's.
pub(crate) type Cells = Vec<Cell>;

/// About how many bytes a row takes.
pub(crate) fn size_of(row: &[Cell]) -> usize {
    row.iter().map(Cell::bytes).sum()
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Int,
    /// A number below 2^15.
    Small,
    /// 0 or 1.
    Bool,
    Text,
    Bytes,
    Uuid,
}

/// A column in the canonical form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
}

/// A table in the canonical form.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) columns: Vec<Column>,
}

impl Table {
    /// The names of its columns, separated by commas.
    pub(crate) fn names(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|column| column.name).collect();
        names.join(", ")
    }

    /// Where a column is.
    pub(crate) fn at(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }
}

/// How many rows a table has, and the sum of their hashes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TableSum {
    pub(crate) rows: u64,
    sum: u128,
}

impl TableSum {
    /// Adds a row.
    pub(crate) fn add(&mut self, row: &[Cell]) {
        let mut hash = Sha256::new();
        for cell in row {
            let (tag, bytes): (u8, &[u8]) = match cell {
                Cell::Null => (0, &[]),
                Cell::Int(number) => (1, &number.to_be_bytes()),
                Cell::Text(text) => (2, text.as_bytes()),
                Cell::Bytes(bytes) => (3, bytes),
            };
            hash.update([tag]);
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        }
        let hash: [u8; 32] = hash.finalize().into();
        let (half, _) = hash.split_at(16);
        self.sum = self.sum.wrapping_add(half.iter().fold(0, |sum, byte| sum << 8 | u128::from(*byte)));
        self.rows += 1;
    }

    /// The sum as text.
    pub(crate) fn checksum(&self) -> String {
        format!("{:032x}", self.sum)
    }
}

/// Tables and their columns, as `name:kind`: i a number, s a small one, b a truth value, t text, x bytes, u a UUID. A
/// table comes behind those that its rows refer to.
const TEXT: &[(&str, &str)] = &[
    ("apps", "id:i uid:u name:t created_at:i"),
    ("result_seqs", "app:i result_seq:i"),
    (
        "keys",
        "seq:i id:t app:i name:t scopes:t secret_hash:x created_at:i expires_at:i revoked_at:i last_used_at:i",
    ),
    ("users", "id:i uid:u email:t role:t password_hash:t created_at:i last_sign_in_at:i"),
    ("sessions", "id:i uid:u token_hash:x user_id:i address:t user_agent:t created_at:i last_seen_at:i"),
    ("setup_links", "token_hash:x expires_at:i"),
    ("activity", "id:i kind:t app:i actor:t address:t summary:t details:t created_at:i"),
    (
        "alert_targets",
        "id:i uid:u name:t form:t url:x host:t token:x kinds:t queue_age:t disk_free_mib:i silent_after:t smtp:t \
         enabled:b created_at:i updated_at:i tried_at:i tried_kind:t tried_error:t",
    ),
    ("alerts_told", "target:i kind:t subject:t mark:t told_at:i"),
    (
        "endpoints",
        "id:i uid:u app:i shard:s status:t status_since:i status_reason:t disabled_at:i deleted_at:i url:t name:t \
         description:t events:t filter:t filter_error:t filter_error_at:i headers:t request:t secrets:t encrypted:b \
         retry_schedule:t rate_limit:i rate_text:t timeout:t contact:t preset:t secret:x retired_secrets:t \
         consecutive_failures:i hold_reason:t hold_since:i hold_probe_at:i hold_step:i row_failures:i row_first_at:i \
         row_last_at:i limited:i failed_since:i is_announced:b failure_kind:t failure_status:i failure_message:t \
         created_at:i updated_at:i",
    ),
    ("contacts_told", "endpoint:i kind:t mark:t told_at:i"),
    (
        "sources",
        "id:i uid:u app:i name:t enabled:b token_hash:x token:x old_token_hash:x old_token_until:i verify:x settings:t \
         preset:t last_request_at:i deleted_at:i created_at:i updated_at:i",
    ),
    ("event_types", "id:i app:i name:t count:i last_seen_at:i"),
    (
        "events",
        "id:i uid:u app:i type:i created_at:i deliveries:i filtered:i source:i hops:i origin:t resource_id:t payload:x",
    ),
    (
        "inbound",
        "id:i source:i outcome:t received_at:i event:i status:i client_ip:t method:t path:t reason:t size:i headers:t \
         query:t body:x content:t",
    ),
    ("inbound_seen", "source:i digest:x event:i event_uid:u created_at:i"),
    ("inbound_hours", "source:i hour:i accepted:i duplicate:i ignored:i rejected:i"),
    (
        "idempotency",
        "app:i key:t event:i event_uid:u type:i resource_id:t deliveries:i filtered:i event_at:i digest:x created_at:i",
    ),
    ("fan_outs", "event:i app:i endpoints:x next:i"),
    (
        "jobs",
        "id:i uid:u app:i kind:t status:t work:t walking:b walk_to:i walked_at:i walked_id:i matched:i queued:i \
         delivered:i exhausted:i cancelled:i created_at:i",
    ),
    (
        "queue",
        "id:i first_id:i app:i endpoint:i event:i type:i class:i created_at:i begun_at:i due_at:i job:i held_since:i \
         local_since:i last_outcome:i attempt:i schedule_used:i shard:s urgent:b trigger:t error_kind:t error_message:t",
    ),
    (
        "log",
        "id:i first_id:i app:i endpoint:i event:i type:i class:i created_at:i begun_at:i due_at:i result_seq:i \
         attempted_at:i finished_at:i response_time_ms:i job:i held_since:i last_outcome:i attempt:i schedule_used:i \
         response_status:i dns_ms:i connect_ms:i tls_ms:i first_byte_ms:i response_truncated:b status:t trigger:t \
         error_kind:t error_message:t remote_address:t request_method:t request_url:t request_headers:t \
         response_headers:t request_body:x response_body:x",
    ),
    (
        "totals",
        "endpoint:i deliveries:i delivered:i exhausted:i pending:i cancelled:i failed_attempts:i response_count:i \
         response_ms_sum:i response_ms_min:i response_ms_max:i last_attempted_at:i record:t",
    ),
    ("total_times", "endpoint:i bucket:i count:i"),
    ("total_errors", "endpoint:i error_kind:t response_status:i count:i last_message:t last_at:i"),
    (
        "rollups",
        "endpoint:i hour:i delivered:i exhausted:i failed_attempts:i response_ms_sum:i deliveries:i \
         failed_deliveries:i response_count:i ended_exhausted:i",
    ),
    ("rollup_times", "endpoint:i hour:i bucket:i count:i"),
    ("rollup_statuses", "endpoint:i hour:i class:t count:i"),
    (
        "minutes",
        "endpoint:i minute:i delivered:i exhausted:i failed_attempts:i response_ms_sum:i deliveries:i \
         failed_deliveries:i response_count:i ended_exhausted:i",
    ),
    ("minute_times", "endpoint:i minute:i bucket:i count:i"),
    // Without the check value of the encryption key, which belongs to the place.
    ("settings", "name:t value:t"),
    ("meta", "name:t value:i"),
];

/// What a database holds besides its schema, and besides what belongs to the place: nodes, leases, the check value.
pub(crate) static TABLES: LazyLock<Vec<Table>> = LazyLock::new(|| {
    let kind = |letter: &str| match letter {
        "i" => Kind::Int,
        "s" => Kind::Small,
        "b" => Kind::Bool,
        "x" => Kind::Bytes,
        "u" => Kind::Uuid,
        _ => Kind::Text,
    };
    let column = |text: &'static str| {
        let (name, letter) = text.split_once(':').unwrap_or((text, "t"));
        Column { name, kind: kind(letter) }
    };
    let table = |(name, columns): &(&'static str, &'static str)| Table {
        name,
        columns: columns.split_ascii_whitespace().map(column).collect(),
    };
    TEXT.iter().map(table).collect()
});

/// Whether a target may be filled: these tables count. A server that was started once has its first app, settings, and
/// entries in the activity log.
pub(crate) const COUNTED: [&str; 9] =
    ["keys", "users", "endpoints", "sources", "events", "queue", "log", "jobs", "alert_targets"];

/// Rows of one table on their way.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Where in [`TABLES`].
    pub(crate) table: usize,
    pub(crate) rows: Vec<Cells>,
}

/// Collects rows into batches of a bounded size.
#[derive(Debug)]
pub(crate) struct Batches {
    table: usize,
    rows: Vec<Cells>,
    bytes: usize,
}

impl Batches {
    pub(crate) fn of(table: usize) -> Batches {
        Batches { table, rows: Vec::new(), bytes: 0 }
    }

    /// Adds a row; a batch once there are enough.
    pub(crate) fn add(&mut self, row: Cells) -> Option<Batch> {
        self.bytes += size_of(&row);
        self.rows.push(row);
        (self.rows.len() >= BATCH_ROWS || self.bytes >= BATCH_BYTES).then(|| self.take())
    }

    /// What is left.
    pub(crate) fn take(&mut self) -> Batch {
        self.bytes = 0;
        Batch { table: self.table, rows: std::mem::take(&mut self.rows) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_a_table_does_not_depend_on_the_order_but_on_every_value() {
        let row = |number: i64, text: &str| vec![Cell::Int(number), Cell::Text(text.to_owned()), Cell::Null];
        let sum = |rows: &[Cells]| {
            let mut sum = TableSum::default();
            rows.iter().for_each(|row| sum.add(row));
            sum
        };
        let (one, two) = (row(1, "a"), row(2, "b"));
        assert_eq!(sum(&[one.clone(), two.clone()]), sum(&[two.clone(), one.clone()]));
        assert_ne!(sum(&[row(1, "a")]), sum(&[row(1, "b")]));
        assert_ne!(sum(&[row(1, "a")]), sum(&[one.clone(), one.clone()]));
        assert_ne!(
            sum(&[vec![Cell::Text("ab".into()), Cell::Null]]),
            sum(&[vec![Cell::Null, Cell::Text("ab".into())]])
        );
        assert_eq!(sum(&[one, two]).rows, 2);
    }

    #[test]
    fn batches_are_bounded() {
        let mut batches = Batches::of(3);
        let large = || vec![Cell::Bytes(vec![0; BATCH_BYTES])];
        assert_eq!(batches.add(large()).map(|batch| (batch.table, batch.rows.len())), Some((3, 1)));
        assert!((1..BATCH_ROWS).all(|_| batches.add(vec![Cell::Int(1)]).is_none()));
        assert_eq!(batches.add(vec![Cell::Int(1)]).map(|batch| batch.rows.len()), Some(BATCH_ROWS));
        assert!(batches.take().rows.is_empty());
    }
}
