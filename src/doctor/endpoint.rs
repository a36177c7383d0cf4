//! Checks of an endpoint in the order of an attempt: name, network policy, connection, TLS, a signed request.
//! After a step that fails, the steps that depend on it are skipped.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::{Finding, certificate};
use crate::config::Config;
use crate::delivery::sending::guard::{Lookup as _, SystemLookup};
use crate::delivery::sending::{causes, client, echo, tls_failure};
use crate::delivery::{Sender, SenderConfig};
use crate::domain::attempts::attempt::{Budget, Trigger};
use crate::domain::event::TEST_TYPE;
use crate::domain::network::NetworkPolicy;
use crate::domain::shaping;
use crate::domain::{AttemptId, Endpoint, EndpointStatus, EventId, EventType, Timestamp};
use crate::host::clock::{Clock, SystemClock};
use crate::host::data_dir::DataDir;
use crate::store::LoadedAttempt;

/// What to do when the response to a TLS handshake is not TLS.
const PLAIN_PORT: &str = "this port does not speak TLS: write http:// instead of https:// in the URL, or name the receiver's TLS port";
/// A certificate that expires earlier is a warning.
const DAYS_WARNING: i64 = 14;
const DAY_MS: i64 = 86_400_000;

/// Checks a stored endpoint and sends it a signed test request.
pub async fn examine(config: &Config, endpoint: Endpoint) -> Vec<Finding> {
    let mut found = vec![status(&endpoint)];
    let Ok(url) = Url::parse(shaping::origin_of(&endpoint.settings.url)) else {
        found.push(Finding::problem("URL", "is invalid", "set a valid url with PATCH /v1/webhooks/{id}"));
        return found;
    };
    let (mut path, is_open) = connection(config, &url, Policy::Ask).await;
    found.append(&mut path);
    if is_open {
        found.push(probe(config, endpoint).await);
    }
    found
}

/// Checks a URL that belongs to no endpoint; nothing but a TLS handshake is sent.
pub async fn examine_url(config: &Config, url: &Url) -> Vec<Finding> {
    connection(config, url, Policy::Ask).await.0
}

/// Whether the network policy for receivers counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    Ask,
    /// It is the server's own URL.
    Ignore,
}

fn status(endpoint: &Endpoint) -> Finding {
    let reason = endpoint.status_reason.as_deref().map_or(String::new(), |reason| format!(": {reason}"));
    let said = format!("{} is {}{reason}", endpoint.settings.name, endpoint.status.as_str());
    match endpoint.status {
        EndpointStatus::Active => Finding::ok("endpoint", said),
        EndpointStatus::Paused => Finding::warning(
            "endpoint",
            said,
            "deliveries are queued until you resume it: PATCH {\"status\":\"active\"}",
        ),
        EndpointStatus::Disabled => Finding::warning(
            "endpoint",
            said,
            "it gets no events. Enable it with PATCH {\"status\":\"active\"}, then POST …/recover resends missed events",
        ),
    }
}

/// The connection to a receiver, and whether it could be established.
pub(super) async fn connection(config: &Config, url: &Url, policy: Policy) -> (Vec<Finding>, bool) {
    let mut found = Vec::new();
    if echo::is_echo_url(url) {
        let said = "not needed: the built-in echo receiver responds inside the server";
        return (vec![Finding::ok("connection", said)], true);
    }
    let port = url.port_or_known_default().unwrap_or(443);
    let Some(addresses) = resolve(url, &mut found).await else { return (found, false) };
    if policy == Policy::Ask && !is_allowed(config, &addresses, &mut found) {
        return (found, false);
    }
    let Some(stream) = connect(config, &addresses, port, &mut found).await else { return (found, false) };
    let is_open = match url.scheme() {
        "https" => tls(config, url, stream, &mut found).await,
        _ => {
            let advice = "payloads are sent in clear text. Use https when they leave this machine";
            found.push(Finding::warning("TLS", "not used", advice));
            true
        }
    };
    (found, is_open)
}

fn is_allowed(config: &Config, addresses: &[IpAddr], found: &mut Vec<Finding>) -> bool {
    let policy = NetworkPolicy::new(config.network.allow.clone());
    let mut is_allowed = true;
    for address in addresses {
        if let Err(blocked) = policy.check(*address) {
            is_allowed = false;
            let said = format!("{address} is {}; requests to it are blocked", blocked.class);
            found.push(Finding::problem("network policy", said, blocked.advice()));
        }
    }
    if is_allowed {
        found.push(Finding::ok("network policy", format!("{} is allowed", shown(addresses))));
    }
    is_allowed
}

async fn resolve(url: &Url, found: &mut Vec<Finding>) -> Option<Vec<IpAddr>> {
    let name = match url.host()? {
        Host::Ipv4(address) => return Some(vec![address.into()]),
        Host::Ipv6(address) => return Some(vec![address.into()]),
        Host::Domain(name) => name.to_owned(),
    };
    let started = Instant::now();
    let advice = "check the name and this machine's name servers (/etc/resolv.conf)";
    match SystemLookup.lookup(&name).await {
        Ok(all) if !all.is_empty() => {
            let mut addresses: Vec<IpAddr> = all.iter().map(SocketAddr::ip).collect();
            addresses.dedup();
            found
                .push(Finding::ok("name", format!("{name} resolves to {}", shown(&addresses))).took(started));
            Some(addresses)
        }
        Ok(_) => {
            found.push(Finding::problem("name", format!("{name} has no address"), advice).took(started));
            None
        }
        Err(error) => {
            let said = format!("{name} does not resolve: {error}");
            found.push(Finding::problem("name", said, advice).took(started));
            None
        }
    }
}

fn shown(addresses: &[IpAddr]) -> String {
    addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ")
}

async fn connect(
    config: &Config,
    addresses: &[IpAddr],
    port: u16,
    found: &mut Vec<Finding>,
) -> Option<TcpStream> {
    let limit = config.delivery.connect_timeout.as_duration();
    let started = Instant::now();
    let mut last = String::new();
    for address in addresses {
        let at = SocketAddr::new(*address, port);
        last = match timeout(limit, TcpStream::connect(at)).await {
            Ok(Ok(stream)) => {
                found.push(Finding::ok("connection", format!("{at} is open")).took(started));
                return Some(stream);
            }
            Ok(Err(error)) => format!("{at}: {error}"),
            Err(_) => format!("{at} did not respond within {}", config.delivery.connect_timeout),
        };
    }
    let advice = "check that the receiver is running there and that no firewall blocks this machine";
    found.push(Finding::problem("connection", last, advice).took(started));
    None
}

async fn tls(config: &Config, url: &Url, stream: TcpStream, found: &mut Vec<Finding>) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let Ok(name) = ServerName::try_from(host.clone()) else { return false };
    let started = Instant::now();
    let connector = TlsConnector::from(Arc::new(client::tls_config()));
    let limit = config.delivery.connect_timeout.as_duration();
    let advice = "the receiver must send a certificate for its name with the full chain, issued by a CA that this machine trusts. \
                  Add your own CA with update-ca-certificates, or name it in SSL_CERT_FILE (which replaces all other CAs)";
    let stream = match timeout(limit, connector.connect(name, stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            // The same sentence as in the delivery log.
            let said = match causes::find::<rustls::Error>(&error) {
                Some(error) => tls_failure::tls_message(error, &host),
                None => format!("failed: {error}"),
            };
            let is_plain =
                matches!(causes::find::<rustls::Error>(&error), Some(rustls::Error::InvalidMessage(_)));
            let advice = if is_plain { PLAIN_PORT } else { advice };
            found.push(Finding::problem("TLS", said, advice).took(started));
            return false;
        }
        Err(_) => {
            found.push(Finding::problem("TLS", "the handshake timed out", advice).took(started));
            return false;
        }
    };
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let ends = chain.iter().filter_map(|one| certificate::not_after(one)).min();
    let days = ends.map(|end| (end.as_millis() - SystemClock.now().as_millis()) / DAY_MS);
    let said = match (ends, days) {
        (Some(end), Some(days)) => {
            format!(
                "the chain of {} certificates is valid until {}, for {days} more days",
                chain.len(),
                &end.to_string()[..10]
            )
        }
        _ => format!("the chain of {} certificates is valid", chain.len()),
    };
    found.push(match days {
        Some(days) if days < DAYS_WARNING => {
            Finding::warning("TLS", said, "renew the receiver's certificate").took(started)
        }
        _ => Finding::ok("TLS", said).took(started),
    });
    true
}

/// Sends one signed request, as an attempt would.
async fn probe(config: &Config, endpoint: Endpoint) -> Finding {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let vault = match DataDir::existing(config).vault() {
        Ok(vault) => Arc::new(vault),
        Err(error) => return Finding::problem("signed test", "cannot be signed", error.to_string()),
    };
    let sender_config = SenderConfig {
        timeout: config.delivery.timeout.clone(),
        connect_timeout: config.delivery.connect_timeout.clone(),
        response_body_limit: config.delivery.response_body_limit,
        signing_headers: config.signing.headers.clone(),
        policy: NetworkPolicy::new(config.network.allow.clone()),
    };
    let sender = match Sender::new(sender_config, clock.clone(), vault) {
        Ok(sender) => sender,
        Err(error) => return Finding::problem("signed test", error.to_string(), "check signing.headers"),
    };
    let started = Instant::now();
    let outcome = sender.send(&job(endpoint, clock.now())).await;
    let advice = match outcome.response.as_ref().map(|response| response.status) {
        Some(401 | 403) => "check that the receiver verifies signatures with this webhook's secret",
        Some(404 | 405) => "check the path of the URL, and that it accepts POST",
        Some(300..=399) => "redirects are not followed. Set the URL that they lead to",
        Some(_) => "check the receiver's log",
        None => "check the receiver's log",
    };
    match &outcome.failure {
        None => {
            let status = outcome.response.as_ref().map_or(0, |response| response.status);
            Finding::ok("signed test", format!("the receiver responded with {status}")).took(started)
        }
        Some(failure) => {
            Finding::problem("signed test", format!("{}: {}", failure.kind, failure.message), advice)
                .took(started)
        }
    }
}

fn job(endpoint: Endpoint, now: Timestamp) -> LoadedAttempt {
    LoadedAttempt {
        id: AttemptId(0),
        attempt: 1,
        trigger: Trigger::Test,
        budget: Budget::Single,
        delivery_id: AttemptId(0),
        event_id: EventId::at(now),
        event_type: EventType::parse(TEST_TYPE).expect("the default type is well-formed"),
        created_at: now,
        resource_id: None,
        payload: bytes::Bytes::from_static(b"{\"test\":true,\"from\":\"postrider doctor\"}"),
        endpoint: Arc::new(endpoint),
        from: None,
    }
}
