//! Describes TLS errors for the person who has to fix them.

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error};

use crate::delivery::sending::authorities::NO_ROOTS;
use crate::domain::Timestamp;

/// The algorithms of certificates, for sentences that say that another one was used.
const SUPPORTED: &str = "RSA, ECDSA with P-256 or P-384, and Ed25519";

/// Describes a TLS error. `host` is `host` or `host:port`.
pub(crate) fn tls_message(error: &Error, host: &str) -> String {
    match error {
        Error::InvalidCertificate(certificate) => certificate_message(certificate, host),
        Error::General(text) if text == NO_ROOTS => {
            format!("the certificate of {host} cannot be checked: {NO_ROOTS}")
        }
        Error::InvalidMessage(_) => format!("{host} does not speak TLS; is the URL meant to be http?"),
        Error::AlertReceived(AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity) => {
            format!(
                "{host} refused the TLS handshake: it shares no cipher suite or key type with Postrider, which supports TLS 1.2 and 1.3 and keys of {SUPPORTED} (not P-521)"
            )
        }
        Error::AlertReceived(AlertDescription::ProtocolVersion) | Error::PeerIncompatible(_) => {
            format!("{host} does not support TLS 1.2 or 1.3 as Postrider does: {error}")
        }
        Error::AlertReceived(AlertDescription::CertificateRequired) => {
            format!("{host} asks for a client certificate, which Postrider does not send")
        }
        other => format!("TLS with {host} failed: {}", without_links(&other.to_string())),
    }
}

fn certificate_message(error: &CertificateError, host: &str) -> String {
    use CertificateError as Certificate;
    match error {
        Certificate::Expired => format!("the certificate of {host} has expired"),
        Certificate::ExpiredContext { not_after, .. } => {
            format!("the certificate of {host} expired on {}", day(*not_after))
        }
        Certificate::NotValidYet => {
            format!("the certificate of {host} is not valid yet; is this machine's clock right?")
        }
        Certificate::NotValidYetContext { not_before, .. } => format!(
            "the certificate of {host} is not valid yet, only from {} on; is this machine's clock right?",
            day(*not_before)
        ),
        Certificate::UnknownIssuer => format!(
            "the certificate of {host} has an unknown issuer: it is self-signed, an intermediate certificate is missing, or this machine does not trust its authority"
        ),
        Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
            format!("the certificate of {host} does not match its name: it is for another host")
        }
        Certificate::BadSignature => format!(
            "the certificate of {host} is not signed by the authority that it names; it may be self-signed"
        ),
        Certificate::Revoked => format!("the certificate of {host} has been revoked"),
        other => unusual_certificate_message(other, host),
    }
}

/// rustls has no variants for these, or has replaced them over time; their debug text is stable.
fn unusual_certificate_message(error: &CertificateError, host: &str) -> String {
    let text = format!("{error:?}");
    if text.contains("CaUsedAsEndEntity") {
        format!(
            "the certificate of {host} is one for an authority, as \"openssl req -x509\" creates it: create one with -addext basicConstraints=critical,CA:FALSE"
        )
    } else if text.contains("UnsupportedCertVersion") {
        format!(
            "the certificate of {host}, or one of its issuers, is an X.509 version 1 certificate: create one of version 3, with the host as subjectAltName"
        )
    } else if text.contains("UnsupportedSignatureAlgorithm") {
        format!(
            "the certificate of {host}, or one of its issuers, has a key or signature that Postrider does not support (P-521 and SHA-1 among them): use {SUPPORTED}"
        )
    } else {
        format!("the certificate of {host} is not acceptable: {}", without_links(&error.to_string()))
    }
}

/// Cuts off links to the documentation of a library: they do not help an operator.
pub(crate) fn without_links(text: &str) -> &str {
    let end = text.find("http").unwrap_or(text.len());
    text[..end].trim_end_matches([' ', ':', '(', ','])
}

/// The date of a certificate's time, in UTC.
fn day(time: UnixTime) -> String {
    let ms = i64::try_from(time.as_secs()).unwrap_or(i64::MAX).saturating_mul(1_000);
    Timestamp::from_millis(ms).to_datetime().date().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificate_problems_are_described_in_words() {
        let message = |e| tls_message(&Error::InvalidCertificate(e), "hooks.example");
        let at = |secs| UnixTime::since_unix_epoch(std::time::Duration::from_secs(secs));
        assert_eq!(message(CertificateError::Expired), "the certificate of hooks.example has expired");
        assert!(message(CertificateError::UnknownIssuer).contains("unknown issuer"));
        assert!(message(CertificateError::NotValidForName).contains("does not match its name"));
        assert!(message(CertificateError::NotValidYet).contains("not valid yet"));
        let (time, not_after) = (at(1_772_366_400), at(1_769_903_999));
        assert_eq!(
            message(CertificateError::ExpiredContext { time, not_after }),
            "the certificate of hooks.example expired on 2026-01-31"
        );
        let not_before = at(1_772_409_600);
        let early = message(CertificateError::NotValidYetContext { time, not_before });
        assert!(early.contains("only from 2026-03-02 on"), "{early}");
    }

    #[test]
    fn keys_that_are_not_supported_are_named() {
        let unsupported = [
            CertificateError::UnsupportedSignatureAlgorithmContext {
                signature_algorithm_id: Vec::new(),
                supported_algorithms: Vec::new(),
            },
            CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext {
                signature_algorithm_id: Vec::new(),
                public_key_algorithm_id: Vec::new(),
            },
        ];
        for error in unsupported {
            let said = tls_message(&Error::InvalidCertificate(error), "hooks.example");
            assert!(said.contains("does not support (P-521") && said.contains("use RSA"), "{said}");
        }
    }

    #[test]
    fn links_to_the_documentation_of_a_library_are_cut_off() {
        let text = "peer closed connection without sending TLS close_notify: https://docs.rs/rustls/latest";
        assert_eq!(without_links(text), "peer closed connection without sending TLS close_notify");
        assert_eq!(without_links("bad record"), "bad record");
    }
}
