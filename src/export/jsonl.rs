//! JSON Lines: one flat object a line, columns as keys and in their order, nulls as null.

use std::io::Write as _;

use super::{Cell, columns};
use crate::domain::attempts::attempt::Attempt;
use crate::domain::filter::View;

/// Rows.
pub(super) fn page(rows: &[Attempt], view: View) -> Vec<u8> {
    let mut out = Vec::with_capacity(rows.len() * 896);
    for row in rows {
        for (i, column) in columns(view).iter().enumerate() {
            out.push(if i == 0 { b'{' } else { b',' });
            // The names are plain words, with nothing to escape.
            write!(out, "\"{}\":", column.name).expect(MEMORY);
            match (column.cell)(row) {
                Cell::Null => out.extend_from_slice(b"null"),
                Cell::Number(n) => write!(out, "{n}").expect(MEMORY),
                Cell::Time(t) => write!(out, "\"{t}\"").expect(MEMORY),
                Cell::Text(text) => serde_json::to_writer(&mut out, &text).expect(MEMORY),
            }
        }
        out.extend_from_slice(b"}\n");
    }
    out
}

const MEMORY: &str = "writing to memory does not fail, and text is always JSON";

#[cfg(test)]
mod tests {
    use super::super::tests::row;
    use super::*;

    #[test]
    fn a_page_reads_back() {
        let body = "\u{2028}=\"\\\n\u{1}é";
        let text = String::from_utf8(page(&[row(body), row("")], View::Attempts)).unwrap();
        let lines: Vec<serde_json::Value> =
            text.split_terminator('\n').map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["response_body"], body);
        assert_eq!((&lines[0]["id"], &lines[0]["attempt"]), (&7.into(), &2.into()));
        assert!(lines[0]["error_kind"].is_null() && lines[0]["next_retry_at"].is_null());
        assert!(text.starts_with("{\"id\":7,\"created_at\":\"2026-03-01T12:00:00.123Z\",\"endpoint_id\":"));
    }
}
