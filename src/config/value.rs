//! Validated values, their display, and conversion to plain types.

use std::path::PathBuf;

use ipnet::IpNet;

use super::{ByteSize, Listen, PublicUrl, Secret};
use crate::domain::Span;
use crate::domain::attempts::retry::Schedule;

/// A value in the format of its key.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Not set, and without default.
    Unset,
    Address(Listen),
    Path(PathBuf),
    Text(String),
    Secret(Secret),
    Url(PublicUrl),
    Span(Span),
    Schedule(Schedule),
    Fraction(f64),
    Count(u64),
    Size(ByteSize),
    Texts(Vec<String>),
    Nets(Vec<IpNet>),
    Format(LogFormat),
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    Auto,
    Text,
    Json,
}

impl LogFormat {
    /// All of them.
    pub const ALL: [LogFormat; 3] = [LogFormat::Auto, LogFormat::Text, LogFormat::Json];

    /// The name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            LogFormat::Auto => "auto",
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        }
    }
}

impl Value {
    /// As TOML; `None` when unset or secret.
    pub fn to_toml(&self) -> Option<String> {
        let quoted = |text: &str| toml::Value::from(text).to_string();
        let list = |items: Vec<String>| {
            let items: Vec<_> = items.iter().map(|item| quoted(item)).collect();
            format!("[{}]", items.join(", "))
        };
        Some(match self {
            Value::Unset | Value::Secret(_) => return None,
            Value::Address(address) => quoted(&address.to_string()),
            Value::Path(path) => quoted(&path.to_string_lossy()),
            Value::Text(text) => quoted(text),
            Value::Url(url) => quoted(url.as_str()),
            Value::Span(span) => quoted(&span.to_string()),
            Value::Schedule(schedule) => list(schedule.waits().iter().map(Span::to_string).collect()),
            Value::Fraction(number) => format!("{number:?}"),
            Value::Count(number) => number.to_string(),
            Value::Size(size) => quoted(&size.to_string()),
            Value::Texts(texts) => list(texts.clone()),
            Value::Nets(nets) => list(nets.iter().map(IpNet::to_string).collect()),
            Value::Format(format) => quoted(format.as_str()),
        })
    }
}

/// Conversion from a [`Value`]; `None` when it has another type.
pub trait FromValue: Sized {
    /// The value, if it has this type.
    fn from_value(value: &Value) -> Option<Self>;
}

macro_rules! from_value {
    ($($variant:ident($inner:ident) => $type:ty: $convert:expr;)*) => {$(
        impl FromValue for $type {
            fn from_value(value: &Value) -> Option<$type> {
                match value {
                    Value::$variant($inner) => $convert,
                    _ => None,
                }
            }
        }
    )*};
}

from_value! {
    Address(v) => Listen: Some(v.clone());
    Path(v) => PathBuf: Some(v.clone());
    Text(v) => String: Some(v.clone());
    Secret(v) => Secret: Some(v.clone());
    Url(v) => PublicUrl: Some(v.clone());
    Span(v) => Span: Some(v.clone());
    Schedule(v) => Schedule: Some(v.clone());
    Fraction(v) => f64: Some(*v);
    Count(v) => u32: u32::try_from(*v).ok();
    Texts(v) => Vec<String>: Some(v.clone());
    Nets(v) => Vec<IpNet>: Some(v.clone());
    Format(v) => LogFormat: Some(*v);
}

impl FromValue for usize {
    fn from_value(value: &Value) -> Option<usize> {
        match value {
            Value::Count(number) => usize::try_from(*number).ok(),
            Value::Size(size) => usize::try_from(size.bytes()).ok(),
            _ => None,
        }
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &Value) -> Option<Option<T>> {
        match value {
            Value::Unset => Some(None),
            given => T::from_value(given).map(Some),
        }
    }
}
