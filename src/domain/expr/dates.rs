//! Dates: read from RFC 3339 texts and seconds or milliseconds since 1970, written as `strftime` does.
//!
//! Names of time zones would need a database; an offset does not.

use std::fmt::Write;

/// What a format may hold.
pub(super) const SPECIFIERS: &str = "%Y %y %m %d %e %j %b %B %a %A %H %I %M %S %f %p %F %T %z %s %%";

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// 1970 began on a Thursday.
const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];

/// Numbers from here on are milliseconds.
const MILLISECONDS_FROM: f64 = 1e11;
/// The beginning of year 0 and the end of year 9999, in seconds.
const SECONDS: std::ops::RangeInclusive<i64> = -62_167_219_200..=253_402_300_799;

/// A moment: seconds since 1970 and microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    seconds: i64,
    microseconds: u32,
}

impl Moment {
    pub(super) fn of_number(number: f64) -> Option<Moment> {
        let seconds = if number.abs() >= MILLISECONDS_FROM { number / 1000.0 } else { number };
        let whole = seconds.floor();
        let moment = Moment {
            seconds: whole as i64,
            microseconds: ((seconds - whole) * 1e6).round().min(999_999.0) as u32,
        };
        (number.is_finite() && SECONDS.contains(&moment.seconds)).then_some(moment)
    }

    /// Of `2026-03-01T12:00:00.5+01:00`; a space may stand for the `T`.
    pub(super) fn of_text(text: &str) -> Option<Moment> {
        let bytes = text.trim().as_bytes();
        let (date, rest) = bytes.split_at_checked(10)?;
        let (time, mut rest) = rest.split_at_checked(9)?;
        if date[4] != b'-' || date[7] != b'-' || time[3] != b':' || time[6] != b':' {
            return None;
        }
        if !matches!(time[0], b'T' | b't' | b' ') {
            return None;
        }
        let (year, month, day) = (digits(&date[..4])?, digits(&date[5..7])?, digits(&date[8..])?);
        let (hour, minute, second) = (digits(&time[1..3])?, digits(&time[4..6])?, digits(&time[7..])?);
        if !(1..=12).contains(&month) || !(1..=days_of_month(year, month)).contains(&day) {
            return None;
        }
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let mut microseconds = 0;
        if let Some(fraction) = rest.strip_prefix(b".") {
            let length = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
            if length == 0 {
                return None;
            }
            for place in 0..6 {
                let digit = fraction.get(place).filter(|_| place < length).map_or(0, |b| u32::from(b - b'0'));
                microseconds = microseconds * 10 + digit;
            }
            rest = &fraction[length..];
        }
        let offset = offset(std::str::from_utf8(rest).ok()?)?;
        let seconds =
            days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
        SECONDS.contains(&seconds).then_some(Moment { seconds, microseconds })
    }

    /// As the format says, at an offset from UTC in seconds; none if the format is not known.
    pub(super) fn format(self, format: &str, offset: i64) -> Option<String> {
        let local = self.seconds + offset;
        let days = local.div_euclid(86_400);
        let time = local.rem_euclid(86_400);
        let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
        let (year, month, day) = date_of(days);
        let half = if hour % 12 == 0 { 12 } else { hour % 12 };
        let month_name = MONTHS[(month - 1) as usize];
        let day_name = DAYS[days.rem_euclid(7) as usize];
        let mut out = String::new();
        let mut chars = format.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            // Writing to a String does not fail.
            let _ = match chars.next()? {
                'Y' => write!(out, "{year:04}"),
                'y' => write!(out, "{:02}", year.rem_euclid(100)),
                'm' => write!(out, "{month:02}"),
                'd' => write!(out, "{day:02}"),
                'e' => write!(out, "{day:2}"),
                'j' => write!(out, "{:03}", days - days_since_1970(year, 1, 1) + 1),
                'b' => write!(out, "{}", &month_name[..3]),
                'B' => write!(out, "{month_name}"),
                'a' => write!(out, "{}", &day_name[..3]),
                'A' => write!(out, "{day_name}"),
                'H' => write!(out, "{hour:02}"),
                'I' => write!(out, "{half:02}"),
                'M' => write!(out, "{minute:02}"),
                'S' => write!(out, "{second:02}"),
                'f' => write!(out, "{:06}", self.microseconds),
                'p' => write!(out, "{}", if hour < 12 { "AM" } else { "PM" }),
                'F' => write!(out, "{year:04}-{month:02}-{day:02}"),
                'T' => write!(out, "{hour:02}:{minute:02}:{second:02}"),
                'z' => {
                    let (sign, offset) = if offset < 0 { ('-', -offset) } else { ('+', offset) };
                    write!(out, "{sign}{:02}{:02}", offset / 3600, offset / 60 % 60)
                }
                's' => write!(out, "{}", self.seconds),
                '%' => write!(out, "%"),
                _ => return None,
            };
        }
        Some(out)
    }
}

/// The first specifier of a format that is not known.
pub(super) fn unknown_specifier(format: &str) -> Option<String> {
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c == '%' {
            match chars.next() {
                None => return Some("% at the end".to_owned()),
                Some(c) if !SPECIFIERS.contains(&format!("%{c}")) || c == ' ' => {
                    return Some(format!("%{c}"));
                }
                Some(_) => {}
            }
        }
    }
    None
}

/// An offset from UTC in seconds: `Z`, `+01:00`, `-0330`.
pub(super) fn offset(text: &str) -> Option<i64> {
    let (sign, rest) = match text.as_bytes() {
        [b'Z' | b'z'] => return Some(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = match rest {
        [h1, h2, b':', m1, m2] | [h1, h2, m1, m2] => (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?),
        _ => return None,
    };
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3600 + minutes * 60))
}

fn digits(bytes: &[u8]) -> Option<i64> {
    bytes.iter().try_fold(0, |number, b| b.is_ascii_digit().then(|| number * 10 + i64::from(b - b'0')))
}

fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days of the Gregorian calendar, counted in years that begin in March and eras of 400 years.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The reverse of [`days_since_1970`].
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_the_calendar_is_found_again() {
        let mut expected = (0, 1, 1);
        for days in days_since_1970(0, 1, 1)..=days_since_1970(9999, 12, 31) {
            assert_eq!(date_of(days), expected);
            assert_eq!(days_since_1970(expected.0, expected.1, expected.2), days);
            let (year, month, day) = expected;
            expected = match (month, day == days_of_month(year, month)) {
                (_, false) => (year, month, day + 1),
                (12, true) => (year + 1, 1, 1),
                (_, true) => (year, month + 1, 1),
            };
        }
    }

    #[test]
    fn texts_and_numbers_are_read() {
        let at = |text: &str| Moment::of_text(text).and_then(|m| m.format("%F %T.%f", 0));
        assert_eq!(at("2026-03-01T12:00:00Z").as_deref(), Some("2026-03-01 12:00:00.000000"));
        assert_eq!(at("2026-03-01T12:00:00.25+01:30").as_deref(), Some("2026-03-01 10:30:00.250000"));
        for wrong in
            ["", "2026-02-29T00:00:00Z", "2026-03-01", "2026-03-01T12:00:00", "2026-13-01T00:00:00Z", "é"]
        {
            assert_eq!(at(wrong), None, "{wrong}");
        }
        let number = |number: f64| Moment::of_number(number).and_then(|m| m.format("%F %H:%M", 3600));
        assert_eq!(number(1_700_000_000.0).as_deref(), Some("2023-11-14 23:13"));
        assert_eq!(number(1_700_000_000_000.0).as_deref(), Some("2023-11-14 23:13"));
        assert_eq!(number(1e18), None);
        assert_eq!(number(f64::INFINITY), None);
    }

    #[test]
    fn formats_are_those_of_strftime() {
        let moment = Moment::of_text("2026-03-01T00:05:09Z").unwrap();
        let format = "%y %e %j %b %B %a %A %I%p %z %s %%";
        let expected = "26  1 060 Mar March Sun Sunday 12AM -0330 1772323509 %";
        assert_eq!(moment.format(format, 0).unwrap(), expected.replace("-0330", "+0000"));
        assert_eq!(moment.format("%F %z", -12_600).unwrap(), "2026-02-28 -0330");
        assert_eq!(unknown_specifier("%Y-%Q").as_deref(), Some("%Q"));
        assert_eq!(unknown_specifier("100%").as_deref(), Some("% at the end"));
        assert_eq!(unknown_specifier(SPECIFIERS), None);
    }
}
