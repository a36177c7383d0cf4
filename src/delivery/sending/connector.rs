//! Opens a connection to a receiver: resolves and checks the address, connects, and speaks TLS where the URL asks for
//! it, all within `delivery.connect_timeout`.

use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt;
use rustls::pki_types::ServerName;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use crate::domain::Span;

use crate::delivery::sending::causes::io_cause;
use crate::delivery::sending::client::tls_config;
use crate::delivery::sending::destination::HttpTarget;
use crate::delivery::sending::dial::first_of;
use crate::delivery::sending::guard::Guard;
use crate::delivery::sending::opening::Opening;
use crate::delivery::sending::stream::{FairTcp, ReceiverStream};

/// How often a silent connection is probed, and how many probes may fail.
const TCP_PROBE_EVERY: Duration = Duration::from_secs(15);
const TCP_PROBES: u32 = 3;
/// How long sent data may wait for an acknowledgement, in milliseconds.
#[cfg(target_os = "linux")]
const TCP_USER_TIMEOUT_MS: u32 = 30_000;

pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// TCP, with or without TLS.
pub(crate) type Secured = Either<FairTcp, Box<TlsStream<FairTcp>>>;

/// Opens connections. Clones share everything.
#[derive(Clone)]
pub(crate) struct Connector {
    guard: Guard,
    tls: TlsConnector,
    limit: Duration,
}

impl Connector {
    /// All connections go through `guard`. `limit` covers name resolution, TCP and TLS.
    pub(crate) fn new(guard: Guard, limit: &Span) -> Connector {
        Connector { guard, tls: TlsConnector::from(Arc::new(tls_config())), limit: limit.as_duration() }
    }

    /// Opens a connection, and notes in `opening` what is known so far.
    pub(crate) async fn open(
        &self,
        target: &HttpTarget,
        opening: &Opening,
    ) -> Result<ReceiverStream<Secured>, BoxError> {
        let (secured, is_http2) = timeout(self.limit, self.secured(target, opening))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        Ok(ReceiverStream::new(secured, is_http2, opening.get()))
    }

    async fn secured(&self, target: &HttpTarget, opening: &Opening) -> Result<(Secured, bool), BoxError> {
        let host = target.uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let is_https = target.uri.scheme_str() == Some("https");
        let port = target.uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        let tcp = FairTcp::new(self.connect(host, port, opening).await?);
        if !is_https {
            return Ok((Either::Left(tcp), false));
        }
        let began = Instant::now();
        let name = ServerName::try_from(host.to_owned())?;
        let tls = self.tls.connect(name, tcp).await?;
        opening.note(|opened| opened.tls = Some(began.elapsed()));
        let is_http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok((Either::Right(Box::new(tls)), is_http2))
    }

    async fn connect(&self, host: &str, port: u16, opening: &Opening) -> Result<TcpStream, BoxError> {
        let mut addresses = match host.parse::<IpAddr>() {
            Ok(literal) => vec![SocketAddr::new(literal, port)],
            Err(_) => {
                let began = Instant::now();
                let found = self.guard.resolve_checked(host).await?;
                opening.note(|opened| opened.dns = Some(began.elapsed()));
                found
            }
        };
        addresses.iter_mut().for_each(|address| address.set_port(port));
        let began = Instant::now();
        let connected = first_of(addresses, is_unreachable, |address| {
            opening.note(|opened| opened.address = Some(address));
            connect_to(address)
        });
        let connected = connected.await.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))??;
        opening.note(|opened| {
            opened.address = connected.peer_addr().ok();
            opened.connect = Some(began.elapsed());
        });
        Ok(connected)
    }
}

async fn connect_to(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_nodelay(true)?;
    socket.set_keepalive(true)?;
    sockopt::set_tcp_keepidle(&socket, TCP_PROBE_EVERY)?;
    sockopt::set_tcp_keepintvl(&socket, TCP_PROBE_EVERY)?;
    sockopt::set_tcp_keepcnt(&socket, TCP_PROBES)?;
    #[cfg(target_os = "linux")]
    sockopt::set_tcp_user_timeout(&socket, TCP_USER_TIMEOUT_MS)?;
    socket.connect(address).await
}

/// Whether this machine has no route to an address, which says nothing of the receiver.
fn is_unreachable(error: &io::Error) -> bool {
    io_cause(error).is_some_and(|io| io.kind() == io::ErrorKind::NetworkUnreachable)
}
