//! The greeting after the start: addresses, and commands that work when they are pasted into another
//! terminal, in any directory, or outside the container.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::config::{Config, KEYS, Listen, Origin};
use crate::host::output_queue;

/// What is shown in place of a directory.
pub(super) const DATABASE: &str = "the database of storage.url";

/// Prints the greeting without waiting for a reader.
pub(super) fn print(config: &Config, address: &Listen, setup: Option<&str>) {
    let program = std::env::args_os().next().unwrap_or_else(|| OsString::from("postrider"));
    let program = quoted(&from_anywhere(Path::new(&program)));
    let program = match container() {
        Some(id) => format!("docker exec {} {program}", quoted(Path::new(&id))),
        None => program,
    };
    let text = text(config, address, setup, &program);
    if let Some(stdout) = output_queue::stdout() {
        stdout.send(text.into_bytes());
    }
}

fn text(config: &Config, address: &Listen, setup: Option<&str>, program: &str) -> String {
    let base = config.public_base_at(address.clone());
    // A database server is shared, and its URL may hold a password.
    let data = config.storage.url.is_none().then(|| absolute(&config.data_dir));
    let data_shown = data.as_deref().map_or_else(|| DATABASE.to_owned(), |data| data.display().to_string());
    let mut text = format!(
        "Postrider {version}
  data       {data_shown}
  dashboard  {base}/admin/
  API docs   {base}/docs
  health     {base}/healthz
",
        version = env!("CARGO_PKG_VERSION"),
    );
    if let Some(link) = setup {
        let notice = "\nNo users yet. Open this link within 30 minutes to create the owner account:";
        // Writing to a string does not fail.
        let _ = writeln!(text, "{notice}\n  {link}");
    }
    let data = data.map_or(String::new(), |data| format!(" --data {}", quoted(&data)));
    let file = config_file(config).map_or(String::new(), |file| format!(" --config {}", quoted(&file)));
    let curl = match (config.public_url.is_some(), address) {
        (false, Listen::Unix(path)) => format!("curl --unix-socket {}", quoted(&absolute(path))),
        _ => "curl".to_owned(),
    };
    let _ = write!(
        text,
        "
To create a key, a webhook and an event, paste this into another terminal:
  export TOKEN=$({program}{file}{data} key create --name first --scope admin --quiet)
  {curl} {base}/v1/webhooks -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' \\
    -d '{{\"url\":\"https://example.com/hook\",\"events\":[\"*\"]}}'
  {curl} {base}/v1/events -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' \\
    -d '{{\"event_type\":\"license.assigned\",\"payload\":{{\"license\":\"L-1\"}}}}'

"
    );
    text
}

/// The container's id, when this process is PID 1 of one: the other terminal is outside, and the image has no
/// shell.
fn container() -> Option<OsString> {
    if std::process::id() == 1 { std::env::var_os("HOSTNAME").filter(|name| !name.is_empty()) } else { None }
}

/// A path of the program that works in any directory; without a slash the program is found in `PATH`.
fn from_anywhere(program: &Path) -> PathBuf {
    if program.components().count() > 1 { absolute(program) } else { program.to_owned() }
}

fn absolute(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    // `./data` without the dot.
    absolute.components().collect()
}

/// The configuration file, if any key comes from one: it may set the prefix of keys.
fn config_file(config: &Config) -> Option<PathBuf> {
    KEYS.iter().find_map(|key| match config.origin(key.name) {
        Origin::File(path) => Some(absolute(path)),
        _ => None,
    })
}

/// A path quoted for a shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_characters_in_a_path_are_quoted() {
        for (path, shell) in
            [("/srv/a-b_1.2", "/srv/a-b_1.2"), ("/a b", "'/a b'"), ("/it's", r"'/it'\''s'"), ("", "''")]
        {
            assert_eq!(quoted(Path::new(path)), shell);
        }
    }

    #[test]
    fn with_a_database_server_no_directory_is_named() {
        let with = |url: Option<&str>| {
            let mut config = Config::default();
            config.storage.url = url.map(|url| crate::config::Secret::new(url.to_owned()));
            text(&config, &config.listen, None, "postrider")
        };
        let (here, there) = (with(None), with(Some("postgres://u:hush@h/db")));
        assert!(here.contains("  data       /") && here.contains(" --data /"), "{here}");
        assert!(there.contains("  data       the database of storage.url\n"), "{there}");
        assert!(there.contains("$(postrider key create") && !there.contains("hush"), "{there}");
    }

    #[test]
    fn a_program_in_the_path_keeps_its_name_and_others_become_absolute() {
        assert_eq!(from_anywhere(Path::new("postrider")), Path::new("postrider"));
        let here = std::env::current_dir().unwrap();
        assert_eq!(from_anywhere(Path::new("./a/../postrider")), here.join("a/../postrider"));
    }
}
