//! Any filter in any order finds what a plain reading of the whole log finds, page by page.

use postrider::domain::filter::View;
use postrider::domain::values::fold::fold;

use super::bulk_and_list::{Dice, filter, world_with_rows};
use super::*;

/// Whether a filter means a row, as the contract puts it.
fn is_meant(filter: &AttemptFilter, row: &Attempt) -> bool {
    let of_deliveries = filter.view == View::Deliveries;
    let last = row.last.as_ref().filter(|_| of_deliveries);
    let response_status = last.map_or(row.response_status, |last| last.response_status);
    let error_kind = last.map_or(row.error_kind, |last| last.error_kind);
    let of_status = |wanted| match (wanted, response_status) {
        (StatusFilter::Exactly(wanted), Some(status)) => status == wanted,
        (StatusFilter::Class(wanted), Some(status)) => status / 100 == wanted,
        (_, None) => false,
    };
    let of_type = |wanted: &TypeFilter| match wanted {
        TypeFilter::Exactly(name) => *name == row.event_type,
        TypeFilter::Below(stem) => row.event_type.as_str().starts_with(&format!("{stem}.")),
    };
    let of_text = |text: &String| {
        let names = [&row.endpoint_name, &row.endpoint_url, &row.event_type.as_str().to_owned()];
        names.iter().any(|name| fold(name).contains(&fold(text)))
            || row.event_id.to_string() == *text
            || row.resource_id.as_ref() == Some(text)
    };
    (!of_deliveries || row.status != AttemptStatus::Failed)
        && filter.endpoint.is_none_or(|id| id == row.endpoint_id)
        && (filter.status.is_empty() || filter.status.contains(&row.status))
        && filter.event_type.as_ref().is_none_or(of_type)
        && filter.response_status.is_none_or(of_status)
        && filter.error_kind.is_none_or(|kind| error_kind == Some(kind))
        && filter.trigger.is_none_or(|trigger| trigger == row.trigger)
        && filter.event.is_none_or(|id| id == row.event_id)
        && filter.resource.as_ref().is_none_or(|text| row.resource_id.as_ref() == Some(text))
        && filter.delivery.is_none_or(|id| id == row.delivery_id)
        && filter.since.is_none_or(|since| row.created_at >= since)
        && filter.until.is_none_or(|until| row.created_at < until)
        && filter.q.as_ref().is_none_or(of_text)
}

fn expected(rows: &[Attempt], filter: &AttemptFilter, sort: Sort) -> Vec<AttemptId> {
    let mut meant: Vec<&Attempt> = rows.iter().filter(|row| is_meant(filter, row)).collect();
    meant.sort_by(|a, b| log::order(a, b, sort));
    meant.into_iter().map(|row| row.id).collect()
}

#[tokio::test]
async fn any_filter_in_any_order_finds_what_a_plain_reading_finds() {
    // Within a second, over some seconds, over some days.
    for step_ms in [1, 700, 5 * 3_600_000] {
        compare(step_ms, 80).await;
    }
}

async fn compare(step_ms: i64, filters: u32) {
    let mut dice = Dice(11);
    let (world, ids) = world_with_rows(&mut dice, step_ms).await;
    let rows = world.log().await;
    use SortField::{
        AttemptedAt, CreatedAt, Delivery, Id, LastActivity, ResponseStatus, ResponseTime, Status,
    };
    let fields = [Id, CreatedAt, AttemptedAt, LastActivity, Status, ResponseStatus, ResponseTime];
    let mut counts = Vec::new();
    for _ in 0..filters {
        let filter = filter(&mut dice, &ids, &rows, step_ms);
        let field = match filter.view {
            View::Deliveries if dice.roll(2) == 0 => Delivery,
            _ => dice.pick(&fields),
        };
        let sort = Sort { field, descending: dice.roll(3) > 0 };
        let expected = expected(&rows, &filter, sort);
        let per_page = dice.pick(&[3, 20, 200]);
        let mut found = Vec::new();
        let mut start = Start::Page(1);
        loop {
            let page = world.list(filter.clone(), sort, PageRequest { start, per_page }).await;
            assert_eq!(page.total.rows, expected.len() as u64, "{filter:?}");
            found.extend(page.rows.iter().map(|row| row.id));
            match page.next {
                Some(key) if found.len() <= expected.len() => start = Start::After(key),
                _ => break,
            }
        }
        assert_eq!(found, expected, "{filter:?} {sort:?} {per_page} a page");
        let number = 1 + dice.roll(3) as u32;
        let page = PageRequest { start: Start::Page(number), per_page };
        let page = world.list(filter.clone(), sort, page).await;
        let page: Vec<_> = page.rows.iter().map(|row| row.id).collect();
        let (first, most) = ((number - 1) as usize * per_page as usize, per_page as usize);
        let part: Vec<_> = expected.iter().skip(first).take(most).copied().collect();
        assert_eq!(page, part, "{filter:?} {sort:?} page {number} of {per_page}");
        counts.push(found.len());
    }
    assert!(counts.iter().filter(|count| **count > 3).count() > 16, "the filters find nothing: {counts:?}");
}
