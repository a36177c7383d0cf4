//! All keys as a page for people, in Markdown, from the one table.

use super::keys::{KEYS, KeySpec};

const HEAD: &str = "\
# Configuration

Every key, as `postrider config reference` prints it. A test holds this page to the program.

Nothing has to be configured. A value comes from a flag (`--listen`, `--data`), else from the environment, else from the file that \
`--config FILE` or `POSTRIDER_CONFIG` names (TOML, [an example with all keys](../config.example.toml)), else it is the default. In the \
environment lists are separated by commas. A secret can be given as a file: `POSTRIDER_METRICS__TOKEN_FILE=/run/secrets/token`, or \
`metrics.token_file` in the file. `postrider config check` says all that is wrong at once, `postrider config dump` where each value \
comes from.
";

/// What is said of a section before its keys.
fn about_section(section: &str) -> &'static str {
    match section {
        "" => "The server",
        "auth" => "Credentials",
        "delivery" => "How requests are sent; a webhook may have its own schedule, timeout and rate limit",
        "signing" => "How requests are signed",
        "network" => "Where requests may go",
        "retention" => "How long things are kept; the page Retention Policies sets what is not set here",
        "limits" => "What one client may ask for",
        "http" => "Who stands in between",
        "tls" => "Encrypted connections, without a proxy",
        "metrics" => "Who may read /metrics",
        "backup" => "Backups that the server makes by itself",
        "export" => "Exports of the log",
        "log" => "Log lines, to stderr",
        _ => "",
    }
}

/// The page.
pub fn markdown() -> String {
    let mut text = HEAD.to_owned();
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
        Some("") => "default: none in the list".to_owned(),
        Some(default) => format!("default: `{default}`"),
        None => "not set by default".to_owned(),
    };
    let expected = spec.kind.expected();
    let form = expected.strip_prefix("expected ").unwrap_or(&expected);
    let mut variables = format!("`{}`", spec.env_name());
    if spec.is_secret() {
        variables += &format!(" or `{}_FILE`", spec.env_name());
    }
    format!("\n### `{}`\n\n{}\n\n{default}; form: {form}; environment: {variables}\n", spec.name, spec.about)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Set `UPDATE_EXAMPLE=1` to write the page anew after a change to the table.
    #[test]
    fn the_page_in_docs_says_what_the_table_says() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
        if std::env::var_os("UPDATE_EXAMPLE").is_some() {
            std::fs::write(page, markdown()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(page).unwrap(), markdown());
    }

    #[test]
    fn every_section_is_introduced() {
        for spec in KEYS {
            assert_ne!(about_section(spec.section_and_key().0), "", "{}", spec.name);
        }
    }
}
