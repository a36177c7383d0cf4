//! Lengths of time as people write them: a number and `ms`, `s`, `m`, `h` or `d`.

use std::fmt;
use std::time::Duration;

/// A length of time, which reads back exactly as it was given.
#[derive(Clone, PartialEq, Eq)]
pub struct Span {
    text: String,
    ms: u64,
}

/// The longest span that is taken: a hundred years. It keeps every sum of a time and a span within
/// the years that can be written.
const LONGEST_MS: u64 = 100 * 366 * 86_400_000;

impl Span {
    /// Reads `250ms`, `10s`, `2m`, `24h`, `30d`, or a bare `0`. Whole numbers, no sign, no space.
    pub fn parse(text: &str) -> Option<Span> {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().ok()?;
        let unit_ms = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "" if number == 0 => 0,
            _ => return None,
        };
        let ms = number.checked_mul(unit_ms)?;
        (ms <= LONGEST_MS).then(|| Span { text: text.to_owned(), ms })
    }

    /// From seconds, for defaults and tests.
    pub fn from_secs(secs: u32) -> Span {
        Span { text: format!("{secs}s"), ms: u64::from(secs) * 1_000 }
    }

    /// Milliseconds.
    pub fn as_millis(&self) -> u64 {
        self.ms
    }

    /// Milliseconds, as times are counted.
    pub fn as_millis_i64(&self) -> i64 {
        i64::try_from(self.ms).expect("a span is at most a hundred years")
    }

    /// As the standard library has it.
    pub fn as_duration(&self) -> Duration {
        Duration::from_millis(self.ms)
    }

    /// Whether nothing is left of it.
    pub fn is_zero(&self) -> bool {
        self.ms == 0
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_each_unit() {
        for (text, ms) in [
            ("250ms", 250),
            ("10s", 10_000),
            ("2m", 120_000),
            ("24h", 86_400_000),
            ("30d", 2_592_000_000),
            ("0", 0),
        ] {
            let span = Span::parse(text).unwrap();
            assert_eq!((span.as_millis(), span.to_string().as_str()), (ms, text));
        }
    }

    #[test]
    fn refuses_what_is_no_span() {
        for text in [
            "",
            "s",
            "10",
            "10 s",
            "-1s",
            "+1s",
            "1.5s",
            "1w",
            "1S",
            "99999999999999999999s",
            "36601d",
            "５s",
        ] {
            assert_eq!(Span::parse(text), None, "{text}");
        }
    }
}
