//! Whose word counts for a receiver's certificate: the authorities that the system trusts.
//!
//! A system may have none, such as a fresh container in which this program is the only file. Then the
//! list that is compiled in counts (Mozilla's, of the day this program was built), and the log and
//! `doctor` say so: it grows old with the program, which the system's does not. It never stands beside
//! the system's, so who takes an authority's trust away on their machine has taken it away here. And it
//! is not used when `SSL_CERT_FILE` or `SSL_CERT_DIR` is set: whoever says which authorities count, and
//! whose file is gone, has not said that all the others do. Then nobody is trusted, and each HTTPS
//! request says so; that is no reason not to start, since receivers may well be plain HTTP.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error as TlsError, SignatureScheme};
use rustls_platform_verifier::Verifier;
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

/// Variables that say which authorities count; those of OpenSSL, whose names everybody knows.
const VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];
/// What a request to an `https` URL is told when nobody is trusted.
pub(crate) const NO_ROOTS: &str = "no CA certificates were found where SSL_CERT_FILE and SSL_CERT_DIR say; correct these variables, or remove them, and restart Postrider";

/// Who is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authorities {
    /// Those of the system, or of the variables that name others.
    System,
    /// Those that are compiled in, because the system has none.
    BuiltIn,
    /// None: what the variables name is not there.
    Nobody,
}

/// Who is trusted on this machine.
pub fn trusted() -> Authorities {
    choose(&Arc::new(rustls::crypto::ring::default_provider())).0
}

/// Judges certificates, and logs when it does not do so by the system's authorities.
pub(crate) fn verifier(provider: &Arc<CryptoProvider>) -> Arc<dyn ServerCertVerifier> {
    let (authorities, verifier) = choose(provider);
    match authorities {
        Authorities::System => {}
        Authorities::BuiltIn => tracing::warn!(
            "no CA certificates were found on this system; those that were compiled in are used, which grow old with the program: install the package ca-certificates"
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
    let nobody = || (Authorities::Nobody, Arc::new(Nobody(provider.clone())) as Arc<dyn ServerCertVerifier>);
    match of_system {
        Ok(verifier) => (Authorities::System, Arc::new(verifier)),
        Err(_) if is_named => nobody(),
        // The system has none, so these are the only ones.
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
struct Nobody(Arc<CryptoProvider>);

impl ServerCertVerifier for Nobody {
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
    fn a_system_without_authorities_gets_those_that_are_compiled_in() {
        assert_eq!(choose_from(none(), false, &provider()).0, Authorities::BuiltIn);
    }

    #[test]
    fn who_says_which_authorities_count_gets_no_others() {
        assert_eq!(choose_from(none(), true, &provider()).0, Authorities::Nobody);
    }

    #[test]
    fn the_authorities_of_the_system_stand_alone() {
        let system = built_in(&provider());
        assert_eq!(choose_from(system, false, &provider()).0, Authorities::System);
    }

    #[test]
    fn each_certificate_that_is_compiled_in_can_be_read() {
        // Those of a system are read leniently, these are not.
        assert!(built_in(&provider()).is_ok());
        assert!(TLS_SERVER_ROOT_CERTS.len() > 100);
    }
}
