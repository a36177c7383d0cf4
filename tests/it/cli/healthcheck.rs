//! `healthcheck`.

use std::io::{Read, Write};
use std::net::TcpListener;

use super::Place;

#[test]
fn a_server_that_answers_is_healthy_also_behind_a_wildcard_address() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0u8; 1_024];
        let read = stream.read(&mut request).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
        String::from_utf8_lossy(&request[..read]).into_owned()
    });
    let proxy = [("http_proxy", "http://127.0.0.1:1"), ("HTTP_PROXY", "http://127.0.0.1:1")];
    let said = Place::new().run_with(&format!("healthcheck --listen 0.0.0.0:{port}"), &proxy).ok();
    assert_eq!(said, format!("healthy: http://127.0.0.1:{port}/healthz responded with 200\n"));
    assert!(server.join().unwrap().starts_with("GET /healthz HTTP/1.1\r\n"));
}

#[test]
fn a_server_that_does_not_answer_is_unhealthy() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let said = Place::new().run(&format!("healthcheck --listen 127.0.0.1:{port}")).failed(1);
    assert!(said.contains("cannot be reached"), "{said}");
}
