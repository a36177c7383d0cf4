//! `backup`, `restore`, `check`: the data as a file, back again, and whether it is sound.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::{CliError, output};
use crate::config::Config;
use crate::host::clock::{Clock, SystemClock};
use crate::host::data_dir::DataDir;
use crate::store::sqlite::engine::inspect::{Inspection, inspect};
use crate::upkeep::backup;
use crate::upkeep::backup::BackupError;
use crate::upkeep::restore;
use crate::upkeep::restore::Restored;

/// How long another process's lock is waited for.
const BUSY: Duration = Duration::from_secs(10);

/// Runs `backup FILE`. A server may be running meanwhile.
pub(super) fn make(config: &Config, to: &Path) -> Result<(), CliError> {
    let made = backup::make(config, to, SystemClock.now())?;
    let key = if made.has_key {
        "It holds the encryption key: keep it as safe as the data."
    } else {
        "It does not hold the encryption key, which is configured: keep that too."
    };
    output::print(&format!(
        "backed up {} events and {} attempts to {} ({})\n{key}\n",
        made.events,
        made.attempts,
        to.display(),
        size(made.bytes)
    ))
}

/// Runs `restore FILE`.
pub(super) fn restore(config: &Config, from: &Path) -> Result<(), CliError> {
    let Restored { manifest, kept } = restore::restore(config, from, SystemClock.now())?;
    let of = match (&manifest.created_at, &manifest.version) {
        (Some(at), Some(version)) => format!("the backup of {at} by Postrider {version}"),
        _ => format!("the database {}", from.display()),
    };
    let data = config.data_dir.display();
    let kept = kept.map_or(String::new(), |kept| {
        format!("What was there before is in {}; remove it when you are content.\n", kept.display())
    });
    output::print(&format!("restored {of} into {data}\n{kept}Start it: postrider --data {data}\n"))
}

/// Runs `check`.
pub(super) fn check(config: &Config, as_json: bool) -> Result<(), CliError> {
    let database = DataDir::existing(config).database();
    if !database.exists() {
        return Err(CliError::Usage(format!(
            "there is nothing to check: {} does not exist; check data_dir (--data)",
            database.display()
        )));
    }
    let found = inspect(&database, BUSY)?;
    if as_json {
        output::print_json(&as_value(&found))?;
    } else {
        output::print(&as_text(&found, &database))?;
    }
    match found.problems.len() {
        0 => Ok(()),
        n => Err(CliError::Failed(format!(
            "{n} problems were found in {}; restore the newest backup that check finds sound",
            database.display()
        ))),
    }
}

fn as_value(found: &Inspection) -> serde_json::Value {
    let tables: serde_json::Map<_, _> =
        found.tables.iter().map(|(name, rows)| (name.clone(), json!(rows))).collect();
    json!({
        "ok": found.problems.is_empty(),
        "problems": found.problems,
        "schema_version": found.version,
        "known_schema_version": found.known,
        "bytes": found.pages * found.page_size,
        "free_bytes": found.free_pages * found.page_size,
        "events": found.events,
        "attempts": found.attempts,
        "pending": found.pending,
        "tables": tables,
    })
}

fn as_text(found: &Inspection, database: &Path) -> String {
    let mut text = format!(
        "{}: schema version {}{}\n  {} in {} pages, {} of them free\n  {} events, {} attempts, {} of them pending\n",
        database.display(),
        found.version,
        if found.version < found.known {
            format!(" (the next start brings it to {})", found.known)
        } else {
            String::new()
        },
        size(found.pages * found.page_size),
        found.pages,
        found.free_pages,
        found.events,
        found.attempts,
        found.pending,
    );
    let rows: Vec<_> = found.tables.iter().map(|(name, rows)| [name.clone(), rows.to_string()]).collect();
    text += &output::table(["TABLE", "ROWS"], &rows);
    for problem in &found.problems {
        text += &format!("problem: {problem}\n");
    }
    if found.problems.is_empty() {
        text += "sound: no damage, and nothing refers to what is gone\n";
    }
    text
}

/// Bytes for people.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_048_576 => format!("{} KiB", bytes.div_ceil(1_024)),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

impl From<BackupError> for CliError {
    fn from(error: BackupError) -> CliError {
        match error {
            BackupError::DataDir(error) => error.into(),
            BackupError::Store(error) => error.into(),
            BackupError::Exists(_)
            | BackupError::NoDatabase(_)
            | BackupError::NotEmpty(_)
            | BackupError::KeyMissing
            | BackupError::WrongKey => CliError::Usage(error.to_string()),
            BackupError::Unwritable { .. } | BackupError::Unreadable { .. } | BackupError::Aside { .. } => {
                CliError::Backup(error)
            }
        }
    }
}
