//! `doctor`: diagnoses this machine, the connection to an endpoint, or the URL of a source.

use clap::Args;
use url::Url;

use super::{CliError, output, serve, storage};
use crate::app::place::Place;
use crate::config::Config;
use crate::doctor::{self, Finding, endpoint, machine, server, source};
use crate::domain::inbound::source::Source;
use crate::domain::{Endpoint, EndpointId, SourceId};
use crate::host::clock::{Clock, SystemClock};
use crate::host::data_dir::DataDir;
use crate::store::Store;
use crate::store::location::Location;

/// Flags of `doctor`.
#[derive(Debug, Args)]
pub struct DoctorOptions {
    /// Id of a webhook (it gets a signed test) or of a source (its URL is asked), or any URL (no request is sent)
    pub endpoint: Option<String>,
    /// Print a JSON object
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub(super) fn run(options: &DoctorOptions, config: &Config) -> Result<(), CliError> {
    let mut found = machine::examine(config, SystemClock.now());
    if let Location::Server(server) = Place::location_of(config) {
        let listen = config.storage.listen_url.as_ref().map(|url| url.expose().to_owned());
        let clock = || SystemClock.now().as_millis();
        let facts = serve::runtime()?.block_on(server.examine(listen.as_deref(), clock));
        found.extend(server::examine(config, &facts));
    }
    if let Some(name) = &options.endpoint {
        found.extend(examine(name, config)?);
    }
    if options.json {
        output::print_json(&doctor::value(&found))?;
    } else {
        output::print(&doctor::text(&found))?;
    }
    // The one problem that only the configuration can fix has its exit code.
    let dir = DataDir::existing(config);
    let is_here = config.storage.url.is_none() && dir.database().exists();
    if let (true, Ok(vault)) = (is_here, dir.vault()) {
        storage::prove_key(&dir, &vault)?;
    }
    if doctor::problems(&found) > 0 {
        let failed = output::counted(doctor::problems(&found), "check");
        return Err(CliError::Failed(format!("{failed} failed, see above")));
    }
    Ok(())
}

fn examine(name: &str, config: &Config) -> Result<Vec<Finding>, CliError> {
    if let Ok(id) = name.parse::<EndpointId>() {
        let found = storage::with(config, async |store| find(store, id).await)?;
        return match found {
            Some(Examinee::Endpoint(found)) => {
                Ok(serve::runtime()?.block_on(endpoint::examine(config, *found)))
            }
            Some(Examinee::Source(found)) => Ok(serve::runtime()?.block_on(source::examine(config, *found))),
            None => Err(CliError::Usage(format!(
                "no webhook and no source has the id {name}; list them with GET /v1/webhooks and GET /v1/sources"
            ))),
        };
    }
    match Url::parse(name) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
            Ok(serve::runtime()?.block_on(endpoint::examine_url(config, &url)))
        }
        _ => Err(CliError::Usage(format!(
            "{name:?} is neither the id of a webhook or source nor an http or https URL"
        ))),
    }
}

/// What an id names; both have ids of the same form.
enum Examinee {
    Endpoint(Box<Endpoint>),
    Source(Box<Source>),
}

async fn find(store: &dyn Store, id: EndpointId) -> Result<Option<Examinee>, CliError> {
    let source_id = SourceId::from_uuid(id.as_uuid());
    for app in store.app_list().await? {
        if let Some(found) = store.endpoint_get(app.id, id).await? {
            return Ok(Some(Examinee::Endpoint(Box::new(found))));
        }
        if let Some(found) = store.source_get(app.id, source_id).await? {
            return Ok(Some(Examinee::Source(Box::new(found))));
        }
    }
    Ok(None)
}
