//! The filters of endpoints, as the writer asks them, and what it notes of those that could not decide.
//!
//! Nearly all have been asked before ([`Verdicts`]). The source of an event is read only if one has not.

use std::collections::HashSet;

use crate::domain::access::activity::{Activity, ActivityKind, Actor};
use crate::domain::delivery_filter::DeliveryFilter;
use crate::domain::shaping::{ParsedSubject, Subject};
use crate::domain::{Endpoint, EventId, EventType, Timestamp};
use crate::store::shared::row_numbers::{EndpointRow, SourceRow};
use crate::store::shared::subscription::Subscription;
use crate::store::shared::verdicts::{SourceOrigin, Verdicts};

/// How often the activity log is told of a filter that does not work: once an hour.
const TOLD_EVERY_MS: i64 = 3_600_000;

/// An event that is being accepted.
pub(crate) struct Asked<'a> {
    pub(crate) event_type: &'a EventType,
    pub(crate) payload: &'a [u8],
    pub(crate) resource_id: Option<&'a str>,
    /// The source it came from.
    pub(crate) source: Option<SourceRow>,
    /// What filters said of it before, and its place among the events that they were asked about.
    pub(crate) verdicts: Option<(&'a Verdicts, usize)>,
    pub(crate) now: Timestamp,
}

/// What the filters of endpoints say of an event.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// Those that decline it.
    pub(crate) declined: HashSet<EndpointRow>,
    /// Those that could not decide, with the sentence to note.
    pub(crate) errors: Vec<(EndpointRow, String)>,
}

impl Asked<'_> {
    /// What the filters of these endpoints said of it before, and those that were not asked, or have changed since.
    pub(crate) fn known<'s>(
        &self,
        matching: impl Iterator<Item = &'s Subscription>,
    ) -> (Answers, Vec<&'s Subscription>) {
        let (mut answers, mut unasked) = (Answers::default(), Vec::new());
        for subscription in matching {
            let Some((_, filter)) = &subscription.filter else { continue };
            let known = self.verdicts.and_then(|(verdicts, at)| verdicts.get(at, subscription.row, filter));
            match known {
                Some((is_wanted, error)) => {
                    answers.add(subscription.row, is_wanted, error.map(str::to_owned));
                }
                None => unasked.push(subscription),
            }
        }
        (answers, unasked)
    }

    /// Asks the filters of endpoints. `origin` is the source that it came by.
    pub(crate) fn ask(&self, unasked: &[&Subscription], origin: &SourceOrigin, answers: &mut Answers) {
        let parsed = ParsedSubject::new(Subject {
            id: None,
            event_type: self.event_type,
            resource_id: self.resource_id,
            source: origin.name.as_deref(),
            summary: Some(&origin.summary),
            created_at: self.now,
            payload: self.payload,
        });
        for subscription in unasked {
            let Some((name, filter)) = &subscription.filter else { continue };
            let verdict = DeliveryFilter::new(filter.clone()).judge(&parsed, name);
            answers.add(subscription.row, verdict.is_wanted, verdict.error);
        }
    }
}

impl Answers {
    fn add(&mut self, endpoint: EndpointRow, is_wanted: bool, error: Option<String>) {
        self.errors.extend(error.map(|error| (endpoint, error)));
        if !is_wanted {
            self.declined.insert(endpoint);
        }
    }
}

/// An event that is kept.
pub(crate) struct KeptEvent {
    pub(crate) id: EventId,
    pub(crate) event_type: EventType,
    pub(crate) resource_id: Option<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) payload: Vec<u8>,
}

impl KeptEvent {
    /// Whether a filter with this name wants it.
    pub(crate) fn is_wanted_by(&self, filter: &str, name: &str, origin: &SourceOrigin) -> bool {
        let subject = Subject {
            id: Some(self.id),
            event_type: &self.event_type,
            resource_id: self.resource_id.as_deref(),
            source: origin.name.as_deref(),
            summary: Some(&origin.summary),
            created_at: self.created_at,
            payload: &self.payload,
        };
        DeliveryFilter::new(filter.to_owned()).judge(&ParsedSubject::new(subject), name).is_wanted
    }
}

/// What is to be noted of a filter that could not decide.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FilterNote {
    /// For the endpoint.
    pub(crate) sentence: String,
    /// When the activity log was told last, from now on.
    pub(crate) told_at: Timestamp,
    /// Whether it is to be told now.
    pub(crate) is_news: bool,
}

impl FilterNote {
    /// `told_at` is when the activity log was told last; `is_shown` whether the endpoint shows an error. `None`: there
    /// is nothing to be noted.
    pub(crate) fn of(
        error: &str,
        told_at: Option<Timestamp>,
        is_shown: bool,
        now: Timestamp,
    ) -> Option<FilterNote> {
        // One of the future was told before the clock was set back.
        let was_told = told_at.is_some_and(|at| at > now.plus_ms(-TOLD_EVERY_MS) && at <= now);
        if was_told && is_shown {
            return None;
        }
        let sentence = format!("{} {error} The event was delivered all the same.", now.to_short_text());
        let told_at = told_at.filter(|_| was_told).unwrap_or(now);
        Some(FilterNote { sentence, told_at, is_news: !was_told })
    }
}

/// The entry of the activity log for a filter that could not decide.
pub(crate) fn filter_failed(endpoint: &Endpoint, error: &str, now: Timestamp) -> Activity {
    Activity {
        kind: ActivityKind::EndpointFilterFailed,
        app_id: Some(endpoint.app_id),
        actor: Actor::System.to_string(),
        address: None,
        summary: format!("Webhook {:?}: {error}", endpoint.settings.name),
        details: serde_json::json!({ "endpoint_id": endpoint.id.to_string() }),
        created_at: now,
    }
}
