//! Commands on a database server (`storage.url`). Only with `POSTRIDER_TEST_STORAGE=postgres`.

use super::{Place, Ran};
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
