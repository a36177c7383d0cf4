//! What a partial update says about one setting that may be absent.

/// Leaves, removes or sets a setting.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Change<T> {
    /// It was not mentioned.
    #[default]
    Keep,
    /// `null`: back to the default.
    Clear,
    Set(T),
}

impl<T> Change<T> {
    /// For a setting that always has a value: the default instead of none.
    pub fn or_default(self) -> Option<T>
    where
        T: Default,
    {
        match self {
            Change::Keep => None,
            Change::Clear => Some(T::default()),
            Change::Set(value) => Some(value),
        }
    }

    /// Converts a value that is set; `None` leaves the setting alone (its problem has been noted).
    pub fn and_then<U>(self, convert: impl FnOnce(T) -> Option<U>) -> Change<U> {
        match self {
            Change::Keep => Change::Keep,
            Change::Clear => Change::Clear,
            Change::Set(value) => convert(value).map_or(Change::Keep, Change::Set),
        }
    }
}

/// Something that changes a `T`.
pub trait ApplyTo<T> {
    /// Changes it.
    fn apply_to(self, setting: &mut T);
}

impl<T> ApplyTo<Option<T>> for Change<T> {
    fn apply_to(self, setting: &mut Option<T>) {
        match self {
            Change::Keep => {}
            Change::Clear => *setting = None,
            Change::Set(value) => *setting = Some(value),
        }
    }
}

/// A setting that always has a value: `None` keeps it.
impl<T> ApplyTo<T> for Option<T> {
    fn apply_to(self, setting: &mut T) {
        if let Some(value) = self {
            *setting = value;
        }
    }
}

/// What a field of a JSON body says: absent, `null` or a value.
impl<T> From<Option<Option<T>>> for Change<T> {
    fn from(field: Option<Option<T>>) -> Change<T> {
        field.map_or(Change::Keep, |value| value.map_or(Change::Clear, Change::Set))
    }
}

#[cfg(test)]
mod tests {
    use super::{ApplyTo as _, Change};

    #[test]
    fn a_change_keeps_clears_or_sets() {
        for (field, after) in [(None, Some(1)), (Some(None), None), (Some(Some(2)), Some(2))] {
            let mut setting = Some(1);
            Change::from(field).apply_to(&mut setting);
            assert_eq!(setting, after);
        }
    }
}
