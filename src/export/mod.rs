//! The delivery log as files: CSV, JSON Lines and XLSX (section 12 of the contract).
//!
//! The columns stand here once, with their types; a format only says how a [`Cell`] is written. Text
//! formats are written page by page, so that an export of any length needs the memory of one page;
//! a workbook has to be built whole, which is why its rows are limited.
//!
//! Nothing here reads storage or knows HTTP: rows come in, bytes go out.

use crate::domain::values::words::words;
use std::borrow::Cow;

use crate::domain::Timestamp;
use crate::domain::attempts::attempt::{Attempt, LastOutcome};
use crate::domain::filter::View;

mod csv;
mod jsonl;
pub mod xlsx;

words! {
    /// A format of exports. The word is also the extension of its files.
    pub enum Format {
        Csv = "csv",
        Xlsx = "xlsx",
        Jsonl = "jsonl",
    }
}

impl Format {
    /// The content type of its files.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Csv => "text/csv; charset=utf-8",
            Format::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            // The one of several names in use that most programs know; none is registered.
            Format::Jsonl => "application/x-ndjson",
        }
    }
}

/// A format that is written page by page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextFormat {
    Csv,
    Jsonl,
}

impl TextFormat {
    /// What comes before the first row.
    pub fn head(self, view: View) -> Vec<u8> {
        match self {
            TextFormat::Csv => csv::head(view),
            TextFormat::Jsonl => vec![],
        }
    }

    /// Rows, each with its line break.
    pub fn page(self, rows: &[Attempt], view: View) -> Vec<u8> {
        match self {
            TextFormat::Csv => csv::page(rows, view),
            TextFormat::Jsonl => jsonl::page(rows, view),
        }
    }
}

/// A value of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell<'a> {
    Null,
    Number(i64),
    Time(Timestamp),
    Text(Cow<'a, str>),
}

impl<'a> Cell<'a> {
    fn number(n: impl Into<i64>) -> Cell<'a> {
        Cell::Number(n.into())
    }

    fn text(text: impl Into<Cow<'a, str>>) -> Cell<'a> {
        Cell::Text(text.into())
    }

    fn or_null(cell: Option<Cell<'a>>) -> Cell<'a> {
        cell.unwrap_or(Cell::Null)
    }
}

/// A column of every format.
pub struct Column {
    pub name: &'static str,
    /// Its width in a workbook, in characters.
    pub width: f64,
    /// What a row has in it.
    pub cell: fn(&Attempt) -> Cell<'_>,
}

const fn column(name: &'static str, width: f64, cell: fn(&Attempt) -> Cell<'_>) -> Column {
    Column { name, width, cell }
}

/// The columns of a view, in order.
pub fn columns(view: View) -> &'static [Column] {
    match view {
        View::Attempts => &COLUMNS[..OF_ATTEMPTS],
        View::Deliveries => &COLUMNS,
    }
}

/// How many columns attempts have; those behind them are about the attempt before a pending one.
const OF_ATTEMPTS: usize = 19;

const COLUMNS: [Column; OF_ATTEMPTS + 4] = [
    column("id", 10.0, |a| Cell::number(a.id.0)),
    column("created_at", 24.0, |a| Cell::Time(a.created_at)),
    column("endpoint_id", 38.0, |a| Cell::text(a.endpoint_id.to_string())),
    column("endpoint_name", 24.0, |a| Cell::text(&*a.endpoint_name)),
    column("endpoint_url", 40.0, |a| Cell::text(&*a.endpoint_url)),
    column("event_id", 38.0, |a| Cell::text(a.event_id.to_string())),
    column("event_type", 24.0, |a| Cell::text(a.event_type.as_str())),
    column("validation_id", 24.0, |a| Cell::or_null(a.validation_id().map(Cell::text))),
    column("delivery_id", 11.0, |a| Cell::number(a.delivery_id.0)),
    column("attempt", 8.0, |a| Cell::number(a.attempt)),
    column("attempted_at", 24.0, |a| Cell::or_null(a.attempted_at.map(Cell::Time))),
    column("status", 11.0, |a| Cell::text(a.status.as_str())),
    column("trigger", 9.0, |a| Cell::text(a.trigger.as_str())),
    column("response_status", 16.0, |a| Cell::or_null(a.response_status.map(Cell::number))),
    column("response_time_ms", 17.0, |a| Cell::or_null(a.response_time_ms.map(Cell::number))),
    column("error_kind", 15.0, |a| Cell::or_null(a.error_kind.map(|kind| Cell::text(kind.as_str())))),
    column("error_message", 40.0, |a| Cell::or_null(a.error_message.as_deref().map(Cell::text))),
    column("next_retry_at", 24.0, |a| Cell::or_null(a.next_retry_at.map(Cell::Time))),
    column("response_body", 60.0, |a| Cell::or_null(a.response_body.as_deref().map(Cell::text))),
    column("last_response_status", 21.0, |a| last(a, |last| last.response_status.map(Cell::number))),
    column("last_error_kind", 16.0, |a| {
        last(a, |last| last.error_kind.map(|kind| Cell::text(kind.as_str())))
    }),
    column("last_error_message", 40.0, |a| last(a, |last| last.error_message.as_deref().map(Cell::text))),
    column("last_attempted_at", 24.0, |a| last(a, |last| last.attempted_at.map(Cell::Time))),
];

fn last<'a>(row: &'a Attempt, cell: fn(&'a LastOutcome) -> Option<Cell<'a>>) -> Cell<'a> {
    Cell::or_null(row.last.as_ref().and_then(cell))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::domain::attempts::attempt::{AttemptStatus, Trigger};
    use crate::domain::{AttemptId, EndpointId, EventId, EventType};

    /// A row with a response body.
    pub(crate) fn row(body: &str) -> Attempt {
        let now = Timestamp::from_millis(1_772_366_400_123);
        Attempt {
            id: AttemptId(7),
            delivery_id: AttemptId(5),
            endpoint_id: EndpointId::new(now),
            endpoint_url: "https://example.com/".to_owned(),
            endpoint_name: "Example".to_owned(),
            event_id: EventId::new(now),
            event_type: EventType::parse("validation.done").unwrap(),
            resource_id: Some("v-1".to_owned()),
            attempt: 2,
            status: AttemptStatus::Delivered,
            trigger: Trigger::Retry,
            response_status: Some(200),
            response_body: Some(body.to_owned()),
            response_time_ms: Some(25),
            error_kind: None,
            error_message: None,
            next_retry_at: None,
            created_at: now,
            due_at: None,
            attempted_at: Some(now),
            last: None,
        }
    }

    #[test]
    fn the_columns_are_those_of_the_contract_in_its_order() {
        let wanted = "id created_at endpoint_id endpoint_name endpoint_url event_id event_type validation_id \
                      delivery_id attempt attempted_at status trigger response_status response_time_ms \
                      error_kind error_message next_retry_at response_body";
        let names = |view| columns(view).iter().map(|c| c.name).collect::<Vec<_>>();
        assert_eq!(names(View::Attempts), wanted.split_whitespace().collect::<Vec<_>>());
        let last = ["last_response_status", "last_error_kind", "last_error_message", "last_attempted_at"];
        assert_eq!(names(View::Deliveries), [names(View::Attempts), last.to_vec()].concat());
    }
}
