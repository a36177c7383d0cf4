//! The encryption key: a database that was written with another one is not opened.

use rusqlite::Connection;

use super::*;

const OTHER: &str = "ooooooooooooooooooooooooooooooooooooo";

async fn refused(program: &Program, command: &str) {
    let (code, _, stderr) = program.run(command).await;
    assert_eq!(code, Some(2), "{command}: {stderr}");
    assert!(stderr.contains("was written with another encryption key"), "{command}: {stderr}");
}

/// Starts a server, creates a webhook, and stops it.
async fn filled(program: &Program) {
    let running = program.serve().await;
    running.post("/v1/webhooks", json!({ "url": "https://example.com/", "events": ["*"] })).await;
    running.signal("TERM");
    assert_eq!(running.ended().await.code, Some(0));
}

fn checks(program: &Program) -> Connection {
    Connection::open(program.path().join("data/postrider.db")).unwrap()
}

#[tokio::test]
async fn another_key_than_the_one_of_the_database_is_refused_everywhere() {
    let mut program = Program::new();
    filled(&program).await;
    let (code, _, stderr) = program.run("backup good.backup").await;
    assert_eq!(code, Some(0), "{stderr}");
    let commands = [
        "serve --listen 127.0.0.1:0",
        "check",
        "config check",
        "doctor",
        "export",
        "export --with-secrets",
        "import empty.json",
        "backup one.backup",
    ];
    fs::write(program.path().join("empty.json"), r#"{"postrider_export":1,"apps":[]}"#).unwrap();
    program.env.push(("POSTRIDER_ENCRYPTION_KEY", OTHER.to_owned()));
    for command in commands {
        refused(&program, command).await;
    }
    let (code, _, stderr) = program.run("--data two restore good.backup").await;
    assert!(code == Some(2) && stderr.contains("encryption_key"), "{stderr}");
    program.env.pop();

    // A key file that is not the database's.
    let key_file = program.path().join("data/secret.key");
    let right = fs::read_to_string(&key_file).unwrap();
    fs::write(&key_file, format!("{}\n", "ab".repeat(32))).unwrap();
    for command in commands.into_iter().chain(["key-file rotate"]) {
        refused(&program, command).await;
    }
    fs::write(&key_file, right).unwrap();
    assert_eq!(program.run("export --with-secrets").await.0, Some(0));
    assert_eq!(program.run("key-file rotate").await.0, Some(0));
    assert_eq!(program.run("check").await.0, Some(0), "the new key is the database's now");
    filled(&program).await;
}

#[tokio::test]
async fn a_database_of_an_earlier_version_is_tried_by_its_secrets_and_gets_a_check_value() {
    let mut program = Program::new();
    filled(&program).await;
    let count = "SELECT count(*) FROM settings WHERE name = 'encryption_key.check'";
    let number =
        |program: &Program| checks(program).query_row(count, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(number(&program), 1);
    checks(&program).execute("DELETE FROM settings WHERE name = 'encryption_key.check'", []).unwrap();
    program.env.push(("POSTRIDER_ENCRYPTION_KEY", OTHER.to_owned()));
    refused(&program, "serve --listen 127.0.0.1:0").await;
    refused(&program, "export").await;
    assert_eq!(number(&program), 0);
    program.env.pop();
    filled(&program).await;
    assert_eq!(number(&program), 1);
}
