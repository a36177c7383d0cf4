//! Commands on a database server (`storage.url`). Only with `POSTRIDER_TEST_STORAGE=postgres`.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use super::{Place, Ran};

use crate::support::own_postgres::OwnPostgres;
use crate::support::postgres::{Database, is_wanted};

const KEY: &str = "a key of tests, with 32 characters or more";

/// Runs a command on a database, in a directory that stays empty.
fn run(url: &str, command: &str) -> Ran {
    let place = Place::empty();
    let ran = place.run_with(command, &[("POSTRIDER_STORAGE__URL", url), ("POSTRIDER_ENCRYPTION_KEY", KEY)]);
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0, "nothing is written to disk");
    ran
}

#[test]
fn keys_are_made_in_the_database_and_nothing_is_written_to_disk() {
    if !is_wanted() {
        return;
    }
    let database = Database::new();
    let url = database.server().url;
    assert!(run(&url, "key create --name test --scope admin").ok().contains("prk_"));
    let listed = run(&url, "key list --json").json();
    assert_eq!(listed[0]["name"], "test", "{listed}");
}

#[test]
fn what_is_for_files_points_to_the_tools_of_the_database() {
    if !is_wanted() {
        return;
    }
    let database = Database::new();
    for command in ["backup x.db", "restore x.db", "check"] {
        let said = run(&database.server().url, command).failed(2);
        assert!(said.contains("pg_dump"), "{command}: {said}");
    }
}

#[test]
fn a_database_that_cannot_be_used_as_it_is_says_what_to_change() {
    if !is_wanted() {
        return;
    }
    let database = Database::new();
    let url = database.server().url;
    let unknown = url.replace("@/test", "@/nothing");
    let said = run(&unknown, "key list").failed(2);
    assert!(said.contains("create the database"), "{said}");

    database.run("CREATE ROLE guest LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    let said = run(&url.replace("//postgres@", "//guest@"), "key list").failed(2);
    assert!(said.contains("GRANT USAGE, CREATE ON SCHEMA public TO \"guest\""), "{said}");
    database.run("DROP ROLE guest");

    let said = run(&format!("{url}&sslmode=maybe"), "key list").failed(2);
    assert!(said.contains("sslmode") && !said.contains(&url), "{said}");

    database.run(&format!("ALTER DATABASE {} SET synchronous_commit = off", database.name()));
    let said = run(&url, "key list").failed(2);
    assert!(said.contains("synchronous_commit is off"), "{said}");
}

#[test]
fn a_user_that_the_database_does_not_let_in_is_told_what_to_change() {
    if !is_wanted() {
        return;
    }
    let database = Database::new();
    let url = database.server().url;
    let as_user = |user: &str| url.replace("//postgres@", &format!("//{user}@"));
    database.run("CREATE ROLE with_password LOGIN PASSWORD 'hush-right'");
    let wrong = [
        ("with_password:hush-wrong", "password authentication failed", "check the user and the password in"),
        ("with_password", "password missing", "put the user's password into"),
        ("nobody_here", "role \"nobody_here\" does not exist", "check the user and the password in"),
    ];
    for (user, reason, advice) in wrong {
        let said = run(&as_user(user), "key list").failed(2);
        assert!(said.contains(reason) && said.contains(&format!("{advice} storage.url")), "{said}");
        assert!(!said.contains("hush"), "{said}");
    }
    // A server says the same, and of either URL.
    let said = run(&as_user("with_password:hush-wrong"), "serve").failed(2);
    assert!(said.contains("check the user and the password in storage.url"), "{said}");
    let listen = as_user("with_password:hush-wrong");
    let both = [
        ("POSTRIDER_STORAGE__URL", url.as_str()),
        ("POSTRIDER_STORAGE__LISTEN_URL", listen.as_str()),
        ("POSTRIDER_ENCRYPTION_KEY", KEY),
    ];
    let said = Place::empty().run_with("serve --listen 127.0.0.1:0", &both).failed(2);
    assert!(said.contains("in storage.listen_url") && !said.contains("hush"), "{said}");

    let right = as_user("with_password:hush-right");
    database.run("GRANT CREATE ON SCHEMA public TO with_password");
    database.run("GRANT ALL ON ALL TABLES IN SCHEMA public TO with_password");
    assert!(run(&right, "doctor").stdout.contains("with_password may create tables"));
    database.run(&format!("REVOKE CONNECT ON DATABASE {} FROM PUBLIC", database.name()));
    let said = run(&right, "key list").failed(2);
    assert!(said.contains("grant the user the rights to connect"), "{said}");
    database.run("DROP OWNED BY with_password; DROP ROLE with_password");
}

#[test]
fn a_node_that_cannot_get_its_connections_does_not_start() {
    if !is_wanted() {
        return;
    }
    let database = Database::new();
    let url = database.server().url;
    let serve = |url: &str, connections: &str| {
        let settings = [
            ("POSTRIDER_STORAGE__URL", url),
            ("POSTRIDER_STORAGE__CONNECTIONS", connections),
            ("POSTRIDER_ENCRYPTION_KEY", KEY),
        ];
        Place::empty().run_with("serve --listen 127.0.0.1:0", &settings).failed(2)
    };
    // The server has 400 connections, and keeps 3 of them for superusers.
    let said = serve(&url, "396");
    let told = ["storage.connections is 396, with 2 more", "allows 397; lower it, or raise max_connections"];
    assert!(told.iter().all(|words| said.contains(words)), "{said}");

    database.run("CREATE ROLE narrow LOGIN CONNECTION LIMIT 7; GRANT CREATE ON SCHEMA public TO narrow");
    let said = serve(&url.replace("//postgres@", "//narrow@"), "6");
    assert!(said.contains("allows 7; lower it") && said.contains("CONNECTION LIMIT"), "{said}");
    database.run("DROP OWNED BY narrow; DROP ROLE narrow");
}

/// A server that is ended with the test.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Lines of a pipe up to one with these words.
fn read_to(pipe: impl std::io::Read, words: &str) {
    let mut said = String::new();
    for line in BufReader::new(pipe).lines() {
        said += &line.unwrap();
        if said.contains(words) {
            return;
        }
    }
    panic!("it ended without saying {words}: {said}");
}

#[test]
fn a_database_that_is_away_at_the_start_is_waited_for() {
    if !is_wanted() {
        return;
    }
    let (mut database, place) = (OwnPostgres::start(), Place::empty());
    database.stop();
    let mut command = Command::new(env!("CARGO_BIN_EXE_postrider"));
    command.args(["serve", "--listen", "127.0.0.1:0"]).current_dir(place.path()).env_clear();
    command.env("POSTRIDER_STORAGE__URL", database.url()).env("POSTRIDER_ENCRYPTION_KEY", KEY);
    let mut server = Serving(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    read_to(server.0.stderr.take().unwrap(), "the database cannot be reached; waiting for it");
    database.begin();
    read_to(server.0.stdout.take().unwrap(), "/healthz");
}

#[test]
fn a_name_that_is_nearly_one_of_storage_is_an_error_and_the_key_is_required() {
    let place = Place::empty();
    let url = "postgres://u:hush-hush@127.0.0.1:1/db";
    for (name, meant) in [
        ("POSTRIDER_STORAGE_URL", "POSTRIDER_STORAGE__URL"),
        ("POSTRIDER_STORAGE__URI", "POSTRIDER_STORAGE__URL"),
        ("POSTRIDER_STORAGE__CONECTIONS", "POSTRIDER_STORAGE__CONNECTIONS"),
        ("POSTRIDER_ENCRYPTION_KY", "POSTRIDER_ENCRYPTION_KEY"),
    ] {
        let said = place.run_with("config check", &[(name, url)]).failed(2);
        assert!(said.contains(&format!("did you mean {meant}?")) && !said.contains("hush"), "{said}");
    }
    let only_url = [("POSTRIDER_STORAGE__URL", url)];
    let said = place.run_with("config check", &only_url).failed(2);
    assert!(said.contains("encryption_key") && !said.contains("hush"), "{said}");
    let both = [("POSTRIDER_STORAGE__URL", url), ("POSTRIDER_ENCRYPTION_KEY", KEY)];
    let shown = place.run_with("config dump", &both).ok();
    assert!(shown.contains("storage.url is set and not shown") && !shown.contains("hush"), "{shown}");
    let with_backups = [both[0], both[1], ("POSTRIDER_BACKUP__EVERY", "1d")];
    let said = place.run_with("config check", &with_backups).failed(2);
    assert!(said.contains("pg_dump"), "{said}");
    // What makes data of its own for a moment has no use for it.
    let said = place.run_with("bench --events 1", &only_url);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0, "nothing is written to disk");
}

#[test]
fn every_command_for_people_and_keys_works_from_any_machine() {
    if !is_wanted() {
        return;
    }
    let database = Database::new();
    let url = database.server().url;
    run(&url, "app create --name shop").ok();
    assert!(run(&url, "app list").ok().contains("shop"));
    assert!(run(&url, "key create --name test --scope events:write --app shop").ok().contains("prk_"));
    assert!(run(&url, "config check").ok().contains("The database was not contacted"));
    let place = Place::empty();
    place.write(
        "import.json",
        r#"{"postrider_export": 1, "apps": [{"name": "shop", "webhooks": [{"url":
        "https://example.com/a", "name": "a", "events": ["*"]}]}]}"#,
    );
    place.write("url.txt", &url);
    let of_file = [("POSTRIDER_STORAGE__URL_FILE", "url.txt"), ("POSTRIDER_ENCRYPTION_KEY", KEY)];
    place.run_with("import import.json", &of_file).ok();
    let exported = place.run_with("export --with-secrets", &of_file).json();
    let webhook = &exported["apps"].as_array().unwrap().iter().find(|app| app["name"] == "shop").unwrap()["webhooks"]
        [0];
    assert_eq!(webhook["url"], "https://example.com/a", "{exported}");
    let (begin, directory) = url.split_once("host=").unwrap();
    let several = format!("{begin}host=/nowhere,{directory}&target_session_attrs=read-write");
    assert!(run(&several, "app list").ok().contains("shop"));

    let other = [of_file[0], ("POSTRIDER_ENCRYPTION_KEY", "another key, of 32 characters or more")];
    // The check value is there once a server has started; a webhook's secret proves the key before.
    let said = place.run_with("export --with-secrets", &other).failed(2);
    assert!(said.contains("encryption_key"), "{said}");
}

#[test]
fn a_configured_key_is_replaced_while_no_node_runs() {
    if !is_wanted() {
        return;
    }
    let database = Database::new();
    let url = database.server().url;
    let place = Place::empty();
    place.write(
        "import.json",
        r#"{"postrider_export": 1, "apps": [{"name": "default", "webhooks": [{"url":
        "https://example.com/a", "name": "a", "events": ["*"], "headers": {"a": {"secret": "b"}}}]}]}"#,
    );
    let new = "the next key, with 32 characters or more";
    place.write("new.txt", &format!("{new}\n"));
    place.write("short.txt", "short");
    let with = |key| [("POSTRIDER_STORAGE__URL", url.as_str()), ("POSTRIDER_ENCRYPTION_KEY", key)];
    let secrets = |ran: Ran| {
        let mut document = ran.json();
        document.as_object_mut().unwrap().remove("exported_at");
        document
    };
    place.run_with("import import.json", &with(KEY)).ok();
    let before = secrets(place.run_with("export --with-secrets", &with(KEY)));
    let rotate =
        |file: &str, key| place.run_with(&format!("key-file rotate --new-key-file {file}"), &with(key));
    assert!(rotate("short.txt", KEY).failed(2).contains("at least 32 characters"));
    assert!(rotate("new.txt", new).failed(2).contains("encryption_key"), "the old key is configured");
    assert!(place.run_with("key-file rotate", &with(KEY)).failed(2).contains("--new-key-file"));
    database.run(super::migrate_storage::LIVE_NODE);
    assert!(rotate("new.txt", KEY).failed(2).contains("uses the database"), "a server runs");
    database.run("DELETE FROM nodes");
    assert!(rotate("new.txt", KEY).ok().contains("the secrets of 1 webhook"));
    assert!(place.run_with("export --with-secrets", &with(KEY)).failed(2).contains("encryption_key"));
    assert_eq!(secrets(place.run_with("export --with-secrets", &with(new))), before);
}

#[test]
fn doctor_looks_at_the_database() {
    if !is_wanted() {
        return;
    }
    let database = Database::new();
    let url = database.server().url;
    let found = run(&url, "doctor --json").json();
    let checks = found["checks"].as_array().unwrap();
    let names = [
        "database",
        "commit",
        "durability",
        "database clock",
        "privileges",
        "connections",
        "notifications",
        "notification queue",
    ];
    for name in names {
        let check = checks.iter().find(|check| check["check"] == name);
        assert_eq!(check.unwrap_or_else(|| panic!("{name}: {found}"))["verdict"], "ok", "{found}");
    }
    database.run(&format!("ALTER DATABASE {} SET synchronous_commit = off", database.name()));
    let ran = run(&url, "doctor");
    assert_eq!(ran.code, 1, "{}", ran.stdout);
    assert!(ran.stdout.contains("ALTER SYSTEM SET synchronous_commit = on"), "{}", ran.stdout);
    let gone = run(&url.replace("host=/", "host=/nowhere/"), "doctor");
    assert!(gone.code == 1 && gone.stdout.contains("check storage.url"), "{}", gone.stdout);
}
