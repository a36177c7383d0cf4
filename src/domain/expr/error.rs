//! Why a text is no template, and which name was probably meant.

use std::fmt;

/// A template or expression that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// A sentence without its period: what is wrong and what would be right.
    pub message: String,
}

impl SyntaxError {
    /// An error at a byte of the source.
    pub(super) fn at(source: &str, at: usize, message: impl Into<String>) -> SyntaxError {
        let mut end = at.min(source.len());
        while !source.is_char_boundary(end) {
            end -= 1;
        }
        let before = &source[..end];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        SyntaxError {
            line: before.matches('\n').count() as u32 + 1,
            column: before[line_start..].chars().count() as u32 + 1,
            message: message.into(),
        }
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for SyntaxError {}

/// The known name that is closest to `name`, if one is close at all.
pub(super) fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    // Longer names are not near to any that is known.
    let name = name.chars().take(64).collect::<String>().to_lowercase();
    let length = name.chars().count();
    let within = (length / 3).max(1) + usize::from(length > 3);
    known
        .map(|other| (strsim::osa_distance(&name, &other.to_lowercase()), other))
        .filter(|(distance, _)| *distance <= within)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, other)| other)
}

/// "; did you mean x?", or what there is.
pub(super) fn suggestion<'k>(name: &str, known: impl Iterator<Item = &'k str> + Clone) -> String {
    match nearest(name, known.clone()) {
        Some(other) => format!("; did you mean `{other}`?"),
        None => match known.collect::<Vec<_>>().join(", ") {
            none if none.is_empty() => "; there is none".to_owned(),
            known => format!("; known: {known}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn position_is_a_line_and_a_column_in_characters() {
        let error = SyntaxError::at("é\nüx", 5, "wrong");
        assert_eq!((error.line, error.column), (2, 2));
        assert_eq!(error.to_string(), "line 2, column 2: wrong");
    }

    #[test]
    fn the_nearest_name_is_suggested_if_one_is_near() {
        let known = ["payload", "summary", "event"];
        for (name, near) in
            [("paylod", Some("payload")), ("Event", Some("event")), ("evnet", Some("event")), ("foo", None)]
        {
            assert_eq!(nearest(name, known.iter().copied()), near, "{name}");
        }
        assert_eq!(suggestion("foo", known.iter().copied()), "; known: payload, summary, event");
        assert_eq!(suggestion("foo", std::iter::empty()), "; there is none");
    }
}
