//! Walking over the log for exports.

use postrider::domain::{AttemptId, AttemptStatus};
use postrider::store::*;

use super::{World, answered, first_page, fresh, now};

async fn walk(world: &World, filter: &AttemptFilter, sort: Sort, limit: u32) -> Vec<AttemptId> {
    let (mut ids, mut next) = (vec![], Some(ExportPosition::default()));
    while let Some(from) = next {
        let page = world.store.export_page(world.app, filter.clone(), sort, from, limit).await.unwrap();
        assert!(page.rows.len() <= limit as usize);
        ids.extend(page.rows.into_iter().map(|row| row.id));
        next = page.next;
    }
    ids
}

async fn filled() -> World {
    let world = fresh().await;
    world.add_endpoint(&["*"]).await;
    for n in 0..23 {
        let id = world.post_one("a.b").await;
        if n % 3 != 0 {
            world.finish(id, answered([200, 500][n % 2], now().plus_ms(n as i64 % 5))).await;
        }
    }
    world
}

fn sorts() -> Vec<Sort> {
    let fields = [
        SortField::Id,
        SortField::CreatedAt,
        SortField::AttemptedAt,
        SortField::Status,
        SortField::ResponseStatus,
        SortField::ResponseTime,
    ];
    let both = |field| [true, false].map(|descending| Sort { field, descending });
    fields.into_iter().flat_map(both).collect()
}

#[tokio::test]
async fn an_export_has_the_rows_of_the_list_in_every_order() {
    let world = filled().await;
    let filters = [
        AttemptFilter::default(),
        AttemptFilter {
            status: vec![AttemptStatus::Pending, AttemptStatus::Failed],
            ..AttemptFilter::default()
        },
        AttemptFilter { q: Some("nothing".to_owned()), ..AttemptFilter::default() },
    ];
    for filter in filters {
        for sort in sorts() {
            let list = world.list(filter.clone(), sort, first_page(200)).await.rows;
            let list: Vec<AttemptId> = list.into_iter().map(|row| row.id).collect();
            for limit in [1, 7, 500] {
                assert_eq!(walk(&world, &filter, sort, limit).await, list, "{sort:?} {limit}");
            }
            let count = world.store.export_count(world.app, filter.clone(), 1_000).await.unwrap();
            assert_eq!(count, list.len() as u64);
        }
    }
    assert_eq!(world.store.export_count(world.app, AttemptFilter::default(), 5).await.unwrap(), 5);
}

#[tokio::test]
async fn an_export_goes_on_behind_any_row_in_every_order() {
    let world = filled().await;
    for sort in sorts() {
        let all = world.list(AttemptFilter::default(), sort, first_page(200)).await.rows;
        for n in 1..all.len() {
            let page = world.list(AttemptFilter::default(), sort, first_page(n as u32)).await;
            let from = ExportPosition { after: page.next, ..ExportPosition::default() };
            let rest = world.store.export_page(world.app, AttemptFilter::default(), sort, from, 200).await;
            assert_eq!(rest.unwrap().rows, all[n..], "{sort:?} {n}");
        }
    }
}

#[tokio::test]
async fn in_the_default_order_nothing_is_repeated_or_left_out_while_rows_are_added() {
    let world = filled().await;
    let before = walk(&world, &AttemptFilter::default(), Sort::default(), 500).await;
    let (mut ids, mut next) = (vec![], Some(ExportPosition::default()));
    while let Some(from) = next {
        let filter = AttemptFilter::default();
        let page = world.store.export_page(world.app, filter, Sort::default(), from, 4).await.unwrap();
        ids.extend(page.rows.into_iter().map(|row| row.id));
        next = page.next;
        world.post("a.b").await;
    }
    assert_eq!(ids, before);
}

#[tokio::test]
async fn a_row_that_has_ceased_to_match_is_left_out() {
    let world = filled().await;
    let filter = AttemptFilter { status: vec![AttemptStatus::Pending], ..AttemptFilter::default() };
    let sort = Sort { field: SortField::CreatedAt, descending: false };
    let ids = walk(&world, &filter, sort, 500).await;
    let first = world.store.export_page(world.app, filter.clone(), sort, ExportPosition::default(), 2).await;
    let first = first.unwrap();
    assert_eq!(first.rows.len(), 2);
    world.finish(ids[2], answered(200, now())).await;
    let rest = world.store.export_page(world.app, filter, sort, first.next.unwrap(), 500).await.unwrap();
    let rest: Vec<AttemptId> = rest.rows.into_iter().map(|row| row.id).collect();
    assert_eq!(rest, ids[3..]);
}

#[tokio::test]
async fn an_app_exports_only_its_own_rows() {
    let world = filled().await;
    let other = world.add_app("other").await;
    let (filter, from) = (AttemptFilter::default(), ExportPosition::default());
    let page = world.store.export_page(other, filter.clone(), Sort::default(), from, 10).await.unwrap();
    assert_eq!(page, ExportPage { rows: vec![], next: None });
    assert_eq!(world.store.export_count(other, filter, 10).await.unwrap(), 0);
}
