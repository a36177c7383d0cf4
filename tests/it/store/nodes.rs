//! Two nodes on one database: what one of them has answered holds for what the other one is asked later, and what both
//! write at the same moment adds up. Only with `POSTRIDER_TEST_STORAGE=postgres`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{join, join_all};
use postrider::cluster::{LocalSignals, Notices, Ownership, Signals as _};
use postrider::domain::access::key::SecretHash;
use postrider::domain::access::session::SETUP_MS;
use postrider::domain::attempts::bulk_job::Work;
use postrider::domain::inbound::source::{Mapping, Source, SourceSettings, TokenHash};
use postrider::domain::retention::PagePolicy;
use postrider::domain::values::change::Change;
use tokio_postgres::NoTls;

use super::*;
use crate::support::in_time;
use crate::support::postgres::is_wanted;

/// Two nodes on a new database.
async fn two() -> Option<(World, World)> {
    if !is_wanted() {
        return None;
    }
    let one = fresh().await;
    let other = World { store: one.factory.open_beside(), factory: one.factory.crashed(), app: one.app };
    Some((one, other))
}

impl World {
    /// The same node.
    fn again(&self) -> World {
        World { store: self.store.clone(), factory: self.factory.crashed(), app: self.app }
    }

    /// The endpoints that an event goes to.
    async fn receivers(&self, payload: &str) -> Vec<EndpointId> {
        let accepted = self.take(vec![an_event("a", payload)], now()).await;
        let mut ids: Vec<_> = accepted[0].queued.iter().map(|queued| queued.endpoint_id).collect();
        ids.sort_unstable();
        ids
    }

    async fn change(&self, endpoint: EndpointId, patch: EndpointPatch) {
        let entry = activity(ActivityKind::EndpointChanged);
        assert!(self.store.endpoint_update(self.app, endpoint, patch, now(), entry).await.unwrap().is_some());
    }

    /// The URL that the first attempt of a new event is sent to.
    async fn sends_to(&self) -> String {
        let attempt = self.post_one("a").await;
        let loaded = self.store.queue_load(vec![attempt]).await.unwrap();
        self.finish(attempt, answered(200, now())).await;
        loaded[0].endpoint.settings.url.clone()
    }

    /// Everything that has ended since a position, read as a follower does.
    async fn follow(&self, behind: &mut ResultSeq) -> Vec<AttemptId> {
        let mut rows = Vec::new();
        loop {
            let page =
                self.store.results_after(self.app, AttemptFilter::default(), *behind, 7).await.unwrap();
            rows.extend(page.rows.iter().map(|row| row.id));
            *behind = page.result_seq;
            if !page.more {
                return rows;
            }
        }
    }
}

#[tokio::test]
async fn an_event_goes_where_endpoints_on_another_node_say() {
    let Some((one, other)) = two().await else { return };
    let first = one.add_endpoint(&["a"]).await.id;
    // So the other node remembers.
    assert_eq!(other.receivers("{}").await, [first]);
    let second = one.add_endpoint(&["a"]).await.id;
    assert_eq!(other.receivers("{}").await, [first, second], "a new endpoint");
    let filter = Some("payload.n > 1".to_owned());
    let patch = |filter| EndpointPatch { filter, ..EndpointPatch::default() };
    one.change(first, patch(Change::Set(filter.clone().unwrap()))).await;
    assert_eq!(other.receivers(r#"{"n":1}"#).await, [second], "a filter");
    assert_eq!(other.receivers(r#"{"n":2}"#).await, [first, second]);
    one.change(first, patch(Change::Set("payload.n > 2".to_owned()))).await;
    assert_eq!(other.receivers(r#"{"n":2}"#).await, [second], "another filter");
    one.change(first, patch(Change::Clear)).await;
    one.set_status(second, EndpointStatus::Paused).await;
    assert_eq!(other.receivers("{}").await, [first], "the hints leave out a paused one");
    one.delete(first).await;
    one.set_status(second, EndpointStatus::Disabled).await;
    assert_eq!(other.receivers("{}").await, []);
    let event = other.take(vec![an_event("a", "{}")], now()).await;
    assert_eq!(event[0].event.deliveries, 0, "one is deleted, one disabled");
}

#[tokio::test]
async fn what_waits_in_memory_is_not_sent_with_settings_that_another_node_has_changed() {
    let Some((one, other)) = two().await else { return };
    let endpoint = one.add_endpoint(&["a"]).await.id;
    let before = other.sends_to().await;
    assert_eq!(other.sends_to().await, before);
    // Attempts that are in the memory of the node, and are not sent yet.
    let waiting = other.take(vec![an_event("a", "{}"); 100], now()).await;
    let mut waiting = waiting.iter().map(|accepted| accepted.queued[0].attempt_id);
    let url = "https://example.com/moved";
    one.change(endpoint, EndpointPatch { url: Some(url.to_owned()), ..EndpointPatch::default() }).await;
    // No command makes this node look.
    let load = async |id| other.store.queue_load(vec![id]).await.unwrap();
    while load(waiting.next().expect("it looks within seconds")).await[0].endpoint.settings.url != url {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    one.set_status(endpoint, EndpointStatus::Paused).await;
    while !load(waiting.next().expect("it looks within seconds")).await.is_empty() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn sources_and_policies_are_as_another_node_has_left_them() {
    let Some((one, other)) = two().await else { return };
    let mut source = Source {
        id: SourceId::new(now()),
        app_id: one.app,
        settings: SourceSettings { name: "s".to_owned(), is_enabled: true, mapping: Mapping::default() },
        token_hash: TokenHash::of("old"),
        token: Sealed(b"old".to_vec()),
        old_token: None,
        guard: Sealed(b"guard".to_vec()),
        preset: None,
        created_at: now(),
        updated_at: now(),
    };
    let entry = || activity(ActivityKind::SourceChanged);
    one.store.source_insert(source.clone(), 200, entry()).await.unwrap();
    let of = |token: &str| other.store.source_of_token(TokenHash::of(token), now());
    assert!(of("old").await.unwrap().is_some());
    source.token_hash = TokenHash::of("new");
    source.updated_at = now().plus_ms(1);
    one.store.source_update(source.clone(), now(), entry()).await.unwrap();
    assert!(of("old").await.unwrap().is_none() && of("new").await.unwrap().is_some());
    let page = PagePolicy { logs: Some(Span::from_secs(86_400)), events: None };
    one.store.retention_set_page(page.clone(), activity(ActivityKind::RetentionChanged)).await.unwrap();
    assert_eq!(other.store.retention_page().await.unwrap(), page);
}

#[tokio::test]
async fn a_setup_link_of_each_node_works_until_there_is_a_user() {
    let Some((one, other)) = two().await else { return };
    let token = |text: &str| SecretHash::of(text);
    let until = now().plus_ms(SETUP_MS);
    assert!(one.store.setup_issue(token("one"), until).await.unwrap());
    assert!(other.store.setup_issue(token("other"), until).await.unwrap());
    assert!(other.store.setup_is_open(token("one"), now()).await.unwrap());
    assert!(one.store.setup_is_open(token("other"), now()).await.unwrap());
    let redeem = |world: &World, link: &str| {
        let user = sessions::a_user(&format!("{link}@example.com"), Role::Owner);
        let session = sessions::a_session(&user, link, now());
        let (store, hash) = (world.store.clone(), token(link));
        async move { store.setup_redeem(hash, "hash".to_owned(), session, vec![]).await.unwrap() }
    };
    let (first, second) = join(redeem(&one, "one"), redeem(&other, "other")).await;
    assert!(first ^ second, "both links at once make one user");
    assert_eq!(one.store.user_list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn one_idempotency_key_posted_at_two_nodes_at_once_is_one_event() {
    let Some((one, other)) = two().await else { return };
    one.add_endpoint(&["a"]).await;
    for round in 0..50 {
        let event = NewEvent { idempotency_key: Some(format!("key {round}")), ..an_event("a", "{}") };
        let post = |world: &World| {
            let (store, app, event) = (world.store.clone(), world.app, event.clone());
            async move { store.event_insert(app, vec![event], now()).await.unwrap() }
        };
        let (Taken::All(here), Taken::All(there)) = join(post(&one), post(&other)).await else {
            panic!("the same event is no conflict")
        };
        assert_eq!(here[0].event.id, there[0].event.id, "round {round}");
        assert_eq!(here[0].queued.len() + there[0].queued.len(), 1, "round {round}: it is delivered once");
    }
    assert_eq!(one.store.queue_depth(1_000).await.unwrap(), 50);
}

/// Ends what is due at these endpoints; how many attempts.
async fn end_due(world: &World, endpoints: &[EndpointId]) -> usize {
    let mut due = Vec::new();
    for endpoint in endpoints {
        due.extend(world.store.queue_due(*endpoint, now(), 100).await.unwrap().attempts);
    }
    let status = |n: usize| if n.is_multiple_of(5) { 500 } else { 200 };
    let finish = |(n, id): (usize, AttemptId)| world.finish(id, answered(status(n), now()));
    let finished = join_all(due.into_iter().enumerate().map(finish)).await;
    assert!(finished.iter().all(|finished| matches!(finished, Finished::Done { .. })));
    finished.len()
}

/// Posts to all endpoints, and ends the attempts at some of them; how many there were.
async fn work(
    world: World,
    endpoints: Vec<EndpointId>,
    rounds: std::ops::Range<usize>,
    upwards: bool,
) -> usize {
    let mut ended = 0;
    for round in rounds {
        let post = |n: usize| {
            let (store, app) = (world.store.clone(), world.app);
            // Both nodes post the same types, in another order each; some of them are new.
            let kind = if upwards { n } else { 15 - n } + round % 3 * 16;
            let idempotency_key = (kind % 4 == 0).then(|| format!("{round} {kind}"));
            let event = NewEvent { idempotency_key, ..an_event(&format!("a.t{kind}"), "{}") };
            async move { store.event_insert(app, vec![event], now()).await.unwrap() }
        };
        let (taken, more) = join(join_all((0..16).map(post)), end_due(&world, &endpoints)).await;
        assert!(taken.iter().all(|taken| matches!(taken, Taken::All(_))));
        ended += more;
    }
    ended
}

#[tokio::test]
async fn two_nodes_that_write_at_once_lose_nothing_and_never_wait_for_each_other_in_a_circle() {
    let Some((one, other)) = two().await else { return };
    let mut endpoints = Vec::new();
    for _ in 0..6 {
        let mut endpoint = an_endpoint(one.app, settings(&["a.*"]));
        endpoint.settings.retry_schedule = Some(schedule(&[60]));
        endpoints.push(one.add(endpoint).await.id);
    }
    let others = endpoints.split_off(3);
    let (client, connection) =
        tokio_postgres::connect(&one.factory.database().expect("it is one").server().url, NoTls)
            .await
            .unwrap();
    tokio::spawn(connection);
    let deadlocks = async || {
        let sql = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
        client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0)
    };
    let (mut ended, mut before) = (0, 0);
    // In the first rounds the types are new, and made in whatever order they come; that may take a second try.
    for rounds in [0..3, 3..40] {
        before = deadlocks().await;
        let here = tokio::spawn(work(one.again(), endpoints.clone(), rounds.clone(), true));
        let there = tokio::spawn(work(other.again(), others.clone(), rounds, false));
        let (here, there) = join(here, there).await;
        ended += here.unwrap() + there.unwrap();
    }
    assert_eq!(deadlocks().await, before);
    let watched = one;
    endpoints.extend(others);
    loop {
        match end_due(&watched, &endpoints).await {
            0 => break,
            more => ended += more,
        }
    }
    // 2 × 40 × 16 posts, of which a fourth has the key of another node's.
    assert_eq!(ended, (2 * 40 * 12 + 40 * 4) * 6);
    let mut behind = ResultSeq(0);
    let followed = watched.follow(&mut behind).await;
    assert_eq!((followed.len(), behind.0), (ended, ended as i64), "positions have no gaps");
    let pending = watched.store.queue_depth(100_000).await.unwrap();
    assert_eq!(pending as usize + ended, watched.log().await.len());
}

#[tokio::test]
async fn a_follower_of_one_node_sees_all_that_ends_on_any_whoever_holds_a_snapshot_open() {
    let Some((one, other)) = two().await else { return };
    one.add_endpoint(&["a"]).await;
    let url = one.factory.database().expect("it is one").server().url;
    let (mut foreign, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    let open = foreign.build_transaction().isolation_level(tokio_postgres::IsolationLevel::RepeatableRead);
    let open = open.start().await.unwrap();
    open.query("SELECT pg_current_xact_id(), count(*) FROM log", &[]).await.unwrap();
    let (mut behind, mut seen, mut posted) = (ResultSeq(0), Vec::new(), Vec::new());
    for _ in 0..20 {
        let end = |world: &World| {
            let (store, app) = (world.store.clone(), world.app);
            async move {
                let Taken::All(all) =
                    store.event_insert(app, vec![an_event("a", "{}")], now()).await.unwrap()
                else {
                    panic!("no key, no conflict")
                };
                let id = all[0].queued[0].attempt_id;
                let outcome = answered(200, now()).into();
                store.attempt_finish(id, outcome, rules(), SentAs::in_epoch(Epoch::FIRST)).await.unwrap();
                id
            }
        };
        let ends = join_all([end(&one), end(&other), end(&one), end(&other)]);
        let (ids, read) = join(ends, other.follow(&mut behind)).await;
        posted.extend(ids);
        seen.extend(read);
    }
    seen.extend(other.follow(&mut behind).await);
    assert_eq!(seen.len(), posted.len(), "each once");
    seen.sort_unstable();
    posted.sort_unstable();
    assert_eq!(seen, posted);
    // Whichever node somebody asks, going on behind a row leaves neither gap nor repetition.
    let mut again = one.store.result_seq_of(one.app, seen[seen.len() - 1]).await.unwrap().unwrap();
    let after = one.follow(&mut again).await;
    let mut on_other = other.store.result_seq_of(one.app, seen[seen.len() - 1]).await.unwrap().unwrap();
    assert_eq!(other.follow(&mut on_other).await, after);
    open.rollback().await.unwrap();
}

#[tokio::test]
async fn two_nodes_that_both_queue_a_job_queue_each_delivery_once() {
    let Some((one, other)) = two().await else { return };
    let events = 2_500;
    for _ in 0..events / 500 {
        one.take(vec![an_event("a", "{}"); 500], now()).await;
    }
    let endpoint = one.add_endpoint(&["a"]).await;
    let work = Work::Recover { endpoint: endpoint.id, since: now(), until: now().plus_ms(1) };
    let note: JobNote = Box::new(|_| activity(ActivityKind::DeliveryRetried));
    let made = one.store.job_insert(one.app, work, events, now(), note).await.unwrap();
    let JobCreation::Created { job, .. } = made else { panic!("{made:?}") };
    let step = async |world: &World| while world.store.job_step(now()).await.unwrap().more {};
    join(step(&one), step(&other)).await;
    let job = one.store.job_get(one.app, job.id.unwrap()).await.unwrap().unwrap();
    assert_eq!(job.queued, events);
    assert_eq!(one.store.queue_depth(100_000).await.unwrap(), events);
}

#[tokio::test]
async fn two_nodes_that_cancel_the_same_attempts_cancel_each_once() {
    let Some((one, other)) = two().await else { return };
    let endpoint = one.add_endpoint(&["a"]).await.id;
    for _ in 0..20 {
        one.take(vec![an_event("a", "{}"); 100], now()).await;
        one.set_status(endpoint, EndpointStatus::Disabled).await;
        let (here, there) = join(one.store.queue_cancel(1_000), other.store.queue_cancel(1_000)).await;
        assert_eq!(here.unwrap() + there.unwrap(), 100);
        one.set_status(endpoint, EndpointStatus::Active).await;
    }
}

#[tokio::test]
async fn the_steps_of_an_event_that_a_gone_node_has_accepted_are_taken_by_another() {
    let Some((one, other)) = two().await else { return };
    let accepted = one.take(vec![an_event("a", "{}")], now()).await;
    let endpoint = one.add_endpoint(&["b"]).await;
    // As a node leaves it that ends between the event and the first step.
    one.factory.database().expect("it is one").run(
        "INSERT INTO fan_outs (event, app, endpoints, node) \
         SELECT v.id, v.app, decode(lpad(to_hex(p.id), 2, '0'), 'hex'), 1 FROM events v, endpoints p",
    );
    let event = accepted[0].event.id;
    in_time("the attempt", async {
        while other.store.queue_depth(10).await.unwrap() == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let rows = one.log().await;
    assert_eq!((rows.len(), rows[0].event_id, rows[0].endpoint_id), (1, event, endpoint.id));
}

/// A node that hears and is heard.
struct Hearing {
    notices: Arc<Notices>,
    ownership: Arc<Ownership>,
    is_listening: Arc<AtomicBool>,
    access: tokio::sync::watch::Receiver<u64>,
}

impl Hearing {
    fn start(number: u64, world: &World) -> Hearing {
        let (local, _queue) = LocalSignals::new();
        let (access, board) =
            (local.access(), world.store.clone().notices().expect("nodes share the database"));
        let (ownership, is_listening) = (Ownership::of_nothing(), Arc::<AtomicBool>::default());
        let notices = Notices::start(number, board, local, ownership.clone(), is_listening.clone());
        Hearing { notices, ownership, is_listening, access }
    }

    /// Waits until it hears, after it has lost its connection so often.
    async fn hears(&self, lost: u64) {
        let meters = self.ownership.meters();
        in_time("hearing", async {
            while meters.listening_lost.get() < lost || !self.is_listening.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn what_a_node_tells_reaches_the_other_one_also_after_its_connection_was_cut() {
    let Some((one, other)) = two().await else { return };
    let (teller, mut hearer) = (Hearing::start(1, &one), Hearing::start(2, &other));
    teller.hears(0).await;
    hearer.hears(0).await;
    let server = one.factory.database().expect("it is one").server();
    let (client, connection) = tokio_postgres::connect(&server.url, NoTls).await.unwrap();
    tokio::spawn(connection);
    for round in 1..3 {
        let mut quickest = Duration::MAX;
        for _ in 0..20 {
            hearer.access.mark_unchanged();
            let begun = tokio::time::Instant::now();
            teller.notices.access_changed();
            in_time("the signal", hearer.access.changed()).await.unwrap();
            quickest = quickest.min(begun.elapsed());
        }
        assert!(quickest < Duration::from_millis(50), "{quickest:?}");
        let ended = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity \
             WHERE (query LIKE 'LISTEN%' OR query LIKE '%pg_notify%') AND pid <> pg_backend_pid()";
        let cut = client.query(ended, &[]).await.unwrap();
        assert!(cut.len() >= 2, "both listened");
        hearer.hears(round).await;
        teller.hears(round).await;
    }
}
