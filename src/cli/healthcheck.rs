//! `healthcheck`: for containers without curl. Exit code 0 when the server at the configured address is
//! alive.
//!
//! It implements one HTTP request by hand: a request to our own server needs no proxies and no redirects.
//! Over TLS it accepts any certificate: the question is whether the server is alive, and the certificate
//! has another name than the local address.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use super::{CliError, output};
use crate::config::{Config, Listen};

const TIMEOUT: Duration = Duration::from_secs(5);
/// The first line of a response is `HTTP/1.1 200 OK`; only the status matters.
const STATUS_LINE_BYTES: u64 = 64;

/// Runs the command.
pub(super) fn run(config: &Config) -> Result<(), CliError> {
    let address = config.local_address();
    let url = match (&address, &config.tls) {
        (Listen::Tcp(address), None) => format!("http://{address}/healthz"),
        (Listen::Tcp(address), Some(_)) => format!("https://{address}/healthz"),
        (Listen::Unix(_), _) => format!("/healthz at {address}"),
    };
    match status(&address, config.tls.is_some()) {
        Ok(200) => output::print(&format!("healthy: {url} responded with 200\n")),
        Ok(status) => Err(CliError::Failed(format!("unhealthy: {url} responded with {status}"))),
        Err(e) => Err(CliError::Failed(format!("unhealthy: {url} cannot be reached: {e}"))),
    }
}

fn status(address: &Listen, tls: bool) -> io::Result<u16> {
    match address {
        Listen::Tcp(address) => {
            let stream = TcpStream::connect_timeout(address, TIMEOUT)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            stream.set_write_timeout(Some(TIMEOUT))?;
            request_over(stream, tls)
        }
        Listen::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            stream.set_write_timeout(Some(TIMEOUT))?;
            request_over(stream, tls)
        }
    }
}

fn request_over(stream: impl Read + Write, tls: bool) -> io::Result<u16> {
    if !tls {
        return request(stream);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AcceptAny))
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    let connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    request(StreamOwned::new(connection, stream))
}

/// Sends the request and reads the status.
fn request(mut stream: impl Read + Write) -> io::Result<u16> {
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    stream.flush()?;
    let mut head = Vec::new();
    // Continues after an interruption, such as a paused container.
    BufReader::new(stream.take(STATUS_LINE_BYTES)).read_until(b'\n', &mut head)?;
    let head = String::from_utf8_lossy(&head);
    let status =
        head.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).and_then(|code| code.parse().ok());
    status.ok_or_else(|| io::Error::other("the response is not HTTP"))
}

/// Accepts any certificate.
#[derive(Debug)]
struct AcceptAny;

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn status_of(response: &'static str) -> io::Result<u16> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0u8; 1_024];
            let _ = stream.read(&mut request).unwrap();
            stream.write_all(response.as_bytes()).unwrap();
        });
        let status = status(&address.into(), false);
        server.join().unwrap();
        status
    }

    #[test]
    fn the_status_is_read_from_the_first_line() {
        assert_eq!(status_of("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap(), 200);
        assert_eq!(status_of("HTTP/1.1 503 Service Unavailable\r\n\r\n").unwrap(), 503);
        assert!(status_of("SSH-2.0-OpenSSH\r\n").is_err());
        assert!(status_of("").is_err());
    }

    /// Returns "interrupted" before each byte of its response.
    struct Interrupted(&'static [u8], bool);

    impl Read for Interrupted {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            self.0.read(&mut buffer[..1])
        }
    }

    impl Write for Interrupted {
        fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
            Ok(buffer.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_interrupted_read_is_retried() {
        assert_eq!(request(Interrupted(b"HTTP/1.1 200 OK\r\n\r\n", false)).unwrap(), 200);
    }
}
