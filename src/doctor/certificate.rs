//! The end of a certificate's validity: just enough DER (X.690) to find it (RFC 5280, 4.1).
//!
//! The TLS library decides about trust; nothing here does.

use crate::domain::Timestamp;

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0] EXPLICIT Version`, absent in version 1.
const VERSION: u8 = 0xa0;

/// The end of a certificate's validity; `None` when it cannot be parsed.
pub fn not_after(certificate: &[u8]) -> Option<Timestamp> {
    let (tag, certificate, _) = element(certificate)?;
    let (inner_tag, mut fields, _) = element(certificate)?;
    if (tag, inner_tag) != (SEQUENCE, SEQUENCE) {
        return None;
    }
    if fields.first() == Some(&VERSION) {
        (_, _, fields) = element(fields)?;
    }
    // Serial number, algorithm, issuer; then the validity.
    for _ in 0..3 {
        (_, _, fields) = element(fields)?;
    }
    let (_, validity, _) = element(fields)?;
    let (_, _, after_begin) = element(validity)?;
    let (tag, text, _) = element(after_begin)?;
    time(tag, std::str::from_utf8(text).ok()?)
}

/// The tag and content of the first element, and the rest.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

/// `YYMMDDHHMMSSZ`, or with four digits of the year.
fn time(tag: u8, text: &str) -> Option<Timestamp> {
    let year = match tag {
        UTC_TIME => {
            let short: u16 = text.get(..2)?.parse().ok()?;
            (if short < 50 { 2_000 + short } else { 1_900 + short }).to_string()
        }
        GENERALIZED_TIME => text.get(..4)?.to_owned(),
        _ => return None,
    };
    let rest = text.get(if tag == UTC_TIME { 2 } else { 4 }..)?.strip_suffix('Z')?;
    let part = |at: usize| rest.get(at..at + 2);
    let iso = format!("{year}-{}-{}T{}:{}:{}Z", part(0)?, part(2)?, part(4)?, part(6)?, part(8)?);
    Timestamp::parse(&iso)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    #[test]
    fn the_end_of_a_certificate_is_found() {
        for (year, text) in [(2031, "2031-05-06T00:00:00.000Z"), (2999, "2999-05-06T00:00:00.000Z")] {
            let mut params = CertificateParams::new(vec!["example.com".to_owned()]).unwrap();
            params.not_after = date_time_ymd(year, 5, 6);
            let key = KeyPair::generate().unwrap();
            let certificate = params.self_signed(&key).unwrap();
            assert_eq!(not_after(certificate.der()).unwrap().to_string(), text);
            for length in 0..certificate.der().len() {
                let _ = not_after(&certificate.der()[..length]);
            }
        }
        assert_eq!(not_after(b"nonsense"), None);
    }
}
