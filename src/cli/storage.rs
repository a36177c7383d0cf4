//! Storage for commands that may run while the server runs: they open the same files, without the server's
//! lock.

use super::CliError;
use crate::app::place::Place;
use crate::config::Config;
use crate::host::clock::{Clock, SystemClock};
use crate::host::data_dir::DataDir;
use crate::host::vault::Vault;
use crate::store::Store;
use crate::store::location::{Purpose, files};

/// Runs `work` with the configured storage and closes that afterwards. The data directory must exist; key file and
/// database are created if they are missing, so that keys and users can be created before the server first
/// starts. A lost key file does not matter here: nothing is decrypted.
pub(super) fn with<T>(
    config: &Config,
    work: impl AsyncFnOnce(&dyn Store) -> Result<T, CliError>,
) -> Result<T, CliError> {
    let place = Place::open_existing(config)?;
    // One thread is enough for what a command does.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| CliError::Failed(format!("cannot start: {e}")))?;
    let store = place.location().open(Purpose::Command, SystemClock.now())?;
    runtime.block_on(async {
        let done = work(&*store).await;
        store.close().await;
        done
    })
}

/// The vault of the data directory, for commands that encrypt or decrypt. Refuses a key that is not the
/// database's.
pub(super) fn vault(config: &Config) -> Result<Vault, CliError> {
    let place = Place::open_existing(config)?;
    let vault = place.vault(config)?;
    match &place.dir {
        Some(dir) => prove_key(dir, &vault)?,
        None => prove_key_of_server(config, &place, &vault)?,
    }
    Ok(vault)
}

/// The same for a database server, which only an open storage can ask.
fn prove_key_of_server(config: &Config, place: &Place, vault: &Vault) -> Result<(), CliError> {
    let evidence = with(config, async |store| Ok(store.secrets_key_evidence().await?))?;
    if vault.opens(&evidence) { Ok(()) } else { Err(place.wrong_key().into()) }
}

/// Refuses a command that only files allow.
pub(super) fn only_files(config: &Config, doing: &str) -> Result<(), CliError> {
    match config.storage.url {
        None => Ok(()),
        Some(_) => Err(CliError::Usage(format!(
            "{doing} is for SQLite, and storage.url is set: use pg_dump or your provider's snapshots"
        ))),
    }
}

/// Refuses a database that was written with another encryption key.
pub(super) fn prove_key(dir: &DataDir, vault: &Vault) -> Result<(), CliError> {
    let database = dir.database();
    if database.exists() && !vault.opens(&files(&database).key_evidence()?) {
        return Err(dir.wrong_key().into());
    }
    Ok(())
}
