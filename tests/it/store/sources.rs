//! Sources and the inbound log.

use bytes::Bytes;
use postrider::domain::inbound::source::{
    InboundOutcome, Mapping, OldToken, OutcomeCounts, Source, SourceSettings, SummaryText, TokenHash,
};
use postrider::domain::{Activity, ActivityKind, AppId, EventType, Sealed, SourceId, Timestamp};
use postrider::store::{
    BodyContent, InboundBody, InboundEntry, InboundEvent, InboundFilter, InboundTaken, PageRequest,
    SourceUse, SourceWrite, Start,
};

use super::{World, activity, fresh, now};

fn act() -> Activity {
    activity(ActivityKind::SourceChanged)
}

const DAY_MS: i64 = 86_400_000;

pub(super) fn source(w: &World, name: &str, token: &str) -> Source {
    let mapping = Mapping {
        accept: Some("payload.a".to_owned()),
        summary: Some(SummaryText { title: Some("t".to_owned()), ..SummaryText::default() }),
        ..Mapping::default()
    };
    Source {
        id: SourceId::new(now()),
        app_id: w.app,
        settings: SourceSettings { name: name.to_owned(), is_enabled: true, mapping },
        token_hash: TokenHash::of(token),
        token: Sealed(token.as_bytes().to_vec()),
        old_token: None,
        guard: Sealed(b"guard".to_vec()),
        preset: None,
        created_at: now(),
        updated_at: now(),
    }
}

async fn inserted(w: &World, name: &str, token: &str) -> Source {
    let source = source(w, name, token);
    let written = w.store.source_insert(source.clone(), 200, act()).await.unwrap();
    assert_eq!(written, SourceWrite::Written);
    source
}

pub(super) fn entry(outcome: InboundOutcome) -> InboundEntry {
    InboundEntry {
        outcome,
        reason: None,
        status: 200,
        client_ip: Some("192.0.2.1".to_owned()),
        method: "POST".to_owned(),
        path: None,
        size: 2,
        headers: [("content-type", "application/json")].into_iter().collect(),
        query: None,
        body: None,
    }
}

pub(super) fn event(payload: &'static str, dedupe: Option<u8>) -> InboundEvent {
    InboundEvent {
        app_id: AppId::new(now()),
        source_name: "a".to_owned(),
        summary: None,
        event_type: EventType::parse("a.b").unwrap(),
        payload: Bytes::from_static(payload.as_bytes()),
        resource_id: None,
        dedupe: dedupe.map(|n| [n; 32]),
        hops: 1,
    }
}

fn page() -> PageRequest<i64> {
    PageRequest { start: Start::Page(1), per_page: 200 }
}

#[tokio::test]
async fn a_source_is_found_by_its_token_while_it_is_enabled() {
    let w = fresh().await;
    let one = inserted(&w, "one", "token").await;
    let by = |token: &str, at: Timestamp| w.store.source_of_token(TokenHash::of(token), at);
    assert_eq!(by("token", now()).await.unwrap().as_ref(), Some(&one));
    assert_eq!(by("other", now()).await.unwrap(), None);

    let until = now().plus_ms(1_000);
    let rotated = Source {
        token_hash: TokenHash::of("new"),
        old_token: Some(OldToken { hash: one.token_hash, until }),
        updated_at: now().plus_ms(1),
        ..one.clone()
    };
    let written = w.store.source_update(rotated.clone(), now(), act()).await.unwrap();
    assert_eq!(written, SourceWrite::Written);
    for (token, at, is_found) in [
        ("new", now(), true),
        ("token", now(), true),
        ("token", until.plus_ms(-1), true),
        ("token", until, false),
    ] {
        assert_eq!(by(token, at).await.unwrap().is_some(), is_found, "{token} {at}");
    }
    let mut disabled = rotated.clone();
    disabled.settings.is_enabled = false;
    disabled.updated_at = now().plus_ms(2);
    w.store.source_update(disabled, rotated.updated_at, act()).await.unwrap();
    assert_eq!(by("new", now()).await.unwrap(), None);
}

#[tokio::test]
async fn names_are_unique_and_changes_do_not_overwrite_each_other() {
    let w = fresh().await;
    let one = inserted(&w, "one", "1").await;
    let same_name = source(&w, "one", "2");
    let insert = |source: Source, most| w.store.source_insert(source, most, act());
    assert_eq!(insert(same_name, 200).await.unwrap(), SourceWrite::NameTaken);
    assert_eq!(insert(source(&w, "two", "3"), 1).await.unwrap(), SourceWrite::TooMany);
    let changed = Source { updated_at: now().plus_ms(1), ..one.clone() };
    let stale = now().plus_ms(-1);
    assert_eq!(w.store.source_update(changed.clone(), stale, act()).await.unwrap(), SourceWrite::Changed);
    assert!(w.store.source_delete(w.app, one.id, now(), act()).await.unwrap());
    assert!(!w.store.source_delete(w.app, one.id, now(), act()).await.unwrap());
    assert_eq!(w.store.source_update(changed, now(), act()).await.unwrap(), SourceWrite::Changed);
    assert_eq!(w.store.source_get(w.app, one.id).await.unwrap(), None);
    assert_eq!(
        insert(source(&w, "one", "4"), 1).await.unwrap(),
        SourceWrite::Written,
        "the name is free again"
    );
}

#[tokio::test]
async fn a_request_becomes_one_event_and_its_repetition_a_duplicate_for_a_day() {
    let w = fresh().await;
    let endpoint = w.add_endpoint(&["*"]).await;
    let one = inserted(&w, "one", "1").await;
    let take = |event, at| w.store.inbound_take(one.id, entry(InboundOutcome::Accepted), event, at);
    let InboundTaken::Event { event: first, queued } = take(event("{}", Some(1)), now()).await.unwrap()
    else {
        panic!("it is new")
    };
    assert_eq!((queued.len(), queued[0].endpoint_id), (1, endpoint.id));
    let again = take(event("{\"other\":1}", Some(1)), now().plus_ms(DAY_MS - 1)).await.unwrap();
    assert_eq!(again, InboundTaken::Duplicate { event: Some(first.id) });
    let later = take(event("{}", Some(1)), now().plus_ms(DAY_MS)).await.unwrap();
    assert!(matches!(later, InboundTaken::Event { .. }));
    let other = take(event("{}", None), now()).await.unwrap();
    assert!(matches!(other, InboundTaken::Event { .. }));

    let loaded = w.store.queue_load(vec![queued[0].attempt_id]).await.unwrap().remove(0);
    let from = loaded.from.unwrap();
    assert_eq!((from.name.as_str(), from.hops, loaded.payload.as_ref()), ("one", 1, b"{}".as_slice()));
    assert_eq!(from.summary.as_ref().and_then(|summary| summary.title.as_deref()), Some("t"));

    let list = |filter| w.store.inbound_list(w.app, one.id, filter, page());
    let rows = list(InboundFilter::default()).await.unwrap().rows;
    let outcomes: Vec<_> = rows.iter().map(|row| row.outcome.as_str()).collect();
    assert_eq!(outcomes, ["accepted", "accepted", "duplicate", "accepted"]);
    assert_eq!(rows[2].event.as_ref().map(|(id, _)| *id), Some(first.id));
    let duplicates = InboundFilter { outcome: Some(InboundOutcome::Duplicate), ..InboundFilter::default() };
    assert_eq!(list(duplicates).await.unwrap().total.rows, 1);
    let since = InboundFilter { since: Some(now().plus_ms(DAY_MS)), ..InboundFilter::default() };
    assert_eq!(list(since).await.unwrap().rows.len(), 1);
    let until = InboundFilter { until: Some(now().plus_ms(1)), ..InboundFilter::default() };
    assert_eq!(list(until).await.unwrap().rows.len(), 2);

    let detail = w.store.inbound_get(w.app, one.id, rows[3].id).await.unwrap().unwrap();
    assert_eq!((detail.body, detail.payload.as_deref()), (None, Some(b"{}".as_slice())));
    let duplicate = w.store.inbound_get(w.app, one.id, rows[2].id).await.unwrap().unwrap();
    let body = duplicate.body.unwrap();
    assert_eq!((body.bytes.as_ref(), body.content), (b"{\"other\":1}".as_slice(), BodyContent::Payload));
    assert_eq!(w.store.inbound_get(w.app, SourceId::new(now()), rows[3].id).await.unwrap(), None);
}

#[tokio::test]
async fn of_refused_requests_the_newest_hundred_of_a_source_are_kept() {
    let w = fresh().await;
    let (one, other) = (inserted(&w, "one", "1").await, inserted(&w, "other", "2").await);
    let refused = |n: u64| InboundEntry {
        body: Some(InboundBody { bytes: Bytes::from_static(b"x"), content: BodyContent::Cut }),
        size: n,
        ..entry(if n.is_multiple_of(2) { InboundOutcome::Rejected } else { InboundOutcome::Invalid })
    };
    w.store.inbound_note(other.id, refused(0), now()).await.unwrap();
    w.store.inbound_note(one.id, entry(InboundOutcome::Ignored), now()).await.unwrap();
    for n in 0..110 {
        w.store.inbound_note(one.id, refused(n), now()).await.unwrap();
    }
    let rows = w.store.inbound_list(w.app, one.id, InboundFilter::default(), page()).await.unwrap().rows;
    assert_eq!((rows.len(), rows[0].size, rows[99].size), (101, 109, 10));
    assert_eq!(rows[100].outcome, InboundOutcome::Ignored);
    let others = w.store.inbound_list(w.app, other.id, InboundFilter::default(), page()).await.unwrap();
    assert_eq!(others.rows.len(), 1);

    let uses = w.store.source_uses(w.app, now()).await.unwrap();
    let counts = OutcomeCounts { ignored: 1, rejected: 55, ..OutcomeCounts::default() };
    assert_eq!(uses[&one.id], SourceUse { last_request_at: Some(now()), counts });
    let a_day_later = w.store.source_uses(w.app, now().plus_ms(DAY_MS)).await.unwrap();
    assert_eq!(a_day_later[&one.id].counts, OutcomeCounts::default());
}

#[tokio::test]
async fn what_has_grown_old_goes_and_a_deleted_source_with_its_last_event() {
    let w = fresh().await;
    let one = inserted(&w, "one", "1").await;
    let taken = w.store.inbound_take(one.id, entry(InboundOutcome::Accepted), event("{}", Some(1)), now());
    assert!(matches!(taken.await.unwrap(), InboundTaken::Event { .. }));
    assert!(w.store.source_delete(w.app, one.id, now(), act()).await.unwrap());
    let take = w.store.inbound_take(one.id, entry(InboundOutcome::Accepted), event("{}", None), now());
    assert_eq!(take.await.unwrap(), InboundTaken::NoSource);
    let later = now().plus_ms(2 * DAY_MS);
    let sweep = async || {
        let mut removed = 0;
        removed += w.store.retention_inbound(later, 10).await.unwrap().removed;
        removed += w.store.retention_sources(later, 10).await.unwrap().removed;
        removed
            + w.store
                .retention_events(Some(w.app), 0, later, postrider::store::StepLimit::rows(10))
                .await
                .unwrap()
                .removed
    };
    assert_eq!(sweep().await, 3, "the request, its dedupe key and its event");
    assert_eq!(sweep().await, 0);
    assert!(w.store.source_uses(w.app, now()).await.unwrap().is_empty());
}
