//! `app`: the owners of endpoints, events and keys.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{CliError, output, storage};
use crate::config::Config;
use crate::domain::App;
use crate::host::clock::{Clock, SystemClock};
use crate::service::By;
use crate::service::people::apps;
use crate::store::Store;

/// Commands on apps.
#[derive(Debug, Subcommand)]
pub enum AppCommand {
    /// Create an app
    Create {
        /// A unique name
        #[arg(long)]
        name: String,
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },
    /// List all apps by name
    List {
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
}

/// Runs the command.
pub(super) fn run(command: AppCommand, config: &Config) -> Result<(), CliError> {
    storage::with(config, async |store| run_with(command, store).await)
}

async fn run_with(command: AppCommand, store: &dyn Store) -> Result<(), CliError> {
    match command {
        AppCommand::Create { name, json } => {
            let app = apps::create(store, &name, &By::command_line(), SystemClock.now()).await?;
            if json {
                output::print_json(&app_json(&app))
            } else {
                output::print(&format!("created app {} with the id {}\n", app.name, app.id))
            }
        }
        AppCommand::List { json } => {
            let apps = apps::list(store).await?;
            if json {
                output::print_json(&Value::Array(apps.iter().map(app_json).collect()))
            } else {
                let row =
                    |app: &App| [app.id.to_string(), app.name.clone(), output::time(Some(app.created_at))];
                let rows: Vec<_> = apps.iter().map(row).collect();
                output::print(&output::table(["ID", "NAME", "CREATED"], &rows))
            }
        }
    }
}

fn app_json(app: &App) -> Value {
    json!({ "id": app.id.to_string(), "name": app.name, "created_at": app.created_at.to_string() })
}
