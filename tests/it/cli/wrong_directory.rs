//! Commands in the wrong directory: they name it, and create nothing.

use super::*;

#[test]
fn commands_do_not_create_a_data_directory() {
    let place = Place::empty();
    place.write("moved.json", r#"{"postrider_export":1,"apps":[]}"#);
    place.write("token", "sk_1");
    for command in [
        "key create --name ci --scope admin",
        "key list",
        "user list",
        "user create --email a@example.com --role owner",
        "app create --name shop",
        "app list",
        "export",
        "import moved.json",
        "import --dry-run moved.json",
        "import-svix --url http://127.0.0.1:1 --token-file token",
        "key-file rotate",
        "backup one.backup",
        "check",
        "doctor 0198c2f4-6a1e-7c33-9d0a-5b7e3f1c2a48",
    ] {
        let refused = place.run(command).failed(2);
        assert!(refused.contains("./data") && refused.contains("--data"), "{command}: {refused}");
        assert!(!place.path().join("data").exists(), "{command}");
    }
    // A directory of something else is not taken either.
    std::fs::create_dir(place.path().join("data")).unwrap();
    place.write("data/notes.txt", "");
    for command in ["key list", "export", "import --dry-run moved.json"] {
        let refused = place.run(command).failed(2);
        assert!(refused.contains("contains other files"), "{command}: {refused}");
    }
    assert_eq!(std::fs::read_dir(place.path().join("data")).unwrap().count(), 1);
}

#[test]
fn a_data_directory_that_others_may_write_to_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    place.run("app create --name shop").ok();
    let data = place.path().join("data");
    for mode in [0o777, 0o770] {
        std::fs::set_permissions(&data, std::fs::Permissions::from_mode(mode)).unwrap();
        for command in ["serve --listen 127.0.0.1:0", "app list", "export"] {
            let refused = place.run(command);
            assert_eq!(refused.code, 2, "{command}: {}", refused.stderr);
            assert!(refused.stderr.contains("chmod 700 ./data"), "{command}: {}", refused.stderr);
        }
        let said = place.run("doctor");
        assert!(said.code == 1 && said.stdout.contains("other users may write"), "{}", said.stdout);
    }
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755)).unwrap();
    place.run("app list").ok();
    // A key that is somewhere else.
    std::fs::rename(data.join("secret.key"), place.path().join("key")).unwrap();
    std::os::unix::fs::symlink(place.path().join("key"), data.join("secret.key")).unwrap();
    let refused = place.run("export").failed(2);
    assert!(refused.contains("secret.key is a symbolic link"), "{refused}");
}

#[test]
fn a_file_that_is_no_backup_is_named_as_such() {
    let place = Place::new();
    place.write("text.backup", "hello, this is not a database");
    place.write("empty.backup", "");
    rusqlite::Connection::open(place.path().join("other.backup"))
        .unwrap()
        .execute_batch("CREATE TABLE t (x)")
        .unwrap();
    for (file, found) in [
        ("text", "it is not an SQLite database"),
        ("empty", "it is empty"),
        ("other", "it is a database of another program"),
    ] {
        let said = place.run(&format!("--data two restore {file}.backup")).failed(1);
        assert!(said.contains(&format!("{file}.backup is not a backup of Postrider: {found}")), "{said}");
        assert!(!place.path().join("two").exists());
    }
    // Nobody writes into it, so opening it would not end.
    let made = std::process::Command::new("mkfifo").arg(place.path().join("pipe.backup")).status().unwrap();
    assert!(made.success());
    let said = place.run("--data two restore pipe.backup").failed(1);
    assert!(said.contains("not a regular file"), "{said}");
    let said = place.run("config check --config /dev/zero").failed(2);
    assert!(said.contains("cannot read the configuration file: it is larger than 1024 KiB"), "{said}");
}
