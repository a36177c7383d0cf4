//! How the domain's small values stand in columns: ids as 16 bytes, times as milliseconds, enums and
//! types as text.
//!
//! Reading is strict: a value that does not read is an error that names it, never a guess.
//!
//! Columns are read by name. By number are those of single columns, and those of statements that run for each request
//! or delivery or read thousands of rows (keys, attempts and what is pending, lists of the log and of endpoints,
//! statistics, sweeping): a name is searched for again in each row.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Row, RowIndex};
use uuid::Uuid;

use crate::domain::alert::Form;
use crate::domain::attempts::hold::HoldReason;
use crate::domain::attempts::status_class::StatusClass;
use crate::domain::inbound::source::InboundOutcome;
use crate::domain::{
    ActivityKind, AlertKind, AlertTargetId, AppId, AttemptId, AttemptStatus, Budget, EndpointId,
    EndpointStatus, ErrorKind, EventId, EventPattern, EventType, JobId, JobKind, JobStatus, Origin, Role,
    Scopes, Sealed, SessionId, SourceId, Span, Timestamp, Trigger, UserId,
};
use crate::store::shared::endpoint_text;
use crate::store::shared::fault::Fault;
pub(crate) use crate::store::shared::row_numbers::{
    AppRow, EndpointRow, EventRow, JobRow, SourceRow, TypeRow,
};

fn unreadable(what: &str, text: &str) -> FromSqlError {
    FromSqlError::Other(Box::new(Fault(format!("{text:?} in the database is no {what}"))))
}

macro_rules! uuid_columns {
    ($($id:ident),*) => {$(
        impl FromSql for $id {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<$id> {
                <[u8; 16]>::column_result(value).map(|bytes| $id::from_uuid(Uuid::from_bytes(bytes)))
            }
        }
        impl ToSql for $id {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(ToSqlOutput::from(self.as_uuid().into_bytes().to_vec()))
            }
        }
    )*};
}
uuid_columns!(AlertTargetId, AppId, EndpointId, EventId, JobId, SessionId, SourceId, UserId);

macro_rules! enum_columns {
    ($($name:ident),*) => {$(
        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<$name> {
                let text = value.as_str()?;
                $name::parse(text).ok_or_else(|| unreadable(stringify!($name), text))
            }
        }
        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(ToSqlOutput::from(self.as_str()))
            }
        }
    )*};
}
enum_columns!(
    AlertKind,
    Form,
    AttemptStatus,
    Trigger,
    ErrorKind,
    HoldReason,
    StatusClass,
    EndpointStatus,
    Origin,
    Role,
    ActivityKind,
    JobKind,
    JobStatus,
    InboundOutcome
);

impl FromSql for Timestamp {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Timestamp> {
        value.as_i64().map(Timestamp::from_millis)
    }
}
impl ToSql for Timestamp {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.as_millis()))
    }
}

impl FromSql for AttemptId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<AttemptId> {
        value.as_i64().map(AttemptId)
    }
}
impl ToSql for AttemptId {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.0))
    }
}

impl FromSql for EventType {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<EventType> {
        let text = value.as_str()?;
        EventType::parse(text).map_err(|_| unreadable("event type", text))
    }
}
impl ToSql for EventType {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.as_str()))
    }
}

impl FromSql for Scopes {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Scopes> {
        let text = value.as_str()?;
        Scopes::parse_list(text).map_err(|_| unreadable("list of scopes", text))
    }
}
impl ToSql for Scopes {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.to_string()))
    }
}

impl FromSql for Sealed {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Sealed> {
        value.as_blob().map(|bytes| Sealed(bytes.to_vec()))
    }
}
impl ToSql for Sealed {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.0.as_slice()))
    }
}

macro_rules! row_numbers {
    ($($name:ident),*) => {$(
        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<$name> {
                value.as_i64().map($name)
            }
        }
        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(ToSqlOutput::from(self.0))
            }
        }
    )*};
}
row_numbers!(AppRow, EndpointRow, EventRow, TypeRow, JobRow, SourceRow);

/// The budget that a `schedule_used` column means.
pub(crate) fn budget(used: Option<u32>) -> Budget {
    used.map_or(Budget::Single, |used| Budget::Schedule { used })
}

/// The `schedule_used` column of a budget.
pub(crate) fn schedule_used(budget: Budget) -> Option<u32> {
    match budget {
        Budget::Single => None,
        Budget::Schedule { used } => Some(used),
    }
}

/// A count that SQLite has as a signed number.
pub(crate) fn count(row: &Row<'_>, column: impl RowIndex) -> rusqlite::Result<u64> {
    let column = column.idx(row.as_ref())?;
    let n: i64 = row.get(column)?;
    u64::try_from(n).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, n))
}

/// Reads patterns separated by spaces.
pub(crate) fn read_patterns(text: &str) -> rusqlite::Result<Vec<EventPattern>> {
    Ok(endpoint_text::read_patterns(text)?)
}

/// Reads a span of time such as `30s`.
pub(crate) fn read_span(text: &str) -> rusqlite::Result<Span> {
    Ok(endpoint_text::read_span(text)?)
}
