//! `backup`, `restore` and `check`, without a server.

use std::fs;

use super::*;

const KEY: &str = "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk";

/// A place with data in it.
fn filled() -> Place {
    let place = Place::new();
    place.run("app create --name shop").ok();
    place
}

fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(path).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_backup_can_be_restored() {
    let place = filled();
    place.run("backup one.backup").ok();
    let said = place.run("--data two restore one.backup").ok();
    assert!(said.contains("postrider --data two"), "{said}");
    assert_eq!(names(&place.path().join("two")), ["postrider.db", "secret.key", "serve.lock"]);
    assert!(place.run("--data two app list").ok().contains("shop"));
    let found = place.run("--data two check --json").json();
    assert_eq!((&found["ok"], &found["problems"]), (&true.into(), &serde_json::json!([])));
    // The activity log began with the app.
    assert_eq!(found["tables"]["apps"], 2);
    assert!(place.run("--data two check").ok().contains("OK: no corruption"));
}

#[test]
fn an_existing_file_is_not_replaced() {
    let place = filled();
    place.write("one.backup", "mine");
    let said = place.run("backup one.backup").failed(2);
    assert!(said.contains("one.backup already exists"), "{said}");
    assert_eq!(fs::read_to_string(place.path().join("one.backup")).unwrap(), "mine");
    let said = place.run("backup nowhere/one.backup").failed(1);
    assert!(said.contains("nowhere/one.backup"), "{said}");
    let said = place.run("--data nothing backup two.backup").failed(2);
    assert!(said.contains("nothing to back up"), "{said}");
    assert_eq!(names(place.path()), ["data", "one.backup"], "nothing is made on the way");
}

#[test]
fn a_configured_key_is_not_in_the_backup_and_is_required() {
    let place = Place::new();
    let configured = [("POSTRIDER_ENCRYPTION_KEY", KEY)];
    place.run_with("app create --name shop", &configured).ok();
    place.run_with("backup one.backup", &configured).ok();
    let bytes = fs::read(place.path().join("one.backup")).unwrap();
    assert!(!bytes.windows(KEY.len()).any(|part| part == KEY.as_bytes()));
    let said = place.run("--data two restore one.backup").failed(2);
    assert!(said.contains("encryption_key"), "{said}");
    assert!(!place.path().join("two").exists(), "nothing is left of a restore that failed");
    place.run_with("--data two restore one.backup", &configured).ok();
    assert!(!place.path().join("two/secret.key").exists());
}

#[test]
fn an_invalid_backup_is_refused_and_leaves_nothing() {
    let place = filled();
    place.run("backup one.backup").ok();
    let mut bytes = fs::read(place.path().join("one.backup")).unwrap();
    place.write("text.backup", "hello");
    place.write("empty.backup", "");
    fs::write(place.path().join("cut.backup"), &bytes[..bytes.len() / 2]).unwrap();
    bytes[60..64].copy_from_slice(&99u32.to_be_bytes());
    fs::write(place.path().join("newer.backup"), &bytes).unwrap();
    for (file, word) in [
        ("text", "is not a backup"),
        ("empty", "is not a backup"),
        ("cut", "damaged"),
        ("newer", "version 99"),
    ] {
        let said = place.run(&format!("--data two restore {file}.backup")).failed(1);
        assert!(said.contains(word), "{file}: {said}");
        assert!(!place.path().join("two").exists(), "{file}");
    }
    assert!(place.run("--data two restore missing.backup").failed(1).contains("missing.backup"));
}

#[test]
fn a_failed_restore_keeps_the_existing_data() {
    let place = filled();
    place.write("text.backup", "hello");
    let before = names(&place.path().join("data"));
    place.run("restore text.backup").failed(1);
    assert_eq!(names(&place.path().join("data")), before);
    assert!(place.run("app list").ok().contains("shop"));
    // A valid backup whose secrets cannot be decrypted is refused.
    fs::create_dir(place.path().join("two")).unwrap();
    place.run_with("--data two app create --name other", &[("POSTRIDER_ENCRYPTION_KEY", KEY)]).ok();
    place.run_with("--data two backup two.backup", &[("POSTRIDER_ENCRYPTION_KEY", KEY)]).ok();
    place.run("restore two.backup").failed(2);
    assert_eq!(names(&place.path().join("data")), before);
    assert!(place.run("app list").ok().contains("shop"));
}

#[test]
fn a_directory_with_other_files_is_not_restored_into() {
    let place = filled();
    place.run("backup one.backup").ok();
    fs::create_dir(place.path().join("other")).unwrap();
    place.write("other/letter.txt", "dear");
    let said = place.run("--data other restore one.backup").failed(2);
    assert!(said.contains("other files"), "{said}");
    assert_eq!(names(&place.path().join("other")), ["letter.txt"]);
}

#[test]
fn check_finds_dangling_references() {
    let place = filled();
    let database = place.path().join("data/postrider.db");
    let conn = rusqlite::Connection::open(&database).unwrap();
    conn.pragma_update(None, "foreign_keys", false).unwrap();
    conn.execute("UPDATE activity SET app = 77", []).unwrap();
    drop(conn);
    let ran = place.run("check --json");
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let found: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(found["ok"], false);
    assert!(found["problems"][0].as_str().unwrap().contains("activity"), "{found}");
    assert!(place.run("--data nothing check").failed(2).contains("nothing to check"));
}

#[test]
fn a_database_that_would_run_something_foreign_is_refused() {
    let place = filled();
    place.run("backup one.backup").ok();
    let add = |file: &str, sql: &str| {
        rusqlite::Connection::open(place.path().join(file)).unwrap().execute_batch(sql).unwrap();
    };
    let view = "CREATE VIEW v AS SELECT 1";
    for (kind, sql) in
        [("trigger", "CREATE TRIGGER t AFTER INSERT ON events BEGIN DELETE FROM users; END"), ("view", view)]
    {
        let file = format!("{kind}.backup");
        fs::copy(place.path().join("one.backup"), place.path().join(&file)).unwrap();
        add(&file, sql);
        let said = place.run(&format!("--data two restore {file}")).failed(1);
        assert!(
            said.contains(&format!("the {kind} ")) && said.contains("is not one of postrider's"),
            "{said}"
        );
        assert!(!place.path().join("two").exists());
    }
    add("data/postrider.db", view);
    let ran = place.run("check --json");
    let found: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, &found["ok"]), (1, &false.into()));
    assert!(found["problems"][0].as_str().unwrap().contains("the view \"v\""), "{found}");
}
