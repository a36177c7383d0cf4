//! The events that previews and tests are about, as bodies name or describe them.

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::domain::event::RESOURCE_ID_MAX_CHARS;
use crate::domain::values::invalid::Complaints;
use crate::domain::{EventId, EventType, SourceId};
use crate::http::problem::Problem;
use crate::http::request::body::Fields;
use crate::service::endpoints::trial::TrialInput;
use crate::service::{Caller, Kind, ServiceError};

use super::{check_events_read, id_of};

/// The event of a preview.
pub(super) fn read_event(
    caller: &Caller,
    raw: &RawValue,
    errors: &mut Complaints,
) -> Result<Option<TrialInput>, Problem> {
    let known = ["event_id", "event_type", "payload", "resource_id", "source_id", "sample"];
    let mut fields = match Fields::of_value(raw, "/event".to_owned(), &known) {
        Ok(fields) => fields,
        Err(error) => {
            errors.push(error);
            return Ok(None);
        }
    };
    let others = ["event_type", "payload", "resource_id", "source_id"];
    let event = match is_named(&fields) {
        true => named_event(caller, &mut fields, &others)?,
        false => read_given(&mut fields)?,
    };
    errors.append(&mut fields.errors);
    Ok(event)
}

/// Whether an event is named by its id or as a sample.
fn is_named(fields: &Fields<'_>) -> bool {
    ["event_id", "sample"].iter().any(|name| fields.raw(name).is_some_and(|raw| raw.get() != "null"))
}

/// An event that is named by its id or as a sample. `others` describe another event, so they cannot be there.
pub(super) fn named_event(
    caller: &Caller,
    fields: &mut Fields<'_>,
    others: &[&str],
) -> Result<Option<TrialInput>, Problem> {
    let id = fields.nullable::<String>("event_id", "a string").flatten();
    let sample = fields.nullable::<String>("sample", "a string such as \"github/release\"").flatten();
    let (name, event) = match (id, sample) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            fields.fail("sample", "and event_id cannot be given together");
            return Ok(None);
        }
        (Some(id), None) => {
            check_events_read(caller)?;
            let id: Option<EventId> = id_of(&id);
            ("event_id", TrialInput::Stored(id.ok_or(ServiceError::NotFound(Kind::Event))?))
        }
        (None, Some(sample)) => ("sample", TrialInput::Sample(sample)),
    };
    let is_there = |other: &&&str| fields.raw(other).is_some_and(|raw| raw.get() != "null");
    if let Some(other) = others.iter().find(is_there) {
        fields.fail(other, format!("and {name} cannot be given together"));
        return Ok(None);
    }
    Ok(Some(event))
}

/// An event as a client describes it.
fn read_given(fields: &mut Fields<'_>) -> Result<Option<TrialInput>, Problem> {
    fields.require("event_type");
    fields.require("payload");
    let event_type = read_type(fields);
    let payload = fields.raw("payload").map(|raw| Bytes::copy_from_slice(raw.get().as_bytes()));
    let resource_id = fields.nullable::<String>("resource_id", "a string").flatten();
    let fits = |text: &String| {
        !text.is_empty()
            && text.chars().count() <= RESOURCE_ID_MAX_CHARS
            && !text.chars().any(char::is_control)
    };
    if resource_id.as_ref().is_some_and(|text| !fits(text)) {
        let message =
            format!("must have 1 to {RESOURCE_ID_MAX_CHARS} characters, none of them control characters");
        fields.fail("resource_id", message);
    }
    let source = fields.nullable::<String>("source_id", "a string").flatten();
    let not_found = || Problem::from(ServiceError::NotFound(Kind::Source));
    let source = source.map(|id| id_of::<SourceId>(&id).ok_or_else(not_found)).transpose()?;
    let given = event_type.zip(payload);
    Ok(given.map(|(event_type, payload)| TrialInput::Given { event_type, payload, resource_id, source }))
}

/// `event_type`, if it is given and well-formed.
pub(super) fn read_type(fields: &mut Fields<'_>) -> Option<EventType> {
    let text = fields.nullable::<String>("event_type", "a string").flatten()?;
    EventType::parse(&text).map_err(|message| fields.fail("event_type", message)).ok()
}
