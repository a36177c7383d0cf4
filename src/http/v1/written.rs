//! JSON answers that are written straight from their type.
//!
//! poem's own `Json` makes a tree of values of an answer first, and text of that. For most answers that does
//! not matter; for posted events it was as much work as reading the request: 12,400 and 13,100 instructions
//! (callgrind).

use poem::{IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::payload::{Json, Payload};
use poem_openapi::registry::{MetaSchemaRef, Registry};
use poem_openapi::types::Type;
use serde::Serialize;

/// An answer that is documented as a `T`. That `Serialize` gives just what the document says is for a test to show.
pub struct Written<T>(pub T);

impl<T: Type> Payload for Written<T> {
    const CONTENT_TYPE: &'static str = Json::<T>::CONTENT_TYPE;

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Type + Serialize> IntoResponse for Written<T> {
    fn into_response(self) -> Response {
        let text = serde_json::to_vec(&self.0).expect("names and values of answers are always JSON");
        Response::builder().content_type(Self::CONTENT_TYPE).body(text)
    }
}

/// 202
#[derive(ApiResponse)]
pub enum TakenIn<T: Type + Serialize> {
    /// Accepted: it is on disk and will be done.
    #[oai(status = 202)]
    TakenIn(Written<T>),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::{Event, EventDetail};
    use crate::domain::{EventId, EventType, Timestamp};
    use crate::http::v1::shapes::{BatchResult, EventResource, One};
    use poem_openapi::types::ToJSON;
    use serde_json::Value;

    fn as_documented<T: ToJSON + Serialize>(shape: &T) {
        let written: Value = serde_json::from_slice(&serde_json::to_vec(shape).unwrap()).unwrap();
        assert_eq!(Some(written), shape.to_json());
    }

    #[test]
    fn what_is_written_is_what_the_document_says() {
        let created_at = Timestamp::from_millis(1_700_000_000_000);
        let event_type = EventType::parse("a.b").unwrap();
        for resource_id in [None, Some("r \"1\"".to_owned())] {
            let (id, event_type) = (EventId::new(created_at), event_type.clone());
            let event = Event { id, event_type, resource_id, deliveries: 2, filtered: 0, created_at };
            as_documented(&One { data: EventResource::of(&event) });
            as_documented(&BatchResult { data: vec![EventResource::of(&event)] });
            let payload = Some(bytes::Bytes::from_static(b"{\"a\":[1]}"));
            as_documented(&One {
                data: EventResource::detail(&EventDetail { event, payload, attempts: vec![] }),
            });
        }
    }
}
