//! `export`, `import` and `import-svix`: move apps, webhooks and keys between servers. They work while a
//! server runs.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{CliError, output, storage, svix};
use crate::app::place::Place;
use crate::config::{Config, input_file};
use crate::domain::Scope;
use crate::domain::network::NetworkPolicy;
use crate::host::clock::{Clock, SystemClock};
use crate::host::vault::Vault;
use crate::service::By;
use crate::service::endpoints::endpoint_input::InputRules;
use crate::service::moving::document::Document;
use crate::service::moving::export::export;
use crate::service::moving::import::{self, Count, Importer, Plan};
use crate::store::Store;

/// The most problems of a document that are shown.
const PROBLEMS_SHOWN: usize = 50;

/// Flags of `export`.
#[derive(Debug, Args)]
pub struct ExportOptions {
    /// Include signing secrets and secret header values, in clear text
    #[arg(long)]
    pub with_secrets: bool,
    /// File to write (mode 0600); it must not exist (default: standard output)
    pub file: Option<PathBuf>,
}

/// Flags of `import`.
#[derive(Debug, Args)]
pub struct ImportOptions {
    /// Report what would change, without changing it
    #[arg(long)]
    pub dry_run: bool,
    /// Accept keys with the scope admin, which may do everything on this server
    #[arg(long)]
    pub allow_admin_keys: bool,
    /// File to read, - for standard input
    pub file: PathBuf,
}

/// Flags of `import-svix`.
#[derive(Debug, Args)]
pub struct SvixOptions {
    /// Base URL of the Svix API, without /api/v1
    #[arg(long)]
    pub url: String,
    /// Svix API token; other users of this machine can read it in the process list, so prefer --token-file
    #[arg(long)]
    pub token: Option<String>,
    /// File with the Svix API token
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    pub token_file: Option<PathBuf>,
    /// Report what would change, without changing it
    #[arg(long)]
    pub dry_run: bool,
}

/// Runs `export`.
pub(super) fn export_to(options: &ExportOptions, config: &Config) -> Result<(), CliError> {
    let vault = storage::vault(config)?;
    let (vault, secrets) = (&vault, options.with_secrets);
    let document =
        storage::with(config, async |store| Ok(export(store, vault, secrets, SystemClock.now()).await?))?;
    let text = serde_json::to_string_pretty(&document).expect("a document is plain JSON") + "\n";
    match &options.file {
        None => output::print_exactly(&text),
        Some(path) => {
            let failed =
                |e: io::Error| CliError::Failed(format!("{} cannot be written: {e}", path.display()));
            let mut new = OpenOptions::new();
            let mut file = new.write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
            file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
            let webhooks: usize = document.apps.iter().map(|app| app.webhooks.len()).sum();
            let keys: usize = document.apps.iter().map(|app| app.keys.len()).sum();
            let sources: usize = document.apps.iter().map(|app| app.sources.len()).sum();
            let apps = document.apps.len();
            let path = path.display();
            output::print(&format!(
                "exported {}, {}, {}{} to {path}\n",
                output::counted(apps, "app"),
                output::counted(webhooks, "webhook"),
                output::counted(keys, "key"),
                if sources > 0 { format!(", {}", output::counted(sources, "source")) } else { String::new() },
            ))
        }
    }
}

/// Runs `import`.
pub(super) fn import_from(options: &ImportOptions, config: &Config) -> Result<(), CliError> {
    let text = read(&options.file)
        .map_err(|e| CliError::Failed(format!("{} cannot be read: {e}", options.file.display())))?;
    let document = import::read(&text).map_err(CliError::Failed)?;
    let admin_keys = admin_keys(&document);
    if !admin_keys.is_empty() && !options.allow_admin_keys {
        return Err(CliError::Failed(format!(
            "nothing was imported. These keys have the scope admin: {}. If you trust the file, add \
             --allow-admin-keys",
            admin_keys.join(", ")
        )));
    }
    import_document(&document, Vec::new(), options.dry_run, config)
}

/// Runs `import-svix`.
pub(super) fn import_svix(options: &SvixOptions, config: &Config) -> Result<(), CliError> {
    // Before Svix is read, which takes a while.
    Place::open_existing(config)?;
    let token = match (&options.token, &options.token_file) {
        (Some(token), _) => token.clone(),
        (None, Some(file)) => read(file)
            .map_err(|e| CliError::Failed(format!("{} cannot be read: {e}", file.display())))?
            .trim()
            .to_owned(),
        (None, None) => {
            return Err(CliError::Usage("name a file with the Svix API token: --token-file FILE".to_owned()));
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| CliError::Failed(format!("cannot start: {e}")))?;
    let (document, notes) = runtime.block_on(svix::read(&options.url, &token)).map_err(CliError::Failed)?;
    import_document(&document, notes, options.dry_run, config)
}

/// The places of keys that may do everything.
fn admin_keys(document: &Document) -> Vec<String> {
    let is_admin = |key: &serde_json::Value| {
        let scopes = key["scopes"].as_array();
        scopes.is_some_and(|scopes| scopes.iter().any(|scope| scope == Scope::Admin.as_str()))
    };
    let places = document.apps.iter().enumerate().flat_map(|(i, app)| {
        let keys = app.keys.iter().enumerate().filter(move |(_, key)| is_admin(key));
        keys.map(move |(n, _)| format!("apps/{i}/keys/{n}"))
    });
    places.collect()
}

/// The largest document that is read, in bytes.
const IMPORT_MAX: u64 = 1 << 30;

fn read(path: &Path) -> io::Result<String> {
    if path == Path::new("-") {
        input_file::read_all(io::stdin(), IMPORT_MAX)
    } else {
        input_file::read_text(path, IMPORT_MAX)
    }
}

fn import_document(
    document: &Document,
    notes: Vec<String>,
    dry_run: bool,
    config: &Config,
) -> Result<(), CliError> {
    let vault = storage::vault(config)?;
    let rules = InputRules {
        policy: NetworkPolicy::new(config.network.allow.clone()),
        signing_headers: config.signing.headers.clone(),
        endpoints_per_app: config.limits.endpoints_per_app,
    };
    storage::with(config, async |store| plan_and_apply(document, notes, dry_run, store, &vault, &rules).await)
}

async fn plan_and_apply(
    document: &Document,
    notes: Vec<String>,
    dry_run: bool,
    store: &dyn Store,
    vault: &Vault,
    rules: &InputRules,
) -> Result<(), CliError> {
    let importer = Importer { store, vault, rules, now: SystemClock.now() };
    let plan = importer.plan(document).await?;
    for note in notes.iter().chain(&plan.notes) {
        output::message(&format!("note: {note}"));
    }
    if !plan.problems.is_empty() {
        return Err(CliError::Failed(refusal(&plan.problems)));
    }
    let text = summary(&plan, dry_run);
    if !dry_run {
        importer.apply(plan, &By::command_line()).await?;
    }
    output::print(&text)
}

/// Why nothing was imported: the first problems, and how many there are.
fn refusal(problems: &[String]) -> String {
    let mut text = format!("nothing was imported. Fix {}:", output::counted(problems.len(), "problem"));
    for problem in problems.iter().take(PROBLEMS_SHOWN) {
        text += "\n  ";
        text += problem;
    }
    if let Some(more @ 1..) = problems.len().checked_sub(PROBLEMS_SHOWN) {
        text += &format!("\n  and {more} more");
    }
    text
}

fn summary(plan: &Plan, dry_run: bool) -> String {
    let line = |name: &str, count: Count| {
        let Count { new, changed, same } = count;
        format!("  {name:<9} {new} new, {changed} changed, {same} unchanged\n")
    };
    let head = if dry_run { "would import:\n" } else { "imported:\n" };
    let mut text = head.to_owned() + &line("apps", plan.apps) + &line("webhooks", plan.webhooks);
    if plan.sources != Count::default() {
        text += &line("sources", plan.sources);
    }
    text + &line("keys", plan.keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_shows_the_first_problems_and_counts_the_others() {
        let problems = |n: usize| (1..=n).map(|n| format!("problem {n}")).collect::<Vec<_>>();
        assert_eq!(refusal(&problems(1)), "nothing was imported. Fix 1 problem:\n  problem 1");
        let all = refusal(&problems(PROBLEMS_SHOWN));
        assert!(all.ends_with("\n  problem 50"), "{all}");
        let many = refusal(&problems(100_000));
        assert!(many.starts_with("nothing was imported. Fix 100000 problems:\n  problem 1\n"), "{many}");
        assert!(many.ends_with("\n  problem 50\n  and 99950 more"), "{many}");
    }
}
