//! Identifiers. Each is a type of its own, so that one cannot be taken for another.
//!
//! Ids made here are UUIDv7: they sort by the time they were made, so "newest first" and "descending
//! id" are the same order.

use std::fmt;
use std::str::FromStr;
use std::sync::Mutex;

use uuid::{ContextV7, NoContext, Uuid};

use crate::domain::Timestamp;

/// Keeps ids that are made within one millisecond in the order they were made.
static ORDER: Mutex<Option<ContextV7>> = Mutex::new(None);

fn new_v7(now: Timestamp) -> Uuid {
    let mut order = ORDER.lock().expect("no panic happens while this lock is held");
    let order = order.get_or_insert_with(ContextV7::new);
    let (seconds, nanos) = parts(now);
    Uuid::new_v7(uuid::Timestamp::from_unix(&*order, seconds, nanos))
}

/// Whole seconds since 1970, and the nanoseconds after them.
fn parts(now: Timestamp) -> (u64, u32) {
    let ms = u64::try_from(now.as_millis()).unwrap_or(0);
    (ms / 1_000, u32::try_from(ms % 1_000).unwrap_or(0) * 1_000_000)
}

/// Text that is not an id of the wanted kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id of this kind")]
pub struct NotAnId;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// A new id, later in order than those made before it.
            pub fn new(now: Timestamp) -> $name {
                $name(new_v7(now))
            }

            /// The id with these bits, as storage has it.
            pub fn from_uuid(uuid: Uuid) -> $name {
                $name(uuid)
            }

            /// Its bits.
            pub fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

macro_rules! plain_uuid_text {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;
            /// Reads the hyphenated form only: one spelling for each id in URLs and logs.
            fn from_str(text: &str) -> Result<$name, NotAnId> {
                if text.len() != uuid::fmt::Hyphenated::LENGTH {
                    return Err(NotAnId);
                }
                Uuid::try_parse(text).map($name).map_err(|_| NotAnId)
            }
        }
    };
}

uuid_id! {
    /// An app: the owner of endpoints, events and keys.
    AppId
}
uuid_id! {
    /// An endpoint: a receiver URL with the event types it wants.
    EndpointId
}
uuid_id! {
    /// A place that alerts go to.
    AlertTargetId
}
uuid_id! {
    /// A bulk job.
    JobId
}
uuid_id! {
    /// A session of a person.
    SessionId
}
uuid_id! {
    /// A source: a URL that takes requests of another program.
    SourceId
}
uuid_id! {
    /// A person who may sign in.
    UserId
}
uuid_id! {
    /// An event; shown as `evt_` and 32 hexadecimal digits, which is also the `webhook-id` that
    /// receivers see.
    EventId
}
impl EventId {
    /// An id of exactly this time, in no order among those of the same millisecond: for an event that is in no list.
    pub fn at(now: Timestamp) -> EventId {
        let (seconds, nanos) = parts(now);
        EventId(Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, seconds, nanos)))
    }
}

plain_uuid_text!(AlertTargetId);
plain_uuid_text!(AppId);
plain_uuid_text!(EndpointId);
plain_uuid_text!(JobId);
plain_uuid_text!(SessionId);
plain_uuid_text!(SourceId);
plain_uuid_text!(UserId);

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "evt_{}", self.0.simple())
    }
}

impl FromStr for EventId {
    type Err = NotAnId;
    fn from_str(text: &str) -> Result<EventId, NotAnId> {
        let hex = text.strip_prefix("evt_").ok_or(NotAnId)?;
        if hex.len() != uuid::fmt::Simple::LENGTH {
            return Err(NotAnId);
        }
        Uuid::try_parse(hex).map(EventId).map_err(|_| NotAnId)
    }
}

/// An attempt: its row in the log. The id of a delivery is the id of its first attempt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId(pub i64);

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for AttemptId {
    type Err = NotAnId;
    fn from_str(text: &str) -> Result<AttemptId, NotAnId> {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let id = if digits { text.parse().ok() } else { None };
        id.map(AttemptId).ok_or(NotAnId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_ids_read_back() {
        let id = EventId::new(Timestamp::from_millis(1_700_000_000_000));
        assert!(id.to_string().starts_with("evt_") && id.to_string().len() == 36);
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn ids_made_later_sort_later() {
        let now = Timestamp::from_millis(1_700_000_000_000);
        let ids: Vec<_> = (0..1_000).map(|i| EndpointId::new(now.plus_ms(i / 300))).collect();
        assert!(ids.is_sorted());
    }

    #[test]
    fn other_spellings_are_not_ids() {
        for text in ["", "1", "f47ac10b58cc4372a5670e02b2c3d479", "{f47ac10b-58cc-4372-a567-0e02b2c3d479}"] {
            assert_eq!(text.parse::<EndpointId>(), Err(NotAnId), "{text}");
        }
        for text in ["", "+1", "-1", "1.0", "99999999999999999999", "evt_1"] {
            assert_eq!(text.parse::<AttemptId>(), Err(NotAnId), "{text}");
        }
        for text in ["evt_", "f47ac10b58cc4372a5670e02b2c3d479", "evt_f47ac10b-58cc-4372-a567-0e02b2c3d479"] {
            assert_eq!(text.parse::<EventId>(), Err(NotAnId), "{text}");
        }
    }
}
