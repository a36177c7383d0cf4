//! The configuration reference in Markdown, generated from the table of keys.

use super::keys::{KEYS, KeySpec};

/// Columns of a line of the page.
const COLUMNS: usize = 120;

const HEAD: &str = "\
# Configuration

Every key, as printed by `postrider config reference`.

Postrider runs without configuration. In order of precedence, a value comes from a flag (`--listen`, `--data`), the environment, the \
file named by `--config FILE` or `POSTRIDER_CONFIG` (TOML, [example with all keys](../config.example.toml)), or the default. Lists in \
the environment are separated by commas, `[]` is the empty list, and an empty variable counts as not set; `none` unsets \
a value of the file. A secret can be given as a file: `POSTRIDER_METRICS__TOKEN_FILE=/run/secrets/token`, or \
`metrics.token_file` in the file. `postrider config check` reports all problems at once; `postrider config dump` shows where each \
value comes from.
";

/// The title of a section.
fn about_section(section: &str) -> &'static str {
    match section {
        "" => "The server",
        "storage" => "PostgreSQL instead of SQLite",
        "cluster" => "Nodes that share a database",
        "auth" => "Credentials",
        "delivery" => "Delivery; each webhook may have its own schedule, timeout and rate limit",
        "signing" => "Signatures",
        "network" => "Allowed destinations",
        "retention" => "Retention; keys that are not set here can be set on the dashboard's Retention page",
        "limits" => "Per-client limits",
        "http" => "Reverse proxies",
        "tls" => "TLS without a proxy",
        "metrics" => "Access to /metrics",
        "inbound" => "Requests to sources",
        "backup" => "Scheduled backups",
        "export" => "Exports of the delivery log",
        "log" => "Log lines, to stderr",
        _ => "",
    }
}

/// The page.
pub fn markdown() -> String {
    let mut text = HEAD.lines().map(|line| wrapped(line) + "\n").collect::<String>();
    let mut section = None;
    for spec in KEYS {
        let own = spec.section_and_key().0;
        if section != Some(own) {
            section = Some(own);
            let name = if own.is_empty() { String::new() } else { format!("`[{own}]` ") };
            text += &format!("\n## {name}{}\n", about_section(own));
        }
        text += &entry(spec);
    }
    text
}

fn entry(spec: &KeySpec) -> String {
    let default = match spec.default {
        Some("") => "default: empty".to_owned(),
        Some(default) => format!("default: `{default}`"),
        None => "not set by default".to_owned(),
    };
    let format = spec.kind.form();
    let mut variables = format!("`{}`", spec.env_name());
    if spec.is_secret() {
        variables += &format!(" or `{}_FILE`", spec.env_name());
    }
    let facts = format!("{default}; format: {format}; environment: {variables}");
    format!("\n### `{}`\n\n{}\n\n{}\n", spec.name, wrapped(spec.about), wrapped(&facts))
}

/// Breaks a paragraph into lines.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last_mut().expect("there is always a line");
        if last.is_empty() {
            last.push_str(word);
        } else if last.chars().count() + 1 + word.chars().count() > COLUMNS {
            lines.push(word.to_owned());
        } else {
            *last += &format!(" {word}");
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Set `UPDATE_EXAMPLE=1` to regenerate the page after a change of the table.
    #[test]
    fn the_page_in_docs_matches_the_table() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
        if std::env::var_os("UPDATE_EXAMPLE").is_some() {
            std::fs::write(page, markdown()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(page).unwrap(), markdown());
    }

    #[test]
    fn every_section_has_a_title() {
        for spec in KEYS {
            assert_ne!(about_section(spec.section_and_key().0), "", "{}", spec.name);
        }
    }
}
