//! Points in time: milliseconds since 1970, UTC. That is how they are stored and compared; RFC 3339
//! with `Z` is how they are shown.

use std::fmt;

use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// 9999-12-31T23:59:59.999Z, the last instant that RFC 3339 can write.
const LAST: i64 = 253_402_300_799_999;
/// 0000-01-01T00:00:00Z, the first one.
const FIRST: i64 = -62_167_219_200_000;

impl Timestamp {
    /// From milliseconds since 1970; what RFC 3339 cannot write is brought to the nearest it can.
    pub fn from_millis(ms: i64) -> Timestamp {
        Timestamp(ms.clamp(FIRST, LAST))
    }

    /// Milliseconds since 1970.
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970, rounded down.
    pub fn as_secs(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// This instant moved by so many milliseconds, kept within the years that can be written.
    pub fn plus_ms(self, ms: i64) -> Timestamp {
        Timestamp::from_millis(self.0.saturating_add(ms))
    }

    /// Reads RFC 3339 with any offset. What is finer than a millisecond is cut off.
    pub fn parse(text: &str) -> Option<Timestamp> {
        let t = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        let ms = t.unix_timestamp_nanos().div_euclid(1_000_000);
        let ms = i64::try_from(ms).ok()?;
        (FIRST..=LAST).contains(&ms).then_some(Timestamp(ms))
    }

    /// The same instant as the `time` crate has it, in UTC.
    pub fn to_datetime(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
            .expect("the constructor keeps to years 0 to 9999")
            .to_offset(UtcOffset::UTC)
    }

    /// Day, month and time to the minute, for sentences: "29 Nov 09:21 UTC".
    pub fn to_short_text(self) -> String {
        let t = self.to_datetime();
        let month = t.month().to_string();
        format!("{} {} {:02}:{:02} UTC", t.day(), &month[..3], t.hour(), t.minute())
    }

    /// The start of the hour that this instant is in.
    pub fn hour(self) -> Timestamp {
        Timestamp(self.0 - self.0.rem_euclid(3_600_000))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let t = self.to_datetime();
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            t.year(),
            u8::from(t.month()),
            t.day(),
            t.hour(),
            t.minute(),
            t.second(),
            t.millisecond()
        )
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shows_utc_to_the_millisecond() {
        assert_eq!(Timestamp::from_millis(1_700_000_000_123).to_string(), "2023-11-14T22:13:20.123Z");
        assert_eq!(Timestamp::from_millis(0).to_string(), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn reads_any_offset() {
        let utc = Timestamp::parse("2026-05-01T05:14:38Z");
        assert!(utc.is_some());
        assert_eq!(Timestamp::parse("2026-05-01T07:14:38+02:00"), utc);
        assert_eq!(Timestamp::parse("2026-04-30T23:14:38-06:00"), utc);
    }

    #[test]
    fn refuses_what_is_no_time() {
        for text in
            ["", "yesterday", "2026-05-01", "2026-13-01T00:00:00Z", "99999-01-01T00:00:00Z", "1714540478"]
        {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_can_be_read(ms in FIRST..=LAST) {
            let t = Timestamp::from_millis(ms);
            prop_assert_eq!(Timestamp::parse(&t.to_string()), Some(t));
        }

        #[test]
        fn the_hour_is_at_most_an_hour_ago(ms in FIRST + 3_600_000..=LAST) {
            let t = Timestamp::from_millis(ms);
            prop_assert!(t.hour() <= t && t.as_millis() - t.hour().as_millis() < 3_600_000);
            prop_assert_eq!(t.hour().as_millis() % 3_600_000, 0);
        }
    }
}
