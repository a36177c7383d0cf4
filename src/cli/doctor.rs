//! `doctor`: what is wrong with this machine, or on the way to an endpoint.

use clap::Args;
use url::Url;

use super::{CliError, output, serve, storage};
use crate::config::Config;
use crate::doctor::{self, Finding, endpoint, machine};
use crate::domain::{Endpoint, EndpointId};
use crate::host::clock::{Clock, SystemClock};
use crate::store::Store;

/// What to look at.
#[derive(Debug, Args)]
pub struct DoctorOptions {
    /// A webhook, by its id, which gets a signed test; or any URL, which gets none
    pub endpoint: Option<String>,
    /// Print one JSON object for programs
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub(super) fn run(options: &DoctorOptions, config: &Config) -> Result<(), CliError> {
    let mut found = machine::examine(config, SystemClock.now());
    if let Some(name) = &options.endpoint {
        found.extend(examine(name, config)?);
    }
    if options.json {
        output::print_json(&doctor::value(&found))?;
    } else {
        output::print(&doctor::text(&found))?;
    }
    if doctor::has_problem(&found) {
        return Err(CliError::Failed("something does not work; see above".to_owned()));
    }
    Ok(())
}

fn examine(name: &str, config: &Config) -> Result<Vec<Finding>, CliError> {
    if let Ok(id) = name.parse::<EndpointId>() {
        let found = storage::with(config, async |store| find(store, id).await)?;
        return match found {
            Some(found) => Ok(serve::runtime()?.block_on(endpoint::examine(config, found))),
            None => Err(CliError::Usage(format!("there is no webhook with the id {name}"))),
        };
    }
    match Url::parse(name) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
            Ok(serve::runtime()?.block_on(endpoint::examine_url(config, &url)))
        }
        _ => {
            Err(CliError::Usage(format!("{name:?} is neither the id of a webhook nor an http or https URL")))
        }
    }
}

async fn find(store: &dyn Store, id: EndpointId) -> Result<Option<Endpoint>, CliError> {
    for app in store.app_list().await? {
        if let Some(found) = store.endpoint_get(app.id, id).await? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}
