//! `postrider demo`: a temporary server with sample data, without any other program.
//!
//! It runs the real server in a temporary data directory, with a receiver in the same process, a webhook to
//! it and a few events, one of which fails first and is retried; and a source with a chat and a phone
//! ([`integrations`]). Before the start it writes a week of sample
//! deliveries ([`history`]). Only the demo knows the hosts of their webhooks, and resolves them to the same
//! receiver, so that everything can be retried. It differs from `serve` only where needed: deliveries may
//! reach loopback, and the webhook retries after seconds.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use crate::app::{Server, Signals, StartError, World, raise_open_files};
use crate::config::Config;
use crate::delivery::sending::guard::{Lookup, SystemLookup};
use crate::domain::access::app::DEFAULT_APP;
use crate::domain::event::NewEvent;
use crate::domain::{EventType, Role, Scope, Span};
use crate::host::clock::{Clock as _, SystemClock};
use crate::host::data_dir::{DataDir, DataDirError};
use crate::host::output_queue;
use crate::host::temp_directory::TempDirectory;
use crate::service::endpoints::endpoint_input;
use crate::service::people::{apps, keys, users};
use crate::service::{By, Caller, Kind, ServiceError};
use crate::store::StoreError;
use crate::store::location::{Location, Purpose};

mod history;
mod integrations;
mod message;
mod receiver;
mod sample;

use message::Message;
use receiver::{Arrival, Receiver, Report};
use sample::SampleWebhook;

/// The seed of the history.
const SEED: u64 = 0x0051_1ce5;

/// The retries of the demo's webhook.
const SCHEDULE: [&str; 3] = ["2s", "5s", "10s"];

/// Characters of a body that are printed.
const LINE_MAX: usize = 100;

/// The user of the demo's dashboard.
const OWNER: &str = "demo@example.com";

/// The events of the demo.
const EVENTS: [(&str, &str); 4] = [
    ("license.assigned", r#"{"license":"L-1001","seat":"ada@example.com"}"#),
    ("license.activated", r#"{"license":"L-1001","machine":"laptop-7"}"#),
    (receiver::FAILS_ONCE, r#"{"invoice":"INV-42","amount_cents":1299,"currency":"EUR"}"#),
    ("product.updated", r#"{"product":"P-7","version":"2.4.0"}"#),
];

/// The reason why the demo failed.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("cannot start the demo's receiver")]
    Receiver(#[source] std::io::Error),
    #[error("cannot create a temporary directory in {}", .0.display())]
    Directory(PathBuf, #[source] std::io::Error),
    #[error("cannot write the demo's history: {0}")]
    History(String),
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error("cannot set up the demo")]
    Store(#[from] StoreError),
    #[error("cannot set up the demo")]
    Key(#[from] keys::KeyError),
    #[error("cannot set up the demo")]
    App(#[from] apps::AppError),
    #[error("cannot set up the demo")]
    User(#[from] users::UserError),
    #[error("cannot set up the demo")]
    Service(#[from] ServiceError),
}

/// Runs the demo until the process is told to stop.
pub async fn run(mut config: Config) -> Result<(), DemoError> {
    let mut signals = Signals::listen()?;
    raise_open_files(&config);
    let parent = std::env::temp_dir();
    let directory =
        TempDirectory::create_in(&parent, "demo").map_err(|e| DemoError::Directory(parent.clone(), e))?;
    config.storage.url = None;
    config.data_dir = directory.path().join("data");
    // No backups of temporary data, which could replace real ones.
    config.backup.every = Span::from_secs(0);
    config.network.allow.push(ipnet::IpNet::from(std::net::IpAddr::from([127, 0, 0, 1])));

    let mut receiver = receiver::start().await.map_err(DemoError::Receiver)?;
    write_history(&config, &receiver).await?;
    let world = World { lookup: Arc::new(Hosts), ..World::real() };
    let server = Server::start(&config, world).await?;
    server.ready().await;
    let caller = caller(&server).await?;
    let token = create_key(&server, &config, &caller.by).await?;
    let password = create_owner(&server, &caller.by).await?;
    let webhook = create_webhook(&server, &caller, &receiver).await?;
    let source = integrations::create(&server, &caller, &receiver).await?;

    let base = config.public_base_at(server.address());
    print(&introduction(&base, &receiver, &webhook, &source.url));
    for (event_type, payload) in EVENTS {
        post(&server, &caller, event_type, payload).await?;
    }
    source.post(&server).await?;

    // Each event arrives once, and the one that fails first arrives twice.
    let mut expected = EVENTS.len() + 1 + integrations::EXPECTED;
    loop {
        tokio::select! {
            // A closed terminal ends the demo, too.
            _ = signals.next() => break,
            report = receiver.reports.recv() => {
                match report {
                    Some(Report::Arrival(arrival)) => print(&line(&arrival)),
                    Some(Report::Message(message)) => print(&shown(&message)),
                    None => break,
                }
                expected = expected.saturating_sub(1);
                if expected == 0 {
                    print(&next_steps(&base, &token, &password, &source.command()));
                    expected = usize::MAX;
                }
            }
        }
    }
    server.stop().await;
    drop(directory);
    print("\nStopping. The demo data has been deleted.\n");
    Ok(())
}

/// Resolves the hosts of the demo's webhooks to the receiver, and others as usual.
struct Hosts;

impl Lookup for Hosts {
    fn lookup(
        &self,
        host: &str,
    ) -> futures_util::future::BoxFuture<'static, std::io::Result<Vec<SocketAddr>>> {
        let own = [integrations::CHAT_HOST, integrations::PHONE_HOST];
        if own.contains(&host) || SampleWebhook::ALL.iter().any(|part| part.host() == host) {
            let here = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
            return Box::pin(async move { Ok(vec![here]) });
        }
        SystemLookup.lookup(host)
    }
}

/// Fills the new data directory, and gives the receiver the secrets.
async fn write_history(config: &Config, receiver: &Receiver) -> Result<(), DemoError> {
    let dir = DataDir::open(config)?;
    let now = SystemClock.now();
    let store = Location::File(dir.database()).open(Purpose::Command, now)?;
    let app = store.app_find(DEFAULT_APP).await?.ok_or(ServiceError::NotFound(Kind::App))?;
    let place = (app.id, receiver.address.port());
    let written = history::write(store.clone(), &dir.vault()?, config, place, now, SEED).await;
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

async fn create_key(server: &Server, config: &Config, by: &By) -> Result<String, DemoError> {
    let new = keys::NewKey {
        name: "demo".to_owned(),
        app: DEFAULT_APP.to_owned(),
        scopes: [Scope::Admin].into_iter().collect(),
        lifetime: None,
    };
    let created = keys::create(&*server.store(), new, by, SystemClock.now()).await?;
    Ok(created.token(&config.auth.key_prefix))
}

/// Creates an owner and returns the password.
async fn create_owner(server: &Server, by: &By) -> Result<String, DemoError> {
    let password = users::generate_password();
    users::create(&*server.store(), OWNER, Role::Owner, &password, by, SystemClock.now()).await?;
    Ok(password)
}

/// Creates the webhook and returns its id.
async fn create_webhook(server: &Server, caller: &Caller, receiver: &Receiver) -> Result<String, DemoError> {
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

fn introduction(base: &str, receiver: &Receiver, webhook: &str, source: &str) -> String {
    format!(
        "Postrider {} demo: {base}, data in a temporary directory.

The dashboard shows a week of sample data. What follows is live: a receiver listens on
http://{}{} and verifies every signature.
Webhook {webhook} sends it all event types. The demo now posts {} events;
the first attempt of {} fails, to show a retry.

GitHub could post to {source}.
The demo sends two such requests, signed: a release and a failed build. Two more webhooks make
messages of them: for a chat, and for a phone (failures only). Both are part of this receiver;
a line with \"shows\" is what people would see.

",
        env!("CARGO_PKG_VERSION"),
        receiver.address,
        receiver::OWN_PATH,
        EVENTS.len(),
        receiver::FAILS_ONCE,
    )
}

fn line(arrival: &Arrival) -> String {
    let signature = if arrival.is_valid { "signature ok" } else { "signature INVALID" };
    format!(
        "  {:<18} attempt {}  {signature}  response {}  {}\n",
        arrival.event_type,
        arrival.attempt,
        arrival.status,
        cut(&arrival.body)
    )
}

/// A message on one line.
fn shown(message: &Message) -> String {
    let text = message.text.replace('\n', " / ");
    format!("  {:<18} shows    {}: {}\n", message.place, message.title, cut(&text))
}

/// A text of a length that fits a terminal.
fn cut(text: &str) -> String {
    if text.chars().count() <= LINE_MAX {
        return text.to_owned();
    }
    text.chars().take(LINE_MAX - 1).chain(['…']).collect()
}

fn next_steps(base: &str, token: &str, password: &str, source: &str) -> String {
    format!(
        "
All delivered. Next steps:

  {base}/admin/   (sign in as {OWNER} with the password {password})
  {base}/docs     (Authorize with the token below)

Or in another terminal:

  export TOKEN={token}

  # show the delivery log with the failed attempt and its retry
  curl -s {base}/v1/webhooks/deliveries -H \"Authorization: Bearer $TOKEN\"

  # post your own event; its delivery appears here
  curl -s {base}/v1/events -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' \\
    -d '{{\"event_type\":\"license.assigned\",\"payload\":{{\"license\":\"L-2\"}}}}'

  # send what GitHub would send; the message for the chat appears here
  {source}

Press Ctrl-C to stop the demo.
"
    )
}

/// Prints without waiting for a reader.
fn print(text: &str) {
    if let Some(stdout) = output_queue::stdout() {
        stdout.send(text.as_bytes().to_vec());
    }
}
