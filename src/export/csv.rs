//! CSV: comma, UTF-8 without a byte order mark, a line feed after each row, quotes where they are needed;
//! a null is an empty cell.
//!
//! A spreadsheet runs a cell that begins like a formula, and much of the log was written by strangers
//! (receivers' answers). Such text gets a leading `'`, which spreadsheets show as text. Numbers and times
//! are ours and stay as they are.

use std::borrow::Cow;

use super::{COLUMNS, Cell};
use crate::domain::attempts::attempt::Attempt;

/// The line with the names of the columns.
pub(super) fn head() -> Vec<u8> {
    let mut out = csv::Writer::from_writer(Vec::new());
    out.write_record(COLUMNS.map(|column| column.name)).expect(MEMORY);
    out.into_inner().expect(MEMORY)
}

/// Rows.
pub(super) fn page(rows: &[Attempt]) -> Vec<u8> {
    let mut out = csv::Writer::from_writer(Vec::with_capacity(rows.len() * 512));
    for row in rows {
        for column in &COLUMNS {
            let text = match (column.cell)(row) {
                Cell::Null => Cow::Borrowed(""),
                Cell::Number(n) => Cow::Owned(n.to_string()),
                Cell::Time(t) => Cow::Owned(t.to_string()),
                Cell::Text(text) => harmless(text),
            };
            out.write_field(text.as_bytes()).expect(MEMORY);
        }
        out.write_record(None::<&[u8]>).expect(MEMORY);
    }
    out.into_inner().expect(MEMORY)
}

const MEMORY: &str = "writing to memory does not fail, and every row has all columns";

/// The text, with a `'` before it if a spreadsheet would run it.
fn harmless(text: Cow<'_, str>) -> Cow<'_, str> {
    if is_formula(&text) { Cow::Owned(format!("'{text}")) } else { text }
}

/// Whether a spreadsheet might run a cell. Some drop what is invisible at its beginning, and some take
/// the full-width signs of East Asian keyboards for the plain ones.
fn is_formula(text: &str) -> bool {
    if text.starts_with(['\t', '\r', '\n']) {
        return true;
    }
    let invisible = |c: char| {
        c.is_whitespace() || c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
    };
    let seen = text.trim_start_matches(invisible);
    seen.starts_with([
        '=', '+', '-', '@', '＝', '＋', '－', '＠', '\u{2212}', '\u{fe62}', '\u{fe63}', '\u{fe66}',
        '\u{fe6b}',
    ])
}

#[cfg(test)]
mod tests {
    use super::super::tests::row;
    use super::*;

    #[test]
    fn what_a_spreadsheet_would_run_is_text() {
        let formulas = [
            "=1+1",
            "+1",
            "-1",
            "@SUM(A1)",
            "\t=1",
            "\r=1",
            "\n=1",
            "  =1",
            "\u{a0}=1",
            "\u{feff}=1",
            "\u{200b}=1",
            "\0=1",
            "＝1",
            " ＋1",
            "－1",
            "＠A1",
            "\tx",
            "\rx",
        ];
        for text in formulas {
            assert_eq!(harmless(Cow::Borrowed(text)), format!("'{text}"));
        }
        for text in ["", "a=1", "1-1", "'=1", "{\"a\":1}", " x", "OK", "☃"] {
            assert_eq!(harmless(Cow::Borrowed(text)), text);
        }
    }

    #[test]
    fn a_page_reads_back() {
        let body = "a,\"b\"\r\nc\n\u{1}é";
        let text = [head(), page(&[row(body), row("=1")])].concat();
        let mut reader = csv::Reader::from_reader(text.as_slice());
        assert_eq!(reader.headers().unwrap(), COLUMNS.map(|c| c.name).to_vec());
        let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!((&rows[0][18], &rows[1][18]), (body, "'=1"));
        assert_eq!((&rows[0][0], &rows[0][7], &rows[0][15]), ("7", "v-1", ""));
        assert_eq!(&rows[0][1], "2026-03-01T12:00:00.123Z");
    }
}
