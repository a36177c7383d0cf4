//! Words of the sentences about health: causes, counts and times.

use super::record::Cause;
use crate::domain::Timestamp;
use crate::domain::attempts::attempt::ErrorKind;

impl Cause {
    /// `HTTP 500`, `a timeout`
    pub fn words(self) -> String {
        let kind = match (self.kind, self.response_status) {
            (ErrorKind::HttpStatus, Some(status)) => return format!("HTTP {status}"),
            (ErrorKind::HttpStatus, None) => "an HTTP error",
            (ErrorKind::Timeout, _) => "a timeout",
            (ErrorKind::Connect, _) => "a connection error",
            (ErrorKind::Dns, _) => "a DNS error",
            (ErrorKind::Tls, _) => "a TLS error",
            (ErrorKind::BlockedAddress, _) => "a blocked address",
            (ErrorKind::Protocol, _) => "a protocol error",
            (ErrorKind::Interrupted, _) => "an interruption",
            (ErrorKind::Local, _) => "an error of this server",
            (ErrorKind::Template, _) => "a template that cannot be rendered",
            (ErrorKind::Response, _) => "an unexpected response",
        };
        kind.to_owned()
    }
}

pub(super) fn attempts(n: u32) -> String {
    if n == 1 { "1 attempt".to_owned() } else { format!("{n} attempts") }
}

/// `29 Nov 09:21 UTC`, with the year unless it is that of `now`.
pub(super) fn moment(at: Timestamp, now: Timestamp) -> String {
    let (at, now) = (at.to_datetime(), now.to_datetime());
    let month = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        [usize::from(u8::from(at.month())) - 1];
    let year = if at.year() == now.year() { String::new() } else { format!(" {}", at.year()) };
    format!("{} {month}{year} {:02}:{:02} UTC", at.day(), at.hour(), at.minute())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_of_another_year_names_it() {
        let at = |text: &str| Timestamp::parse(text).unwrap();
        let now = at("2026-11-29T12:00:00Z");
        assert_eq!(moment(at("2025-01-05T03:04:59Z"), now), "5 Jan 2025 03:04 UTC");
        assert_eq!(moment(at("2026-01-05T03:04:59Z"), now), "5 Jan 03:04 UTC");
    }
}
