//! `migrate-storage`: everything there and back. Only with `POSTRIDER_TEST_STORAGE=postgres`.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use postrider::domain::ActivityKind;
use postrider::host::vault::Vault;
use postrider::store::Backend;
use postrider::store::location::{Location, Purpose};
use tokio_postgres::NoTls;

use super::{Place, Ran};
use crate::store::accounts::a_key;
use crate::store::transfer::{assert_same, fill, in_file, said};
use crate::store::{World, activity, an_event, now};
use crate::support::postgres::{Database, is_wanted};

/// A webhook and a source with secrets.
const IMPORT: &str = r#"{"postrider_export": 1, "apps": [{"name": "default", "webhooks": [{"url": "https://example.com/a",
    "name": "a", "events": ["*"], "headers": {"authorization": {"secret": "Bearer abc"}}}]}]}"#;
const KEY: &str = "a key of tests, with 32 characters or more";

/// A node that has just renewed its lease.
pub(super) const LIVE_NODE: &str = "INSERT INTO nodes (name, run_id, machine, boot, version, lease_ms, since, renewed_at) \
     VALUES ('berta', gen_random_uuid(), '', '', '1', 60000, 0, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)";

/// Runs a command with a database and its key.
fn run(place: &Place, database: &Database, command: &str) -> Ran {
    let url = database.server().url;
    place.run_with(command, &[("POSTRIDER_STORAGE__URL", &url), ("POSTRIDER_ENCRYPTION_KEY", KEY)])
}

/// A data directory with all that there is.
async fn filled(place: &Place) -> World {
    let world = in_file(&place.path().join("data/postrider.db")).await;
    world.store.secrets_put_key_check(Vault::new(KEY.as_bytes()).seal_key_check()).await.unwrap();
    fill(&world).await;
    world
}

async fn closed(world: World) {
    world.store.close().await;
    drop(world);
}

async fn in_database(database: &Database) -> std::sync::Arc<dyn Backend> {
    Location::Server(database.server()).open(Purpose::Command, now()).unwrap()
}

#[tokio::test]
async fn everything_is_the_same_on_the_other_side_and_after_the_way_back() {
    if !is_wanted() {
        return;
    }
    let (place, database) = (Place::new(), Database::new());
    let world = filled(&place).await;
    let before = said(&*world.store).await;
    closed(world).await;

    let moved = run(&place, &database, "migrate-storage --to storage");
    assert!(moved.stderr.contains("100 %") && moved.stderr.contains("rows/s"), "{}", moved.stderr);
    let shown = moved.ok();
    assert!(shown.contains("TABLE") && shown.contains("CHECKSUM"), "{shown}");
    assert!(shown.contains("all counts and checksums are equal"), "{shown}");
    let store = in_database(&database).await;
    assert_same(&before, &said(&*store).await);
    store.close().await;

    let again = run(&place, &database, "migrate-storage --to ./back").ok();
    assert!(again.contains("all counts and checksums are equal"), "{again}");
    let sums = |text: &str| -> Vec<String> {
        let is_log = |line: &&str| line.starts_with("log ") || line.starts_with("queue ");
        text.lines().filter(is_log).map(str::to_owned).collect()
    };
    assert_eq!(sums(&again), sums(&shown));
    let back = in_file(&place.path().join("back/postrider.db")).await;
    assert_same(&before, &said(&*back.store).await);
    closed(back).await;
    let checked = place.run_with("check --data back", &[("POSTRIDER_ENCRYPTION_KEY", KEY)]).ok();
    assert!(checked.contains("OK: no corruption"), "{checked}");
}

/// Runs a move, and ends the process when it has written so many lines; whether it had ended before.
fn killed_after(place: &Place, database: &Database, to: &str, lines: usize) -> bool {
    let mut program = Command::new(env!("CARGO_BIN_EXE_postrider"));
    program.args(["migrate-storage", "--to", to]).current_dir(place.path()).env_clear();
    program.envs([
        ("POSTRIDER_STORAGE__URL", database.server().url.as_str()),
        ("POSTRIDER_ENCRYPTION_KEY", KEY),
    ]);
    let mut child = program.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let read = stderr.lines().take(lines).map_while(Result::ok).count();
    child.kill().unwrap();
    let status = child.wait().unwrap();
    read < lines || status.success()
}

#[tokio::test]
async fn a_move_that_is_killed_begins_again_and_the_last_one_is_complete() {
    if !is_wanted() {
        return;
    }
    let (place, database) = (Place::new(), Database::new());
    let world = filled(&place).await;
    for _ in 0..12 {
        let events = (0..50).map(|n| an_event("many", &format!("{{\"n\": {n}}}"))).collect();
        world.take(events, now()).await;
    }
    let before = said(&*world.store).await;
    closed(world).await;
    for lines in [1, 4, 8] {
        assert!(!killed_after(&place, &database, "storage", lines), "it was killed on the way");
        let said = run(&place, &database, "key list").failed(2);
        assert!(said.contains("half filled"), "{said}");
    }
    run(&place, &database, "migrate-storage --to storage").ok();
    let store = in_database(&database).await;
    assert_same(&before, &said(&*store).await);
    store.close().await;

    for lines in [1, 4, 8] {
        assert!(!killed_after(&place, &database, "back", lines), "it was killed on the way");
        let said = place.run_with("key list --data back", &[("POSTRIDER_ENCRYPTION_KEY", KEY)]).failed(2);
        assert!(said.contains("half filled"), "{said}");
    }
    run(&place, &database, "migrate-storage --to back").ok();
    let back = in_file(&place.path().join("back/postrider.db")).await;
    assert_same(&before, &said(&*back.store).await);
    closed(back).await;
}

#[tokio::test]
async fn servers_and_what_is_there_already_stand_in_its_way() {
    if !is_wanted() {
        return;
    }
    let (place, database) = (Place::new(), Database::new());
    let world = filled(&place).await;
    closed(world).await;

    database.run(LIVE_NODE);
    let said = run(&place, &database, "migrate-storage --to storage").failed(2);
    assert!(said.contains("the node berta uses the database in storage.url"), "{said}");
    let said = run(&place, &database, "migrate-storage --to back").failed(2);
    assert!(said.contains("the node berta uses the database in storage.url"), "{said}");
    database.run("DELETE FROM nodes");

    let lock = std::fs::File::create(place.path().join("data/serve.lock")).unwrap();
    lock.lock().unwrap();
    let said = run(&place, &database, "migrate-storage --to storage").failed(2);
    assert!(said.contains("server"), "{said}");
    drop(lock);

    add_key(&database).await;
    let said = run(&place, &database, "migrate-storage --to storage").failed(2);
    assert!(said.contains("not empty (keys)"), "{said}");

    let said = run(&place, &database, "migrate-storage --to data").failed(2);
    assert!(said.contains("not empty"), "{said}");
    let said = place.run("migrate-storage --to storage").failed(2);
    assert!(said.contains("storage.url is not set"), "{said}");
}

#[tokio::test]
async fn a_move_keeps_others_out_and_a_node_that_registers_does_not() {
    if !is_wanted() {
        return;
    }
    let database = Database::new();
    in_database(&database).await.close().await;
    let (client, connection) = tokio_postgres::connect(&database.server().url, NoTls).await.unwrap();
    tokio::spawn(connection);
    let open = || Location::Server(database.server()).open(Purpose::Command, now());

    client.batch_execute("BEGIN; SELECT pg_advisory_xact_lock_shared(8101821198635721731)").await.unwrap();
    open().expect("another node registers").close().await;
    client.batch_execute("COMMIT; BEGIN; SELECT pg_advisory_xact_lock(8101821198635721731)").await.unwrap();
    let refused = open().err().expect("the database is being moved").to_string();
    assert!(refused.contains("wait for its end"), "{refused}");
    client.batch_execute("COMMIT").await.unwrap();
    open().expect("the move is over").close().await;
}

/// Gives a database a key.
async fn add_key(database: &Database) {
    let store = in_database(database).await;
    let app = store.app_find("default").await.unwrap().unwrap();
    let key = a_key(app.id, "k1");
    store.key_insert(key, activity(ActivityKind::KeyCreated)).await.unwrap();
    store.close().await;
}

#[test]
fn secrets_are_sealed_with_the_key_of_the_place() {
    if !is_wanted() {
        return;
    }
    let (place, database) = (Place::new(), Database::new());
    place.write("import.json", IMPORT);
    place.run("import import.json").ok();
    let secrets = |ran: Ran| {
        let mut document = ran.json();
        document.as_object_mut().unwrap().remove("exported_at");
        document
    };
    let before = secrets(place.run("export --with-secrets"));
    assert!(before.to_string().contains("whsec_"), "{before}");
    let moved = run(&place, &database, "migrate-storage --to storage").ok();
    assert!(moved.contains("encrypted with encryption_key now"), "{moved}");
    assert_eq!(secrets(run(&place, &database, "export --with-secrets")), before);
    let url = database.server().url;
    let other = [
        ("POSTRIDER_STORAGE__URL", url.as_str()),
        ("POSTRIDER_ENCRYPTION_KEY", "quite another key of 32 characters"),
    ];
    let said = place.run_with("export --with-secrets", &other).failed(2);
    assert!(said.contains("encryption_key"), "{said}");

    run(&place, &database, "migrate-storage --to back").ok();
    let configured = [("POSTRIDER_ENCRYPTION_KEY", KEY)];
    assert_eq!(secrets(place.run_with("export --with-secrets --data back", &configured)), before);
    // A directory that has a key file keeps it.
    std::fs::create_dir(place.path().join("own")).unwrap();
    std::fs::copy(place.path().join("data/secret.key"), place.path().join("own/secret.key")).unwrap();
    let moved = run(&place, &database, "migrate-storage --to own").ok();
    assert!(moved.contains("its key file"), "{moved}");
    assert_eq!(secrets(place.run("export --with-secrets --data own")), before);
}
