//! How many requests in how much time, as people write it: `5` (a second), `30/m`, `1000/h`.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::words::words;

words! {
    /// The unit of time of a rate.
    pub enum Per {
        Second = "s",
        Minute = "m",
        Hour = "h",
    }
}

/// A number of requests in a unit of time. It reads back as it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate {
    requests: u32,
    /// `None`: a plain number, requests a second.
    per: Option<Per>,
}

/// The highest number.
pub const RATE_MAX: u32 = 1_000_000;

impl Rate {
    /// Written as the number 0.
    pub const UNLIMITED: Rate = Rate { requests: 0, per: None };

    /// Reads `30/m`, with `s`, `m` or `h`, and at least one request.
    pub fn parse(text: &str) -> Option<Rate> {
        let (number, unit) = text.split_once('/')?;
        let digits = number.bytes().all(|byte| byte.is_ascii_digit()) && !number.starts_with('0');
        let requests = number.parse().ok().filter(|requests| digits && *requests <= RATE_MAX)?;
        Some(Rate { requests, per: Some(Per::parse(unit)?) })
    }

    /// A plain number of requests a second.
    pub const fn per_second(requests: u32) -> Rate {
        Rate { requests, per: None }
    }

    /// How many; 0 = no limit.
    pub fn requests(self) -> u32 {
        self.requests
    }

    /// In how many milliseconds.
    pub fn period_ms(self) -> u64 {
        match self.per {
            None | Some(Per::Second) => 1_000,
            Some(Per::Minute) => 60_000,
            Some(Per::Hour) => 3_600_000,
        }
    }

    /// The time between two requests, in microseconds.
    pub fn gap_us(self) -> i64 {
        self.period_ms() as i64 * 1_000 / i64::from(self.requests.max(1))
    }

    /// Whether it allows more than so many requests a second.
    pub fn is_over(self, per_second: u32) -> bool {
        u64::from(self.requests) * 1_000 > u64::from(per_second) * self.period_ms()
    }

    /// The plain number, if it was given as one.
    pub fn number(self) -> Option<u32> {
        self.per.is_none().then_some(self.requests)
    }

    /// As it was given: a number or a text.
    pub fn to_json(self) -> Value {
        self.number().map_or_else(|| Value::from(self.to_string()), Value::from)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.per {
            None => write!(f, "{}", self.requests),
            Some(per) => write!(f, "{}/{per}", self.requests),
        }
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> String {
        rate.to_string()
    }
}

/// Reads what [`Rate`]'s `Display` writes.
impl TryFrom<String> for Rate {
    type Error = String;

    fn try_from(text: String) -> Result<Rate, String> {
        let number = || text.parse().ok().filter(|number| *number <= RATE_MAX).map(Rate::per_second);
        Rate::parse(&text).or_else(number).ok_or_else(|| format!("{text:?} is no rate"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_read_back() {
        for (text, requests, period_ms, gap_us) in [
            ("600/m", 600, 60_000, 100_000),
            ("30/m", 30, 60_000, 2_000_000),
            ("4/s", 4, 1_000, 250_000),
            ("10000/s", 10_000, 1_000, 100),
            ("1000/h", 1_000, 3_600_000, 3_600_000),
            ("1000000/h", 1_000_000, 3_600_000, 3_600),
        ] {
            let rate = Rate::parse(text).unwrap();
            assert_eq!((rate.requests(), rate.period_ms(), rate.gap_us()), (requests, period_ms, gap_us));
            assert_eq!((rate.to_json(), rate.number()), (Value::from(text), None));
            assert_eq!(Rate::try_from(text.to_owned()), Ok(rate));
        }
        for rate in [Rate::UNLIMITED, Rate::per_second(7)] {
            assert_eq!(rate.to_json(), rate.requests());
            assert_eq!(Rate::try_from(rate.to_string()), Ok(rate));
        }
        for text in [
            "",
            "5",
            "0/m",
            "/m",
            "-1/m",
            "+1/m",
            "1/d",
            "1/",
            "1 /m",
            " 1/s",
            "1/m/s",
            "1000001/s",
            "1.5/s",
            "05/s",
            "9999999999/h",
        ] {
            assert_eq!(Rate::parse(text), None, "{text}");
        }
    }

    #[test]
    fn rates_of_all_units_compare_with_a_second() {
        for (text, is_over) in [
            ("10/s", false),
            ("11/s", true),
            ("600/m", false),
            ("601/m", true),
            ("36000/h", false),
            ("36001/h", true),
        ] {
            assert_eq!(Rate::parse(text).unwrap().is_over(10), is_over, "{text}");
        }
    }
}
