//! `user create`, `user list`, `user reset-password`.

use super::Place;

#[test]
fn a_user_is_created_with_the_password_of_a_file() {
    let place = Place::new();
    place.write("password", "correct horse\n");
    let command = "user create --email Ada@Example.com --role owner --password-file password --json";
    let user = place.run(command).json();
    assert_eq!((user["email"].as_str(), user["role"].as_str()), (Some("ada@example.com"), Some("owner")));
    assert!(user.get("password").is_none());
    let taken = place.run(command).failed(1);
    assert!(taken.contains("user reset-password"), "{taken}");
    let list = place.run("user list --json").json();
    assert_eq!(list.as_array().unwrap().len(), 1);
}

#[test]
fn without_a_file_a_password_is_generated_and_shown_once() {
    let place = Place::new();
    let user = place.run("user create --email ada@example.com --role viewer --json").json();
    let first = user["password"].as_str().unwrap().to_owned();
    let reset = place.run("user reset-password --email ada@example.com").ok();
    assert!(reset.contains("password (shown only once): ") && !reset.contains(&first), "{reset}");
    assert!(!place.run("user list").ok().contains(&first));
}

#[test]
fn invalid_users_are_refused() {
    let place = Place::new();
    place.write("short", "short\n");
    let refused = |command: &str, code| place.run(command).failed(code);
    assert!(refused("user create --email ada --role owner", 2).contains("is not an e-mail address"));
    assert!(refused("user create --email a@b.c --role root", 2).contains("viewer, admin, owner"));
    assert!(
        refused("user create --email a@b.c --role owner --password-file short", 2)
            .contains("10 characters or more")
    );
    assert!(
        refused("user create --email a@b.c --role owner --password-file nowhere", 2)
            .contains("cannot be read")
    );
    assert!(refused("user reset-password --email a@b.c", 1).contains("there is no user a@b.c"));
}
