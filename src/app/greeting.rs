//! What a person reads after the start: where everything is, and lines that work when they are pasted
//! into another terminal, in whichever directory that is, or outside the container.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::config::{Config, KEYS, Listen, Origin};

/// Prints it. Nobody may be there to read it; the server serves all the same.
pub(super) fn print(config: &Config, address: &Listen, setup: Option<&str>) {
    let program = std::env::args_os().next().unwrap_or_else(|| OsString::from("postrider"));
    let program = quoted(&from_anywhere(Path::new(&program)));
    let program = match container() {
        Some(id) => format!("docker exec {} {program}", quoted(Path::new(&id))),
        None => program,
    };
    let text = text(config, address, setup, &program);
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn text(config: &Config, address: &Listen, setup: Option<&str>, program: &str) -> String {
    let base = config.public_base_at(address.clone());
    let data = absolute(&config.data_dir);
    let mut text = format!(
        "Postrider {version}
  data       {}
  dashboard  {base}/admin/
  API docs   {base}/docs
  health     {base}/healthz
",
        data.display(),
        version = env!("CARGO_PKG_VERSION"),
    );
    if let Some(link) = setup {
        let said = "\nNobody can sign in yet. This link makes the owner, once, within 30 minutes:";
        // Writing to a string does not fail.
        let _ = writeln!(text, "{said}\n  {link}");
    }
    let data = quoted(&data);
    let file = config_file(config).map_or(String::new(), |file| format!(" --config {}", quoted(&file)));
    let curl = match (config.public_url.is_some(), address) {
        (false, Listen::Unix(path)) => format!("curl --unix-socket {}", quoted(&absolute(path))),
        _ => "curl".to_owned(),
    };
    let _ = write!(
        text,
        "
To make a key, a webhook and an event, paste this into another terminal:
  export TOKEN=$({program}{file} --data {data} key create --name first --scope admin --json | sed 's/.*\"token\":\"\\([^\"]*\\)\".*/\\1/')
  {curl} {base}/v1/webhooks -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' \\
    -d '{{\"url\":\"https://example.com/hook\",\"events\":[\"*\"]}}'
  {curl} {base}/v1/events -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' \\
    -d '{{\"event_type\":\"license.assigned\",\"payload\":{{\"license\":\"L-1\"}}}}'

"
    );
    text
}

/// The container's name, when this program is all that runs in one: a person's other terminal is outside, and
/// the image has no shell.
fn container() -> Option<OsString> {
    if std::process::id() == 1 { std::env::var_os("HOSTNAME").filter(|name| !name.is_empty()) } else { None }
}

/// A name that leads to the program from any directory; without a slash it is looked up in `PATH`, which
/// needs no directory.
fn from_anywhere(program: &Path) -> PathBuf {
    if program.components().count() > 1 { absolute(program) } else { program.to_owned() }
}

fn absolute(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    // `./data` without the dot.
    absolute.components().collect()
}

/// The configuration file, if anything comes from one: it may say how keys begin.
fn config_file(config: &Config) -> Option<PathBuf> {
    KEYS.iter().find_map(|key| match config.origin(key.name) {
        Origin::File(path) => Some(absolute(path)),
        _ => None,
    })
}

/// A path as a shell takes it.
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
    fn a_path_is_quoted_when_a_shell_would_take_it_apart() {
        for (path, shell) in
            [("/srv/a-b_1.2", "/srv/a-b_1.2"), ("/a b", "'/a b'"), ("/it's", r"'/it'\''s'"), ("", "''")]
        {
            assert_eq!(quoted(Path::new(path)), shell);
        }
    }

    #[test]
    fn a_program_of_the_path_keeps_its_name_and_another_one_gets_all_of_it() {
        assert_eq!(from_anywhere(Path::new("postrider")), Path::new("postrider"));
        let here = std::env::current_dir().unwrap();
        assert_eq!(from_anywhere(Path::new("./a/../postrider")), here.join("a/../postrider"));
    }
}
