//! `postrider demo`: the product at work, with no other program.
//!
//! It is the real server in a throw-away data directory, with a receiver in the same process, a webhook
//! to it and a handful of events, one of which fails first and is retried. Before it starts, a week of a
//! made-up shop's deliveries is written ([`past`]); the shop's hosts are names that only the demo knows and
//! that lead to the same receiver, so that everything can be retried. Only what has to be is different from
//! `serve`: loopback may be reached, and the webhook's retries come after seconds.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use crate::app::{Server, Signals, StartError, World};
use crate::config::Config;
use crate::delivery::sending::guard::{Lookup, SystemLookup};
use crate::domain::access::app::DEFAULT_APP;
use crate::domain::event::NewEvent;
use crate::domain::{EventType, Role, Scope, Span};
use crate::host::clock::{Clock as _, SystemClock};
use crate::host::data_dir::{DataDir, DataDirError};
use crate::host::throw_away::ThrowAway;
use crate::service::endpoints::endpoint_input;
use crate::service::people::{apps, keys, users};
use crate::service::{By, Caller, ServiceError};
use crate::store::sqlite::{Options, SqliteStore};
use crate::store::{AppStore as _, StoreError};

mod cast;
mod past;
mod receiver;

use cast::Part;
use receiver::{Arrival, Receiver};

/// What the past is made with; another number makes another one.
const SEED: u64 = 0x0051_1ce5;

/// The retries of the demo's webhook.
const SCHEDULE: [&str; 3] = ["2s", "5s", "10s"];

/// Who signs in to the demo's dashboard.
const OWNER: &str = "demo@example.com";

/// What happens in the demo.
const EVENTS: [(&str, &str); 4] = [
    ("license.assigned", r#"{"license":"L-1001","seat":"ada@example.com"}"#),
    ("license.activated", r#"{"license":"L-1001","machine":"laptop-7"}"#),
    (receiver::STUMBLES_AT, r#"{"invoice":"INV-42","amount_cents":1299,"currency":"EUR"}"#),
    ("product.updated", r#"{"product":"P-7","version":"2.4.0"}"#),
];

/// Why the demo did not run.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("the demo's receiver could not be started")]
    Receiver(#[source] std::io::Error),
    #[error("a throw-away directory could not be made in {}", .0.display())]
    Directory(PathBuf, #[source] std::io::Error),
    #[error("the demo's past could not be made: {0}")]
    Past(String),
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error("the demo could not be set up")]
    Store(#[from] StoreError),
    #[error("the demo could not be set up")]
    Key(#[from] keys::KeyError),
    #[error("the demo could not be set up")]
    App(#[from] apps::AppError),
    #[error("the demo could not be set up")]
    User(#[from] users::UserError),
    #[error("the demo could not be set up")]
    Service(#[from] ServiceError),
}

/// Runs the demo until the process is told to stop.
pub async fn run(mut config: Config) -> Result<(), DemoError> {
    let signals = Signals::listen()?;
    let parent = std::env::temp_dir();
    let directory =
        ThrowAway::make_in(&parent, "demo").map_err(|e| DemoError::Directory(parent.clone(), e))?;
    config.data_dir = directory.path().join("data");
    // Nobody wants what is thrown away kept, least of all in place of what is not.
    config.backup.every = Span::from_secs(0);
    config.network.allow.push(ipnet::IpNet::from(std::net::IpAddr::from([127, 0, 0, 1])));

    let mut receiver = receiver::start().await.map_err(DemoError::Receiver)?;
    write_past(&config, &receiver).await?;
    let world = World { lookup: Arc::new(Hosts), ..World::real() };
    let server = Server::start(&config, world).await?;
    server.ready().await;
    let caller = caller(&server).await?;
    let token = make_key(&server, &config, &caller.by).await?;
    let password = make_owner(&server, &caller.by).await?;
    let webhook = make_webhook(&server, &caller, &receiver).await?;

    let base = config.public_base_at(server.address());
    say(&introduction(&base, &receiver, &webhook));
    for (event_type, payload) in EVENTS {
        post(&server, &caller, event_type, payload).await?;
    }

    let signal = signals.received();
    tokio::pin!(signal);
    // Each event arrives once, and the one that stumbles once more.
    let mut expected = EVENTS.len() + 1;
    loop {
        tokio::select! {
            _ = &mut signal => break,
            arrival = receiver.arrivals.recv() => {
                let Some(arrival) = arrival else { break };
                say(&line(&arrival));
                expected = expected.saturating_sub(1);
                if expected == 0 {
                    say(&what_to_try(&base, &token, &password));
                    expected = usize::MAX;
                }
            }
        }
    }
    say("\nStopping; the throw-away data goes with it.\n");
    server.stop().await;
    Ok(())
}

/// The hosts of the past's webhooks lead to the receiver; others are what they are.
struct Hosts;

impl Lookup for Hosts {
    fn lookup(
        &self,
        host: &str,
    ) -> futures_util::future::BoxFuture<'static, std::io::Result<Vec<SocketAddr>>> {
        if Part::ALL.iter().any(|part| part.host() == host) {
            let here = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
            return Box::pin(async move { Ok(vec![here]) });
        }
        SystemLookup.lookup(host)
    }
}

/// Fills the new data directory, and tells the receiver what it has to know.
async fn write_past(config: &Config, receiver: &Receiver) -> Result<(), DemoError> {
    let dir = DataDir::open(config)?;
    let now = SystemClock.now();
    let store = SqliteStore::open(&dir.database(), Options::new(now))?;
    let app = store.app_find(DEFAULT_APP).await?.ok_or(ServiceError::NotFound("app"))?;
    let place = (app.id, receiver.address.port());
    let written = past::write(store.clone(), &dir.vault()?, config, place, now, SEED).await;
    store.close().await;
    for (part, _, secret) in written? {
        receiver.expect(part.path(), secret);
    }
    Ok(())
}

async fn caller(server: &Server) -> Result<Caller, DemoError> {
    let app = apps::find(&*server.store(), DEFAULT_APP).await?;
    Ok(Caller { by: By::command_line(), app_id: app.id })
}

async fn make_key(server: &Server, config: &Config, by: &By) -> Result<String, DemoError> {
    let new = keys::NewKey {
        name: "demo".to_owned(),
        app: DEFAULT_APP.to_owned(),
        scopes: [Scope::Admin].into_iter().collect(),
        lifetime: None,
    };
    let made = keys::create(&*server.store(), new, by, SystemClock.now()).await?;
    Ok(made.token(&config.auth.key_prefix))
}

/// Makes somebody who can sign in, and gives the password.
async fn make_owner(server: &Server, by: &By) -> Result<String, DemoError> {
    let password = users::generate_password();
    users::create(&*server.store(), OWNER, Role::Owner, &password, by, SystemClock.now()).await?;
    Ok(password)
}

/// Makes the webhook and gives its id.
async fn make_webhook(server: &Server, caller: &Caller, receiver: &Receiver) -> Result<String, DemoError> {
    let endpoints = &server.services().endpoints;
    let input = json!({
        "url": format!("http://{}{}", receiver.address, receiver::OWN_PATH),
        "name": "Demo receiver",
        "events": ["*"],
        "retry_schedule": SCHEDULE,
    });
    let checked = endpoint_input::read_object(&input, endpoints.input_rules()).map_err(ServiceError::from)?;
    let (endpoint, secret) = endpoints.create(caller, checked).await?;
    receiver.expect(receiver::OWN_PATH, secret);
    Ok(endpoint.id.to_string())
}

async fn post(
    server: &Server,
    caller: &Caller,
    event_type: &str,
    payload: &'static str,
) -> Result<(), DemoError> {
    let event = NewEvent {
        event_type: EventType::parse(event_type).expect("the demo's types are well-formed"),
        payload: bytes::Bytes::from_static(payload.as_bytes()),
        resource_id: None,
        idempotency_key: None,
    };
    server.services().events.post(caller, event).await?;
    Ok(())
}

fn introduction(base: &str, receiver: &Receiver, webhook: &str) -> String {
    format!(
        "Postrider {} demo: {base}, data in a throw-away directory.

The dashboard shows a made-up shop's last week. What happens now is real: a receiver listens at
http://{}{} and checks every signature.
Webhook {webhook} sends it everything; {} events are posted now.
{} is refused at first, to show a retry.

",
        env!("CARGO_PKG_VERSION"),
        receiver.address,
        receiver::OWN_PATH,
        EVENTS.len(),
        receiver::STUMBLES_AT,
    )
}

fn line(arrival: &Arrival) -> String {
    let signature = if arrival.genuine { "signature ok" } else { "signature WRONG" };
    format!(
        "  {:<18} attempt {}  {signature}  answered {}  {}\n",
        arrival.event_type, arrival.attempt, arrival.answered, arrival.body
    )
}

fn what_to_try(base: &str, token: &str, password: &str) -> String {
    format!(
        "
All delivered. Have a look:

  {base}/admin/   (sign in as {OWNER} with the password {password})
  {base}/docs     (Authorize with the token below)

Or in another terminal:

  export TOKEN={token}

  # the delivery log: the refused attempt and its retry are there
  curl -s {base}/v1/webhooks/deliveries -H \"Authorization: Bearer $TOKEN\"

  # post an event of your own; it appears here
  curl -s {base}/v1/events -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' \\
    -d '{{\"event_type\":\"license.assigned\",\"payload\":{{\"license\":\"L-2\"}}}}'

Ctrl-C ends the demo.
"
    )
}

/// Writes to stdout at once; a reader that has gone away is no reason to stop.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
