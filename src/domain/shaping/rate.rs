//! `rate_limit` as a text: `30/m`.

use crate::domain::endpoint::RATE_LIMIT_MAX;

/// So many requests in so much time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub requests: u32,
    pub milliseconds: u32,
}

/// Requests of one unit; more make no sense, because a second has a limit of its own.
const REQUESTS_MAX: u32 = 1_000_000;

impl Rate {
    /// Reads `2/s`, `30/m`, `1000/h`. The error is a sentence for the caller.
    pub fn parse(text: &str) -> Result<Rate, String> {
        let wrong =
            || format!("{text:?} is not a rate; write a number of requests and a unit: 2/s, 30/m or 1000/h");
        let (count, unit) = text.split_once('/').ok_or_else(wrong)?;
        let milliseconds = match unit {
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(wrong()),
        };
        let digits = !count.is_empty() && count.len() <= 9 && count.bytes().all(|b| b.is_ascii_digit());
        let requests: u32 = count.parse().ok().filter(|_| digits).ok_or_else(wrong)?;
        if requests == 0 {
            return Err("must allow at least 1 request; write null for no limit".to_owned());
        }
        let rate = Rate { requests, milliseconds };
        if requests > REQUESTS_MAX || rate.gap_micros() < 1_000_000 / u64::from(RATE_LIMIT_MAX) {
            return Err(format!("allows more than {RATE_LIMIT_MAX} requests a second"));
        }
        Ok(rate)
    }

    /// The time between two requests, in microseconds.
    pub fn gap_micros(self) -> u64 {
        u64::from(self.milliseconds) * 1_000 / u64::from(self.requests.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_a_number_and_a_unit() {
        assert_eq!(Rate::parse("30/m").map(Rate::gap_micros), Ok(2_000_000));
        assert_eq!(Rate::parse("2/s").map(Rate::gap_micros), Ok(500_000));
        assert_eq!(Rate::parse("1000/h").map(Rate::gap_micros), Ok(3_600_000));
        assert_eq!(Rate::parse("10000/s").map(Rate::gap_micros), Ok(100));
        for wrong in
            ["", "30", "/m", "30/", "30/d", "0/m", "-1/m", "1.5/s", "+1/s", " 1/s", "10001/s", "9999999999/h"]
        {
            assert!(Rate::parse(wrong).is_err(), "{wrong}");
        }
    }
}
