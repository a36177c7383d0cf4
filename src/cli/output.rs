//! Output of commands: text and tables for people, JSON for programs.

use std::io::{self, Write};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;

use super::CliError;
use crate::config::Config;
use crate::domain::Timestamp;
use crate::host::data_dir::DataDir;
use crate::host::output_queue;
use crate::trace::logging;

/// How long the end of the process waits for readers of its output.
const PATIENCE: Duration = Duration::from_secs(1);

/// Writes a text for people to stdout, with characters escaped that could steer a terminal.
pub(super) fn print(text: &str) -> Result<(), CliError> {
    print_exactly(&printable_text(text))
}

/// Writes a text for programs to stdout. A closed pipe (`| head`) is no error.
pub(super) fn print_exactly(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            Err(CliError::Failed(format!("cannot write to standard output: {e}")))
        }
        _ => Ok(()),
    }
}

/// One line of JSON.
pub(super) fn print_json(value: &Value) -> Result<(), CliError> {
    print_exactly(&format!("{value}\n"))
}

/// A table with a header row; each column is as wide as its widest cell.
pub(super) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let lines = || {
        std::iter::once(head.map(printable)).chain(rows.iter().map(|r| r.each_ref().map(|c| printable(c))))
    };
    let width = |i: usize| lines().map(|line| line[i].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    lines()
        .map(|line| {
            let cells: Vec<String> =
                line.iter().zip(&widths).map(|(cell, w)| format!("{cell:<w$}")).collect();
            cells.join("  ").trim_end().to_owned() + "\n"
        })
        .collect()
}

/// Prints a message on stderr. Does not wait long for a reader: a pipe that nobody reads must not keep the process
/// from ending.
pub(super) fn message(text: &str) {
    let line = printable_text(text) + "\n";
    let (done, written) = mpsc::channel();
    std::thread::spawn(move || {
        let _ = io::stderr().write_all(line.as_bytes());
        let _ = done.send(());
    });
    let _ = written.recv_timeout(PATIENCE);
}

/// Writes the rest of what a server has logged and printed, before the process ends.
pub(super) fn flush() {
    logging::flush();
    if let Some(stdout) = output_queue::stdout() {
        stdout.flush(PATIENCE);
    }
}

/// One line: names come from clients, so characters that could steer a terminal are escaped.
pub(super) fn printable(text: &str) -> String {
    escaped(text, |_| false)
}

/// The same for a text of several lines.
fn printable_text(text: &str) -> String {
    escaped(text, |c| matches!(c, '\n' | '\t'))
}

fn escaped(text: &str, is_allowed: fn(char) -> bool) -> String {
    // Besides control characters those that change the direction of text.
    let steers = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match steers(c) && !is_allowed(c) {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    shown
}

/// A number with its noun: `1 webhook`, `2 webhooks`, `3 deliveries`.
pub(super) fn counted(n: impl TryInto<u64>, noun: &str) -> String {
    let n = n.try_into().unwrap_or(u64::MAX);
    match (n, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) if !noun.ends_with("ey") => format!("{n} {stem}ies"),
        _ => format!("{n} {noun}s"),
    }
}

/// The URL of the server: of the running one, or else the configured one.
pub(super) fn base(config: &Config) -> String {
    let of_directory = config.storage.url.is_none().then(|| DataDir::existing(config).url()).flatten();
    of_directory.unwrap_or_else(|| config.public_base())
}

/// A time to the second, or a dash.
pub(super) fn time(at: Option<Timestamp>) -> String {
    at.map_or("-".to_owned(), |at| format!("{}Z", &at.to_string()[..19]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_control_characters_stay_harmless() {
        let rows = [["ä".to_owned(), "1".to_owned()], ["long\u{1b}[2J".to_owned(), "2".to_owned()]];
        let expected = ["NAME           N", "ä              1", "long\\u{1b}[2J  2"];
        assert_eq!(table(["NAME", "N"], &rows).lines().collect::<Vec<_>>(), expected);
        assert_eq!(printable_text("a\nb\u{1b}]0;x\u{7}\u{202e}"), "a\nb\\u{1b}]0;x\\u{7}\\u{202e}");
    }

    #[test]
    fn nouns_follow_their_number() {
        assert_eq!(counted(1_u64, "webhook"), "1 webhook");
        assert_eq!(counted(0_usize, "delivery"), "0 deliveries");
        assert_eq!(counted(2_usize, "key"), "2 keys");
    }

    #[test]
    fn times_are_shown_to_the_second() {
        assert_eq!(time(Some(Timestamp::from_millis(1_700_000_000_123))), "2023-11-14T22:13:20Z");
        assert_eq!(time(None), "-");
    }
}
