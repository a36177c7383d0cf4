//! CSV: comma, UTF-8 without a byte order mark, a line feed after each row, quotes where they are needed;
//! a null is an empty cell.
//!
//! A spreadsheet runs a cell that begins like a formula, and much of the log was written by strangers
//! (receivers' responses). Such text gets a leading `'`, which spreadsheets show as text. Where a
//! spreadsheet takes `;` or a tab for the separator, as many are set up to, or a line break for the end of
//! a row, a cell begins behind each of these, too. Numbers and times are ours and stay as they are.

use std::borrow::Cow;

use super::{Cell, columns};
use crate::domain::attempts::attempt::Attempt;
use crate::domain::filter::View;

/// The line with the names of the columns.
pub(super) fn head(view: View) -> Vec<u8> {
    let mut out = csv::Writer::from_writer(Vec::new());
    out.write_record(columns(view).iter().map(|column| column.name)).expect(MEMORY);
    out.into_inner().expect(MEMORY)
}

/// Rows.
pub(super) fn page(rows: &[Attempt], view: View) -> Vec<u8> {
    let mut out = csv::Writer::from_writer(Vec::with_capacity(rows.len() * 512));
    for row in rows {
        for column in columns(view) {
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

/// What may begin another cell than the ones written here.
const SEPARATORS: [char; 4] = [';', '\t', '\r', '\n'];

/// The text, with a `'` wherever a cell may begin that a spreadsheet would run.
fn harmless(text: Cow<'_, str>) -> Cow<'_, str> {
    let begins_cell = |(at, separator): (usize, &str)| {
        let next = at + separator.len();
        // A quote that opens a cell is not part of it, and what follows another separator is another cell.
        let skipped = |c: char| c == '"' || (is_invisible(c) && !SEPARATORS.contains(&c));
        begins_formula(text[next..].trim_start_matches(skipped)).then_some(next)
    };
    let first = is_formula(&text).then_some(0);
    let others = text.match_indices(SEPARATORS).filter_map(begins_cell);
    let places: Vec<usize> = first.into_iter().chain(others).collect();
    if places.is_empty() {
        return text;
    }
    let mut out = String::with_capacity(text.len() + places.len());
    let mut from = 0;
    for place in places {
        out.push_str(&text[from..place]);
        out.push('\'');
        from = place;
    }
    out.push_str(&text[from..]);
    Cow::Owned(out)
}

/// Whether a spreadsheet might run a cell. Some drop what is invisible at its beginning, and some take
/// the full-width signs of East Asian keyboards for the plain ones.
fn is_formula(text: &str) -> bool {
    if text.starts_with(['\t', '\r', '\n']) {
        return true;
    }
    begins_formula(text.trim_start_matches(is_invisible))
}

fn is_invisible(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
}

fn begins_formula(text: &str) -> bool {
    text.starts_with([
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
        for (text, expected) in [
            ("a;=1", "a;'=1"),
            ("\t=1", "'\t'=1"),
            ("\r=1", "'\r'=1"),
            ("\n=1", "'\n'=1"),
            ("a; =1", "a;' =1"),
            ("a;\"=1", "a;'\"=1"),
            ("a\t+1", "a\t'+1"),
            ("a\n-1\r@A1", "a\n'-1\r'@A1"),
            ("a\r\n=1", "a\r\n'=1"),
            ("a\n\n=1", "a\n\n'=1"),
            ("=1;=2", "'=1;'=2"),
            ("é;＝1;x", "é;'＝1;x"),
        ] {
            assert_eq!(harmless(Cow::Borrowed(text)), expected);
        }
        for text in
            ["", "a=1", "1-1", "'=1", "{\"a\":1}", " x", "OK", "☃", "a;b", "a\r\nb", "a;;b", "a;'=1", "a,=1"]
        {
            assert_eq!(harmless(Cow::Borrowed(text)), text);
        }
    }

    #[test]
    fn a_page_reads_back() {
        let body = "a,\"b\"\r\nc\n\u{1}é";
        let text = [head(View::Attempts), page(&[row(body), row("=1")], View::Attempts)].concat();
        let mut reader = csv::Reader::from_reader(text.as_slice());
        assert_eq!(
            reader.headers().unwrap(),
            columns(View::Attempts).iter().map(|c| c.name).collect::<Vec<_>>()
        );
        let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!((&rows[0][18], &rows[1][18]), (body, "'=1"));
        assert_eq!((&rows[0][0], &rows[0][7], &rows[0][15]), ("7", "v-1", ""));
        assert_eq!(&rows[0][1], "2026-03-01T12:00:00.123Z");
    }
}
