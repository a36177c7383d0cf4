//! A bulk retry means the exhausted rows that the list shows for the same filter, whatever the filter.

use std::collections::BTreeSet;

use super::*;
use postrider::domain::attempts::bulk_job::Work;
use postrider::domain::attempts::hold::DisableRules;
use postrider::domain::filter::View;
use postrider::store::SentAs;

/// A small generator of numbers, the same in every run.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    pub(super) fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.roll(choices.len() as u64) as usize].clone()
    }

    fn maybe<T: Clone>(&mut self, choices: &[T]) -> Option<T> {
        (self.roll(3) == 0).then(|| self.pick(choices))
    }
}

const NAMES: [&str; 4] = ["a", "a.b", "a.b.c", "z"];

const RESOURCES: [&str; 3] = ["r-1", "r-2", "o"];

fn patient() -> FinishRules {
    FinishRules {
        rules: Rules {
            circuit_failures: 0,
            disable: DisableRules { failures: 0, after_ms: 0 },
            hold_at_most_ms: 0,
            jitter: 0.0,
            unit: 0.0,
        },
        default_schedule: Arc::new(schedule(&[60])),
    }
}

/// Ends an attempt, and its retries in the same way.
async fn end(world: &World, mut id: AttemptId, outcome: &Outcome) {
    loop {
        match world
            .store
            .attempt_finish(id, outcome.clone().into(), patient(), SentAs::in_epoch(Epoch::FIRST))
            .await
            .unwrap()
        {
            Finished::Done { status: AttemptStatus::Failed, queued, .. } => id = queued[0].attempt_id,
            _ => return,
        }
    }
}

/// Endpoints with deliveries of all kinds; of one endpoint that is disabled then, and of one that is deleted. Two
/// events come at a time, and `step_ms` lie between times.
pub(super) async fn world_with_rows(dice: &mut Dice, step_ms: i64) -> (World, Vec<EndpointId>) {
    let world = fresh().await;
    let ids = add_rows(&world, dice, step_ms).await;
    (world, ids)
}

/// The same in a store that is there.
pub(super) async fn add_rows(world: &World, dice: &mut Dice, step_ms: i64) -> Vec<EndpointId> {
    let mut ids = Vec::new();
    for url in
        ["https://one.example/", "https://two.example/q", "https://off.example/", "https://gone.example/"]
    {
        let mut settings = settings(&["*"]);
        settings.name = url[8..11].to_owned();
        settings.url = url.to_owned();
        ids.push(world.add(an_endpoint(world.app, settings)).await.id);
    }
    for n in 0..40 {
        let at = now().plus_ms(n / 2 * step_ms);
        let mut event = an_event(dice.pick(&NAMES), "{}");
        event.resource_id = dice.maybe(&RESOURCES).map(str::to_owned);
        let accepted = world.take(vec![event], at).await;
        for queued in &accepted[0].queued {
            let outcome = match dice.roll(8) {
                0 => continue,
                1 => answered(200, at),
                2 => unanswered(ErrorKind::Timeout, at),
                3 => unanswered(ErrorKind::Dns, at),
                4 => answered(404, at),
                5 => answered(503, at),
                _ => answered(500, at),
            };
            end(world, queued.attempt_id, &outcome).await;
        }
    }
    world.set_status(ids[2], EndpointStatus::Disabled).await;
    world.delete(ids[3]).await;
    ids
}

pub(super) fn filter(dice: &mut Dice, ids: &[EndpointId], rows: &[Attempt], step_ms: i64) -> AttemptFilter {
    let times: Vec<Timestamp> = (0..22).map(|n| now().plus_ms(n * step_ms)).collect();
    let types: Vec<TypeFilter> =
        ["a", "a.*", "a.b", "a.b.*", "z", "y"].iter().filter_map(|text| TypeFilter::parse(text)).collect();
    let statuses: Vec<StatusFilter> =
        ["500", "5xx", "404", "200"].iter().filter_map(|text| StatusFilter::parse(text)).collect();
    let wanted = dice.roll(3);
    // Ids narrow a filter down to nearly nothing, so few filters have one.
    let row = (dice.roll(4) == 0).then(|| dice.pick(rows));
    AttemptFilter {
        view: dice.pick(View::ALL),
        endpoint: dice.maybe(ids),
        status: (0..wanted).map(|_| dice.pick(AttemptStatus::ALL)).collect(),
        event_type: dice.maybe(&types),
        response_status: dice.maybe(&statuses),
        error_kind: dice.maybe(&[ErrorKind::Timeout, ErrorKind::HttpStatus, ErrorKind::Tls]),
        trigger: dice.maybe(&[Trigger::Event, Trigger::Retry, Trigger::Manual]),
        event: row.as_ref().and_then(|row| dice.maybe(&[row.event_id])),
        resource: row.as_ref().and_then(|_| dice.maybe(&RESOURCES).map(str::to_owned)),
        delivery: row.as_ref().and_then(|row| dice.maybe(&[row.delivery_id])),
        error: None,
        contains: None,
        since: dice.maybe(&times),
        until: dice.maybe(&times),
        q: dice.maybe(&["o", "TWO", "b.c", "%", "r-1"]).map(str::to_owned),
    }
}

/// The deliveries that a bulk retry with this filter should mean, by the list.
async fn listed(world: &World, filter: &AttemptFilter, open: &[EndpointId]) -> BTreeSet<AttemptId> {
    let page = world.list(filter.clone(), Sort::default(), first_page(10_000)).await;
    // Pending ones are meant only if they are named.
    let is_named = filter.status.contains(&AttemptStatus::Pending);
    let is_meant =
        |status| status == AttemptStatus::Exhausted || status == AttemptStatus::Pending && is_named;
    let meant = |row: &&Attempt| is_meant(row.status) && open.contains(&row.endpoint_id);
    page.rows.iter().filter(meant).map(|row| row.delivery_id).collect()
}

#[tokio::test]
async fn a_bulk_retry_means_the_exhausted_rows_of_the_list() {
    let mut dice = Dice(7);
    let (world, ids) = world_with_rows(&mut dice, 1).await;
    let open = &ids[..2];
    let rows = world.list(AttemptFilter::default(), Sort::default(), first_page(10_000)).await.rows;
    let mut seen = BTreeSet::new();
    for _ in 0..300 {
        let filter = filter(&mut dice, &ids, &rows, 1);
        let meant = listed(&world, &filter, open).await;
        let count = world.store.job_count(world.app, Work::Retry(filter.clone())).await.unwrap().unwrap();
        assert_eq!(count, meant.len() as u64, "{filter:?}");
        seen.insert(count);
    }
    assert!(seen.len() > 5 && seen.contains(&0), "the filters do not tell rows apart: {seen:?}");

    for _ in 0..20 {
        let filter = filter(&mut dice, &ids, &rows, 1);
        let meant = listed(&world, &filter, open).await;
        let note = Box::new(|_: &BulkJob| activity(ActivityKind::DeliveryBulkRetried));
        let made =
            world.store.job_insert(world.app, Work::Retry(filter.clone()), 0, now(), note).await.unwrap();
        let JobCreation::Created { queued, .. } = made else { panic!("{made:?}") };
        let mut walked = BTreeSet::new();
        for one in &queued {
            walked.insert(world.attempt(one.attempt_id).await.delivery_id);
        }
        assert_eq!(walked, meant, "{filter:?}");
        for one in queued {
            end(&world, one.attempt_id, &answered(500, now())).await;
        }
    }
}
