//! How endpoints stand. Each is judged by [`Facts::health`] from its row, its record and, only where something was
//! exhausted or slow in the last 24 hours, from the counts of these hours. So thousands of endpoints are sorted by
//! what is computed, without an index that would have to follow the clock.

use std::cmp::Ordering;

use crate::domain::Timestamp;
use crate::domain::attempts::hold::{Hold, HoldState};
use crate::domain::filter::{EndpointKey, EndpointSort, EndpointSortField, SortValue};
use crate::domain::health::{self, Cause, Facts, HealthState, HealthSummary, Held, LastDay, Record};
use crate::domain::values::fold::fold;
use crate::store::shared::paging;
use crate::store::shared::row_numbers::EndpointRow;
use crate::store::{EndpointBrief, Page, PageRequest, Start};

/// What an endpoint is judged by, apart from the last day.
pub(crate) struct Standing {
    pub(crate) row: EndpointRow,
    pub(crate) brief: EndpointBrief,
    pub(crate) status_since: Timestamp,
    pub(crate) created_at: Timestamp,
    pub(crate) held: Option<Held>,
    pub(crate) record: Record,
    pub(crate) waiting: u64,
}

impl Standing {
    fn facts(&self, last_day: LastDay) -> Facts<'_> {
        Facts {
            status: self.brief.status,
            status_reason: self.brief.status_reason.as_deref(),
            status_since: self.status_since,
            created_at: self.created_at,
            held: self.held,
            record: &self.record,
            last_day,
            waiting: self.waiting,
        }
    }

    /// The last day, where the record tells it; else it is to be summed up.
    pub(crate) fn known_day(&self, now: Timestamp) -> Option<LastDay> {
        (!health::needs_last_day(&self.record, now)).then(|| health::last_day_of(&self.record, now))
    }

    /// The state, where the last day does not decide it.
    pub(crate) fn state_at_once(&self, now: Timestamp) -> Option<HealthState> {
        let state = self.facts(LastDay::default()).state(now);
        (!matches!(state, HealthState::Idle | HealthState::Healthy)).then_some(state)
    }

    pub(crate) fn state(&self, last_day: LastDay, now: Timestamp) -> HealthState {
        self.facts(last_day).state(now)
    }

    pub(crate) fn summary(&self, last_day: LastDay, now: Timestamp) -> HealthSummary {
        HealthSummary {
            endpoint_id: self.brief.id,
            health: self.facts(last_day).health(now),
            success_rate: last_day.success_rate(),
            last_failure_at: self.record.last_failure_at,
            waiting: self.waiting,
            is_failing: health::is_failing(&self.record, now),
        }
    }

    /// What it is sorted by.
    pub(crate) fn value<E>(
        &self,
        field: EndpointSortField,
        state: impl FnOnce() -> Result<HealthState, E>,
        last_day: impl FnOnce() -> Result<LastDay, E>,
    ) -> Result<SortValue, E> {
        let number = |n: Option<i64>| n.map_or(SortValue::Null, SortValue::Number);
        Ok(match field {
            EndpointSortField::Id => SortValue::Null,
            EndpointSortField::Name => SortValue::Text(fold(&self.brief.name)),
            EndpointSortField::LastFailureAt => number(self.record.last_failure_at.map(Timestamp::as_millis)),
            // In millionths of a percent: close enough to order by, and the same in every cursor.
            EndpointSortField::SuccessRate => {
                number(last_day()?.success_rate().map(|rate| (rate * 1e6) as i64))
            }
            EndpointSortField::Waiting => number(i64::try_from(self.waiting).ok()),
            EndpointSortField::Health => number(Some(state()? as i64)),
        })
    }
}

/// The hold of an endpoint, as it is now.
pub(crate) fn held(hold: Option<Hold>, failures: u32, cause: Option<Cause>, now: Timestamp) -> Option<Held> {
    let state = HoldState { hold, ..HoldState::default() };
    let hold = state.hold_at(now)?;
    Some(Held { hold, failures, cause })
}

/// The order of two endpoints: by value, ties by id in the same direction, nulls last in both.
fn order(one: &EndpointKey, other: &EndpointKey, descending: bool) -> Ordering {
    let directed = |order: Ordering| if descending { order.reverse() } else { order };
    let by_value = match (&one.value, &other.value) {
        (SortValue::Null, SortValue::Null) => Ordering::Equal,
        (SortValue::Null, _) => Ordering::Greater,
        (_, SortValue::Null) => Ordering::Less,
        (SortValue::Number(one), SortValue::Number(other)) => directed(one.cmp(other)),
        (SortValue::Text(one), SortValue::Text(other)) => directed(one.cmp(other)),
        // A list has values of one kind.
        (SortValue::Number(_), SortValue::Text(_)) => directed(Ordering::Less),
        (SortValue::Text(_), SortValue::Number(_)) => directed(Ordering::Greater),
    };
    by_value.then_with(|| directed(one.id.as_uuid().cmp(&other.id.as_uuid())))
}

/// A page of endpoints in an order.
pub(crate) fn page(
    mut all: Vec<(EndpointKey, EndpointRow)>,
    sort: EndpointSort,
    page: &PageRequest<EndpointKey>,
) -> Page<EndpointRow, EndpointKey> {
    all.sort_by(|(one, _), (other, _)| order(one, other, sort.descending));
    let total = paging::total(all.len() as u64);
    let first = match &page.start {
        Start::Page(number) => usize::try_from(paging::skipped(*number, page.per_page)).unwrap_or(usize::MAX),
        Start::After(key) => all.partition_point(|(one, _)| order(one, key, sort.descending).is_le()),
    };
    let wanted = all.into_iter().skip(first).take(page.per_page as usize + 1).collect();
    let page = paging::page_of(wanted, page.per_page, total, |(key, _): &(EndpointKey, _)| key.clone());
    let rows = page.rows.into_iter().map(|(_, row)| row).collect();
    Page { rows, total: page.total, next: page.next }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::EndpointId;

    #[test]
    fn nulls_are_last_and_ties_go_by_id_in_both_directions() {
        let id = |n: u128| EndpointId::from_uuid(uuid::Uuid::from_u128(n));
        let key = |n: u128, value: Option<i64>| EndpointKey {
            id: id(n),
            value: value.map_or(SortValue::Null, SortValue::Number),
        };
        let mut keys = [key(1, Some(5)), key(2, None), key(3, Some(5)), key(4, Some(9)), key(5, None)];
        let mut sorted = |descending| {
            keys.sort_by(|one, other| order(one, other, descending));
            keys.iter().map(|key| key.id.as_uuid().as_u128()).collect::<Vec<_>>()
        };
        assert_eq!(sorted(false), [1, 3, 4, 2, 5]);
        assert_eq!(sorted(true), [4, 3, 1, 5, 2]);
    }
}
