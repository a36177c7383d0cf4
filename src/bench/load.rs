//! The load generator: several connections, each sending one request after another.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::tally::Tally;

/// The text before the number of an event in its payload.
const MARK: &[u8] = b"\"bench_event\":";

/// The reason why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error("no connection")]
    Connect(#[from] std::io::Error),
    #[error(transparent)]
    Http(#[from] hyper::Error),
    #[error("invalid request")]
    Invalid(#[from] hyper::http::Error),
    #[error("{path} responded with {status}: {body}")]
    Refused { path: String, status: StatusCode, body: String },
    #[error("a client task failed")]
    Ended(#[from] tokio::task::JoinError),
}

/// A run of posts.
#[derive(Debug, Clone)]
pub(super) struct Posting<'a> {
    pub(super) address: SocketAddr,
    /// `None`: directly to the receiver.
    pub(super) token: Option<&'a str>,
    pub(super) clients: usize,
    pub(super) batch: usize,
    pub(super) payload: usize,
}

impl Posting<'_> {
    /// Posts all events of the tally and returns the number of rejected ones.
    pub(super) async fn run(&self, tally: &Arc<Tally>) -> Result<usize, RequestError> {
        let next = Arc::new(AtomicUsize::new(0));
        let mut clients = JoinSet::new();
        for _ in 0..self.clients {
            let mut client = Client::connect(self.address, self.token).await?;
            let (tally, next) = (tally.clone(), next.clone());
            let (batch, size, is_direct) = (self.batch, self.payload, self.token.is_none());
            clients.spawn(async move {
                let mut refused = 0;
                loop {
                    let first = next.fetch_add(batch, Ordering::Relaxed);
                    let events = first..(first + batch).min(tally.events());
                    if events.is_empty() {
                        return Ok(refused);
                    }
                    let (path, body) = match (is_direct, batch) {
                        (true, _) => ("/0", payload(first, size)),
                        (false, 1) => ("/v1/events", envelope(first, size)),
                        _ => ("/v1/events/batch", batch_of(events.clone(), size)),
                    };
                    events.clone().for_each(|event| tally.post(event));
                    let (status, _) = client.post(path, body).await?;
                    if status.is_success() {
                        events.for_each(|event| tally.accept(event));
                    } else {
                        refused += events.len();
                    }
                }
            });
        }
        let mut refused = 0;
        while let Some(client) = clients.join_next().await {
            refused += client?.map_err(|e: RequestError| e)?;
        }
        Ok(refused)
    }
}

/// Creates the webhooks that get every event, with their number as path, and `others` that get none.
pub(super) async fn create_webhooks(
    (server, token): (SocketAddr, &str),
    receiver: SocketAddr,
    endpoints: usize,
    others: usize,
) -> Result<(), RequestError> {
    let mut client = Client::connect(server, Some(token)).await?;
    for number in 0..endpoints + others {
        let events = if number < endpoints { "bench.event".to_owned() } else { format!("other{number}.*") };
        let url = format!("http://{receiver}/{number}");
        client.create_webhook(&url, &events).await?;
    }
    Ok(())
}

/// Whether the server is ready.
pub(super) async fn is_ready(address: SocketAddr) -> bool {
    let asked = async {
        let mut client = Client::connect(address, None).await?;
        let request = client.request(Method::GET, "/readyz").body(Full::default())?;
        client.send(request).await
    };
    asked.await.is_ok_and(|(status, _)| status == StatusCode::OK)
}

/// One connection.
pub(super) struct Client {
    sender: SendRequest<Full<Bytes>>,
    host: String,
    authorization: Option<String>,
}

impl Client {
    pub(super) async fn connect(address: SocketAddr, token: Option<&str>) -> Result<Client, RequestError> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // The pending request gets its error.
        tokio::spawn(connection);
        let authorization = token.map(|token| format!("Bearer {token}"));
        Ok(Client { sender, host: address.to_string(), authorization })
    }

    fn request(&self, method: Method, path: &str) -> hyper::http::request::Builder {
        let request = Request::builder().method(method).uri(path).header(header::HOST, &self.host);
        match &self.authorization {
            Some(value) => request.header(header::AUTHORIZATION, value),
            None => request,
        }
    }

    async fn create_webhook(&mut self, url: &str, events: &str) -> Result<(), RequestError> {
        let body = serde_json::json!({ "url": url, "events": [events] }).to_string();
        let path = "/v1/webhooks";
        match self.post(path, body).await? {
            (status, _) if status.is_success() => Ok(()),
            (status, body) => {
                let body = String::from_utf8_lossy(&body).into_owned();
                Err(RequestError::Refused { path: path.to_owned(), status, body })
            }
        }
    }

    pub(super) async fn post(
        &mut self,
        path: &str,
        body: String,
    ) -> Result<(StatusCode, Bytes), RequestError> {
        let request = self.request(Method::POST, path).header(header::CONTENT_TYPE, "application/json");
        self.send(request.body(Full::from(body))?).await
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), RequestError> {
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }
}

/// A payload of about `size` bytes with the number of its event.
fn payload(event: usize, size: usize) -> String {
    let mark = std::str::from_utf8(MARK).expect("it is ASCII");
    let head = format!("{{{mark}{event},\"filler\":\"");
    // Not by a format width, which writes character by character: the load must be cheap.
    let filler = "x".repeat(size.saturating_sub(head.len() + 2));
    [&head, &filler, "\"}"].concat()
}

pub(super) fn envelope(event: usize, size: usize) -> String {
    ["{\"event_type\":\"bench.event\",\"payload\":", &payload(event, size), "}"].concat()
}

fn batch_of(events: std::ops::Range<usize>, size: usize) -> String {
    let events: Vec<String> = events.map(|event| envelope(event, size)).collect();
    ["{\"events\":[", &events.join(","), "]}"].concat()
}

/// The number of the event in a payload.
pub(super) fn number_in(payload: &[u8]) -> Option<usize> {
    let at = payload.windows(MARK.len()).position(|window| window == MARK)?;
    let digits = payload[at + MARK.len()..].iter().take_while(|b| b.is_ascii_digit());
    let number = digits.fold(0_usize, |n, b| n.saturating_mul(10).saturating_add(usize::from(b - b'0')));
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_has_its_size_and_its_event_number() {
        let built = payload(1_234, 1_024);
        assert_eq!(built.len(), 1_024);
        assert!(
            serde_json::from_str::<serde_json::Value>(&batch_of(3..5, 64)).unwrap()["events"][1].is_object()
        );
        assert_eq!(number_in(envelope(1_234, 100).as_bytes()), Some(1_234));
        assert_eq!(number_in(payload(7, 0).as_bytes()), Some(7), "a size that is too small is ignored");
        assert_eq!(number_in(b"{}"), None);
    }
}
