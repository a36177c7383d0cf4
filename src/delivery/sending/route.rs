//! Where a request goes, as far as it has come: for the log.
//!
//! How its connection was opened comes from the connection ([`ConnectionState`]), or, where none was opened, from
//! what the connector has noted ([`Opening`]).

use std::sync::Arc;
use std::time::Duration;

use hyper::http::Extensions;
use hyper_util::client::legacy::connect::CaptureConnection;
use tokio::time::Instant;

use crate::domain::attempts::attempt::{Route, Timings};

use crate::delivery::begin::Begin;
use crate::delivery::sending::opening::Opening;
use crate::delivery::sending::stream::ConnectionState;

/// Follows one request.
#[derive(Default)]
pub(crate) struct Tracker {
    /// How long the check of the address took.
    check: Option<Duration>,
    opening: Arc<Opening>,
    capture: Option<CaptureConnection>,
    /// The connection on which a response has come.
    responded: Option<Arc<ConnectionState>>,
    sent: Option<Instant>,
    head: Option<Duration>,
    begin: Option<Arc<Begin>>,
}

impl Tracker {
    /// Of a request that asks this before it is begun.
    pub(crate) fn of(begin: Option<Arc<Begin>>) -> Tracker {
        Tracker { begin, ..Tracker::default() }
    }

    /// Who is asked.
    pub(crate) fn asks(&self) -> Option<Arc<Begin>> {
        self.begin.clone()
    }

    pub(crate) fn checked(&mut self, took: Duration) {
        self.check = Some(took);
    }

    /// The request is handed to the client.
    pub(crate) fn begin(&mut self, capture: CaptureConnection) -> Arc<Opening> {
        self.opening = Arc::default();
        self.capture = Some(capture);
        self.sent = Some(Instant::now());
        self.opening.clone()
    }

    /// The head of the response has arrived, on this connection.
    pub(crate) fn responded(&mut self, connection: Option<Arc<ConnectionState>>) {
        self.head = self.sent.map(|sent| sent.elapsed());
        self.responded = connection;
    }

    /// The connection that carries the request, once there is one.
    fn connection(&self) -> Option<Arc<ConnectionState>> {
        if self.responded.is_some() {
            return self.responded.clone();
        }
        let capture = self.capture.as_ref()?;
        let metadata = capture.connection_metadata();
        let mut extras = Extensions::new();
        metadata.as_ref()?.get_extras(&mut extras);
        extras.remove()
    }

    /// Where it went; call it once.
    pub(crate) fn route(&self) -> Option<Route> {
        self.sent?;
        let (address, opened) = match self.connection() {
            Some(connection) => (connection.address(), connection.claim()),
            None => {
                let opened = self.opening.get();
                (opened.address, Some(opened))
            }
        };
        let setup = opened.unwrap_or_default();
        let spent = [setup.dns, setup.connect, setup.tls].into_iter().flatten().sum();
        let dns = opened.and_then(|opened| match (self.check, opened.dns) {
            (None, None) => None,
            (check, dns) => Some(check.unwrap_or_default() + dns.unwrap_or_default()),
        });
        let timings = Timings {
            dns_ms: dns.map(millis),
            connect_ms: setup.connect.map(millis),
            tls_ms: setup.tls.map(millis),
            first_byte_ms: self.head.map(|head| millis(head.saturating_sub(spent))),
        };
        Some(Route { remote_address: address, timings })
    }
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
