//! `backup`, `restore`, `check`: all data to a file, from a file, and a check of the database.

use std::path::Path;

use serde_json::json;

use super::output::counted;
use super::{CliError, output, storage};
use crate::config::Config;
use crate::host::clock::{Clock, SystemClock};
use crate::host::data_dir::DataDir;
use crate::store::files::Inspection;
use crate::store::location::files;
use crate::upkeep::backup;
use crate::upkeep::backup::BackupError;
use crate::upkeep::restore;
use crate::upkeep::restore::Restored;

/// Runs `backup FILE`. Safe while a server runs.
pub(super) fn create(config: &Config, to: &Path) -> Result<(), CliError> {
    storage::only_files(config, "backup")?;
    let created = backup::create(config, to, SystemClock.now())?;
    let key = if created.has_key {
        "It contains the encryption key. Protect it like the data itself."
    } else {
        "It does not contain the encryption key, which is configured. Keep a copy of that key as well."
    };
    output::print(&format!(
        "backed up {} events and {} attempts to {} ({})\n{key}\n",
        created.events,
        created.attempts,
        to.display(),
        size(created.bytes)
    ))
}

/// Runs `restore FILE`.
pub(super) fn restore(config: &Config, from: &Path) -> Result<(), CliError> {
    storage::only_files(config, "restore")?;
    let Restored { manifest, replaced } = restore::restore(config, from, SystemClock.now())?;
    let of = match (&manifest.created_at, &manifest.version) {
        (Some(at), Some(version)) => format!("the backup of {at} by Postrider {version}"),
        _ => format!("the database {}", from.display()),
    };
    let data = config.data_dir.display();
    let replaced = replaced.map_or(String::new(), |replaced| {
        format!(
            "The previous data was moved to {}; delete it when you no longer need it.\n",
            replaced.display()
        )
    });
    output::print(&format!(
        "restored {of} into {data}\n{replaced}Start the server: postrider --data {data}\n"
    ))
}

/// Runs `check`.
pub(super) fn check(config: &Config, as_json: bool) -> Result<(), CliError> {
    storage::only_files(config, "check")?;
    let database = DataDir::existing(config).database();
    if !database.exists() {
        return Err(CliError::Usage(format!(
            "nothing to check: {} does not exist. Name the right data directory with --data",
            database.display()
        )));
    }
    let dir = DataDir::existing(config);
    // A database whose key is lost can still be checked.
    if let Ok(vault) = dir.vault() {
        storage::prove_key(&dir, &vault)?;
    }
    let found = files(&database).inspect()?;
    if as_json {
        output::print_json(&as_value(&found))?;
    } else {
        output::print(&as_text(&found, &database))?;
    }
    match found.problems.len() {
        0 => Ok(()),
        n => Err(CliError::Failed(format!(
            "found {} in {}. Restore the newest backup that passes this check",
            counted(n, "problem"),
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
            format!(" (the next start upgrades it to {})", found.known)
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
        text += "OK: no corruption, no dangling references\n";
    }
    text
}

/// Bytes as people read them.
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
            BackupError::Unwritable { .. }
            | BackupError::Unreadable { .. }
            | BackupError::NotABackup { .. }
            | BackupError::Aside { .. } => CliError::Backup(error),
        }
    }
}
