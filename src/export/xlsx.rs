//! XLSX: one sheet with typed cells, its header row frozen and filtered.
//!
//! Text is stored as text, so nothing in it runs and nothing needs a `'`. Times are dates in UTC, shown
//! to the millisecond. A workbook is built in memory, several KiB a row; [`Book`] must therefore be
//! used by one export at a time, on a thread that may block, and best in a process of its own ([`pipe`]).

use std::io::Cursor;

use umya_spreadsheet::{Coordinate, Pane, PaneStateValues, PaneValues, SheetView, Style, Workbook};

use super::{Cell, columns};
use crate::domain::Timestamp;
use crate::domain::attempts::attempt::Attempt;
use crate::domain::filter::View;

pub mod pipe;

/// The name of the sheet.
const SHEET: &str = "Deliveries";
/// How times are shown.
const DATE_FORMAT: &str = "yyyy-mm-dd hh:mm:ss.000";
/// The most UTF-16 units of a cell's text.
const TEXT_MAX: usize = 32_767;
/// 1899-12-30, the day 0 of dates from March 1900 on, in milliseconds since 1970.
const DAY_0_MS: i64 = -2_209_161_600_000;
/// 1900-03-01. Before it lies the 29 February 1900 that spreadsheets believe in.
const FIRST_SOUND_DAY: f64 = 61.0;
/// Whole numbers up to here are exact in a cell.
const EXACT: i64 = 1 << 53;

/// Why a workbook was not written.
#[derive(Debug, thiserror::Error)]
pub enum XlsxError {
    #[error("the workbook cannot be written")]
    Library(#[source] umya_spreadsheet::XlsxError),
    /// Between the server and the process that makes it.
    #[error("the rows or the file of a workbook were lost on the way")]
    Pipe(#[source] std::io::Error),
    #[error("the process that made a workbook ended without one")]
    Ended,
}

/// A workbook under construction.
pub struct Book {
    book: Workbook,
    view: View,
    rows: u32,
    date: Style,
}

impl Book {
    /// A workbook with the header row.
    pub fn new(view: View) -> Book {
        let mut book = umya_spreadsheet::new_file_empty_worksheet();
        let sheet = book.new_sheet(SHEET).expect("the first sheet's name is free");
        let mut bold = Style::default();
        bold.font_mut().set_bold(true);
        for (number, column) in (1u32..).zip(columns(view)) {
            sheet.cell_mut((number, 1)).set_value_string(column.name).set_style(bold.clone());
            sheet.column_dimension_by_number_mut(number).set_width(column.width);
        }
        let mut top_left = Coordinate::default();
        top_left.set_coordinate("A2");
        let mut pane = Pane::default();
        pane.set_vertical_split(1.0)
            .set_top_left_cell(top_left)
            .set_active_pane(PaneValues::BottomLeft)
            .set_state(PaneStateValues::Frozen);
        let mut sheet_view = SheetView::default();
        sheet_view.set_workbook_view_id(0).set_tab_selected(true).set_pane(pane);
        let views = sheet.sheet_views_mut().sheet_view_list_mut();
        views.clear();
        views.push(sheet_view);
        let mut date = Style::default();
        date.numbering_format_mut().set_format_code(DATE_FORMAT);
        Book { book, view, rows: 1, date }
    }

    /// Adds rows.
    pub fn add(&mut self, rows: &[Attempt]) {
        for row in rows {
            self.add_cells(columns(self.view).iter().map(|column| (column.cell)(row)));
        }
    }

    /// Adds a row of cells, which are in the order of the columns.
    pub fn add_cells<'a>(&mut self, cells: impl Iterator<Item = Cell<'a>>) {
        let sheet = self.book.sheet_by_name_mut(SHEET).expect("it was made with the workbook");
        self.rows += 1;
        for (number, cell) in (1u32..).zip(cells) {
            if cell == Cell::Null {
                continue;
            }
            let place = sheet.cell_mut((number, self.rows));
            match cell {
                Cell::Null => {}
                #[expect(clippy::cast_precision_loss, reason = "up to EXACT there is none")]
                Cell::Number(n) if n.abs() <= EXACT => {
                    place.set_value_number(n as f64);
                }
                Cell::Number(n) => {
                    place.set_value_string(n.to_string());
                }
                Cell::Time(t) => match day(t) {
                    Some(day) => {
                        place.set_value_number(day).set_style(self.date.clone());
                    }
                    None => {
                        place.set_value_string(t.to_string());
                    }
                },
                Cell::Text(text) => {
                    place.set_value_string(sound(&text));
                }
            }
        }
    }

    /// The file.
    ///
    /// # Errors
    /// When the library cannot write it, which nothing here leads to.
    pub fn finish(mut self) -> Result<Vec<u8>, XlsxError> {
        let sheet = self.book.sheet_by_name_mut(SHEET).expect("it was made with the workbook");
        let width = columns(self.view).len() as u32;
        let last = umya_spreadsheet::helper::coordinate::string_from_column_index(width);
        sheet.set_auto_filter(format!("A1:{last}{}", self.rows));
        let mut file = Cursor::new(Vec::new());
        umya_spreadsheet::writer::xlsx::write_writer(&self.book, &mut file).map_err(XlsxError::Library)?;
        Ok(file.into_inner())
    }
}

/// A time as a number of days, if spreadsheets agree on it.
#[expect(clippy::cast_precision_loss, reason = "milliseconds of ten thousand years are below 2^53")]
fn day(t: Timestamp) -> Option<f64> {
    let days = (t.as_millis() - DAY_0_MS) as f64 / 86_400_000.0;
    (days >= FIRST_SOUND_DAY).then_some(days)
}

/// Text as a cell can hold it: what XML cannot carry becomes U+FFFD, line breaks become line feeds, and
/// what is over the limit is cut. `_x0041_` stands for a character in these files, so a text that really
/// says that gets its underscore escaped.
fn sound(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut units = 0;
    let mut rest = text.char_indices().peekable();
    while let Some((at, c)) = rest.next() {
        let c = match c {
            '\r' if matches!(rest.peek(), Some((_, '\n'))) => continue,
            '\r' => '\n',
            '\t' | '\n' => c,
            c if c < ' ' || matches!(c, '\u{fffe}' | '\u{ffff}') => '\u{fffd}',
            c => c,
        };
        units += c.len_utf16();
        if units > TEXT_MAX {
            break;
        }
        out.push(c);
        if c == '_' && is_escape(&text.as_bytes()[at..]) {
            out.push_str("x005F_");
        }
    }
    out
}

/// Whether text begins with `_xHHHH_`.
fn is_escape(text: &[u8]) -> bool {
    matches!(text, [b'_', b'x', hex @ .., ] if hex.len() >= 5
        && hex[..4].iter().all(u8::is_ascii_hexdigit) && hex[4] == b'_')
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::tests::row;
    use super::*;
    use calamine::{Data, Reader as _, Xlsx};

    pub(crate) fn read(file: Vec<u8>) -> calamine::Range<Data> {
        let mut book: Xlsx<_> = Xlsx::new(Cursor::new(file)).unwrap();
        book.worksheet_range(SHEET).unwrap()
    }

    #[test]
    fn text_stays_text_whatever_it_looks_like() {
        let bodies = ["=1+1", "007", "1e5", "TRUE", " x ", "a\nb", "_x0041_", "<a>&\"'", "", "#N/A", "𝄞é"];
        let mut book = Book::new(View::Attempts);
        book.add(&bodies.map(row));
        let sheet = read(book.finish().unwrap());
        for (i, body) in bodies.iter().enumerate() {
            let found = sheet.get((i + 1, 18)).unwrap();
            assert!(
                *found == Data::String((*body).to_owned()) || (body.is_empty() && *found == Data::Empty),
                "{body:?}: {found:?}"
            );
        }
    }

    #[test]
    fn what_a_cell_cannot_hold_is_replaced_or_cut() {
        assert_eq!(sound("a\0b\u{1b}c\u{ffff}"), "a\u{fffd}b\u{fffd}c\u{fffd}");
        assert_eq!(sound("a\r\nb\rc\td"), "a\nb\nc\td");
        assert_eq!(sound("_x0041_ _x004_ _X0041_"), "_x005F_x0041_ _x004_ _X0041_");
        assert_eq!(sound(&"𝄞".repeat(20_000)).encode_utf16().count(), TEXT_MAX - 1);
    }

    #[test]
    fn times_are_dates_in_utc() {
        assert_eq!(day(Timestamp::parse("1900-03-01T00:00:00Z").unwrap()), Some(61.0));
        assert_eq!(day(Timestamp::parse("2026-03-01T12:00:00Z").unwrap()), Some(46_082.5));
        assert_eq!(day(Timestamp::parse("1900-02-28T00:00:00Z").unwrap()), None);
    }
}
