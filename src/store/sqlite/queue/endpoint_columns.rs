//! The values of an endpoint's row in columns; lists stand as text ([`crate::store::shared::endpoint_text`]).

use rusqlite::types::{FromSql as _, Null, ToSql as _, ToSqlOutput, ValueRef};

use crate::domain::attempts::retry::Schedule;
use crate::domain::endpoint::{EndpointHeader, EndpointSecret, RetiredSecret};
use crate::domain::values::preset_mark::PresetMark;
use crate::domain::values::rate::Rate;
use crate::domain::{EndpointStatus, EventPattern, Sealed, Span, Timestamp};
use crate::store::shared::endpoint_text::{
    read_headers, read_mark, read_patterns, read_retired, read_schedule, read_secrets, read_span,
    write_headers, write_mark, write_patterns, write_retired, write_schedule, write_secrets, write_span,
};

/// What stands in the two columns of a rate.
pub(crate) fn write_rate(rate: Option<Rate>) -> [ToSqlOutput<'static>; 2] {
    let (number, text) = crate::store::shared::endpoint_text::write_rate(rate);
    [number.map_or(Null.into(), ToSqlOutput::from), text.map_or(Null.into(), ToSqlOutput::from)]
}

/// A value that stands in one column of an endpoint's row.
pub(crate) trait Column: Sized {
    /// Reads it, strictly.
    fn read(value: ValueRef<'_>) -> rusqlite::Result<Self>;
    /// What stands in the column.
    fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>>;
}

macro_rules! plain_columns {
    ($($type:ty),*) => {$(
        impl Column for $type {
            fn read(value: ValueRef<'_>) -> rusqlite::Result<$type> {
                Ok(<$type>::column_result(value)?)
            }
            fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                self.to_sql()
            }
        }
    )*};
}
plain_columns!(bool, u32, String, Option<String>, EndpointStatus, Sealed, Timestamp);

macro_rules! text_columns {
    ($($type:ty: $read:ident, $write:ident;)*) => {$(
        impl Column for $type {
            fn read(value: ValueRef<'_>) -> rusqlite::Result<$type> {
                Ok($read(value.as_str()?)?)
            }
            fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok($write(self).into())
            }
        }
    )*};
}
text_columns! {
    Vec<EventPattern>: read_patterns, write_patterns;
    Vec<EndpointHeader>: read_headers, write_headers;
    Vec<RetiredSecret>: read_retired, write_retired;
    Schedule: read_schedule, write_schedule;
    Span: read_span, write_span;
}

macro_rules! optional_columns {
    ($($type:ty),*) => {$(
        impl Column for Option<$type> {
            fn read(value: ValueRef<'_>) -> rusqlite::Result<Option<$type>> {
                match value {
                    ValueRef::Null => Ok(None),
                    value => <$type>::read(value).map(Some),
                }
            }
            fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                self.as_ref().map_or(Ok(Null.into()), Column::write)
            }
        }
    )*};
}
optional_columns!(Schedule, Span);

/// NULL: none.
impl Column for Vec<EndpointSecret> {
    fn read(value: ValueRef<'_>) -> rusqlite::Result<Vec<EndpointSecret>> {
        Ok(read_secrets(value.as_str_or_null()?)?)
    }

    fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(write_secrets(self).map_or(Null.into(), ToSqlOutput::from))
    }
}

/// JSON.
impl Column for Option<PresetMark> {
    fn read(value: ValueRef<'_>) -> rusqlite::Result<Option<PresetMark>> {
        Ok(read_mark(value.as_str_or_null()?)?)
    }

    fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(write_mark(self.as_ref()).map_or(Null.into(), ToSqlOutput::from))
    }
}
