//! What the filters of an app say of the events of a request.
//!
//! The task of the request asks them before the writer does its work, from a snapshot that belongs to a generation of
//! endpoints ([`Fresh`](crate::store::shared::fresh::Fresh)). The writer asks again only where the snapshot does not
//! have the endpoint's filter of now ([`Asked`](crate::store::shared::asked::Asked)).
//!
//! A batch of 1,000 events in an app with 5,000 filters is five million questions, so a verdict is one byte, and of the
//! errors of a filter the first is kept: one is enough, because it is noted on the endpoint. Many questions are asked
//! in turns, on a thread, so that neither other requests nor other apps wait for all of them.

use std::collections::HashMap;
use std::sync::Arc;

use crate::domain::Timestamp;
use crate::domain::delivery_filter::FilterVerdict;
use crate::domain::expr::Json;
use crate::domain::shaping::summary::SummaryTemplates;
use crate::domain::shaping::{ParsedSubject, Subject};
use crate::store::shared::filter_snapshots::{Filters, Turns};
use crate::store::shared::row_numbers::EndpointRow;
use crate::store::{InboundEvent, NewEvent, Result, StoreError};

/// A source, as filters see it. The default: none.
#[derive(Debug, Default)]
pub(crate) struct SourceOrigin {
    pub(crate) name: Option<String>,
    pub(crate) summary: SummaryTemplates,
}

impl SourceOrigin {
    /// The source that an event came by.
    pub(crate) fn of(event: &InboundEvent) -> SourceOrigin {
        let summary = event.summary.as_ref().and_then(|summary| summary.parsed().ok());
        SourceOrigin { name: Some(event.source_name.clone()), summary: summary.unwrap_or_default() }
    }

    /// Of a source with this name and these settings, as they are kept.
    pub(crate) fn read(name: String, settings: &str) -> SourceOrigin {
        let settings = Json::parse(settings).ok();
        let summary = settings.as_ref().and_then(|settings| settings.get("summary"));
        let templates = summary.and_then(|summary| SummaryTemplates::read(summary, "").ok());
        SourceOrigin { name: Some(name), summary: templates.unwrap_or_default() }
    }
}

/// What filters are asked about, of an event that came by a source.
pub(crate) fn asked_of(event: &InboundEvent) -> NewEvent {
    NewEvent {
        event_type: event.event_type.clone(),
        payload: event.payload.clone(),
        resource_id: event.resource_id.clone(),
        idempotency_key: None,
    }
}

/// Questions that are asked at once, without a thread: a few milliseconds at worst.
const AT_ONCE: usize = 64;
/// Questions of a turn.
const TURN: usize = 1_000;

/// What filters say of events, in the order of the events.
#[derive(Debug, Default)]
pub(crate) struct Verdicts {
    filters: Arc<Filters>,
    /// One entry for each event, with one for each filter.
    events: Vec<Box<[Said]>>,
    /// The first error of a filter, by its place, with the event.
    errors: HashMap<usize, (usize, String)>,
}

/// What a filter says of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    /// It was not asked.
    Nothing,
    Wanted,
    Declined,
}

impl Verdicts {
    /// Asks filters about events. `from` is the source that the events came by.
    pub(crate) async fn of(
        filters: Arc<Filters>,
        events: &[NewEvent],
        from: Option<SourceOrigin>,
        now: Timestamp,
        turns: &Turns,
    ) -> Result<Verdicts> {
        let mut verdicts = Verdicts { filters, ..Verdicts::default() };
        let count = verdicts.filters.len();
        if count == 0 || count * events.len() <= AT_ONCE {
            if count > 0 {
                events.iter().for_each(|event| verdicts.ask(event, from.as_ref(), now));
            }
            return Ok(verdicts);
        }
        let from = Arc::new(from);
        for part in events.chunks((TURN / count).max(1)) {
            let failed = |e: Box<dyn std::error::Error + Send + Sync>| StoreError::Failed {
                doing: "asking filters",
                source: e,
            };
            let turn = turns.next().await.map_err(|e| failed(Box::new(e)))?;
            let (part, from) = (part.to_vec(), from.clone());
            let asking = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                part.iter().for_each(|event| verdicts.ask(event, (*from).as_ref(), now));
                verdicts
            });
            verdicts = asking.await.map_err(|e| failed(Box::new(e)))?;
        }
        Ok(verdicts)
    }

    /// Asks the filters about the next event. Its payload is parsed only if an endpoint whose patterns match has one.
    fn ask(&mut self, event: &NewEvent, from: Option<&SourceOrigin>, now: Timestamp) {
        let filters = self.filters.clone();
        let mut said = vec![Said::Nothing; filters.len()].into_boxed_slice();
        let mut parsed = None;
        for (at, filtered) in filters.on(&event.event_type) {
            let subject = Subject {
                id: None,
                event_type: &event.event_type,
                resource_id: event.resource_id.as_deref(),
                source: from.and_then(|origin| origin.name.as_deref()),
                summary: from.map(|origin| &origin.summary),
                created_at: now,
                payload: &event.payload,
            };
            let parsed = parsed.get_or_insert_with(|| ParsedSubject::new(subject));
            let FilterVerdict { is_wanted, error } = filtered.filter.judge(parsed, &filtered.name);
            said[at] = if is_wanted { Said::Wanted } else { Said::Declined };
            if let Some(error) = error {
                self.errors.entry(at).or_insert((self.events.len(), error));
            }
        }
        self.events.push(said);
    }

    /// Whether an endpoint wants an event, and the error to note; `None` if its filter of now was not asked.
    pub(crate) fn get(
        &self,
        event: usize,
        endpoint: EndpointRow,
        filter: &str,
    ) -> Option<(bool, Option<&str>)> {
        let at = self.filters.place(endpoint, filter)?;
        let is_wanted = match self.events.get(event)?.get(at)? {
            Said::Nothing => return None,
            said => *said == Said::Wanted,
        };
        let error = self.errors.get(&at).filter(|(first, _)| *first == event);
        Some((is_wanted, error.map(|(_, error)| error.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::*;
    use crate::domain::delivery_filter::DeliveryFilter;
    use crate::domain::{EventPattern, EventType};
    use crate::store::shared::filter_snapshots::Filtered;

    const FILTERS: i64 = 40;
    const EVENTS: i64 = 100;

    fn now() -> Timestamp {
        Timestamp::from_millis(1)
    }

    /// Does not finish on a long list.
    const FAILING: &str = "payload.list|unique|length > 100000";

    /// Filter `n` wants events from `n` on; the last one is [`FAILING`].
    fn filters() -> Arc<Filters> {
        let filtered = |n: i64| {
            let text = if n == FILTERS { FAILING.to_owned() } else { format!("payload.n >= {n}") };
            Filtered {
                row: EndpointRow(2 * n),
                name: String::new(),
                events: vec![EventPattern::parse(if n == 0 { "b.*" } else { "a.*" }).unwrap()],
                filter: DeliveryFilter::new(text),
            }
        };
        Filters::of((0..=FILTERS).map(filtered).collect())
    }

    /// The first two events have a long list.
    fn event(n: i64) -> NewEvent {
        let list: Vec<i64> = (0..if n < 2 { 5_000 } else { 0 }).collect();
        NewEvent {
            event_type: EventType::parse("a.b").unwrap(),
            payload: serde_json::json!({ "n": n, "list": list }).to_string().into(),
            resource_id: None,
            idempotency_key: None,
        }
    }

    fn said(verdicts: &Verdicts, event: i64, n: i64, filter: &str) -> Option<bool> {
        verdicts.get(event as usize, EndpointRow(2 * n), filter).map(|(is_wanted, _)| is_wanted)
    }

    #[tokio::test]
    async fn many_questions_are_asked_in_turns_that_hold_nobody_up() {
        let (events, turns): (Vec<_>, _) = ((0..EVENTS).map(event).collect(), Turns::default());
        let mut asking = Box::pin(Verdicts::of(filters(), &events, None, now(), &turns));
        let first = asking.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(first.is_pending(), "the thread of the request asked them all");
        let verdicts = asking.await.unwrap();
        for event in 0..EVENTS {
            for n in 1..FILTERS {
                assert_eq!(said(&verdicts, event, n, &format!("payload.n >= {n}")), Some(event >= n));
            }
            // Another text, an endpoint without a filter, patterns that do not match, an event that is not there.
            assert_eq!(said(&verdicts, event, 1, "payload.n >= 2"), None);
            assert_eq!(said(&verdicts, event, FILTERS + 1, ""), None);
            assert_eq!(said(&verdicts, event, 0, "payload.n >= 0"), None);
            assert_eq!(said(&verdicts, EVENTS, 1, "payload.n >= 1"), None);
        }
        let failing = |event| verdicts.get(event, EndpointRow(2 * FILTERS), FAILING).unwrap();
        let [first, second, third] = [0, 1, 2].map(|event| (failing(event).0, failing(event).1.is_some()));
        assert_eq!([first, second, third], [(true, true), (true, false), (false, false)]);
    }

    #[tokio::test]
    async fn few_questions_are_asked_at_once() {
        let turns = Turns::default();
        let _all = (turns.next().await.unwrap(), turns.next().await.unwrap());
        let verdicts = Verdicts::of(filters(), &[event(3)], None, now(), &turns).await.unwrap();
        let of = |n: i64| said(&verdicts, 0, n, &format!("payload.n >= {n}"));
        assert_eq!((of(2), of(3), of(4)), (Some(true), Some(true), Some(false)));
    }
}
