//! Alerts: their targets, what was told, endpoints in trouble.

use super::*;
use postrider::domain::alert::{AlertTarget, AlertTry, Form, Told};

pub(super) fn a_target(name: &str) -> AlertTarget {
    AlertTarget {
        id: AlertTargetId::new(now()),
        name: name.to_owned(),
        form: Form::Gotify,
        url: Sealed(vec![1, 2]),
        host: "gotify.example".to_owned(),
        smtp: None,
        silent_after: Span::parse("1d").unwrap(),
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
async fn endpoints_are_watched_when_something_was_sent_to_them_or_they_are_disabled() {
    let world = fresh().await;
    let (one, by_hand) = (world.add_endpoint(&["a"]).await, world.add_endpoint(&["b"]).await);
    assert_eq!(world.store.watched_endpoints().await.unwrap(), []);
    world.set_status(by_hand.id, EndpointStatus::Disabled).await;
    let second = world.fail(world.post_one("a").await).await;
    let found = world.store.watched_endpoints().await.unwrap();
    let seen: Vec<_> = found.iter().map(|e| (e.id, e.status, e.consecutive_failures, e.is_failing)).collect();
    assert_eq!(
        seen,
        [(one.id, EndpointStatus::Active, 1, false), (by_hand.id, EndpointStatus::Disabled, 0, false)]
    );
    assert_eq!((found[0].app_id, found[0].app_name.as_str()), (world.app, "default"));
    assert_eq!((found[0].record.failures, found[1].disabled_at), (1, None));

    world.exhaust(second).await;
    let found = world.store.watched_endpoints().await.unwrap();
    assert!(found[0].is_failing, "half of five failures");
    let last = world.fail(world.post_one("a").await).await;
    world.finish(last, answered(500, now())).await;
    let found = world.store.watched_endpoints().await.unwrap();
    assert_eq!((found[0].id, found[0].status), (one.id, EndpointStatus::Disabled));
    assert!(found[0].disabled_at.is_some());
    assert_eq!(found[0].status_reason.as_deref(), Some("Disabled after 5 failed attempts in a row."));
}

#[tokio::test]
async fn exhausted_deliveries_are_counted_when_they_end() {
    let world = fresh().await;
    let id = world.add_endpoint(&["*"]).await.id;
    let attempt = world.post_one("a").await;
    world.exhaust(attempt).await;
    let counts = async |since: i64, until: i64| {
        let (since, until) = (now().plus_ms(since * 60_000), now().plus_ms(until * 60_000));
        world.store.exhausted_counts(vec![id], since, until).await.unwrap()
    };
    assert_eq!(counts(0, 1).await, [(id, 1)]);
    assert_eq!(counts(-5, 0).await, [], "until is exclusive, to the minute");
    assert_eq!(counts(1, 9).await, []);
}

#[tokio::test]
async fn local_failures_are_known_since_the_first() {
    let world = fresh().await;
    world.add_endpoint(&["*"]).await;
    assert_eq!(world.store.local_failures(9).await.unwrap(), None);
    for ms in [500, 0] {
        let attempt = world.post_one("a").await;
        world.finish(attempt, unanswered(ErrorKind::Local, now().plus_ms(ms))).await;
    }
    let found = world.store.local_failures(9).await.unwrap().unwrap();
    assert_eq!((found.since, found.pending), (now().plus_ms(25), 2));
    assert_eq!(found.message, "It failed: local.");
    assert_eq!(world.store.local_failures(1).await.unwrap().unwrap().pending, 1);
}

#[tokio::test]
async fn what_a_contact_was_told_is_kept_until_it_is_forgotten() {
    let world = fresh().await;
    let mut endpoint = an_endpoint(world.app, settings(&["*"]));
    assert!(!world.store.has_contacts().await.unwrap());
    endpoint.settings.contact = Some("owner@example.com".to_owned());
    let id = world.add(endpoint).await.id;
    assert!(world.store.has_contacts().await.unwrap());
    assert_eq!(world.endpoint(id).await.settings.contact.as_deref(), Some("owner@example.com"));
    let told = Told {
        target: AlertTargetId::from_uuid(id.as_uuid()),
        kind: AlertKind::WebhookFailing,
        subject: id.to_string(),
        mark: Some("failing".to_owned()),
        at: now(),
    };
    let digest =
        Told { kind: AlertKind::DeliveriesExhausted, subject: String::new(), mark: None, ..told.clone() };
    for told in [told.clone(), digest.clone()] {
        world.store.alert_tried(told.target, tried(None), Some(told), None).await.unwrap();
    }
    let world = reopen(world).await;
    let mut all = world.store.alert_told().await.unwrap();
    all.sort_by_key(|told| told.kind);
    assert_eq!(all, [told.clone(), digest.clone()]);
    world.store.alert_forget(told.target, told.kind, told.subject).await.unwrap();
    assert_eq!(world.store.alert_told().await.unwrap(), [digest]);
    world.delete(id).await;
    assert!(!world.store.has_contacts().await.unwrap());
}
