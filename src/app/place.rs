//! Where a server or a command has its data: in the configured directory, or in a database server.

use crate::config::Config;
use crate::host::data_dir::{DataDir, DataDirError};
use crate::host::vault::Vault;
use crate::store::location::{Location, Server};

/// Where data is, and what decrypts it.
#[derive(Debug)]
pub struct Place {
    /// `None`: nothing is written to this machine.
    pub dir: Option<DataDir>,
    location: Location,
}

impl Place {
    /// For a server: the data directory and the key file are created if they are missing.
    ///
    /// # Errors
    /// What is wrong with the directory.
    pub fn open(config: &Config) -> Result<Place, DataDirError> {
        Place::of(config, DataDir::open)
    }

    /// For commands: a data directory must exist.
    ///
    /// # Errors
    /// The same.
    pub fn open_existing(config: &Config) -> Result<Place, DataDirError> {
        Place::of(config, DataDir::open_existing)
    }

    fn of(
        config: &Config,
        open: impl FnOnce(&Config) -> Result<DataDir, DataDirError>,
    ) -> Result<Place, DataDirError> {
        let location = Place::location_of(config);
        let dir = match location {
            Location::Server(_) => None,
            Location::File(_) => Some(open(config)?),
        };
        Ok(Place { dir, location })
    }

    /// Where storage is, without a look at it.
    pub fn location_of(config: &Config) -> Location {
        match &config.storage.url {
            Some(url) => {
                let (url, connections) = (url.expose().to_owned(), config.storage.connections);
                let listen_url = config.storage.listen_url.as_ref().map(|url| url.expose().to_owned());
                Location::Server(Server { url, listen_url, connections })
            }
            None => Location::File(DataDir::existing(config).database()),
        }
    }

    /// What opens storage.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// What encrypts secrets: the configured key, or else that of the key file.
    ///
    /// # Errors
    /// What is wrong with the key file.
    pub fn vault(&self, config: &Config) -> Result<Vault, DataDirError> {
        match &self.dir {
            Some(dir) => dir.vault(),
            // With a database server a key is configured, or the configuration would have been refused.
            None => {
                let key = config.encryption_key.as_ref().map(|key| key.expose()).unwrap_or_default();
                Ok(Vault::new(key.as_bytes()))
            }
        }
    }

    /// The error of a database that was written with another key.
    pub fn wrong_key(&self) -> DataDirError {
        match &self.dir {
            Some(dir) => dir.wrong_key(),
            None => DataDirError::WrongKey {
                database: "the database in storage.url".to_owned(),
                key: "the configured encryption_key".to_owned(),
            },
        }
    }
}
