//! How many in how much time, as people write it: `600/m`.

use std::fmt;

/// A number of requests in a second, a minute or an hour; none is no limit. It reads back as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rate {
    text: String,
    limit: u32,
    period_ms: u64,
}

/// The highest number.
pub const RATE_MAX: u32 = 1_000_000;

impl Rate {
    /// Reads `30/m`, with `s`, `m` or `h`, or `0`: no limit.
    pub fn parse(text: &str) -> Option<Rate> {
        let (number, period_ms) = match text.split_once('/') {
            None if text == "0" => ("0", 1_000),
            None => return None,
            Some((number, "s")) => (number, 1_000),
            Some((number, "m")) => (number, 60_000),
            Some((number, "h")) => (number, 3_600_000),
            Some(_) => return None,
        };
        let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let limit = if digits { number.parse().ok()? } else { return None };
        let fits = limit <= RATE_MAX && (limit > 0 || text == "0");
        fits.then(|| Rate { text: text.to_owned(), limit, period_ms })
    }

    /// How many; 0 = no limit.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// In how many milliseconds.
    pub fn period_ms(&self) -> u64 {
        self.period_ms
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_read_back() {
        for (text, limit, period_ms) in
            [("600/m", 600, 60_000), ("4/s", 4, 1_000), ("1000000/h", 1_000_000, 3_600_000), ("0", 0, 1_000)]
        {
            let rate = Rate::parse(text).unwrap();
            assert_eq!((rate.limit(), rate.period_ms(), rate.to_string().as_str()), (limit, period_ms, text));
        }
        for text in ["", "5", "0/m", "/m", "-1/m", "+1/m", "1/d", "1/", "1 /m", "1/m/s", "1000001/s", "1.5/s"]
        {
            assert_eq!(Rate::parse(text), None, "{text}");
        }
    }
}
