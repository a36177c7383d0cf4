//! An endpoint, step by step as an attempt goes: name, verdict, connection, TLS, a signed request. Where a
//! step fails, those that need it are left out.

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
use crate::delivery::sending::{causes, client, tls_failure};
use crate::delivery::{Sender, SenderConfig};
use crate::domain::attempts::attempt::{Budget, Trigger};
use crate::domain::event::TEST_TYPE;
use crate::domain::network::NetworkPolicy;
use crate::domain::{AttemptId, Endpoint, EndpointStatus, EventId, EventType, Timestamp};
use crate::host::clock::{Clock, SystemClock};
use crate::host::data_dir::DataDir;
use crate::store::LoadedAttempt;

/// A certificate with fewer days left is worth a warning.
const DAYS_WARNING: i64 = 14;
const DAY_MS: i64 = 86_400_000;

/// Looks at a stored endpoint and sends it a signed test.
pub async fn examine(config: &Config, endpoint: Endpoint) -> Vec<Finding> {
    let mut found = vec![status(&endpoint)];
    let Ok(url) = Url::parse(&endpoint.settings.url) else {
        found.push(Finding::problem("URL", "cannot be read", "PATCH the webhook's url"));
        return found;
    };
    let (mut path, is_open) = way(config, &url).await;
    found.append(&mut path);
    if is_open {
        found.push(probe(config, endpoint).await);
    }
    found
}

/// Looks at a URL that belongs to no endpoint; nothing is sent to it but a greeting of TLS.
pub async fn examine_url(config: &Config, url: &Url) -> Vec<Finding> {
    way(config, url).await.0
}

fn status(endpoint: &Endpoint) -> Finding {
    let reason = endpoint.status_reason.as_deref().map_or(String::new(), |reason| format!(": {reason}"));
    let said = format!("{} is {}{reason}", endpoint.settings.name, endpoint.status.as_str());
    match endpoint.status {
        EndpointStatus::Active => Finding::fine("endpoint", said),
        EndpointStatus::Paused => Finding::warning(
            "endpoint",
            said,
            "what is queued waits; PATCH {\"status\":\"active\"} lets it go",
        ),
        EndpointStatus::Disabled => Finding::warning(
            "endpoint",
            said,
            "it gets nothing; PATCH {\"status\":\"active\"}, then POST …/recover sends what it has missed",
        ),
    }
}

/// The way to a receiver, and whether it is open to its end.
async fn way(config: &Config, url: &Url) -> (Vec<Finding>, bool) {
    let mut found = Vec::new();
    let port = url.port_or_known_default().unwrap_or(443);
    let Some(addresses) = resolve(url, &mut found).await else { return (found, false) };
    let policy = NetworkPolicy::new(config.network.allow.clone());
    let mut is_allowed = true;
    for address in &addresses {
        if let Err(blocked) = policy.check(*address) {
            is_allowed = false;
            let said = format!("{address} is {}; nothing is sent there", blocked.class);
            found.push(Finding::problem("network policy", said, blocked.advice()));
        }
    }
    if !is_allowed {
        return (found, false);
    }
    found.push(Finding::fine("network policy", format!("{} may be reached", shown(&addresses))));
    let Some(stream) = connect(config, &addresses, port, &mut found).await else { return (found, false) };
    let is_open = match url.scheme() {
        "https" => tls(config, url, stream, &mut found).await,
        _ => {
            let advice = "what is sent can be read on its way; use https where it leaves this machine";
            found.push(Finding::warning("TLS", "is not used", advice));
            true
        }
    };
    (found, is_open)
}

async fn resolve(url: &Url, found: &mut Vec<Finding>) -> Option<Vec<IpAddr>> {
    let name = match url.host()? {
        Host::Ipv4(address) => return Some(vec![address.into()]),
        Host::Ipv6(address) => return Some(vec![address.into()]),
        Host::Domain(name) => name.to_owned(),
    };
    let started = Instant::now();
    let advice = "check the name, and this machine's name servers (/etc/resolv.conf)";
    match SystemLookup.lookup(&name).await {
        Ok(all) if !all.is_empty() => {
            let mut addresses: Vec<IpAddr> = all.iter().map(SocketAddr::ip).collect();
            addresses.dedup();
            found.push(Finding::fine("name", format!("{name} is {}", shown(&addresses))).took(started));
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
                found.push(Finding::fine("connection", format!("{at} answers")).took(started));
                return Some(stream);
            }
            Ok(Err(error)) => format!("{at}: {error}"),
            Err(_) => format!("{at} does not answer within {}", config.delivery.connect_timeout),
        };
    }
    let advice = "is the receiver running there, and does a firewall between let this machine through?";
    found.push(Finding::problem("connection", last, advice).took(started));
    None
}

async fn tls(config: &Config, url: &Url, stream: TcpStream, found: &mut Vec<Finding>) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let Ok(name) = ServerName::try_from(host.clone()) else { return false };
    let started = Instant::now();
    let connector = TlsConnector::from(Arc::new(client::tls_config()));
    let limit = config.delivery.connect_timeout.as_duration();
    let advice = "the receiver must send a certificate for its name, its chain included, by an authority that this machine \
                  knows; one of your own is added with update-ca-certificates, or named in SSL_CERT_FILE, which then counts \
                  alone";
    let stream = match timeout(limit, connector.connect(name, stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            // In the words of the delivery log.
            let said = match causes::find::<rustls::Error>(&error) {
                Some(error) => tls_failure::tls_message(error, &host),
                None => format!("fails: {error}"),
            };
            found.push(Finding::problem("TLS", said, advice).took(started));
            return false;
        }
        Err(_) => {
            found.push(Finding::problem("TLS", "does not come about in time", advice).took(started));
            return false;
        }
    };
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let ends = chain.iter().filter_map(|one| certificate::not_after(one)).min();
    let days = ends.map(|end| (end.as_millis() - SystemClock.now().as_millis()) / DAY_MS);
    let said = match (ends, days) {
        (Some(end), Some(days)) => {
            format!(
                "a chain of {} is good until {}, {days} days from now",
                chain.len(),
                &end.to_string()[..10]
            )
        }
        _ => format!("a chain of {} is good", chain.len()),
    };
    found.push(match days {
        Some(days) if days < DAYS_WARNING => {
            Finding::warning("TLS", said, "the receiver's certificate must be renewed").took(started)
        }
        _ => Finding::fine("TLS", said).took(started),
    });
    true
}

/// One signed request, as an attempt would make it.
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
        Some(401 | 403) => "does the receiver check the signature with this webhook's secret?",
        Some(404 | 405) => "is the path of the URL right, and does it take POST?",
        Some(300..=399) => "redirects are not followed: put the URL they lead to in its place",
        Some(_) => "the receiver's log says why",
        None => "the receiver's log may say why",
    };
    match &outcome.failure {
        None => {
            let status = outcome.response.as_ref().map_or(0, |response| response.status);
            Finding::fine("signed test", format!("was answered with {status}")).took(started)
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
        event_id: EventId::new(now),
        event_type: EventType::parse(TEST_TYPE).expect("the default type is well-formed"),
        payload: bytes::Bytes::from_static(b"{\"test\":true,\"from\":\"postrider doctor\"}"),
        endpoint: Arc::new(endpoint),
    }
}
