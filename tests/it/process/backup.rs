//! `backup` beside a busy server, and `restore` into a server that goes on where it stopped.

use rusqlite::Connection;
use tokio::sync::mpsc;

use super::crash::post_on;
use super::*;

/// Answers with 202 after which the backup begins, and after it has ended.
const BEFORE: usize = 150;
const AFTER: usize = 30;

fn quick_check(file: &Path) -> String {
    let conn = Connection::open(file).unwrap();
    conn.query_row("PRAGMA quick_check", [], |row| row.get(0)).unwrap()
}

pub(super) fn signed(secret: &str, got: &crate::support::receiver::Received) -> bool {
    let timestamp = got.header("webhook-timestamp").unwrap().parse().unwrap();
    let library = standardwebhooks::Webhook::new(secret).unwrap();
    let signature = library.sign(got.header("webhook-id").unwrap(), timestamp, &got.body).unwrap();
    got.header("webhook-signature").unwrap() == signature
}

#[tokio::test]
async fn a_backup_under_load_has_all_that_was_accepted_before_and_a_server_goes_on_from_it() {
    let (mut program, receiver) = (Program::new(), Receiver::start().await);
    let mut running = program.serve().await;
    // So slow that nearly everything is still pending in the backup.
    let hook = json!({ "url": receiver.url("/"), "events": ["*"], "rate_limit": 1 });
    let made = running.post("/v1/webhooks", hook).await;
    let (id, secret) = (
        made["data"]["id"].as_str().unwrap(),
        made["data"]["attributes"]["signing_secret"].as_str().unwrap(),
    );

    let (note, mut accepted) = mpsc::unbounded_channel();
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..4 {
        clients.spawn(post_on(running.request(Method::POST, "/v1/events"), note.clone()));
    }
    drop(note);
    let mut ledger = HashSet::new();
    while ledger.len() < BEFORE {
        ledger.insert(in_time("an accepted event", accepted.recv()).await.unwrap());
    }
    let (code, stdout, stderr) = program.run("backup copy.backup").await;
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("copy.backup") && stdout.contains("encryption key"), "{stdout}");
    // The server was not held up, and what it took meanwhile may or may not be in the copy.
    for _ in 0..AFTER {
        in_time("an event after the backup", accepted.recv()).await.unwrap();
    }
    running.child.kill().unwrap();
    running.ended().await;
    in_time("the end of the clients", async { while clients.join_next().await.is_some() {} }).await;

    let copy = program.path().join("copy.backup");
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(quick_check(&copy), "ok");

    program.data = "restored".to_owned();
    let (code, stdout, stderr) = program.run("restore copy.backup").await;
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("restored"), "{stdout}");
    assert_eq!(quick_check(&program.path().join("restored/postrider.db")), "ok");
    let key = fs::read(program.path().join("restored/secret.key")).unwrap();
    assert_eq!(key, fs::read(program.path().join("data/secret.key")).unwrap());
    let restored = fs::read(program.path().join("restored/postrider.db")).unwrap();
    let key_text = key.trim_ascii();
    assert!(!restored.windows(key_text.len()).any(|part| part == key_text), "the key stays beside the data");

    let running = program.serve().await;
    let hook = running.request(Method::PATCH, &format!("/v1/webhooks/{id}"));
    let faster = json_body(hook, json!({ "rate_limit": null }).to_string()).send();
    assert_eq!(in_time("an answer", faster).await.unwrap().status(), 200);
    while !ledger.is_empty() {
        let got = receiver.next().await;
        assert!(signed(secret, &got), "with the secret that it had");
        ledger.remove(got.header("webhook-id").unwrap());
    }
    for file in fs::read_dir(program.path().join("restored")).unwrap() {
        let file = file.unwrap().path();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
}

#[tokio::test]
async fn restore_leaves_a_running_server_alone_and_keeps_what_it_replaces() {
    let (program, receiver) = (Program::new(), Receiver::start().await);
    let running = program.serve().await;
    let hook = json!({ "url": receiver.url("/"), "events": ["*"] });
    let made = running.post("/v1/webhooks", hook).await;
    let secret = made["data"]["attributes"]["signing_secret"].as_str().unwrap().to_owned();
    // In the data directory, where backups by the clock are.
    let (code, _, stderr) = program.run("backup data/backups.one").await;
    assert_eq!(code, Some(0), "{stderr}");
    running.post("/v1/events", json!({ "event_type": "a.b", "payload": 1 })).await;
    receiver.next().await;
    let (code, stdout, stderr) = program.run("restore data/backups.one").await;
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    assert!(stderr.contains("Stop it first"), "{stderr}");
    assert_eq!(running.get("/readyz").await, 200);
    running.signal("TERM");
    assert_eq!(running.ended().await.code, Some(0));

    let (code, stdout, stderr) = program.run("restore data/backups.one").await;
    assert_eq!(code, Some(0), "{stderr}");
    let kept = stdout.split_once("was moved to ").unwrap().1.split_once(';').unwrap().0;
    let events = |database: &Path| -> i64 {
        let conn = Connection::open(database).unwrap();
        conn.query_row("SELECT count(*) FROM events", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(events(&program.path().join(kept).join("postrider.db")), 1);
    assert_eq!(events(&program.path().join("data/postrider.db")), 0);
    let running = program.serve().await;
    running.post("/v1/events", json!({ "event_type": "a.b", "payload": 2 })).await;
    assert!(signed(&secret, &receiver.next().await), "with the key of the backup");
}
