//! The receiver: responds with 200 and reports each event.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::arrivals::Arrivals;
use super::load::number_in;

/// Starts one on a free port. It ends with the runtime.
pub(super) async fn start(tally: Arc<impl Arrivals>) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let _ = stream.set_nodelay(true);
            let tally = tally.clone();
            let service = service_fn(move |request| receive(request, tally.clone()));
            tokio::spawn(async move {
                // The sender sees a connection that ends early.
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    Ok(address)
}

/// The path is the number of the webhook.
async fn receive(
    request: Request<Incoming>,
    tally: Arc<impl Arrivals>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let endpoint = request.uri().path().trim_start_matches('/').parse().unwrap_or(0);
    if let Ok(body) = request.into_body().collect().await
        && let Some(event) = number_in(&body.to_bytes())
    {
        tally.arrive(event, endpoint);
    }
    Ok(Response::new(Empty::new()))
}
