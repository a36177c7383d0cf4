//! The filters of each app's endpoints, as they were in a generation of [`crate::store::shared::fresh`].

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use crate::domain::delivery_filter::DeliveryFilter;
use crate::domain::pattern::PatternIndex;
use crate::domain::{AppId, EventPattern, EventType};
use crate::store::shared::fresh::Generation;
use crate::store::shared::row_numbers::EndpointRow;

/// Apps whose snapshots are kept.
const APPS: usize = 10_000;
/// Turns of asking filters at the same time.
const TURNS: usize = 2;

/// An endpoint with a filter.
#[derive(Debug)]
pub(crate) struct Filtered {
    pub(crate) row: EndpointRow,
    pub(crate) name: String,
    pub(crate) events: Vec<EventPattern>,
    pub(crate) filter: DeliveryFilter,
}

/// The filters of an app.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    /// Ascending by row.
    all: Vec<Filtered>,
    index: PatternIndex,
}

impl Filters {
    /// These, which are ascending by row.
    pub(crate) fn of(all: Vec<Filtered>) -> Arc<Filters> {
        let index = PatternIndex::new(all.iter().map(|filtered| filtered.events.as_slice()));
        Arc::new(Filters { all, index })
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Those whose patterns match a type, with their places.
    pub(crate) fn on<'a>(&'a self, event_type: &EventType) -> impl Iterator<Item = (usize, &'a Filtered)> {
        self.index.wanting(event_type).into_iter().map(|at| (at, &self.all[at]))
    }

    /// The place of an endpoint's, if its text is this one.
    pub(crate) fn place(&self, endpoint: EndpointRow, text: &str) -> Option<usize> {
        let at = self.all.binary_search_by_key(&endpoint, |filtered| filtered.row).ok()?;
        self.all.get(at).filter(|filtered| filtered.filter.text() == text).map(|_| at)
    }
}

/// The snapshots.
#[derive(Debug, Default)]
pub(crate) struct Snapshots(RwLock<HashMap<AppId, Snapshot>>);

/// The filters of an app in a generation.
type Snapshot = (Generation, Arc<Filters>);

impl Snapshots {
    /// The filters of an app as they were in this generation.
    pub(crate) fn get(&self, app: AppId, generation: Generation) -> Option<Arc<Filters>> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.get(&app).filter(|(of, _)| *of == generation).map(|(_, filters)| filters.clone())
    }

    /// Keeps what was read in this generation.
    pub(crate) fn keep(&self, app: AppId, generation: Generation, filters: Arc<Filters>) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= APPS {
            known.clear();
        }
        known.insert(app, (generation, filters));
    }
}

/// Turns of asking many filters: those of all requests, first come, first served.
#[derive(Debug)]
pub(crate) struct Turns(Arc<Semaphore>);

impl Default for Turns {
    fn default() -> Turns {
        Turns(Arc::new(Semaphore::new(TURNS)))
    }
}

impl Turns {
    /// Waits for a turn, which ends when what is returned is dropped.
    pub(crate) async fn next(&self) -> Result<OwnedSemaphorePermit, AcquireError> {
        self.0.clone().acquire_owned().await
    }
}
