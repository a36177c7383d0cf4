//! The demo's receiver: an HTTP server on a loopback port that verifies signatures, reports requests, and
//! fails on purpose. Each webhook has its own path.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, RwLock};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use subtle::ConstantTimeEq as _;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::message::Message;
use super::sample::{SampleWebhook, TRACE};
use crate::domain::SigningSecret;
use crate::domain::signing::signature;

/// The path of the demo's live webhook, whose requests are reported.
pub(super) const OWN_PATH: &str = "/hooks";

/// The first attempt of this event type gets a 503.
pub(super) const FAILS_ONCE: &str = "payment.failed";

/// What the receiver reports.
#[derive(Debug, Clone)]
pub(super) enum Report {
    Arrival(Arrival),
    Message(Message),
}

/// A request to the demo's own webhook, and its response.
#[derive(Debug, Clone)]
pub(super) struct Arrival {
    pub(super) event_type: String,
    pub(super) attempt: String,
    pub(super) is_valid: bool,
    pub(super) status: u16,
    pub(super) body: String,
}

/// A running receiver.
pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    secrets: Secrets,
    pub(super) reports: mpsc::Receiver<Report>,
}

/// By path; requests to other paths are rejected.
type Secrets = Arc<RwLock<HashMap<&'static str, SigningSecret>>>;

impl Receiver {
    /// Sets the secret of a path.
    pub(super) fn expect(&self, path: &'static str, secret: SigningSecret) {
        self.secrets.write().expect("no panic happens while this is held").insert(path, secret);
    }
}

/// Starts a receiver on a free port.
pub(super) async fn start() -> std::io::Result<Receiver> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let secrets = Secrets::default();
    let (report, reports) = mpsc::channel(1_024);
    let shared = secrets.clone();
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let (report, secrets) = (report.clone(), shared.clone());
            let service = service_fn(move |request| respond(request, secrets.clone(), report.clone()));
            tokio::spawn(async move {
                // The sender logs a connection that ends early.
                let _ = auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    Ok(Receiver { address, secrets, reports })
}

async fn respond(
    request: Request<Incoming>,
    secrets: Secrets,
    report: mpsc::Sender<Report>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let headers = request.headers().clone();
    let path = request.uri().path().to_owned();
    let body =
        request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    if let Some(message) = Message::of(&path, &body) {
        // Fails only while the demo is stopping.
        let _ = report.try_send(Report::Message(message));
        return Ok(answer(StatusCode::OK, r#"{"id":"1"}"#));
    }
    let header_text = |name: &str| header(&headers, name).unwrap_or("?").to_owned();
    let (event_type, attempt) = (header_text("x-webhook-event"), header_text("x-webhook-attempt"));
    let secret = secrets.read().expect("no panic happens while this is held").get(&*path).cloned();
    let is_valid = secret.is_some_and(|secret| verify(&secret, &headers, &body));
    let fails_once = path == OWN_PATH && event_type == FAILS_ONCE && attempt == "1";
    let (status, text) = match (is_valid, fails_once) {
        (false, _) => (StatusCode::UNAUTHORIZED, r#"{"error":"the signature does not match"}"#),
        (true, true) => {
            (StatusCode::SERVICE_UNAVAILABLE, r#"{"error":"temporarily unavailable, try again"}"#)
        }
        // The failing webhook keeps failing.
        (true, false) if path == SampleWebhook::Crm.path() => (StatusCode::INTERNAL_SERVER_ERROR, TRACE),
        (true, false) => (StatusCode::OK, r#"{"received":true}"#),
    };
    if path == OWN_PATH {
        let body = String::from_utf8_lossy(&body).into_owned();
        let arrival = Arrival { event_type, attempt, is_valid, status: status.as_u16(), body };
        // Fails only while the demo is stopping.
        let _ = report.try_send(Report::Arrival(arrival));
    }
    Ok(answer(status, text))
}

fn answer(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert("content-type", hyper::header::HeaderValue::from_static("application/json"));
    response
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Verifies a signature as every receiver should: compute it with the shared secret, and compare.
fn verify(secret: &SigningSecret, headers: &HeaderMap, body: &[u8]) -> bool {
    let signed = || {
        let id = header(headers, "webhook-id")?;
        let timestamp: i64 = header(headers, "webhook-timestamp")?.parse().ok()?;
        let given = header(headers, "webhook-signature")?;
        let expected = signature::standard([secret], id, timestamp, body);
        Some(given.split(' ').any(|one| one.as_bytes().ct_eq(expected.as_bytes()).into()))
    };
    signed().unwrap_or(false)
}
