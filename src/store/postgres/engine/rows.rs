//! How the domain's small values stand in columns: ids as `uuid`, times as milliseconds (`bigint`), enums and types
//! as text. Columns are read by their names; a value that does not read is an error that names it, never a guess.
//!
//! All whole numbers are `bigint`: [`Columns::num`] reads one as any type, [`num`] makes a value of one.

use std::borrow::Cow;
use std::error::Error;

use bytes::BytesMut;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};
use uuid::Uuid;

use crate::domain::alert::Form;
use crate::domain::attempts::hold::HoldReason;
use crate::domain::attempts::status_class::StatusClass;
use crate::domain::inbound::source::InboundOutcome;
use crate::domain::{
    ActivityKind, AlertKind, AlertTargetId, AppId, AttemptId, AttemptStatus, Budget, EndpointId,
    EndpointStatus, ErrorKind, EventId, EventPattern, EventType, JobId, JobKind, JobStatus, NodeId, Origin,
    Role, Scopes, Sealed, SessionId, SourceId, Span, Timestamp, Trigger, UserId,
};
use crate::store::postgres::engine::error::{DbError, DbResult, Fault};
use crate::store::shared::endpoint_text;
pub(crate) use crate::store::shared::row_numbers::{
    AppRow, EndpointRow, EventRow, JobRow, SourceRow, TypeRow,
};

type Failure = Box<dyn Error + Sync + Send>;

fn unreadable(what: &str, text: &str) -> Failure {
    Box::new(Fault(format!("{text:?} in the database is no {what}")))
}

macro_rules! uuid_columns {
    ($($id:ident),*) => {$(
        impl<'a> FromSql<'a> for $id {
            fn from_sql(_: &Type, raw: &'a [u8]) -> Result<$id, Failure> {
                Ok($id::from_uuid(Uuid::from_slice(raw)?))
            }
            accepts!(UUID);
        }
        impl ToSql for $id {
            fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
                out.extend_from_slice(self.as_uuid().as_bytes());
                Ok(IsNull::No)
            }
            accepts!(UUID);
            to_sql_checked!();
        }
    )*};
}
uuid_columns!(AlertTargetId, AppId, EndpointId, EventId, JobId, SessionId, SourceId, UserId);

macro_rules! enum_columns {
    ($($name:ident),*) => {$(
        impl<'a> FromSql<'a> for $name {
            fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<$name, Failure> {
                let text = <&str>::from_sql(ty, raw)?;
                $name::parse(text).ok_or_else(|| unreadable(stringify!($name), text))
            }
            accepts!(TEXT);
        }
        impl ToSql for $name {
            fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
                self.as_str().to_sql(ty, out)
            }
            accepts!(TEXT);
            to_sql_checked!();
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

macro_rules! text_columns {
    ($($name:ident: $what:literal, $read:expr;)*) => {$(
        impl<'a> FromSql<'a> for $name {
            fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<$name, Failure> {
                let text = <&str>::from_sql(ty, raw)?;
                $read(text).map_err(|_| unreadable($what, text))
            }
            accepts!(TEXT);
        }
        impl ToSql for $name {
            fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
                self.to_string().to_sql(ty, out)
            }
            accepts!(TEXT);
            to_sql_checked!();
        }
    )*};
}
text_columns! {
    EventType: "event type", EventType::parse;
    Scopes: "list of scopes", Scopes::parse_list;
}

macro_rules! number_columns {
    ($($name:ident: $make:expr, $value:expr;)*) => {$(
        impl<'a> FromSql<'a> for $name {
            fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<$name, Failure> {
                i64::from_sql(ty, raw).map($make)
            }
            accepts!(INT8);
        }
        impl ToSql for $name {
            fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
                let value: fn(&$name) -> i64 = $value;
                value(self).to_sql(ty, out)
            }
            accepts!(INT8);
            to_sql_checked!();
        }
    )*};
}
number_columns! {
    Timestamp: Timestamp::from_millis, |at| at.as_millis();
    AttemptId: AttemptId, |id| id.0;
    NodeId: NodeId, |id| id.0;
    AppRow: AppRow, |row| row.0;
    EndpointRow: EndpointRow, |row| row.0;
    EventRow: EventRow, |row| row.0;
    TypeRow: TypeRow, |row| row.0;
    JobRow: JobRow, |row| row.0;
    SourceRow: SourceRow, |row| row.0;
}

impl<'a> FromSql<'a> for Sealed {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Sealed, Failure> {
        Ok(Sealed(raw.to_vec()))
    }
    accepts!(BYTEA);
}
impl ToSql for Sealed {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        out.extend_from_slice(&self.0);
        Ok(IsNull::No)
    }
    accepts!(BYTEA);
    to_sql_checked!();
}

/// Reading columns by their names.
pub(crate) trait Columns {
    /// A value of its own type: an id, a time, text, an enum, or `Option` of one.
    fn col<'a, T: FromSql<'a>>(&'a self, name: &str) -> DbResult<T>;
    /// A whole number.
    fn num<T: TryFrom<i64>>(&self, name: &str) -> DbResult<T>;
    /// A whole number or nothing.
    fn opt_num<T: TryFrom<i64>>(&self, name: &str) -> DbResult<Option<T>>;
    /// A hash of 32 bytes.
    fn hash(&self, name: &str) -> DbResult<[u8; 32]>;
}

impl Columns for Row {
    fn col<'a, T: FromSql<'a>>(&'a self, name: &str) -> DbResult<T> {
        Ok(self.try_get(name)?)
    }

    fn num<T: TryFrom<i64>>(&self, name: &str) -> DbResult<T> {
        fit(name, self.try_get(name)?)
    }

    fn opt_num<T: TryFrom<i64>>(&self, name: &str) -> DbResult<Option<T>> {
        self.try_get::<_, Option<i64>>(name)?.map(|n| fit(name, n)).transpose()
    }

    fn hash(&self, name: &str) -> DbResult<[u8; 32]> {
        let bytes: &[u8] = self.try_get(name)?;
        bytes.try_into().map_err(|_| DbError::Fault(Fault(format!("the column {name} is no hash"))))
    }
}

fn fit<T: TryFrom<i64>>(name: &str, n: i64) -> DbResult<T> {
    T::try_from(n).map_err(|_| DbError::Fault(Fault(format!("{n} in the column {name} is out of range"))))
}

/// A whole number as a value.
pub(crate) fn num(n: impl TryInto<i64>) -> i64 {
    n.try_into().unwrap_or(i64::MAX)
}

/// A whole number or nothing, as a value.
pub(crate) fn opt_num(n: Option<impl TryInto<i64>>) -> Option<i64> {
    n.map(num)
}

/// Text without NUL, which PostgreSQL cannot hold: for what others write freely.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

/// The budget that a `schedule_used` column means.
pub(crate) fn budget(used: Option<u32>) -> Budget {
    used.map_or(Budget::Single, |used| Budget::Schedule { used })
}

/// The `schedule_used` column of a budget.
pub(crate) fn schedule_used(budget: Budget) -> Option<i64> {
    match budget {
        Budget::Single => None,
        Budget::Schedule { used } => Some(used.into()),
    }
}

/// Reads patterns separated by spaces.
pub(crate) fn read_patterns(text: &str) -> DbResult<Vec<EventPattern>> {
    Ok(endpoint_text::read_patterns(text)?)
}

/// Reads a span of time such as `30s`.
pub(crate) fn read_span(text: &str) -> DbResult<Span> {
    Ok(endpoint_text::read_span(text)?)
}
