//! Certificates for TLS tests: good ones, expired ones, and those of somebody else.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A certificate authority of the test's own.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// A new one that nobody trusts yet.
    pub(crate) fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names are valid names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("the operating system gives randomness");
        // Authorities with the same name would be taken for one with a wrong signature.
        let name = format!("Test authority {}", hex::encode(&key.public_key_raw()[..8]));
        params.distinguished_name.push(DnType::CommonName, name);
        Authority(CertifiedIssuer::self_signed(params, key).expect("the parameters are complete"))
    }

    /// Its certificate, for a file that is to be trusted.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A server with a good certificate for these names and addresses.
    pub(crate) fn server(&self, names: &[&str]) -> ServerConfig {
        self.issue(params(names))
    }

    /// The same, for one version of TLS.
    pub(crate) fn server_with(
        &self,
        names: &[&str],
        version: &'static rustls::SupportedProtocolVersion,
    ) -> ServerConfig {
        let key = KeyPair::generate().expect("the operating system gives randomness");
        let certificate = params(names).signed_by(&key, &self.0).expect("the parameters are complete");
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[version])
            .expect("ring has suites for every version that rustls knows")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("the key belongs to the certificate")
    }

    /// A server whose certificate says that it is of X.509 version 1.
    pub(crate) fn version_1_server(&self, names: &[&str]) -> ServerConfig {
        let key = KeyPair::generate().expect("the operating system gives randomness");
        let certificate = params(names).signed_by(&key, &self.0).expect("the parameters are complete");
        let mut der = certificate.der().to_vec();
        // [0] EXPLICIT INTEGER 2, which means version 3.
        let version_3 = [0xa0, 3, 2, 1, 2];
        let at = der.windows(5).position(|bytes| bytes == version_3).expect("it is of version 3");
        der[at + 4] = 0;
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let provider = rustls::crypto::ring::default_provider();
        let key = provider.key_provider.load_private_key(key).expect("ring can use the key");
        let certified = rustls::sign::CertifiedKey::new(vec![der.into()], key);
        ServerConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .expect("ring has suites for every version that rustls knows")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)))
    }

    /// A server whose certificate was good until 2001.
    pub(crate) fn expired_server(&self, names: &[&str]) -> ServerConfig {
        let mut params = params(names);
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(2001, 1, 1);
        self.issue(params)
    }

    /// A server whose certificate will be good from 2999 on.
    pub(crate) fn future_server(&self, names: &[&str]) -> ServerConfig {
        let mut params = params(names);
        params.not_before = date_time_ymd(2999, 1, 1);
        params.not_after = date_time_ymd(3000, 1, 1);
        self.issue(params)
    }

    /// A server that shows a certificate for an authority as its own, with that certificate for a file.
    pub(crate) fn posing_as_server(names: &[&str]) -> (ServerConfig, String) {
        let mut params = params(names);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("the operating system gives randomness");
        let certificate = params.self_signed(&key).expect("the parameters are complete");
        (server_config(certificate.der().clone(), &key), certificate.pem())
    }

    /// A good certificate for these names and addresses, and its key, as files have them (PEM).
    pub(crate) fn files(&self, names: &[&str]) -> (String, String) {
        let key = KeyPair::generate().expect("the operating system gives randomness");
        let certificate = params(names).signed_by(&key, &self.0).expect("the parameters are complete");
        (certificate.pem(), key.serialize_pem())
    }

    fn issue(&self, params: CertificateParams) -> ServerConfig {
        let key = KeyPair::generate().expect("the operating system gives randomness");
        let certificate = params.signed_by(&key, &self.0).expect("the parameters are complete");
        server_config(certificate.der().clone(), &key)
    }
}

/// A server with a certificate that it made for itself.
pub(crate) fn self_signed_server(names: &[&str]) -> ServerConfig {
    let key = KeyPair::generate().expect("the operating system gives randomness");
    let certificate = params(names).self_signed(&key).expect("the parameters are complete");
    server_config(certificate.der().clone(), &key)
}

/// The same server, offering HTTP/2 before HTTP/1.1.
pub(crate) fn with_http2(mut config: ServerConfig) -> ServerConfig {
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    CertificateParams::new(names).expect("the test's names are valid")
}

fn server_config(certificate: CertificateDer<'static>, key: &KeyPair) -> ServerConfig {
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has suites for every version that rustls knows")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("the key belongs to the certificate")
}

/// A certificate that is made for itself, and its key, as files have them (PEM).
pub(crate) fn self_signed_files(names: &[&str]) -> (String, String) {
    let key = KeyPair::generate().expect("the operating system gives randomness");
    let certificate = params(names).self_signed(&key).expect("the parameters are complete");
    (certificate.pem(), key.serialize_pem())
}

/// A server with a certificate and a key from files.
pub(crate) fn server_of(certificate: &str, key: &str) -> ServerConfig {
    use rustls::pki_types::pem::PemObject as _;
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("it is PEM");
    let key = KeyPair::from_pem(key).expect("it is PEM");
    server_config(certificate, &key)
}
