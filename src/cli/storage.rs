//! How commands that run beside the server get at its storage: they open the same files, without the
//! server's lock.

use super::CliError;
use crate::config::Config;
use crate::host::clock::{Clock, SystemClock};
use crate::host::data_dir::DataDir;
use crate::store::Store;
use crate::store::sqlite::{Options, SqliteStore};

/// Runs `work` with the configured storage and closes that afterwards. Data directory, key file and
/// database are made as far as they are missing, so that keys and users can be made before the server
/// first starts. A lost key file does not matter here: nothing is opened with it.
pub(super) fn with<T>(
    config: &Config,
    work: impl AsyncFnOnce(&dyn Store) -> Result<T, CliError>,
) -> Result<T, CliError> {
    let dir = DataDir::open(config)?;
    // One thread, and one reader, are enough for what a command does.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| CliError::Failed(format!("cannot start: {e}")))?;
    let options = Options { readers: 1, ..Options::new(SystemClock.now()) };
    let store = SqliteStore::open(&dir.database(), options)?;
    runtime.block_on(async {
        let done = work(&*store).await;
        store.close().await;
        done
    })
}
