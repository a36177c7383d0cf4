//! Checks of a source: whether its URL leads to this server, as a sender would find it.

use std::time::Duration;

use tokio::time::Instant;
use url::Url;

use super::endpoint::{Policy, connection};
use super::{Finding, Severity};
use crate::config::Config;
use crate::delivery::sending::client;
use crate::delivery::sending::guard::Guard;
use crate::domain::inbound::source::Source;
use crate::domain::network::NetworkPolicy;
use crate::host::data_dir::DataDir;

/// How long the response may take, in seconds.
const RESPONSE_SECS: u64 = 10;

/// Checks a stored source. A HEAD request makes no event.
pub async fn examine(config: &Config, source: Source) -> Vec<Finding> {
    let name = &source.settings.name;
    let mut found = vec![match source.settings.is_enabled {
        true => Finding::ok("source", format!("{name} is enabled")),
        false => {
            let advice = "its URL responds with 404 until it is enabled: PATCH {\"enabled\":true}";
            Finding::warning("source", format!("{name} is disabled"), advice)
        }
    }];
    let address = config.inbound.listen.clone().unwrap_or_else(|| config.listen.clone());
    let base = config.inbound_base_at(address);
    let url = match token(config, &source).map(|token| Url::parse(&format!("{base}/in/{token}"))) {
        Ok(Ok(url)) => url,
        Ok(Err(error)) => {
            let said = format!("{base} is no URL: {error}");
            found.push(Finding::problem("URL", said, "set inbound.public_url or public_url"));
            return found;
        }
        Err(finding) => {
            found.push(finding);
            return found;
        }
    };
    if config.inbound.public_url.is_none() && config.public_url.is_none() {
        let advice = "set inbound.public_url or public_url to the URL that senders use";
        found.push(Finding::warning("URL", format!("{base} is an address of this machine"), advice));
    }
    let (mut path, is_open) = connection(config, &url, Policy::Ignore).await;
    found.append(&mut path);
    if is_open {
        found.push(ask(config, url, source.settings.is_enabled).await);
    }
    found
}

fn token(config: &Config, source: &Source) -> Result<String, Finding> {
    let vault = DataDir::existing(config).vault();
    let vault = vault.map_err(|error| Finding::problem("URL", "cannot be read", error.to_string()))?;
    let opened = vault.open_source(source.id, "token", &source.token);
    opened.map_err(|error| Finding::problem("URL", "cannot be read", error.to_string()))
}

/// Asks the URL itself. Neither it nor its token is in the finding.
async fn ask(config: &Config, url: Url, is_enabled: bool) -> Finding {
    let check = "source URL";
    // The operator's own URL; the guard is for URLs of tenants.
    let anywhere = ["0.0.0.0/0", "::/0"].into_iter().filter_map(|net| net.parse().ok());
    let guard = Guard::new(NetworkPolicy::new(anywhere.collect()));
    let client = match client::build(guard, &config.delivery.connect_timeout) {
        Ok(client) => client,
        Err(error) => return Finding::problem(check, error.to_string(), "see the checks above"),
    };
    let started = Instant::now();
    let limit = Duration::from_secs(RESPONSE_SECS);
    let status = match client.head(url).timeout(limit).send().await {
        Ok(response) => response.status().as_u16(),
        Err(error) => {
            let said = format!("no response: {}", error.without_url());
            return Finding::problem(check, said, "check that the server is running").took(started);
        }
    };
    let said = format!("responds with {status}");
    let finding = match status {
        200 => return Finding::ok(check, format!("{said}: requests of senders arrive here")).took(started),
        404 if !is_enabled => Finding::new(check, Severity::Ok, format!("{said}, as the source is disabled")),
        404 => Finding::problem(
            check,
            said,
            "this server is not behind the URL, or a proxy changes the path. Pass /in/ on as it is, and check \
             inbound.public_url",
        ),
        301 | 302 | 307 | 308 => Finding::problem(
            check,
            said,
            "senders do not follow redirects. Set inbound.public_url to where it leads",
        ),
        401 | 403 => {
            Finding::problem(check, said, "a proxy asks for credentials. Let /in/ pass without them")
        }
        502..=504 => {
            Finding::problem(check, said, "the proxy does not reach this server. Check that it is running")
        }
        _ => Finding::problem(check, said, "check the log of the proxy and of this server"),
    };
    finding.took(started)
}
