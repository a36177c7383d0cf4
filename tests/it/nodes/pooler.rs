//! Nodes that reach the database through PgBouncer, in each of its modes. Only with `POSTRIDER_TEST_STORAGE=postgres`.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use postrider::config::Secret;
use postrider::domain::Span;
use serde_json::{Value, json};
use tokio_postgres::{Client, NoTls};

use crate::cli::{Place, Ran};
use crate::support::pooler::{self, Mode, Pooler};
use crate::support::postgres::{Database, is_wanted};
use crate::support::{Receiver, TestApp, in_time};

const KEY: &str = "a key of tests, with 32 characters or more";
/// Of each node; two more are for its lease and for notifications.
const CONNECTIONS: usize = 4;
/// What the pooler lends: as many as two nodes need, and some for commands.
const SESSIONS: u32 = 16;
const WEBHOOKS: usize = 12;

async fn node(name: &str, url: &str, listen_url: Option<&str>) -> TestApp {
    TestApp::with(|config| {
        config.storage.url = Some(Secret::new(url.to_owned()));
        config.storage.listen_url = listen_url.map(|url| Secret::new(url.to_owned()));
        config.storage.connections = CONNECTIONS;
        config.encryption_key = Some(Secret::new(KEY.to_owned()));
        config.cluster.node = Some(name.to_owned());
        config.cluster.lease = Span::parse("3s").expect("it is a span");
    })
    .await
}

/// Waits until the nodes of the overview are as wanted.
async fn until(app: &TestApp, what: &str, wanted: impl Fn(&[Value]) -> bool) {
    in_time(what, async {
        loop {
            let overview = app.get("/admin/api/overview").await.expect(200);
            if wanted(overview["nodes"].as_array().expect("nodes is a list")) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// Two nodes share the work, and both get events for endpoints of both.
async fn two_nodes_deliver(url: &str, listen_url: Option<&str>, is_listening: bool) {
    let (one, other) = (node("one", url, listen_url).await, node("other", url, listen_url).await);
    until(&one, "an even share", |nodes| {
        nodes.len() == 2
            && nodes.iter().all(|node| node["shards"] == 128 && node["listening"] == is_listening)
    })
    .await;
    let receiver = Receiver::start().await;
    for n in 0..WEBHOOKS {
        one.webhook(&receiver.url(&format!("/{n}")), json!({ "events": ["a"] })).await;
    }
    for (n, app) in [&one, &other, &one, &other].into_iter().enumerate() {
        app.post_event("a", json!({ "n": n })).await;
        let mut reached = BTreeSet::new();
        for _ in 0..WEBHOOKS {
            let request = in_time("a delivery", receiver.next()).await;
            assert_eq!(request.json()["n"], n);
            reached.insert(request.path.clone());
        }
        assert_eq!(reached.len(), WEBHOOKS, "{reached:?}");
    }
    until(&other, "listening as before", |nodes| {
        nodes.iter().all(|node| node["listening"] == is_listening && node["in_flight"] == 0)
    })
    .await;
}

/// Nothing that one client has set reaches another one through a session that is lent.
async fn sessions_are_clean(pooler: &Pooler, database: &Database) {
    let mut clients: Vec<Client> = Vec::new();
    // Each transaction keeps its session, so all of them are looked at.
    for _ in 0..SESSIONS {
        let (client, connection) = tokio_postgres::connect(&pooler.url(database), NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute("BEGIN").await.unwrap();
        for (name, wanted) in [("synchronous_commit", "on"), ("statement_timeout", "0")] {
            let found = client.simple_query(&format!("SHOW {name}")).await.unwrap();
            let value = found.iter().find_map(|message| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0),
                _ => None,
            });
            assert_eq!(value, Some(wanted), "{name}");
        }
        clients.push(client);
    }
    let held = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' \
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    assert_eq!(database.rows(held).await.len(), 0, "no lock is left in a session");
}

/// Runs a command on a database.
fn run(url: &str, command: &str) -> Ran {
    Place::empty().run_with(command, &[("POSTRIDER_STORAGE__URL", url), ("POSTRIDER_ENCRYPTION_KEY", KEY)])
}

/// Reads what a new server says up to these words, and ends it.
fn serve_until(url: &str, words: &str) {
    let place = Place::empty();
    let mut command = Command::new(env!("CARGO_BIN_EXE_postrider"));
    command.args(["serve", "--listen", "127.0.0.1:0"]).current_dir(place.path()).env_clear();
    command.env("POSTRIDER_STORAGE__URL", url).env("POSTRIDER_ENCRYPTION_KEY", KEY);
    command.env("POSTRIDER_STORAGE__CONNECTIONS", CONNECTIONS.to_string());
    let mut server = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(server.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains(words) && log.read_line(&mut said).unwrap() > 0 {}
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(said.contains(words), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_in_session_mode_changes_nothing() {
    if !is_wanted() || pooler::version().is_none() {
        return;
    }
    let database = Database::new();
    let pooler = Pooler::start(&database, Mode::Session, SESSIONS);
    Box::pin(two_nodes_deliver(&pooler.url(&database), None, true)).await;
    assert!(run(&pooler.url(&database), "key list").ok().contains("test"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_in_transaction_mode_that_loses_statements_is_refused() {
    if !is_wanted() || pooler::version().is_none() {
        return;
    }
    let database = Database::new();
    let pooler = Pooler::start(&database, Mode::Transaction, SESSIONS);
    // Whether or not statements of somebody else are there.
    for command in ["key list", "key list", "serve --listen 127.0.0.1:0"] {
        let said = run(&pooler.url(&database), command).failed(2);
        assert!(said.contains("set max_prepared_statements there"), "{said}");
    }
    let said = run(&pooler.url(&database), "doctor");
    assert!(said.code == 1 && said.stdout.contains("max_prepared_statements"), "{}", said.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_in_transaction_mode_works_with_a_way_around_it_for_notifications() {
    if !is_wanted() || !pooler::keeps_statements() {
        return;
    }
    let database = Database::new();
    let pooler = Pooler::start(&database, Mode::TransactionWithStatements, SESSIONS);
    Box::pin(two_nodes_deliver(&pooler.url(&database), Some(&database.server().url), true)).await;
    sessions_are_clean(&pooler, &database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_notifications_a_node_says_so_and_looks_at_the_queue() {
    if !is_wanted() || !pooler::keeps_statements() {
        return;
    }
    let database = Database::new();
    let pooler = Pooler::start(&database, Mode::TransactionWithStatements, SESSIONS);
    let url = pooler.url(&database);
    serve_until(&url, "no notification arrives from the database");
    database.run("DELETE FROM nodes; UPDATE shards SET holder = NULL; UPDATE leaders SET holder = NULL");
    Box::pin(two_nodes_deliver(&url, None, false)).await;
    sessions_are_clean(&pooler, &database).await;
    let said = run(&url, "doctor").ok();
    assert!(said.contains("set storage.listen_url to the database itself"), "{said}");
}
