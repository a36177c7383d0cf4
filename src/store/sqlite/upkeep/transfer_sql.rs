//! How the tables of the canonical form stand in SQLite: statements that read and write their rows.

use crate::store::shared::transfer::Table;

/// How the rows of a table are read and written, where that differs from `SELECT` and `INSERT` of the same columns.
struct Differs {
    table: &'static str,
    from: &'static str,
    /// Columns that are made of something else.
    columns: &'static [(&'static str, &'static str)],
    /// Statements with the columns' names behind a colon, each with the columns of which one must say something (empty:
    /// always).
    writes: &'static [(&'static str, &'static [&'static str])],
}

const SHARD_OF: &str = "substr(e.uid, 16, 1)";

const DIFFERS: &[Differs] = &[
    Differs {
        table: "result_seqs",
        from: "apps",
        columns: &[("app", "id")],
        writes: &[("UPDATE apps SET result_seq = :result_seq WHERE id = :app", &[])],
    },
    Differs {
        table: "sessions",
        from: "sessions",
        columns: &[("user_id", "user")],
        writes: &[(
            "INSERT INTO sessions (id, uid, token_hash, user, address, user_agent, created_at, last_seen_at) \
             VALUES (:id, :uid, :token_hash, :user_id, :address, :user_agent, :created_at, :last_seen_at)",
            &[],
        )],
    },
    Differs {
        table: "inbound",
        from: "inbound LEFT JOIN inbound_details d ON d.inbound = inbound.id",
        columns: &[("headers", "coalesce(d.headers, '')")],
        writes: &[
            (
                "INSERT INTO inbound (id, source, outcome, received_at, event, status, client_ip, method, path, reason, \
                 size) VALUES (:id, :source, :outcome, :received_at, :event, :status, :client_ip, :method, :path, \
                 :reason, :size)",
                &[],
            ),
            (
                "INSERT INTO inbound_details (inbound, headers, query, body, content) \
                 VALUES (:id, :headers, :query, :body, :content)",
                &[],
            ),
        ],
    },
    Differs {
        table: "inbound_seen",
        from: "inbound_seen s JOIN events v ON v.id = s.event",
        columns: &[("created_at", "s.created_at"), ("source", "s.source"), ("event_uid", "v.uid")],
        writes: &[(
            "INSERT INTO inbound_seen (source, digest, event, created_at) \
             VALUES (:source, :digest, :event, :created_at)",
            &[],
        )],
    },
    Differs {
        table: "events",
        from: "events v LEFT JOIN event_extras x ON x.event = v.id",
        columns: &[("filtered", "coalesce(x.filtered, 0)"), ("source", "x.source"), ("hops", "x.hops")],
        writes: &[
            (
                "INSERT INTO events (id, uid, app, type, resource_id, origin, deliveries, created_at, payload) \
                 VALUES (:id, :uid, :app, :type, :resource_id, :origin, :deliveries, :created_at, :payload)",
                &[],
            ),
            (
                "INSERT INTO event_extras (event, source, hops, filtered) VALUES (:id, :source, :hops, :filtered)",
                &["source", "hops", "filtered"],
            ),
        ],
    },
    Differs {
        table: "idempotency",
        from: "idempotency i JOIN events v ON v.id = i.event LEFT JOIN event_extras x ON x.event = v.id",
        columns: &[
            ("app", "i.app"),
            ("event", "i.event"),
            ("event_uid", "v.uid"),
            ("filtered", "coalesce(x.filtered, 0)"),
            ("event_at", "v.created_at"),
            ("created_at", "i.created_at"),
        ],
        writes: &[(
            "INSERT INTO idempotency (app, key, event, digest, created_at) \
             VALUES (:app, :key, :event, :digest, :created_at)",
            &[],
        )],
    },
    Differs {
        table: "queue",
        from: "attempts t JOIN endpoints e ON e.id = t.endpoint LEFT JOIN attempts f ON f.id = t.first_id \
               WHERE t.status = 'pending'",
        columns: ATTEMPT_COLUMNS,
        writes: &[(
            "INSERT INTO attempts (id, first_id, app, endpoint, event, type, status, trigger, attempt, schedule_used, \
             created_at, due_at, error_kind, error_message, job, local_since, held_since, urgent, last_outcome) \
             VALUES (:id, :first_id, :app, :endpoint, :event, :type, 'pending', :trigger, :attempt, :schedule_used, \
             :created_at, :due_at, :error_kind, :error_message, :job, :local_since, :held_since, nullif(:urgent, 0), \
             :last_outcome)",
            &[],
        )],
    },
    Differs {
        table: "log",
        from: "attempts t LEFT JOIN attempts f ON f.id = t.first_id LEFT JOIN attempt_details d ON d.attempt = t.id \
               WHERE t.status <> 'pending'",
        columns: ATTEMPT_COLUMNS,
        writes: &[
            (
                "INSERT INTO attempts (id, first_id, app, endpoint, event, type, status, trigger, attempt, \
                 schedule_used, created_at, due_at, attempted_at, finished_at, response_status, response_time_ms, \
                 error_kind, error_message, job, result_seq, held_since, last_outcome) \
                 VALUES (:id, :first_id, :app, :endpoint, :event, :type, :status, :trigger, :attempt, :schedule_used, \
                 :created_at, :due_at, :attempted_at, :finished_at, :response_status, :response_time_ms, :error_kind, \
                 :error_message, :job, :result_seq, :held_since, :last_outcome)",
                &[],
            ),
            (
                "INSERT INTO attempt_details (attempt, request_url, request_headers, request_body, response_headers, \
                 response_truncated, response_body, remote_address, dns_ms, connect_ms, tls_ms, first_byte_ms, \
                 request_method) VALUES (:id, :request_url, :request_headers, :request_body, :response_headers, \
                 :response_truncated, :response_body, :remote_address, :dns_ms, :connect_ms, :tls_ms, :first_byte_ms, \
                 :request_method)",
                &[
                    "request_url",
                    "request_headers",
                    "request_body",
                    "response_headers",
                    "response_truncated",
                    "response_body",
                    "remote_address",
                    "dns_ms",
                    "connect_ms",
                    "tls_ms",
                    "first_byte_ms",
                    "request_method",
                ],
            ),
        ],
    },
    // The check value of the encryption key belongs to the place.
    Differs {
        table: "settings",
        from: "settings WHERE name <> 'encryption_key.check'",
        columns: &[],
        writes: &[],
    },
    Differs { table: "meta", from: "meta WHERE name = 'clock'", columns: &[], writes: &[] },
];

/// Of an attempt `t`, its first one `f`, its endpoint `e`.
const ATTEMPT_COLUMNS: &[(&str, &str)] = &[
    ("id", "t.id"),
    ("first_id", "t.first_id"),
    ("app", "t.app"),
    ("endpoint", "t.endpoint"),
    ("event", "t.event"),
    ("type", "t.type"),
    ("class", "t.class"),
    ("created_at", "t.created_at"),
    ("begun_at", "coalesce(f.created_at, t.created_at)"),
    ("due_at", "t.due_at"),
    ("result_seq", "coalesce(t.result_seq, 0)"),
    ("attempted_at", "t.attempted_at"),
    ("finished_at", "t.finished_at"),
    ("response_time_ms", "t.response_time_ms"),
    ("job", "t.job"),
    ("held_since", "t.held_since"),
    ("local_since", "t.local_since"),
    ("last_outcome", "t.last_outcome"),
    ("attempt", "t.attempt"),
    ("schedule_used", "t.schedule_used"),
    ("response_status", "t.response_status"),
    ("status", "t.status"),
    ("trigger", "t.trigger"),
    ("error_kind", "t.error_kind"),
    ("error_message", "t.error_message"),
    ("urgent", "coalesce(t.urgent, 0)"),
    ("shard", SHARD_OF),
];

fn differs(table: &Table) -> Option<&'static Differs> {
    DIFFERS.iter().find(|differs| differs.table == table.name)
}

/// The statement that reads a table.
pub(super) fn select(table: &Table) -> String {
    let differs = differs(table);
    let expression = |name: &'static str| {
        let own = differs.and_then(|differs| differs.columns.iter().find(|(of, _)| *of == name));
        match (own, table.name, name) {
            (Some((_, expression)), ..) => *expression,
            (None, "endpoints", "shard") => "substr(uid, 16, 1)",
            (None, ..) => name,
        }
    };
    let columns: Vec<&str> = table.columns.iter().map(|column| expression(column.name)).collect();
    format!("SELECT {} FROM {}", columns.join(", "), differs.map_or(table.name, |differs| differs.from))
}

/// The statement that counts the rows of a table.
pub(super) fn count(table: &Table) -> String {
    match table.name {
        // Without the joins, which leave no row out.
        "events" | "inbound" => format!("SELECT count(*) FROM {}", table.name),
        "queue" => "SELECT count(*) FROM attempts WHERE status = 'pending'".to_owned(),
        "log" => "SELECT (SELECT count(*) FROM attempts) - \
                  (SELECT count(*) FROM attempts WHERE status = 'pending')"
            .to_owned(),
        _ => format!("SELECT count(*) FROM {}", differs(table).map_or(table.name, |differs| differs.from)),
    }
}

/// A statement that writes a row: its text, the columns it takes in their order, and those of which one must say
/// something.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) sql: String,
    pub(super) values: Vec<usize>,
    pub(super) wanted: Vec<usize>,
}

/// The statements that write a row of a table.
pub(super) fn writes(table: &Table) -> Vec<Write> {
    let templates = differs(table).map_or(&[][..], |differs| differs.writes);
    if !templates.is_empty() {
        return templates.iter().map(|(template, wanted)| write(table, template, wanted)).collect();
    }
    let kept: Vec<&str> = table.columns.iter().map(|column| column.name).filter(|n| *n != "shard").collect();
    let values: Vec<String> = kept.iter().map(|name| format!(":{name}")).collect();
    let template = format!("INSERT INTO {} ({}) VALUES ({})", table.name, kept.join(", "), values.join(", "));
    vec![write(table, &template, &[])]
}

/// Puts numbers where the columns' names are.
fn write(table: &Table, template: &str, wanted: &[&str]) -> Write {
    let (mut sql, mut values) = (String::with_capacity(template.len()), Vec::new());
    let mut pieces = template.split(':');
    sql.extend(pieces.next());
    for piece in pieces {
        let end = piece.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap_or(piece.len());
        let (name, rest) = piece.split_at(end);
        values.extend(table.at(name));
        sql += &format!("?{}{rest}", values.len());
    }
    Write { sql, values, wanted: wanted.iter().filter_map(|name| table.at(name)).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::shared::transfer::TABLES;
    use crate::store::sqlite::engine::migrations;

    #[test]
    fn every_statement_fits_the_schema_and_every_column_is_written() {
        let mut conn = rusqlite::Connection::open_in_memory().unwrap();
        migrations::run(&mut conn).unwrap();
        for table in TABLES.iter() {
            let read = conn.prepare(&select(table)).unwrap_or_else(|e| panic!("{}: {e}", table.name));
            assert_eq!(read.column_count(), table.columns.len(), "{}", table.name);
            conn.prepare(&count(table)).unwrap_or_else(|e| panic!("{}: {e}", table.name));
            for write in writes(table) {
                let statement = conn.prepare(&write.sql).unwrap_or_else(|e| panic!("{}: {e}", write.sql));
                assert_eq!(statement.parameter_count(), write.values.len(), "{}", write.sql);
            }
        }
    }

    #[test]
    fn every_column_of_every_table_is_moved_or_is_known_not_to_be() {
        // What is computed, what follows from other rows, and what serves speed alone.
        const LEFT: &[&str] = &[
            "attempts.bulk",
            "attempts.class",
            "attempts.delivery",
            "attempts.next_retry_at",
            "apps.result_seq",
        ];
        const TABLES_LEFT: &[&str] = &["log_zones", "event_zones", "header_values", "sqlite_sequence"];
        let mut conn = rusqlite::Connection::open_in_memory().unwrap();
        migrations::run(&mut conn).unwrap();
        let text: String = TABLES.iter().flat_map(writes).map(|write| write.sql + "\n").collect();
        let sql = "SELECT t.name, c.name FROM sqlite_schema t JOIN pragma_table_xinfo(t.name) c \
                   WHERE t.type = 'table'";
        let mut columns = conn.prepare(sql).unwrap();
        let columns = columns.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        for found in columns {
            let (table, column): (String, String) = found.unwrap();
            let named = format!("INSERT INTO {table} (");
            let is_written = text.lines().any(|line| {
                line.split_once(&named)
                    .and_then(|(_, rest)| rest.split_once(')'))
                    .is_some_and(|(names, _)| names.split(", ").any(|name| name == column))
            });
            let is_left =
                TABLES_LEFT.contains(&table.as_str()) || LEFT.contains(&format!("{table}.{column}").as_str());
            assert!(is_written || is_left, "{table}.{column} is not moved");
        }
    }
}
