//! The sockets that a server listens on.

use rustix::process::{Resource, getrlimit};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::app::StartError;
use crate::config::{Config, Listen};
use crate::host::io_error::reason;
use crate::http;
use crate::http::InboundPlace;
use crate::http::state::State;
use crate::http::transport::listener::Listener;
use crate::http::transport::proxies::Proxies;
use crate::http::transport::server::{Door, connections_within, serve as serve_http};
use crate::http::transport::tls::Tls;

/// The sockets of a server.
pub(super) struct Doors {
    main: Listener,
    /// For the URLs of sources alone.
    inbound: Option<Listener>,
    pub(super) tls: Option<Tls>,
}

impl Doors {
    /// Listens at both addresses, which are returned with the ports that the system chose. `passed` is a socket of the
    /// service manager.
    pub(super) async fn listen(
        config: &Config,
        passed: Option<Listener>,
    ) -> Result<(Doors, Listen, Listen), StartError> {
        let tls = config.tls.as_ref().map(|files| Tls::load(&files.certificate, &files.key)).transpose()?;
        let (main, address) = listen(&config.listen, passed).await?;
        let (inbound, inbound_address) = match &config.inbound.listen {
            Some(at) => {
                let (listener, address) = listen(at, None).await?;
                (Some(listener), address)
            }
            None => (None, address.clone()),
        };
        Ok((Doors { main, inbound, tls }, address, inbound_address))
    }

    /// Serves both until the server stops.
    pub(super) fn open(
        self,
        config: &Config,
        state: State,
        stop: &CancellationToken,
        abort: &CancellationToken,
    ) -> JoinHandle<()> {
        let Doors { main, inbound, tls } = self;
        let open_files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let all = connections_within(open_files, config.delivery.concurrency);
        // Senders get half of the connections where they come in by a door of their own.
        let connections = if inbound.is_some() { all / 2 } else { all };
        let door = |listener| {
            let proxies = Proxies::new(config.http.trusted_proxies.clone());
            Door { listener, tls: tls.clone(), proxies, connections }
        };
        let place = if inbound.is_some() { InboundPlace::Elsewhere } else { InboundPlace::Here };
        let app = http::app(state.clone(), place);
        let main = Box::pin(serve_http(door(main), app, stop.clone(), abort.clone()));
        match inbound {
            None => tokio::spawn(main),
            Some(listener) => {
                let app = http::inbound_app(state);
                let inbound = Box::pin(serve_http(door(listener), app, stop.clone(), abort.clone()));
                tokio::spawn(async move {
                    tokio::join!(main, inbound);
                })
            }
        }
    }
}

/// The socket and its address, with the port if the system chose it.
async fn listen(at: &Listen, passed: Option<Listener>) -> Result<(Listener, Listen), StartError> {
    let failed = |error: std::io::Error| {
        let advice = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                "Stop the other program or choose another address with --listen."
            }
            std::io::ErrorKind::PermissionDenied => {
                "Choose a port from 1024 on with --listen, or allow this one (CAP_NET_BIND_SERVICE)."
            }
            _ => "Choose another address with --listen.",
        };
        StartError::Listen { address: at.clone(), reason: reason(&error), advice }
    };
    let listener = match (passed, at) {
        (Some(listener), _) => listener,
        (None, Listen::Tcp(address)) => Listener::tcp(*address).await.map_err(failed)?,
        (None, Listen::Unix(path)) => Listener::unix(path).map_err(failed)?,
    };
    let address = match listener.address().map_err(failed)? {
        Ok(address) => Listen::Tcp(address),
        Err(path) => Listen::Unix(path),
    };
    Ok((listener, address))
}
