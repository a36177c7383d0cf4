//! Workbooks from a process of their own: rows go in as lines, the file comes out.
//!
//! A workbook takes more than a hundred megabytes for a moment, in many small pieces, and an allocator
//! gives such memory back only by luck. A process gives back all of it when it ends. And should the
//! machine run out of memory, it is not the server that is killed for a spreadsheet.
//!
//! The first line is the view, whose columns the workbook has. A row is a JSON array of its cells on a line: null, a
//! number, a text, `{"time":ms}`. The last line is `end`; without it the writer of the rows is gone, and no file is
//! made of a part of them.

use std::borrow::Cow;
use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};

use super::{Book, XlsxError};
use crate::domain::Timestamp;
use crate::domain::attempts::attempt::Attempt;
use crate::domain::filter::View;
use crate::export::{Cell, columns};

const END: &str = "end";

/// A cell on the line.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written<'a> {
    Null,
    Number(i64),
    Text(Cow<'a, str>),
    Time { time: i64 },
}

impl<'a> Written<'a> {
    fn of(cell: Cell<'a>) -> Written<'a> {
        match cell {
            Cell::Null => Written::Null,
            Cell::Number(n) => Written::Number(n),
            Cell::Time(time) => Written::Time { time: time.as_millis() },
            Cell::Text(text) => Written::Text(text),
        }
    }

    fn cell(self) -> Cell<'a> {
        match self {
            Written::Null => Cell::Null,
            Written::Number(n) => Cell::Number(n),
            Written::Time { time } => Cell::Time(Timestamp::from_millis(time)),
            Written::Text(text) => Cell::Text(text),
        }
    }
}

/// Begins what [`build`] reads.
///
/// # Errors
/// When it cannot be written.
pub fn write_view(output: &mut impl Write, view: View) -> io::Result<()> {
    writeln!(output, "{view}")
}

/// Writes rows for [`build`].
///
/// # Errors
/// When they cannot be written.
pub fn write_rows(output: &mut impl Write, rows: &[Attempt], view: View) -> io::Result<()> {
    for row in rows {
        let cells: Vec<Written<'_>> =
            columns(view).iter().map(|column| Written::of((column.cell)(row))).collect();
        serde_json::to_writer(&mut *output, &cells)?;
        output.write_all(b"\n")?;
    }
    Ok(())
}

/// Says that there are no more rows.
///
/// # Errors
/// When it cannot be written.
pub fn write_end(output: &mut impl Write) -> io::Result<()> {
    writeln!(output, "{END}")
}

/// Makes a workbook of the rows that come, and writes the file. `false`: they broke off, and nothing was
/// written.
///
/// # Errors
/// When a line is none of [`write_rows`], or the file cannot be written.
pub fn build(input: impl BufRead, output: &mut impl Write) -> Result<bool, XlsxError> {
    let mut lines = input.lines();
    let first = lines.next().transpose().map_err(XlsxError::Pipe)?;
    let Some(first) = first else { return Ok(false) };
    let view = View::parse(&first).ok_or_else(|| XlsxError::Pipe(io::Error::other("the view is unknown")))?;
    let mut book = Book::new(view);
    for line in lines {
        let line = line.map_err(XlsxError::Pipe)?;
        if line == END {
            output.write_all(&book.finish()?).map_err(XlsxError::Pipe)?;
            return Ok(true);
        }
        let cells: Vec<Written<'_>> =
            serde_json::from_str(&line).map_err(|e| XlsxError::Pipe(io::Error::other(e)))?;
        book.add_cells(cells.into_iter().map(Written::cell));
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::super::tests::read;
    use super::*;
    use crate::export::tests::row;

    fn lines(bodies: &[&str]) -> Vec<u8> {
        let mut lines = Vec::new();
        let rows: Vec<Attempt> = bodies.iter().map(|body| row(body)).collect();
        write_view(&mut lines, View::Deliveries).unwrap();
        write_rows(&mut lines, &rows, View::Deliveries).unwrap();
        lines
    }

    #[test]
    fn a_workbook_from_lines_is_the_same_as_one_from_rows() {
        let bodies = ["=1+1", "a\nb\"c\\", "", "end", "𝄞é\u{0}", "{\"time\":1}"];
        let mut input = lines(&bodies);
        write_end(&mut input).unwrap();
        let mut file = Vec::new();
        assert!(build(&*input, &mut file).unwrap());
        let mut book = Book::new(View::Deliveries);
        let rows = bodies.map(row);
        book.add(&rows);
        let (from_lines, from_rows) = (read(file), read(book.finish().unwrap()));
        assert_eq!(from_lines.height(), bodies.len() + 1);
        // The ids in the rows are random.
        for (place, cell) in from_rows.used_cells().map(|(row, column, cell)| ((row, column), cell)) {
            if ![2, 5].contains(&place.1) {
                assert_eq!(from_lines.get(place), Some(cell), "{place:?}");
            }
        }
    }

    #[test]
    fn rows_that_break_off_make_no_file() {
        let mut file = Vec::new();
        assert!(!build(&*lines(&["a"]), &mut file).unwrap());
        assert!(build(b"nonsense\n".as_slice(), &mut file).is_err());
        assert!(file.is_empty());
    }
}
