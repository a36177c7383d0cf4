//! What commands print: text, tables for people, JSON for programs.

use std::io::{self, Write};

use serde_json::Value;

use super::CliError;
use crate::domain::Timestamp;

/// Writes to stdout. A reader that has gone away (`| head`) is no error.
pub(super) fn print(text: &str) -> Result<(), CliError> {
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
    print(&format!("{value}\n"))
}

/// A table with a head, columns as wide as they need to be.
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

/// Names come from clients; what would steer a terminal is shown as an escape.
fn printable(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
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
    }

    #[test]
    fn times_are_shown_to_the_second() {
        assert_eq!(time(Some(Timestamp::from_millis(1_700_000_000_123))), "2023-11-14T22:13:20Z");
        assert_eq!(time(None), "-");
    }
}
