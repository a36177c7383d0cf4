//! `migrate-storage`: moves everything from SQLite to PostgreSQL or back. No server may run on either side.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::time::Instant;

use super::{CliError, key_file, output, storage};
use crate::app::place::Place;
use crate::config::Config;
use crate::domain::{Activity, ActivityKind};
use crate::host::clock::{Clock, SystemClock};
use crate::host::data_dir::{DataDir, DataDirError};
use crate::host::vault::Vault;
use crate::service::By;
use crate::store::location::{Location, Purpose, files};
use crate::store::{MovedTable, Transfer, TransferProgress};

/// Flags of `migrate-storage`.
#[derive(Debug, Args)]
pub struct MigrateOptions {
    /// Where to: storage (the PostgreSQL database of storage.url, from data_dir), or a directory for a SQLite database
    /// (from storage.url)
    #[arg(long, value_name = "storage|DIR")]
    pub to: String,
}

/// A key, and another one that what is moved was sealed with.
struct Keys {
    new: String,
    old: Option<String>,
}

impl Keys {
    fn vault(&self) -> Vault {
        match &self.old {
            Some(old) => Vault::with_previous(self.new.as_bytes(), old.as_bytes()),
            None => Vault::new(self.new.as_bytes()),
        }
    }
}

/// Runs the command.
pub(super) fn run(options: &MigrateOptions, config: &Config) -> Result<(), CliError> {
    let Some(key) = config.storage.url.as_ref().and(config.encryption_key.as_ref()) else {
        return Err(CliError::Usage(
            "storage.url is not set: name the PostgreSQL database there (POSTRIDER_STORAGE__URL), with encryption_key"
                .to_owned(),
        ));
    };
    let (server, key) = (Place::open(config)?.location().clone(), key.expose().to_owned());
    match options.to.as_str() {
        "storage" => to_server(config, &server, key),
        dir => to_directory(config, &server, key, Path::new(dir)),
    }
}

fn to_server(config: &Config, server: &Location, key: String) -> Result<(), CliError> {
    let dir = DataDir::existing(config);
    if !dir.database().exists() {
        return Err(CliError::Usage(format!(
            "nothing to move: {} does not exist. Name the right data directory with --data",
            dir.database().display()
        )));
    }
    let _lock = dir.lock_for_command()?;
    let old = old_key(config, &dir, &key)?;
    let from = Location::File(dir.database());
    let transfer = from.transfer_to(server, SystemClock.now())?;
    let of = format!("the data directory {}", absolute(dir.path()).display());
    let is_sealed_again = old.is_some();
    let rows = finish(transfer, server, &Keys { new: key, old }, &of)?;
    let sealed = if is_sealed_again {
        "The secrets are encrypted with encryption_key now, and no more with the key file.\n"
    } else {
        ""
    };
    output::print(&format!(
        "moved {} to the database of storage.url; all counts and checksums are equal\n{sealed}\
         Start the nodes with this configuration, and no server on {} any more: it would send what is pending twice.\n",
        output::counted(rows, "row"),
        dir.path().display()
    ))
}

/// The key of a directory's database, where that is not the configured one.
fn old_key(config: &Config, dir: &DataDir, key: &str) -> Result<Option<String>, CliError> {
    let evidence = files(&dir.database()).key_evidence()?;
    if Vault::new(key.as_bytes()).opens(&evidence) {
        return Ok(None);
    }
    if !dir.key_file().exists() {
        return Err(dir.wrong_key().into());
    }
    let of_file = DataDir::existing(&without_key(config));
    let text = of_file.key_text()?.unwrap_or_default();
    if text.lines().count() > 1 {
        return Err(CliError::Usage(format!(
            "the rotation of {} is not complete. Run postrider key-file rotate, without storage.url and \
             encryption_key, and then this again",
            dir.key_file().display()
        )));
    }
    if Vault::of_key_file(&text).opens(&evidence) { Ok(Some(text)) } else { Err(of_file.wrong_key().into()) }
}

/// The same configuration for a directory with a key file.
fn without_key(config: &Config) -> Config {
    let mut config = config.clone();
    config.encryption_key = None;
    config
}

fn to_directory(config: &Config, server: &Location, key: String, path: &Path) -> Result<(), CliError> {
    prove_key(config)?;
    let mut of_target = config.clone();
    of_target.data_dir = path.to_owned();
    let mut dir = DataDir::existing(&of_target);
    // A key file that is there already is the key of the directory.
    let has_key_file = dir.key_file().exists();
    if has_key_file {
        of_target = without_key(&of_target);
    }
    if path.exists() && !dir.database().exists() {
        let foreign = dir.has_foreign_files();
        if foreign.map_err(|e| CliError::Failed(format!("{} cannot be read: {e}", path.display())))? {
            return Err(DataDirError::Foreign(path.display().to_string()).into());
        }
    }
    dir = DataDir::open(&of_target)?;
    let _lock = dir.lock_for_command()?;
    let keys = match dir.key_text()? {
        None => Keys { new: key, old: None },
        Some(text) if text.lines().count() == 1 => Keys { new: text, old: Some(key) },
        Some(_) => {
            return Err(CliError::Usage(format!(
                "{} has two keys. Remove it, or name another directory",
                dir.key_file().display()
            )));
        }
    };
    let to = Location::File(dir.database());
    let transfer = server.transfer_to(&to, SystemClock.now())?;
    let rows = finish(transfer, &to, &keys, "PostgreSQL")?;
    let with_key = if has_key_file {
        "The secrets are encrypted with its key file: start the server without storage.url and encryption_key"
    } else {
        "Start the server with the same encryption_key and without storage.url"
    };
    let data = path.display();
    output::print(&format!(
        "moved {} to {data}; all counts and checksums are equal\n{with_key}: postrider --data {data}\n",
        output::counted(rows, "row"),
    ))
}

/// Refuses a key that is not the database's.
fn prove_key(config: &Config) -> Result<(), CliError> {
    storage::vault(config).map(|_| ())
}

/// Copies everything, seals the secrets for the new place, and completes it. How many rows there were.
fn finish(mut transfer: Transfer, to: &Location, keys: &Keys, from: &str) -> Result<u64, CliError> {
    let bar = Bar::new();
    let copied = transfer.copy(&bar);
    bar.end();
    let tables = copied?;
    output::print(&table(&tables))?;
    let rows = tables.iter().map(|table| table.rows).sum();
    let summary = format!("Everything was moved here from {from}.");
    let details = json!({ "from": from, "rows": rows });
    let kind = ActivityKind::StorageMoved;
    let entry = By::command_line().activity(kind, None, summary, details, SystemClock.now());
    seal(to, keys, entry)?;
    transfer.complete()?;
    Ok(rows)
}

/// Seals the secrets with the new place's key, if it has another one, and notes which key it is.
fn seal(to: &Location, keys: &Keys, entry: Activity) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| CliError::Failed(format!("cannot start: {e}")))?;
    let store = to.open(Purpose::Alone, SystemClock.now())?;
    runtime.block_on(async {
        let done = if keys.old.is_some() {
            let again = key_file::reseal([keys.vault(), keys.vault(), keys.vault()]);
            store.secrets_reseal(again, entry).await?.map(|_| ()).map_err(CliError::Failed)
        } else {
            store.secrets_put_key_check(keys.vault().seal_key_check()).await?;
            store.activity_append(entry).await.map_err(CliError::from)
        };
        store.close().await;
        done
    })
}

fn table(tables: &[MovedTable]) -> String {
    let row = |table: &MovedTable| [table.name.to_owned(), table.rows.to_string(), table.checksum.clone()];
    let rows: Vec<_> = tables.iter().map(row).collect();
    output::table(["TABLE", "ROWS", "CHECKSUM"], &rows)
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// How often it is shown on a terminal, and elsewhere.
const EVERY: Duration = Duration::from_millis(200);
const LINE_EVERY: Duration = Duration::from_secs(5);
const WIDTH: u64 = 30;

/// How far it is, on stderr: a bar on a terminal, lines elsewhere.
struct Bar {
    state: Mutex<BarState>,
    is_terminal: bool,
}

struct BarState {
    rows: u64,
    copied: u64,
    compared: u64,
    begun: Instant,
    shown: Option<Instant>,
    /// Tenths that were shown.
    tenths: u64,
}

impl Bar {
    fn new() -> Bar {
        let state =
            BarState { rows: 0, copied: 0, compared: 0, begun: Instant::now(), shown: None, tenths: 0 };
        Bar { state: Mutex::new(state), is_terminal: io::stderr().is_terminal() }
    }

    fn change(&self, is_news: bool, change: impl FnOnce(&mut BarState)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        let every = if self.is_terminal { EVERY } else { LINE_EVERY };
        let is_due = state.shown.is_none_or(|shown| shown.elapsed() >= every);
        let tenths = (state.copied + state.compared) * 10 / state.rows.saturating_mul(2).max(1);
        if is_news || is_due || tenths != state.tenths {
            (state.shown, state.tenths) = (Some(Instant::now()), tenths);
            self.show(&state.text());
        }
    }

    fn show(&self, text: &str) {
        let _ = if self.is_terminal {
            write!(io::stderr(), "\r{text}\x1b[K")
        } else {
            writeln!(io::stderr(), "{text}")
        };
    }

    fn end(&self) {
        self.change(true, |_| ());
        if self.is_terminal {
            let _ = writeln!(io::stderr());
        }
    }
}

impl BarState {
    fn text(&self) -> String {
        text(self.rows, self.copied, self.compared, self.begun.elapsed())
    }
}

/// Copying and comparing take about as long as each other.
fn text(rows: u64, copied: u64, compared: u64, elapsed: Duration) -> String {
    let (all, done) = (rows.saturating_mul(2).max(1), copied + compared);
    let full = usize::try_from((done.saturating_mul(WIDTH) / all).min(WIDTH)).unwrap_or_default();
    let secs = elapsed.as_secs_f64().max(0.001);
    let left = match done {
        0 => "?".to_owned(),
        _ => clock(secs * all.saturating_sub(done) as f64 / done as f64),
    };
    let percent = (done.saturating_mul(100) / all).min(100);
    let width = WIDTH as usize - full;
    format!(
        "[{:=<full$}{:width$}] {percent} %, {copied} of {rows} rows copied, {compared} compared, {:.0} rows/s, \
         {left} left",
        "",
        "",
        done as f64 / secs,
    )
}

/// Minutes and seconds.
fn clock(secs: f64) -> String {
    let secs = secs.ceil() as u64;
    format!("{}:{:02}", secs / 60, secs % 60)
}

impl TransferProgress for Bar {
    fn begins(&self, rows: u64) {
        self.change(true, |state| state.rows = rows);
    }

    fn copied(&self, rows: u64) {
        self.change(false, |state| state.copied += rows);
    }

    fn settles(&self) {
        self.change(true, |_| ());
    }

    fn compared(&self, rows: u64) {
        self.change(false, |state| state.compared += rows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_shows_the_share_the_speed_and_the_time_that_is_left() {
        let shown = text(1_000, 1_000, 0, Duration::from_secs(10));
        let bar = format!("[{}{}]", "=".repeat(15), " ".repeat(15));
        assert_eq!(shown, format!("{bar} 50 %, 1000 of 1000 rows copied, 0 compared, 100 rows/s, 0:10 left"));
        assert!(text(0, 0, 0, Duration::ZERO).ends_with("? left"));
        assert!(text(10, 10, 10, Duration::from_secs(1)).contains("100 %"));
    }
}
