//! Problems of a configuration: one line each, all at once, and never the value of a secret.

use std::fmt;

use super::origin::Origin;

/// One problem to fix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key, environment variable or file.
    pub subject: String,
    /// The given value; `None` when it is secret, unknown or does not matter.
    pub value: Option<String>,
    pub origin: Option<Origin>,
    /// What was expected.
    pub advice: String,
}

/// Shown values are cut here, in characters.
const VALUE_MAX_CHARS: usize = 120;

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.subject)?;
        if let Some(value) = &self.value {
            // A line break in the value must not make a second line.
            let line: String = value.escape_debug().take(VALUE_MAX_CHARS).collect();
            let cut = if value.escape_debug().nth(VALUE_MAX_CHARS).is_some() { "…" } else { "" };
            write!(f, " = {}{cut}", line.replace("\\\"", "\"").replace("\\'", "'"))?;
        }
        if let Some(origin) = &self.origin {
            write!(f, " ({origin})")?;
        }
        write!(f, ": {}", self.advice)
    }
}

/// All problems; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            let sep = if i == 0 { "" } else { "\n" };
            write!(f, "{sep}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// The known name that is most similar to `name`.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let last = |text: &str| text.rsplit('.').next().unwrap_or(text).to_owned();
    known
        .map(|candidate| {
            let whole = strsim::normalized_damerau_levenshtein(name, candidate);
            // `timeout` at the top level is most likely `delivery.timeout`.
            let end = strsim::normalized_damerau_levenshtein(&last(name), &last(candidate)) * 0.95;
            (candidate, whole.max(end))
        })
        .filter(|(_, likeness)| *likeness >= 0.6)
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(candidate, _)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_one_line_whatever_the_value() {
        let problem = Problem {
            subject: "listen".into(),
            value: Some("a\nb".into()),
            origin: Some(Origin::Flag("--listen")),
            advice: "expected an address".into(),
        };
        assert_eq!(problem.to_string(), "listen = a\\nb (flag --listen): expected an address");
    }

    #[test]
    fn the_nearest_name_is_found_also_without_its_section() {
        let known = || ["listen", "delivery.timeout", "delivery.connect_timeout"].into_iter();
        assert_eq!(nearest("delivry.timeout", known()), Some("delivery.timeout"));
        assert_eq!(nearest("timeout", known()), Some("delivery.timeout"));
        assert_eq!(nearest("listne", known()), Some("listen"));
        assert_eq!(nearest("colour", known()), None);
    }
}
