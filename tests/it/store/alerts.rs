//! Alerts: their targets, what was told, endpoints in trouble.

use super::*;
use postrider::domain::alert::{AlertTarget, AlertTry, Form, Told};

fn a_target(name: &str) -> AlertTarget {
    AlertTarget {
        id: AlertTargetId::new(now()),
        name: name.to_owned(),
        form: Form::Gotify,
        url: Sealed(vec![1, 2]),
        host: "gotify.example".to_owned(),
        token: Some(Sealed(vec![3])),
        kinds: vec![AlertKind::WebhookDisabled, AlertKind::DiskLow],
        queue_age: Span::parse("15m").unwrap(),
        disk_free_mib: 1_024,
        is_enabled: true,
        created_at: now(),
        updated_at: now(),
        last_try: None,
    }
}

impl World {
    async fn add_target(&self, target: &AlertTarget) -> bool {
        let entry = activity(ActivityKind::AlertTargetCreated);
        self.store.alert_target_insert(target.clone(), 2, entry).await.unwrap()
    }

    async fn logged(&self, kind: ActivityKind) -> usize {
        let all = self.store.activity_recent(50).await.unwrap();
        all.iter().filter(|entry| entry.kind == kind).count()
    }
}

fn tried(error: Option<&str>) -> AlertTry {
    AlertTry { at: now(), kind: AlertKind::DiskLow, error: error.map(str::to_owned) }
}

#[tokio::test]
async fn targets_are_kept_as_they_are_and_no_more_than_there_may_be() {
    let world = fresh().await;
    let (first, second) = (a_target("one"), a_target("two"));
    assert!(world.add_target(&first).await && world.add_target(&second).await);
    assert!(!world.add_target(&a_target("three")).await);
    assert_eq!(world.logged(ActivityKind::AlertTargetCreated).await, 2);
    let world = reopen(world).await;
    assert_eq!(world.store.alert_target_list().await.unwrap(), [first.clone(), second]);

    let entry = || activity(ActivityKind::AlertTargetChanged);
    world.store.alert_tried(first.id, tried(Some("no")), None, None).await.unwrap();
    let changed = AlertTarget { name: "other".to_owned(), token: None, is_enabled: false, ..first.clone() };
    assert!(world.store.alert_target_update(changed.clone(), entry()).await.unwrap());
    let found = world.store.alert_target_get(first.id).await.unwrap().unwrap();
    assert_eq!(found, AlertTarget { last_try: Some(tried(Some("no"))), ..changed }, "the last try stays");
    assert!(!world.store.alert_target_update(a_target("none"), entry()).await.unwrap());
    assert_eq!(world.logged(ActivityKind::AlertTargetChanged).await, 1);
}

#[tokio::test]
async fn what_was_told_is_kept_by_kind_and_subject_until_it_is_forgotten() {
    let world = fresh().await;
    let target = a_target("one");
    world.add_target(&target).await;
    let told = |subject: &str, mark: Option<&str>| Told {
        target: target.id,
        kind: AlertKind::DiskLow,
        subject: subject.to_owned(),
        mark: mark.map(str::to_owned),
        at: now(),
    };
    for one in [told("/a", Some("x")), told("/b", None), told("/a", Some("y"))] {
        let entry = activity(ActivityKind::AlertSent);
        world.store.alert_tried(target.id, tried(None), Some(one), Some(entry)).await.unwrap();
    }
    let world = reopen(world).await;
    let mut all = world.store.alert_told().await.unwrap();
    all.sort_by(|a, b| a.subject.cmp(&b.subject));
    assert_eq!(all, [told("/a", Some("y")), told("/b", None)]);
    assert_eq!(world.logged(ActivityKind::AlertSent).await, 3);
    world.store.alert_forget(target.id, AlertKind::DiskLow, "/a".to_owned()).await.unwrap();
    assert_eq!(world.store.alert_told().await.unwrap(), [told("/b", None)]);

    let entry = || activity(ActivityKind::AlertTargetDeleted);
    assert!(world.store.alert_target_delete(target.id, entry()).await.unwrap());
    assert!(!world.store.alert_target_delete(target.id, entry()).await.unwrap());
    assert_eq!(world.store.alert_told().await.unwrap(), []);
    world.store.alert_tried(target.id, tried(None), Some(told("/a", None)), Some(entry())).await.unwrap();
    assert_eq!(world.store.alert_told().await.unwrap(), [], "nothing is noted of a target that is gone");
    assert_eq!(world.logged(ActivityKind::AlertTargetDeleted).await, 1);
}

#[tokio::test]
async fn endpoints_are_in_trouble_when_they_fail_or_were_switched_off_for_it() {
    let world = fresh().await;
    assert_eq!(world.store.endpoint_troubles(Some(1)).await.unwrap(), []);
    let failing = world.add_endpoint(&["a"]).await;
    let by_hand = world.add_endpoint(&["b"]).await;
    world.set_status(by_hand.id, EndpointStatus::Disabled).await;
    let second = world.fail(world.post_one("a").await).await;
    let found = world.store.endpoint_troubles(Some(1)).await.unwrap();
    let seen: Vec<_> = found.iter().map(|t| (t.id, t.status, t.consecutive_failures)).collect();
    assert_eq!(seen, [(failing.id, EndpointStatus::Active, 1)]);
    assert_eq!((found[0].app_id, found[0].app_name.as_str()), (world.app, "default"));
    assert_eq!(world.store.endpoint_troubles(Some(2)).await.unwrap(), []);
    assert_eq!(world.store.endpoint_troubles(None).await.unwrap(), []);

    world.exhaust(second).await;
    let last = world.fail(world.post_one("a").await).await;
    world.finish(last, answered(500, now())).await;
    let found = world.store.endpoint_troubles(None).await.unwrap();
    assert_eq!((found[0].id, found[0].status), (failing.id, EndpointStatus::Disabled));
    assert!(found[0].disabled_at.is_some());
    assert_eq!(found[0].status_reason.as_deref(), Some("Disabled after 5 failed attempts in a row."));
    world.set_status(failing.id, EndpointStatus::Active).await;
    assert_eq!(world.store.endpoint_troubles(None).await.unwrap(), []);
}
