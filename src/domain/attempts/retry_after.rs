//! `Retry-After`: a receiver's wish to be called later (RFC 9110, section 10.2.3).

use std::time::UNIX_EPOCH;

use crate::domain::Timestamp;

/// The longest wish that is granted: 24 hours, in milliseconds.
pub const MAX_MS: i64 = 24 * 3_600_000;

/// Reads seconds or an HTTP date (any of the three forms) and says until when to wait, at most 24
/// hours from `now`. What cannot be read, or lies in the past, is no wish.
pub fn parse(value: &str, now: Timestamp) -> Option<Timestamp> {
    let value = value.trim();
    let until = if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit are simply very long.
        let secs: i64 = value.parse().unwrap_or(i64::MAX);
        now.plus_ms(secs.saturating_mul(1_000))
    } else {
        let date = httpdate::parse_http_date(value).ok()?;
        let secs = date.duration_since(UNIX_EPOCH).ok()?.as_secs();
        Timestamp::from_millis(i64::try_from(secs).ok()?.checked_mul(1_000)?)
    };
    (until > now).then(|| until.min(now.plus_ms(MAX_MS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait_ms(value: &str) -> Option<i64> {
        let now = Timestamp::parse("2026-11-06T08:49:37Z").unwrap();
        parse(value, now).map(|t| t.as_millis() - now.as_millis())
    }

    #[test]
    fn seconds_are_read() {
        assert_eq!(wait_ms("120"), Some(120_000));
        assert_eq!(wait_ms(" 1 "), Some(1_000));
    }

    #[test]
    fn the_three_forms_of_dates_are_read() {
        assert_eq!(wait_ms("Fri, 06 Nov 2026 08:50:37 GMT"), Some(60_000));
        assert_eq!(wait_ms("Friday, 06-Nov-26 08:50:37 GMT"), Some(60_000));
        assert_eq!(wait_ms("Fri Nov  6 08:50:37 2026"), Some(60_000));
    }

    #[test]
    fn a_day_is_the_most() {
        for value in ["86401", "99999999999999999999999", "Fri, 06 Nov 2099 08:49:37 GMT"] {
            assert_eq!(wait_ms(value), Some(MAX_MS), "{value}");
        }
    }

    #[test]
    fn the_past_and_nonsense_are_no_wish() {
        for value in ["", "0", "-5", "soon", "1.5", "Fri, 06 Nov 2020 08:49:37 GMT", "2026-11-06T09:00:00Z"] {
            assert_eq!(wait_ms(value), None, "{value}");
        }
    }
}
