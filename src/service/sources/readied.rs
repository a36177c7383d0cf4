//! A source, ready for requests: secrets opened, templates parsed. Kept until the source changes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use crate::domain::inbound::input;
use crate::domain::inbound::mapper::Mapper;
use crate::domain::inbound::source::{Guard, Source};
use crate::domain::values::invalid::Complaints;
use crate::domain::values::rate::Rate;
use crate::domain::{EventType, SourceId, Timestamp};
use crate::host::vault::Vault;
use crate::service::people::buckets::{self, Buckets};
use crate::service::{Result, ServiceError};
use crate::store::InboundEvent;

/// Large bodies of one source that are read at once.
const LARGE_BODIES: usize = 16;
/// The most sources that are kept.
const KEPT_MAX: usize = 2_000;

/// A source with everything opened and parsed.
pub struct ReadySource {
    pub source: Source,
    pub guard: Guard,
    pub mapper: Mapper,
    /// Lower-case names of headers whose values are not shown.
    pub hidden_headers: Vec<String>,
    /// Names of query parameters whose values are not shown.
    pub hidden_parameters: Vec<String>,
    /// For bodies that are large: few of one source are read at once.
    pub large_bodies: Arc<Semaphore>,
    rate: Option<Mutex<Buckets<()>>>,
}

impl ReadySource {
    /// Opens the secrets and parses the templates.
    pub fn of(vault: &Vault, source: Source) -> Result<ReadySource> {
        let guard = open_guard(vault, &source)?;
        let mapper = Mapper::of(&source.settings).map_err(|e| damaged(e.to_string()))?;
        Ok(ReadySource {
            hidden_headers: guard.hidden_headers(),
            hidden_parameters: guard.hidden_parameters(),
            large_bodies: Arc::new(Semaphore::new(LARGE_BODIES)),
            rate: buckets_of(source.settings.mapping.rate_limit),
            guard,
            mapper,
            source,
        })
    }

    /// An event that came by this source, without a dedupe key.
    pub(crate) fn event(
        &self,
        event_type: EventType,
        payload: Bytes,
        resource_id: Option<String>,
        hops: u32,
    ) -> InboundEvent {
        InboundEvent {
            app_id: self.source.app_id,
            source_name: self.source.settings.name.clone(),
            summary: self.source.settings.mapping.summary.clone(),
            event_type,
            payload,
            resource_id,
            dedupe: None,
            hops,
        }
    }

    /// Counts a request against the limit of the source; seconds until there is room again.
    pub fn count(&self, now: Timestamp) -> Option<u64> {
        let mut buckets = self.rate.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.take((), 1, now).wait_secs
    }
}

/// `None`: no limit.
fn buckets_of(rate: Rate) -> Option<Mutex<Buckets<()>>> {
    let of = |rate: Rate| buckets::Rate { limit: rate.requests(), period_ms: rate.period_ms() };
    (rate != Rate::UNLIMITED).then(|| Mutex::new(Buckets::new(of(rate), 1)))
}

fn damaged(what: String) -> ServiceError {
    ServiceError::Internal(format!("a stored source cannot be read: {what}").into())
}

/// The verifiers and the challenge of a source, with their secrets.
pub(crate) fn open_guard(vault: &Vault, source: &Source) -> Result<Guard> {
    let text = vault.open_source(source.id, "guard", &source.guard);
    let text = text.map_err(|e| ServiceError::Internal(Box::new(e)))?;
    let mut fields: Map<String, Value> = serde_json::from_str(&text).map_err(|e| damaged(e.to_string()))?;
    fields.insert("name".to_owned(), Value::from(source.settings.name.as_str()));
    let mut errors = Complaints::default();
    let (_, guard) = input::read(&fields, &Guard::default(), &mut errors);
    match errors.into_vec().first() {
        None => Ok(guard),
        Some(error) => Err(damaged(format!("{} {}", error.pointer, error.message))),
    }
}

/// Sources that were used lately.
#[derive(Default)]
pub(crate) struct ReadySources(Mutex<HashMap<SourceId, Arc<ReadySource>>>);

impl ReadySources {
    /// The source with everything opened and parsed; done again only when it was changed.
    pub(crate) fn ready(&self, vault: &Vault, source: Source) -> Result<Arc<ReadySource>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ready) = kept.get(&source.id).filter(|ready| ready.source == source) {
            return Ok(ready.clone());
        }
        let ready = Arc::new(ReadySource::of(vault, source)?);
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(ready.source.id, ready.clone());
        Ok(ready)
    }
}
