//! `healthcheck`: for containers without curl. Exit code 0 when the server at the configured address
//! says that it is alive.
//!
//! It speaks just enough HTTP for that: one request to our own server needs no client that knows TLS,
//! proxies and redirects.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::{CliError, output};
use crate::config::Config;

const TIMEOUT: Duration = Duration::from_secs(5);
/// The first line of an answer is `HTTP/1.1 200 OK`; only its status matters.
const STATUS_LINE_BYTES: u64 = 64;

/// Asks the server.
pub(super) fn run(config: &Config) -> Result<(), CliError> {
    let address = config.local_address();
    let url = format!("http://{address}/healthz");
    match status(address) {
        Ok(200) => output::print(&format!("healthy: {url} answered 200\n")),
        Ok(status) => Err(CliError::Failed(format!("unhealthy: {url} answered {status}"))),
        Err(e) => Err(CliError::Failed(format!("unhealthy: {url} cannot be reached: {e}"))),
    }
}

fn status(address: SocketAddr) -> io::Result<u16> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut head = Vec::new();
    let mut limited = (&mut stream).take(STATUS_LINE_BYTES);
    let mut byte = [0u8; 1];
    while !head.ends_with(b"\r\n") && limited.read(&mut byte)? == 1 {
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head);
    let status =
        head.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).and_then(|code| code.parse().ok());
    status.ok_or_else(|| io::Error::other("the answer is not HTTP"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn status_of(answer: &'static str) -> io::Result<u16> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0u8; 1_024];
            let _ = stream.read(&mut request).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let status = status(address);
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
}
