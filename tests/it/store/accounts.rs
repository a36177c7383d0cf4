//! Apps, keys, people and the activity log.

use super::*;
use postrider::domain::access::key::SecretHash;

pub(crate) fn a_key(app: AppId, id: &str) -> Key {
    Key {
        id: id.to_owned(),
        app_id: app,
        name: format!("Key {id}"),
        scopes: [Scope::EventsWrite, Scope::WebhooksRead].into_iter().collect(),
        secret_hash: SecretHash::of("secret"),
        created_at: now(),
        expires_at: Some(now().plus_ms(5)),
        revoked_at: None,
        last_used_at: None,
    }
}

pub(super) fn a_user(email: &str) -> User {
    User {
        id: UserId::new(now()),
        email: email.to_owned(),
        role: Role::Admin,
        created_at: now(),
        last_sign_in_at: None,
    }
}

#[tokio::test]
async fn the_default_app_exists_from_the_start() {
    let world = fresh().await;
    let apps = world.store.app_list().await.unwrap();
    assert_eq!((apps.len(), apps[0].name.as_str(), apps[0].created_at), (1, "default", now()));
    assert_eq!(world.store.app_get(world.app).await.unwrap().as_ref(), Some(&apps[0]));
}

#[tokio::test]
async fn an_app_is_found_by_id_and_by_name_and_its_name_is_its_own() {
    let world = fresh().await;
    let id = world.add_app("a-team").await;
    assert_eq!(world.store.app_get(id).await.unwrap().unwrap().name, "a-team");
    assert_eq!(world.store.app_find("a-team").await.unwrap().unwrap().id, id);
    assert_eq!(world.store.app_find("A-team").await.unwrap(), None);
    assert_eq!(world.store.app_get(AppId::new(now())).await.unwrap(), None);
    let before = world.store.activity_recent(9).await.unwrap().len();
    let again = App { id: AppId::new(now()), name: "a-team".to_owned(), created_at: now() };
    assert!(!world.store.app_insert(again, activity(ActivityKind::AppCreated)).await.unwrap());
    assert_eq!(world.store.activity_recent(9).await.unwrap().len(), before);
    let names: Vec<_> = world.store.app_list().await.unwrap().into_iter().map(|app| app.name).collect();
    assert_eq!(names, ["a-team", "default"]);
}

#[tokio::test]
async fn a_key_reads_back_as_it_was_kept() {
    let world = fresh().await;
    let key = a_key(world.app, "k1");
    world.store.key_insert(key.clone(), activity(ActivityKind::KeyCreated)).await.unwrap();
    assert_eq!(world.store.key_get("k1").await.unwrap(), Some(key));
    assert_eq!(world.store.key_get("K1").await.unwrap(), None);
}

#[tokio::test]
async fn keys_are_listed_newest_first_for_one_app_or_for_all() {
    let world = fresh().await;
    let other = world.add_app("other").await;
    for (app, id) in [(world.app, "z"), (other, "b"), (world.app, "a")] {
        world.store.key_insert(a_key(app, id), activity(ActivityKind::KeyCreated)).await.unwrap();
    }
    let ids = async |app| -> Vec<String> {
        world.store.key_list(app).await.unwrap().into_iter().map(|key| key.id).collect()
    };
    assert_eq!(ids(None).await, ["a", "b", "z"]);
    assert_eq!(ids(Some(world.app)).await, ["a", "z"]);
    assert_eq!(ids(Some(AppId::new(now()))).await, [""; 0]);
}

#[tokio::test]
async fn a_key_is_revoked_once_and_stays_readable() {
    let world = fresh().await;
    world.store.key_insert(a_key(world.app, "k"), activity(ActivityKind::KeyCreated)).await.unwrap();
    let revoke = |at| world.store.key_revoke("k", at, activity(ActivityKind::KeyRevoked));
    assert!(revoke(now()).await.unwrap());
    assert!(!revoke(now().plus_ms(1)).await.unwrap());
    assert_eq!(world.store.key_get("k").await.unwrap().unwrap().revoked_at, Some(now()));
    let unknown = world.store.key_revoke("none", now(), activity(ActivityKind::KeyRevoked)).await;
    assert!(!unknown.unwrap());
    assert_eq!(world.store.activity_recent(9).await.unwrap().len(), 2);
}

#[tokio::test]
async fn the_latest_use_of_a_key_is_kept() {
    let world = fresh().await;
    world.store.key_insert(a_key(world.app, "k"), activity(ActivityKind::KeyCreated)).await.unwrap();
    for at in [now(), now().plus_ms(7), now().plus_ms(3)] {
        world.store.key_touch("k", at).await.unwrap();
    }
    let key = world.store.key_get("k").await.unwrap().unwrap();
    assert_eq!(key.last_used_at, Some(now().plus_ms(7)));
}

#[tokio::test]
async fn a_user_is_found_with_the_hash_and_addresses_are_unique() {
    let world = fresh().await;
    let store = &world.store;
    let kind = || activity(ActivityKind::UserCreated);
    let ada = a_user("ada@example.com");
    assert!(store.user_insert(ada.clone(), "hash 1".to_owned(), kind()).await.unwrap());
    assert!(!store.user_insert(a_user("ada@example.com"), "x".to_owned(), kind()).await.unwrap());
    assert!(store.user_insert(a_user("aaron@example.com"), "y".to_owned(), kind()).await.unwrap());
    let found = store.user_find("ada@example.com").await.unwrap();
    assert_eq!(found, Some((ada, "hash 1".to_owned())));
    let emails: Vec<_> = store.user_list().await.unwrap().into_iter().map(|user| user.email).collect();
    assert_eq!(emails, ["aaron@example.com", "ada@example.com"]);
    let reset = |email| {
        let kind = activity(ActivityKind::UserPasswordReset);
        store.user_set_password(email, "hash 2".to_owned(), kind)
    };
    assert!(reset("ada@example.com").await.unwrap());
    assert!(!reset("nobody@example.com").await.unwrap());
    assert_eq!(store.user_find("ada@example.com").await.unwrap().unwrap().1, "hash 2");
}

#[tokio::test]
async fn activity_is_read_newest_first_as_it_was_written() {
    let world = fresh().await;
    let mut entry = activity(ActivityKind::ServerStarted);
    world.store.activity_append(entry.clone()).await.unwrap();
    entry.app_id = Some(world.app);
    entry.address = None;
    world.store.activity_append(entry.clone()).await.unwrap();
    let all = world.store.activity_recent(10).await.unwrap();
    assert_eq!(all, [entry.clone(), activity(ActivityKind::ServerStarted)]);
    assert_eq!(world.store.activity_recent(1).await.unwrap(), [entry]);
}

#[tokio::test]
async fn activity_is_listed_newest_first_by_page_and_cursor_and_filtered() {
    let world = fresh().await;
    for i in 0..7 {
        let kind = if i % 2 == 0 { ActivityKind::KeyCreated } else { ActivityKind::KeyRevoked };
        let entry = Activity { created_at: now().plus_ms(i), ..activity(kind) };
        world.store.activity_append(entry).await.unwrap();
    }
    let list = async |filter: ActivityFilter, page: PageRequest<i64>| {
        world.store.activity_list(filter, page).await.unwrap()
    };
    let times = |page: &Page<ActivityEntry, i64>| -> Vec<i64> {
        page.rows.iter().map(|e| e.activity.created_at.as_millis() - now().as_millis()).collect()
    };
    let all = ActivityFilter::default();
    let first = list(all, first_page(3)).await;
    assert_eq!((times(&first), first.total.rows), (vec![6, 5, 4], 7));
    let start = Start::After(first.next.unwrap());
    let second = list(all, PageRequest { start, per_page: 3 }).await;
    assert_eq!(times(&second), [3, 2, 1]);
    let third = list(all, PageRequest { start: Start::Page(3), per_page: 3 }).await;
    assert_eq!((times(&third), third.next), (vec![0], None));
    let filter = ActivityFilter {
        kind: Some(ActivityKind::KeyCreated),
        since: Some(now().plus_ms(2)),
        until: Some(now().plus_ms(6)),
    };
    let some = list(filter, first_page(9)).await;
    assert_eq!((times(&some), some.total.rows), (vec![4, 2], 2));
}

#[tokio::test]
async fn event_types_are_counted_by_app_and_listed_by_name() {
    let world = fresh().await;
    world.add_endpoint(&["*"]).await;
    for (i, name) in ["b.x", "a.y", "b.x", "c"].into_iter().enumerate() {
        world.take(vec![an_event(name, "1")], now().plus_ms(i as i64)).await;
    }
    let first = world.store.event_type_list(world.app, first_page(2)).await.unwrap();
    let row = |name: &str, count, at| EventTypeCount {
        event_type: event_type(name),
        count,
        last_seen_at: Some(now().plus_ms(at)),
    };
    assert_eq!(first.rows, [row("a.y", 1, 1), row("b.x", 2, 2)]);
    assert_eq!(first.total.rows, 3);
    let start = Start::After(first.next.unwrap());
    let rest = world.store.event_type_list(world.app, PageRequest { start, per_page: 2 }).await.unwrap();
    assert_eq!((rest.rows, rest.next), (vec![row("c", 1, 3)], None));
    let other = world.add_app("other").await;
    assert_eq!(world.store.event_type_list(other, first_page(9)).await.unwrap().rows, []);
}
