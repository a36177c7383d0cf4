//! How PostgreSQL runs statements, as its own log tells (auto_explain), with 400 partitions: what is done all the time
//! locks few relations, and what reads the log, the queue or events goes along an index. Only with
//! `POSTRIDER_TEST_STORAGE=postgres`.
//!
//! A transaction has room for 16 locks of relations that cost nothing to others; more of them slow down all sessions.

use std::collections::{BTreeMap, HashMap};

use postrider::config::Secret;
use postrider::store::location::{Location, Purpose, Server};
use serde_json::{Value, json};
use tokio_postgres::{Client, NoTls};

use super::*;
use crate::support::own_postgres::OwnPostgres;
use crate::support::postgres::is_wanted;
use crate::support::receiver::{Received, Reply};
use crate::support::{Receiver, TestApp};

/// The most relations that a statement may lock: tables, partitions and indexes.
const LOCKS_MOST: usize = 16;
const PARTITIONS: usize = 400;
/// More than after which the server reuses the plan of a prepared statement.
const TIMES: usize = 12;

/// From now on each statement of new sessions is in the server's log, with its values and its plan.
const TELL: &str = "ALTER DATABASE postgres SET session_preload_libraries = 'auto_explain'; \
     ALTER DATABASE postgres SET auto_explain.log_min_duration = 0; \
     ALTER DATABASE postgres SET auto_explain.log_format = 'json'; \
     ALTER DATABASE postgres SET log_min_duration_statement = 0; \
     ALTER DATABASE postgres SET log_min_messages = 'log'";

/// Partitions of days to come, as the program makes them.
fn more_partitions(parent: &str) -> String {
    format!(
        "DO $$ DECLARE next bigint; place text; BEGIN FOR n IN 1..{PARTITIONS} LOOP \
         SELECT max(substring(c.relname from '_([0-9]+)$')::bigint) INTO next FROM pg_inherits i \
         JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = '{parent}'::regclass; \
         place := format('{parent}_%s_%s', next, next + 86400); \
         EXECUTE format('CREATE TABLE %I (LIKE {parent} INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING STORAGE)', \
         place); EXECUTE format('ALTER TABLE {parent} ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', \
         place, next << 21, (next + 86400) << 21); COMMIT; END LOOP; END $$"
    )
}

async fn connect(database: &OwnPostgres) -> Client {
    let (client, connection) = tokio_postgres::connect(&database.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// A statement as the store has run it.
#[derive(Debug, Clone)]
struct Run {
    text: String,
    /// `'…'` or NULL, each.
    values: Vec<String>,
    /// Whether its transaction plans each statement with its values.
    by_values: bool,
}

/// What the server's log tells from some byte on.
#[derive(Debug, Default)]
struct Told {
    runs: Vec<Run>,
    plans: Vec<Value>,
}

fn told(database: &OwnPostgres, from: usize) -> Told {
    let log = database.log();
    let (mut told, mut by_values) = (Told::default(), HashMap::<String, bool>::new());
    // The values of a statement come right behind it; those that it is bound to came before.
    let mut has_just_run = false;
    for entry in entries(&log[from..]) {
        let Some((process, entry)) = entry.split_once(' ') else { continue };
        if let Some(values) = entry.strip_prefix("DETAIL:  parameters: ") {
            if let (true, Some(run)) = (has_just_run, told.runs.last_mut()) {
                run.values = read_values(values);
            }
            continue;
        }
        has_just_run = false;
        let Some((_, said)) = entry.split_once(" ms  ") else { continue };
        if let Some(plan) = said.strip_prefix("plan:\n") {
            told.plans.push(serde_json::from_str(plan).unwrap_or_else(|e| panic!("{e}: {plan}")));
        } else if let Some(text) = said.strip_prefix("statement: ") {
            let is_set = text.contains("plan_cache_mode = force_custom_plan");
            by_values.insert(process.to_owned(), is_set);
        } else if let Some((_, text)) = said.strip_prefix("execute ").and_then(|said| said.split_once(": ")) {
            let by_values = by_values.get(process).copied().unwrap_or(false);
            told.runs.push(Run { text: text.to_owned(), values: Vec::new(), by_values });
            has_just_run = true;
        }
    }
    told
}

/// Entries of a log; lines that go on begin with a tab.
fn entries(log: &str) -> Vec<String> {
    let mut entries: Vec<String> = Vec::new();
    for line in log.lines() {
        match (line.strip_prefix('\t'), entries.last_mut()) {
            (Some(more), Some(entry)) => {
                entry.push('\n');
                entry.push_str(more);
            }
            _ => entries.push(line.to_owned()),
        }
    }
    entries
}

/// Reads `$1 = 'a''b', $2 = NULL`.
fn read_values(mut text: &str) -> Vec<String> {
    let mut values = Vec::new();
    while let Some((_, rest)) = text.split_once(" = ") {
        let mut end = 0;
        if let Some(quoted) = rest.strip_prefix('\'') {
            let mut quotes = quoted.match_indices('\'').map(|(at, _)| at);
            while let Some(at) = quotes.next() {
                if quoted[at + 1..].starts_with('\'') {
                    quotes.next();
                } else {
                    end = at + 2;
                    break;
                }
            }
        } else {
            end = rest.find(',').unwrap_or(rest.len());
        }
        values.push(rest[..end].to_owned());
        text = &rest[end..];
    }
    values
}

/// What a session holds locked; with it the indexes of what it writes to, which are unlocked at the end of a statement.
const HELD: &str = "WITH held AS (SELECT relation, mode FROM pg_locks WHERE pid = $1 AND locktype = 'relation' \
     AND relation >= 16384) \
     SELECT relation::regclass::text AS name FROM held \
     UNION SELECT i.indexrelid::regclass::text FROM held h JOIN pg_index i ON i.indrelid = h.relation \
     JOIN pg_class c ON c.oid = h.relation AND c.relkind = 'r' WHERE h.mode = 'RowExclusiveLock' ORDER BY 1";

/// The relations that a statement locks when it has been run before, as in a session that has been open for a while.
async fn locks(client: &Client, other: &Client, run: &Run) -> Vec<String> {
    client
        .simple_query(&format!("PREPARE of_test AS {}", run.text))
        .await
        .unwrap_or_else(|e| panic!("{e}: {run:?}"));
    let execute = match run.values.as_slice() {
        [] => "EXECUTE of_test".to_owned(),
        values => format!("EXECUTE of_test({})", values.join(", ")),
    };
    let mut found = Vec::new();
    for _ in 0..TIMES {
        client.simple_query("BEGIN").await.unwrap();
        if run.by_values {
            client.simple_query("SET LOCAL plan_cache_mode = force_custom_plan").await.unwrap();
        }
        client.simple_query(&execute).await.unwrap_or_else(|e| panic!("{e:?}: {run:?}"));
        let process = "SELECT pg_backend_pid()";
        let process: i32 = client.query_one(process, &[]).await.unwrap().get(0);
        found = other.query(HELD, &[&process]).await.unwrap().iter().map(|row| row.get(0)).collect();
        client.simple_query("ROLLBACK").await.unwrap();
    }
    client.simple_query("DEALLOCATE of_test").await.unwrap();
    found
}

fn open(database: &OwnPostgres, purpose: Purpose) -> Arc<dyn Backend> {
    let server = Server { url: database.url(), listen_url: None, connections: 6 };
    Location::Server(server).open(purpose, now()).unwrap()
}

/// Posts events with and without keys, finds and loads their attempts, fails them, and delivers their retries.
async fn work(store: &dyn Backend, other: &dyn Backend, app: AppId, n: usize) {
    let key = |part: &str| Some(format!("{part}{n}"));
    let keyed = || NewEvent { idempotency_key: key("a"), ..an_event("a", "{}") };
    let taken = store.event_insert(app, vec![keyed(), an_event("a", "{}")], now()).await.unwrap();
    let Taken::All(accepted) = taken else { panic!("{taken:?}") };
    store.event_insert(app, vec![keyed()], now()).await.unwrap();
    for accepted in accepted {
        let mut queued = accepted.queued[0];
        for status in [500, 200] {
            other.queue_endpoints(ShardSet::ALL).await.unwrap();
            other.queue_singles(now(), 10, ShardSet::ALL).await.unwrap();
            other.queue_due(queued.endpoint_id, now(), 10).await.unwrap();
            let loaded = other.queue_load(vec![queued.attempt_id]).await.unwrap();
            assert_eq!(loaded.len(), 1);
            let sent = SentAs::in_epoch(Epoch::FIRST);
            let answer = answered(status, now()).into();
            let finished = store.attempt_finish(queued.attempt_id, answer, rules(), sent).await.unwrap();
            let Finished::Done { queued: next, .. } = finished else { panic!("{finished:?}") };
            queued = next.first().copied().unwrap_or(queued);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_all_the_time_locks_few_relations_of_400_partitions() {
    if !is_wanted() {
        return;
    }
    let database = OwnPostgres::start();
    open(&database, Purpose::Command).close().await;
    let client = connect(&database).await;
    for parent in ["log", "events"] {
        client.batch_execute(&more_partitions(parent)).await.unwrap();
    }
    client.batch_execute(TELL).await.unwrap();
    let (store, other) = (open(&database, Purpose::Server), open(&database, Purpose::Server));
    let app = store.app_find("default").await.unwrap().unwrap().id;
    let endpoint = an_endpoint(app, settings(&["a"]));
    store.endpoint_insert(endpoint, 1, activity(ActivityKind::EndpointCreated)).await.unwrap();
    let from = database.log().len();
    for n in 0..TIMES {
        work(&*store, &*other, app, n).await;
    }
    store.close().await;
    other.close().await;
    let told = told(&database, from);
    // What was inserted is inserted again.
    for parent in ["log", "events"] {
        let first = format!(
            "SELECT i.inhrelid::regclass::text FROM pg_inherits i WHERE i.inhparent = '{parent}'::regclass \
             ORDER BY i.inhrelid LIMIT 9"
        );
        for row in client.query(&first, &[]).await.unwrap() {
            client.batch_execute(&format!("DELETE FROM {}", row.get::<_, String>(0))).await.unwrap();
        }
    }
    client.batch_execute("DELETE FROM queue; DELETE FROM idempotency").await.unwrap();

    let hot: BTreeMap<&str, &Run> = told.runs.iter().map(|run| (run.text.as_str(), run)).collect();
    for part in
        ["INSERT INTO events", "INSERT INTO queue", "INSERT INTO log", "INTO idempotency", "FOR SHARE OF s"]
    {
        assert!(hot.keys().any(|text| text.contains(part)), "{part} is not among {:#?}", hot.keys());
    }
    let watcher = connect(&database).await;
    let mut too_many = Vec::new();
    for run in hot.values() {
        let locks = locks(&client, &watcher, run).await;
        println!("{:>3}  {}", locks.len(), &run.text[..run.text.len().min(100)]);
        if locks.len() > LOCKS_MOST {
            too_many.push((locks.len(), &run.text, locks));
        }
    }
    assert!(too_many.is_empty(), "{too_many:#?}");
}

/// Makes many rows of the few that are there: the same again, later by a second each.
async fn fill(client: &Client) {
    let later = "'id', r.id + n::bigint * 2097152, 'created_at', r.created_at + n * 1000";
    let of_attempt = "'first_id', r.first_id + n::bigint * 2097152, 'event', r.event + n::bigint * 2097152";
    let of_result = "'attempted_at', r.attempted_at + n * 1000, 'result_seq', r.result_seq + n * 100";
    for (table, changes) in [
        ("events", format!("{later}, 'uid', gen_random_uuid()")),
        ("queue", format!("{later}, {of_attempt}")),
        ("log", format!("{later}, {of_attempt}, {of_result}")),
    ] {
        let names = format!(
            "SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute WHERE attrelid = '{table}'::regclass \
             AND attnum > 0 AND NOT attisdropped AND attgenerated = ''"
        );
        let names: String = client.query_one(&names, &[]).await.unwrap().get(0);
        let insert = format!(
            "INSERT INTO {table} ({names}) SELECT {} FROM {table} r, generate_series(1, 3000) n, \
             LATERAL jsonb_populate_record(r, jsonb_build_object({changes})) x",
            names.split(", ").map(|name| format!("x.{name}")).collect::<Vec<_>>().join(", ")
        );
        client.batch_execute(&insert).await.unwrap();
    }
    client.batch_execute("ANALYZE").await.unwrap();
}

/// The nodes of a plan that read a whole table of many rows.
fn scans(plan: &Value, found: &mut Vec<String>) {
    let name = plan["Relation Name"].as_str().unwrap_or_default();
    let is_large = ["log", "queue", "events"].iter().any(|table| name.split('_').next() == Some(table));
    if plan["Node Type"].as_str().is_some_and(|kind| kind.contains("Seq Scan")) && is_large {
        found.push(name.to_owned());
    }
    for below in plan["Plans"].as_array().into_iter().flatten() {
        scans(below, found);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_list_of_a_full_database_goes_along_indexes() {
    if !is_wanted() {
        return;
    }
    let database = OwnPostgres::start();
    let receiver = Receiver::start().await;
    let (webhook, event, delivery) = {
        let app = node(&database).await;
        let webhook = app.webhook(&receiver.url("/good"), json!({ "events": ["a.*"] })).await;
        app.webhook(&receiver.url("/bad"), json!({ "events": ["a.*"], "retry_schedule": ["1h"] })).await;
        let answer =
            |request: &Received| if request.path == "/bad" { Reply::status(500) } else { Reply::ok() };
        receiver.reply_with(answer);
        for n in 0..6 {
            app.post("/v1/events", json!({ "event_type": "a.b", "payload": { "n": n }, "resource_id": "r" }))
                .await
                .expect(202);
        }
        let ended = |row: &&Value| row["status"] == "delivered" || row["status"] == "failed";
        let rows = app.rows_when(|rows| rows.iter().filter(ended).count() == 12).await;
        let of = |name: &str| rows[0][name].to_string().trim_matches('"').to_owned();
        (webhook.id, of("event_id"), of("delivery_id"))
    };
    let client = connect(&database).await;
    fill(&client).await;
    client.batch_execute(TELL).await.unwrap();
    let app = node(&database).await;
    let from = database.log().len();
    let mut queries: Vec<String> = [
        "",
        "status=failed",
        "status=pending",
        "event_type=a.b",
        "event_type=a.*",
        "response_status=5xx",
        "response_status=200",
        "error_kind=http_status",
        "trigger=event",
        "q=bad",
        "q=nobody",
        "error=http",
        "since=2026-03-01T12:10:00Z&until=2026-03-01T12:20:00Z",
        "view=deliveries",
        "view=deliveries&sort=-last_activity_at",
        "view=deliveries&status=failed",
    ]
    .map(str::to_owned)
    .to_vec();
    for field in ["created_at", "attempted_at", "status", "response_status", "response_time_ms"] {
        queries.extend([format!("sort={field}"), format!("sort=-{field}&status=failed")]);
    }
    queries.extend([format!("event_id={event}"), format!("delivery_id={delivery}"), format!("q={event}")]);
    let mut paths = Vec::new();
    for query in &queries {
        paths.push(format!("/v1/webhooks/deliveries?per_page=20&{query}"));
        paths.push(format!("/v1/webhooks/{webhook}/deliveries?per_page=20&{query}"));
    }
    for query in
        ["", "event_type=a.b", "resource_id=r", "since=2026-03-01T12:10:00Z&until=2026-03-01T12:20:00Z"]
    {
        paths.push(format!("/v1/events?per_page=20&{query}"));
    }
    paths.extend([format!("/v1/events/{event}"), "/v1/webhooks".to_owned(), "/v1/event-types".to_owned()]);
    for path in &paths {
        let page = app.get(path).await.expect(200);
        // The next page begins elsewhere in the same index.
        if let Some(next) = page["links"]["next"].as_str() {
            app.get(next).await.expect(200);
        }
    }
    let told = told(&database, from);
    assert!(told.plans.len() > paths.len(), "{} plans", told.plans.len());
    let mut bad = BTreeMap::new();
    for plan in &told.plans {
        let mut found = Vec::new();
        scans(&plan["Plan"], &mut found);
        if !found.is_empty() {
            bad.insert(plan["Query Text"].to_string(), found);
        }
    }
    assert!(bad.is_empty(), "{bad:#?}");
}

/// A server on the database.
async fn node(database: &OwnPostgres) -> TestApp {
    TestApp::with(|config| {
        config.storage.url = Some(Secret::new(database.url()));
        config.storage.connections = 6;
        config.encryption_key = Some(Secret::new("a key of tests, with 32 characters or more".to_owned()));
    })
    .await
}
