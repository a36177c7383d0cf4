//! A real server in the test's process: a real SQLite file, a real port, a fake clock.
//!
//! ```ignore
//! let app = TestApp::start().await;                       // may send to loopback; key with scope admin
//! let receiver = Receiver::start().await;
//! let hook = app.webhook(&receiver.url("/hook"), json!({ "events": ["license.*"] })).await;
//! let event = app.post_event("license.assigned", json!({ "n": 1 })).await;
//! let row = app.row_with(|row| row["status"] == "delivered").await;    // waits for it
//! app.clock.advance_ms(120_000);                          // the next retry is due
//! ```
//!
//! Time stands still unless a test moves it; the network is real. It listens on loopback only.

use std::sync::Arc;
use std::time::Duration;

use postrider::app::{Server, World};
use postrider::config::{Config, Secret};
use postrider::delivery::sending::guard::{Lookup, SystemLookup};
use postrider::domain::access::app::DEFAULT_APP;
use postrider::domain::{AppId, Scopes, Span, Timestamp};
use postrider::host::clock::{Clock, FakeChance, FakeClock, SystemClock};
use postrider::service::By;
use postrider::service::people::{apps, keys};
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::in_time;
use super::postgres::{self, Database};

/// A server and a client of it.
pub(crate) struct TestApp {
    pub clock: Arc<FakeClock>,
    /// Where jitter comes from; 0.0 unless a test sets it.
    pub chance: Arc<FakeChance>,
    lookup: Arc<dyn Lookup>,
    pub config: Config,
    pub dir: Directory,
    pub base: String,
    /// A key with scope `admin` of the app `default`.
    pub token: String,
    pub client: reqwest::Client,
    server: Server,
}

/// The files of a server, and its database where that is not among them.
pub(crate) struct Directory {
    files: TempDir,
    _database: Option<Database>,
}

impl Directory {
    /// For a server with this configuration, which it says where its data is.
    fn new(files: TempDir, config: &mut Config) -> Directory {
        let database = postgres::is_wanted().then(Database::new);
        if let Some(database) = &database {
            config.storage.url = Some(Secret::new(database.server().url));
            config.storage.connections = database.server().connections;
            // Each has its own, as each data directory has.
            let key = format!("a key of tests, with 32 characters or more: {}", database.name());
            config.encryption_key = Some(Secret::new(key));
        }
        Directory { files, _database: database }
    }
}

impl std::ops::Deref for Directory {
    type Target = TempDir;
    fn deref(&self) -> &TempDir {
        &self.files
    }
}

/// A webhook that a test has made.
pub(crate) struct Webhook {
    pub id: String,
    /// `whsec_…`
    pub secret: String,
}

/// An answer of the server.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {:?}", self.text))
    }

    /// `data.attributes` of one resource.
    pub(crate) fn attributes(&self) -> Value {
        self.json()["data"]["attributes"].clone()
    }

    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|v| v.to_str().expect("headers of answers are text"))
    }

    /// Checks the status and gives the body.
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        if self.text.is_empty() { Value::Null } else { self.json() }
    }

    /// Checks that it is an error with this status, in the envelope, and gives (code, source) of each entry.
    pub(crate) fn problems(&self, status: u16) -> Vec<(String, Option<String>)> {
        assert_eq!(self.status, status, "{}", self.text);
        let json = self.json();
        let id = json["meta"]["request_id"].as_str().expect("every error has a request id");
        assert_eq!(Some(id), self.header("x-request-id"));
        let text = |v: &Value| v.as_str().map(str::to_owned);
        let entries = json["errors"].as_array().expect("errors is a list");
        assert!(!entries.is_empty());
        entries
            .iter()
            .map(|e| {
                assert_eq!(e["status"], status.to_string());
                assert!(e["title"].is_string() && e["detail"].is_string(), "{e}");
                let source = text(&e["source"]["pointer"]).or_else(|| text(&e["source"]["parameter"]));
                (e["code"].as_str().expect("code is text").to_owned(), source)
            })
            .collect()
    }
}

/// Where every test's clock starts.
pub(crate) fn start_time() -> Timestamp {
    Timestamp::parse("2026-03-01T12:00:00Z").expect("this is a time")
}

/// The configuration of a test: any port, loopback allowed, no jitter.
pub(crate) fn config(dir: &TempDir) -> Config {
    let mut config = Config::default();
    config.listen = ([127, 0, 0, 1], 0).into();
    config.data_dir = dir.path().join("data");
    config.network.allow = vec!["127.0.0.0/8".parse().expect("this is a network")];
    config.delivery.jitter = 0.0;
    config
}

/// A client that follows nothing and asks no proxy.
pub(crate) fn client() -> reqwest::Client {
    // Only the first call in the process can install it; later ones find it there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(30))
        .build()
        .expect("a plain client can be built")
}

impl TestApp {
    /// A server as `config` has it.
    pub(crate) async fn start() -> TestApp {
        TestApp::with(|_| {}).await
    }

    /// A server after changes to its configuration.
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> TestApp {
        TestApp::with_lookup(change, SystemLookup).await
    }

    /// The same, with another way from names to addresses.
    pub(crate) async fn with_lookup(change: impl FnOnce(&mut Config), lookup: impl Lookup) -> TestApp {
        let dir = TempDir::new().expect("a temporary directory can be made");
        let mut config = config(&dir);
        let dir = Directory::new(dir, &mut config);
        change(&mut config);
        let clock = Arc::new(FakeClock::new(start_time()));
        let chance = Arc::new(FakeChance::new(0.0));
        Stopped { clock, chance, lookup: Arc::new(lookup), config, dir }.start().await
    }

    /// A server that goes by a clock of its own, which follows another one.
    pub(crate) async fn by_clock(own: Arc<FakeClock>, clock: Arc<dyn Clock>) -> TestApp {
        let dir = TempDir::new().expect("a temporary directory can be made");
        let mut config = config(&dir);
        let dir = Directory::new(dir, &mut config);
        let (chance, lookup) = (Arc::new(FakeChance::new(0.0)), Arc::new(SystemLookup));
        TestApp::open_by(Stopped { clock: own, chance, lookup, config, dir }, false, clock).await
    }

    /// Another node on the same database, by the same clock.
    pub(crate) async fn beside(&self, name: &str) -> TestApp {
        let files = TempDir::new().expect("a temporary directory can be made");
        let mut config = self.config.clone();
        config.data_dir = files.path().join("data");
        config.cluster.node = Some(name.to_owned());
        let dir = Directory { files, _database: None };
        let (clock, chance, lookup) = (self.clock.clone(), self.chance.clone(), self.lookup.clone());
        Stopped { clock, chance, lookup, config, dir }.start().await
    }

    async fn open(stopped: Stopped, accept_clock: bool) -> TestApp {
        let clock = stopped.clock.clone();
        TestApp::open_by(stopped, accept_clock, clock).await
    }

    async fn open_by(stopped: Stopped, accept_clock: bool, shown: Arc<dyn Clock>) -> TestApp {
        let Stopped { clock, chance, lookup, config, dir } = stopped;
        let world = World {
            clock: shown,
            chance: chance.clone(),
            lookup: lookup.clone(),
            lease_clock: Arc::new(SystemClock),
            follows_database: false,
            workbook_maker: Some(env!("CARGO_BIN_EXE_postrider").into()),
        };
        let server = Server::start_with(&config, world, accept_clock).await.expect("the server starts");
        in_time("readiness", server.ready()).await;
        let base = format!("http://{}", server.address());
        let (token, client) = (String::new(), client());
        let mut app = TestApp { clock, chance, lookup, config, dir, base, token, client, server };
        app.token = app.key("admin", None).await;
        app
    }

    /// Stops the server in order, and starts it again on the same files.
    pub(crate) async fn restart(self) -> TestApp {
        let TestApp { clock, chance, lookup, config, dir, server, .. } = self;
        in_time("the stop", Box::pin(server.stop())).await;
        Stopped { clock, chance, lookup, config, dir }.start().await
    }

    /// Like [`TestApp::restart`], with `serve --accept-clock`.
    pub(crate) async fn restart_accepting_the_clock(self) -> TestApp {
        let TestApp { clock, chance, lookup, config, dir, server, .. } = self;
        in_time("the stop", Box::pin(server.stop())).await;
        TestApp::open(Stopped { clock, chance, lookup, config, dir }, true).await
    }

    /// Stops the server, with so long for what is in flight, and gives what is needed to start again.
    pub(crate) async fn stop_within(self, grace: Duration) -> Stopped {
        let TestApp { clock, chance, lookup, config, dir, server, .. } = self;
        in_time("the stop", Box::pin(server.stop_with(grace))).await;
        Stopped { clock, chance, lookup, config, dir }
    }

    /// The running server.
    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// A new key with these scopes, of the named app or of `default`.
    pub(crate) async fn key(&self, scopes: &str, app: Option<&str>) -> String {
        let new = keys::NewKey {
            name: "test".to_owned(),
            scopes: Scopes::parse_list(scopes).expect("these are scopes"),
            app: app.unwrap_or(DEFAULT_APP).to_owned(),
            lifetime: None,
        };
        let store = self.server.store();
        let now = self.clock.now();
        let made = keys::create(&*store, new, &By::command_line(), now).await;
        made.expect("the key can be made").token(&self.config.auth.key_prefix)
    }

    /// A new app.
    pub(crate) async fn app(&self, name: &str) -> AppId {
        let store = self.server.store();
        let now = self.clock.now();
        apps::create(&*store, name, &By::command_line(), now).await.expect("the app can be made").id
    }

    /// A request with the admin key.
    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.request_as(&self.token, method, path)
    }

    /// A request with another key.
    pub(crate) fn request_as(&self, token: &str, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base)).bearer_auth(token)
    }

    /// GET with the admin key.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path)).await
    }

    /// POST of a JSON body with the admin key.
    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.with_json(Method::POST, path, body).await
    }

    /// Any method with a JSON body and the admin key.
    pub(crate) async fn with_json(&self, method: Method, path: &str, body: Value) -> Answer {
        send(json_body(self.request(method, path), body.to_string())).await
    }

    /// DELETE with the admin key.
    pub(crate) async fn delete(&self, path: &str) -> Answer {
        send(self.request(Method::DELETE, path)).await
    }

    /// Makes a webhook; `fields` are added to (and go before) its URL and `events: ["*"]`.
    pub(crate) async fn webhook(&self, url: &str, fields: Value) -> Webhook {
        let mut body = json!({ "url": url, "events": ["*"] });
        for (name, value) in fields.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        let made = self.post("/v1/webhooks", body).await.expect(201);
        let text = |v: &Value| v.as_str().expect("this is text").to_owned();
        Webhook { id: text(&made["data"]["id"]), secret: text(&made["data"]["attributes"]["signing_secret"]) }
    }

    /// Posts an event and gives its id.
    pub(crate) async fn post_event(&self, event_type: &str, payload: Value) -> String {
        let body = json!({ "event_type": event_type, "payload": payload });
        let posted = self.post("/v1/events", body).await.expect(202);
        posted["data"]["id"].as_str().expect("an event has an id").to_owned()
    }

    /// The rows of the log, newest first: each has `id` and its attributes.
    pub(crate) async fn rows(&self) -> Vec<Value> {
        self.rows_of("/v1/webhooks/deliveries?per_page=200").await
    }

    /// The rows of a list of the log.
    pub(crate) async fn rows_of(&self, path: &str) -> Vec<Value> {
        let list = self.get(path).await.expect(200);
        let rows = list["data"].as_array().expect("data is a list");
        rows.iter()
            .map(|row| {
                let mut flat = row["attributes"].clone();
                flat["id"] = row["id"].clone();
                flat
            })
            .collect()
    }

    /// Waits until the log is as `wanted`, and gives it. It is looked at after every result.
    pub(crate) async fn rows_when(&self, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let mut results = self.server.results();
        let wait = async {
            loop {
                results.mark_unchanged();
                let rows = self.rows().await;
                if wanted(&rows) {
                    return rows;
                }
                results.changed().await.expect("the server runs");
            }
        };
        match tokio::time::timeout(super::HANGS_AFTER, wait).await {
            Ok(rows) => rows,
            Err(_) => panic!("the log did not become as wanted; it is {:#?}", self.rows().await),
        }
    }

    /// Waits until a row of the log is as `wanted`, and gives the newest of these.
    pub(crate) async fn row_when(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let rows = self.rows_when(|rows| rows.iter().any(&wanted)).await;
        rows.into_iter().find(&wanted).expect("one was there")
    }

    /// The status of a webhook.
    pub(crate) async fn webhook_attributes(&self, id: &str) -> Value {
        self.get(&format!("/v1/webhooks/{id}")).await.attributes()
    }
}

/// What is left of a server that has been stopped.
pub(crate) struct Stopped {
    pub clock: Arc<FakeClock>,
    chance: Arc<FakeChance>,
    lookup: Arc<dyn Lookup>,
    pub config: Config,
    pub dir: Directory,
}

impl Stopped {
    /// Starts again on the same files.
    pub(crate) async fn start(self) -> TestApp {
        TestApp::open(self, false).await
    }
}

/// Gives a request a JSON body.
pub(crate) fn json_body(
    request: reqwest::RequestBuilder,
    body: impl Into<reqwest::Body>,
) -> reqwest::RequestBuilder {
    request.header("content-type", "application/json").body(body)
}

/// Sends a request and reads the whole answer.
pub(crate) async fn send(request: reqwest::RequestBuilder) -> Answer {
    let response = in_time("an answer", request.send()).await.expect("the server answers");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = in_time("the body", response.text()).await.expect("the body is text");
    Answer { status, headers, text }
}

/// Lets so many failures in a row disable an endpoint, however little time they take, and none put it on hold.
pub(crate) fn disable_after(config: &mut Config, failures: u32) {
    config.delivery.disable_after_failures = failures;
    config.delivery.disable_after = Span::from_secs(0);
    config.delivery.circuit_failures = 0;
}

/// No number of failures disables an endpoint or puts it on hold.
pub(crate) fn never_disable(config: &mut Config) {
    disable_after(config, 0);
}
