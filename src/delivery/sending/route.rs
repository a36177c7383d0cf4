//! Where a request goes, as far as it has come: for the log.
//!
//! How its connection was opened comes from the connection ([`ConnectionState`]), or, where none was opened, from
//! what the connector has noted ([`Opening`]).

use std::sync::Arc;
use std::time::Duration;

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
    /// The connection that is being opened for it.
    opening: Option<Arc<Opening>>,
    /// The connection that carries it.
    connection: Option<Arc<ConnectionState>>,
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

    /// The request looks for a connection.
    pub(crate) fn begin(&mut self) {
        (self.opening, self.connection, self.sent) = (None, None, Some(Instant::now()));
    }

    /// A connection is being opened for it.
    pub(crate) fn opens(&mut self) -> Arc<Opening> {
        self.opening.insert(Arc::default()).clone()
    }

    /// The request is handed to this connection.
    pub(crate) fn uses(&mut self, connection: &Arc<ConnectionState>) {
        self.connection = Some(connection.clone());
    }

    /// The head of the response has arrived.
    pub(crate) fn responded(&mut self) {
        self.head = self.sent.map(|sent| sent.elapsed());
    }

    /// Where it went; call it once.
    pub(crate) fn route(&self) -> Option<Route> {
        self.sent?;
        let (address, opened) = match &self.connection {
            Some(connection) => (connection.address(), connection.claim()),
            None => {
                let opened = self.opening.as_ref().map(|opening| opening.get()).unwrap_or_default();
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
