//! The certificate authorities that are trusted: those of the system.
//!
//! A system may have none, such as a container in which this program is the only file. Then the list that is
//! compiled in is used (Mozilla's, of the day of the build), and the log and `doctor` warn about it, because
//! it ages with the program. It is never combined with the system's list, so an authority that is removed
//! from the system is not trusted here either. It is not used if `SSL_CERT_FILE` or `SSL_CERT_DIR` is set: an
//! operator who names authorities does not trust all others. If that file is missing, no certificate is
//! trusted and each HTTPS request says so. The server still starts, because receivers may use plain HTTP.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error as TlsError, SignatureScheme};
use rustls_platform_verifier::Verifier;
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

/// The environment variables that name trusted authorities, as in OpenSSL.
const VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];
/// The error of a request to an `https` URL when no authority is trusted.
pub(crate) const NO_ROOTS: &str = "no CA certificates were found where SSL_CERT_FILE and SSL_CERT_DIR say; correct these variables, or remove them, and restart Postrider";

/// Where the trusted authorities come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authorities {
    /// Those of the system, or of the variables that name others.
    System,
    /// The list that is compiled in, because the system has none.
    BuiltIn,
    /// None: the file or directory that the variables name has none.
    Nobody,
}

/// Where the trusted authorities of this machine come from.
pub fn trusted() -> Authorities {
    choose(&Arc::new(rustls::crypto::ring::default_provider())).0
}

/// The certificate verifier. Logs a warning unless it uses the system's authorities.
pub(crate) fn verifier(provider: &Arc<CryptoProvider>) -> Arc<dyn ServerCertVerifier> {
    let (authorities, verifier) = choose(provider);
    match authorities {
        Authorities::System => {}
        Authorities::BuiltIn => tracing::warn!(
            "no CA certificates were found on this system; the built-in list is used, which ages with the program. Install the package ca-certificates."
        ),
        Authorities::Nobody => tracing::warn!("every HTTPS delivery will fail: {NO_ROOTS}"),
    }
    verifier
}

fn choose(provider: &Arc<CryptoProvider>) -> (Authorities, Arc<dyn ServerCertVerifier>) {
    let is_named = VARIABLES.iter().any(|name| std::env::var_os(name).is_some());
    choose_from(Verifier::new(provider.clone()), is_named, provider)
}

fn choose_from(
    of_system: Result<Verifier, TlsError>,
    is_named: bool,
    provider: &Arc<CryptoProvider>,
) -> (Authorities, Arc<dyn ServerCertVerifier>) {
    let nobody =
        || (Authorities::Nobody, Arc::new(RejectAll(provider.clone())) as Arc<dyn ServerCertVerifier>);
    match of_system {
        Ok(verifier) => (Authorities::System, Arc::new(verifier)),
        Err(_) if is_named => nobody(),
        // The system has none, so these are all.
        Err(_) => match built_in(provider) {
            Ok(verifier) => (Authorities::BuiltIn, Arc::new(verifier)),
            Err(_) => nobody(),
        },
    }
}

fn built_in(provider: &Arc<CryptoProvider>) -> Result<Verifier, TlsError> {
    Verifier::new_with_extra_roots(TLS_SERVER_ROOT_CERTS.iter().cloned(), provider.clone())
}

/// Refuses every certificate.
#[derive(Debug)]
struct RejectAll(Arc<CryptoProvider>);

impl ServerCertVerifier for RejectAll {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        Err(TlsError::General(NO_ROOTS.to_owned()))
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Err(TlsError::General(NO_ROOTS.to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Err(TlsError::General(NO_ROOTS.to_owned()))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider() -> Arc<CryptoProvider> {
        Arc::new(rustls::crypto::ring::default_provider())
    }

    fn none() -> Result<Verifier, TlsError> {
        Err(TlsError::General("there are none".to_owned()))
    }

    #[test]
    fn a_system_without_authorities_uses_the_built_in_list() {
        assert_eq!(choose_from(none(), false, &provider()).0, Authorities::BuiltIn);
    }

    #[test]
    fn named_authorities_are_never_combined_with_the_built_in_list() {
        assert_eq!(choose_from(none(), true, &provider()).0, Authorities::Nobody);
    }

    #[test]
    fn the_authorities_of_the_system_are_used_alone() {
        let system = built_in(&provider());
        assert_eq!(choose_from(system, false, &provider()).0, Authorities::System);
    }

    #[test]
    fn each_built_in_certificate_can_be_parsed() {
        // Certificates of a system are parsed leniently, these are not.
        assert!(built_in(&provider()).is_ok());
        assert!(TLS_SERVER_ROOT_CERTS.len() > 100);
    }
}
