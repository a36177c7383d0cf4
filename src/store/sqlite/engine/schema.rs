//! Whether a database has the schema that the migrations create, and nothing else.
//!
//! A database file is a program as well: triggers and views in it run with the next statement. So a file from
//! elsewhere is compared with the migrations' own schema before anything in it is read.

use std::collections::BTreeMap;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, Row};

use crate::store::sqlite::engine::{error, migrations};
use crate::store::{Result, StoreError};

/// What a replication tool keeps beside ours; tables only.
const LITESTREAM: &str = "_litestream_";
/// SQLite's own tables.
const OF_SQLITE: [&str; 3] = ["sqlite_sequence", "sqlite_stat1", "sqlite_stat4"];

/// Takes from what is in the file the means to run anything: functions of the program are closed to its
/// triggers, views and defaults, and its schema cannot be written as text.
pub(crate) fn distrust(conn: &Connection) -> rusqlite::Result<()> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    Ok(())
}

/// Something in a schema.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Object {
    kind: String,
    name: String,
    table: String,
    /// `None`: an index that SQLite has made for a constraint.
    sql: Option<String>,
}

impl Object {
    fn read(row: &Row<'_>) -> rusqlite::Result<Object> {
        let sql: Option<String> = row.get("sql")?;
        Ok(Object {
            kind: row.get("type")?,
            name: row.get("name")?,
            table: row.get("tbl_name")?,
            // Only what separates words may differ.
            sql: sql.map(|sql| sql.split_ascii_whitespace().collect::<Vec<_>>().join(" ")),
        })
    }

    /// Whether it may be there although the migrations do not create it.
    fn is_harmless(&self, extra: Option<&str>) -> bool {
        let is_table = self.kind == "table";
        (is_table && self.name == self.table && self.name.starts_with(LITESTREAM))
            || (is_table && OF_SQLITE.contains(&self.name.as_str()))
            || (self.kind == "index" && self.sql.is_none() && self.table.starts_with(LITESTREAM))
            || (extra == Some(self.table.as_str()) && (is_table || self.sql.is_none()))
    }
}

fn objects(conn: &Connection) -> rusqlite::Result<BTreeMap<(String, String), Object>> {
    let mut statement = conn.prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema")?;
    let objects = statement.query_map([], Object::read)?;
    objects.map(|found| found.map(|object| ((object.kind.clone(), object.name.clone()), object))).collect()
}

/// In what a schema differs from that of its version, as sentences; `extra` is a table that may be there
/// besides.
pub(crate) fn differences(conn: &Connection, extra: Option<&str>) -> Result<Vec<String>> {
    let version = migrations::version(conn)?;
    let mut own = Connection::open_in_memory().map_err(|e| error::of("creating a database in memory", e))?;
    migrations::run_to(&mut own, version)?;
    let compare = || -> rusqlite::Result<Vec<String>> {
        let (mut ours, found) = (objects(&own)?, objects(conn)?);
        let mut different = Vec::new();
        for (key, object) in found {
            let (kind, name) = &key;
            match ours.remove(&key) {
                Some(expected) if expected == object => {}
                Some(_) => different.push(format!("the {kind} {name:?} is not as postrider creates it")),
                None if object.is_harmless(extra) => {}
                None => different.push(format!("the {kind} {name:?} is not one of postrider's")),
            }
        }
        // SQLite creates its own tables when they are first needed.
        let missing = ours.into_keys().filter(|(_, name)| !OF_SQLITE.contains(&name.as_str()));
        different.extend(missing.map(|(kind, name)| format!("the {kind} {name:?} is missing")));
        Ok(different)
    };
    compare().map_err(|e| error::of("comparing the schema", e))
}

/// Refuses a schema that differs; see [`differences`].
pub(crate) fn check(conn: &Connection, extra: Option<&str>) -> Result<()> {
    let different = differences(conn, extra)?;
    if different.is_empty() { Ok(()) } else { Err(StoreError::Damaged { what: different.join("; ") }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> Connection {
        let mut conn = Connection::open_in_memory().unwrap();
        migrations::run(&mut conn).unwrap();
        conn
    }

    fn differences_after(sql: &str) -> Vec<String> {
        let conn = database();
        conn.execute_batch(sql).unwrap();
        differences(&conn, Some("extra")).unwrap()
    }

    #[test]
    fn a_schema_of_any_version_is_as_its_migrations_create_it() {
        for version in 1..=migrations::KNOWN {
            let mut conn = Connection::open_in_memory().unwrap();
            migrations::run_to(&mut conn, version).unwrap();
            assert!(differences(&conn, None).unwrap().is_empty(), "{version}");
        }
    }

    #[test]
    fn what_the_migrations_do_not_create_is_found() {
        for (sql, found) in [
            (
                "CREATE TRIGGER t AFTER INSERT ON events BEGIN DELETE FROM users; END",
                "the trigger \"t\" is not one",
            ),
            ("CREATE VIEW v AS SELECT 1", "the view \"v\" is not one"),
            ("CREATE INDEX i ON events (uid)", "the index \"i\" is not one"),
            ("CREATE TABLE more (x)", "the table \"more\" is not one"),
            ("ALTER TABLE apps ADD COLUMN more TEXT", "the table \"apps\" is not as"),
            ("DROP INDEX attempts_due", "the index \"attempts_due\" is missing"),
            ("DROP TABLE users; CREATE VIEW users AS SELECT 1", "the view \"users\" is not one"),
            ("CREATE TRIGGER _litestream_t AFTER INSERT ON events BEGIN SELECT 1; END", "the trigger"),
            ("CREATE VIEW _litestream_v AS SELECT 1", "the view"),
            ("CREATE INDEX _litestream_i ON events (uid)", "the index"),
        ] {
            let different = differences_after(sql);
            assert!(different.iter().any(|text| text.starts_with(found)), "{sql}: {different:?}");
        }
    }

    #[test]
    fn tables_of_litestream_and_of_sqlite_may_be_there() {
        let sql = "CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER); \
                   CREATE TABLE _litestream_lock (id TEXT UNIQUE); \
                   CREATE TABLE extra (name TEXT PRIMARY KEY, value TEXT NOT NULL); ANALYZE;";
        assert_eq!(differences_after(sql), Vec::<String>::new());
    }
}
