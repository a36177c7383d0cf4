//! `key`: API keys. Changes take effect at once, also on a running server.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{CliError, output, storage};
use crate::config::Config;
use crate::domain::access::app::DEFAULT_APP;
use crate::domain::access::key::client_key;
use crate::domain::{App, Key, Scope, Scopes, Span, Timestamp};
use crate::host::clock::{Clock, SystemClock};
use crate::service::By;
use crate::service::people::apps;
use crate::service::people::keys;
use crate::service::people::keys::{CreatedKey, NewKey};
use crate::store::Store;

/// Commands on keys.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Create a key; its secret is shown only once
    Create {
        /// A label, such as "billing service"
        #[arg(long)]
        name: String,
        /// Scopes, separated by commas
        #[arg(long, value_name = "SCOPE[,SCOPE…]", required = true, value_parser = scopes)]
        scope: Vec<Scopes>,
        /// App that owns the key
        #[arg(long, value_name = "NAME_OR_ID", default_value = DEFAULT_APP)]
        app: String,
        /// Lifetime, such as 90d (default: never expires)
        #[arg(long, value_name = "DURATION", value_parser = lifetime)]
        expires: Option<Span>,
        /// Print a JSON object
        #[arg(long)]
        json: bool,
        /// Print the token alone
        #[arg(long, short, conflicts_with = "json")]
        quiet: bool,
    },
    /// List all keys, newest first
    List {
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Revoke a key
    Revoke {
        /// Id of the key, with or without the prefix
        id: String,
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },
}

fn scopes(text: &str) -> Result<Scopes, String> {
    let names = || Scope::WORDS.join(", ");
    match Scopes::parse_list(text) {
        Ok(scopes) if !scopes.is_empty() => Ok(scopes),
        Ok(_) => Err(format!("expected one or more of {}", names())),
        Err(name) => Err(format!("{name:?} is not a scope; known scopes: {}", names())),
    }
}

fn lifetime(text: &str) -> Result<Span, String> {
    let span = Span::parse(text).filter(|span| !span.is_zero());
    span.ok_or_else(|| "expected a whole number and s, m, h or d, such as 90d".to_owned())
}

/// Runs the command.
pub(super) fn run(command: KeyCommand, config: &Config) -> Result<(), CliError> {
    storage::with(config, async |store| run_with(command, config, store).await)
}

async fn run_with(command: KeyCommand, config: &Config, store: &dyn Store) -> Result<(), CliError> {
    let (by, now, prefix) = (By::command_line(), SystemClock.now(), config.auth.key_prefix.as_str());
    match command {
        KeyCommand::Create { name, scope, app, expires, json, quiet } => {
            let scopes = scope.into_iter().flat_map(|set| set.iter().collect::<Vec<_>>()).collect();
            let new = NewKey { name, app, scopes, lifetime: expires };
            let created = keys::create(store, new, &by, now).await?;
            if json {
                output::print_json(&created_json(&created, prefix))
            } else if quiet {
                output::print(&format!("{}\n", created.token(prefix)))
            } else {
                let app = apps::find(store, &created.key.app_id.to_string()).await?;
                output::print(&created_text(&created, prefix, &app, &output::base(config)))
            }
        }
        KeyCommand::List { json } => {
            let (keys, apps) = (keys::list(store, None).await?, apps::list(store).await?);
            if json {
                let keys = keys.iter().map(|key| key_json(key, prefix, &apps)).collect();
                output::print_json(&Value::Array(keys))
            } else {
                output::print(&list_text(&keys, &apps, prefix, now))
            }
        }
        KeyCommand::Revoke { id, json } => {
            let key = keys::revoke(store, &id, prefix, &by, now).await?;
            if json {
                output::print_json(&key_json(&key, prefix, &apps::list(store).await?))
            } else {
                let shown = client_key(prefix, &key.id);
                output::print(&format!("revoked {shown}\n"))
            }
        }
    }
}

fn scope_names(scopes: Scopes) -> Vec<&'static str> {
    scopes.iter().map(Scope::as_str).collect()
}

fn created_json(created: &CreatedKey, prefix: &str) -> Value {
    json!({
        "id": created.key.id,
        "client_key": created.client_key(prefix),
        "client_secret": created.secret,
        "token": created.token(prefix),
        "scopes": scope_names(created.key.scopes),
        "app_id": created.key.app_id.to_string(),
    })
}

fn created_text(created: &CreatedKey, prefix: &str, app: &App, base: &str) -> String {
    let token = created.token(prefix);
    // A first request that this key is allowed to make.
    let hint =
        if created.key.scopes.allows(Scope::WebhooksRead) || !created.key.scopes.allows(Scope::EventsWrite) {
            format!("curl -H 'Authorization: Bearer {token}' {base}/v1/webhooks")
        } else {
            format!(
                "curl -H 'Authorization: Bearer {token}' -H 'Content-Type: application/json' \\\n    \
             -d '{{\"event_type\":\"hello.world\",\"payload\":{{}}}}' {base}/v1/events"
            )
        };
    format!(
        "Key for app {app} with scopes {scopes}{expires}. Save the secret now: it is shown only once.\n\n\
         token            {token}\n\
         or, in two headers:\n\
         x-client-key     {client_key}\n\
         x-client-secret  {secret}\n\n\
         Try it:\n  {hint}\n",
        app = app.name,
        scopes = created.key.scopes,
        expires = created
            .key
            .expires_at
            .map_or(String::new(), |at| format!(", valid until {}", output::time(Some(at)))),
        client_key = created.client_key(prefix),
        secret = created.secret,
    )
}

fn key_json(key: &Key, prefix: &str, apps: &[App]) -> Value {
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
    json!({
        "id": key.id,
        "client_key": client_key(prefix, &key.id),
        "name": key.name,
        "app_id": key.app_id.to_string(),
        "app": app_name(key, apps),
        "scopes": scope_names(key.scopes),
        "created_at": time(Some(key.created_at)),
        "expires_at": time(key.expires_at),
        "revoked_at": time(key.revoked_at),
        "last_used_at": time(key.last_used_at),
    })
}

fn app_name<'a>(key: &Key, apps: &'a [App]) -> Option<&'a str> {
    apps.iter().find(|app| app.id == key.app_id).map(|app| app.name.as_str())
}

fn list_text(keys: &[Key], apps: &[App], prefix: &str, now: Timestamp) -> String {
    if keys.is_empty() {
        return "No keys yet. Create one:\n  postrider key create --name my-key --scope webhooks:read,webhooks:write,events:write\n"
            .to_owned();
    }
    let rows: Vec<_> = keys
        .iter()
        .map(|key| {
            let state = match () {
                () if key.revoked_at.is_some() => "revoked",
                () if !key.is_valid_at(now) => "expired",
                () => "valid",
            };
            [
                client_key(prefix, &key.id),
                key.name.clone(),
                app_name(key, apps).unwrap_or("-").to_owned(),
                key.scopes.to_string(),
                state.to_owned(),
                output::time(Some(key.created_at)),
                output::time(key.expires_at),
                output::time(key.last_used_at),
            ]
        })
        .collect();
    output::table(["ID", "NAME", "APP", "SCOPES", "STATE", "CREATED", "EXPIRES", "LAST USED"], &rows)
}
