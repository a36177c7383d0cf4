//! Checks the database of a server that has ended. It reads a copy, so that the next start finds the files,
//! the WAL included, as the server left them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rusqlite::Connection;
use tempfile::TempDir;

/// A delivery of an event that a client posted under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// Its rows.
    pub(crate) attempts: u32,
    /// Rows that are not `failed`, of which there must be one.
    pub(crate) owners: u32,
    pub(crate) is_pending: bool,
    pub(crate) is_delivered: bool,
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Audit {
    /// By the names of the events.
    pub(crate) deliveries: BTreeMap<String, Delivery>,
}

/// Looks at the database of a data directory; fails when SQLite finds it damaged.
pub(crate) fn audit(data: &Path) -> Audit {
    let copy = TempDir::new_in(data.parent().unwrap().parent().unwrap()).unwrap();
    for name in ["postrider.db", "postrider.db-wal", "postrider.db-journal"] {
        let from = data.join(name);
        if from.exists() {
            fs::copy(from, copy.path().join(name)).unwrap();
        }
    }
    if !data.join("postrider.db").exists() {
        return Audit { deliveries: BTreeMap::new() };
    }
    let conn = Connection::open(copy.path().join("postrider.db")).unwrap();
    let sound: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok", "the database is damaged");
    let is_made = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'attempts')";
    if !conn.query_row(is_made, [], |row| row.get::<_, bool>(0)).unwrap() {
        return Audit { deliveries: BTreeMap::new() };
    }
    let mut broken = conn.prepare("PRAGMA foreign_key_check").unwrap();
    assert!(!broken.exists([]).unwrap(), "a row refers to one that is not there");
    let mut rows = conn
        .prepare(
            "SELECT e.resource_id, count(a.id), count(a.id) FILTER (WHERE a.status <> 'failed'), \
                 count(a.id) FILTER (WHERE a.status = 'pending'), count(a.id) FILTER (WHERE a.status = 'delivered') \
             FROM events e LEFT JOIN attempts a ON a.event = e.id WHERE e.resource_id IS NOT NULL GROUP BY e.id",
        )
        .unwrap();
    let rows = rows.query_map([], |row| {
        let delivery = Delivery {
            attempts: row.get(1)?,
            owners: row.get(2)?,
            is_pending: row.get::<_, u32>(3)? > 0,
            is_delivered: row.get::<_, u32>(4)? > 0,
        };
        Ok((row.get(0)?, delivery))
    });
    Audit { deliveries: rows.unwrap().collect::<rusqlite::Result<_>>().unwrap() }
}

impl Audit {
    /// Names that are missing, or whose delivery would never be sent.
    pub(crate) fn lost<'a>(&self, names: impl Iterator<Item = &'a String>) -> Vec<&'a String> {
        names.filter(|name| self.deliveries.get(*name).is_none_or(|found| found.owners != 1)).collect()
    }

    /// What is still to be sent.
    pub(crate) fn pending(&self) -> impl Iterator<Item = &String> + Clone {
        self.deliveries.iter().filter(|(_, found)| found.is_pending).map(|(name, _)| name)
    }
}
