//! What a list is sorted by, as it stands in a cursor.

use serde::{Deserialize, Serialize};

use crate::domain::filter::SortValue;

/// The value of the row that a page ends with; absent: null.
#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum PlaceValue {
    Number(i64),
    Text(String),
}

impl PlaceValue {
    /// As it is written.
    pub(super) fn of(value: SortValue) -> Option<PlaceValue> {
        match value {
            SortValue::Null => None,
            SortValue::Number(n) => Some(PlaceValue::Number(n)),
            SortValue::Text(text) => Some(PlaceValue::Text(text)),
        }
    }

    /// As it is meant.
    pub(super) fn read(value: Option<PlaceValue>) -> SortValue {
        match value {
            None => SortValue::Null,
            Some(PlaceValue::Number(n)) => SortValue::Number(n),
            Some(PlaceValue::Text(text)) => SortValue::Text(text),
        }
    }
}
