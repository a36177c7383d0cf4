//! JSON responses that contain JSON of others, which must not be parsed and written again: keys would
//! change their order, and numbers their digits.

use std::marker::PhantomData;

use poem::{IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, Registry};
use poem_openapi::types::{ToJSON, Type};
use serde_json::Value;
use serde_json::value::RawValue;

use super::shapes::{EventResource, One};

/// A 200 that is documented as a `T`, and whose text is at hand.
pub struct RawJson<T> {
    text: String,
    shape: PhantomData<fn() -> T>,
}

impl RawJson<One<EventResource>> {
    /// An event with its payload's own bytes.
    pub fn with_payload(event: EventResource, payload: Option<&[u8]>) -> RawJson<One<EventResource>> {
        let raw = payload
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .and_then(|text| serde_json::from_str::<&RawValue>(text).ok())
            .map_or("null", RawValue::get);
        let mut value = One { data: event }.to_json().unwrap_or(Value::Null);
        let attributes = value.pointer_mut("/data/attributes").and_then(Value::as_object_mut);
        let attributes = attributes.map(std::mem::take).unwrap_or_default();
        // The payload is appended as text to an object whose other fields are ours.
        let mut fields: Vec<String> = attributes
            .iter()
            .filter(|(name, _)| *name != "payload")
            .map(|(name, value)| format!("{}:{value}", Value::from(name.as_str())))
            .collect();
        fields.push(format!("\"payload\":{raw}"));
        let data = &value["data"];
        let text = format!(
            "{{\"data\":{{\"type\":{},\"id\":{},\"attributes\":{{{}}}}}}}",
            data["type"],
            data["id"],
            fields.join(",")
        );
        RawJson { text, shape: PhantomData }
    }
}

impl<T: Type> ApiResponse for RawJson<T> {
    fn meta() -> MetaResponses {
        let content =
            vec![MetaMediaType { content_type: "application/json; charset=utf-8", schema: T::schema_ref() }];
        let response = MetaResponse {
            description: "Found.",
            status: Some(200),
            status_range: None,
            content,
            headers: vec![],
        };
        MetaResponses { responses: vec![response] }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Send> IntoResponse for RawJson<T> {
    fn into_response(self) -> Response {
        Response::builder().content_type("application/json; charset=utf-8").body(self.text)
    }
}
