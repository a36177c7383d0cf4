//! The demo's receiver: an HTTP server on a loopback port that checks signatures, says what it got, and
//! fails on purpose when it is told to. Each webhook has a path of its own there.

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

use super::cast::{Part, TRACE};
use crate::domain::SigningSecret;
use crate::domain::signing::signature;

/// Where the webhook of the demo's own events leads; only those are told.
pub(super) const OWN_PATH: &str = "/hooks";

/// Events of this type are answered with 503 at the first attempt.
pub(super) const STUMBLES_AT: &str = "payment.failed";

/// What arrived, and what was answered.
#[derive(Debug, Clone)]
pub(super) struct Arrival {
    pub(super) event_type: String,
    pub(super) attempt: String,
    pub(super) genuine: bool,
    pub(super) answered: u16,
    pub(super) body: String,
}

/// A running receiver.
pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    secrets: Secrets,
    pub(super) arrivals: mpsc::Receiver<Arrival>,
}

/// By path; what has none is refused.
type Secrets = Arc<RwLock<HashMap<&'static str, SigningSecret>>>;

impl Receiver {
    /// Says with which secret requests to a path are signed.
    pub(super) fn expect(&self, path: &'static str, secret: SigningSecret) {
        self.secrets.write().expect("no panic happens while this is held").insert(path, secret);
    }
}

/// Starts a receiver on a port of the system's choice.
pub(super) async fn start() -> std::io::Result<Receiver> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let secrets = Secrets::default();
    let (tell, arrivals) = mpsc::channel(1_024);
    let shared = secrets.clone();
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let (tell, secrets) = (tell.clone(), shared.clone());
            let service = service_fn(move |request| answer(request, secrets.clone(), tell.clone()));
            tokio::spawn(async move {
                // A connection that ends early is the sender's matter, and in its log.
                let _ = auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    Ok(Receiver { address, secrets, arrivals })
}

async fn answer(
    request: Request<Incoming>,
    secrets: Secrets,
    tell: mpsc::Sender<Arrival>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let headers = request.headers().clone();
    let path = request.uri().path().to_owned();
    let body =
        request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let header = |name: &str| text(&headers, name).unwrap_or("?").to_owned();
    let (event_type, attempt) = (header("x-webhook-event"), header("x-webhook-attempt"));
    let secret = secrets.read().expect("no panic happens while this is held").get(&*path).cloned();
    let genuine = secret.is_some_and(|secret| verify(&secret, &headers, &body));
    let stumbles = path == OWN_PATH && event_type == STUMBLES_AT && attempt == "1";
    let (status, said) = match (genuine, stumbles) {
        (false, _) => (StatusCode::UNAUTHORIZED, r#"{"error":"the signature does not match"}"#),
        (true, true) => (StatusCode::SERVICE_UNAVAILABLE, r#"{"error":"out for lunch, try again"}"#),
        // It has gone bad, and stays so.
        (true, false) if path == Part::Crm.path() => (StatusCode::INTERNAL_SERVER_ERROR, TRACE),
        (true, false) => (StatusCode::OK, r#"{"received":true}"#),
    };
    if path == OWN_PATH {
        let body = String::from_utf8_lossy(&body).into_owned();
        let arrival = Arrival { event_type, attempt, genuine, answered: status.as_u16(), body };
        // When nobody reads them any more the demo is ending.
        let _ = tell.try_send(arrival);
    }
    let mut response = Response::new(Full::new(Bytes::from_static(said.as_bytes())));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert("content-type", hyper::header::HeaderValue::from_static("application/json"));
    Ok(response)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// What every receiver should do: sign anew with the shared secret, and compare.
fn verify(secret: &SigningSecret, headers: &HeaderMap, body: &[u8]) -> bool {
    let signed = || {
        let id = text(headers, "webhook-id")?;
        let timestamp: i64 = text(headers, "webhook-timestamp")?.parse().ok()?;
        let given = text(headers, "webhook-signature")?;
        let expected = signature::standard([secret], id, timestamp, body);
        Some(given.split(' ').any(|one| one.as_bytes().ct_eq(expected.as_bytes()).into()))
    };
    signed().unwrap_or(false)
}
