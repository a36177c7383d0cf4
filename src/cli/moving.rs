//! `export`, `import` and `import-svix`: apps, webhooks and keys out of one server and into another. They
//! work beside a running server.

use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{CliError, output, storage, svix};
use crate::config::Config;
use crate::domain::network::NetworkPolicy;
use crate::host::clock::{Clock, SystemClock};
use crate::host::data_dir::DataDir;
use crate::host::vault::Vault;
use crate::service::By;
use crate::service::endpoints::endpoint_input::InputRules;
use crate::service::moving::document::Document;
use crate::service::moving::export::export;
use crate::service::moving::import::{self, Count, Importer, Plan};
use crate::store::Store;

/// Flags of `export`.
#[derive(Debug, Args)]
pub struct ExportOptions {
    /// Put signing secrets and secret header values in it, in clear
    #[arg(long)]
    pub with_secrets: bool,
    /// The file to write, for its owner only, which must not exist; without it, standard output
    pub file: Option<PathBuf>,
}

/// Flags of `import`.
#[derive(Debug, Args)]
pub struct ImportOptions {
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// The file to read; - is standard input
    pub file: PathBuf,
}

/// Flags of `import-svix`.
#[derive(Debug, Args)]
pub struct SvixOptions {
    /// Where Svix is: the address of its API, without /api/v1
    #[arg(long)]
    pub url: String,
    /// A token of Svix's API; others on this machine can see it in the list of processes
    #[arg(long, required_unless_present = "token_file")]
    pub token: Option<String>,
    /// A file that holds the token
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    pub token_file: Option<PathBuf>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Writes everything that can be moved.
pub(super) fn give_out(options: &ExportOptions, config: &Config) -> Result<(), CliError> {
    let vault = DataDir::open(config)?.vault()?;
    let vault = options.with_secrets.then_some(&vault);
    let document = storage::with(config, async |store| Ok(export(store, vault, SystemClock.now()).await?))?;
    let text = serde_json::to_string_pretty(&document).expect("a document is plain JSON") + "\n";
    match &options.file {
        None => output::print(&text),
        Some(path) => {
            let failed =
                |e: io::Error| CliError::Failed(format!("{} cannot be written: {e}", path.display()));
            let mut new = OpenOptions::new();
            let mut file = new.write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
            file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
            let webhooks: usize = document.apps.iter().map(|app| app.webhooks.len()).sum();
            let keys: usize = document.apps.iter().map(|app| app.keys.len()).sum();
            let apps = document.apps.len();
            let path = path.display();
            output::print(&format!("exported {apps} apps, {webhooks} webhooks, {keys} keys to {path}\n"))
        }
    }
}

/// Takes in what [`give_out`] has written.
pub(super) fn take_in(options: &ImportOptions, config: &Config) -> Result<(), CliError> {
    let text = read(&options.file)
        .map_err(|e| CliError::Failed(format!("{} cannot be read: {e}", options.file.display())))?;
    let document = import::read(&text).map_err(CliError::Failed)?;
    take(&document, Vec::new(), options.dry_run, config)
}

/// Takes in what a Svix server has.
pub(super) fn take_from_svix(options: &SvixOptions, config: &Config) -> Result<(), CliError> {
    let token = match (&options.token, &options.token_file) {
        (Some(token), _) => token.clone(),
        (None, Some(file)) => read(file)
            .map_err(|e| CliError::Failed(format!("{} cannot be read: {e}", file.display())))?
            .trim()
            .to_owned(),
        (None, None) => return Err(CliError::Usage("--token or --token-file is needed".to_owned())),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| CliError::Failed(format!("cannot start: {e}")))?;
    let (document, notes) = runtime.block_on(svix::read(&options.url, &token)).map_err(CliError::Failed)?;
    take(&document, notes, options.dry_run, config)
}

fn read(path: &Path) -> io::Result<String> {
    if path == Path::new("-") {
        let mut text = String::new();
        return io::stdin().read_to_string(&mut text).map(|_| text);
    }
    std::fs::read_to_string(path)
}

fn take(document: &Document, notes: Vec<String>, dry_run: bool, config: &Config) -> Result<(), CliError> {
    let vault = DataDir::open(config)?.vault()?;
    let rules = InputRules {
        policy: NetworkPolicy::new(config.network.allow.clone()),
        signing_headers: config.signing.headers.clone(),
        endpoints_per_app: config.limits.endpoints_per_app,
    };
    storage::with(config, async |store| take_with(document, notes, dry_run, store, &vault, &rules).await)
}

async fn take_with(
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
        eprintln!("note: {note}");
    }
    if !plan.problems.is_empty() {
        let n = plan.problems.len();
        let all = plan.problems.join("\n  ");
        return Err(CliError::Failed(format!("nothing was imported; {n} to mend:\n  {all}")));
    }
    let text = summary(&plan, dry_run);
    if !dry_run {
        importer.apply(plan, &By::command_line()).await?;
    }
    output::print(&text)
}

fn summary(plan: &Plan, dry_run: bool) -> String {
    let line = |name: &str, count: Count| {
        let Count { new, changed, same } = count;
        format!("  {name:<9} {new} new, {changed} changed, {same} as they are\n")
    };
    let head = if dry_run { "would import:\n" } else { "imported:\n" };
    head.to_owned() + &line("apps", plan.apps) + &line("webhooks", plan.webhooks) + &line("keys", plan.keys)
}
