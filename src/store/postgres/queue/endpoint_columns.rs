//! The values of an endpoint's row in columns; lists stand as text ([`crate::store::shared::endpoint_text`]).

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::domain::attempts::retry::Schedule;
use crate::domain::endpoint::{EndpointHeader, EndpointSecret, RetiredSecret};
use crate::domain::values::preset_mark::PresetMark;
use crate::domain::{EndpointStatus, EventPattern, Sealed, Span, Timestamp};
use crate::store::postgres::engine::error::DbResult;
use crate::store::postgres::engine::rows::{Columns as _, clean, num};
use crate::store::shared::endpoint_text::{
    read_headers, read_mark, read_patterns, read_retired, read_schedule, read_secrets, read_span,
    write_headers, write_mark, write_patterns, write_retired, write_schedule, write_secrets, write_span,
};

/// A value on its way into a column.
pub(crate) type Value = Box<dyn ToSql + Sync + Send>;

/// A value that stands in one column of an endpoint's row.
pub(crate) trait Column: Sized {
    /// Reads it, strictly.
    fn read(row: &Row, name: &str) -> DbResult<Self>;
    /// What stands in the column.
    fn write(&self) -> Value;
}

macro_rules! plain_columns {
    ($($type:ty),*) => {$(
        impl Column for $type {
            fn read(row: &Row, name: &str) -> DbResult<$type> {
                row.col(name)
            }
            fn write(&self) -> Value {
                Box::new(self.clone())
            }
        }
    )*};
}
plain_columns!(bool, EndpointStatus, Sealed, Timestamp);

impl Column for u32 {
    fn read(row: &Row, name: &str) -> DbResult<u32> {
        row.num(name)
    }
    fn write(&self) -> Value {
        Box::new(num(*self))
    }
}

impl Column for String {
    fn read(row: &Row, name: &str) -> DbResult<String> {
        row.col(name)
    }
    fn write(&self) -> Value {
        Box::new(clean(self).into_owned())
    }
}

impl Column for Option<String> {
    fn read(row: &Row, name: &str) -> DbResult<Option<String>> {
        row.col(name)
    }
    fn write(&self) -> Value {
        Box::new(self.as_deref().map(|text| clean(text).into_owned()))
    }
}

macro_rules! text_columns {
    ($($type:ty: $read:ident, $write:ident;)*) => {$(
        impl Column for $type {
            fn read(row: &Row, name: &str) -> DbResult<$type> {
                Ok($read(row.col(name)?)?)
            }
            fn write(&self) -> Value {
                Box::new($write(self))
            }
        }
    )*};
}
text_columns! {
    Vec<EventPattern>: read_patterns, write_patterns;
    Vec<EndpointHeader>: read_headers, write_headers;
    Vec<RetiredSecret>: read_retired, write_retired;
    Vec<EndpointSecret>: read_secrets, write_secrets;
}

macro_rules! optional_columns {
    ($($type:ty: $read:ident, $write:ident;)*) => {$(
        impl Column for Option<$type> {
            fn read(row: &Row, name: &str) -> DbResult<Option<$type>> {
                let text: Option<&str> = row.col(name)?;
                Ok(text.map($read).transpose()?)
            }
            fn write(&self) -> Value {
                Box::new(self.as_ref().map($write))
            }
        }
    )*};
}
optional_columns! {
    Schedule: read_schedule, write_schedule;
    Span: read_span, write_span;
}

impl Column for Option<PresetMark> {
    fn read(row: &Row, name: &str) -> DbResult<Option<PresetMark>> {
        Ok(read_mark(row.col(name)?)?)
    }
    fn write(&self) -> Value {
        Box::new(write_mark(self.as_ref()))
    }
}
