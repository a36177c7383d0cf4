//! Samples of the gallery as the events that they become, for trying what receives them.

use bytes::Bytes;
use serde_json::Value;

use crate::domain::EventType;
use crate::domain::gallery::{self, Side};
use crate::domain::inbound::input;
use crate::domain::inbound::mapper::Mapper;
use crate::domain::inbound::payload::{self, Reading};
use crate::domain::inbound::source::{Guard, SummaryText};
use crate::domain::values::invalid::Complaints;

/// The largest payload of a sample, in bytes.
const SIZE_MAX: usize = 256 * 1_024;

/// What a sample becomes with the settings of its recipe.
#[derive(Debug, Clone)]
pub struct SampleEvent {
    /// The name of the recipe, which is that of its source.
    pub source: String,
    pub event_type: EventType,
    pub resource_id: Option<String>,
    pub payload: Bytes,
    pub summary: Option<SummaryText>,
}

/// The event of a sample such as `github/release`; `now` is RFC 3339. `None`: there is no such sample.
pub fn event_of(name: &str, now: &str) -> Option<SampleEvent> {
    let sample = gallery::sample(name)?;
    let preset = gallery::find(Side::Source, name.split_once('/')?.0).ok()?;
    let mut fields = preset.attributes.clone();
    // Who may send has nothing to do with what the event is.
    fields.remove("verify");
    fields.remove("challenge");
    fields.insert("name".to_owned(), Value::from(preset.name.as_str()));
    let mut errors = Complaints::default();
    let (settings, _) = input::read(&fields, &Guard::default(), &mut errors);
    let json_field = &settings.mapping.json_field;
    let reading = Reading { json_field, size_limit: SIZE_MAX, hidden_parameters: &[] };
    let body = payload::read(&sample.request, reading).ok()?;
    let mapped = Mapper::of(&settings).ok()?.map(&sample.request, &body, now);
    errors.is_empty().then_some(SampleEvent {
        source: settings.name,
        event_type: mapped.event_type,
        resource_id: mapped.resource_id,
        payload: body.payload,
        summary: settings.mapping.summary,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_is_an_event() {
        for preset in gallery::all(Side::Source) {
            for name in &preset.samples {
                let name = format!("{}/{name}", preset.name);
                let event = event_of(&name, "2026-03-01T12:00:00Z").unwrap_or_else(|| panic!("{name}"));
                let expected = &gallery::sample(&name).unwrap().expected;
                assert_eq!(event.event_type.as_str(), expected.event_type, "{name}");
                assert_eq!(
                    (event.resource_id, event.source),
                    (expected.resource_id.clone(), preset.name.clone())
                );
            }
        }
        assert!(event_of("github/nothing", "").is_none() && event_of("nothing", "").is_none());
    }
}
