//! What a job is to do, as JSON. Reading is strict, like that of every other
//! column: what does not read is an error, never a guess at which deliveries were meant.

use serde::{Deserialize, Serialize};

use crate::domain::attempts::bulk_job::Work;
use crate::domain::filter::{AttemptFilter, ErrorText, StatusFilter, TypeFilter, View};
use crate::domain::{AttemptId, AttemptStatus, ErrorKind, Timestamp, Trigger};
use crate::store::shared::fault::Fault;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredWork {
    Retry(Box<StoredFilter>),
    Recover { endpoint: String, since: i64, until: i64 },
    Replay { event: String, endpoint: Option<String> },
}

#[derive(Serialize, Deserialize)]
struct StoredFilter {
    endpoint: Option<String>,
    status: Vec<String>,
    event_type: Option<String>,
    response_status: Option<StoredStatus>,
    error_kind: Option<String>,
    trigger: Option<String>,
    // Jobs of earlier versions have none of these six.
    #[serde(default)]
    view: Option<String>,
    #[serde(default)]
    event: Option<String>,
    #[serde(default)]
    resource: Option<String>,
    #[serde(default)]
    delivery: Option<i64>,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    with_addresses: bool,
    since: Option<i64>,
    until: Option<i64>,
    q: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredStatus {
    Exactly(u16),
    Class(u16),
}

/// Writes what a job is to do.
pub(crate) fn write_work(work: &Work) -> String {
    let stored = match work {
        Work::Retry(filter) => StoredWork::Retry(Box::new(keep_filter(filter))),
        Work::Recover { endpoint, since, until } => StoredWork::Recover {
            endpoint: endpoint.to_string(),
            since: since.as_millis(),
            until: until.as_millis(),
        },
        Work::Replay { event, endpoint } => StoredWork::Replay {
            event: event.to_string(),
            endpoint: endpoint.as_ref().map(ToString::to_string),
        },
    };
    serde_json::to_string(&stored).expect("strings and numbers are always JSON")
}

/// The reverse of [`write_work`].
pub(crate) fn read_work(text: &str) -> Result<Work, Fault> {
    let damaged = || Fault("a stored job is damaged".to_owned());
    serde_json::from_str(text).ok().and_then(read).ok_or_else(damaged)
}

fn read(stored: StoredWork) -> Option<Work> {
    Some(match stored {
        StoredWork::Retry(filter) => Work::Retry(read_filter(*filter)?),
        StoredWork::Recover { endpoint, since, until } => Work::Recover {
            endpoint: endpoint.parse().ok()?,
            since: Timestamp::from_millis(since),
            until: Timestamp::from_millis(until),
        },
        StoredWork::Replay { event, endpoint } => {
            let endpoint = all(endpoint, |id| id.parse().ok())?;
            Work::Replay { event: event.parse().ok()?, endpoint }
        }
    })
}

fn keep_filter(filter: &AttemptFilter) -> StoredFilter {
    StoredFilter {
        endpoint: filter.endpoint.as_ref().map(ToString::to_string),
        status: filter.status.iter().map(ToString::to_string).collect(),
        event_type: filter.event_type.as_ref().map(|wanted| match wanted {
            TypeFilter::Exactly(name) => name.to_string(),
            TypeFilter::Below(stem) => format!("{stem}.*"),
        }),
        response_status: filter.response_status.map(|wanted| match wanted {
            StatusFilter::Exactly(status) => StoredStatus::Exactly(status),
            StatusFilter::Class(class) => StoredStatus::Class(class),
        }),
        error_kind: filter.error_kind.as_ref().map(ToString::to_string),
        trigger: filter.trigger.as_ref().map(ToString::to_string),
        view: Some(filter.view.to_string()),
        event: filter.event.as_ref().map(ToString::to_string),
        resource: filter.resource.clone(),
        delivery: filter.delivery.map(|id| id.0),
        error: filter.error.as_ref().map(|error| error.part.clone()),
        with_addresses: filter.error.as_ref().is_some_and(|error| error.with_addresses),
        since: filter.since.map(Timestamp::as_millis),
        until: filter.until.map(Timestamp::as_millis),
        q: filter.q.clone(),
    }
}

fn read_filter(stored: StoredFilter) -> Option<AttemptFilter> {
    Some(AttemptFilter {
        endpoint: all(stored.endpoint, |id| id.parse().ok())?,
        status: stored.status.iter().map(|s| AttemptStatus::parse(s)).collect::<Option<_>>()?,
        event_type: all(stored.event_type, TypeFilter::parse)?,
        response_status: stored.response_status.map(|wanted| match wanted {
            StoredStatus::Exactly(status) => StatusFilter::Exactly(status),
            StoredStatus::Class(class) => StatusFilter::Class(class),
        }),
        error_kind: all(stored.error_kind, ErrorKind::parse)?,
        trigger: all(stored.trigger, Trigger::parse)?,
        view: all(stored.view, View::parse)?.unwrap_or_default(),
        event: all(stored.event, |id| id.parse().ok())?,
        resource: stored.resource,
        delivery: stored.delivery.map(AttemptId),
        error: stored.error.map(|part| ErrorText { part, with_addresses: stored.with_addresses }),
        // No job has it.
        contains: None,
        since: stored.since.map(Timestamp::from_millis),
        until: stored.until.map(Timestamp::from_millis),
        q: stored.q,
    })
}

/// Reads what is there: `None` when it does not read, `Some(None)` when there is nothing.
fn all<T>(text: Option<String>, read: impl FnOnce(&str) -> Option<T>) -> Option<Option<T>> {
    match text {
        None => Some(None),
        Some(text) => read(&text).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::EventType;
    use crate::domain::{EndpointId, EventId};

    #[test]
    fn work_reads_back_exactly() {
        let now = Timestamp::from_millis(1_700_000_000_000);
        let name = EventType::parse("license.assigned").unwrap();
        let endpoint = EndpointId::new(now);
        let full = AttemptFilter {
            view: View::Deliveries,
            endpoint: Some(endpoint),
            status: vec![AttemptStatus::Exhausted, AttemptStatus::Failed],
            event_type: Some(TypeFilter::Below(name.clone())),
            response_status: Some(StatusFilter::Class(5)),
            error_kind: Some(ErrorKind::Timeout),
            trigger: Some(Trigger::Retry),
            event: Some(EventId::new(now)),
            resource: Some("order \"7\"".to_owned()),
            delivery: Some(AttemptId(7)),
            error: Some(ErrorText { part: "refused".to_owned(), with_addresses: true }),
            contains: None,
            since: Some(now),
            until: Some(now.plus_ms(1)),
            q: Some("\"%_ü".to_owned()),
        };
        let exact = AttemptFilter {
            event_type: Some(TypeFilter::Exactly(name)),
            response_status: Some(StatusFilter::Exactly(503)),
            ..AttemptFilter::default()
        };
        for work in [
            Work::Retry(AttemptFilter::default()),
            Work::Retry(full),
            Work::Retry(exact),
            Work::Recover { endpoint, since: now, until: now.plus_ms(5) },
            Work::Replay { event: EventId::new(now), endpoint: None },
            Work::Replay { event: EventId::new(now), endpoint: Some(endpoint) },
        ] {
            assert_eq!(read_work(&write_work(&work)).unwrap(), work);
        }
    }

    #[test]
    fn work_of_a_version_with_fewer_filters_reads() {
        let text = r#"{"retry":{"endpoint":null,"status":[],"event_type":null,"response_status":null,
            "error_kind":null,"trigger":null,"since":null,"until":null,"q":"x"}}"#;
        let filter = AttemptFilter { q: Some("x".to_owned()), ..AttemptFilter::default() };
        assert_eq!(read_work(text).unwrap(), Work::Retry(filter));
    }

    #[test]
    fn a_damaged_one_is_refused() {
        for text in ["", "{}", r#"{"retry":{"status":["lost"]}}"#, r#"{"replay":{"event":"1"}}"#] {
            assert!(read_work(text).is_err(), "{text}");
        }
    }
}
