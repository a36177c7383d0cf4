//! Endpoints.

use super::*;
use postrider::domain::endpoint::{EndpointHeader, HeaderValue, RetiredSecret};
use postrider::domain::values::change::Change;
use postrider::store::Rotation;

fn full(app: AppId) -> Endpoint {
    let mut endpoint = an_endpoint(app, settings(&["license.*", "a.b", "*"]));
    endpoint.settings.description = Some("What it is for".to_owned());
    endpoint.settings.encrypted = true;
    endpoint.settings.retry_schedule = Some(schedule(&[]));
    endpoint.settings.timeout = Span::parse("1500ms");
    endpoint.settings.rate_limit = Rate::parse("7/m");
    endpoint.settings.headers = vec![
        EndpointHeader { name: "X-Plain".to_owned(), value: HeaderValue::Plain("a \"b\"".to_owned()) },
        EndpointHeader { name: "X-Secret".to_owned(), value: HeaderValue::Secret(Sealed(vec![0, 255])) },
    ];
    endpoint.retired_secrets =
        vec![RetiredSecret { secret: Sealed(vec![9; 40]), valid_until: now().plus_ms(1) }];
    endpoint.status = EndpointStatus::Paused;
    endpoint.status_reason = Some("Because.".to_owned());
    endpoint.consecutive_failures = 3;
    endpoint
}

#[tokio::test]
async fn an_endpoint_reads_back_as_it_was_kept() {
    let world = fresh().await;
    let endpoint = world.add(full(world.app)).await;
    assert_eq!(world.endpoint(endpoint.id).await, endpoint);
    let plain = world.add_endpoint(&["*"]).await;
    assert_eq!(world.endpoint(plain.id).await, plain);
}

#[tokio::test]
async fn an_app_sees_and_changes_only_its_own_endpoints() {
    let world = fresh().await;
    let other = world.add_app("other").await;
    let id = world.add_endpoint(&["*"]).await.id;
    let kind = || activity(ActivityKind::EndpointChanged);
    let store = &world.store;
    assert_eq!(store.endpoint_get(other, id).await.unwrap(), None);
    let patch = EndpointPatch { name: Some("Mine".to_owned()), ..EndpointPatch::default() };
    assert_eq!(store.endpoint_update(other, id, patch, now(), kind()).await.unwrap(), None);
    assert!(!store.endpoint_delete(other, id, now(), kind()).await.unwrap());
    let rotated = store.endpoint_rotate(other, id, Sealed(vec![7]), None, false, now(), kind()).await;
    assert_eq!(rotated.unwrap(), Rotation::NotFound);
    let page = store.endpoint_list(other, EndpointFilter::default(), first_page(9)).await.unwrap();
    assert_eq!((page.rows.len(), page.total.rows), (0, 0));
    assert_eq!(world.endpoint(id).await.settings.name, "Example");
}

#[tokio::test]
async fn a_patch_changes_what_it_names_and_nothing_else() {
    let world = fresh().await;
    let before = world.add(full(world.app)).await;
    let later = now().plus_ms(1_000);
    let patch = EndpointPatch {
        name: Some("New".to_owned()),
        description: Change::Clear,
        retry_schedule: Change::Clear,
        ..EndpointPatch::default()
    };
    let kind = activity(ActivityKind::EndpointChanged);
    let after = world.store.endpoint_update(world.app, before.id, patch, later, kind).await.unwrap().unwrap();
    let after = after.endpoint;
    let mut expected = before.clone();
    expected.settings.name = "New".to_owned();
    expected.settings.description = None;
    expected.settings.retry_schedule = None;
    expected.updated_at = later;
    assert_eq!(after, expected);
    assert_eq!(world.endpoint(before.id).await, expected);

    let wanted = settings(&["x"]);
    let whole = EndpointPatch {
        replace: true,
        url: Some(wanted.url),
        name: Some(wanted.name),
        events: Some(wanted.events),
        ..EndpointPatch::default()
    };
    let kind = activity(ActivityKind::EndpointChanged);
    let after = world.store.endpoint_update(world.app, before.id, whole, later, kind).await.unwrap().unwrap();
    let after = after.endpoint;
    assert_eq!((after.settings, after.status), (settings(&["x"]), EndpointStatus::Paused));
}

#[tokio::test]
async fn a_status_set_by_a_person_clears_the_reason_and_active_clears_the_counter() {
    let world = fresh().await;
    let id = world.add(full(world.app)).await.id;
    let disabled = world.set_status(id, EndpointStatus::Disabled).await;
    assert_eq!((disabled.status_reason, disabled.consecutive_failures), (None, 3));
    let active = world.set_status(id, EndpointStatus::Active).await;
    assert_eq!((active.status, active.consecutive_failures), (EndpointStatus::Active, 0));
}

#[tokio::test]
async fn a_deleted_endpoint_is_found_no_more_and_cannot_be_deleted_again() {
    let world = fresh().await;
    let id = world.add(full(world.app)).await.id;
    world.delete(id).await;
    let store = &world.store;
    assert_eq!(store.endpoint_get(world.app, id).await.unwrap(), None);
    let page = store.endpoint_list(world.app, EndpointFilter::default(), first_page(9)).await.unwrap();
    assert_eq!((page.rows.len(), page.total.rows), (0, 0));
    let kind = || activity(ActivityKind::EndpointDeleted);
    assert!(!store.endpoint_delete(world.app, id, now(), kind()).await.unwrap());
    let patch = EndpointPatch::default();
    assert_eq!(store.endpoint_update(world.app, id, patch, now(), kind()).await.unwrap(), None);
    let rotated = store.endpoint_rotate(world.app, id, Sealed(vec![]), None, false, now(), kind()).await;
    assert_eq!(rotated.unwrap(), Rotation::NotFound);
    assert!(world.post("a.b").await.is_empty());
}

#[tokio::test]
async fn a_rotated_secret_signs_on_until_its_time_is_over() {
    let world = fresh().await;
    let id = world.add_endpoint(&["*"]).await.id;
    let rotate = async |secret: u8, retire_at: Option<i64>, at: i64| {
        let retire_at = retire_at.map(|ms| now().plus_ms(ms));
        let kind = activity(ActivityKind::EndpointSecretRotated);
        let at = now().plus_ms(at);
        let secret = Sealed(vec![secret]);
        let done = world.store.endpoint_rotate(world.app, id, secret, retire_at, false, at, kind).await;
        let Rotation::Rotated(endpoint) = done.unwrap() else { panic!("it was rotated") };
        let endpoint = *endpoint;
        assert_eq!(world.endpoint(id).await, endpoint);
        let retired: Vec<_> = endpoint
            .retired_secrets
            .iter()
            .map(|r| (r.secret.0.clone(), r.valid_until.as_millis() - now().as_millis()))
            .collect();
        (endpoint.secret.0, retired)
    };
    assert_eq!(rotate(10, Some(100), 0).await, (vec![10], vec![(vec![1, 2, 3], 100)]));
    assert_eq!(rotate(20, Some(900), 50).await, (vec![20], vec![(vec![10], 900), (vec![1, 2, 3], 100)]));
    assert_eq!(rotate(30, Some(950), 100).await, (vec![30], vec![(vec![20], 950), (vec![10], 900)]));
    assert_eq!(rotate(40, None, 110).await, (vec![40], vec![]));
}

#[tokio::test]
async fn endpoints_are_listed_newest_first_in_pages_and_behind_a_key() {
    let world = fresh().await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.insert(0, world.add_endpoint(&["*"]).await.id);
    }
    let list = async |start| {
        let page = PageRequest { start, per_page: 2 };
        let page = world.store.endpoint_list(world.app, EndpointFilter::default(), page).await.unwrap();
        assert_eq!(page.total, Total { rows: 5, capped: false });
        (page.rows.iter().map(|e| e.id).collect::<Vec<_>>(), page.next)
    };
    assert_eq!(list(Start::Page(1)).await, (ids[0..2].to_vec(), Some(ids[1])));
    assert_eq!(list(Start::After(ids[1])).await, (ids[2..4].to_vec(), Some(ids[3])));
    assert_eq!(list(Start::After(ids[3])).await, (ids[4..].to_vec(), None));
    assert_eq!(list(Start::Page(3)).await, (ids[4..].to_vec(), None));
    assert_eq!(list(Start::Page(4)).await, (vec![], None));
}

#[tokio::test]
async fn endpoints_are_searched_literally_and_without_regard_to_case() {
    let world = fresh().await;
    let mut add = Vec::new();
    for (name, url) in [("Über 100%", "https://one.example"), ("plain", "https://two.example/A_b")] {
        let mut endpoint = an_endpoint(world.app, settings(&["*"]));
        endpoint.settings.name = name.to_owned();
        endpoint.settings.url = url.to_owned();
        add.push(world.add(endpoint).await.id);
    }
    let found = async |q: &str| {
        let filter = EndpointFilter { q: Some(q.to_owned()), ..EndpointFilter::default() };
        let page = world.store.endpoint_list(world.app, filter, first_page(9)).await.unwrap();
        page.rows.iter().map(|e| e.id).collect::<Vec<_>>()
    };
    assert_eq!(found("ÜBER").await, [add[0]]);
    assert_eq!(found("%").await, [add[0]]);
    assert_eq!(found("a_B").await, [add[1]]);
    assert_eq!(found("_").await, [add[1]]);
    assert_eq!(found("example").await, [add[1], add[0]]);
    world.set_status(add[0], EndpointStatus::Paused).await;
    let filter = EndpointFilter {
        status: Some(EndpointStatus::Paused),
        q: Some("one".to_owned()),
        ..EndpointFilter::default()
    };
    let page = world.store.endpoint_list(world.app, filter, first_page(9)).await.unwrap();
    assert_eq!((page.rows.len(), page.total.rows), (1, 1));
}

#[tokio::test]
async fn at_most_five_secrets_sign() {
    let world = fresh().await;
    let id = world.add_endpoint(&["*"]).await.id;
    let rotate = async |secret: u8, end_oldest: bool, at: i64| {
        let kind = activity(ActivityKind::EndpointSecretRotated);
        let (at, until) = (now().plus_ms(at), Some(now().plus_ms(i64::from(secret) * 1_000)));
        world
            .store
            .endpoint_rotate(world.app, id, Sealed(vec![secret]), until, end_oldest, at, kind)
            .await
            .unwrap()
    };
    let retired = async || -> Vec<u8> {
        world.endpoint(id).await.retired_secrets.iter().map(|retired| retired.secret.0[0]).collect()
    };
    for secret in 10..14 {
        assert!(matches!(rotate(secret, false, 0).await, Rotation::Rotated(_)), "{secret}");
    }
    let oldest_until = now().plus_ms(10_000);
    assert_eq!(rotate(14, false, 0).await, Rotation::TooMany { oldest_until });
    assert_eq!(retired().await, [12, 11, 10, 1], "nothing changed");
    assert!(matches!(rotate(14, true, 0).await, Rotation::Rotated(_)));
    assert_eq!(retired().await, [13, 12, 11, 10]);
    let after = 11_000;
    assert!(matches!(rotate(15, false, after).await, Rotation::Rotated(_)), "one has expired");
    assert_eq!(retired().await, [14, 13, 12, 11]);
}
