//! `key create`, `key list`, `key revoke`.

use super::Place;

#[test]
fn a_new_key_is_complete_in_json() {
    let place = Place::new();
    let key = place.run("key create --name ci --scope events:write,webhook:read --json").json();
    let fields: Vec<_> = key.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields, ["app_id", "client_key", "client_secret", "id", "scopes", "token"]);
    let text = |name: &str| key[name].as_str().unwrap().to_owned();
    assert_eq!(text("client_key"), format!("prk_{}", text("id")));
    assert_eq!(text("token"), format!("prk_{}_{}", text("id"), text("client_secret")));
    assert_eq!((text("id").len(), text("client_secret").len()), (16, 64));
    assert_eq!(key["scopes"], serde_json::json!(["webhooks:read", "events:write"]));
    let apps = place.run("app list --json").json();
    assert_eq!(key["app_id"], apps[0]["id"]);
}

#[test]
fn quiet_prints_the_token_alone() {
    let place = Place::new();
    for flag in ["--quiet", "-q"] {
        let printed = place.run(&format!("key create --name ci --scope admin {flag}")).ok();
        let token = printed.strip_suffix('\n').unwrap();
        let parts: Vec<_> = token.split('_').collect();
        assert!(parts.len() == 3 && parts[0] == "prk" && parts[2].len() == 64, "{printed}");
    }
    let refused = place.run("key create --name ci --scope admin --quiet --json").failed(2);
    assert!(refused.contains("cannot be used with"), "{refused}");
}

#[test]
fn a_new_key_is_shown_once_with_an_example_request() {
    let place = Place::new();
    let environment =
        [("POSTRIDER_AUTH__KEY_PREFIX", "mxcep"), ("POSTRIDER_PUBLIC_URL", "https://example.com/hooks")];
    let shown = place.run_with("key create --name ci --scope webhooks:read", &environment).ok();
    let token = shown.split_whitespace().find(|word| word.starts_with("mxcep_")).unwrap();
    assert!(
        shown.contains(&format!(
            "curl -H 'Authorization: Bearer {token}' https://example.com/hooks/v1/webhooks"
        ))
    );
    let list = place.run_with("key list", &environment).ok();
    let (id, secret) = token.rsplit_once('_').unwrap();
    assert!(list.contains(id) && !list.contains(secret));
}

#[test]
fn keys_are_listed_newest_first_and_revoked_by_either_id() {
    let place = Place::new();
    let one = place.run("key create --name one --scope events:read --expires 90d --json").json();
    let two = place.run("key create --name two --scope admin --json").json();
    let list = place.run("key list --json").json();
    let names: Vec<_> = list.as_array().unwrap().iter().map(|k| k["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["two", "one"]);
    assert!(list[0]["expires_at"].is_null() && list[1]["expires_at"].is_string());
    assert!(!list.to_string().contains(one["client_secret"].as_str().unwrap()));

    place.run(&format!("key revoke {}", one["id"].as_str().unwrap())).ok();
    place.run(&format!("key revoke {}", two["client_key"].as_str().unwrap())).ok();
    let list = place.run("key list --json").json();
    assert!(list.as_array().unwrap().iter().all(|k| k["revoked_at"].is_string()));
    let again = place.run(&format!("key revoke {}", two["id"].as_str().unwrap())).failed(1);
    assert!(again.contains("postrider key list"), "{again}");
}

#[test]
fn an_unknown_scope_is_refused_with_the_known_ones() {
    let refused = Place::new().run("key create --name ci --scope webhooks:raed").failed(2);
    assert!(refused.contains("\"webhooks:raed\" is not a scope"), "{refused}");
    assert!(refused.contains("webhooks:read, webhooks:write, webhooks:secrets"), "{refused}");
}

#[test]
fn a_database_that_another_program_holds_is_named() {
    let place = Place::new();
    place.run("app create --name shop").ok();
    let other = rusqlite::Connection::open(place.path().join("data/postrider.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let said = place.run("key create --name a --scope events:write").failed(1);
    assert!(said.contains("the database is locked by another process. Close what has it open"), "{said}");
    other.execute_batch("ROLLBACK").unwrap();
    place.run("key create --name a --scope events:write").ok();
}

#[test]
fn a_key_belongs_to_the_named_app() {
    let place = Place::new();
    let app = place.run("app create --name shop --json").json();
    let id = app["id"].as_str().unwrap();
    for named in ["shop", id] {
        let key = place.run(&format!("key create --name ci --scope admin --app {named} --json")).json();
        assert_eq!(key["app_id"], app["id"]);
    }
    let refused = place.run("key create --name ci --scope admin --app shpo").failed(1);
    assert!(refused.contains("there is no app \"shpo\""), "{refused}");
}

#[test]
fn commands_that_start_at_once_in_a_new_directory_all_succeed() {
    let place = Place::new();
    std::thread::scope(|scope| {
        let create = || place.run("key create --name ci --scope admin --json").json();
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(create)).collect();
        threads.into_iter().for_each(|thread| drop(thread.join().unwrap()));
    });
    assert_eq!(place.run("key list --json").json().as_array().unwrap().len(), 6);
    assert_eq!(place.run("app list --json").json().as_array().unwrap().len(), 1);
}
