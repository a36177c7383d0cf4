//! Imports: all of it or nothing.

use super::*;
use postrider::domain::access::key::SecretHash;

fn an_app(name: &str) -> App {
    App { id: AppId::new(now()), name: name.to_owned(), created_at: now() }
}

fn import(apps: Vec<App>, endpoints: Vec<Endpoint>, keys: Vec<Key>) -> Import {
    Import {
        new_apps: apps,
        new_endpoints: endpoints,
        changed_endpoints: vec![],
        new_keys: keys,
        new_sources: vec![],
        changed_sources: vec![],
        activity: activity(ActivityKind::Imported),
    }
}

fn a_key(app: AppId) -> Key {
    Key {
        id: "0123456789abcdef".to_owned(),
        app_id: app,
        name: "moved".to_owned(),
        scopes: [Scope::EventsWrite].into_iter().collect(),
        secret_hash: SecretHash::of("s"),
        created_at: now(),
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
    }
}

#[tokio::test]
async fn an_import_is_there_as_a_whole_and_gets_events_at_once() {
    let world = fresh().await;
    world.post("a").await;
    let app = an_app("shop");
    let endpoint = an_endpoint(app.id, settings(&["a"]));
    let here = world.add_endpoint(&["b"]).await;
    let changed = Endpoint { settings: settings(&["a"]), ..here.clone() };
    let whole = Import {
        changed_endpoints: vec![changed.clone()],
        ..import(vec![app.clone()], vec![endpoint.clone()], vec![a_key(app.id)])
    };
    world.store.import(whole).await.unwrap();
    assert_eq!(world.post("a").await.len(), 1, "the changed one wants it now");
    let taken = world.store.event_insert(app.id, vec![an_event("a", "{}")], now()).await.unwrap();
    assert!(matches!(taken, Taken::All(all) if all[0].queued.len() == 1), "the new one as well");
    let world = reopen(world).await;
    assert_eq!(world.store.app_get(app.id).await.unwrap(), Some(app.clone()));
    assert_eq!(world.store.endpoint_get(app.id, endpoint.id).await.unwrap(), Some(endpoint));
    assert_eq!(world.endpoint(here.id).await, changed);
    assert_eq!(world.store.key_get("0123456789abcdef").await.unwrap(), Some(a_key(app.id)));
    assert_eq!(world.store.activity_recent(1).await.unwrap()[0].kind, ActivityKind::Imported);
}

#[tokio::test]
async fn of_an_import_that_fails_nothing_is_there() {
    let world = fresh().await;
    let (good, taken) = (an_app("shop"), an_app("default"));
    let endpoint = an_endpoint(good.id, settings(&["a"]));
    let before = world.store.activity_recent(50).await.unwrap().len();
    let whole = import(vec![good.clone(), taken], vec![endpoint.clone()], vec![a_key(good.id)]);
    world.store.import(whole).await.unwrap_err();
    // The same endpoint twice.
    let twice = import(vec![good.clone()], vec![endpoint.clone(), endpoint.clone()], vec![]);
    world.store.import(twice).await.unwrap_err();
    assert_eq!(world.store.app_find("shop").await.unwrap(), None);
    assert_eq!(world.store.endpoint_place(endpoint.id).await.unwrap(), None);
    assert_eq!(world.store.key_get("0123456789abcdef").await.unwrap(), None);
    assert_eq!(world.store.activity_recent(50).await.unwrap().len(), before);
}

#[tokio::test]
async fn the_place_of_an_endpoint_is_known_when_it_is_gone_too() {
    let world = fresh().await;
    let endpoint = world.add_endpoint(&["a"]).await;
    assert_eq!(world.store.endpoint_place(endpoint.id).await.unwrap(), Some((world.app, false)));
    world.delete(endpoint.id).await;
    assert_eq!(world.store.endpoint_place(endpoint.id).await.unwrap(), Some((world.app, true)));
}
